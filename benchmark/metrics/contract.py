"""What every metric declares, takes and returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from unmix.registry import METRICS
from unmix.types import FACTOR_TYPES, FactorType


class InputError(ValueError):
    """Codes or factors that cannot be scored; the message names the column and says what to do."""


class Score(float):
    """A value that knows how it was computed: a float with attributes.

    Attributes:
        variant: Full name with every setting that moves the value: "mcc(spearman)".
        n, d, k: Samples, codes and factors that it was computed from, after constant factors were dropped.
        warnings: Caveats that belong beside the number: small n for d, dropped factors, dead codes.
        details: What else the metric computed, by name: per-factor scores, the assignment.
    """

    variant: str
    n: int
    d: int
    k: int
    warnings: tuple[str, ...]
    details: Mapping[str, Any]

    def __new__(
        cls,
        value: float,
        *,
        variant: str = "",
        shape: tuple[int, int, int] = (0, 0, 0),
        warnings: Sequence[str] = (),
        details: Mapping[str, Any] | None = None,
    ) -> Score:
        score = super().__new__(cls, value)
        score.variant = variant
        score.n, score.d, score.k = shape
        score.warnings = tuple(warnings)
        score.details = dict(details or {})
        return score


@dataclass(frozen=True)
class Metric:
    """A registered variant of a metric and what it declares; the contract test proves each declaration.

    Args:
        name: Registered name, variant included: "dci(gbt)".
        function: (factors (n, k), codes (n, d), *, factor_types=None, **settings) -> Score, in the order
            of scikit-learn's (y_true, y_pred).
        settings: The keyword arguments that make this variant.
        range: Lowest and highest possible value.
        direction: +1 when higher is better, -1 when lower is.
        chance: Value on codes independent of the factors as n grows; None where it has no fixed limit.
        accepts: Factor types that it is defined for.
        blind: What it cannot see, in a sentence.
        reference: Paper, section or equation.
        invariances: Of the codes, tested: "permutation", "sign", "scale", "shift", "monotone", "affine".
        seeded: Whether it takes `seed`; the others are deterministic.
        default: Whether it belongs to the default set of `unmix score`.
    """

    name: str
    function: Callable[..., Score]
    settings: Mapping[str, Any]
    range: tuple[float, float]
    direction: int
    chance: float | None
    accepts: tuple[FactorType, ...]
    blind: str
    reference: str
    invariances: tuple[str, ...] = ()
    seeded: bool = False
    default: bool = True

    def __call__(
        self,
        factors: ArrayLike,
        codes: ArrayLike,
        *,
        factor_types: Sequence[FactorType] | None = None,
        seed: int = 0,
    ) -> Score:
        """Score codes (n, d) against factors (n, k)."""
        extra = {"seed": seed} if self.seeded else {}
        score = self.function(factors, codes, factor_types=factor_types, **self.settings, **extra)
        return Score(
            score,
            variant=self.name,
            shape=(score.n, score.d, score.k),
            warnings=score.warnings,
            details=score.details,
        )


def metric(
    variants: Mapping[str, Mapping[str, Any]],
    *,
    range: tuple[float, float],
    direction: int = 1,
    chance: float | None = 0.0,
    accepts: Sequence[FactorType] = FACTOR_TYPES,
    blind: str,
    reference: str,
    invariances: Sequence[str] = (),
    default: Sequence[str] | None = None,
) -> Callable[[Callable[..., Score]], Callable[..., Score]]:
    """Register a function under each of its variants' names; `default` names those of the default set."""

    def add(function: Callable[..., Score]) -> Callable[..., Score]:
        seeded = "seed" in inspect.signature(function).parameters
        for name, settings in variants.items():
            METRICS.register(name)(
                Metric(
                    name=name,
                    function=function,
                    settings=dict(settings),
                    range=range,
                    direction=direction,
                    chance=chance,
                    accepts=tuple(accepts),
                    blind=blind,
                    reference=reference,
                    invariances=tuple(invariances),
                    seeded=seeded,
                    default=default is None or name in default,
                )
            )
        return function

    return add


@dataclass(frozen=True)
class Checked:
    """Arrays that passed the checks, with what was dropped or is worth a warning.

    Attributes:
        factors: (n, k) float64, constant columns dropped.
        codes: (n, d) float64, dead (constant) columns kept.
        factor_types: One a kept factor.
        dead: Indices of the constant codes.
        warnings: In words.
    """

    factors: np.ndarray
    codes: np.ndarray
    factor_types: tuple[FactorType, ...]
    dead: np.ndarray
    warnings: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int, int]:
        """n, d, k."""
        return self.factors.shape[0], self.codes.shape[1], self.factors.shape[1]


def check(
    factors: ArrayLike,
    codes: ArrayLike,
    factor_types: Sequence[FactorType] | None = None,
    *,
    accepts: Sequence[FactorType] = FACTOR_TYPES,
    min_samples: int = 2,
) -> Checked:
    """Turn what a caller gave into arrays that a metric can trust, or refuse with the reason.

    One-dimensional input counts as one column. Factor types default to "continuous".

    Raises:
        InputError: Different lengths, empty, fewer than `min_samples` rows, not numeric, NaN or infinite
            entries (the column is named), every factor constant, a factor type that is not accepted.
    """
    factors, codes = _numeric(factors, "factors"), _numeric(codes, "codes")
    if len(factors) != len(codes):
        raise InputError(f"factors have {len(factors)} rows and codes {len(codes)}: they must be the same samples")
    if len(factors) < min_samples:
        raise InputError(f"{len(factors)} samples are too few: at least {min_samples} are needed")
    types: tuple[FactorType, ...] = tuple(factor_types or ("continuous",) * factors.shape[1])
    if len(types) != factors.shape[1]:
        raise InputError(f"{len(types)} factor types were given for {factors.shape[1]} factors: give one each")
    for column, kind in enumerate(types):
        if kind not in accepts:
            raise InputError(f"factor {column} is {kind}: this metric takes {', '.join(accepts)}")
    varies = np.ptp(factors, axis=0) > 0
    if not varies.any():
        raise InputError("every factor is constant: there is nothing to identify")
    warnings = []
    if not varies.all():
        warnings.append(f"constant factors dropped: {np.flatnonzero(~varies).tolist()}")
    dead = np.flatnonzero(np.ptp(codes, axis=0) == 0)
    if len(dead):
        warnings.append(f"dead (constant) codes: {dead.tolist()}")
    kept = tuple(kind for kind, keep in zip(types, varies, strict=True) if keep)
    return Checked(factors[:, varies], codes, kept, dead, tuple(warnings))


def _numeric(values: ArrayLike, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} have dtype {array.dtype}: give real numbers (encode labels as integers)")
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise InputError(f"{what} have shape {array.shape}: give a matrix (n samples, columns)")
    if array.size == 0:
        raise InputError(f"{what} are empty: shape {array.shape}")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=0))
    if len(bad):
        raise InputError(f"{what} have NaN or infinite values in column {bad.tolist()}: drop or repair those samples")
    return array
