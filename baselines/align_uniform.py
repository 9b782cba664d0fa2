"""Alignment and uniformity, the workshop paper's own loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch

from unmix.baselines.networks import ModelSpace, Network, Precision, Start
from unmix.baselines.pairs import train_on_pairs
from unmix.baselines.pairwise import align_uniform
from unmix.registry import METHODS
from unmix.training import Recipe, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("align_uniform")
@dataclass(frozen=True)
class AlignUniform:
    """L_AU(alpha, p) = alpha uniformity + (1 - alpha) alignment (Zimmermann et al. 2020; Wang & Isola 2020).

    Alignment is E ||h(x) - h(x')||_p^p, uniformity E_x log E_x- exp(-||h(x) - h(x-)||_p^p).
    """

    alpha: float = field(default=0.5, metadata={"help": "weight of uniformity, the rest is alignment's"})
    p: float = field(default=2.0, metadata={"help": "exponent of the distance, at least 1"})
    model_space: ModelSpace = field(default="unbounded", metadata={"help": "what the codes live in"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's, or linear (for vectors)"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size", "implied": "auto"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.p >= 1:
            raise ValueError(f"p is {self.p}: it must be at least 1")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}: it must be between 0 and 1")
        if self.d < 0:
            raise ValueError(f"d is {self.d}: it must be at least 0")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return train_on_pairs(self, dataset, generator, trainer, partial(align_uniform, alpha=self.alpha, p=self.p))
