"""MIG and its family, modularity, and the estimators of mutual information beneath them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.metrics import mutual_info_score

from unmix.metrics.contract import check
from unmix.metrics.information import dcimig, gap, jemmig, mig, mig_neighbours, mig_sup, modularity
from unmix.metrics.mutual_information import (
    entropy,
    joint_entropy,
    kraskov,
    mutual_information,
    neighbour_information,
    quantile_bins,
    ross,
)

ORACLE = Path(__file__).parents[2] / "shared" / "oracle"
oracle = pytest.mark.skipif(not ORACLE.exists(), reason=f"the oracle is not at {ORACLE}")
CASES = sorted(path.stem for path in (ORACLE / "inputs").glob("*__small.npz"))
ORDINAL = ["ordinal"] * 2


@cache
def expected() -> dict[str, Any]:
    return json.loads((ORACLE / "expected.json").read_text())["results"]


def case(name: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Training rows of an oracle case: factors, codes, factor types."""
    with np.load(ORACLE / "inputs" / f"{name}.npz") as arrays:
        n, kind = int(arrays["n_train"]), "ordinal" if bool(arrays["discrete"]) else "continuous"
        return arrays["factors"][:n], arrays["codes"][:n], [kind] * arrays["factors"].shape[1]


def grid(*sizes: int, repeats: int = 1) -> np.ndarray:
    """All combinations of levels: independent to the digit."""
    axes = np.meshgrid(*map(np.arange, sizes), indexing="ij")
    return np.tile(np.stack(axes, axis=-1).reshape(-1, len(sizes)).astype(float), (repeats, 1))


MIRRORS = {
    ("mig", "dlib@new", "discrete_mig"): (mig, {}),
    ("mig[factors_hist20]", "dlib@new", "discrete_mig"): (mig, {}),
    ("mig", "disent@mid", "mig.discrete_score"): (mig, {}),
    ("mig", "correlated_factors@mid", "score"): (mig, {"bin_factors": True}),
    ("mig", "ubisoft@old", "score"): (mig, {"bins": 10, "normaliser": "code"}),
    ("mig[bins=20]", "ubisoft@old", "score"): (mig, {"normaliser": "code"}),
    ("mig_sup", "ubisoft@old", "score"): (mig_sup, {"bins": 10}),
    ("jemmig", "ubisoft@old", "score"): (jemmig, {"bins": 10}),
    ("dcimig", "ubisoft@old", "score"): (dcimig, {"bins": 10}),
    ("modularity", "ubisoft@old", "score"): (modularity, {"bins": 10}),
    ("modularity", "correlated_factors@mid", "score"): (modularity, {"bin_factors": True}),
    ("modularity_explicitness", "dlib@new", "modularity_score"): (modularity, {}),
    ("modularity_explicitness[factors_hist20]", "dlib@new", "modularity_score"): (modularity, {}),
}


@oracle
@pytest.mark.parametrize("mirror", MIRRORS, ids="-".join)
def test_counted_information_agrees_with_the_references(mirror):
    metric, implementation, key = mirror
    function, settings = MIRRORS[mirror]
    compared = 0
    for name in CASES:
        record = expected().get(name, {}).get(metric, {}).get(implementation, {})
        factors, codes, types = case(name)
        if record.get("tolerance", {}).get(key) is None:
            continue
        compared += 1
        ours = function(factors, codes, factor_types=types, **settings)
        assert ours == pytest.approx(record["values"][key], abs=record["tolerance"][key]), name
    assert compared >= 12


@oracle
@pytest.mark.parametrize("name", ["d_dead__small", "d_dead_first__small", "c_dead__small"])
def test_dead_codes_have_a_value_where_references_divide_0_by_0(name):
    """Ubisoft's and correlated-factors' modularity, and Ubisoft's MIG, give NaN (notes.md, item 5)."""
    factors, codes, types = case(name)
    references = expected()[name]
    assert references["modularity"]["ubisoft@old"]["values"]["score"] == "nan"
    assert references["mig"]["ubisoft@old"]["values"]["score"] == "nan"
    dead = np.ptp(codes, axis=0) == 0
    live = modularity(factors, codes[:, ~dead], factor_types=types, bins=10)
    assert modularity(factors, codes, factor_types=types, bins=10) == pytest.approx(live * (~dead).mean())
    for normaliser in ("code", "factor"):
        settings = {"factor_types": types, "bins": 10, "normaliser": normaliser}
        assert mig(factors, codes, **settings) == pytest.approx(mig(factors, codes[:, ~dead], **settings))


@oracle
def test_ubisoft_divides_by_the_wrong_entropy():
    """Its MIG is of H(code), not H(factor), as the paper's is (notes.md, item 2): squared factors score 0.998."""
    factors, codes, types = case("d_square__small")
    assert mig(factors, codes, factor_types=types, bins=10, normaliser="code") > 0.99
    assert mig(factors, codes, factor_types=types) == pytest.approx(0.566, abs=1e-3)


def test_mutual_information_is_scikit_learns():
    generator = np.random.default_rng(0)
    left, right = generator.integers(0, 5, size=(400, 3)), generator.integers(0, 9, size=(400, 4))
    right[:, 0] = left[:, 1] + generator.integers(0, 2, size=400)
    right[:, 3] = 7
    theirs = [[mutual_info_score(a, b) for b in right.T] for a in left.T]
    np.testing.assert_allclose(mutual_information(left, right), theirs, atol=1e-12)
    assert (mutual_information(left, right)[:, 3] == 0).all()


