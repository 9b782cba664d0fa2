"""VICReg: invariance, variance and covariance of the codes instead of negatives."""

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

EPSILON = 1e-4  # under the root of the variance, as in the paper


@METHODS.register("vicreg")
@dataclass(frozen=True)
class Vicreg:
    """lambda s(h, h') + mu [v(h) + v(h')] + nu [c(h) + c(h')] (Bardes, Ponce & LeCun 2022, equation 6).

    Invariance s, variance v and covariance c as in `vicreg`, on the codes themselves: the paper has an expander of
    8192 dimensions between the codes and the loss, which identifiability is not about. Among codes of unit
    covariance, the invariant ones are the slowest functions of the latents: the latents up to a rotation where
    these are uniform on a sphere, or normal.
    """

    invariance: float = field(default=25.0, metadata={"help": "lambda, weight of the positives' distance"})
    variance: float = field(default=25.0, metadata={"help": "mu, weight of the hinge on the standard deviations"})
    covariance: float = field(default=1.0, metadata={"help": "nu, weight of the squared covariances"})
    model_space: ModelSpace = field(default="unbounded", metadata={"help": "what the codes live in"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's default, or linear"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        for name in ("invariance", "variance", "covariance"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be positive")
        if self.d < 0:
            raise ValueError(f"d is {self.d}: it must be at least 0")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        loss = partial(vicreg, invariance=self.invariance, variance=self.variance, covariance=self.covariance)
        return train_on_pairs(self, dataset, generator, trainer, loss)


def vicreg(
    anchor: Float[Tensor, "b d"],
    positive: Float[Tensor, "b d"],
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Float[Tensor, ""]:
    """The loss of a batch of pairs, at least 0.

        v(h) = 1/d sum_j max(0, 1 - sqrt(Var h_j + 1e-4))     (equations 1 and 2, gamma = 1)
        c(h) = 1/d sum_{i != j} Cov(h)_ij^2                   (equations 3 and 4)
        s(h, h') = 1/B sum ||h - h'||^2                       (equation 5; the authors' code divides it by d)

    Variances and covariances divide by B - 1.

    Raises:
        ValueError: For a batch of one, which has no variance.

    References:
        Bardes, Ponce & LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization", section 4.1.
    """
    if len(anchor) < 2:
        raise ValueError("the batch has one pair, which has no variance: take a batch of at least 2")
    distance = (anchor - positive).square().sum(1).mean()
    hinges, crossed = anchor.new_zeros(()), anchor.new_zeros(())
    for codes in (anchor, positive):
        moments = (codes - codes.mean(0)).T @ (codes - codes.mean(0)) / (len(codes) - 1)
        variances = moments.diagonal()
        hinges = hinges + (1 - (variances + EPSILON).sqrt()).clamp(min=0).mean()
        crossed = crossed + (moments.square().sum() - variances.square().sum()) / codes.shape[1]
    return invariance * distance + variance * hinges + covariance * crossed
