"""Arms -> what can be said of them: summaries, a verdict for each pair and metric, ranks. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from unmix.comparison.arms import Arm, Chosen, Task, titles
from unmix.comparison.statistics import (
    STATISTICS,
    aggregate,
    aggregate_interval,
    contrast,
    critical_difference,
    friedman,
    holm,
    improvement,
    improvement_interval,
    mean_ranks,
    paired_d,
    paired_p,
    seeds_at_least,
    seeds_needed,
    smallest_p,
    unpaired_p,
)
from unmix.registry import METRICS
from unmix.seeds import derived_seed

ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Estimate:
    """A number with the interval around it; None where too few runs allow none."""

    value: float
    low: float | None = None
    high: float | None = None

    def text(self, digits: int = 1, sign: bool = False) -> str:
        form = f"{'+' if sign else ''}.{digits}f"
        ends = "" if self.low is None else f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{self.value:{form}}{ends}"


@dataclass(frozen=True)
class Summary:
    """Of one arm in one metric, on the tasks that all arms have: Student's mean, and the bootstrapped aggregates."""

    arm: str
    metric: str
    tasks: int
    runs: int
    student: Estimate
    mean: Estimate
    median: Estimate
    iqm: Estimate


@dataclass(frozen=True)
class Verdict:
    """Of two arms in one metric.

    Args:
        metric, first, second: What is compared.
        higher: Whether more is better in this metric.
        tasks: Number of datasets.
        runs: Runs of the first and of the second, over all datasets; the same seeds where they are paired.
        paired: By seed.
        difference: Mean of first minus second, in the metric's unit, with Student's interval.
        improvement: Probability that a run of the first is better than one of the second.
        effect: Paired d, positive where the first is better; None where there is no spread.
        p, corrected: Of the permutation test; by Holm, for all verdicts of this comparison.
        smallest: The smallest p that so many runs can give.
        comparisons: How many verdicts there are.
    """

    metric: str
    first: str
    second: str
    higher: bool
    tasks: int
    runs: tuple[int, int]
    paired: bool
    difference: Estimate
    improvement: Estimate
    effect: float | None
    p: float
    smallest: float
    corrected: float = 1.0
    comparisons: int = 1

    @property
    def told(self) -> str:
        """ "apart", "not apart", or "too few": no outcome of so many runs could tell them apart."""
        if self.corrected <= ALPHA:
            return "apart"
        return "too few" if min(1.0, self.smallest * self.comparisons) > ALPHA else "not apart"

    @property
    def needed(self) -> str:
        """How many paired seeds of each dataset would be; "" where they are told apart."""
        if self.told == "apart":
            return ""
        alpha = ALPHA / self.comparisons
        least = max(2, seeds_at_least(self.tasks, alpha))
        if not self.effect or not self.paired:
            return f"at least {least}"
        seeds = seeds_needed(self.effect, self.tasks, alpha, POWER)
        return "more than 1000" if seeds is None else str(seeds)

    @property
    def sentence(self) -> str:
        """What can be said, and how far it can be believed."""
        gap = self.difference.value
        where = "above" if gap > 0 else "below" if gap < 0 else "level with"
        direction = "" if self.higher else " (lower is better)"
        runs = f"{_seeds(self.runs[0])}" if self.paired else f"{self.runs[0]} and {self.runs[1]} runs, not paired"
        p = f"p = {self.p:.2g}" + (f" ({self.corrected:.2g} by Holm)" if self.comparisons > 1 else "")
        return (
            f"{self.first} is {where} {self.second} in {self.metric}{direction} on {self.tasks} "
            f"dataset{'s' if self.tasks > 1 else ''}: {self.difference.text(digits(self.metric), True)}, {p}, {runs}: "
            f"{self._judged()}."
        )

    def _judged(self) -> str:
        each = " a dataset" if self.tasks > 1 else ""
        if self.told == "apart":
            return "told apart"
        if self.told == "too few":
            said = f"too few to tell, as no outcome has a p below {self.smallest:.2g}"
            said += f" and {self.comparisons} comparisons are made" if self.comparisons > 1 else ""
        else:
            said = "not told apart"
        return f"{said}; {self.needed} paired seeds{each} would be needed"


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of the arms over blocks: 1 is best.

    Args:
        arms: Labels, best first.
        ranks: Mean ranks, in this order.
        blocks: How many.
        block: "dataset", or "seed" where there is one dataset.
        metrics: Over which the ranks in a block are averaged.
        statistic, p: Friedman's, by permutation; None of one block.
        difference: Nemenyi's critical difference; None of one block.
    """

    arms: tuple[str, ...]
    ranks: tuple[float, ...]
    blocks: int
    block: str
    metrics: tuple[str, ...]
    statistic: float | None = None
    p: float | None = None
    difference: float | None = None

    @property
    def sentence(self) -> str:
        best = f"{self.arms[0]} has the best mean rank, {self.ranks[0]:.2f} of {len(self.arms)}"
        if self.p is None or self.difference is None:
            return f"{best}, on one {self.block}: no test of one."
        within = [
            arm for arm, rank in zip(self.arms, self.ranks, strict=True) if rank - self.ranks[0] < self.difference
        ]
        said = "the ranks differ" if self.p <= ALPHA else "the ranks could be chance"
        return (
            f"{best}, over {self.blocks} {self.block}s: Friedman p = {self.p:.2g}, {said}; within the critical "
            f"difference of {self.difference:.2f}: {', '.join(within)}."
        )


@dataclass(frozen=True)
class Findings:
    """All that `unmix compare` says of its arms."""

    arms: tuple[Arm, ...]
    metrics: tuple[str, ...]
    tasks: tuple[str, ...]
    summaries: tuple[Summary, ...]
    verdicts: tuple[Verdict, ...]
    ranks: Ranks | None
    left_out: tuple[str, ...]


def findings(
    chosen: Chosen,
    metrics: Sequence[str] | None = None,
    *,
    first_only: bool = False,
    seed: int = 0,
    progressed: Callable[[str], None] = lambda _: None,
) -> Findings:
    """Compare arms in each metric, pair by pair.

    Args:
        chosen: Arms of `unmix.comparison.arms.choose`.
        metrics: Registered names; by default all that at least two arms have on one task.
        first_only: Only the first arm with each other one: fewer comparisons to correct for.
        seed: Of resampling and permutation.
        progressed: Hears of each metric.

    Raises:
        ValueError: No two arms have a metric on one task.
        UnknownNameError: A metric that is not registered.
    """
    left_out = list(chosen.left_out)
    names = _metrics(chosen, metrics, left_out)
    pairs = [pair for pair in combinations(chosen.arms, 2) if not first_only or pair[0] is chosen.arms[0]]
    summaries: list[Summary] = []
    verdicts: list[Verdict] = []
    for metric in names:
        progressed(metric)
        common = [task for task in chosen.tasks if all(arm.scores(task, metric) for arm in chosen.arms)]
        if common:
            summaries += [_summary(arm, metric, common, seed) for arm in chosen.arms]
        elif len(chosen.arms) > 2:
            left_out.append(f"aggregates of {metric}: no dataset has it of all {len(chosen.arms)} arms")
        for first, second in pairs:
            verdict = _verdict(first, second, metric, chosen.tasks, seed, left_out)
            verdicts += [verdict] if verdict else []
    if not verdicts:
        raise ValueError(f"no two of {', '.join(arm.label for arm in chosen.arms)} share a metric on one dataset")
    corrected = holm([verdict.p for verdict in verdicts])
    verdicts = [replace(v, corrected=p, comparisons=len(verdicts)) for v, p in zip(verdicts, corrected, strict=True)]
    named = tuple(titles(chosen.tasks).values())
    ranks = _ranks(chosen, names, seed, left_out)
    told = tuple(dict.fromkeys(left_out))
    return Findings(chosen.arms, tuple(names), named, tuple(summaries), tuple(verdicts), ranks, told)


def scale(metric: str) -> float:
    """Scores whose best is 1 are told in percent, others as they are."""
    return 100.0 if METRICS[metric].range[1] == 1 else 1.0


def digits(metric: str) -> int:
    """After the decimal point."""
    return 1 if scale(metric) == 100 else 3


def blocks(arm: Arm, metric: str, tasks: Sequence[Task]) -> list[np.ndarray]:
    """Scores of an arm in the metric's unit, one array a task."""
    return [scale(metric) * np.array(list(arm.scores(task, metric).values())) for task in tasks]


