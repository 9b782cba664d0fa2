"""Representations whose quality is known: what each stress test of the audit gives a metric to judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from unmix.factors import FactorType

Kind = Literal["continuous", "discrete"]
KINDS: tuple[Kind, ...] = ("continuous", "discrete")
TYPES: Mapping[Kind, FactorType] = {"continuous": "continuous", "discrete": "ordinal"}
K = 5  # the audit paper's
SIZES = np.array([3, 4, 5, 6, 4])  # of the discrete factors: the oracle's
Columns = Float[np.ndarray, "n _"]

Ideal = Literal["best", "chance", "first", ""]
"""What a metric that can be believed says: the best of its range, its chance level, what it says of the
panel's first column (the stress should not move it), or open."""


@dataclass(frozen=True)
class Source:
    """Where a stress test draws from."""

    kind: Kind
    n: int
    generator: np.random.Generator

    def factors(self, correlation: int | float = 0.0) -> Columns:
        """(n, 5): normal with one correlation between every two; discrete ones are their quantiles' levels.

        z = √ρ c + √(1-ρ) e, c shared by all factors.
        """
        shared = np.sqrt(correlation) * self.generator.normal(size=(self.n, 1))
        z = shared + np.sqrt(1 - correlation) * self.generator.normal(size=(self.n, K))
        return z if self.kind == "continuous" else np.asarray(np.floor(norm.cdf(z) * SIZES))

    def noise(self, columns: int) -> Columns:
        """Independent of everything."""
        return self.generator.normal(size=(self.n, columns))

    def rotation(self) -> Float[np.ndarray, "5 5"]:
        """Uniform over all rotations and reflections: Q of a normal matrix with R's diagonal positive."""
        q, r = np.linalg.qr(self.generator.normal(size=(K, K)))
        return np.asarray(q * np.sign(np.diag(r)))


Draw = Callable[[Source, float], tuple[Columns, Columns]]


@dataclass(frozen=True)
class Stress:
    """A family of representations.

    Args:
        name: In the results.
        title: Over its panel.
        axis: What the levels are.
        levels: Label -> value, from harmless to hard where there is such an order.
        draw: (source, value) -> factors (n, k), codes (n, d).
        ideal: Label -> what a metric should say; one word for all labels.
        samples: Whether the value is the number of samples.
    """

    name: str
    title: str
    axis: str
    levels: Mapping[str, float]
    draw: Draw
    ideal: Mapping[str, Ideal] | Ideal
    samples: bool = False

    def ideal_of(self, label: str) -> Ideal:
        return self.ideal if isinstance(self.ideal, str) else self.ideal[label]


def standard(factors: Columns) -> Columns:
    """Mean 0 and standard deviation 1: codes that hold the factors, whatever their levels' scale."""
    spread = factors.std(axis=0)
    return np.asarray((factors - factors.mean(axis=0)) / np.where(spread > 0, spread, 1))


