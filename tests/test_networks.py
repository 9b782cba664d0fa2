"""Networks: the paper's sizes, model spaces, and the linear start."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from unmix.baselines.networks import Mlp, ModelSpace, encoder_for, project, start_linear
from unmix.run import make_dataset
from unmix.seeds import derived_generator
from unmix.types import DeclinedError, Factor, Pair

GENERATOR = derived_generator(0, "test")


def observations(n: int = 4, count: int = 4096) -> torch.Tensor:
    """Skewed, correlated and off-centre."""
    generator = derived_generator(1, "observations")
    mixing = torch.randn(n, n, generator=generator)
    return torch.rand(count, n, generator=generator).pow(2) @ mixing + 3


def test_encoder_has_the_papers_widths() -> None:
    dataset = make_dataset({"name": "synthetic", "pool": 100}, 0)
    encoder = encoder_for(dataset, 10, generator=GENERATOR)
    widths = [layer.out_features for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    assert widths == [100, 500, 500, 500, 500, 100, 10]
    assert {layer.negative_slope for layer in encoder.modules() if isinstance(layer, nn.LeakyReLU)} == {0.01}


@pytest.mark.parametrize("start", ["default", "linear"])
def test_weights_follow_the_seed(start: str) -> None:
    dataset = make_dataset({"name": "synthetic", "n": 3, "pool": 100}, 0)

    def weights(seed: int) -> torch.Tensor:
        encoder = encoder_for(dataset, 3, generator=derived_generator(seed, "t"), start=start)  # type: ignore[arg-type]
        return torch.cat([parameter.flatten() for parameter in encoder.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize("codes", [2, 4, 6])
def test_linear_start_is_a_rotation_of_the_whitened_observations(codes: int) -> None:
    """Covariance of the codes: the identity, for as many of them as there are observed dimensions."""
    encoder = Mlp([4, 40, 200, 200, 40, codes])
    x = observations()
    start_linear(encoder, x, derived_generator(0, "start"))
    with torch.no_grad():
        h = encoder(x)
        shift = torch.randn(4, generator=derived_generator(2, "shift"))
        # Affine: second differences vanish.
        bend = encoder(x + shift) - 2 * h + encoder(x - shift)
    assert bend.abs().max() < 1e-4 * h.abs().max()
    variances = torch.linalg.eigvalsh(torch.cov(h.T)).flip(0)
    expected = torch.cat([torch.ones(min(codes, 4)), torch.zeros(max(0, codes - 4))])
    torch.testing.assert_close(variances, expected, atol=2e-3, rtol=0)
    assert h.mean(0).abs().max() < 2e-3


def test_linear_start_survives_a_constant_dimension() -> None:
    x = torch.cat([observations(3), torch.full((4096, 1), 7.0)], 1)
    encoder = Mlp([4, 40, 40, 4])
    start_linear(encoder, x, derived_generator(0, "start"))
    with torch.no_grad():
        variances = torch.linalg.eigvalsh(torch.cov(encoder(x).T))
    torch.testing.assert_close(variances, torch.tensor([0.0, 1.0, 1.0, 1.0]), atol=5e-3, rtol=0)


@pytest.mark.parametrize("space", ["sphere", "unbounded", "box", "learnable_box"])
def test_codes_live_in_the_model_space(space: ModelSpace) -> None:
    encoder = Mlp([4, 16, 3], space)
    codes = encoder(observations())
    if space == "sphere":
        torch.testing.assert_close(codes.norm(dim=1), torch.ones(len(codes)))
    elif space != "unbounded":
        assert codes.min() >= 0
        assert codes.max() <= 1
    assert (encoder.bounds is not None) == (space == "learnable_box")


def test_learnable_bounds_scale_their_dimension() -> None:
    bounds = torch.tensor([1.0, 2.0])
    codes = project(torch.zeros(1, 2), "learnable_box", bounds)
    torch.testing.assert_close(codes, torch.tensor([[0.5, 1.0]]))


def test_half_precision_is_for_training_only() -> None:
    encoder = Mlp([4, 64, 3], precision="bfloat16")
    exact = Mlp([4, 64, 3])
    exact.load_state_dict(encoder.state_dict())
    x = observations(count=64)
    assert not torch.equal(encoder.train()(x), exact(x))
    assert torch.equal(encoder.eval()(x), exact(x))
    assert encoder.train()(x).dtype == torch.float32


@dataclass(frozen=True)
class Images:
    """A dataset of images, as far as an encoder looks."""

    shape: tuple[int, ...] = (3, 64, 64)
    factors: tuple[Factor, ...] = (Factor("hue", "continuous"),)

    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        raise NotImplementedError

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        raise NotImplementedError


def test_images_have_no_encoder_yet() -> None:
    with pytest.raises(DeclinedError, match=r"no encoder for observations of shape \(3, 64, 64\)"):
        encoder_for(Images(), 10, generator=GENERATOR)
