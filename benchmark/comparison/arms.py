"""Records -> the arms of a comparison: what is compared, on which tasks, and what is left out. Imports no torch."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unmix.fields import PAIRS, flat
from unmix.record import Record, Specification

MOST = 16  # arms

_CALL = re.compile(r"\s*([\w+-]+)\s*(?:\((.*)\))?\s*")
_FIELD = re.compile(r"\s*([\w.]+)\s*=\s*(.+?)\s*")
_KEYS = re.compile(r"[0-9a-f]{4,16}(,[0-9a-f]{4,16})*")


@dataclass(frozen=True)
class Task:
    """What is evaluated: a dataset without its pairs, and the number of samples. Metrics are scored on the same ones.

    Args:
        dataset: {"name": ..., **fields}, as JSON.
        samples: Of the evaluation.
    """

    dataset: str
    samples: int

    @classmethod
    def of(cls, specification: Specification) -> Task:
        kept = {name: value for name, value in specification.dataset.items() if name not in PAIRS}
        return cls(json.dumps(kept, sort_keys=True), int(specification.evaluation["samples"]))

    @property
    def name(self) -> str:
        """Of the dataset."""
        return str(json.loads(self.dataset)["name"])


@dataclass(frozen=True)
class Selector:
    """Which records a word means.

    Args:
        text: As given: "slow_vae", "slow_vae(beta=0.5, transitions=uni)", "91bc", "91bc,3f2a".
        name: Of method or dataset; "" for keys.
        fields: What they must have: a field, or its end ("steps" for "recipe.steps").
        keys: Starts of keys.
    """

    text: str
    name: str
    fields: Mapping[str, str]
    keys: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read a word.

        Raises:
            ValueError: It is neither NAME, nor NAME(field=value, ...), nor keys with commas.
        """
        match = _CALL.fullmatch(text)
        if _KEYS.fullmatch(text) and any(letter.isdigit() for letter in text):
            return cls(text, "", {}, tuple(text.split(",")))
        if match is None:
            raise ValueError(f"{text!r} is not of the form NAME or NAME(field=value, ...), nor keys with commas")
        found = {}
        for part in _parts(match[2] or ""):
            given = _FIELD.fullmatch(part)
            if given is None:
                raise ValueError(f"{text!r}: {part.strip()!r} is not of the form field=value")
            found[given[1]] = given[2]
        return cls(text, match[1], found)

    def method(self, record: Record) -> bool:
        """Whether it means this record, by its method and its pairs, or by its key."""
        if self.keys:
            return any(record.key.startswith(key) for key in self.keys)
        return record.specification.method["name"] == self.name and self._has(configuration(record))

    def dataset(self, record: Record) -> bool:
        """Whether it means this record's dataset."""
        values = flat(record.specification.dataset)
        return values["name"] == self.name and self._has(values)

    def _has(self, values: Mapping[str, Any]) -> bool:
        return all(
            any(_same(value, wanted) for name, value in values.items() if name == field or name.endswith(f".{field}"))
            for field, wanted in self.fields.items()
        )


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: the runs that a word means, at most one a task and seed.

    Args:
        label: The word, with the fields that tell it from its other arms.
        runs: Task -> seed -> record.
    """

    label: str
    runs: Mapping[Task, Mapping[int, Record]]

    def scores(self, task: Task, metric: str) -> dict[int, float]:
        """Seed -> score of the runs that have this metric."""
        runs = self.runs.get(task, {})
        return {seed: float(r.scores[metric]["value"]) for seed, r in sorted(runs.items()) if metric in r.scores}


@dataclass(frozen=True)
class Chosen:
    """Arms, and a sentence for whatever was left out."""

    arms: tuple[Arm, ...]
    left_out: tuple[str, ...]

    @property
    def tasks(self) -> list[Task]:
        """Those of at least two arms."""
        every = dict.fromkeys(task for arm in self.arms for task in arm.runs)
        return [task for task in every if sum(task in arm.runs for arm in self.arms) > 1]


def choose(words: Sequence[str], records: Iterable[Record], datasets: Sequence[str] = ()) -> Chosen:
    """The arms that words mean. A word that means several configurations on one task is an arm for each.

    Args:
        words: Selectors of methods.
        records: To choose from.
        datasets: Selectors of datasets; none for all.

    Raises:
        ValueError: A word is no selector or means no record, with the close ones; fewer than two arms.
    """
    every = list(records)
    wanted = [Selector.parse(word) for word in datasets]
    kept = [record for record in every if not wanted or any(word.dataset(record) for word in wanted)]
    if wanted and not kept:
        raise ValueError(f"no record is of {' or '.join(datasets)}: there are {', '.join(_datasets(every))}")
    found = {word: [record for record in kept if Selector.parse(word).method(record)] for word in dict.fromkeys(words)}
    for word in found:
        if not found[word]:
            raise ValueError(_nothing(Selector.parse(word), kept))
    left_out = list(_alone(found)) if len(found) > 1 else []
    arms = [arm for word, runs in found.items() if runs for arm in _arms(word, runs, left_out)]
    if len(arms) < 2:
        raise ValueError(
            f"there is nothing to compare {' and '.join(found)} on: name at least two methods with runs on one "
            "dataset with as many samples, or one method with two configurations" + "".join(f"; {s}" for s in left_out)
        )
    if len(arms) > MOST:
        raise ValueError(
            f"{len(arms)} arms are more than {MOST}, such as {arms[0].label} and {arms[-1].label}: restrict them by "
            "NAME(field=value, ...) or --dataset"
        )
    return Chosen(tuple(arms), tuple(left_out))


def titles(tasks: Sequence[Task]) -> dict[Task, str]:
    """A name for each: the dataset's, with what tells it from others of this name."""
    named = {task: {**flat(json.loads(task.dataset)), "samples": task.samples} for task in tasks}
    found = {}
    for task, values in named.items():
        same = [other for other in named.values() if other["name"] == values["name"]]
        told = ", ".join(f"{field}={values[field]}" for field in sorted(_differing(same)) if field in values)
        found[task] = f"{task.name}({told})" if told else task.name
    return found


