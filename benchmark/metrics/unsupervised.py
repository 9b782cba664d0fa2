"""Scores of the codes alone: how dependent on each other they are. They need no factors and see none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from unmix.factors import FactorType
from unmix.metrics.bins import equal_width
from unmix.metrics.contract import Checked, InputError, Score, check, metric
from unmix.metrics.mutual_information import mutual_information

_BLIND = "The factors: noise and perfect codes score the same."
_PAPER = "Locatello et al. 2019, section 5.4 and appendix; disentanglement_lib unsupervised_metrics.py"


def _correlation(checked: Checked) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, " d"]]:
    """Correlation matrix and variances of the codes that vary."""
    n = checked.shape[0]
    active = np.delete(checked.codes, checked.dead, axis=1)
    d = active.shape[1]
    if d >= n:
        raise InputError(f"{n} samples do not determine the covariance of {d} codes: give more than {d}")
    centred = active - active.mean(axis=0)
    variance = (centred**2).sum(axis=0) / (n - 1)
    units = centred / np.sqrt(variance)
    return units.T @ units / (n - 1), variance


@metric(
    {"gaussian_total_correlation": {}},
    range=(0.0, np.inf),
    direction=-1,
    blind=_BLIND + " Dependence that leaves codes uncorrelated.",
    reference=_PAPER,
    invariances=("permutation", "sign", "scale", "shift"),
)
def gaussian_total_correlation(
    factors: ArrayLike, codes: ArrayLike, *, factor_types: Sequence[FactorType] | None = None
) -> Score:
    """Total correlation of a normal distribution with the codes' covariance Σ, in nats.

    TC = ½ (Σ_i log Σ_ii - log det Σ) = -½ log det of the correlation matrix.

    Range [0, inf), lower is better; chance 0 as n grows (d(d-1)/(4n) at finite n), for it looks at codes
    alone. Constant codes are left out; fewer than two others score 0. Codes that determine each other
    linearly (a copy) score inf. It cannot see the factors.

    Args:
        factors: (n, k), checked and otherwise unused.
        codes: (n, d).
        factor_types: One a factor, unused.

    Raises:
        InputError: As `check`; d >= n.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(1000, 2))
        >>> print(f"{gaussian_total_correlation(factors, factors @ [[1, 1], [0, 1]]):.2f}")
        0.36
    """
    checked = check(factors, codes, factor_types)
    correlation, _ = _correlation(checked)
    eigenvalues = np.linalg.eigvalsh(correlation) if len(correlation) else np.ones(1)
    tiny = len(eigenvalues) * np.finfo(float).eps * eigenvalues[-1]
    if eigenvalues[0] <= 10 * tiny:
        said = "codes determine each other linearly: the total correlation is infinite"
        return Score(np.inf, shape=checked.shape, warnings=[*checked.warnings, said])
    value = max(-0.5 * np.log(eigenvalues).sum(), 0.0)
    return Score(value, shape=checked.shape, warnings=checked.warnings)


@metric(
    {
        "gaussian_wasserstein_correlation": {},
        "gaussian_wasserstein_correlation(normalised)": {"normalised": True},
    },
    range=(0.0, np.inf),
    direction=-1,
    blind=_BLIND + " Dependence that leaves codes uncorrelated.",
    reference=_PAPER,
    invariances=("permutation", "sign", "shift"),
    default=["gaussian_wasserstein_correlation(normalised)"],
)
def gaussian_wasserstein_correlation(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    normalised: bool = False,
) -> Score:
    """Squared 2-Wasserstein distance of N(0, Σ) and the product of its marginals, Σ the codes' covariance.

    W = 2 tr Σ - 2 tr (D^½ Σ D^½)^½ with D = diag Σ; normalised: W / tr Σ.

    Range [0, inf), lower is better; chance 0 as n grows, for it looks at codes alone. Constant codes add
    nothing. Codes of a large scale count more. It cannot see the factors.

    Args:
        factors: (n, k), checked and otherwise unused.
        codes: (n, d).
        factor_types: One a factor, unused.
        normalised: Divide by the codes' total variance.

    Raises:
        InputError: As `check`; d >= n.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(1000, 2))
        >>> print(f"{gaussian_wasserstein_correlation(factors, factors @ [[1, 1], [0, 1]]):.2f}")
        0.42
    """
    checked = check(factors, codes, factor_types)
    correlation, variance = _correlation(checked)
    if not len(variance):
        return Score(0.0, shape=checked.shape, warnings=checked.warnings)
    # D^½ Σ D^½ = D corr D: symmetric, so its square root's trace is the sum of the eigenvalues' roots.
    eigenvalues = np.linalg.eigvalsh(variance[:, None] * correlation * variance)
    value = max(2 * variance.sum() - 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum(), 0.0)
    return Score(value / variance.sum() if normalised else value, shape=checked.shape, warnings=checked.warnings)


@metric(
    {"mutual_information_score": {}},
    range=(0.0, np.inf),
    direction=-1,
    blind=_BLIND + " Dependence of three codes that is in no pair. Inflated at small n.",
    reference=_PAPER,
    invariances=("permutation", "sign", "scale", "shift"),
)
def mutual_information_score(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
) -> Score:
    """Mean mutual information of two different codes, each cut into bins of equal width, in nats.

    MI = 1/(d² - d) Σ_{i≠j} I(b_i; b_j) of the plug-in estimate; constant codes count with 0.

    Range [0, log bins], lower is better; chance 0 as n grows, at finite n about (bins - 1)²/(2n). One code
    scores 0. It cannot see the factors.

    Args:
        factors: (n, k), checked and otherwise unused.
        codes: (n, d).
        factor_types: One a factor, unused.
        bins: Between the extremes of each code.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(5000, 2))
        >>> print(f"{mutual_information_score(factors, factors @ [[1, 1], [0, 1]]):.2f}")
        0.34
    """
    checked = check(factors, codes, factor_types)
    d = checked.shape[1]
    if d == 1:
        return Score(0.0, shape=checked.shape, warnings=checked.warnings)
    labels = equal_width(checked.codes, bins)
    information = mutual_information(labels, labels)
    value = (information.sum() - np.trace(information)) / (d**2 - d)
    return Score(max(value, 0.0), shape=checked.shape, warnings=checked.warnings)
