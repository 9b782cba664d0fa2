"""AnInfoNCE: InfoNCE where Lambda is the identity, the plain formula elsewhere, and what it identifies."""

from __future__ import annotations

import pytest
import torch

from unmix.baselines.aninfonce import AnisotropicLoss
from unmix.baselines.pairwise import info_nce
from unmix.run import make_method

GENERATOR = torch.Generator().manual_seed(0)


def test_starts_as_info_nce() -> None:
    anchor, positive = torch.randn(2, 20, 4, generator=GENERATOR)
    torch.testing.assert_close(AnisotropicLoss(4)(anchor, positive), info_nce(anchor, positive))


def test_is_the_plain_formula() -> None:
    anchor, positive = torch.randn(2, 20, 3, generator=GENERATOR, dtype=torch.float64)
    loss = AnisotropicLoss(3, rate=5.0).double()
    with torch.no_grad():
        loss.logarithm.copy_(torch.tensor([0.2, -0.1, 0.5]))
    matrix = torch.diag(torch.exp(torch.tensor([1.0, -0.5, 2.5], dtype=torch.float64)))
    torch.testing.assert_close(loss.weights, matrix.diagonal(), rtol=1e-6, atol=0)
    total = 0.0
    for i in range(20):
        own = -(anchor[i] - positive[i]) @ matrix @ (anchor[i] - positive[i])
        others = [-(anchor[i] - anchor[j]) @ matrix @ (anchor[i] - anchor[j]) for j in range(20)]
        total += float(torch.logsumexp(torch.stack([own, *others]), 0) - own)
    assert loss(anchor, positive).item() == pytest.approx(total / 20, rel=1e-6)


def test_anisotropic_sphere_is_identified_where_info_nce_is_not(identify) -> None:
    sphere = {"space": "sphere", "conditional": "anisotropic(low=5, high=80)"}
    identified, matched, _ = identify(sphere, {"name": "aninfonce"}, steps=500)
    isotropic, _, _ = identify(sphere, {"name": "contrastive", "model_space": "sphere", "similarity": "vmf"})
    assert identified > 0.95
    assert matched > 0.9
    assert isotropic < 0.9


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"rate": 0.0}, {"d": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make_method({"name": "aninfonce", **wrong})
