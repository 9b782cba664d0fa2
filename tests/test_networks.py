"""Networks: the paper's sizes, model spaces, and the linear start."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from unmix.baselines.convolution import ConvEncoder, ResNetEncoder
from unmix.baselines.networks import (
    Mlp,
    ModelSpace,
    Network,
    decoder_for,
    encoder_for,
    project,
    start_linear,
)
from unmix.run import make_dataset
from unmix.seeds import derived_generator
from unmix.types import Dataset, DeclinedError, Factor, Pair

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


def vectors() -> Dataset:
    return make_dataset({"name": "synthetic", "n": 3, "pool": 100}, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_are_the_papers(channels: int) -> None:
    """Parameters of 32-32-64-64, 256, 20 in 4x4 kernels, with biases (Burgess et al. 2018, table 2's sizes)."""
    encoder = encoder_for(Images((channels, 64, 64)), 20, generator=GENERATOR)
    decoder = decoder_for(Images((channels, 64, 64)), 10, generator=GENERATOR)
    widths = [(channels, 32), (32, 32), (32, 64), (64, 64), (64, 256)]
    expected = sum(16 * a * b + b for a, b in widths) + 256 * 20 + 20
    assert sum(p.numel() for p in encoder.parameters()) == expected
    mirrored = sum(16 * a * b + a for a, b in widths) + 10 * 256 + 256
    assert sum(p.numel() for p in decoder.parameters()) == mirrored
    assert decoder(torch.randn(2, 10)).shape == (2, channels, 64, 64)


@pytest.mark.parametrize(
    ("shape", "network", "kind"),
    [
        ((1, 64, 64), "auto", ConvEncoder),
        ((3, 224, 224), "auto", ResNetEncoder),
        ((3, 64, 64), "resnet18", ResNetEncoder),
        ((1, 32, 32), "resnet50", ResNetEncoder),
    ],
)
def test_images_choose_their_network(shape: tuple[int, ...], network: Network, kind: type[nn.Module]) -> None:
    encoder = encoder_for(Images(shape), 7, generator=GENERATOR, network=network, start="linear").eval()
    assert isinstance(encoder, kind)
    with torch.no_grad():
        assert encoder(torch.zeros(2, *shape, dtype=torch.uint8)).shape == (2, 7)


def test_bytes_are_scaled_to_the_unit_interval() -> None:
    encoder = encoder_for(Images(), 5, generator=GENERATOR, space="sphere")
    images = torch.randint(256, (4, 3, 64, 64), generator=derived_generator(0, "bytes")).to(torch.uint8)
    assert torch.equal(encoder(images), encoder(images.float() / 255))
    torch.testing.assert_close(encoder(images).norm(dim=1), torch.ones(4))


def test_encoder_and_decoder_do_not_share_their_draws() -> None:
    def drawn(module: nn.Module) -> torch.Tensor:
        largest = max(module.parameters(), key=torch.numel).flatten()
        return largest / largest.abs().max()

    encoder, decoder = encoder_for(Images(), 10, generator=GENERATOR), decoder_for(Images(), 10, generator=GENERATOR)
    correlation = torch.corrcoef(torch.stack([drawn(encoder), drawn(decoder)]))[0, 1]
    assert abs(correlation) < 0.01


@pytest.mark.parametrize(
    ("made", "network", "reason"),
    [
        (Images((3, 32, 32)), "conv", r"shape \(3, 32, 32\), only for images \(channels, 64, 64\): take --network"),
        (Images((5, 3, 8, 8)), "auto", r"no encoder auto for observations of shape \(5, 3, 8, 8\)"),
        (vectors(), "conv", r"vectors have --network auto"),
    ],
)
def test_observations_without_an_encoder_are_declined(made: Dataset, network: Network, reason: str) -> None:
    with pytest.raises(DeclinedError, match=reason):
        encoder_for(made, 10, generator=GENERATOR, network=network)


@pytest.mark.parametrize("made", [Images((3, 32, 32)), vectors()])
def test_observations_without_a_decoder_are_declined(made: Dataset) -> None:
    with pytest.raises(DeclinedError, match="no convolutional decoder for observations of shape"):
        decoder_for(made, 10, generator=GENERATOR)
