"""AnInfoNCE: InfoNCE that learns how much each latent varies within a pair."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.baselines.networks import ModelSpace, Network, Precision, Start
from unmix.baselines.pairs import train_on_pairs
from unmix.baselines.pairwise import info_nce
from unmix.registry import METHODS
from unmix.training import Recipe, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("aninfonce")
@dataclass(frozen=True)
class AnInfoNce:
    """InfoNCE with the similarity -(u - v)^T Lambda (u - v), Lambda diagonal, positive and trained (Rusak et al. 2024).

    Where z is uniform on the sphere and p(z'|z) proportional to exp(-(z' - z)^T Lambda (z' - z)), latents with
    different weights are identified up to their order and sign, latents of equal weight up to a rotation. The codes
    are on the paper's sphere: elsewhere they absorb Lambda into their own scales, and a rotation of them fits as well
    (in a box too, whose inside has room for it).
    """

    rate: float = field(default=10.0, metadata={"help": "of log Lambda, in learning rates of the encoder's biases"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's default, or linear"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate}: it must be positive")
        if self.d < 0:
            raise ValueError(f"d is {self.d}: it must be at least 0")

    @property
    def model_space(self) -> ModelSpace:
        """Of the codes."""
        return "sphere"

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        loss = AnisotropicLoss(self.d or len(dataset.factors), self.rate)
        return train_on_pairs(self, dataset, generator, trainer, loss)


class AnisotropicLoss(nn.Module):
    """`info_nce` of the codes scaled by the root of Lambda, with -||.||^2 as similarity; Lambda starts at 1.

    Lambda is exp(rate * parameter): Adam's steps have the learning rate's size, and weights that are tens of times
    apart must come within reach (the authors' code gives Lambda ten times the encoder's learning rate).

    Args:
        d: Number of codes.
        rate: As above.
    """

    def __init__(self, d: int, rate: float = 10.0) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.zeros(d))
        self.rate = rate

    @property
    def weights(self) -> Float[Tensor, " d"]:
        """The diagonal of Lambda."""
        return (self.rate * self.logarithm).exp()

    def forward(self, anchor: Float[Tensor, "b d"], positive: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        root = self.weights.sqrt()
        return info_nce(anchor * root, positive * root, p=2.0)
