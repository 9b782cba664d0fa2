"""Scores of the codes alone: values that follow from their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics import mutual_info_score

from unmix.metrics import (
    InputError,
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    mutual_information_score,
)


@pytest.fixture
def codes():
    generator = np.random.default_rng(0)
    return generator.normal(size=(2000, 4)) @ generator.normal(size=(4, 4))


ANY = np.arange(2000)


def test_total_correlation_is_the_divergence_from_the_marginals(codes):
    covariance = np.cov(codes.T)
    marginals = np.diag(np.diag(covariance))
    # KL of two centred normal distributions.
    ratio = np.log(np.linalg.det(marginals) / np.linalg.det(covariance))
    expected = 0.5 * (np.trace(np.linalg.solve(marginals, covariance)) - 4 + ratio)
    assert gaussian_total_correlation(ANY, codes) == pytest.approx(expected)


def test_total_correlation_of_a_known_pair():
    generator = np.random.default_rng(1)
    pair = generator.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=100_000)
    assert gaussian_total_correlation(pair, pair) == pytest.approx(-0.5 * np.log(1 - 0.64), abs=0.01)


def test_total_correlation_of_a_copy_is_infinite(codes):
    copied = np.hstack([codes, codes[:, :1] * 3])
    result = gaussian_total_correlation(ANY, copied)
    assert result == np.inf
    assert "determine each other" in " ".join(result.warnings)


def test_wasserstein_is_the_distance_of_normal_distributions(codes):
    covariance = np.cov(codes.T)
    root = np.diag(np.sqrt(np.diag(covariance)))
    expected = 2 * np.trace(covariance) - 2 * np.trace(sqrtm(root @ covariance @ root).real)
    assert gaussian_wasserstein_correlation(ANY, codes) == pytest.approx(expected)
    normalised = gaussian_wasserstein_correlation(ANY, codes, normalised=True)
    assert normalised == pytest.approx(expected / np.trace(covariance))
    assert gaussian_wasserstein_correlation(ANY, 3 * codes) == pytest.approx(9 * expected)


def test_mutual_information_is_the_mean_over_pairs(codes):
    labels = [np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.T]
    pairs = [mutual_info_score(labels[i], labels[j]) for i in range(4) for j in range(4) if i != j]
    assert mutual_information_score(ANY, codes) == pytest.approx(np.mean(pairs))


def test_dead_codes_add_nothing_but_count_as_codes(codes):
    dead = np.hstack([codes, np.full((2000, 1), 0.1)])
    assert gaussian_total_correlation(ANY, dead) == pytest.approx(gaussian_total_correlation(ANY, codes))
    alive = gaussian_wasserstein_correlation(ANY, codes)
    assert gaussian_wasserstein_correlation(ANY, dead) == pytest.approx(alive)
    # disentanglement_lib divides by all pairs of codes, dead ones included.
    expected = mutual_information_score(ANY, codes) * 12 / 20
    assert mutual_information_score(ANY, dead) == pytest.approx(expected)


def test_factors_do_not_matter(codes):
    for score in (gaussian_total_correlation, gaussian_wasserstein_correlation, mutual_information_score):
        assert score(ANY, codes) == score(np.flip(ANY) % 7, codes)


def test_covariance_needs_more_samples_than_codes():
    with pytest.raises(InputError, match="do not determine the covariance"):
        gaussian_total_correlation(np.arange(5), np.random.default_rng(0).normal(size=(5, 6)))
