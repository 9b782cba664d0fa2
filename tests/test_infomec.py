"""InfoMEC, and the explicitness of DCI-ES."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from unmix.metrics.capacity import DEPTHS, area_above, dci_explicitness, truncated
from unmix.metrics.contract import InputError
from unmix.metrics.infomec import infoc, infoe, infom, preference

ORACLE = Path(__file__).parents[2] / "shared" / "oracle"
oracle = pytest.mark.skipif(not ORACLE.exists(), reason=f"the oracle is not at {ORACLE}")
KINDS = {"factor_types": ["ordinal"] * 2}


@cache
def expected() -> dict[str, Any]:
    return json.loads((ORACLE / "expected.json").read_text())["results"]


def case(name: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Training rows of a discrete oracle case, and the factors' types."""
    with np.load(ORACLE / "inputs" / f"{name}.npz") as arrays:
        n, k = int(arrays["n_train"]), arrays["factors"].shape[1]
        return arrays["factors"][:n], arrays["codes"][:n], {"factor_types": ["ordinal"] * k}


@oracle
@pytest.mark.parametrize("name", ["d_mixed__small", "d_dead__small", "d_noise__small", "d_merged__small"])
def test_stand_alone_release(name):
    factors, codes, kinds = case(name)
    record = expected()[name]["infomec"]["latent_quantization@mid"]
    modularity = infom(factors, codes, **kinds)
    ours = {
        "infom": modularity,
        "infoc": infoc(factors, codes, **kinds),
        "infoe": infoe(factors, codes, split="none", **kinds),
    }
    for key, value in ours.items():
        assert value == pytest.approx(record["values"][key], abs=record["tolerance"][key]), key
    assert modularity.details["active"].tolist() == [bool(each) for each in record["values"]["active_latents"]]


@oracle
@pytest.mark.parametrize("name", ["d_perfect__small", "d_dead__small", "d_square__small"])
def test_stand_alone_release_with_discrete_latents(name):
    factors, codes, kinds = case(name)
    record = expected()[name]["infomec_discrete_latents"]["latent_quantization@mid"]
    ours = {
        "infom": infom(factors, codes, latents="levels", **kinds),
        "infoc": infoc(factors, codes, latents="levels", **kinds),
        "infoe": infoe(factors, codes, latents="levels", split="none", **kinds),
    }
    for key, value in ours.items():
        assert value == pytest.approx(record["values"][key], abs=record["tolerance"][key]), key


def test_preferences_by_hand():
    rows = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [3.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert preference(rows) == pytest.approx([1.0, 0.0, (3 / 4 - 1 / 3) / (2 / 3), 0.0])
    assert preference(np.array([[2.0], [0.0]])).tolist() == [1.0, 0.0]


def test_the_two_releases_prune_and_estimate_differently():
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 4, size=(800, 2)).astype(float)
    codes = np.concatenate([factors, 0.1 * factors[:, :1] + 0.05 * factors[:, 1:]], axis=1)
    alone = infom(factors, codes, **KINDS)
    training = infom(factors, codes, neighbours=3, threshold=0.2, **KINDS)
    assert alone.details["active"].tolist() == [True, True, True]
    assert training.details["active"].tolist() == [True, True, False]
    assert alone < 0.9 < training


def test_codes_that_inform_about_nothing_count_0():
    """max / sum of nothing is NaN in the stand-alone release and left out in the training code."""
    factors = np.random.default_rng(0).integers(0, 2, size=(200, 2)).astype(float)
    assert infom(factors, np.ones((200, 3)), **KINDS) == 0.0
    assert infoc(factors, np.ones((200, 3)), **KINDS) == 0.0


def test_held_out_information_of_noise_is_not_positive():
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 3, size=(300, 2)).astype(float)
    codes = generator.normal(size=(300, 10))
    assert infoe(factors, codes, **KINDS) < 0 < infoe(factors, codes, split="none", **KINDS)


def test_unconverged_regressions_become_warnings():
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 40, size=(800, 1)).astype(float)
    codes = (factors - 20) / 12 @ generator.normal(size=(1, 6)) + 0.3 * generator.normal(size=(800, 6))
    score = infoe(factors, codes, factor_types=["ordinal"], split="none")
    assert "has not converged" in " ".join(score.warnings)


def test_continuous_factors_are_refused():
    with pytest.raises(InputError, match="factor 0 is continuous"):
        infom(np.random.default_rng(0).normal(size=(50, 2)), np.ones((50, 2)))


@oracle
def test_explicitness_of_dci_es_on_the_rows_that_it_scored():
    """DCI-ES validates on the first half of the other rows and scores the second."""
    with np.load(ORACLE / "inputs" / "d_noise__small.npz") as arrays:
        rows = np.r_[0:2000, 2500:3000]
        factors, codes = arrays["factors"][rows], arrays["codes"][rows]
    record = expected()["d_noise__small"]["dci_es_explicitness_rf"]["dci_es@mid"]
    settings = {"factor_types": ["ordinal"] * 5, "split": "ordered", "train": 2000}
    scores = [dci_explicitness(factors, codes, seed=seed, **settings) for seed in range(3)]
    values, tolerance = record["values"], record["tolerance"]
    assert np.mean(scores) == pytest.approx(values["explicitness"], abs=tolerance["explicitness"])
    best = np.mean([score.details["informativeness"] for score in scores])
    assert best == pytest.approx(values["best_informativeness"], abs=tolerance["best_informativeness"])
    assert scores[0].details["size"] == pytest.approx(0.5)


def test_a_forest_cut_at_its_depth_is_itself():
    generator = np.random.default_rng(0)
    codes, tags = generator.normal(size=(200, 3)), generator.integers(0, 3, size=200)
    forest = RandomForestClassifier(10, max_depth=32, random_state=0).fit(codes, tags)
    values = truncated(forest, codes)
    np.testing.assert_allclose(values[-1], forest.predict_proba(codes), atol=1e-12)
    stump = RandomForestClassifier(300, max_depth=2, random_state=0).fit(codes, tags).predict_proba(codes)
    deep = RandomForestClassifier(300, max_depth=32, random_state=1).fit(codes, tags)
    assert np.abs(truncated(deep, codes)[DEPTHS.index(2)] - stump).mean() < 0.01


def test_area_above_the_curve_by_hand():
    flat = np.full(len(DEPTHS), 0.3)
    assert area_above(flat, 1.0) == 1.0
    step = np.where(np.array(DEPTHS) == 1, 0.5, 0.0)
    assert area_above(step, 0.5) == pytest.approx(1 - 2 * 0.25 / (31 * 0.5))
    assert area_above(step[::-1] * 0 + np.maximum.accumulate(step), 0.5) == 1.0
