"""MCC: mean correlation of each factor with the one code that is assigned to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from unmix.factors import FactorType
from unmix.metrics.contract import Checked, Score, check, metric
from unmix.metrics.regression import halves, least_squares
from unmix.metrics.split import Split

Correlation = Literal["pearson", "spearman", "rdc"]
Columns = Float[np.ndarray, "n columns"]
Factors = Float[np.ndarray, "n k"]
Codes = Float[np.ndarray, "n d"]
Table = Float[np.ndarray, "k d"]


def standardise(columns: Columns) -> Columns:
    """Columns of mean 0 and norm 1; constant ones become 0, so that they correlate with nothing."""
    centred = columns - columns.mean(axis=0)
    # The mean of a constant column is off by an ulp: what is left must not be blown up to norm 1.
    centred[:, np.ptp(columns, axis=0) == 0] = 0
    norm = np.linalg.norm(centred, axis=0)
    unit: np.ndarray = centred / np.where(norm > 0, norm, 1.0)
    return unit


def pearson(factors: Factors, codes: Codes) -> Table:
    """Correlation of each factor with each code; 0 for a constant one."""
    table: np.ndarray = np.clip(standardise(factors).T @ standardise(codes), -1, 1)
    return table


def spearman(factors: Factors, codes: Codes) -> Table:
    """Rank correlation, ties at their mean rank."""
    return pearson(rankdata(factors, axis=0), rankdata(codes, axis=0))


def rdc(factors: Factors, codes: Codes, seed: int, features: int = 20, width: float = 6.0) -> Table:
    """Randomised dependence coefficient of each factor with each code (Lopez-Paz et al. 2013, section 4).

    The largest canonical correlation of `features` random sines of the two columns' ranks, the arguments
    normal with variance 1/`width` a coordinate of (rank, 1).
    """
    generator = np.random.default_rng(seed)
    left, right = (_sines(columns, features, width, generator) for columns in (factors, codes))
    cross = np.matmul(left[:, None].swapaxes(-1, -2), right[None])
    table: np.ndarray = np.clip(np.linalg.svd(cross, compute_uv=False)[..., 0], 0, 1)
    return table


def _sines(
    columns: Columns, features: int, width: float, generator: np.random.Generator
) -> Float[np.ndarray, "columns n features"]:
    """Orthonormal basis of the centred random features of each column; zeros beyond their rank."""
    ranks = rankdata(columns, method="max", axis=0).T / len(columns)
    weights, offsets = generator.normal(size=(2, len(ranks), 1, features)) / np.sqrt(width)
    waves = np.sin(ranks[..., None] * weights + offsets)
    basis, singular, _ = np.linalg.svd(waves - waves.mean(axis=1, keepdims=True), full_matrices=False)
    kept = singular > max(len(columns), features) * np.finfo(float).eps * np.maximum(singular[:, :1], 1)
    orthonormal: np.ndarray = basis * kept[:, None]
    return orthonormal


def match(table: Table) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Factors and codes paired one to one with the largest sum of absolute correlations."""
    return linear_sum_assignment(-np.abs(table))  # type: ignore[no-any-return]


def _correlate(kind: Correlation, seed: int) -> Callable[[Factors, Codes], Table]:
    if kind == "rdc":
        return lambda factors, codes: rdc(factors, codes, seed)
    return {"pearson": pearson, "spearman": spearman}[kind]


def _plain_numbers(checked: Checked) -> list[str]:
    """Warnings, and one more for each factor that correlation takes as a plain number though it is none."""
    advice = {
        "periodic": "taken as plain numbers (mcc(circular) sees angles)",
        "categorical": "taken as numbers in the order of their labels",
    }
    found = [(kind, [index for index, other in enumerate(checked.factor_types) if other == kind]) for kind in advice]
    return [*checked.warnings, *(f"{kind} factors {which} {advice[kind]}" for kind, which in found if which)]


