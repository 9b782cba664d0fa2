"""Scores of several methods -> intervals, tests, effects, ranks. Pure functions of arrays; imports no torch.

A block holds the scores of one dataset's runs, (runs,). Blocks are independent strata: resampling and permuting stay
within them, so all that is said is about these datasets, and the runs are what varies. Agarwal et al.'s
scores[runs, tasks] are the blocks `scores.T`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb, log2, prod
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import stats

Blocks = Sequence[Float[np.ndarray, " _"]]
Indices = list[Shaped[np.ndarray, "*_"]]
Statistic = Literal["mean", "median", "iqm"]
STATISTICS: tuple[Statistic, ...] = ("mean", "median", "iqm")
RESAMPLES = 9999


def aggregate(blocks: Blocks, statistic: Statistic = "mean") -> float:
    """One number of all runs: mean of the blocks' means; median, or mean of the middle half (IQM), of all runs.

    The IQM cuts a quarter of the runs, rounded down, at each end: of fewer than 4 runs it is their mean. The median
    is of runs; rliable's is of the blocks' means, which of one dataset is no median.

    >>> aggregate([np.array([0.0, 1.0, 2.0, 9.0])], "iqm")
    1.5

    Source: Agarwal et al. 2021, Deep reinforcement learning at the edge of the statistical precipice, section 4.3.

    Raises:
        ValueError: When there is no block, an empty one, or a score that is not finite.
    """
    _check(blocks)
    return float(_aggregated([np.asarray(block) for block in blocks], statistic))


def aggregate_interval(
    blocks: Blocks, statistic: Statistic, generator: np.random.Generator, level: float = 0.95
) -> tuple[float, float] | None:
    """Stratified bootstrap interval of `aggregate`, see `bootstrap`. Raises as `aggregate`."""
    _check(blocks)

    def resampled(indices: Indices) -> np.ndarray:
        return _aggregated([block[index] for block, index in zip(blocks, indices, strict=True)], statistic)

    return bootstrap([len(block) for block in blocks], resampled, generator, level)


def bootstrap(
    sizes: Sequence[int],
    statistic: Callable[[Indices], np.ndarray],
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Percentile interval of a statistic whose runs are drawn again within each block, expanded for few runs.

    A plain percentile interval is too narrow by sqrt((n - 1) / n), and by Student's t against the normal. The level
    is raised to `1 - 2 Phi(-c t)` with `c = sqrt(n / (n - 1))` of the mean block and `t = t(sum(n_b - 1))`.
    No bootstrap leaves the range of the runs: of 3 runs of one block, 95 % means at most 75 %
    (`docs/compare.md` has the measured coverage).

    Args:
        sizes: Runs of each block.
        statistic: Index arrays, one a block, (..., runs) -> (...).
        generator: Of the draws.
        level: In (0, 1).
        resamples: Number of draws.

    Returns:
        (low, high); None when a block has a single run, whose spread nobody knows.

    Source: Agarwal et al. 2021, section 4.1 (strata); Hesterberg 2015, What teachers should know about the
    bootstrap, section 5.3 (expansion).
    """
    if min(sizes) < 2:
        return None
    mean_size = sum(sizes) / len(sizes)
    t = stats.t.ppf((1 + level) / 2, sum(sizes) - len(sizes))
    expanded = 1 - 2 * stats.norm.cdf(-np.sqrt(mean_size / (mean_size - 1)) * t)

    def vectorised(*indices: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(list(indices))

    result = stats.bootstrap(
        tuple(np.arange(size) for size in sizes),
        vectorised,
        vectorized=True,
        n_resamples=resamples,
        confidence_level=expanded,
        method="percentile",
        rng=generator,
    ).confidence_interval
    return float(result.low), float(result.high)


def contrast(
    blocks: Blocks, weights: Sequence[float] | None = None, level: float = 0.95
) -> tuple[float, float | None, float | None]:
    """`sum_b w_b mean(block_b)` with Student's interval, degrees of freedom by Welch and Satterthwaite.

    Of the paired differences of B datasets: the mean difference. Of two methods without common seeds: blocks of the
    first with weight 1/B, of the second with -1/B. Exact for normal scores of one block, close to it for several.

    Args:
        blocks: Scores or differences.
        weights: One a block; 1/B by default.
        level: In (0, 1).

    Returns:
        (value, low, high); low and high are None when a block has a single run.

    Raises:
        ValueError: As `aggregate`.

    Source: Satterthwaite 1946; Welch 1947.
    """
    _check(blocks)
    w = np.full(len(blocks), 1 / len(blocks)) if weights is None else np.asarray(weights, dtype=float)
    value = float(sum(weight * block.mean() for weight, block in zip(w, blocks, strict=True)))
    if min(map(len, blocks)) < 2:
        return value, None, None
    parts = np.array([weight**2 * block.var(ddof=1) / len(block) for weight, block in zip(w, blocks, strict=True)])
    if parts.sum() == 0:
        return value, value, value
    freedom = parts.sum() ** 2 / sum(part**2 / (len(block) - 1) for part, block in zip(parts, blocks, strict=True))
    half = float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(parts.sum()))
    return value, value - half, value + half


