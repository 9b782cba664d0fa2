"""VICReg: its three terms by hand, and what it identifies."""

from __future__ import annotations

import pytest
import torch

from unmix.baselines.vicreg import vicreg
from unmix.run import make_method

# Variances 3 and 1/3, covariance 0.
CODES = torch.tensor([[-1.5, 0.5], [1.5, 0.5], [-1.5, -0.5], [1.5, -0.5]], dtype=torch.float64)


def test_terms_by_hand() -> None:
    """Variances are 3 and 1/3, covariances 0; the other view is shifted by (1, 2)."""
    hinge = (1 - (1 / 3 + 1e-4) ** 0.5) / 2
    shifted = CODES + torch.tensor([1.0, 2.0])
    assert vicreg(CODES, CODES).item() == pytest.approx(25 * 2 * hinge)
    assert vicreg(CODES, shifted).item() == pytest.approx(25 * 5 + 25 * 2 * hinge)
    assert vicreg(CODES, shifted, invariance=2.0, variance=3.0).item() == pytest.approx(2 * 5 + 3 * 2 * hinge)


def test_covariance_counts_both_sides_of_the_diagonal() -> None:
    """Codes (a, a) of variance 3: c = (3^2 + 3^2) / 2 a view, no hinge."""
    twice = CODES[:, :1].repeat(1, 2)
    assert vicreg(twice, twice, covariance=0.5).item() == pytest.approx(0.5 * 2 * 9)


def test_whitened_codes_that_agree_have_no_loss() -> None:
    codes = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centred = codes - codes.mean(0)
    white = centred @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(centred.T))).T
    assert vicreg(white, white).item() == pytest.approx(0, abs=1e-12)


def test_sphere_is_identified_up_to_a_linear_map(identify) -> None:
    """The slowest functions of the sphere are its coordinates."""
    identified, _, floor = identify({"space": "sphere", "conditional": "vmf(kappa=20)"}, {"name": "vicreg"})
    assert identified > 0.95 > floor + 0.1


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"invariance": 0.0}, {"variance": -1.0}, {"covariance": 0.0}, {"d": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make_method({"name": "vicreg", **wrong})
    with pytest.raises(ValueError, match="a batch of at least 2"):
        vicreg(CODES[:1], CODES[:1])
