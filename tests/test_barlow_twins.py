"""Barlow Twins: its loss against closed forms, and what it identifies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unmix.baselines.barlow_twins import barlow_twins
from unmix.run import make_method

GENERATOR = torch.Generator().manual_seed(0)
DECORRELATED = torch.tensor([[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], dtype=torch.float64)


def test_identical_decorrelated_codes_have_no_loss_at_any_scale() -> None:
    stretched = DECORRELATED * torch.tensor([5.0, 100.0]) + 3
    assert barlow_twins(DECORRELATED, stretched).item() == pytest.approx(0, abs=1e-9)


def test_swapped_and_repeated_codes() -> None:
    """Swapped, the diagonal is 0 and the rest 1; repeated, everything is 1; constant, everything is 0."""
    swapped, repeated = DECORRELATED.flip(1), DECORRELATED[:, :1].repeat(1, 2)
    assert barlow_twins(DECORRELATED, swapped, redundancy=0.1).item() == pytest.approx(2 + 0.2, abs=1e-4)
    assert barlow_twins(repeated, repeated, redundancy=0.1).item() == pytest.approx(0.2, abs=1e-4)
    assert barlow_twins(torch.zeros(4, 2), torch.zeros(4, 2)).item() == 2


def test_agrees_with_numpys_correlations() -> None:
    anchor, positive = torch.randn(2, 200, 4, generator=GENERATOR, dtype=torch.float64)
    positive = positive + anchor
    correlation = np.corrcoef(anchor.numpy(), positive.numpy(), rowvar=False)[:4, 4:]
    diagonal = np.diag(correlation)
    expected = ((1 - diagonal) ** 2).sum() + 5e-3 * ((correlation**2).sum() - (diagonal**2).sum())
    assert barlow_twins(anchor, positive).item() == pytest.approx(expected, rel=1e-4)


def test_sphere_is_identified_up_to_a_linear_map(identify) -> None:
    identified, _, floor = identify({"space": "sphere", "conditional": "vmf(kappa=20)"}, {"name": "barlow_twins"})
    assert identified > 0.97 > floor + 0.1


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"redundancy": 0.0}, {"d": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make_method({"name": "barlow_twins", **wrong})
    with pytest.raises(ValueError, match="a batch of at least 2"):
        barlow_twins(torch.zeros(1, 2), torch.zeros(1, 2))
