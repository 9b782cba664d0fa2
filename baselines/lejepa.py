"""LeJEPA: codes of pairs agree, and look like an isotropic Gaussian from every side."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.baselines.networks import ModelSpace, Network, Precision, Start
from unmix.baselines.pairs import train_on_pairs
from unmix.registry import METHODS
from unmix.training import Recipe, Trainer
from unmix.types import Dataset, Encoder

REACH, KNOTS = 5.0, 17  # quadrature of the statistic: trapezoids on [-5, 5]


@METHODS.register("lejepa")
@dataclass(frozen=True)
class Lejepa:
    """(1 - lambda) E ||h(x) - m||^2 + lambda SIGReg(h), m = (h(x) + h(x')) / 2 (Balestriero & LeCun 2025, section 5).

    The first term is the prediction of each view by the mean of both, averaged over the views; SIGReg is `sigreg`,
    averaged over the views. Among isotropic Gaussian codes, those that agree most are the latents up to a rotation
    where these are normal (Klindt et al. 2026); other latents would have to be bent to look normal.
    """

    gaussian: float = field(default=0.05, metadata={"help": "lambda, weight of SIGReg, the rest is the prediction's"})
    slices: int = field(default=256, metadata={"help": "random directions a step"})
    model_space: ModelSpace = field(default="unbounded", metadata={"help": "what the codes live in"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's default, or linear"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not 0 < self.gaussian < 1:
            raise ValueError(f"gaussian is {self.gaussian}: it must be between 0 and 1")
        if self.slices < 1:
            raise ValueError(f"slices is {self.slices}: it must be at least 1")
        if self.d < 0:
            raise ValueError(f"d is {self.d}: it must be at least 0")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        def loss(anchor: Tensor, positive: Tensor) -> Tensor:
            directions = torch.randn(anchor.shape[1], self.slices, generator=generator, device=generator.device)
            return lejepa(anchor, positive, nn.functional.normalize(directions, dim=0), gaussian=self.gaussian)

        return train_on_pairs(self, dataset, generator, trainer, loss)


def lejepa(
    anchor: Float[Tensor, "b d"],
    positive: Float[Tensor, "b d"],
    directions: Float[Tensor, "d slices"],
    *,
    gaussian: float = 0.05,
) -> Float[Tensor, ""]:
    """The loss of a batch of pairs, at least 0. From the mean of two codes both are half their distance away."""
    prediction = (anchor - positive).square().sum(1).mean() / 4
    regularity = (sigreg(anchor, directions) + sigreg(positive, directions)) / 2
    return (1 - gaussian) * prediction + gaussian * regularity


def sigreg(codes: Float[Tensor, "b d"], directions: Float[Tensor, "d slices"]) -> Float[Tensor, ""]:
    """Sketched isotropic Gaussian regularisation: the mean over directions a of the Epps-Pulley statistic of a.h.

        EP(y) = B integral |1/B sum_b exp(i t y_b) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt

    Trapezoids at 17 points of [-5, 5]; the integrand is even, so half of them are computed. For normal codes
    its expectation is sqrt(2 pi) (1 - 1/sqrt(3)) = 1.06 whatever B; it is at most 4 sqrt(2 pi) B.

    Args:
        codes: Of one view.
        directions: Unit vectors, one a column.

    References:
        Balestriero & LeCun 2025, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics",
        algorithm 1; Epps & Pulley 1983.
    """
    knots = torch.linspace(0, REACH, KNOTS // 2 + 1, device=codes.device, dtype=codes.dtype)
    normal = torch.exp(-knots.square() / 2)
    weights = 2 * (knots[1] - knots[0]) * normal
    weights[0] /= 2
    weights[-1] /= 2
    phases = (codes @ directions)[..., None] * knots
    distance = (phases.cos().mean(0) - normal).square() + phases.sin().mean(0).square()
    return len(codes) * (distance @ weights).mean()
