"""Networks that the methods share, as the papers describe them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.seeds import derived_generator, derived_seed
from unmix.types import Dataset, DeclinedError

Precision = Literal["float32", "bfloat16"]
Start = Literal["default", "linear"]
ModelSpace = Literal["sphere", "unbounded", "box", "learnable_box"]


def initialised(build: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """Build a module whose weights follow the generator's seed, and leave the global state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(generator.initial_seed(), "initialisation"))
        return build()


class Mlp(nn.Module):
    """Fully connected layers with leaky ReLU between them, and a map onto the model's space at the end.

    Args:
        sizes: Widths from input to output.
        space: What the codes live in, see `project`.
        slope: Of the leaky ReLU for negative input.
        precision: "bfloat16" multiplies matrices in bfloat16 while training; codes are always float32.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        space: ModelSpace = "unbounded",
        slope: float = 0.01,
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope)]
        self.layers = nn.Sequential(*layers[:-1])
        self.space = space
        self.precision = precision
        self.bounds = nn.Parameter(torch.ones(sizes[-1])) if space == "learnable_box" else None

    def forward(self, observations: Float[Tensor, "n inputs"]) -> Float[Tensor, "n d"]:
        half = self.training and self.precision == "bfloat16"
        with torch.autocast(observations.device.type, torch.bfloat16, enabled=half):
            codes: Tensor = self.layers(observations)
        return project(codes.float(), self.space, self.bounds)


def project(
    codes: Float[Tensor, "n d"], space: ModelSpace, bounds: Float[Tensor, " d"] | None = None
) -> Float[Tensor, "n d"]:
    """Map free codes onto the model's space.

    sphere: h / ||h||; unbounded: h; box: sigmoid(h); learnable_box: bounds * sigmoid(h), one learnable bound
    a dimension that starts at 1 (Zimmermann et al. 2021, appendix).
    """
    match space:
        case "sphere":
            return nn.functional.normalize(codes, dim=1)
        case "unbounded":
            return codes
        case "box":
            return torch.sigmoid(codes)
        case "learnable_box":
            assert bounds is not None
            return bounds * torch.sigmoid(codes)


def encoder_for(
    dataset: Dataset,
    d: int,
    *,
    generator: torch.Generator,
    space: ModelSpace = "unbounded",
    precision: Precision = "float32",
    start: Start = "default",
) -> nn.Module:
    """The papers' encoder for a dataset's observations, with d codes and weights from the generator's seed.

    Vectors: an MLP of widths 10k, 50k, 50k, 50k, 50k, 10k for k factors (Zimmermann et al. 2020, appendix).

    Args:
        dataset: What will be encoded.
        d: Number of codes.
        generator: Its seed gives the weights; its state is left alone.
        space: What the codes live in.
        precision: Of the matrix products while training.
        start: "default" is PyTorch's initialisation, as in the paper; "linear" is `start_linear`.

    Raises:
        DeclinedError: When there is no encoder for such observations.
    """
    if len(dataset.shape) != 1:
        raise DeclinedError(f"there is no encoder for observations of shape {dataset.shape}: only for vectors so far")
    k = len(dataset.factors)
    sizes = [dataset.shape[0], 10 * k, 50 * k, 50 * k, 50 * k, 50 * k, 10 * k, d]
    encoder = initialised(lambda: Mlp(sizes, space, precision=precision), generator)
    if start == "linear":
        seed = generator.initial_seed()
        observations, _ = dataset.sample(4096, derived_generator(seed, "whitening", device=str(generator.device)))
        assert isinstance(encoder, Mlp)
        start_linear(encoder, observations.cpu(), derived_generator(seed, "initialisation"))
    return encoder


@torch.no_grad()
def start_linear(encoder: Mlp, observations: Float[Tensor, "n inputs"], generator: torch.Generator) -> None:
    """Initialise an MLP to a random rotation of the whitened observations: codes start linear and of full rank.

    Each layer's units come in pairs of opposite weights ("looks linear", Balduzzi et al. 2017), whose leaky ReLUs
    add up to a linear function: phi(a) - phi(-a) = (1 + slope) a. The default initialisation maps all
    observations to nearly one code, from which contrastive losses unfold one dimension after the other; on the
    sphere the last one can stay folded (R2 0.9 for n = 10).

    Args:
        encoder: Its hidden widths must be even.
        observations: To whiten by.
        generator: Of the rotations.
    """
    layers = [layer for layer in encoder.layers if isinstance(layer, nn.Linear)]
    slope = next(layer.negative_slope for layer in encoder.layers if isinstance(layer, nn.LeakyReLU))
    widths = [layers[0].in_features, *(layer.out_features // 2 for layer in layers[:-1]), layers[-1].out_features]
    mean, whitening = _whitening(observations)
    rotation = torch.eye(widths[0])
    for index, layer in enumerate(layers):
        following = nn.init.orthogonal_(torch.empty(widths[index + 1], widths[index + 1]), generator=generator)
        weight = following @ torch.eye(widths[index + 1], widths[index]) @ rotation.T
        bias = torch.zeros(widths[index + 1])
        if index == 0:
            weight = weight @ whitening
            bias = -weight @ mean
        else:
            weight = torch.cat([weight, -weight], 1) / (1 + slope)
        if index < len(layers) - 1:
            weight, bias = torch.cat([weight, -weight]), torch.cat([bias, -bias])
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        rotation = following


def _whitening(
    observations: Float[Tensor, "n inputs"],
) -> tuple[Float[Tensor, " inputs"], Float[Tensor, "inputs inputs"]]:
    """Mean and symmetric whitening matrix; directions without variance are left out."""
    exact = observations.double()
    variances, directions = torch.linalg.eigh(torch.cov(exact.T).reshape(exact.shape[1], -1))
    kept = variances > 1e-10 * variances.max()
    scales = torch.where(kept, variances.clamp(min=1e-300).rsqrt(), 0.0)
    return exact.mean(0).float(), ((directions * scales) @ directions.T).float()
