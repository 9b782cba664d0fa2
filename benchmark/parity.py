"""Parity: what our metrics and the published implementations say on the same inputs.

`comparisons(oracle)` yields one row a value of the oracle. What mirrors what is data: `MIRRORS`; where a
reference is wrong, and why, is data too: `DEVIATIONS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from unmix.factors import FactorType
from unmix.metrics.bins import equal_width
from unmix.metrics.contract import Score
from unmix.metrics.intervention import Accuracy, beta_vae_accuracy, factor_vae_accuracy
from unmix.metrics.sources import Grid
from unmix.mirrors import DEVIATIONS, MIRRORS, OPEN, Mirror
from unmix.registry import METRICS

ACCURACIES: Mapping[str, Callable[..., Accuracy]] = {
    "beta_vae": beta_vae_accuracy,
    "factor_vae": factor_vae_accuracy,
}
Verdict = Literal["agrees", "explained", "deviates", "reference failed", "no tolerance", "no mirror"]


@dataclass(frozen=True)
class Comparison:
    """Our value beside a reference's.

    Attributes:
        case: Input and size ("d_mixed__small").
        metric: The oracle's name of it ("irs[q=1]").
        implementation: Library and environment ("dlib@new").
        key: Which of the reference's values.
        variant: Our registered name; "" without a mirror.
        ours, reference, tolerance: None where there is none.
        verdict: Whether they agree; "explained" and "deviates" both lie outside of the tolerance.
        reason: Why they do not agree, or cannot be compared.
    """

    case: str
    metric: str
    implementation: str
    key: str
    variant: str = ""
    ours: float | None = None
    reference: float | None = None
    tolerance: float | None = None
    verdict: Verdict = "no mirror"
    reason: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the reference's."""
        return None if self.ours is None or self.reference is None else self.ours - self.reference


@dataclass(frozen=True)
class Entry:
    """One value of the oracle, still to be compared."""

    case: str
    metric: str
    implementation: str
    key: str
    record: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.case}-{self.metric}-{self.implementation}-{self.key}"

    @property
    def names(self) -> tuple[str, str, str, str]:
        """What the patterns of a deviation are held against."""
        return self.case, self.metric, self.implementation, self.key

    @property
    def mirror(self) -> Mirror | None:
        """Ours for it, if there is one."""
        return MIRRORS.get((self.metric, self.implementation.split("@")[0]), {}).get(self.key)

    @property
    def reference(self) -> float | None:
        """The oracle's value; None where the reference failed or gave no finite one."""
        value = self.record.get("values", {}).get(self.key)
        return float(value) if isinstance(value, int | float) else None

    @property
    def tolerance(self) -> float | None:
        """As the oracle's README says: its own, or twice what two versions of a library disagree by.

        Seeded accuracies without any spread over the seeds (all saturated) may miss one row.
        """
        own = self.record.get("tolerance", {}).get(self.key)
        if own is None or self.reference is None:
            return None
        versions = self.record.get("old_new_absdiff", {}).get(self.key) or 0.0
        saturated = 1 / self.record["hyper"]["num_eval"] if "num_eval" in self.record["hyper"] else 0.0
        return max(float(own), 2 * float(versions), saturated)

    @property
    def slow(self) -> bool:
        """Whether ours takes minutes here."""
        patterns = self.mirror.slow if self.mirror is not None else ()
        return any(fnmatchcase(self.case, pattern) for pattern in patterns)


def entries(oracle: Path) -> list[Entry]:
    """All values of an oracle folder, in its order; lists and tables among them are left out."""
    results = json.loads((oracle / "expected.json").read_text())["results"]
    return [
        Entry(case, metric, implementation, key, record)
        for case, metrics in results.items()
        for metric, implementations in metrics.items()
        for implementation, record in implementations.items()
        for key in record.get("values") or MIRRORS.get((metric, implementation.split("@")[0]), {"": None})
        if not isinstance(record.get("values", {}).get(key), list)
    ]


def compare(oracle: Path, entry: Entry) -> Comparison:
    """Compute ours for one value and judge it."""
    row = partial(
        Comparison,
        case=entry.case,
        metric=entry.metric,
        implementation=entry.implementation,
        key=entry.key,
        reference=entry.reference,
        tolerance=entry.tolerance,
    )
    mirror = entry.mirror
    if mirror is None:
        return row(verdict="no mirror")
    if mirror.variant == "":
        return row(verdict="no mirror", reason=mirror.reason)
    row = partial(row, variant=mirror.variant, ours=ours(oracle, entry, mirror))
    if entry.reference is None:
        failure = entry.record.get("error", "not finite").split("\n")[0]
        return row(verdict="reference failed", reason=failure)
    if entry.tolerance is None:
        return row(verdict="no tolerance", reason="too few seeds in the oracle")
    difference = row().difference
    if difference is None or abs(difference) <= entry.tolerance:
        return row(verdict="agrees")
    for deviation in DEVIATIONS:
        if deviation.covers(*entry.names, difference):
            return row(verdict="explained", reason=deviation.reason)
    open_ = [each.reason for each in OPEN if each.covers(*entry.names, difference)]
    return row(verdict="deviates", reason="".join(open_))