def givens(degrees: int | float) -> Float[np.ndarray, "5 5"]:
    """A rotation by one angle in each of the planes (0, 1), (1, 2), ... (4, 0), one after the other."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    total = np.eye(K)
    for first in range(K):
        plane = np.eye(K)
        pair = [first, (first + 1) % K]
        plane[np.ix_(pair, pair)] = [[cosine, -sine], [sine, cosine]]
        total = total @ plane
    return total


def _noise(source: Source, _: int | float) -> tuple[Columns, Columns]:
    return source.factors(), source.noise(K)


def _perfect(source: Source, _: int | float) -> tuple[Columns, Columns]:
    factors = source.factors()
    return factors, standard(factors)


def _rotated(source: Source, degrees: int | float) -> tuple[Columns, Columns]:
    factors = source.factors()
    return factors, standard(factors) @ (source.rotation() if degrees < 0 else givens(degrees))


def _correlated(source: Source, correlation: int | float) -> tuple[Columns, Columns]:
    factors = source.factors(correlation)
    return factors, standard(factors)


def _correlated_rotated(source: Source, correlation: int | float) -> tuple[Columns, Columns]:
    factors = source.factors(correlation)
    return factors, standard(factors) @ source.rotation()


def _correlated_noise(source: Source, correlation: int | float) -> tuple[Columns, Columns]:
    return source.factors(correlation), source.noise(K)


def _redundant(source: Source, duplicates: int | float) -> tuple[Columns, Columns]:
    factors = source.factors()
    return np.column_stack([factors, factors[:, : int(duplicates)]]), standard(factors)


def _copies(source: Source, times: int | float) -> tuple[Columns, Columns]:
    factors = source.factors()
    return factors, np.tile(standard(factors), int(times))


def _noise_columns(source: Source, times: int | float) -> tuple[Columns, Columns]:
    factors = source.factors()
    return factors, np.column_stack([standard(factors), source.noise(K * (int(times) - 1))])


def _dropped(source: Source, codes: int | float) -> tuple[Columns, Columns]:
    factors = source.factors()
    return factors, standard(factors)[:, : int(codes)]


MAPS: Mapping[str, Callable[[Columns], Columns]] = {
    "none": lambda z: z,
    "cube": lambda z: z**3,
    "exp": lambda z: np.exp(2 * z),
    "tanh": lambda z: np.tanh(3 * z),
    "step": lambda z: np.asarray(z > 0, dtype=float),
}


def _bent(source: Source, which: int | float) -> tuple[Columns, Columns]:
    factors = source.factors()
    return factors, list(MAPS.values())[int(which)](standard(factors))


_SAMPLES = {"50": 50.0, "100": 100.0, "300": 300.0, "1k": 1000.0, "3k": 3000.0, "10k": 10_000.0}
_RHO = {"0": 0.0, ".3": 0.3, ".6": 0.6, ".9": 0.9}
_TIMES = {"1": 1.0, "2": 2.0, "5": 5.0, "10": 10.0}

STRESSES: tuple[Stress, ...] = (
    Stress("noise", "noise codes", "samples n", _SAMPLES, _noise, "chance", samples=True),
    Stress("perfect", "perfect codes", "samples n", _SAMPLES, _perfect, "best", samples=True),
    Stress(
        "rotation",
        "rotated codes",
        "degrees",
        {"0": 0.0, "5": 5.0, "15": 15.0, "30": 30.0, "45": 45.0, "any": -1.0},
        _rotated,
        {"0": "best", "5": "", "15": "", "30": "", "45": "", "any": ""},
    ),
    Stress("correlated", "correlated factors,\nperfect codes", "correlation ρ", _RHO, _correlated, "best"),
    Stress(
        "correlated_rotated",
        "correlated factors,\nany rotation",
        "correlation ρ",
        _RHO,
        _correlated_rotated,
        {"0": "", ".3": "first", ".6": "first", ".9": "first"},
    ),
    Stress("correlated_noise", "correlated factors,\nnoise codes", "correlation ρ", _RHO, _correlated_noise, "chance"),
    Stress(
        "redundant",
        "factors given twice,\nperfect codes",
        "factors doubled",
        {"0": 0.0, "1": 1.0, "3": 3.0, "5": 5.0},
        _redundant,
        "best",
    ),
    Stress(
        "copies",
        "copied codes",
        "d / k",
        _TIMES,
        _copies,
        {"1": "best", "2": "", "5": "", "10": ""},
    ),
    Stress("noise_columns", "perfect codes\nand noise codes", "d / k", _TIMES, _noise_columns, "best"),
    Stress(
        "dropped",
        "dropped codes",
        "codes left, k = 5",
        {"5": 5.0, "4": 4.0, "3": 3.0, "2": 2.0, "1": 1.0},
        _dropped,
        {"5": "best", "4": "", "3": "", "2": "", "1": ""},
    ),
    Stress(
        "elementwise",
        "each code bent",
        "map",
        {name: float(index) for index, name in enumerate(MAPS)},
        _bent,
        {"none": "best", "cube": "best", "exp": "best", "tanh": "best", "step": ""},
    ),
)
