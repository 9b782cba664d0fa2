"""LeJEPA: the Epps-Pulley statistic against its closed form and its null law, and what the loss identifies."""

from __future__ import annotations

import math

import pytest
import torch

from unmix.baselines.lejepa import lejepa, sigreg
from unmix.run import make_method

AXIS = torch.ones(1, 1, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def epps_pulley(y: torch.Tensor) -> float:
    """The integral over all t, term by term (as in Baringhaus & Henze 1988)."""
    n = len(y)
    pairs = torch.exp(-(y[:, None] - y).square() / 2).sum() / n
    return math.sqrt(2 * math.pi) * float(pairs - math.sqrt(2) * torch.exp(-y.square() / 4).sum() + n / math.sqrt(3))


@pytest.mark.parametrize("bend", [lambda y: y, lambda y: y + 1, lambda y: y / 2, lambda y: y.abs()])
def test_statistic_is_the_closed_form(bend) -> None:
    y = bend(normal(200, 1))
    assert sigreg(y, AXIS).item() == pytest.approx(epps_pulley(y[:, 0]), rel=5e-3)


@pytest.mark.parametrize("size", [10, 300])
def test_null_expectation(size: int) -> None:
    """sqrt(2 pi) (1 - 1/sqrt 3), for any batch: 60 draws of 100 independent columns, each a direction."""
    values = torch.tensor([sigreg(normal(size, 100, seed=seed), torch.eye(100).double()) for seed in range(60)])
    expected = math.sqrt(2 * math.pi) * (1 - 1 / math.sqrt(3))
    error = values.std() / math.sqrt(60)
    assert error < 0.02 * expected
    assert abs(values.mean() - expected) < 4 * error


def test_every_departure_from_the_normal_raises_it() -> None:
    directions = torch.nn.functional.normalize(normal(3, 64, seed=1), dim=0)
    codes = normal(500, 3)
    null = sigreg(codes, directions)
    for wrong in (codes + 1, 2 * codes, codes / 2, codes.abs() - codes.abs().mean(), codes[:, :1].repeat(1, 3)):
        assert sigreg(wrong, directions) > 5 * null


def test_loss_weighs_the_two_terms() -> None:
    """Both codes are half their distance from their mean."""
    anchor, positive = normal(50, 2), normal(50, 2, seed=1)
    directions = torch.eye(2).double()
    prediction = ((anchor - (anchor + positive) / 2) ** 2).sum(1).mean()
    regularity = (sigreg(anchor, directions) + sigreg(positive, directions)) / 2
    expected = 0.8 * prediction + 0.2 * regularity
    torch.testing.assert_close(lejepa(anchor, positive, directions, gaussian=0.2), expected)


@pytest.mark.slow
def test_normal_latents_are_identified_up_to_a_linear_map(identify) -> None:
    """Klindt et al. 2026."""
    normal_latents = {"space": "unbounded", "marginal": "normal(std=1)", "conditional": "normal(std=0.3)"}
    identified, _, floor = identify(normal_latents, {"name": "lejepa", "slices": 32}, steps=2000)
    assert identified > 0.97 > floor + 0.1


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"gaussian": 1.0}, {"slices": 0}, {"d": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make_method({"name": "lejepa", **wrong})