def improvement(first: Blocks, second: Blocks) -> float:
    """Probability of improvement: mean over blocks of `P(X > Y) + P(X = Y) / 2`, over all pairs of runs. In [0, 1].

    Of one block it is Vargha and Delaney's A; Cliff's delta is `2 A - 1`.

    >>> improvement([np.array([1.0, 2.0])], [np.array([0.0, 2.0])])
    0.625

    Source: Agarwal et al. 2021, section 4.3; Vargha and Delaney 2000.
    """
    return float(_improved([np.asarray(block) for block in first], [np.asarray(block) for block in second]))


def improvement_interval(
    first: Blocks, second: Blocks, generator: np.random.Generator, *, paired: bool, level: float = 0.95
) -> tuple[float, float] | None:
    """Stratified bootstrap interval of `improvement`; runs of one seed are drawn together where they are paired."""
    count = len(first)
    sizes = [len(block) for block in first] + ([] if paired else [len(block) for block in second])

    def resampled(indices: Indices) -> np.ndarray:
        others = indices[:count] if paired else indices[count:]
        return _improved(
            [block[index] for block, index in zip(first, indices[:count], strict=True)],
            [block[index] for block, index in zip(second, others, strict=True)],
        )

    return bootstrap(sizes, resampled, generator, level)


def paired_p(differences: Blocks, generator: np.random.Generator, resamples: int = RESAMPLES) -> float:
    """Two-sided p of the mean over blocks of the mean difference: each seed's sign is as likely either way.

    Exact where there are at most `resamples` patterns of signs (13 seeds), else by that many draws.

    Source: Fisher 1935, The design of experiments, section 21; scipy.stats.permutation_test.
    """
    pooled = np.concatenate([np.asarray(block, dtype=float) for block in differences])
    if len(pooled) == 1:  # either sign is as far from 0
        return 1.0
    weights = np.concatenate([np.full(len(block), 1 / len(block)) for block in differences])

    def total(x: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray((weights * x).sum(axis=axis))

    return _permuted((pooled,), total, "samples", generator, resamples)


def unpaired_p(first: Blocks, second: Blocks, generator: np.random.Generator, resamples: int = RESAMPLES) -> float:
    """Two-sided p of the mean over blocks of the difference of means: within a block any run is of either method.

    Exact for one block of at least 2 runs each with at most `resamples` splits, else by that many draws.
    """
    if len(first) == 1 and min(len(first[0]), len(second[0])) > 1:

        def difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
            return np.asarray(x.mean(axis=axis) - y.mean(axis=axis))

        return _permuted((first[0], second[0]), difference, "independent", generator, resamples)
    observed, null = 0.0, np.zeros(resamples)
    for x, y in zip(first, second, strict=True):
        observed += x.mean() - y.mean()
        shuffled = generator.permuted(np.tile(np.concatenate([x, y]), (resamples, 1)), axis=1)
        null += shuffled[:, : len(x)].mean(axis=1) - shuffled[:, len(x) :].mean(axis=1)
    slack = 1e-12 * max(1.0, abs(observed))
    tails = [(null >= observed - slack).sum(), (null <= observed + slack).sum()]
    return min(1.0, 2 * (1 + int(min(tails))) / (1 + resamples))


def smallest_p(first: Sequence[int], second: Sequence[int] | None = None) -> float:
    """The smallest two-sided p that a permutation test of so many runs can give.

    `2 / 2^n` of n paired seeds in all; `2 / prod_b C(n_b + m_b, n_b)` of n_b and m_b runs that are not paired.

    >>> smallest_p([3])
    0.25

    Args:
        first: Runs of each block of the first method, or pairs.
        second: Of the second method; None for pairs.
    """
    if second is None:
        return min(1.0, 2.0 ** (1 - sum(first)))
    return min(1.0, 2 / prod(comb(n + m, n) for n, m in zip(first, second, strict=True)))


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number: reject those up to alpha, and any false one is rejected with at most alpha.

    `max_{j <= i} min(1, (m - j + 1) p_(j))` of the sorted ones.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return [float(value) for value in corrected]


def paired_d(differences: Blocks) -> float | None:
    """Paired effect size: mean difference over its standard deviation, `mean_b(mean_b) / sqrt(mean_b(s_b^2))`.

    None where a block has a single run, or no difference varies. Source: Cohen 1988, section 2.3.5 (d_z).
    """
    if min(map(len, differences)) < 2:
        return None
    spread = float(np.sqrt(np.mean([block.var(ddof=1) for block in differences])))
    return float(np.mean([block.mean() for block in differences])) / spread if spread else None


def seeds_needed(
    effect: float, blocks: int = 1, alpha: float = 0.05, power: float = 0.8, most: int = 1000
) -> int | None:
    """Seeds of each dataset with which a paired comparison of this effect reaches alpha, with this power.

    The smallest n with `P(|T| > t(1 - alpha / 2)) >= power` for T noncentral t with B (n - 1) degrees of freedom
    and noncentrality `effect sqrt(n B)`, and `2 / 2^(n B) <= alpha`, below which no permutation test of n seeds
    gets. An effect estimated from few runs is itself uncertain, and so is the answer.

    >>> seeds_needed(0.5)
    34

    Args:
        effect: `paired_d`.
        blocks: Datasets, B.
        alpha: Two-sided; divided by the number of comparisons if there are several.
        power: Probability to find it.
        most: Where to give up.

    Returns:
        n, or None for more than `most`.

    Source: Cohen 1988, section 2.3.5; Faul et al. 2007 (G*Power), matched pairs.
    """
    for n in range(max(2, seeds_at_least(blocks, alpha)), most + 1):
        freedom, shift = blocks * (n - 1), abs(effect) * np.sqrt(n * blocks)
        threshold = stats.t.ppf(1 - alpha / 2, freedom)
        far = shift > 38  # where the noncentral t is nowhere near 0, and SciPy's tails have no digits left
        wrong_side = np.nan_to_num(stats.nct.cdf(-threshold, freedom, shift))  # NaN where it is below 1e-17
        if far or stats.nct.sf(threshold, freedom, shift) + wrong_side >= power:
            return n
    return None


def seeds_at_least(blocks: int = 1, alpha: float = 0.05) -> int:
    """The smallest n with `2 / 2^(n B) <= alpha`: fewer paired seeds of B datasets can never reach alpha."""
    return int(np.ceil((1 + log2(1 / alpha)) / blocks - 1e-9))


def mean_ranks(scores: Float[np.ndarray, "blocks methods metrics"]) -> Float[np.ndarray, "blocks methods"]:
    """Ranks of methods (1 is best, higher scores are better, ties share) within each block, mean over metrics."""
    ranks: np.ndarray = stats.rankdata(-scores, axis=1).mean(axis=2)
    return ranks


def friedman(
    ranks: Float[np.ndarray, "blocks methods"], generator: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Friedman's statistic of `mean_ranks`, and its p by permuting the methods within each block.

    `12 N / (k (k + 1)) sum_j (R_j - (k + 1) / 2)^2`, not corrected for ties: the permutations are of the ties
    as well. All metrics of a block move together, so that they count as one block. Exact where there are at most
    `resamples` permutations.

    Returns:
        (statistic, p).

    Source: Friedman 1937; Demsar 2006, Statistical comparisons of classifiers over multiple data sets, section 3.2.2.
    """
    count, methods = ranks.shape
    flat, rows = ranks.ravel(), np.arange(count) * methods

    def statistic(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
        means = np.stack([flat[column.astype(int)].mean(axis=-1) for column in columns])
        factor = 12 * count / (methods * (methods + 1))
        return np.asarray(factor * ((means - (methods + 1) / 2) ** 2).sum(axis=0))

    columns = tuple(rows + method for method in range(methods))
    p = _permuted(columns, statistic, "samples", generator, resamples, "greater")
    return float(statistic(*columns)), p


def critical_difference(methods: int, blocks: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks, `q_alpha(k, inf) / sqrt(2) sqrt(k (k + 1) / (6 N))`.

    q is of the Studentised range. Source: Demsar 2006, section 3.2.2.
    """
    q = stats.studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * blocks)))


