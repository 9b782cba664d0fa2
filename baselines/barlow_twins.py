"""Barlow Twins: the cross-correlation of two views' codes is pulled to the identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from unmix.baselines.networks import ModelSpace, Network, Precision, Start
from unmix.baselines.pairs import train_on_pairs
from unmix.registry import METHODS
from unmix.training import Recipe, Trainer
from unmix.types import Dataset, Encoder

EPSILON = 1e-5  # added to the variances, as batch normalisation does in the authors' code


@METHODS.register("barlow_twins")
@dataclass(frozen=True)
class BarlowTwins:
    """sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2 (Zbontar et al. 2021, equation 1), C as in `barlow_twins`.

    On the codes themselves: the paper has a projector of 8192 dimensions between the codes and the loss, and a
    lambda for so many. The loss does not see the scale of a code.
    """

    redundancy: float = field(default=5e-3, metadata={"help": "lambda, weight of the off-diagonal correlations"})
    model_space: ModelSpace = field(default="unbounded", metadata={"help": "what the codes live in"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's default, or linear"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.redundancy > 0:
            raise ValueError(f"redundancy is {self.redundancy}: it must be positive")
        if self.d < 0:
            raise ValueError(f"d is {self.d}: it must be at least 0")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return train_on_pairs(self, dataset, generator, trainer, partial(barlow_twins, redundancy=self.redundancy))


def barlow_twins(
    anchor: Float[Tensor, "b d"], positive: Float[Tensor, "b d"], *, redundancy: float = 5e-3
) -> Float[Tensor, ""]:
    """The loss of a batch of pairs, at least 0; d for constant codes.

        C_ij = sum_b h_bi h'_bj / (sqrt(sum_b h_bi^2) sqrt(sum_b h'_bj^2)), codes centred over the batch (equation 2)

    Raises:
        ValueError: For a batch of one, which has no correlation.

    References:
        Zbontar et al. 2021, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", section 3.1.
    """
    if len(anchor) < 2:
        raise ValueError("the batch has one pair, which has no correlation: take a batch of at least 2")
    left, right = (_standardised(codes) for codes in (anchor, positive))
    correlation = left.T @ right / len(left)
    diagonal = correlation.diagonal()
    crossed = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + redundancy * crossed


def _standardised(codes: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    return (codes - codes.mean(0)) / (codes.var(0, correction=0) + EPSILON).sqrt()
