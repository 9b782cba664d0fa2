"""A sweep as data: a file of datasets x methods x seeds, with grids and random search -> specifications."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unmix.evaluation import Evaluation
from unmix.method_file import PREFIX
from unmix.record import Specification, Store
from unmix.registry import DATASETS, UnknownNameError
from unmix.results import FOLDER
from unmix.run import build, method_kind, specify
from unmix.search import Axis, axes
from unmix.types import DeclinedError

KEYS = ("about", "datasets", "methods", "seeds", "random", "evaluation")


@dataclass(frozen=True)
class Plan:
    """What a sweep runs.

    Args:
        name: Of the file, without its ending.
        about: The file's own sentence.
        labels: Key -> dataset, method, what varies and seed, for people.
        specifications: Each run once, in the file's order.
        declined: Label of a combination -> why it has no meaning; it is left out.
    """

    name: str
    about: str
    labels: Mapping[str, str]
    specifications: Sequence[Specification]
    declined: Mapping[str, str]


def presets() -> dict[str, Path]:
    """Name -> file of the sweeps that come with unmix."""
    return {path.stem: path for path in sorted((FOLDER / "sweeps").glob("*.yaml"))}


def read(word: str, files: Mapping[str, Mapping[str, str]] | None = None, store: Store | None = None) -> Plan:
    """The sweep in a file, or the preset of this name.

    Args:
        word: "folder/mine.yaml", "mine.json", or a name of `presets`.
        files: Methods in files that may be executed: "file:Class" -> what `unmix.method_file.keep` returns.
        store: Keeps those files.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no sweep; the message says where in the file, and which names are close.
    """
    path = Path(word)
    if path.suffix not in (".yaml", ".yml", ".json"):
        if word not in presets():
            close = difflib.get_close_matches(word, presets()) or list(presets())
            raise ValueError(f"no sweep is named {word!r}; did you mean {' or '.join(close)}? (a file ends in .yaml)")
        path = presets()[word]
    try:
        content = _loaded(path)
        _refuse_unknown(content)
        return _Reader(content, files or {}, store).plan(path.stem)
    except (ValueError, UnknownNameError) as error:
        raise ValueError(f"{path}: {error}") from None


class _Reader:
    """Reads one file; a message begins with the place in it."""

    def __init__(self, content: Mapping[str, Any], files: Mapping[str, Mapping[str, str]], store: Store | None) -> None:
        self.content, self.files, self.store = content, files, store
        self.draws, self.seed = _random(content.get("random"))
        self.evaluation = _evaluation(_mapping(content.get("evaluation", {}), "evaluation"))

    def plan(self, name: str) -> Plan:
        labels: dict[str, str] = {}
        specifications: dict[str, Specification] = {}
        declined: dict[str, str] = {}
        seeds = _seeds(self.content.get("seeds", [0]))
        for (dataset, first), (method, second) in itertools.product(self._all("datasets"), self._all("methods")):
            label = f"{first} {second}"
            try:
                runs = [specify(dataset, method, seed, self.evaluation, self.store) for seed in seeds]
            except DeclinedError as reason:
                declined[label] = str(reason)
                continue
            except (ValueError, UnknownNameError) as error:
                raise ValueError(f"{label}: {error}") from None
            for run in runs:
                specifications.setdefault(run.key, run)
                labels.setdefault(run.key, f"{label} seed {run.seed}")
        if not labels and not declined:
            raise ValueError("nothing to run: seeds is empty")
        return Plan(name, str(self.content.get("about", "")), labels, list(specifications.values()), declined)

    def _all(self, role: str) -> list[tuple[dict[str, Any], str]]:
        """Every dataset or every method with its values, and its label."""
        entries = self.content.get(role)
        if not isinstance(entries, list) or not entries:
            raise ValueError(f"{role}: a list with at least one name, or mapping with a name and fields, is needed")
        return [found for n, entry in enumerate(entries) for found in self._variants(entry, role, f"{role}[{n}]")]

    def _variants(self, entry: Any, role: str, place: str) -> Iterator[tuple[dict[str, Any], str]]:
        values = {"name": entry} if isinstance(entry, str) else _mapping(entry, place)
        name = values.get("name")
        if not isinstance(name, str):
            raise ValueError(f"{place}: a name is needed (`unmix list {role}`)")
        try:
            named, kind = self._kind(name, role)
        except (ValueError, UnknownNameError) as error:
            raise ValueError(f"{place}: {error}") from None
        given = {key: value for key, value in values.items() if key != "name"}
        found = list(axes(given, kind, place, (role, name), self.draws, self.seed))
        grid, drawn = [axis for axis in found if not axis.drawn], [axis for axis in found if axis.drawn]
        for point in itertools.product(*(axis.values for axis in grid)):
            for draw in range(self.draws if drawn else 1):
                chosen = [*zip(grid, point, strict=True), *((axis, axis.values[draw]) for axis in drawn)]
                varied = [f"{axis.path[-1]}={value}" for axis, value in chosen if len(axis.values) > 1]
                yield {**named, **_nested(chosen)}, " ".join([name, *varied])

    def _kind(self, name: str, role: str) -> tuple[Mapping[str, str], Any]:
        if role == "datasets":
            return {"name": name}, DATASETS[name]
        named: Mapping[str, str] = {"name": name}
        if name.startswith(PREFIX):
            plain = name.removesuffix("+ica")
            if plain not in self.files:
                raise ValueError(f"{name} is code in a file, which runs only when asked for: --method FILE:{plain[5:]}")
            named = {**self.files[plain], "name": name}
        return named, method_kind(named, self.store)


def _evaluation(values: Mapping[str, Any]) -> Evaluation:
    found = list(axes(values, Evaluation, "evaluation", ("evaluation", "evaluation"), 0, 0))
    for axis in found:
        if len(axis.values) != 1:
            raise ValueError(f"evaluation.{axis.path[0]}: one value is needed: all runs are scored alike")
    made: Evaluation = build(Evaluation, {axis.path[0]: axis.values[0] for axis in found}, "evaluation")
    return made


def _nested(chosen: Sequence[tuple[Axis, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for axis, value in chosen:
        inner = values
        for key in axis.path[:-1]:
            inner = inner.setdefault(key, {})
        inner[axis.path[-1]] = value
    return values


def _loaded(path: Path) -> Mapping[str, Any]:
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            return _mapping(json.loads(text, object_pairs_hook=_once), "the file")
        return _mapping(yaml.load(text, _Loader), "the file")
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem}") from None
    except yaml.YAMLError as error:  # characters that YAML has not
        raise ValueError(str(error)) from None


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys without a word; this one refuses."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for (key, _), name in zip(node.value, keys, strict=True):
            if keys.count(name) > 1:
                raise yaml.MarkedYAMLError(problem=f"{name} is there twice", problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, _ in pairs:
        if [name for name, _ in pairs].count(key) > 1:
            raise ValueError(f"{key} is there twice in one object")
    return dict(pairs)


def _refuse_unknown(content: Mapping[str, Any]) -> None:
    for key in content:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS) or KEYS
            raise ValueError(f"{key}: there is no such key; did you mean {' or '.join(close)}?")


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{place}: a mapping is needed, not {value!r}")
    return value


def _seeds(value: Any) -> list[int]:
    seeds = list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(seeds, list) or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in seeds):
        raise ValueError(f"seeds: a list such as [0, 1, 2] or their number is needed, not {value!r}")
    return seeds


def _random(value: Any) -> tuple[int, int]:
    """How many draws, and the seed of them; no draws where the file does not ask for any."""
    given = {} if value is None else _mapping(value, "random")
    for key in given:
        if key not in ("draws", "seed"):
            raise ValueError(f"random.{key}: there is no such key; did you mean draws or seed?")
    draws, seed = given.get("draws", 0), given.get("seed", 0)
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in (draws, seed)):
        raise ValueError("random: draws and seed are whole numbers")
    if value is not None and draws < 1:
        raise ValueError(f"random.draws: it must be at least 1, not {draws}")
    return draws, seed
