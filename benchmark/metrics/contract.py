"""What every metric declares, takes and returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import ThreadpoolController

from unmix.factors import FACTOR_TYPES, FactorType
from unmix.registry import METRICS

# Of a column's spread, and its inverse of a column's size: squares still have all of their digits.
TINY = 1e-100


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
        chance: Value on codes independent of the factors as n grows: a number, a function of k, or None
            where it has no fixed limit.
        rate: Exponent p of the n^-p by which the value on such codes approaches chance: 1 for fits and
            mutual information, 0.5 for absolute correlations. Irrelevant where chance is None.
        attained: Whether codes equal to the factors score the best of the range; some metrics never let
            them (SAP's linear classifier cannot pick out a middle level).
        accepts: Factor types that it is defined for.
        blind: What it cannot see, in a sentence.
        reference: Paper, section or equation.
        invariances: Of the codes, tested: "permutation", "sign", "scale", "shift", "monotone" (increasing
            maps), "affine" (invertible linear maps of all codes with an offset).
        seeded: Whether it takes `seed`; the others are deterministic.
        periods: Whether it takes `factor_periods`, that is, sees periodic factors as angles.
        blocks: Whether it needs `content`, the columns of the content factors.
        fooled_by_noise: Whether the score of codes that equal the factors lies within two standard deviations
            of the noise floor: codes that know nothing score as high now and then.
        default: Whether it belongs to the default set of `unmix score`.
    """

    name: str
    function: Callable[..., Score]
    settings: Mapping[str, Any]
    range: tuple[float, float]
    direction: int
    chance: float | Callable[[int], float] | None
    accepts: tuple[FactorType, ...]
    blind: str
    reference: str
    invariances: tuple[str, ...] = ()
    rate: float = 1.0
    attained: bool = True
    seeded: bool = False
    periods: bool = False
    blocks: bool = False
    fooled_by_noise: bool = False
    default: bool = True

    @property
    def caveat(self) -> str:
        """What belongs beside its every score, in words; "" for nothing."""
        said = "noise can score as high as perfect codes: read it beside its noise floor"
        return said if self.fooled_by_noise else ""

    def __call__(
        self,
        factors: ArrayLike,
        codes: ArrayLike,
        *,
        factor_types: Sequence[FactorType] | None = None,
        factor_periods: Sequence[float | None] | None = None,
        content: Sequence[int] | None = None,
        seed: int = 0,
    ) -> Score:
        """Score codes (n, d) against factors (n, k); metrics without seed, periods or content ignore them.

        In one thread: matrices are small, on a busy machine threads that wait for each other take ten times
        as long, and the last digits are the same on any number of cores.
        """
        extra: dict[str, Any] = {"seed": seed} if self.seeded else {}
        if self.periods:
            extra["factor_periods"] = factor_periods
        if self.blocks:
            extra["content"] = content
        with _libraries().limit(limits=1):
            score = self.function(factors, codes, factor_types=factor_types, **self.settings, **extra)
        return Score(
            score,
            variant=self.name,
            shape=(score.n, score.d, score.k),
            warnings=score.warnings,
            details=score.details,
        )


@cache
def _libraries() -> ThreadpoolController:
    """Linear algebra and OpenMP, as far as they are loaded: at a first score they are."""
    return ThreadpoolController()


