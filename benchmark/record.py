"""Records of runs and the store that keeps them: one JSON line a run, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

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

    @property
    def key(self) -> str:
        """The identity: 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
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
        return json.dumps({"key": self.key, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Read a line.

        Raises:
            RecordError: When it is damaged, of another schema, or its key does not match its content.
        """
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            raise RecordError(f"not JSON ({error.msg} at character {error.pos})") from None
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            found = content.get("schema") if isinstance(content, dict) else None
            raise RecordError(f"schema {found!r}, this version reads {SCHEMA}")
        key = content.pop("key", None)
        missing = {f.name for f in fields(cls)} ^ set(content)
        if missing:
            raise RecordError(f"missing or unknown fields: {', '.join(sorted(missing))}")
        try:
            specification = Specification(**content.pop("specification"))
        except TypeError as error:
            raise RecordError(f"bad specification: {error}") from None
        record = cls(specification=specification, **content)
        if key != record.key:
            raise RecordError(f"key {key!r} does not match its specification ({record.key})")
        return record


@dataclass
class Store:
    """A folder of *.jsonl files; this process appends to `records.jsonl`, a reader merges all of them.

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
        path = self.folder / "records.jsonl"
        with FileLock(path.with_suffix(".lock")), path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            # A line that a dying machine tore must not swallow the next one.
            torn = size > 0 and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
            try:
                file.write((b"\n" if torn else b"") + record.to_json().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(path, size)
                raise

    def __iter__(self) -> Iterator[Record]:
        self.damaged.clear()
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open(encoding="utf-8", errors="replace") as lines:
                for number, line in enumerate(lines, start=1):
                    if not line.strip():
                        continue
                    try:
                        yield Record.from_json(line)
                    except RecordError as error:
                        self.damaged.append(f"{path}:{number}: {error}; the line is ignored")

    def by_key(self) -> dict[str, Record]:
        """All records; of two with one key the first written stands."""
        records: dict[str, Record] = {}
        for record in self:
            records.setdefault(record.key, record)
        return records


def merged(stores: Iterable[Store]) -> dict[str, Record]:
    """Records of several stores; the first store that has a key stands."""
    records: dict[str, Record] = {}
    for store in stores:
        for key, record in store.by_key().items():
            records.setdefault(key, record)
    return records