@dataclass(frozen=True)
class Call:
    """What to score: several values of the oracle, and several libraries, share one."""

    case: str
    variant: str
    rows: str
    types: FactorType
    cut: int
    settings: tuple[tuple[str, Any], ...]
    drawn: int


def ours(oracle: Path, entry: Entry, mirror: Mirror) -> float:
    """Our value: the mean over the mirror's seeds, where anything is drawn."""
    hyper = entry.record["hyper"]
    sampled = entry.case.startswith("sampler_")
    given = {**mirror.settings, **{mine: hyper[theirs] for theirs, mine in mirror.hyper.items()}}
    settings = tuple(sorted(given.items()))
    drawn = hyper["num_train"] if sampled else 0
    call = Call(entry.case, mirror.variant, mirror.rows, mirror.types, mirror.cut, settings, drawn)
    seeds = range(mirror.seeds if sampled or METRICS[mirror.variant].seeded else 1)
    scores = [(score_sampled if sampled else score_arrays)(oracle, call, seed) for seed in seeds]
    values = [score if mirror.detail is None else score.details[mirror.detail] for score in scores]
    return float(np.mean(values))


@cache
def score_arrays(oracle: Path, call: Call, seed: int) -> Score:
    """Score of a case that consists of arrays."""
    with np.load(oracle / "inputs" / f"{call.case}.npz") as arrays:
        train = int(arrays["n_train"])
        rest = (train + len(arrays["codes"])) // 2
        used = {
            "train": np.s_[:train],
            "all": np.s_[:],
            "validation": np.s_[:rest],
            "test": np.r_[:train, rest : len(arrays["codes"])],
        }[call.rows]
        factors, codes = arrays["factors"][used].astype(np.float64), arrays["codes"][used]
        discrete = bool(arrays["discrete"])
    if call.cut and not discrete:
        parts = [part for part in (factors[:train], factors[train:]) if len(part)]
        factors, discrete = np.concatenate([equal_width(part, call.cut) for part in parts]), True
    return _score(call, factors, codes, call.types if discrete else "continuous", seed)


@cache
def score_sampled(oracle: Path, call: Call, seed: int) -> Score:
    """Score of a case that is a model of the codes, from which the metric samples."""
    source = sampler(oracle / "inputs" / f"{call.case.rsplit('__', 1)[0]}.npz")
    if call.variant in ACCURACIES:
        found = ACCURACIES[call.variant](source, seed=seed, **dict(call.settings))
        return Score(found.test, details={"train_accuracy": found.train, "test_accuracy": found.test})
    generator = np.random.default_rng(seed)
    factors = generator.integers(source.sizes, size=(call.drawn, source.k))
    return _score(call, factors, source.encode(factors, generator), call.types, seed)


def _score(call: Call, factors: np.ndarray, codes: np.ndarray, kind: FactorType, seed: int) -> Score:
    declared = METRICS[call.variant]
    given = {**declared.settings, **dict(call.settings), **({"seed": seed} if declared.seeded else {})}
    score: Score = declared.function(factors, codes, factor_types=[kind] * factors.shape[1], **given)
    return score


def sampler(path: Path) -> Grid:
    """What a `sampler_*.npz` defines: codes = g(s @ W + b) + sigma ε, s the standardised levels."""
    with np.load(path) as arrays:
        sizes, weights, offset, sigma = (arrays[name] for name in ("factor_sizes", "W", "b", "sigma"))
        squared = str(arrays["g"]) != "linear"

    def encode(factors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        codes = (factors - (sizes - 1) / 2) / np.sqrt((sizes**2 - 1) / 12) @ weights + offset
        codes = codes**2 if squared else codes
        return np.asarray(codes + sigma * generator.normal(size=codes.shape))

    return Grid(tuple(int(size) for size in sizes), encode)


def comparisons(oracle: Path, slow: bool = False) -> Iterator[Comparison]:
    """Every value of the oracle beside ours; values that take minutes only when asked for."""
    for entry in entries(oracle):
        if slow or not entry.slow:
            yield compare(oracle, entry)


def report(rows: Sequence[Comparison]) -> str:
    """Markdown: counts by verdict, then every value that is not simply in agreement, then all."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in get_args(Verdict)}
    lines = [
        "| verdict | values |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in counts.items()),
        "",
    ]
    lines += ["| case | metric | reference | variant | ours | theirs | difference | tolerance | verdict | reason |"]
    lines += ["|---" * 10 + "|"]
    for row in sorted(rows, key=lambda row: row.verdict == "agrees"):
        numbers = (row.ours, row.reference, row.difference, row.tolerance)
        shown = ["" if number is None else f"{number:.6g}" for number in numbers]
        names = [row.case, f"{row.metric} {row.key}", row.implementation, row.variant]
        lines.append("| " + " | ".join([*names, *shown, row.verdict, row.reason]) + " |")
    return "\n".join(lines)
