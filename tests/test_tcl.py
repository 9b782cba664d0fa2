"""TCL: its features and its loss at the ends, and what it identifies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unmix.baselines.tcl import Features
from unmix.evaluation import codes_and_factors
from unmix.metrics import mcc, r2
from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer
from unmix.types import DeclinedError

SEGMENTED = {"name": "nonstationary", "n": 3, "segments": 20, "layers": 2, "quantile": 0.5, "pool": 200, "low": 0.1}


def test_features_are_powers_of_absolute_values() -> None:
    codes = torch.tensor([[-2.0, 3.0], [0.5, -1.0]])
    torch.testing.assert_close(Features(torch.nn.Identity(), 1.0)(codes), codes.abs())
    torch.testing.assert_close(Features(torch.nn.Identity(), 2.0)(codes), codes.square())


def test_segments_without_a_difference_cost_log_of_their_number() -> None:
    dataset = make_dataset({**SEGMENTED, "low": 1.0, "high": 1.0, "segments": 8}, 0)
    trainer = Trainer(points=2)
    recipe = {"steps": 120, "batch": 512, "warmup": 10, "lr_adam": 1e-2}
    make_method({"name": "tcl", "recipe": recipe}).fit(dataset, derived_generator(0, "training"), trainer)
    assert trainer.curve[-1].loss == pytest.approx(math.log(8), abs=0.05)


@pytest.mark.slow
def test_absolute_latents_are_identified_up_to_a_linear_map() -> None:
    """Theorem 1; signs are not identified, so the latents themselves are not."""
    dataset = make_dataset(SEGMENTED, 0)
    recipe = {"steps": 1500, "batch": 512, "warmup": 20, "lr_adam": 1e-2}
    encoder = make_method({"name": "tcl", "recipe": recipe}).fit(dataset, derived_generator(0, "training"), Trainer())
    codes, factors = codes_and_factors(encoder, dataset, 3000, derived_generator(0, "evaluation"))
    observations, _ = dataset.sample(3000, derived_generator(0, "evaluation"))
    identified, floor = r2(np.abs(factors), codes), r2(np.abs(factors), observations.abs().numpy())
    assert identified > 0.9 > floor + 0.1
    assert mcc(np.abs(factors), codes) > 0.85


def test_data_without_an_auxiliary_are_declined() -> None:
    dataset = make_dataset({"name": "synthetic", "n": 3, "pool": 100}, 0)
    with pytest.raises(DeclinedError, match="tcl needs an auxiliary variable"):
        make_method({"name": "tcl"}).fit(dataset, derived_generator(0, "training"), Trainer())


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"p": 0.5}, {"d": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make_method({"name": "tcl", **wrong})
