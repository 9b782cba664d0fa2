"""Records of runs and the store that keeps them: one JSON line a run, one file a writer, no locks."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unmix.disk import append, files, writer

SCHEMA = 1


class RecordError(ValueError):
    """A line of a store that is no record; the message names file and line."""


@dataclass(frozen=True)
class Specification:
    """What a run is: everything that its result depends on.

    Args:
        dataset: {"name": ..., **fields}; without the seed, which is the run's.
        method: {"name": ..., **fields}.
        seed: Of the mixing, the initialisation, the samples: each derives its own from it.
        evaluation: {"samples": ..., "metrics": [...]}.
    """

    dataset: Mapping[str, Any]
    method: Mapping[str, Any]
    seed: int
    evaluation: Mapping[str, Any]

    @functools.cached_property
    def key(self) -> str:
        """The identity: 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        text = json.dumps(_content(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Record:
    """One finished run.

    Args:
        specification: Its identity.
        scores: Registered metric name -> {"value", "n", "d", "k", "warnings"}.
        steps: Optimiser steps; 0 where nothing is trained.
        seconds: Training seconds, without evaluation.
        curve: Learning curve: [{"step", "seconds", "loss", "scores"}].
        parameters: Number of trained parameters.
        versions, commit, hardware: What computed it.
        finished: UTC time, ISO 8601.
        schema: Version of this format.
    """

    specification: Specification
    scores: Mapping[str, Mapping[str, Any]]
    steps: int
    seconds: float
    curve: list[dict[str, Any]]
    parameters: int
    versions: Mapping[str, str]
    commit: str
    hardware: Mapping[str, Any]
    finished: str
    schema: int = SCHEMA

    @property
    def key(self) -> str:
        return self.specification.key

    def to_json(self) -> str:
        """One line, without the newline; NaN is refused."""
        content = {"key": self.key, **_content(self), "specification": _content(self.specification)}
        return json.dumps(content, allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> Record:
        """Read a line.

        Raises:
            RecordError: When it is damaged, of another schema, or its key does not match its content.
        """
        try:
            content = json.loads(line if isinstance(line, str) else line.decode(), parse_constant=_refuse)
        except UnicodeDecodeError as error:
            raise RecordError(f"not UTF-8 ({error.reason} at byte {error.start})") from None
        except json.JSONDecodeError as error:
            raise RecordError(f"not JSON ({error.msg} at character {error.pos})") from None
        except RecursionError:
            raise RecordError("not a record: nested too deeply") from None
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            found = content.get("schema") if isinstance(content, dict) else None
            raise RecordError(f"schema {found!r}, this version reads {SCHEMA}")
        key = content.pop("key", None)
        missing = cls.__dataclass_fields__.keys() ^ content.keys()
        if missing:
            raise RecordError(f"missing or unknown fields: {', '.join(sorted(missing))}")
        if wrong := _wrong(content):
            raise RecordError(f"bad {wrong}")
        record = cls(specification=Specification(**content.pop("specification")), **content)
        if key != record.key:
            raise RecordError(f"key {key!r} does not match its specification ({record.key})")
        return record


def _content(made: Specification | Record) -> dict[str, Any]:
    """Its fields in their order; what they hold is plain already."""
    return {f: getattr(made, f) for f in made.__dataclass_fields__}


def _refuse(constant: str) -> Any:
    raise RecordError(f"not JSON ({constant})")


def _wrong(content: Mapping[str, Any]) -> str:
    """The first field that is of another kind than its readers expect; "" where none is."""
    specification = content["specification"]
    if not isinstance(specification, dict) or specification.keys() != Specification.__dataclass_fields__.keys():
        return "specification"
    for name in ("dataset", "method"):
        if not isinstance(specification[name], dict) or not _is_text(specification[name].get("name")):
            return f"specification: {name}"
    mappings = {"evaluation": specification["evaluation"], **content}
    for name in ("evaluation", "scores", "versions", "hardware"):
        if not isinstance(mappings[name], dict):
            return name
    for name, score in content["scores"].items():
        if not _is_text(name) or not isinstance(score, dict) or not _is_number(score.get("value")):
            return f"scores: {name!a}"
    whole = {"seed": specification["seed"], **content}
    for name in ("seed", "steps", "parameters"):
        if not isinstance(whole[name], int) or abs(whole[name]) >= 2**63:
            return name
    if not _is_number(content["seconds"]) or not isinstance(content["curve"], list):
        return "seconds or curve"
    return "" if _is_text(content["commit"]) and _is_text(content["finished"]) else "commit or finished"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= 1e308


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))


@dataclass
class Store:
    """A folder of records. Each process appends lines to a file of its own, a reader merges all files.

    No append needs a lock, so that the disk of a cluster will do. `unmix.parts.compact` turns lines into Parquet. Of
    two records with one key one stands: that in Parquet, else that of the file whose name comes first; names begin
    with the time at which their writer started.

    Args:
        folder: Made at the first append.
        damaged: After reading: a sentence for each line that could not be read.
    """

    folder: Path
    damaged: list[str] = field(default_factory=list)

    def run_folder(self, specification: Specification) -> Path:
        """Where a run keeps its checkpoint, weights and codes."""
        return self.folder / "runs" / specification.key

    def append(self, record: Record) -> None:
        """Add a record, durably, or leave the file as it was.

        Raises:
            OSError: When the disk is full or the folder cannot be written; no partial line stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path, line = self.folder / writer(os.getpid()), record.to_json().encode() + b"\n"
        while not append(path, line):
            pass

    def __iter__(self) -> Iterator[Record]:
        """The records that stand, a key once."""
        seen: set[str] = set()
        again = True
        while again:
            again = False
            self.damaged.clear()
            for path in files(self.folder):
                try:
                    for found in read(path):
                        if isinstance(found, str):
                            self.damaged.append(f"{found}; ignored")
                        elif found[0].key not in seen:
                            seen.add(found[0].key)
                            yield found[0]
                except FileNotFoundError:  # `compact` took it away meanwhile: its records are elsewhere now
                    again = True

    def by_key(self) -> dict[str, Record]:
        """All records that stand."""
        return {record.key: record for record in self}

    def keys(self) -> Set[str]:
        """Keys of the records that stand. Reads only what was added since this process asked before."""
        return _index(self.folder.resolve()).refreshed().keys()

    def find(self, key: str) -> Record | None:
        """One record. Reads only it, and what was added since this process asked before."""
        return _index(self.folder.resolve()).find(key)


class _Index:
    """Where records are: (in lines, file, offset or row); of two places with one key the least stands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self.places: dict[str, tuple[bool, Path, int]] = {}
        self.known: dict[Path, tuple[int, int]] = {}  # the file's number and how many bytes of it were read

    def refreshed(self) -> dict[str, tuple[bool, Path, int]]:
        with self.lock:
            while True:
                try:
                    found = {path: path.stat() for path in files(self.folder)}
                    for path, (number, size) in self.known.items():
                        if path not in found or found[path].st_ino != number or found[path].st_size < size:
                            self._forget()
                            break
                    for path, stat in found.items():
                        if stat.st_size > self.known.get(path, (0, 0))[1]:
                            self._read(path, stat)
                    return self.places
                except FileNotFoundError:  # compacted meanwhile: look again
                    continue

    def find(self, key: str) -> Record | None:
        for _ in range(2):
            if key not in (places := self.refreshed()):
                return None
            with contextlib.suppress(FileNotFoundError, RecordError):
                record = Record.from_json(_line(*places[key][1:]))
                if record.key == key:
                    return record
            with self.lock:  # another file lies there now
                self._forget()
        return None

    def _read(self, path: Path, stat: os.stat_result) -> None:
        offset = stat.st_size
        if path.suffix == ".parquet":
            from unmix.parts import keys

            with contextlib.suppress(RecordError):  # `Store.damaged` names it to whoever reads it
                for row, key in enumerate(keys(path)):
                    self._add(key, (False, path, row))
        else:
            with path.open("rb") as file:
                offset = file.seek(self.known.get(path, (0, 0))[1])
                for line in file:
                    with contextlib.suppress(RecordError):
                        self._add(Record.from_json(line).key, (True, path, offset))
                    if line.endswith(b"\n"):  # else it is still being written
                        offset += len(line)
        self.known[path] = stat.st_ino, offset

    def _add(self, key: str, place: tuple[bool, Path, int]) -> None:
        self.places[key] = min(place, self.places.get(key, place), key=lambda p: (p[0], p[1].stem, p[2]))


@functools.lru_cache(maxsize=16)
def _index(folder: Path) -> _Index:
    return _Index(folder)


def read(path: Path) -> Iterator[tuple[Record, str] | str]:
    """What a file of a store holds: each record with its line, or a sentence for a line that is none.

    Raises:
        ValueError: It is Parquet, and pyarrow is not here.
    """
    if path.suffix == ".parquet":
        from unmix.parts import lines

        numbered: Iterator[tuple[int, str | bytes]] = enumerate(lines(path), start=1)
    else:
        numbered = ((n, line) for n, line in enumerate(_bytes(path), start=1) if line.strip())
    try:
        for number, line in numbered:
            try:
                record = Record.from_json(line)
            except RecordError as error:
                torn = isinstance(line, bytes) and not line.endswith(b"\n")
                why = f"unfinished, torn by a crash or still being written ({error})" if torn else error
                yield f"{path}:{number}: {why}"
            else:
                yield record, line if isinstance(line, str) else line.decode().strip()
    except RecordError as error:
        yield f"{path}: {error}"


def _bytes(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _line(path: Path, at: int) -> str | bytes:
    if path.suffix == ".parquet":
        from unmix.parts import line

        return line(path, at)
    with path.open("rb") as file:
        file.seek(at)
        return file.readline()


def merged(stores: Iterable[Store]) -> dict[str, Record]:
    """Records of several stores; the first store that has a key stands."""
    records: dict[str, Record] = {}
    for store in stores:
        for key, record in store.by_key().items():
            records.setdefault(key, record)
    return records
