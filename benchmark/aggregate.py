"""Scores of runs -> what a table prints. Pure functions of arrays; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

Statistic = Literal["mean", "median"]


@dataclass(frozen=True)
class Summary:
    """Centre and spread of the scores of one task's runs.

    Attributes:
        value: Mean, or median.
        spread: Sample standard deviation, or median absolute deviation; None for a single run.
        runs: How many.
    """

    value: float
    spread: float | None
    runs: int

    def __str__(self) -> str:
        return f"{self:.2f}"

    def __format__(self, form: str) -> str:
        return format(self.value, form) + (f" ± {self.spread:{form}}" if self.spread is not None else "")


def summarise(values: Sequence[float], statistic: Statistic = "mean") -> Summary:
    """Summary of the scores of one task's runs, as the paper in question summarises.

    >>> print(summarise([99.0, 99.5, 100.0]))
    99.50 ± 0.50
    >>> print(summarise([10.0, 99.5, 100.0], "median"))
    99.50 ± 0.50

    Raises:
        ValueError: When there is no run, or a score is not finite.
    """
    array = np.asarray(values, dtype=float)
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"cannot summarise {array.tolist()}: give at least one finite score")
    if statistic == "median":
        centre = float(np.median(array))
        spread = float(np.median(np.abs(array - centre)))
    else:
        centre, spread = float(array.mean()), float(array.std(ddof=min(1, array.size - 1)))
    return Summary(centre, spread if array.size > 1 else None, array.size)


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's interval of the mean of one task's runs, `mean +- t(n - 1) s / sqrt(n)`.

    Exact for normal scores at any number of runs, where a bootstrap of 3 runs cannot leave their smallest and largest
    and covers at most 75 %. With 2 runs it is 12.7 times as wide as they are apart, and has to be;
    with 1 run there is none. It may end outside of the metric's range.

    >>> [round(end, 2) for end in interval([99.0, 99.5, 100.0])]
    [98.26, 100.74]
    >>> interval([99.0]) is None
    True

    Returns:
        (low, high) in the unit of the scores; None for a single run.

    Raises:
        ValueError: When there is no run, a score is not finite, or the level is not between 0 and 1.
    """
    array = np.asarray(values, dtype=float)
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"no interval of {array.tolist()}: give finite scores")
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    if array.size == 1:
        return None
    half = float(stdtrit(array.size - 1, (1 + level) / 2)) * float(array.std(ddof=1)) / array.size**0.5
    return float(array.mean()) - half, float(array.mean()) + half


def seconds_to(curve: Sequence[tuple[float, float]], score: float) -> float | None:
    """Training seconds at which a learning curve [(seconds, score)] first reaches a score, None if never.

    Linear between the two points around it.

    >>> seconds_to([(10.0, 0.5), (20.0, 1.0)], 0.75)
    15.0
    """
    before = None
    for seconds, value in curve:
        if value >= score:
            if before is None or value == before[1]:
                return float(seconds)
            return float(before[0] + (seconds - before[0]) * (score - before[1]) / (value - before[1]))
        before = (seconds, value)
    return None
