"""Fully connected encoders, and their linear start."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.baselines.projection import ModelSpace, Precision, Projected


class Mlp(Projected):
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
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope)]
        super().__init__(nn.Sequential(*layers[:-1]), sizes[-1], space, precision)


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
