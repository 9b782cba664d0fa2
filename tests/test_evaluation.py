"""Codes and factors of a dataset to scores: what a metric is told of the factors."""

from __future__ import annotations

import numpy as np
import pytest

from unmix.datasets.dsprites import DSpritesProcedural
from unmix.evaluation import Evaluation, score, types_for
from unmix.factors import Factor
from unmix.metrics import sap
from unmix.run import specify
from unmix.types import DeclinedError


def test_a_metric_without_angles_takes_their_levels_as_ordered_and_says_so() -> None:
    dataset = DSpritesProcedural()
    generator = np.random.default_rng(0)
    factors = generator.integers(dataset.grid.sizes, size=(500, 6)).astype(np.float32)
    codes = factors[:, 1:] + generator.normal(size=(500, 5)).astype(np.float32)
    found = score(codes, factors, dataset, ("sap", "dci(lasso)"), 0)
    types = ["categorical", "categorical", "ordinal", "ordinal", "ordinal", "ordinal"]
    assert found["sap"] == sap(factors, codes, factor_types=types)
    assert "taken as numbers, not as angles: orientation" in found["sap"].warnings
    assert not any("taken as numbers" in warning for warning in found["dci(lasso)"].warnings)


def test_a_metric_without_meaning_is_declined_before_training() -> None:
    with pytest.raises(DeclinedError, match="beta_vae has no meaning for the factor z0, which is continuous"):
        specify({"name": "synthetic"}, {"name": "pca"}, 0, Evaluation(metrics=("mcc", "beta_vae")))


def test_a_constant_factor_declines_nothing() -> None:
    factors = (Factor("colour", "categorical", 1), Factor("x", "ordinal", 4))
    assert types_for("sap(correlation)", factors) == (["ordinal", "ordinal"], "")