def _metrics(chosen: Chosen, asked: Sequence[str] | None, left_out: list[str]) -> list[str]:
    runs = [run for task in chosen.tasks for arm in chosen.arms for run in arm.runs.get(task, {}).values()]
    there = dict.fromkeys(name for run in runs for name in run.scores)
    if asked:
        for name in asked:
            METRICS[name]
            if name not in there:
                raise ValueError(f"no record of these arms has {name}: there are {', '.join(there)}")
        return list(dict.fromkeys(asked))
    unknown = [name for name in there if name not in METRICS]
    left_out += [f"{name}: not a metric of this installation, its direction is not known" for name in unknown]
    return [name for name in there if name not in unknown]


def _generator(seed: int, *names: str) -> np.random.Generator:
    """Of its own for each number, so that another metric or arm does not move it."""
    return np.random.default_rng(derived_seed(seed, "compare", *names))


def _summary(arm: Arm, metric: str, tasks: Sequence[Task], seed: int) -> Summary:
    scores = blocks(arm, metric, tasks)
    found = {
        name: Estimate(
            aggregate(scores, name), *(aggregate_interval(scores, name, _generator(seed, metric, arm.label)) or ())
        )
        for name in STATISTICS
    }
    return Summary(arm.label, metric, len(tasks), sum(map(len, scores)), Estimate(*contrast(scores)), **found)


