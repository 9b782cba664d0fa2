"""Which network encodes and decodes a dataset's observations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import torch
from torch import nn

from unmix.baselines.convolution import SIDE, ConvDecoder, ConvEncoder, ResNetEncoder
from unmix.baselines.mlp import Mlp, start_linear
from unmix.baselines.projection import ModelSpace, Precision, project
from unmix.seeds import derived_generator, derived_seed
from unmix.types import Dataset, DeclinedError

__all__ = [
    "Mlp",
    "ModelSpace",
    "Network",
    "Precision",
    "Start",
    "decoder_for",
    "encoder_for",
    "initialised",
    "project",
    "start_linear",
]

Start = Literal["default", "linear"]
Network = Literal["auto", "conv", "resnet18", "resnet50"]
Module = TypeVar("Module", bound=nn.Module)


def initialised(build: Callable[[], Module], generator: torch.Generator, name: str = "initialisation") -> Module:
    """Build a module whose weights follow the generator's seed, and leave the global state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(generator.initial_seed(), name))
        return build()


def encoder_for(
    dataset: Dataset,
    d: int,
    *,
    generator: torch.Generator,
    space: ModelSpace = "unbounded",
    precision: Precision = "float32",
    start: Start = "default",
    network: Network = "auto",
) -> nn.Module:
    """The papers' encoder for a dataset's observations, with d codes and weights from the generator's seed.

    Vectors: an MLP of widths 10k, 50k, 50k, 50k, 50k, 10k for k factors (Zimmermann et al. 2020, appendix).
    Images of 64x64: `ConvEncoder`; of other sizes: ResNet-18 (Zimmermann et al. 2021, 3DIdent).

    Args:
        dataset: What will be encoded.
        d: Number of codes.
        generator: Its seed gives the weights; its state is left alone.
        space: What the codes live in.
        precision: Of the matrix products while training.
        start: "default" is PyTorch's initialisation, as in the paper; "linear" is `start_linear`. Networks of
            images have no linear start and take the default one.
        network: Of images; "auto" goes by their size.

    Raises:
        DeclinedError: When there is no encoder for such observations.
    """
    if len(dataset.shape) == 3:
        channels, *size = dataset.shape
        if network == "auto":
            network = "conv" if size == [SIDE, SIDE] else "resnet18"
        if network == "conv":
            _check_side(dataset, "encoder", "take --network resnet18")
            return initialised(lambda: ConvEncoder(channels, d, space, precision), generator)
        return initialised(lambda: ResNetEncoder(network, channels, d, space, precision), generator)
    if len(dataset.shape) != 1 or network != "auto":
        known = "vectors have --network auto, an MLP; images (channels, height, width) have all"
        raise DeclinedError(f"there is no encoder {network} for observations of shape {dataset.shape}: {known}")
    k = len(dataset.factors)
    sizes = [dataset.shape[0], 10 * k, 50 * k, 50 * k, 50 * k, 50 * k, 10 * k, d]
    encoder = initialised(lambda: Mlp(sizes, space, precision=precision), generator)
    if start == "linear":
        seed = generator.initial_seed()
        observations, _ = dataset.sample(4096, derived_generator(seed, "whitening", device=str(generator.device)))
        start_linear(encoder, observations.cpu(), derived_generator(seed, "initialisation"))
    return encoder


def decoder_for(
    dataset: Dataset, d: int, *, generator: torch.Generator, precision: Precision = "float32"
) -> ConvDecoder:
    """The papers' decoder of images of 64x64: d codes -> logits of the pixels.

    Raises:
        DeclinedError: When the observations are no such images.
    """
    _check_side(dataset, "decoder", "take a contrastive method")
    return initialised(lambda: ConvDecoder(dataset.shape[0], d, precision), generator, "decoder")


def _check_side(dataset: Dataset, part: str, remedy: str) -> None:
    if len(dataset.shape) != 3 or dataset.shape[1:] != (SIDE, SIDE):
        raise DeclinedError(
            f"there is no convolutional {part} for observations of shape {dataset.shape}, "
            f"only for images (channels, {SIDE}, {SIDE}): {remedy}"
        )