_SEEN = ("permutation", "sign", "scale", "shift")
_BLIND = "Factors that are spread over several codes, and what the codes hold besides the factors."
_IN_SAMPLE = " In-sample: inflated on noise when d is large for n."
_PAPER = "Hyvärinen and Morioka 2016, section 5; Zimmermann et al. 2021, section 4.1"


@metric(
    {
        "mcc(rdc)": {"correlation": "rdc"},
    },
    range=(0.0, 1.0),
    rate=0.5,
    blind=_BLIND + " Any dependence counts, one-to-one or not." + _IN_SAMPLE,
    reference="Lopez-Paz et al. 2013, section 4",
    invariances=("scale", "shift", "monotone"),
    default=["mcc(rdc)"],
)
@metric(
    {
        "mcc(spearman)": {"correlation": "spearman"},
        "mcc(spearman,matched)": {"correlation": "spearman", "normaliser": "matched"},
        "mcc(spearman,padded)": {"correlation": "spearman", "normaliser": "padded"},
    },
    range=(0.0, 1.0),
    rate=0.5,
    blind=_BLIND + " Relations that are not monotone." + _IN_SAMPLE,
    reference="Klindt et al. 2021 (SlowVAE), section 5.1: padded",
    invariances=(*_SEEN, "monotone"),
    default=["mcc(spearman)"],
)
@metric(
    {
        "mcc": {},
        "mcc(matched)": {"normaliser": "matched"},
        "mcc(padded)": {"normaliser": "padded"},
    },
    range=(0.0, 1.0),
    rate=0.5,
    blind=_BLIND + " Relations that are not linear." + _IN_SAMPLE,
    reference=_PAPER,
    invariances=_SEEN,
    default=["mcc"],
)
def mcc(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    correlation: Correlation = "pearson",
    normaliser: Literal["coverage", "matched", "padded"] = "coverage",
    seed: int = 0,
) -> Score:
    """Mean correlation coefficient: absolute correlations of factors and codes, matched one to one.

    MCC = 1/k max over assignments π of Σ_j |corr(z_j, c_π(j))|, matching and score on the same samples.
    A factor that no code is left for (d < k) counts 0, and so does a constant code.

    Range [0, 1], higher is better. Chance is 0 as n grows, at finite n about the expected largest of several
    |corr| of size n^-1/2: compare with `noise_floor`, or take `mcc(held_out)` when d is large.
    It cannot see factors that are spread over several codes. Periodic and categorical factors are taken as
    plain numbers, as all papers do, with a warning.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        correlation: Pearson, Spearman, or the randomised dependence coefficient.
        normaliser: "coverage" divides by k; "matched" by min(d, k); "padded" adds d - k columns of noise to
            the factors before the matching and averages over the true factors (SlowVAE).
        seed: Of the noise of "padded" and the features of "rdc"; the others do not depend on it.

    Returns:
        The score; details: per_factor (k,), assignment (k,) the code of each factor, -1 for none.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(1000, 3))
        >>> print(f"{mcc(factors, -2 * factors[:, [2, 0, 1]]):.3f}")
        1.000
        >>> narrow = factors[:, :2]
        >>> print(f"{mcc(factors, narrow):.3f} {mcc(factors, narrow, normaliser='matched'):.3f}")
        0.667 1.000
    """
    checked = check(factors, codes, factor_types)
    n, d, k = checked.shape
    table = np.abs(_correlate(correlation, seed)(checked.factors, checked.codes))
    rivals = table
    if normaliser == "padded" and d > k:
        noise = np.random.default_rng(seed).normal(size=(n, d - k))
        rivals = np.abs(_correlate(correlation, seed)(np.hstack([checked.factors, noise]), checked.codes))
        table = rivals[:k]
    rows, columns = match(rivals)
    true = rows < k
    return _score(table, rows[true], columns[true], min(d, k) if normaliser == "matched" else k, checked)