def profile(blocks: Blocks, thresholds: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Performance profile: the share of runs above each threshold, mean over blocks.

    Source: Agarwal et al. 2021, section 4.2.
    """
    above: list[Bool[np.ndarray, "t _"]] = [np.asarray(block)[None] > thresholds[:, None] for block in blocks]
    shares: np.ndarray = np.mean([each.mean(axis=1) for each in above], axis=0)
    return shares


def _aggregated(blocks: Sequence[np.ndarray], statistic: Statistic) -> np.ndarray:
    """Blocks (..., runs) -> (...)."""
    if statistic == "mean":
        return np.asarray(np.mean([block.mean(axis=-1) for block in blocks], axis=0))
    pooled = np.concatenate(blocks, axis=-1)
    return np.asarray(np.median(pooled, axis=-1) if statistic == "median" else stats.trim_mean(pooled, 0.25, axis=-1))


def _improved(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Blocks (..., runs) of two methods -> (...)."""
    signs = [np.sign(x[..., :, None] - y[..., None, :]).mean(axis=(-2, -1)) for x, y in zip(first, second, strict=True)]
    return np.asarray((1 + np.mean(signs, axis=0)) / 2)


def _permuted(
    data: tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray],
    kind: str,
    generator: np.random.Generator,
    resamples: int,
    alternative: str = "two-sided",
) -> float:
    result = stats.permutation_test(
        data,
        statistic,
        permutation_type=kind,
        vectorized=True,
        n_resamples=resamples,
        alternative=alternative,
        rng=generator,
    )
    return float(result.pvalue)


def _check(blocks: Blocks) -> None:
    if not blocks:
        raise ValueError("there is no dataset to compare on")
    for number, block in enumerate(blocks):
        if len(block) == 0 or not np.isfinite(block).all():
            raise ValueError(f"block {number} is {np.asarray(block).tolist()}: give finite scores, at least one")
