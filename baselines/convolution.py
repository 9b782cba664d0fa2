"""Encoders and decoders of images: the papers' five convolutions, and residual networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.baselines.projection import ModelSpace, Precision, Projected

SIDE = 64
WIDTHS = (32, 32, 64, 64)


class ConvEncoder(Projected):
    """Convolutions of 32, 32, 64, 64 channels (4x4, stride 2, padding 1), one of 256 (4x4), ReLU, a linear map to d.

    The encoder of beta-VAE, SlowVAE and the workshop paper for images of 64x64 (Burgess et al. 2018; Klindt et
    al. 2021; Zimmermann et al. 2020, KITTI Masks).

    Args:
        channels: Of the images: 1 or 3.
        d: Number of outputs.
        space: What the codes live in, see `project`.
        precision: "bfloat16" convolves in bfloat16 while training; codes are always float32.
    """

    def __init__(
        self, channels: int, d: int, space: ModelSpace = "unbounded", precision: Precision = "float32"
    ) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((channels, *WIDTHS)):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(WIDTHS[-1], 256, 4), nn.ReLU(), nn.Flatten(), nn.Linear(256, d)]
        super().__init__(nn.Sequential(*layers), d, space, precision)
        self.to(memory_format=torch.channels_last)


class ConvDecoder(nn.Module):
    """The encoder's mirror: linear d -> 256, transposed convolutions of 64, 64, 32, 32 channels, logits of the pixels.

    Args:
        channels: Of the images: 1 or 3.
        d: Number of codes.
        precision: "bfloat16" convolves in bfloat16 while training; logits are always float32.
    """

    def __init__(self, channels: int, d: int, precision: Precision = "float32") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(d, 256), nn.ReLU(), nn.Unflatten(1, (256, 1, 1))]
        layers += [nn.ConvTranspose2d(256, WIDTHS[-1], 4)]
        for inputs, outputs in pairwise((*reversed(WIDTHS), channels)):
            layers += [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers)
        self.precision = precision
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n channels 64 64"]:
        half = self.training and self.precision == "bfloat16"
        with torch.autocast(codes.device.type, torch.bfloat16, enabled=half):
            logits: Tensor = self.layers(codes)
        return logits.float()


class ResNetEncoder(Projected):
    """A residual network from scratch -> 100 -> leaky ReLU -> d (Zimmermann et al. 2021, 3DIdent).

    Images are not normalised by a data set's mean and deviation: batch normalisation after the first convolution
    takes both out again.

    Args:
        depth: "resnet18" or "resnet50" (He et al. 2016; torchvision).
        channels: Of the images.
        d: Number of codes.
        space: What the codes live in, see `project`.
        precision: "bfloat16" convolves in bfloat16 while training; codes are always float32.
    """

    def __init__(
        self,
        depth: Literal["resnet18", "resnet50"],
        channels: int,
        d: int,
        space: ModelSpace = "unbounded",
        precision: Precision = "float32",
    ) -> None:
        from torchvision.models import resnet18, resnet50  # takes a second: for those who need it

        trunk = (resnet18 if depth == "resnet18" else resnet50)(weights=None, num_classes=100)
        if channels != 3:
            trunk.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        super().__init__(nn.Sequential(trunk, nn.LeakyReLU(), nn.Linear(100, d)), d, space, precision)
        self.to(memory_format=torch.channels_last)
