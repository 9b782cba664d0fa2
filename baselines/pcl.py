"""Permutation-contrastive learning: tell neighbours in time from strangers."""

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


@METHODS.register("pcl")
@dataclass(frozen=True)
class Pcl:
    """Logistic regression of real pairs against shuffled ones, by r of `PermutationLoss` (Hyvärinen & Morioka 2017).

    r is a sum over codes, each of which sees only its own two values: at the optimum the codes are the latents, up to
    order and a function of each, where the latents' dependence within a pair is not Gaussian (theorem 1). A pair's
    anchor is the frame x(t), its positive the neighbour x(t - 1).
    """

    model_space: ModelSpace = field(default="unbounded", metadata={"help": "what the codes live in"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's default, or linear"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if self.d < 0:
            raise ValueError(f"d is {self.d}: it must be at least 0")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return train_on_pairs(self, dataset, generator, trainer, PermutationLoss(self.d or len(dataset.factors)))


class PermutationLoss(nn.Module):
    """1/2 E log(1 + exp(-r(h, h'))) + 1/2 E log(1 + exp(r(h, h'*))), h'* the neighbours of other frames.

        r(h, h') = c - sum_i |a_i1 h_i + a_i2 h'_i + b_i| + sum_i (e_i h_i + f_i)^2

    The paper's regression function for autoregressive latents with Laplace innovations, whose log-odds are
    log p(z|z') - log p(z); r is positive where a pair is real (the paper has the opposite sign). All of a, b, c, e, f
    are trained, and start at r = sum (h / 10)^2 - |h - h'|.

    Args:
        d: Number of codes.

    References:
        Hyvärinen & Morioka 2017, "Nonlinear ICA of Temporally Dependent Stationary Sources".
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor([1.0, -1.0])[:, None].repeat(1, d))
        self.offsets = nn.Parameter(torch.zeros(d))
        self.marginal_slopes = nn.Parameter(torch.full((d,), 0.1))  # at 0 the square would have no gradient
        self.marginal_offsets = nn.Parameter(torch.zeros(d))
        self.constant = nn.Parameter(torch.zeros(()))

    def log_odds(self, codes: Float[Tensor, "b d"], neighbours: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """r, of each row."""
        change = (self.slopes[0] * codes + self.slopes[1] * neighbours + self.offsets).abs()
        marginal = (self.marginal_slopes * codes + self.marginal_offsets).square()
        return self.constant + (marginal - change).sum(1)

    def forward(self, anchor: Float[Tensor, "b d"], positive: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        if len(anchor) < 2:
            raise ValueError("the batch has one pair, and no stranger to tell it from: take a batch of at least 2")
        real = nn.functional.softplus(-self.log_odds(anchor, positive)).mean()
        # Pairs are independent draws: another row's neighbour is as good as a random one.
        shuffled = nn.functional.softplus(self.log_odds(anchor, positive.roll(1, 0))).mean()
        return (real + shuffled) / 2