def _score(
    table: Table,
    rows: Int[np.ndarray, " pairs"],
    columns: Int[np.ndarray, " pairs"],
    divisor: int,
    checked: Checked,
) -> Score:
    per_factor, assignment = np.zeros(len(table)), np.full(len(table), -1)
    per_factor[rows], assignment[rows] = table[rows, columns], columns
    return Score(
        per_factor.sum() / divisor,
        shape=checked.shape,
        warnings=_plain_numbers(checked),
        details={"per_factor": per_factor, "assignment": assignment},
    )


@metric(
    {"mcc(spearman,held_out)": {"correlation": "spearman"}},
    range=(-1.0, 1.0),
    blind=_BLIND + " Relations that are not monotone.",
    reference="matching and score on different halves: contrastive-CRL (Buchholz et al. 2023)",
    invariances=(*_SEEN, "monotone"),
    default=[],
)
@metric(
    {"mcc(held_out)": {}},
    range=(-1.0, 1.0),
    blind=_BLIND + " Relations that are not linear.",
    reference="matching and score on different halves: contrastive-CRL (Buchholz et al. 2023)",
    invariances=_SEEN,
)
def mcc_held_out(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    correlation: Literal["pearson", "spearman"] = "pearson",
    seed: int = 0,
) -> Score:
    """MCC with matching and signs from one random half of the samples and the score from the other.

    MCC = 1/k Σ_j s_j corr(z_j, c_π(j)), with π and the signs s of the other half; both ways, averaged. The
    sign belongs to what is chosen: without it, noise would still score the mean of |corr|.

    Range [-1, 1], higher is better; chance 0 at every n. Factors without a code count 0. For arguments and
    errors see `mcc`.

    Returns:
        The score; details: per_factor (k,), assignment (2, k) of the two halves, -1 for none.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(500, 55))
        >>> print(f"{mcc(noise[:, :5], noise[:, 5:]):.2f} {mcc_held_out(noise[:, :5], noise[:, 5:]):.2f}")
        0.11 0.02
    """
    checked = check(factors, codes, factor_types, min_samples=4)
    n, _, k = checked.shape
    tables = [
        _correlate(correlation, seed)(checked.factors[rows], checked.codes[rows]) for rows in halves(n, "random", seed)
    ]
    per_factor, assignment = np.zeros((2, k)), np.full((2, k), -1)
    for half, (chosen, scored) in enumerate([tables, tables[::-1]]):
        rows, columns = match(chosen)
        assignment[half, rows] = columns
        per_factor[half, rows] = np.sign(chosen[rows, columns]) * scored[rows, columns]
    details = {"per_factor": per_factor.mean(axis=0), "assignment": assignment}
    return Score(per_factor.mean(), shape=checked.shape, warnings=_plain_numbers(checked), details=details)


@metric(
    {
        "mcc(linear)": {},
        "mcc(linear,ordered)": {"split": "ordered"},
        "mcc(linear,spearman)": {"correlation": "spearman"},
        "mcc(linear,spearman,ordered)": {"correlation": "spearman", "split": "ordered"},
        "mcc(linear,in_sample)": {"split": "none"},
        "mcc(linear,spearman,in_sample)": {"correlation": "spearman", "split": "none"},
    },
    range=(0.0, 1.0),
    rate=0.5,
    blind="Which code holds a factor: any invertible linear mixing scores 1. Not comparable with mcc.",
    reference="cl-ica disentanglement_utils.py (linear_disentanglement, modes pearson and spearman)",
    invariances=(*_SEEN, "affine"),
    default=["mcc(linear)"],
)
def mcc_linear(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    correlation: Literal["pearson", "spearman"] = "pearson",
    split: Split = "random",
    seed: int = 0,
) -> Score:
    """Weak MCC: absolute correlation of each factor with its own linear regression on the codes.

    MCC = 1/k Σ_j |corr(z_j, ẑ_j)|, ẑ = codes @ B + b fitted on the other half (or in-sample, as cl-ica).

    Range [0, 1], higher is better; chance 0 as n grows. For arguments and errors see `r2`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(1000, 2))
        >>> print(f"{mcc_linear(factors, factors @ [[1, 1], [-1, 1]]):.3f}")
        1.000
    """
    checked = check(factors, codes, factor_types, min_samples=4)
    fit, score = halves(checked.shape[0], split, seed)
    mapped = standardise(least_squares(checked.codes[fit], checked.factors[fit], checked.codes[score]))
    if correlation == "spearman":
        mapped = _levels(mapped, 1e-6 / np.sqrt(len(score)))
    table = np.abs(_correlate(correlation, seed)(checked.factors[score], mapped))
    own = np.arange(len(table))
    return _score(table, own, own, len(table), checked)