def configuration(record: Record) -> dict[str, Any]:
    """The flat fields of a run's method, with those of its pairs, without its name."""
    specification = record.specification
    values = flat({name: value for name, value in specification.method.items() if name != "name"})
    return values | {name: specification.dataset[name] for name in PAIRS if name in specification.dataset}


def _alone(found: dict[str, list[Record]]) -> Iterator[str]:
    """Take out the runs on tasks that no other word has, with a sentence for each word."""
    tasks = {word: {Task.of(record.specification) for record in records} for word, records in found.items()}
    for word, records in found.items():
        others = set().union(*(tasks[other] for other in found if other != word))
        alone = [record for record in records if Task.of(record.specification) not in others]
        found[word] = [record for record in records if record not in alone]
        if alone:
            data = ", ".join(dict.fromkeys(f"{t.name}, {t.samples} samples" for t in tasks[word] - others))
            yield f"{_counted(len(alone))} of {word} on what the others have no runs on: {data}"


def _arms(word: str, records: Sequence[Record], left_out: list[str]) -> list[Arm]:
    """One arm, or one for each combination of the fields in which runs of one task differ."""
    by_task: dict[Task, list[dict[str, Any]]] = {}
    for record in records:
        by_task.setdefault(Task.of(record.specification), []).append(configuration(record))
    fields = list(dict.fromkeys(name for values in by_task.values() for name in sorted(_differing(values))))
    runs: dict[tuple[str, ...], dict[Task, dict[int, Record]]] = {}
    for record in records:
        values = configuration(record)
        arm = tuple(str(values.get(name, "")) for name in fields)
        task, seed = Task.of(record.specification), record.specification.seed
        there = runs.setdefault(arm, {}).setdefault(task, {}).setdefault(seed, record)
        if there is not record:
            left_out.append(f"{record.key}: of {word} with seed {seed} there is {there.key} already, the same run")
    told = _telling(list(runs), fields)
    selector = Selector.parse(word)
    labels = {}
    for arm in runs:
        own = [f"{fields[place].rsplit('.', 1)[-1]}={arm[place]}" for place in told if arm[place]]
        given = [f"{field}={value}" for field, value in selector.fields.items()]
        labels[arm] = f"{selector.name or word}({', '.join(given + own)})" if given + own else word
    return [Arm(labels[arm], tasks) for arm, tasks in runs.items()]


def _telling(arms: Sequence[tuple[str, ...]], fields: Sequence[str]) -> list[int]:
    """Places of as few fields as tell the arms apart; those of pairs and of the method before its recipe's."""
    places = sorted(range(len(fields)), key=lambda place: (fields[place] in PAIRS, "." not in fields[place]))
    kept = list(places)
    for place in places:
        fewer = [other for other in kept if other != place]
        if len({tuple(arm[other] for other in fewer) for arm in arms}) == len(arms):
            kept = fewer
    return sorted(kept)


def _differing(values: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for name in {name for each in values for name in each}:
        if len({json.dumps(each.get(name, "")) for each in values}) > 1:
            yield name


def _counted(runs: int) -> str:
    return f"{runs} run{'s' if runs > 1 else ''}"


def _parts(text: str) -> Iterator[str]:
    """Split at the commas that are in no brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    if text[start:].strip():
        yield text[start:]


def _same(value: Any, wanted: str) -> bool:
    if str(value) == wanted or json.dumps(value) == wanted:
        return True
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and float(value) == float(wanted)
    except ValueError:
        return False


def _datasets(records: Sequence[Record]) -> list[str]:
    return sorted({record.specification.dataset["name"] for record in records})


def _nothing(selector: Selector, records: Sequence[Record]) -> str:
    if selector.keys:
        return f"no record has a key that starts with {selector.text}"
    same = [configuration(record) for record in records if record.specification.method["name"] == selector.name]
    if same:
        names = {name for values in same for name in values}
        for field in selector.fields:
            ends = {name for name in names if name == field or name.endswith(f".{field}")}
            if not ends:
                close = difflib.get_close_matches(field, names) or sorted(names)
                return f"no record of {selector.name} has the field {field!r}: did you mean {' or '.join(close)}?"
        values = {field: sorted({str(v[n]) for v in same for n in v if n.endswith(field)}) for field in selector.fields}
        told = "; ".join(f"{field} is {' or '.join(those)}" for field, those in values.items())
        return f"no record is of {selector.text}: in those there are, {told}"
    methods = sorted({record.specification.method["name"] for record in records})
    close = difflib.get_close_matches(selector.name, methods) or methods
    return f"no record is of the method {selector.name!r}: did you mean {' or '.join(close)}? (or run it first)"
