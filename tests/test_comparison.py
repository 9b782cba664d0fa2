"""Statistics of comparisons: closed forms, published examples, brute force, simulated coverage."""

from __future__ import annotations

import doctest
from itertools import chain, combinations, permutations, product

import numpy as np
import pytest
from scipy import stats

import unmix.aggregate
import unmix.comparison.statistics
import unmix.fields
from unmix.aggregate import interval
from unmix.comparison.statistics import (
    STATISTICS,
    aggregate,
    aggregate_interval,
    bootstrap,
    contrast,
    critical_difference,
    friedman,
    holm,
    improvement,
    improvement_interval,
    mean_ranks,
    paired_d,
    paired_p,
    profile,
    seeds_at_least,
    seeds_needed,
    smallest_p,
    unpaired_p,
)

# Ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets: Demsar 2006, table 6.
DEMSAR = np.array(
    [
        [4, 3, 2, 1],
        [1, 2, 3, 4],
        [4, 1, 2, 3],
        [4, 1, 3, 2],
        [4, 2, 3, 1],
        [1, 2.5, 4, 2.5],
        [3, 2, 4, 1],
        [2.5, 2.5, 4, 1],
        [4, 3, 2, 1],
        [2.5, 2.5, 2.5, 2.5],
        [4, 2.5, 1, 2.5],
        [3, 2, 4, 1],
        [4, 1, 2, 3],
        [3, 1, 4, 2],
    ]
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("module", [unmix.aggregate, unmix.comparison.statistics, unmix.fields])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_interval_is_students() -> None:
    values = rng().normal(size=7)
    theirs = stats.t.interval(0.9, 6, values.mean(), stats.sem(values))
    assert interval(values.tolist(), 0.9) == pytest.approx(theirs)
    assert contrast([values], level=0.9)[1:] == pytest.approx(theirs)
    with pytest.raises(ValueError, match="finite"):
        interval([1.0, float("nan")])
    with pytest.raises(ValueError, match="level 95"):
        interval([1.0, 2.0], 95.0)


def test_contrast_of_two_methods_is_welchs() -> None:
    first, second = rng(1).normal(size=5), rng(2).normal(1, 3, size=9)
    theirs = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    value, low, high = contrast([first, second], [1.0, -1.0])
    assert value == pytest.approx(first.mean() - second.mean())
    assert (low, high) == pytest.approx((theirs.low, theirs.high))


def test_aggregates() -> None:
    scores = rng().normal(size=(10, 6))  # runs, tasks
    blocks = list(scores.T)
    assert aggregate(blocks) == pytest.approx(scores.mean())
    assert aggregate(blocks, "median") == pytest.approx(np.median(scores))
    assert aggregate(blocks, "iqm") == pytest.approx(np.sort(scores.ravel())[15:45].mean())
    assert aggregate([np.array([1.0]), np.array([4.0, 6.0])]) == 3.0  # datasets weigh the same
    with pytest.raises(ValueError, match="block 1 is"):
        aggregate([np.ones(3), np.array([np.inf])])


def test_bootstrap_of_many_runs_is_the_normal_interval() -> None:
    blocks = [rng(1).normal(size=400), rng(2).normal(5, 2, size=400)]
    found = aggregate_interval(blocks, "mean", rng())
    assert found == pytest.approx(contrast(blocks)[1:], abs=0.01)


def test_bootstrap_of_few_runs_reaches_their_range_and_says_nothing_of_one() -> None:
    values = np.array([1.0, 2.0, 6.0])
    assert aggregate_interval([values], "mean", rng()) == (1.0, 6.0)
    assert aggregate_interval([values, np.array([1.0])], "mean", rng()) is None
    assert bootstrap([5, 1], lambda _: np.zeros(1), rng()) is None


@pytest.mark.parametrize("statistic", STATISTICS)
def test_intervals_are_reproducible_and_move_with_the_unit(statistic: unmix.comparison.statistics.Statistic) -> None:
    blocks = [rng(seed).normal(size=5) for seed in range(3)]
    once = aggregate_interval(blocks, statistic, rng())
    assert once is not None
    scaled = aggregate_interval([100 * block + 7 for block in blocks], statistic, rng())
    assert scaled == pytest.approx([100 * end + 7 for end in once])


def test_improvement_is_mann_whitneys_u() -> None:
    first, second = rng(1).integers(0, 5, 8).astype(float), rng(2).integers(0, 5, 6).astype(float)
    theirs = stats.mannwhitneyu(first, second).statistic / 48
    assert improvement([first], [second]) == pytest.approx(theirs)
    assert improvement([first, first], [second, first]) == pytest.approx((theirs + 0.5) / 2)
    assert improvement([first + 10], [second]) == 1.0
    for paired, other in ((True, rng(3).normal(size=8)), (False, second)):
        low, high = improvement_interval([first], [other], rng(), paired=paired) or (1.0, 0.0)
        assert 0 <= low <= improvement([first], [other]) <= high <= 1


def test_paired_p_is_the_count_over_all_signs() -> None:
    blocks = [rng(1).normal(0.5, 1, size=5), rng(2).normal(0.5, 1, size=3)]
    observed = abs(np.mean([block.mean() for block in blocks]))
    hits = 0
    for signs in product((1, -1), repeat=8):
        first, second = blocks[0] * signs[:5], blocks[1] * signs[5:]
        hits += abs((first.mean() + second.mean()) / 2) >= observed - 1e-12
    assert paired_p(blocks, rng()) == pytest.approx(hits / 256)


def test_the_smallest_p_is_reached() -> None:
    low, high = np.array([1.0, 2.0, 3.5]), np.array([11.0, 12.5, 13.0])
    assert paired_p([high - low], rng()) == smallest_p([3]) == 0.25
    assert unpaired_p([low], [high], rng()) == smallest_p([3], [3]) == 0.1
    assert smallest_p([2, 2]) == 0.125
    assert smallest_p([1]) == 1.0


def test_unpaired_p_of_two_blocks_is_the_count_over_all_splits() -> None:
    pools = [np.array([0.0, 2.0, 3.0, 7.0]), np.array([1.0, 4.0, 5.0, 5.5])]
    splits = [[pool[list(c)].mean() - np.delete(pool, c).mean() for c in combinations(range(4), 2)] for pool in pools]
    null = np.add.outer(*splits).ravel()
    observed = splits[0][0] + splits[1][0]
    exact = min(1, 2 * min((null <= observed + 1e-9).mean(), (null >= observed - 1e-9).mean()))
    found = unpaired_p([pool[:2] for pool in pools], [pool[2:] for pool in pools], rng())
    assert found == pytest.approx(exact, abs=5 * np.sqrt(exact / 9999))


def test_p_of_no_difference_is_uniform_enough() -> None:
    p = [paired_p([rng(seed).normal(size=6)], rng()) for seed in range(200)]
    assert np.mean(np.array(p) <= 0.25) == pytest.approx(0.25, abs=3.3 * np.sqrt(0.25 * 0.75 / 200))


def test_holm_is_closed_testing_by_bonferroni() -> None:
    p = rng(3).uniform(0, 0.1, size=4)
    every = list(chain.from_iterable(combinations(range(4), size) for size in range(1, 5)))
    closed = [max(min(1, len(s) * min(p[j] for j in s)) for s in every if i in s) for i in range(4)]
    assert holm(p.tolist()) == pytest.approx(closed)
    assert holm([]) == []


def test_effect_and_seeds_needed() -> None:
    differences = np.array([1.0, 2.0, 3.0])
    assert paired_d([differences]) == 2.0
    assert paired_d([differences, -differences]) == 0.0
    assert paired_d([np.ones(3)]) is None
    assert paired_d([np.ones(1)]) is None
    # Power of the paired t test at d = 0.2, 0.5 and 0.8 (G*Power's manual and Cohen's tables): 199, 34, 15.
    assert [seeds_needed(d) for d in (0.2, 0.5, 0.8)] == [199, 34, 15]
    assert seeds_needed(-0.5) == 34
    assert seeds_needed(1e-3) is None
    assert seeds_needed(1e3) == seeds_at_least() == 6  # 2 / 2^6 = 0.031
    assert seeds_at_least(3, 0.05) == 2
    assert seeds_at_least(1, 2 / 2**7) == 7


def test_power_is_what_simulation_finds() -> None:
    n = seeds_needed(1.0)
    assert n is not None
    draws = rng().normal(1.0, 1.0, size=(4000, n))
    found = (stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean()
    assert 0.8 - 0.02 <= found <= 0.88


def test_friedman_and_nemenyi_of_demsars_example() -> None:
    ranks = mean_ranks(-DEMSAR[:, :, None])
    np.testing.assert_array_equal(ranks, DEMSAR)
    assert ranks.mean(axis=0) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    statistic, p = friedman(ranks, rng(), 49_999)
    assert statistic == pytest.approx(9.28, abs=0.01)
    corrected = stats.friedmanchisquare(*DEMSAR.T)  # of ties; its p is of chi squared, which many blocks approach
    assert p == pytest.approx(corrected.pvalue, abs=0.005)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    # Table 5(a): q at 0.05 of 2 to 10 classifiers.
    table = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    ours = [critical_difference(k, 1) / np.sqrt(k * (k + 1) / 6) for k in range(2, 11)]
    assert ours == pytest.approx(table, abs=1.5e-3)


def test_friedman_is_scipys_statistic_with_an_exact_p() -> None:
    scores = rng(4).normal(size=(3, 3, 1)) + np.array([0, 1, 2])[None, :, None]
    ranks = mean_ranks(scores)
    statistic, p = friedman(ranks, rng())
    assert statistic == pytest.approx(stats.friedmanchisquare(*scores[:, :, 0].T).statistic)
    every = product(*[list(permutations(row)) for row in ranks])
    null = [((np.mean(orders, axis=0) - 2) ** 2).sum() for orders in every]
    observed = ((ranks.mean(axis=0) - 2) ** 2).sum()
    assert p == pytest.approx((np.array(null) >= observed - 1e-9).mean())


def test_metrics_of_a_block_do_not_count_as_blocks() -> None:
    one = rng(5).normal(size=(4, 3, 1))
    assert friedman(mean_ranks(np.repeat(one, 9, axis=2)), rng()) == friedman(mean_ranks(one), rng())


def test_profile() -> None:
    blocks = [np.array([0.0, 1.0]), np.array([2.0])]
    assert profile(blocks, np.array([-1.0, 0.0, 1.5, 2.0])).tolist() == [1.0, 0.75, 0.5, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "datasets", "least", "most"),
    [(3, 1, 0.70, 0.80), (5, 1, 0.88, 0.96), (10, 1, 0.92, 0.97), (3, 6, 0.92, 0.98)],
)
def test_coverage_of_the_bootstrap(runs: int, datasets: int, least: float, most: float) -> None:
    """Share of 95 % intervals that have the true mean inside, of normal scores; `docs/compare.md` has the figures."""
    covered: dict[str, list[bool]] = {name: [] for name in (*STATISTICS, "student")}
    for seed in range(600):
        blocks = [rng(1000 * seed + task).normal(size=runs) for task in range(datasets)]
        intervals = {name: aggregate_interval(blocks, name, rng(seed)) for name in STATISTICS}
        for name, (low, high) in {**intervals, "student": contrast(blocks)[1:]}.items():  # type: ignore[misc]
            covered[name].append(low <= 0 <= high)
    figures = {name: round(float(np.mean(hits)), 3) for name, hits in covered.items()}
    print(runs, "runs,", datasets, "datasets:", figures)
    assert least <= figures["mean"] <= most
    assert 0.93 <= figures["student"] <= 0.98
