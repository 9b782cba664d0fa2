"""Scores of runs -> what a table prints. Pure functions of arrays; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation over runs; std is None for a single run."""

    mean: float
    std: float | None
    runs: int

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + (f" ± {self.std:.2f}" if self.std is not None else "")


def summarise(values: Sequence[float]) -> Summary:
    """Summary of the scores of one task's runs.

    >>> print(summarise([99.0, 99.5, 100.0]))
    99.50 ± 0.50

    Raises:
        ValueError: When there is no run, or a score is not finite.
    """
    array = np.asarray(values, dtype=float)
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"cannot summarise {array.tolist()}: give at least one finite score")
    return Summary(float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else None, array.size)


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
