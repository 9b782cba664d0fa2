"""Gaps and shares of mutual information between codes and factors: MIG and its family, modularity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from unmix.factors import FactorType
from unmix.metrics.bins import equal_width
from unmix.metrics.contract import Checked, Score, check, metric
from unmix.metrics.mutual_information import (
    entropy,
    factor_labels,
    joint_entropy,
    mutual_information,
    neighbour_information,
    quantile_bins,
)

Scheme = Literal["width", "quantile"]
Normaliser = Literal["factor", "code"]
Matrix = Float[np.ndarray, "k d"]

_SEEN = ("permutation", "sign", "scale", "shift")
_BINNED = "One row far away stretches all bins; relations finer than a bin are lost."


def binned(
    checked: Checked, bins: int, scheme: Scheme = "width", bin_factors: bool = False
) -> tuple[Int[np.ndarray, "n k"], Int[np.ndarray, "n d"]]:
    """Labels of the factors (n, k) and of the codes (n, d)."""
    factors = factor_labels(checked, bins, all_types=bin_factors)
    codes = equal_width(checked.codes, bins) if scheme == "width" else quantile_bins(checked.codes, bins)
    return factors, codes


def gap(values: Matrix, axis: int) -> Float[np.ndarray, " rest"]:
    """Largest minus second largest along an axis; with only one there, its rival is 0."""
    ordered = np.sort(values, axis=axis)
    top = ordered.take(-1, axis=axis)
    rival = ordered.take(-2, axis=axis) if values.shape[axis] > 1 else 0.0
    difference: np.ndarray = top - rival
    return difference


def share(part: np.ndarray, whole: np.ndarray | float) -> np.ndarray:
    """part / whole, 0 where there is nothing to share."""
    shape = np.broadcast_shapes(part.shape, np.shape(whole))
    ratio: np.ndarray = np.divide(part, whole, out=np.zeros(shape), where=np.broadcast_to(whole, shape) > 0)
    return ratio


@metric(
    {"mig(quantile)": {"scheme": "quantile"}},
    range=(0.0, 1.0),
    blind="How a factor is coded, beyond which code informs most about it; relations finer than a bin.",
    reference="Chen et al. 2018, equation 6, over bins of equal mass",
    invariances=("permutation", "scale", "shift", "monotone"),
)
@metric(
    {
        "mig": {},
        "mig(bins=10)": {"bins": 10},
        "mig(bin_factors)": {"bin_factors": True},
        "mig(normaliser=code)": {"normaliser": "code"},
        "mig(bins=10,normaliser=code)": {"bins": 10, "normaliser": "code"},
    },
    range=(0.0, 1.0),
    blind=f"How a factor is coded, beyond which code informs most about it. {_BINNED}",
    reference="Chen et al. 2018, equation 6; disentanglement_lib mig.py (20 bins of equal width)",
    invariances=_SEEN,
    default=["mig"],
)
def mig(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
    scheme: Scheme = "width",
    normaliser: Normaliser = "factor",
    bin_factors: bool = False,
) -> Score:
    """Mutual information gap: how much more the best code tells about a factor than the second best.

    MIG = 1/k Σ_i [I(z_i; c_a) - I(z_i; c_b)] / H(z_i), a and b the codes of the largest and second largest
    information about z_i. Codes are cut into bins; so are continuous and periodic factors, while levels of
    categorical and ordinal ones are kept.

    Range [0, 1], higher is better; chance 0 as n grows (binning's bias leaves about 1 / n). With a single
    code the second best is 0; a dead code informs about nothing. Even perfect codes score below 1 where a
    factor has more levels than there are bins. It cannot see how a factor is coded.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        bins: Of each code, and of each factor without levels.
        scheme: Bins of equal "width", or of equal mass ("quantile": no increasing map of a code matters).
        normaliser: Entropy of the "factor" (the paper), or of the "code" (Ubisoft's 2020 review).
        bin_factors: Cut levels into bins of equal width as well (disentangling-correlated-factors).

    Returns:
        The score; details: per_factor (k,), mutual_information (k, d) in nats.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(5000, 2))
        >>> print(f"{mig(factors, factors):.2f} {mig(factors, factors @ [[1, 1], [1, -1]]):.2f}")
        0.99 0.01
    """
    checked = check(factors, codes, factor_types)
    z, c = binned(checked, bins, scheme, bin_factors)
    information = mutual_information(z, c)
    weights = entropy(c) if normaliser == "code" else entropy(z)[:, None]
    per_factor = gap(share(information, weights), axis=1)
    details = {"per_factor": per_factor, "mutual_information": information}
    return Score(per_factor.mean(), shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"mig(ksg)": {}},
    range=(0.0, 1.0),
    accepts=("categorical", "ordinal", "continuous"),
    blind="How a factor is coded, beyond which code informs most about it.",
    reference="Ross 2014; Kraskov et al. 2004, equation 8; Linfoot 1957 for continuous factors",
    invariances=_SEEN,
    rate=0.5,
    attained=False,
)
def mig_neighbours(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    neighbours: int = 3,
    seed: int = 0,
) -> Score:
    """MIG of real codes by nearest neighbours: no bins, and no outlier that stretches them.

    For factors with levels as `mig`, each information estimated by Ross's estimator and held to [0, H(z_i)].
    A continuous factor has no finite entropy: there the gap is of Linfoot's coefficient
    sqrt(1 - exp(-2 I)), which is the absolute correlation where both are normal.

    Range [0, 1], higher is better; chance 0 as n grows. Degenerate input as in `mig`. It cannot see how a
    factor is coded.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        neighbours: Of the estimators.
        seed: Of the jitter that separates equal values.

    Returns:
        The score; details: per_factor (k,), mutual_information (k, d) in nats.

    Raises:
        InputError: As `check`; a periodic factor.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(2000, 2)).astype(float)
        >>> print(f"{mig_neighbours(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        0.99
    """
    checked = check(factors, codes, factor_types, accepts=("categorical", "ordinal", "continuous"))
    information = neighbour_information(checked, neighbours, seed)
    real = np.array([kind == "continuous" for kind in checked.factor_types])[:, None]
    ceiling = entropy(factor_labels(checked, bins=1))[:, None]
    coefficients = np.where(real, np.sqrt(1 - np.exp(-2 * information)), np.minimum(share(information, ceiling), 1.0))
    per_factor = gap(coefficients, axis=1)
    details = {"per_factor": per_factor, "mutual_information": information}
    return Score(per_factor.mean(), shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"mig_sup": {}, "mig_sup(bins=10)": {"bins": 10}},
    range=(0.0, 1.0),
    blind=f"A factor that no code holds, or that many share. {_BINNED}",
    reference="Li et al. 2020, equation 7",
    invariances=_SEEN,
    default=["mig_sup"],
)
def mig_sup(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
) -> Score:
    """MIG with the roles swapped: how much more a code tells about its best factor than about the second.

    MIG-sup = 1/d Σ_j [I(z_a; c_j) - I(z_b; c_j)] / H(c_j), a and b the factors of the largest and second
    largest information in c_j. Bins as in `mig`.

    Range [0, 1], higher is better; chance 0 as n grows. A dead code counts 0; with a single factor the second
    is 0. Codes with noise score below 1, for H(c_j) holds the noise too. It cannot see factors without a
    code.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        bins: Of each code, and of each factor without levels.

    Returns:
        The score; details: per_code (d,), mutual_information (k, d) in nats.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(5000, 2))
        >>> print(f"{mig_sup(factors, factors):.2f}")
        0.99
    """
    checked = check(factors, codes, factor_types)
    z, c = binned(checked, bins)
    information = mutual_information(z, c)
    per_code = gap(share(information, entropy(c)), axis=0)
    details = {"per_code": per_code, "mutual_information": information}
    return Score(per_code.mean(), shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"jemmig": {}, "jemmig(bins=10)": {"bins": 10}},
    range=(0.0, 1.0),
    chance=None,
    blind=f"Factors beyond the best that a code holds, unless they blur the best. {_BINNED}",
    reference="Do & Tran 2020, section 3.3; normalised as in Carbonneau et al. 2022, section 4",
    invariances=_SEEN,
    default=["jemmig"],
)
def jemmig(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
) -> Score:
    """Joint entropy minus mutual information gap, turned so that more is better.

    JEMMIG = 1/k Σ_i 1 - [H(z_i, c_a) - I(z_i; c_a) + I(z_i; c_b)] / [H(z_i) + log bins], a and b the codes of
    the largest and second largest information about z_i. Bins as in `mig`. Unlike MIG it falls when the best
    code also varies with something else.

    Range [0, 1], higher is better. Its chance level is not fixed: 1 - [H(z) + H(c)] / [H(z) + log bins], above
    0 for codes that do not fill their bins evenly; compare with the noise floor. A factor that no code
    knows anything about, and so one of dead codes alone, counts 0.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        bins: Of each code, and of each factor without levels.

    Returns:
        The score; details: per_factor (k,), mutual_information (k, d) in nats.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(5000, 2)).astype(float)
        >>> print(f"{jemmig(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types)
    z, c = binned(checked, bins)
    information, joint = mutual_information(z, c), joint_entropy(z, c)
    each = np.arange(len(information))
    blur = joint[each, information.argmax(axis=1)] - gap(information, axis=1)
    known = information.max(axis=1) > 0
    per_factor = np.where(known, np.clip(1 - blur / (entropy(z) + np.log(bins)), 0.0, 1.0), 0.0)
    details = {"per_factor": per_factor, "mutual_information": information}
    return Score(per_factor.mean(), shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"dcimig": {}, "dcimig(bins=10)": {"bins": 10}},
    range=(0.0, 1.0),
    blind=f"Codes beyond the one with the widest gap for a factor. {_BINNED}",
    reference="Sepliarskaia et al. 2019 (3CharM / DCIMIG), section 5",
    invariances=_SEEN,
    default=["dcimig"],
)
def dcimig(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
) -> Score:
    """DCI-MIG: each factor's widest gap among the codes that know it best, over all there is to know.

    A code's gap G_j = I(z_a; c_j) - I(z_b; c_j) belongs to its best factor a; the score is
    Σ_i max_{j: a_j = i} G_j / Σ_i H(z_i). Bins as in `mig`.

    Range [0, 1], higher is better; chance 0 as n grows. A factor that is no code's best adds 0, and so does a
    dead code. It cannot see further codes of a factor.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        bins: Of each code, and of each factor without levels.

    Returns:
        The score; details: per_factor (k,) gaps in nats, mutual_information (k, d) in nats.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(5000, 2))
        >>> print(f"{dcimig(factors, factors):.2f}")
        0.99
    """
    checked = check(factors, codes, factor_types)
    z, c = binned(checked, bins)
    information = mutual_information(z, c)
    owned = information.argmax(axis=0) == np.arange(len(information))[:, None]
    per_factor = np.where(owned, gap(information, axis=0), 0.0).max(axis=1)
    details = {"per_factor": per_factor, "mutual_information": information}
    value = per_factor.sum() / entropy(z).sum()
    return Score(value, shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"modularity": {}, "modularity(bins=10)": {"bins": 10}, "modularity(bin_factors)": {"bin_factors": True}},
    range=(0.0, 1.0),
    chance=None,
    blind=f"How much a code knows: ratios of almost nothing count in full. {_BINNED}",
    reference="Ridgeway & Mozer 2018, equation 2; disentanglement_lib modularity_explicitness.py",
    invariances=_SEEN,
    default=["modularity"],
)
def modularity(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
    bin_factors: bool = False,
) -> Score:
    """Whether each code knows about one factor only.

    Modularity = 1/d Σ_j 1 - Σ_{i != a} I(z_i; c_j)² / [(k - 1) I(z_a; c_j)²], a the factor that c_j knows most
    about. Bins as in `mig`.

    Range [0, 1], higher is better. Its chance level is not fixed and far from 0: noise codes share their tiny
    informations unevenly (0.57 on five factors), so compare with the noise floor. A code without information,
    and so a dead one, counts 0; with a single factor every other code counts 1.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        bins: Of each code, and of each factor without levels.
        bin_factors: Cut levels into bins of equal width as well (disentangling-correlated-factors).

    Returns:
        The score; details: per_code (d,), mutual_information (k, d) in nats.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(5000, 2))
        >>> print(f"{modularity(factors, factors):.2f} {modularity(factors, factors @ [[1, 1], [1, -1]]):.2f}")
        1.00 0.04
    """
    checked = check(factors, codes, factor_types)
    information = mutual_information(*binned(checked, bins, bin_factors=bin_factors))
    squares = information**2
    largest = squares.max(axis=0)
    others = share(squares.sum(axis=0) - largest, largest * max(len(squares) - 1, 1))
    per_code = np.where(largest > 0, 1 - others, 0.0)
    details = {"per_code": per_code, "mutual_information": information}
    return Score(per_code.mean(), shape=checked.shape, warnings=checked.warnings, details=details)
