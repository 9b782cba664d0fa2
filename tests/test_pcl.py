"""PCL: the regression function and the loss by the plain formula, and what it identifies."""

from __future__ import annotations

import math

import pytest
import torch

from unmix.baselines.pcl import PermutationLoss
from unmix.run import make_method

GENERATOR = torch.Generator().manual_seed(0)


def drawn_loss() -> PermutationLoss:
    loss = PermutationLoss(3).double()
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=GENERATOR))
    return loss


def test_log_odds_are_the_plain_formula() -> None:
    loss = drawn_loss()
    codes, neighbours = torch.randn(2, 5, 3, generator=GENERATOR, dtype=torch.float64)
    for row in range(5):
        r = loss.constant.item()
        for i in range(3):
            a, b = loss.slopes[:, i].tolist(), loss.offsets[i].item()
            e, f = loss.marginal_slopes[i].item(), loss.marginal_offsets[i].item()
            r -= abs(a[0] * codes[row, i].item() + a[1] * neighbours[row, i].item() + b)
            r += (e * codes[row, i].item() + f) ** 2
        assert loss.log_odds(codes, neighbours)[row].item() == pytest.approx(r)


def test_loss_is_the_mean_cross_entropy_of_real_and_shuffled_pairs() -> None:
    loss = drawn_loss()
    anchor, positive = torch.randn(2, 6, 3, generator=GENERATOR, dtype=torch.float64)
    shuffled = torch.cat([positive[-1:], positive[:-1]])
    odds = torch.cat([loss.log_odds(anchor, positive), loss.log_odds(anchor, shuffled)])
    labels = torch.cat([torch.ones(6), torch.zeros(6)]).double()
    expected = torch.nn.functional.binary_cross_entropy(odds.sigmoid(), labels)
    torch.testing.assert_close(loss(anchor, positive), expected)


def test_knowing_nothing_costs_log_2() -> None:
    loss = PermutationLoss(2)
    with torch.no_grad():
        loss.slopes.zero_()
        loss.marginal_slopes.zero_()
    assert loss(*torch.randn(2, 8, 2, generator=GENERATOR)).item() == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match="a batch of at least 2"):
        loss(torch.zeros(1, 2), torch.zeros(1, 2))


def test_laplace_transitions_are_identified_up_to_permutation(identify) -> None:
    _, matched, _ = identify({"conditional": "laplace(scale=0.1)"}, {"name": "pcl"}, steps=600)
    assert matched > 0.95


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="d is -1"):
        make_method({"name": "pcl", "d": -1})
