"""The page model of the board: entries -> configurations -> benchmarks -> sheets of cells. Pure; imports no torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from unmix.aggregate import interval
from unmix.board.entries import Entry, Mark
from unmix.fields import PAIRS, spoken

Role = Literal["ceiling", "method", "floor"]

FLOORS = ("observations", "pca", "ica", "untrained", "noise")
CEILINGS = ("supervised",)
ROLES: Mapping[Role, str] = {"ceiling": "Ceiling", "method": "Methods", "floor": "Floors"}
MARKS: tuple[Mark, ...] = ("claimed", "verified", "reproduced")  # the weakest first
PRIMARY = ("r2(in_sample)", "mcc", "mcc(spearman)", "r2", "dci(gbt)")  # the first that a benchmark has sorts it
SETTINGS = 3  # that a label names
ICA = "+ica"


@dataclass(frozen=True)
class Cell:
    """A cell of a sheet.

    Args:
        text: What it says.
        value: What a number is sorted by; None sorts last, text by itself.
        small: Beneath, in grey, a line each: an interval, the paper's number, the settings.
        href: Where it leads, from the site's root; "" for nowhere.
        sign: "▲", "▼" or "≈" against the paper.
        best: It is the best of its column.
        mark: Shown as a badge beside the text.
    """

    text: str
    value: float | None = None
    small: str = ""
    href: str = ""
    sign: str = ""
    best: bool = False
    mark: Mark | Literal[""] = ""


@dataclass(frozen=True)
class Column:
    """A column of a sheet: `better` is 1 where higher is better, -1 where lower is, 0 where neither; None of text."""

    title: str
    better: int | None = None


@dataclass(frozen=True)
class Group:
    """Rows of one kind under a heading; `kind` is a role, or "" for rows that are not told apart."""

    title: str
    kind: Role | Literal[""]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Sheet:
    """A table of a page. `sorted_by` is the column that its rows are sorted by already, -1 for none."""

    columns: Sequence[Column]
    groups: Sequence[Group]
    sorted_by: int = -1


@dataclass(frozen=True)
class Configuration:
    """Runs of one origin that differ in their seed alone, sorted by it."""

    entries: tuple[Entry, ...]

    @property
    def dataset(self) -> Mapping[str, Any]:
        return self.entries[0].record.specification.dataset

    @property
    def method(self) -> Mapping[str, Any]:
        return self.entries[0].record.specification.method

    @property
    def submission(self) -> str:
        """The submission that it is from; "" for our own."""
        return self.entries[0].source if self.entries[0].submission is not None else ""

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of what all of its runs share."""
        return digest(self.submission, *_shared(self.entries[0]))

    @property
    def role(self) -> Role:
        name = self.method["name"].removesuffix(ICA)
        return "floor" if name in FLOORS else "ceiling" if name in CEILINGS else "method"

    @property
    def mark(self) -> Mark:
        """The weakest of its runs'."""
        return min((entry.mark for entry in self.entries), key=MARKS.index)

    @property
    def href(self) -> str:
        """The page of its only run, or of all of them."""
        return f"runs/{self.entries[0].record.key}.html" if len(self.entries) == 1 else self.page

    @property
    def page(self) -> str:
        return f"configurations/{self.key}.html"

    @property
    def seconds(self) -> float:
        """Mean training seconds."""
        return sum(entry.record.seconds for entry in self.entries) / len(self.entries)

    @property
    def pairs(self) -> str:
        """The fields of the dataset that make its pairs."""
        given = {name: value for name, value in self.dataset.items() if name in PAIRS}
        return ", ".join(str(value) for value in given.values() if value != "")

    def values(self, metric: str) -> list[float]:
        """A metric's scores, of the runs that have it."""
        scores = (entry.record.scores.get(metric) for entry in self.entries)
        return [float(score["value"]) for score in scores if score is not None]

    def mean(self, metric: str) -> float | None:
        values = self.values(metric)
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Benchmark:
    """A test that methods share: a dataset without what makes its pairs, and the evaluation's samples."""

    dataset: Mapping[str, Any]
    samples: int
    configurations: tuple[Configuration, ...]
    differing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name: the dataset's and six digits of the identity."""
        return f"{slug(self.dataset['name'])}-{digest(self.dataset, self.samples)[:6]}"

    @property
    def href(self) -> str:
        return f"benchmarks/{self.name}.html"

    @property
    def setting(self) -> str:
        """What tells it from other benchmarks on the dataset."""
        values = {**spoken(self.dataset), "samples": self.samples}
        return ", ".join(f"{name} {values[name]}" for name in self.differing if name in values)

    @cached_property
    def metrics(self) -> list[str]:
        """All that a run has, the primary one first."""
        found = list(dict.fromkeys(m for c in self.configurations for e in c.entries for m in e.record.scores))
        primary = next((name for name in PRIMARY if name in found), found[0])
        return [primary, *(name for name in found if name != primary)]

    @property
    def primary(self) -> str:
        return self.metrics[0]

    @cached_property
    def labels(self) -> dict[str, str]:
        """Configuration key -> its pairs, and the settings that tell it from the others of its method here."""
        named = labels(self.configurations)
        paired = {c.key: f"pairs {c.pairs}" if c.pairs else "" for c in self.configurations}
        return {key: ", ".join(filter(None, (paired[key], settings))) for key, settings in named.items()}

    @property
    def entries(self) -> list[Entry]:
        return [entry for configuration in self.configurations for entry in configuration.entries]