def _verdict(
    first: Arm, second: Arm, metric: str, tasks: Sequence[Task], seed: int, left_out: list[str]
) -> Verdict | None:
    """None where they share no task."""
    both = [(first.scores(task, metric), second.scores(task, metric)) for task in tasks]
    named = [(task, a, b) for task, (a, b) in zip(tasks, both, strict=True) if a and b]
    if not named:
        return None
    paired = any(set(a) & set(b) for _, a, b in named)
    x, y = [], []
    for task, a, b in named:
        shared = sorted(set(a) & set(b))
        seeds = (shared, shared) if paired else (sorted(a), sorted(b))
        alone = sorted(set(a) ^ set(b)) if paired else []
        if alone:
            said = ", ".join(map(str, alone))
            left_out.append(f"{first.label} with {second.label} on {task.name}: seed {said}, which only one has")
        if all(seeds):
            x.append(scale(metric) * np.array([a[s] for s in seeds[0]]))
            y.append(scale(metric) * np.array([b[s] for s in seeds[1]]))
    higher = METRICS[metric].direction > 0
    generator = _generator(seed, metric, first.label, second.label)
    sign = 1 if higher else -1
    gains, losses = [sign * each for each in x], [sign * each for each in y]
    differences = [a - b for a, b in zip(x, y, strict=True)] if paired else []
    sizes = [len(each) for each in x], [len(each) for each in y]
    weights = [1 / len(x)] * len(x) + [-1 / len(x)] * len(x)
    gap = contrast(differences) if paired else contrast(x + y, weights)
    effect = paired_d([sign * each for each in differences]) if paired else None
    better = improvement_interval(gains, losses, generator, paired=paired) or ()
    return Verdict(
        metric=metric,
        first=first.label,
        second=second.label,
        higher=higher,
        tasks=len(x),
        runs=(sum(sizes[0]), sum(sizes[1])),
        paired=paired,
        difference=Estimate(*gap),
        improvement=Estimate(improvement(gains, losses), *better),
        effect=effect,
        p=paired_p(differences, generator) if paired else unpaired_p(x, y, generator),
        smallest=smallest_p(sizes[0]) if paired else smallest_p(*sizes),
    )


def _ranks(chosen: Chosen, metrics: Sequence[str], seed: int, left_out: list[str]) -> Ranks | None:
    """Over datasets by the mean of their runs; over the seeds of one dataset where there is only one."""
    arms = chosen.arms
    shared = [m for m in metrics if any(all(arm.scores(task, m) for arm in arms) for task in chosen.tasks)]
    tasks = [task for task in chosen.tasks if all(arm.scores(task, m) for arm in arms for m in shared)]
    if not shared or not tasks:
        left_out.append("ranks: no dataset has the same metrics of all arms")
        return None
    sign = {m: METRICS[m].direction for m in shared}
    if len(tasks) > 1:
        table = [[[sign[m] * np.mean(list(arm.scores(t, m).values())) for m in shared] for arm in arms] for t in tasks]
    else:
        scores = {(arm.label, m): arm.scores(tasks[0], m) for arm in arms for m in shared}
        seeds = sorted(set.intersection(*(set(each) for each in scores.values())))
        if not seeds:
            left_out.append("ranks: the arms share one dataset and no seed")
            return None
        table = [[[sign[m] * scores[arm.label, m][s] for m in shared] for arm in arms] for s in seeds]
    ranked = mean_ranks(np.array(table, dtype=float))
    means = ranked.mean(axis=0)
    order = np.argsort(means, kind="stable")
    statistic, p = friedman(ranked, _generator(seed, "ranks")) if len(ranked) > 1 else (None, None)
    return Ranks(
        arms=tuple(arms[place].label for place in order),
        ranks=tuple(float(means[place]) for place in order),
        blocks=len(ranked),
        block="dataset" if len(tasks) > 1 else "seed",
        metrics=tuple(shared),
        statistic=statistic,
        p=p,
        difference=critical_difference(len(arms), len(ranked)) if len(ranked) > 1 else None,
    )


def _seeds(count: int) -> str:
    return f"{count} paired seed{'s' if count > 1 else ''}"