def metric(
    variants: Mapping[str, Mapping[str, Any]],
    *,
    range: tuple[float, float],
    direction: int = 1,
    chance: float | Callable[[int], float] | None = 0.0,
    accepts: Sequence[FactorType] = FACTOR_TYPES,
    blind: str,
    reference: str,
    invariances: Sequence[str] = (),
    rate: float = 1.0,
    attained: bool = True,
    fooled_by_noise: bool = False,
    default: Sequence[str] | None = None,
) -> Callable[[Callable[..., Score]], Callable[..., Score]]:
    """Register a function under each of its variants' names; `default` names those of the default set."""

    def add(function: Callable[..., Score]) -> Callable[..., Score]:
        takes = inspect.signature(function).parameters
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
                    rate=rate,
                    attained=attained,
                    seeded="seed" in takes,
                    periods="factor_periods" in takes,
                    blocks="content" in takes,
                    fooled_by_noise=fooled_by_noise,
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
        factor_periods: One a kept factor, None for what is not periodic or was not told.
    """

    factors: np.ndarray
    codes: np.ndarray
    factor_types: tuple[FactorType, ...]
    dead: np.ndarray
    warnings: tuple[str, ...] = field(default=())
    factor_periods: tuple[float | None, ...] = field(default=())

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
    factor_periods: Sequence[float | None] | None = None,
) -> Checked:
    """Turn what a caller gave into arrays that a metric can trust, or refuse with the reason.

    One-dimensional input counts as one column. Factor types default to "continuous". Fewer than ten samples
    a column (of factors or codes, whichever has more) are worth a warning.

    Raises:
        InputError: Different lengths, empty, fewer than `min_samples` rows, not numeric, NaN or infinite
            entries or such as have no square (the column is named), every factor constant, a factor type that
            is not accepted, a period that is not positive.
    """
    factors, codes = _numeric(factors, "factors"), _numeric(codes, "codes")
    if len(factors) != len(codes):
        raise InputError(f"factors have {len(factors)} rows and codes {len(codes)}: they must be the same samples")
    if len(factors) < min_samples:
        raise InputError(f"{len(factors)} samples are too few: at least {min_samples} are needed")
    types: tuple[FactorType, ...] = tuple(factor_types or ("continuous",) * factors.shape[1])
    if len(types) != factors.shape[1]:
        raise InputError(f"{len(types)} factor types were given for {factors.shape[1]} factors: give one each")
    periods: tuple[float | None, ...] = tuple(factor_periods or (None,) * factors.shape[1])
    if len(periods) != factors.shape[1]:
        raise InputError(f"{len(periods)} periods were given for {factors.shape[1]} factors: give one each, or None")
    for column, (kind, period) in enumerate(zip(types, periods, strict=True)):
        if kind not in accepts:
            raise InputError(f"factor {column} is {kind}: this metric takes {', '.join(accepts)}")
        if period is not None and not 0 < period < np.inf:
            raise InputError(f"factor {column} has period {period}: a period is a positive number")
    varies = np.ptp(factors, axis=0) > 0
    if not varies.any():
        raise InputError("every factor is constant: there is nothing to identify")
    warnings = []
    if not varies.all():
        warnings.append(f"constant factors dropped: {np.flatnonzero(~varies).tolist()}")
    dead = np.flatnonzero(np.ptp(codes, axis=0) == 0)
    if len(dead):
        warnings.append(f"dead (constant) codes: {dead.tolist()}")
    if len(factors) < 10 * max(factors.shape[1], codes.shape[1]):
        warnings.append(f"n = {len(factors)} samples are few for d = {codes.shape[1]} and k = {int(varies.sum())}")
    return Checked(
        factors=factors[:, varies],
        codes=codes,
        factor_types=tuple(kind for kind, keep in zip(types, varies, strict=True) if keep),
        dead=dead,
        warnings=tuple(warnings),
        factor_periods=tuple(period for period, keep in zip(periods, varies, strict=True) if keep),
    )


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
    with np.errstate(over="ignore"):
        sizes, spread = np.abs(array).max(axis=0), np.ptp(array, axis=0)
    extreme = np.flatnonzero((sizes > 1 / TINY) | ((spread > 0) & (spread < TINY)))
    if len(extreme):
        raise InputError(
            f"{what} have values beyond {1 / TINY:g}, or that differ by less than {TINY:g}, in column "
            f"{extreme.tolist()}: their squares are no numbers, rescale them"
        )
    return array