def _levels(columns: Columns, gap: float) -> Columns:
    """Rank order of each column in which neighbours closer than `gap` tie.

    Predictions of one level differ by single-precision rounding; plain ranks would order that noise.
    """
    order = np.argsort(columns, axis=0)
    ascending = np.take_along_axis(columns, order, axis=0)
    levels = np.zeros_like(columns)
    np.put_along_axis(levels, order[1:], np.cumsum(np.diff(ascending, axis=0) > gap, axis=0), axis=0)
    return levels


@metric(
    {"mcc(cca,in_sample)": {"split": "none"}},
    range=(0.0, 1.0),
    rate=0.5,
    blind="Which code holds which factor: linear mixings of both sides score 1." + _IN_SAMPLE,
    reference="weak MCC: Roeder et al. 2021; contrastive-CRL (Buchholz et al. 2023)",
    invariances=(*_SEEN, "affine"),
    default=[],
)
@metric(
    {"mcc(cca)": {}},
    range=(-1.0, 1.0),
    rate=0.5,
    blind="Which code holds which factor: linear mixings of both sides score 1.",
    reference="weak MCC: Roeder et al. 2021; contrastive-CRL (Buchholz et al. 2023)",
    invariances=(*_SEEN, "affine"),
)
def mcc_cca(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    split: Split = "random",
    seed: int = 0,
) -> Score:
    """Weak MCC: mean correlation of the canonical variates of factors and codes that the other half gives.

    MCC = 1/k Σ_i corr(Z a_i, C b_i), (a_i, b_i) the i-th canonical pair; missing pairs (d < k, or codes that
    depend linearly on each other) count 0.

    Range [-1, 1] (in-sample [0, 1]), higher is better; chance 0 as n grows. For arguments and errors see
    `mcc`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(1000, 2))
        >>> print(f"{mcc_cca(factors, factors @ [[1, 1], [-1, 1]]):.3f}")
        1.000
    """
    checked = check(factors, codes, factor_types, min_samples=4)
    fit, score = halves(checked.shape[0], split, seed)
    left, right = _whitener(checked.factors[fit]), _whitener(checked.codes[fit])
    # The whiteners are built on centred columns: one centred side is enough in the product.
    centred = checked.factors[fit] - checked.factors[fit].mean(axis=0)
    u, _, v = np.linalg.svd((centred @ left).T @ (checked.codes[fit] @ right), full_matrices=False)
    variates = [checked.factors[score] @ left @ u, checked.codes[score] @ right @ v.T]
    correlations = np.multiply(*(standardise(side) for side in variates)).sum(axis=0)
    return Score(
        correlations.sum() / checked.shape[2],
        shape=checked.shape,
        warnings=_plain_numbers(checked),
        details={"canonical": correlations},
    )


def _whitener(columns: Columns) -> Float[np.ndarray, "columns rank"]:
    """W such that the centred columns @ W are orthonormal, as many as the columns' rank."""
    scale = columns.std(axis=0)
    scale = np.where(np.ptp(columns, axis=0) > 0, scale, 1.0)
    _, singular, v = np.linalg.svd((columns - columns.mean(axis=0)) / scale, full_matrices=False)
    kept = singular > max(columns.shape) * np.finfo(float).eps * singular[0]
    whitener: np.ndarray = (v[kept] / singular[kept, None] / scale).T
    return whitener