def test_entropies_of_known_tables():
    labels = np.array([[0, 0, 5], [0, 1, 5], [1, 0, 5], [1, 1, 5]])
    np.testing.assert_allclose(entropy(labels), np.log([2, 2, 1]))
    np.testing.assert_allclose(joint_entropy(labels[:, :2], labels[:, 1:]), np.log([[4, 2], [2, 2]]))


def test_quantile_bins_hold_equal_mass_and_keep_levels():
    values = np.stack([np.random.default_rng(0).normal(size=1000), np.repeat(np.arange(4), 250)], axis=1)
    labels = quantile_bins(values, 20)
    assert (np.bincount(labels[:, 0]) == 50).all()
    assert len(np.unique(labels[:, 1])) == 4


def test_neighbour_estimators_are_scikit_learns_on_continuous_codes():
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 5, size=(500, 2))
    codes = factors @ generator.normal(size=(2, 3)) + generator.normal(size=(500, 3))
    checked = check(factors, codes, ["ordinal"] * 2)
    theirs = [mutual_info_classif(codes, column, n_neighbors=5, random_state=0) for column in factors.T]
    np.testing.assert_allclose(neighbour_information(checked, 5, 0), theirs, atol=1e-4)
    targets = codes[:, :2] + generator.normal(size=(500, 2))
    theirs = [mutual_info_regression(codes, column, n_neighbors=5, random_state=0) for column in targets.T]
    np.testing.assert_allclose(neighbour_information(check(targets, codes), 5, 0), theirs, atol=1e-4)


def test_neighbour_estimators_know_closed_forms():
    generator = np.random.default_rng(0)
    z = generator.normal(size=4000)
    c = 0.8 * z + 0.6 * generator.normal(size=4000)
    assert kraskov(c, z, 3) == pytest.approx(-0.5 * np.log(1 - 0.8**2), abs=0.04)
    tags = generator.integers(0, 2, size=4000)
    # Uniform on [0, 2) against [1, 3): an overlap of one half leaves half a bit.
    assert ross(tags + 2 * generator.random(4000), tags, 3) == pytest.approx(np.log(2) / 2, abs=0.04)
    assert ross(z, np.arange(4000), 3) == 0.0


def test_gap_of_one_is_to_nothing():
    assert gap(np.array([[0.3], [0.5]]), axis=1).tolist() == [0.3, 0.5]
    assert gap(np.array([[0.3, 0.1, 0.2]]), axis=1) == pytest.approx([0.1])


@pytest.mark.parametrize("function", [mig, mig_sup, dcimig, modularity, jemmig])
def test_one_code_and_one_factor(function):
    factor = grid(4, repeats=10)
    assert function(factor, factor, factor_types=["ordinal"]) == pytest.approx(1.0)
    assert function(factor, np.ones_like(factor), factor_types=["ordinal"]) == 0.0


def test_values_by_hand():
    """Two bits; code 0 holds bit 0, code 1 holds both: 2 nats' worth of counting on one's fingers."""
    factors = grid(2, 2, repeats=5)
    codes = np.stack([factors[:, 0], factors @ [2.0, 1.0]], axis=1)
    assert mig(factors, codes, factor_types=ORDINAL) == pytest.approx(0.5)
    assert mig_sup(factors, codes, factor_types=ORDINAL) == pytest.approx(0.5)
    assert dcimig(factors, codes, factor_types=ORDINAL) == pytest.approx(0.5)
    assert modularity(factors, codes, factor_types=ORDINAL) == pytest.approx(0.5)
    one, two = np.log(2), np.log(20)
    by_hand = np.mean([1 - (one - one + one) / (one + two), 1 - (2 * one - one) / (one + two)])
    assert jemmig(factors, codes, factor_types=ORDINAL) == pytest.approx(by_hand)


def test_types_not_values_decide_what_is_binned():
    factors = np.random.default_rng(0).integers(0, 40, size=(4000, 2)).astype(float)
    assert mig(factors, factors, factor_types=ORDINAL) < 0.85
    assert mig(factors, factors) > 0.95
    assert mig(factors, factors, factor_types=["periodic"] * 2) == mig(factors, factors)
    assert mig(factors, factors, factor_types=ORDINAL, bin_factors=True) == mig(factors, factors)


def test_one_outlier_ruins_equal_widths_but_not_equal_masses_or_neighbours():
    factors = np.random.default_rng(0).integers(0, 5, size=(3000, 2)).astype(float)
    codes = factors + 0.01 * np.random.default_rng(1).normal(size=factors.shape)
    outlier = codes.copy()
    outlier[0] *= 1000
    assert mig(factors, outlier, factor_types=ORDINAL) < 0.1
    for settings in ({"scheme": "quantile"},):
        assert mig(factors, outlier, factor_types=ORDINAL, **settings) > 0.95
    assert mig_neighbours(factors, outlier, factor_types=ORDINAL) > 0.95


def test_neighbour_gap_of_continuous_factors_is_the_absolute_correlation_of_normals():
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(4000, 2))
    codes = 0.8 * factors + 0.6 * generator.normal(size=(4000, 2))
    score = mig_neighbours(factors, codes)
    # The second best is an independent code, whose small estimate the square root enlarges.
    assert 0.55 < score < 0.8
    assert np.sqrt(1 - np.exp(-2 * np.diag(score.details["mutual_information"]))) == pytest.approx(0.8, abs=0.03)
    assert mig_neighbours(factors, factors, neighbours=3) > 0.8