def configurations(entries: Iterable[Entry]) -> list[Configuration]:
    """Entries by what they share but for the seed; a submission's runs are never mixed with another's or ours.

    Raises:
        ValueError: An entry has a mark that there is not.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.mark not in MARKS:
            raise ValueError(f"{entry.source}, run {entry.record.key}: the mark {entry.mark!r} is none of {MARKS}")
        origin = entry.source if entry.submission is not None else ""
        groups.setdefault(digest(origin, *_shared(entry)), []).append(entry)
    return [Configuration(tuple(sorted(group, key=lambda e: e.record.specification.seed))) for group in groups.values()]


def benchmarks(given: Iterable[Configuration]) -> list[Benchmark]:
    """Configurations by the test that they took, sorted by dataset; each knows what tells it from its neighbours."""
    groups: dict[str, tuple[dict[str, Any], int, list[Configuration]]] = {}
    for configuration in given:
        dataset = {name: value for name, value in configuration.dataset.items() if name not in PAIRS}
        samples = configuration.entries[0].record.specification.evaluation["samples"]
        groups.setdefault(digest(dataset, samples), (dataset, samples, []))[2].append(configuration)
    found = []
    for dataset, samples, members in groups.values():
        kin = [{**spoken(d), "samples": n} for d, n, _ in groups.values() if d["name"] == dataset["name"]]
        found.append(Benchmark(dataset, samples, tuple(members), tuple(differing(kin))))
    return sorted(found, key=lambda b: (b.dataset["name"], b.setting))


def differing(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields that do not have one value in all of them."""
    names = dict.fromkeys(name for each in values for name in each)
    return [name for name in names if len({json.dumps(each.get(name), sort_keys=True) for each in values}) > 1]


def labels(given: Sequence[Configuration]) -> dict[str, str]:
    """Configuration key -> the settings that tell it from the others of its method in this company."""
    kin: dict[str, list[dict[str, Any]]] = {}
    for configuration in given:
        kin.setdefault(configuration.method["name"], []).append(spoken(configuration.method))
    told_by = {name: differing(group) for name, group in kin.items()}
    found = {}
    for configuration in given:
        own = spoken(configuration.method)
        names = [name for name in told_by[configuration.method["name"]] if name in own]
        settings = [f"{name.removeprefix('recipe.')} {own[name]}" for name in names[:SETTINGS]]
        more = [f"{len(names) - SETTINGS} more"] if len(names) > SETTINGS else []
        found[configuration.key] = ", ".join(settings + more)
    return found


def sheet(benchmark: Benchmark, better: Mapping[str, int]) -> Sheet:
    """The table of a benchmark: a row a configuration, ceiling, methods and floors apart, the best first.

    Args:
        benchmark: What is shown.
        better: Metric -> 1 where higher is better, -1 where lower is; 1 for one that is not here.
    """
    metrics, named = benchmark.metrics, benchmark.labels
    columns = [Column("method"), *(Column(metric, better.get(metric, 1)) for metric in metrics), *COSTS]
    sign = better.get(benchmark.primary, 1)
    bests = {metric: _best(benchmark, metric, better.get(metric, 1)) for metric in metrics}
    groups: list[Group] = []
    for role, title in ROLES.items():
        members = [c for c in benchmark.configurations if c.role == role]
        members.sort(key=lambda c: (c.mean(benchmark.primary) is None, -sign * (c.mean(benchmark.primary) or 0.0)))
        rows = [
            [
                Cell(c.method["name"], small=named[c.key], href=c.href, mark=c.mark),
                *(score_cell(c, metric, best=c.key == bests[metric]) for metric in metrics),
                *costs(c),
            ]
            for c in members
        ]
        groups += [Group(title, role, rows)] if rows else []
    return Sheet(columns, groups, sorted_by=1)


COSTS = [
    Column("seeds", 0),
    Column("steps", 0),
    Column("time", -1),
    Column("parameters", 0),
    Column("hardware"),
    Column("from"),
]


