"""MCC: values that follow from its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unmix import METRICS
from unmix.metrics import InputError, mcc, mcc_cca, mcc_circular, mcc_held_out, mcc_linear, noise_floor
from unmix.metrics.correlation import match, pearson, rdc, spearman


@pytest.fixture
def factors():
    return np.random.default_rng(0).normal(size=(1000, 4))


def noise(n, d, seed=1):
    return np.random.default_rng(seed).normal(size=(n, d))


def circle(angle, period=2 * np.pi, phase=0.0):
    turned = 2 * np.pi * angle / period + phase
    return np.stack([np.cos(turned), np.sin(turned)], axis=1)


def test_tables_are_those_of_scipy(factors):
    codes = factors[:, :3] ** 3 + noise(1000, 3)
    assert pearson(factors, codes)[2, 1] == pytest.approx(
        stats.pearsonr(factors[:, 2], codes[:, 1]).statistic
    )
    ties = np.round(codes)
    assert spearman(factors, ties)[0, 2] == pytest.approx(
        stats.spearmanr(factors[:, 0], ties[:, 2]).statistic
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 4), st.integers(1, 5))
def test_matching_is_the_best_of_all(seed, k, d):
    table = np.random.default_rng(seed).uniform(-1, 1, size=(k, d))
    rows, columns = match(table)
    small, large = (table, d) if k <= d else (table.T, k)
    best = max(
        sum(abs(small[row, column]) for row, column in enumerate(chosen))
        for chosen in itertools.permutations(range(large), len(small))
    )
    assert np.abs(table[rows, columns]).sum() == pytest.approx(best)


def test_known_value_of_a_noisy_code(factors):
    codes = factors + noise(1000, 4) * np.sqrt(3)
    expected = np.mean([abs(np.corrcoef(factors[:, j], codes[:, j])[0, 1]) for j in range(4)])
    assert mcc(factors, codes) == pytest.approx(expected)
    assert mcc(factors, codes) == pytest.approx(0.5, abs=0.05)


def test_details_name_the_code_of_each_factor(factors):
    result = mcc(factors, -factors[:, [2, 0, 3]])
    assert result.details["assignment"].tolist() == [1, -1, 0, 2]
    assert result.details["per_factor"] == pytest.approx([1, 0, 1, 1])


def test_normalisers_when_codes_are_fewer_or_more(factors):
    narrow = factors[:, :2]
    assert mcc(factors, narrow) == pytest.approx(0.5)
    assert mcc(factors, narrow, normaliser="matched") == pytest.approx(1)
    assert mcc(factors, narrow, normaliser="padded") == pytest.approx(0.5)
    wide = np.hstack([factors, noise(1000, 6)])
    for normaliser in ("coverage", "matched", "padded"):
        assert mcc(factors, wide, normaliser=normaliser) == pytest.approx(1)


def test_padding_takes_codes_away_from_the_factors():
    codes = noise(500, 40)
    assert METRICS["mcc(padded)"](noise(500, 2, 2), codes) < METRICS["mcc"](noise(500, 2, 2), codes)


def test_measured_inflation_of_the_notes():
    """metrics.md: independent, d = 5, 50; n = 500 -> 0.067, 0.109 in-sample; held out there is none left."""
    for d, expected in ((5, 0.067), (50, 0.109)):
        draws = [(noise(500, 5, seed), noise(500, d, seed + 1000)) for seed in range(40)]
        scores = np.array([[mcc(*draw), mcc_held_out(*draw)] for draw in draws])
        error = scores.std(axis=0, ddof=1) / np.sqrt(len(draws))
        assert abs(scores[:, 0].mean() - expected) < 4 * error[0] + 0.005
        assert abs(scores[:, 1].mean()) < 4 * error[1]


def test_spearman_sees_monotone_maps_and_pearson_does_not(factors):
    codes = np.exp(3 * factors)
    assert mcc(factors, codes) < 0.4
    assert METRICS["mcc(spearman)"](factors, codes) == pytest.approx(1)
    assert METRICS["mcc(spearman,held_out)"](factors, codes) == pytest.approx(1)


def test_rdc_sees_what_is_not_monotone(factors):
    codes = np.cos(2 * factors)
    assert METRICS["mcc(spearman)"](factors, codes) < 0.15
    assert METRICS["mcc(rdc)"](factors, codes) > 0.9


def test_rdc_is_the_canonical_correlation_of_its_features():
    """Against the definition: features of the ranks, largest canonical correlation by eigenvalues."""
    generator = np.random.default_rng(5)
    left, right = noise(400, 1, 2), noise(400, 1, 3)
    right += left**2

    def features(column, weights, offsets):
        ranks = stats.rankdata(column[:, 0], method="max")[:, None] / len(column)
        return np.sin(ranks * weights + offsets)

    (lw, lo), (rw, ro) = (generator.normal(size=(2, 1, 1, 20)) / np.sqrt(6) for _ in range(2))
    waves = np.hstack([features(left, lw[0, 0], lo[0, 0]), features(right, rw[0, 0], ro[0, 0])])
    cov = np.cov(waves.T)
    inverse = [np.linalg.pinv(part, rcond=1e-14, hermitian=True) for part in (cov[:20, :20], cov[20:, 20:])]
    product = inverse[0] @ cov[:20, 20:] @ inverse[1] @ cov[20:, :20]
    expected = np.sqrt(np.linalg.eigvals(product).real.max())
    assert rdc(left, right, seed=5)[0, 0] == pytest.approx(expected, abs=0.02)


def test_dead_code_correlates_with_nothing(factors):
    codes = factors[:, :3].copy()
    codes[:, 1] = 0.1 + 0.2
    assert mcc(factors, codes) == pytest.approx(0.5, abs=0.03)
    assert mcc(factors, np.full((1000, 4), 0.3)) == 0


def test_held_out_sign_comes_from_the_other_half(factors):
    assert mcc_held_out(factors, -factors) == pytest.approx(1)
    assert METRICS["mcc(held_out)"].range == (-1, 1)


def test_held_out_matching_does_not_see_the_scored_half(factors):
    result = mcc_held_out(factors, factors[:, ::-1], seed=4)
    assert (result.details["assignment"] == [3, 2, 1, 0]).all()


def test_weak_mcc_forgives_linear_mixing_and_plain_mcc_does_not(factors):
    rotation = np.linalg.qr(noise(4, 4))[0]
    codes = factors @ rotation + 3
    assert mcc(factors, codes) < 0.9
    assert mcc_linear(factors, codes) == pytest.approx(1)
    assert mcc_cca(factors, codes) == pytest.approx(1)
    assert mcc_cca(factors, codes[:, :2]) == pytest.approx(0.5)


def test_cca_in_sample_is_the_mean_canonical_correlation(factors):
    codes = factors[:, :2] + noise(1000, 2)
    joint = np.cov(np.hstack([factors, codes]).T)
    product = np.linalg.solve(joint[:4, :4], joint[:4, 4:]) @ np.linalg.solve(joint[4:, 4:], joint[4:, :4])
    expected = np.sqrt(np.sort(np.linalg.eigvals(product).real)[-2:]).sum() / 4
    assert METRICS["mcc(cca,in_sample)"](factors, codes) == pytest.approx(expected)
    assert mcc_cca(factors, codes) == pytest.approx(expected, abs=0.05)


def test_cca_with_copies_of_a_code(factors):
    codes = np.hstack([factors[:, :2], factors[:, :1]])
    assert mcc_cca(factors, codes) == pytest.approx(0.5)


def test_ranks_after_a_linear_map_do_not_order_rounding():
    """A perfect code of three levels, in single precision as encoders give it, ranks as three levels."""
    levels = np.random.default_rng(0).integers(0, 3, size=(400, 2)).astype(float)
    codes = ((levels - 1) / 0.81650 @ [[1.3, 0.2], [0.7, -0.9]]).astype(np.float32)
    assert METRICS["mcc(linear,spearman,in_sample)"](levels, codes) == pytest.approx(1, abs=1e-9)


ANGLE = np.random.default_rng(3).uniform(0, 360, size=2000)
AS_ANGLE = {"factor_types": ["periodic"], "factor_periods": [360.0]}


@pytest.mark.parametrize("phase", [0, 0.4, np.pi / 4, 2])
def test_a_perfect_sine_cosine_code_scores_one_at_any_phase(phase):
    assert mcc_circular(ANGLE, circle(ANGLE, 360, phase), **AS_ANGLE) == pytest.approx(1)


def test_half_a_code_of_an_angle_scores_half_of_its_variance():
    pair = circle(ANGLE, 360)
    assert mcc_circular(ANGLE, pair[:, 1], **AS_ANGLE) == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert mcc_circular(ANGLE, pair[:, [1, 1]], **AS_ANGLE) == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert mcc_circular(ANGLE, ANGLE, **AS_ANGLE) == pytest.approx(0.551, abs=0.01)


def test_angles_and_plain_factors_share_the_codes_exactly():
    """Two angles and two numbers in a shuffled code of six, against the search through all packings."""
    generator = np.random.default_rng(1)
    factors = generator.uniform(0, 1, size=(800, 4))
    codes = np.hstack([circle(factors[:, 0], 1), circle(factors[:, 1], 1), factors[:, 2:]])
    order = generator.permutation(6)
    types = ["periodic", "periodic", "continuous", "continuous"]
    given = {"factor_types": types, "factor_periods": [1.0, 1.0, None, None]}
    result = mcc_circular(factors, codes[:, order], **given)
    assert result == pytest.approx(1)
    assert [sorted(order[list(pair)].tolist()) for pair in result.details["assignment"][:2]] == [
        [0, 1],
        [2, 3],
    ]
    assert result.details["assignment"][2:, 1].tolist() == [-1, -1]


def test_an_angle_does_not_take_a_code_that_another_factor_needs():
    generator = np.random.default_rng(2)
    factors = generator.uniform(0, 1, size=(800, 2))
    codes = np.stack([np.sin(2 * np.pi * factors[:, 0]), factors[:, 1]], axis=1)
    given = {"factor_types": ["periodic", "continuous"], "factor_periods": [1.0, None]}
    result = mcc_circular(factors, codes, **given)
    assert result.details["assignment"].tolist() == [[0, -1], [1, -1]]
    assert result == pytest.approx((np.sqrt(0.5) + 1) / 2, abs=0.02)


def test_circular_is_plain_mcc_without_angles(factors):
    codes = factors @ noise(4, 6)
    assert mcc_circular(factors, codes) == pytest.approx(mcc(factors, codes))


def test_an_angle_as_a_plain_number_is_warned_about():
    result = mcc(ANGLE, circle(ANGLE, 360), factor_types=["periodic"])
    assert result == pytest.approx(0.78, abs=0.02)
    assert "mcc(circular)" in " ".join(result.warnings)


def test_an_angle_needs_its_period():
    with pytest.raises(InputError, match="factor 0 is periodic: give its period"):
        mcc_circular(ANGLE, circle(ANGLE), factor_types=["periodic"])
    with pytest.raises(InputError, match="positive"):
        mcc_circular(ANGLE, circle(ANGLE), factor_types=["periodic"], factor_periods=[0.0])
    with pytest.raises(InputError, match="give one each"):
        mcc_circular(ANGLE, circle(ANGLE), factor_types=["periodic"], factor_periods=[1.0, 1.0])


def test_noise_floor_draws_anew_what_a_seeded_metric_draws(factors):
    seeds = []

    def spy(factors, codes, seed=0):
        seeds.append(seed)
        return mcc(factors, codes)

    first = noise_floor(spy, factors, factors, repeats=4)
    assert len(set(seeds)) == 4
    assert noise_floor(spy, factors, factors, repeats=4) == first
    assert seeds[:4] == seeds[4:]
    assert len(noise_floor(lambda factors, codes: mcc(factors, codes), factors, factors, repeats=2).values) == 2


def test_noise_floor_breaks_the_relation_and_nothing_else(factors):
    floor = noise_floor(METRICS["mcc"], factors, factors, repeats=30, seed=1)
    unrelated = [mcc(factors, noise(1000, 4, seed)) for seed in range(30)]
    error = np.hypot(np.std(unrelated), floor.std) / np.sqrt(30)
    assert abs(floor.mean - np.mean(unrelated)) < 4 * error
    assert floor.p_value(1.0) == pytest.approx(1 / 31)
    assert noise_floor(METRICS["mcc"], factors, factors, repeats=3, seed=1).values == floor.values[:3]
    with pytest.raises(ValueError, match="at least one"):
        noise_floor(mcc, factors, factors, repeats=0)
