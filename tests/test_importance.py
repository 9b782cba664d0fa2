"""DCI with its predictors, and MED: scores of an importance matrix."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from unmix.metrics import boosting
from unmix.metrics.boosting import boost, cut
from unmix.metrics.contract import InputError
from unmix.metrics.importance import (
    completeness,
    concentration,
    dci,
    dci_completeness,
    dci_informativeness,
    disentanglement,
)
from unmix.metrics.information_shares import med, med_completeness, med_informativeness, purest
from unmix.metrics.predictors import fit

ORACLE = Path(__file__).parents[2] / "shared" / "oracle"
oracle = pytest.mark.skipif(not ORACLE.exists(), reason=f"the oracle is not at {ORACLE}")


@cache
def expected() -> dict[str, Any]:
    return json.loads((ORACLE / "expected.json").read_text())["results"]


def case(name: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Factors and codes of all rows, and the settings that split them as the references did."""
    with np.load(ORACLE / "inputs" / f"{name}.npz") as arrays:
        kind = "ordinal" if bool(arrays["discrete"]) else "continuous"
        settings = {"factor_types": [kind] * arrays["factors"].shape[1], "train": int(arrays["n_train"])}
        return arrays["factors"], arrays["codes"], {**settings, "split": "ordered"}


def small(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    factors = generator.integers(0, (2, 3, 4), size=(n, 3)).astype(float)
    return factors, factors @ (np.eye(3) + 0.3) + 0.3 * generator.normal(size=(n, 3))


KINDS = {"factor_types": ["ordinal"] * 3}


def test_concentration_by_hand():
    rows = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    assert concentration(rows) == pytest.approx([1.0, 0.0, 1 - np.log(2) / np.log(3), 0.0])
    assert concentration(np.array([[3.0], [0.0]])) == pytest.approx([1.0, 0.0])


def test_weights_by_hand():
    importance = np.array([[3.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    assert disentanglement(importance) == pytest.approx(3 / 4)
    base = np.log(3)
    parts = np.array([3 / 3.5, 0.5 / 3.5])
    spread = 1 + (parts * np.log(parts)).sum() / base
    assert completeness(importance) == pytest.approx((3.5 * spread + 0.5) / 4)
    assert completeness(importance, "mean") == pytest.approx((spread + 1) / 2)


@oracle
@pytest.mark.parametrize("name", ["d_mixed__small", "c_affine__small", "d_perfect__small", "c4_mixed__small"])
def test_lasso_in_sample_is_ubisofts(name):
    factors, codes, settings = case(name)
    n, types = settings["train"], settings["factor_types"]
    values = expected()[name]["dci_lasso"]["ubisoft@old"]["values"]
    given = {"factor_types": types, "predictor": "lasso", "split": "none", "scale": "minmax"}
    assert dci(factors[:n], codes[:n], **given) == pytest.approx(values["disentanglement"], abs=1e-6)
    assert dci_completeness(factors[:n], codes[:n], weighting="mean", **given) == pytest.approx(
        values["completeness"], abs=1e-6
    )
    assert dci_informativeness(factors[:n], codes[:n], **given) == pytest.approx(values["informativeness"], abs=1e-6)


@oracle
def test_ubisoft_stops_at_the_first_dead_code():
    """`break` where `continue` was meant (notes.md, item 3): its disentanglement is 0, that of the rest 1."""
    factors, codes, settings = case("d_dead_first__small")
    n = settings["train"]
    given = {"factor_types": settings["factor_types"], "predictor": "lasso", "split": "none", "scale": "minmax"}
    assert expected()["d_dead_first__small"]["dci_lasso"]["ubisoft@old"]["values"]["disentanglement"] == 0.0
    assert dci(factors[:n], codes[:n], **given) == pytest.approx(1.0, abs=1e-6)
    assert dci(factors[:n], codes[:n, 1:], **given) == pytest.approx(1.0, abs=1e-6)


@oracle
@pytest.mark.slow
@pytest.mark.parametrize("name", ["d_mixed__small", "d_wide__small"])
def test_exact_boosting_is_disentanglement_libs(name):
    factors, codes, settings = case(name)
    record = expected()[name]["dci_gbt"]["dlib@new"]
    score = dci(factors, codes, predictor="gbt_exact", **settings)
    ours = {
        "disentanglement": score,
        "completeness": score.details["completeness"],
        "informativeness_test": score.details["informativeness"].mean(),
        "informativeness_train": score.details["informativeness_fitted"].mean(),
    }
    for key, value in ours.items():
        assert value == pytest.approx(record["values"][key], abs=record["tolerance"][key])


@oracle
@pytest.mark.parametrize(
    ("name", "within"), [("d_merged__small", 1e-6), ("d_square__small", 1e-6), ("d_mixed__small", 0.003)]
)
def test_histogram_boosting_stays_near_the_exact(name, within):
    """Codes of at most 128 levels are cut exactly; others deviate by up to 0.009 (shapes3d_wide)."""
    factors, codes, settings = case(name)
    values = expected()[name]["dci_gbt"]["dlib@new"]["values"]
    score = dci(factors, codes, predictor="gbt", **settings)
    assert score == pytest.approx(values["disentanglement"], abs=within)
    assert score.details["completeness"] == pytest.approx(values["completeness"], abs=within)
    held = score.details["informativeness"].mean()
    assert held == pytest.approx(values["informativeness_test"], abs=max(2 * within, 1e-3))


@oracle
@pytest.mark.parametrize("name", ["d_perfect__small", "d_merged__small"])
def test_forest_is_dci_es(name):
    factors, codes, settings = case(name)
    record = expected()[name]["dci_rf[depth=8]"]["dci_es@mid"]
    score = dci(factors, codes, predictor="forest", depth=8, **settings)
    assert score == pytest.approx(record["values"]["disentanglement"], abs=record["tolerance"]["disentanglement"])


@oracle
@pytest.mark.parametrize("name", ["d_mixed__small", "d_dead__small", "c_mixed__small", "c_overcomplete_dup__small"])
def test_med_is_its_authors(name):
    factors, codes, settings = case(name)
    n, kinds = settings["train"], {"factor_types": settings["factor_types"]}
    record = expected()[name]["med" if name.startswith("d") else "med[factors_hist20]"]["dlib_med@new"]
    ours = {
        "disentanglement": med(factors[:n], codes[:n], **kinds),
        "completeness": med_completeness(factors[:n], codes[:n], **kinds),
        "top1_disentanglement": med(factors[:n], codes[:n], top=1, **kinds),
        "top1_completeness": med_completeness(factors[:n], codes[:n], top=1, **kinds),
        "informativeness_train": med_informativeness(factors[:n], codes[:n], split="none", **kinds),
    }
    for key, value in ours.items():
        tolerance = max(record["tolerance"][key], 2 * record["old_new_absdiff"][key])
        assert value == pytest.approx(record["values"][key], abs=tolerance), key


def test_purest_codes_of_each_factor():
    importance = np.array([[0.9, 0.1], [0.6, 0.4], [0.0, 0.5], [0.2, 0.3], [1.0, 0.0]])
    kept = purest(importance, 1)
    assert sorted(map(tuple, kept.tolist())) == [(0.0, 0.5), (1.0, 0.0)]
    assert len(purest(importance, 2)) == 4


@pytest.mark.parametrize("levels", [2, 3])
def test_boosting_is_scikit_learns_where_nothing_is_binned_and_no_splits_tie(levels, monkeypatch):
    """As many samples as 128 bins hold, and rounds before small nodes make splits tie."""
    monkeypatch.setattr(boosting, "ROUNDS", 4)
    monkeypatch.setattr(boosting, "DEPTH", 2)
    generator = np.random.default_rng(0)
    codes = generator.normal(size=(128, 3))
    tags = np.searchsorted([0.0, 0.8][: levels - 1], codes @ [1, 0.7, 0.4] + generator.normal(size=128))
    target = (tags[:, None] == np.arange(levels)).astype(float)
    model = GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0).fit(codes, tags)
    loss, columns = ("binary", target[:, 1:]) if levels == 2 else ("multinomial", target)
    importance, outputs = boost(cut(codes, codes), columns, loss)
    theirs = model.decision_function(codes).reshape(128, -1)
    if levels == 3:
        # Log-odds of classes are known up to a common term.
        outputs, theirs = (each - each.mean(axis=1, keepdims=True) for each in (outputs, theirs))
    np.testing.assert_allclose(outputs, theirs, atol=1e-9)
    shares = importance.sum(axis=1) / importance.sum()
    np.testing.assert_allclose(shares, model.feature_importances_, atol=1e-9)


def test_boosted_regression_is_scikit_learns_also_on_new_rows():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 30, size=(400, 3)).astype(float)
    target = codes[:, 0] + 0.1 * codes[:, 1] ** 2
    model = GradientBoostingRegressor(random_state=0).fit(codes[:300], target[:300])
    outputs = boost(cut(codes[:300], codes), target[:300, None], "squared").outputs[:, 0]
    np.testing.assert_allclose(outputs[:300], model.predict(codes[:300]), atol=0.05)
    assert np.corrcoef(outputs[300:], model.predict(codes[300:]))[0, 1] > 0.999


def test_codes_that_would_save_as_much_share_the_credit():
    code = np.random.default_rng(0).normal(size=(100, 1))
    codes = np.concatenate([code, code], axis=1)
    importance = boost(cut(codes, codes), code**2, "squared").importance[:, 0]
    assert importance[0] == pytest.approx(importance[1])


def test_monotone_maps_of_codes_change_no_boosted_tree():
    factors, codes = small()
    assert dci(factors, np.exp(codes), predictor="gbt", **KINDS) == dci(factors, codes, predictor="gbt", **KINDS)


def test_types_not_values_choose_classifier_or_regressor():
    factors, codes = small()
    classes = dci(factors, codes, predictor="gbt", factor_types=["ordinal"] * 3)
    numbers = dci(factors, codes, predictor="gbt", factor_types=["continuous"] * 3)
    assert classes != numbers
    assert dci(factors + 0.5, codes, predictor="gbt", factor_types=["ordinal"] * 3) == classes


def test_an_angle_coded_by_its_cosine_and_sine_is_predicted():
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(800, 1))
    codes = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    given = {"factor_types": ["periodic"], "factor_periods": [2 * np.pi]}
    for predictor in ("gbt", "lasso"):
        score = dci_informativeness(angle, codes, predictor=predictor, **given)
        assert score > 0.97
        assert score.details["importance"][:, 0] == pytest.approx(score.details["importance"].mean(), rel=0.15)
    with pytest.raises(InputError, match="period"):
        dci(angle, codes, predictor="lasso", factor_types=["periodic"])


def test_three_scores_share_one_fit():
    factors, codes = small(seed=7)
    before = fit.cache_info()
    for function in (dci, dci_completeness, dci_informativeness):
        function(factors, codes, predictor="lasso", **KINDS)
    after = fit.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)
    dci(factors, codes, predictor="lasso", seed=1, **KINDS)
    dci(factors, codes + 1e-3 * codes**2, predictor="lasso", **KINDS)
    assert fit.cache_info().misses - after.misses == 2


@pytest.mark.parametrize("predictor", ["gbt", "gbt_exact", "forest", "lasso"])
def test_dead_codes_alone_are_of_no_use(predictor):
    factors, _ = small(60)
    score = dci(factors, np.ones((60, 2)), predictor=predictor, **KINDS)
    assert score == 0.0
    assert score.details["completeness"] == 0.0


def test_a_factor_that_does_not_vary_among_the_rows_to_fit_is_reported():
    factors, codes = small(90)
    factors[:60, 0] = 1
    score = dci(factors, codes, predictor="gbt", split="ordered", train=60, **KINDS)
    assert "factor 0 does not vary among the rows to fit" in score.warnings
    assert (score.details["importance"][:, 0] == 0).all()