def costs(configuration: Configuration) -> list[Cell]:
    """The cells of `COSTS`."""
    record, source = configuration.entries[0].record, configuration.submission
    runs = len(configuration.entries)
    return [
        Cell(str(runs), float(runs)),
        Cell(f"{record.steps:,}", float(record.steps)),
        Cell(duration(configuration.seconds), configuration.seconds),
        Cell(f"{record.parameters:,}", float(record.parameters)),
        Cell(machine(record.hardware)),
        Cell(source, href=f"submissions/{slug(source)}.html") if source else Cell("unmix"),
    ]


def score_cell(configuration: Configuration, metric: str, best: bool = False) -> Cell:
    """A mean with half of its interval, which leads to its runs; a dash where no run has the metric."""
    values = configuration.values(metric)
    if not values:
        return Cell("—")
    mean, ends = sum(values) / len(values), interval(values)
    small = f"± {(ends[1] - ends[0]) / 2:.3f}" if ends else ""
    return Cell(f"{mean:.3f}", mean, small, configuration.href, best=best)


def results(given: Sequence[Configuration], homes: Mapping[str, Benchmark], better: Mapping[str, int]) -> Sheet:
    """Configurations of several benchmarks in one table; `homes` is configuration key -> its benchmark."""
    metrics = list(dict.fromkeys(metric for c in given for metric in homes[c.key].metrics if c.values(metric)))
    rows = [
        [
            Cell(homes[c.key].dataset["name"], small=homes[c.key].setting, href=homes[c.key].href),
            Cell(c.method["name"], small=homes[c.key].labels[c.key], href=c.href, mark=c.mark),
            *(score_cell(c, metric) for metric in metrics),
            *costs(c),
        ]
        for c in sorted(given, key=lambda c: (c.dataset["name"], homes[c.key].setting))
    ]
    columns = [Column("benchmark"), Column("method")]
    columns += [Column(metric, better.get(metric, 1)) for metric in metrics] + COSTS
    return Sheet(columns, [Group("", "", rows)])


def seeds(configuration: Configuration, home: Benchmark, better: Mapping[str, int]) -> Sheet:
    """The runs of a configuration, a row a seed."""
    metrics = [metric for metric in home.metrics if configuration.values(metric)]
    singles = [Configuration((entry,)) for entry in configuration.entries]
    rows = [
        [
            Cell(f"seed {c.entries[0].record.specification.seed}", href=c.href, mark=c.mark),
            *(score_cell(c, metric) for metric in metrics),
            *costs(c)[1:-1],
        ]
        for c in singles
    ]
    columns = [Column("run"), *(Column(metric, better.get(metric, 1)) for metric in metrics), *COSTS[1:-1]]
    return Sheet(columns, [Group("", "", rows)])


def _best(benchmark: Benchmark, metric: str, better: int) -> str:
    means = {c.key: c.mean(metric) for c in benchmark.configurations if c.role == "method"}
    found = {key: better * mean for key, mean in means.items() if mean is not None}
    return max(found, key=found.__getitem__) if len(found) > 1 else ""


def _shared(entry: Entry) -> tuple[Any, ...]:
    specification = entry.record.specification
    return specification.dataset, specification.method, specification.evaluation


def digest(*values: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def slug(text: str) -> str:
    """A name of a file for any text: itself where it is one, else its letters and a digest, so that no two collide.

    >>> slug("beta_vae"), slug("../../beta vae")
    ('beta_vae', 'beta-vae-0a2779e1')
    """
    plain = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-")[:60]
    return plain if plain == text and plain else f"{plain}-{digest(text)[:8]}".strip("-")


def machine(hardware: Mapping[str, Any]) -> str:
    """Accelerator or processor, and how much of it.

    >>> machine({"processor": "AMD EPYC", "cores": 2, "threads": 1, "device": "cpu"})
    'AMD EPYC, 1 thread'
    """
    if "accelerator" in hardware:
        return str(hardware["accelerator"])
    threads = hardware.get("threads", "?")
    return f"{hardware.get('processor', 'unknown')}, {threads} thread{'s' * (threads != 1)}"


def duration(seconds: float) -> str:
    """Two digits or so.

    >>> [duration(seconds) for seconds in (0.0, 0.31, 42.2, 929.0, 9000.0, 200000.0)]
    ['0 s', '0.3 s', '42 s', '15 min', '2.5 h', '2.3 d']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds else "0 s"
    for length, unit, form in ((100, "s", ".0f"), (5940, "min", ".0f"), (172800, "h", ".1f")):
        if seconds < length:
            return f"{seconds / {'s': 1, 'min': 60, 'h': 3600}[unit]:{form}} {unit}"
    return f"{seconds / 86400:.1f} d"
