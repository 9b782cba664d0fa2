"""What every encoder ends with: the map of free codes onto the model's space."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]
ModelSpace = Literal["sphere", "unbounded", "box", "learnable_box"]


class Projected(nn.Module):
    """Layers, and a map of their output onto the model's space.

    Images of bytes are scaled to [0, 1]; floating-point observations are taken as they are.

    Args:
        layers: Observations (n, *shape) -> (n, d).
        d: Number of codes.
        space: What the codes live in, see `project`.
        precision: "bfloat16" multiplies matrices in bfloat16 while training; codes are always float32.
    """

    def __init__(
        self, layers: nn.Sequential, d: int, space: ModelSpace = "unbounded", precision: Precision = "float32"
    ) -> None:
        super().__init__()
        self.layers = layers
        self.space = space
        self.precision = precision
        self.bounds = nn.Parameter(torch.ones(d)) if space == "learnable_box" else None

    def forward(self, observations: Float[Tensor, "n ..."] | UInt8[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        half = self.training and self.precision == "bfloat16"
        with torch.autocast(observations.device.type, torch.bfloat16, enabled=half):
            codes: Tensor = self.layers(scaled(observations))
        return project(codes.float(), self.space, self.bounds)


def scaled(observations: Float[Tensor, "n ..."] | UInt8[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    """Bytes as numbers in [0, 1]; anything else as it is."""
    return observations.float() / 255 if observations.dtype == torch.uint8 else observations


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
