"""R²: values that follow from its definition."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from unmix import METRICS
from unmix.metrics import InputError, block_identifiability, r2


@pytest.fixture
def factors():
    return np.random.default_rng(0).normal(size=(1000, 3))


def noise(n, d, seed=1):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_in_sample_is_scikit_learns(factors):
    codes = factors @ noise(3, 5) + noise(1000, 5) + 7
    expected = r2_score(factors, LinearRegression().fit(codes, factors).predict(codes))
    assert METRICS["r2(in_sample)"](factors, codes) == pytest.approx(expected)


def test_ordered_fits_the_first_half_and_scores_the_second(factors):
    codes = factors + noise(1000, 3)
    expected = r2_score(
        factors[500:], LinearRegression().fit(codes[:500], factors[:500]).predict(codes[500:])
    )
    assert METRICS["r2(ordered)"](factors, codes) == pytest.approx(expected)


def test_random_halves_stand_rows_in_order():
    """Sorted rows: the second half lies outside of what the first shows, and ordered halves say so."""
    factors = np.sort(np.random.default_rng(0).normal(size=(2000, 1)), axis=0)
    codes = np.tanh(factors)
    assert METRICS["r2(ordered)"](factors, codes) < 0.5
    assert r2(factors, codes) > 0.85


def test_offset_and_scale_do_not_matter(factors):
    codes = factors * [1e-6, 1, 1e6] + [3, -1e3, 1e7]
    assert r2(factors, codes) == pytest.approx(1)
    assert METRICS["r2(in_sample)"](factors + 100, codes) == pytest.approx(1)


def test_noise_is_not_clipped():
    """metrics.md: pure noise, 300 x 100: in-sample 0.32, held out -2.38."""
    draws = [(noise(300, 5, seed), noise(300, 100, seed + 99)) for seed in range(20)]
    values = np.array([[METRICS["r2(in_sample)"](*draw), r2(*draw)] for draw in draws])
    error = values.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert abs(values[:, 0].mean() - 100 / 299) < 4 * error[0]
    # Fitted on m = 150 of which d = 100 codes: E = 1 - (1 + d / (m - d - 2)) up to the mean's own error 1/m.
    assert abs(values[:, 1].mean() - -100 / 48) < 4 * error[1] + 0.05


def test_uniform_mean_over_factors(factors):
    codes = np.stack([factors[:, 0], noise(1000, 1)[:, 0]], axis=1)
    result = METRICS["r2(in_sample)"](factors * [100, 1, 1], codes)
    assert result.details["per_factor"] == pytest.approx([1, 0, 0], abs=0.02)
    assert result == pytest.approx(1 / 3, abs=0.01)


def test_adjusted_counts_the_codes(factors):
    codes = noise(1000, 8)
    plain = METRICS["r2(in_sample)"](factors, codes)
    assert METRICS["r2(adjusted)"](factors, codes) == pytest.approx(1 - (1 - plain) * 999 / 991)
    with pytest.raises(InputError, match="scored samples"):
        METRICS["r2(adjusted)"](factors[:8], codes[:8])


@pytest.mark.parametrize("name", ["r2", "r2(in_sample)"])
def test_more_codes_than_samples_is_said(name):
    result = METRICS[name](noise(30, 2), noise(30, 40, 2))
    assert np.isfinite(result)
    assert "d = 40 codes fit anything exactly" in " ".join(result.warnings)


def test_copies_of_a_code_do_not_matter(factors):
    codes = factors @ noise(3, 3)
    doubled = np.hstack([codes, codes, np.ones((1000, 1))])
    assert r2(factors, doubled) == pytest.approx(r2(factors, codes))


ANGLE = np.random.default_rng(3).uniform(0, 360, size=(2000, 1))
PAIR = np.hstack([np.cos(np.radians(ANGLE)), np.sin(np.radians(ANGLE))])


@pytest.mark.parametrize("name", ["r2", "r2(in_sample)", "r2(kernel)"])
def test_a_perfect_code_of_an_angle_scores_one(name):
    assert METRICS[name](ANGLE, PAIR) < 1
    as_angle = METRICS[name](ANGLE, PAIR, factor_types=["periodic"], factor_periods=[360.0])
    assert as_angle == pytest.approx(1, abs=1e-3)
    shifted = METRICS[name](ANGLE + 77, PAIR, factor_types=["periodic"], factor_periods=[360.0])
    assert shifted == pytest.approx(as_angle)


def test_raw_angle_loses_what_the_notes_measured():
    assert METRICS["r2(in_sample)"](ANGLE, PAIR) == pytest.approx(0.61, abs=0.02)


def test_half_of_an_angle_is_half():
    half = METRICS["r2"](ANGLE, PAIR[:, :1], factor_types=["periodic"], factor_periods=[360.0])
    assert half == pytest.approx(0.5, abs=0.02)


def test_an_angle_needs_its_period():
    with pytest.raises(InputError, match="give its period"):
        r2(ANGLE, PAIR, factor_types=["periodic"])


def test_labels_of_a_category_do_not_matter():
    labels = np.random.default_rng(0).integers(0, 4, size=(600, 1))
    codes = (labels == np.arange(4)) + 0.3 * noise(600, 4)
    renamed = np.array([7, 2, 9, 0])[labels]
    given = {"factor_types": ["categorical"]}
    assert r2(labels, codes, **given) == pytest.approx(r2(renamed, codes, **given))
    assert r2(labels, codes, **given) > 0.6


def test_kernel_sees_what_a_line_does_not(factors):
    codes = np.hstack([np.sinh(factors), factors**2])
    assert METRICS["r2(kernel)"](factors, codes) > 0.95
    curved = factors[:, :1] ** 2
    assert r2(curved, factors[:, :1]) < 0.1
    assert METRICS["r2(kernel)"](curved, factors[:, :1]) > 0.95
    assert METRICS["r2(kernel,gamma=0.1)"](curved, factors[:, :1]) > 0.8


def test_kernel_is_held_out():
    assert METRICS["r2(kernel)"](noise(400, 2), noise(400, 30, 2)) < 0.1


def test_factor_without_variance_where_it_is_scored_is_left_out():
    factors = np.stack([np.arange(8) < 1, np.arange(8) % 2], axis=1)
    result = METRICS["r2(ordered)"](factors, factors[:, 1])
    assert result == pytest.approx(1)
    assert "left out: [0]" in " ".join(result.warnings)
    with pytest.raises(InputError, match="no factor varies"):
        METRICS["r2(ordered)"](factors[:, 0], factors[:, 1])


@pytest.mark.parametrize("kernel", [False, True])
def test_block_identifiability_tells_content_from_style(factors, kernel):
    codes = factors[:, :2] @ noise(2, 2)
    result = block_identifiability(factors, codes, content=[0, 1], kernel=kernel)
    assert result == pytest.approx(1, abs=0.01)
    assert result.details["style"] == pytest.approx([0], abs=0.1)
    leaking = block_identifiability(factors, factors, content=[0, 1], kernel=kernel)
    assert leaking.details["style"] == pytest.approx([1], abs=0.01)


def test_block_identifiability_counts_columns_as_they_were_given(factors):
    """A constant factor before the content moves nothing, and is no content itself."""
    moved = np.insert(factors, 0, 3.0, axis=1)
    expected = block_identifiability(factors, factors[:, :2], content=[1], kernel=False)
    result = block_identifiability(moved, factors[:, :2], content=[2], kernel=False)
    assert result == expected
    assert result.details["style"] == pytest.approx(expected.details["style"])
    with pytest.raises(InputError, match=r"content columns \[0\] are constant"):
        block_identifiability(moved, factors, content=[0, 2])


def test_block_identifiability_refuses_what_is_no_block(factors):
    for content in (None, [], [3], [-1]):
        with pytest.raises(InputError, match="content columns"):
            block_identifiability(factors, factors, content=content)
