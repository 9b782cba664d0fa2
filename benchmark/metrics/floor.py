"""Noise floor: what a metric gives on these very arrays once their relation is broken."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from unmix.metrics.contract import Score


@dataclass(frozen=True)
class Floor:
    """Scores of a metric on codes whose rows were shuffled: its level without any relation to the factors.

    Attributes:
        values: One a shuffle.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """Sample standard deviation; 0 for a single shuffle."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    def reaches(self, score: float, direction: int = 1) -> bool:
        """Whether a score is no better than two standard deviations above the mean: nothing to believe in."""
        return direction * (score - self.mean) <= 2 * self.std

    def p_value(self, score: float, direction: int = 1) -> float:
        """Permutation p-value: (1 + how many shuffles do at least as well) / (1 + shuffles)."""
        as_good = sum(direction * value >= direction * score for value in self.values)
        return (1 + as_good) / (1 + len(self.values))


def noise_floor(
    metric: Callable[..., Score],
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    repeats: int = 20,
    seed: int = 0,
    **settings: Any,
) -> Floor:
    """Score `repeats` random re-orderings of the codes' rows against the factors in place.

    Shuffled rows keep both marginals, n, d and k: what is left is the metric's chance level with all of its
    inflation for this shape of data. It is not the floor of another data set, nor of an untrained encoder.

    Args:
        metric: A registered metric (`METRICS["mcc"]`) or any function of (factors, codes, **settings).
        factors: (n, k).
        codes: (n, d).
        repeats: Shuffles; their standard error is `std` / √repeats.
        seed: Of the shuffles, and of the metric where it takes one: another with each shuffle, so that the
            floor also holds what the metric itself draws.
        settings: Passed on: factor_types, factor_periods, content.

    Raises:
        ValueError: When repeats < 1; whatever the metric raises.

    Example:
        >>> from unmix.metrics import mcc
        >>> draws = np.random.default_rng(0).normal(size=(500, 5))
        >>> floor = noise_floor(mcc, draws, draws, repeats=10)
        >>> print(f"{mcc(draws, draws):.2f} against {floor.mean:.2f}; p = {floor.p_value(1.0):.2f}")
        1.00 against 0.06; p = 0.09
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}: at least one shuffle is needed")
    generator, table = np.random.default_rng(seed), np.asarray(codes)
    seeded = "seed" in inspect.signature(metric).parameters
    values = []
    for _ in range(repeats):
        drawn = {"seed": int(generator.integers(2**31))} if seeded else {}
        values.append(float(metric(factors, generator.permutation(table), **drawn, **settings)))
    return Floor(tuple(values))
