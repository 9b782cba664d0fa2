"""Networks that the methods share, as the papers describe them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.seeds import derived_seed
from unmix.types import Dataset, DeclinedError

Precision = Literal["float32", "bfloat16"]
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
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
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
) -> nn.Module:
    """The papers' encoder for a dataset's observations, with d codes and weights from the generator's seed.

    Vectors: an MLP of widths 10k, 50k, 50k, 50k, 50k, 10k for k factors (Zimmermann et al. 2020, appendix).

    Raises:
        DeclinedError: When there is no encoder for such observations.
    """
    if len(dataset.shape) != 1:
        raise DeclinedError(f"there is no encoder for observations of shape {dataset.shape}: only for vectors so far")
    k = len(dataset.factors)
    sizes = [dataset.shape[0], 10 * k, 50 * k, 50 * k, 50 * k, 50 * k, 10 * k, d]
    return initialised(lambda: Mlp(sizes, space, precision=precision), generator)
