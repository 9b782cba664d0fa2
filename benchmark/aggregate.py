"""Scores of runs -> what a table prints. Pure functions of arrays; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

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


def seconds_to(curve: Sequence[tuple[float, float]], score: float) -> float | None:
    """Training seconds at which a learning curve [(seconds, score)] first reaches a score, None if never.

    Linear between the two points around it.

    >>> seconds_to([(10, 0.5), (20, 1.0)], 0.75)
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
