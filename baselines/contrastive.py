"""The InfoNCE family: encoders that tell the positive of an anchor from negatives."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch

from unmix.baselines.networks import ModelSpace, Network, Precision, Start
from unmix.baselines.pairs import train_on_pairs
from unmix.baselines.pairwise import info_nce
from unmix.registry import METHODS
from unmix.training import Recipe, Trainer
from unmix.types import Dataset, DeclinedError, Encoder


@METHODS.register("contrastive")
@dataclass(frozen=True)
class Contrastive:
    """InfoNCE on pairs: 2 E[-alpha s(h, h') + (1 - alpha) log sum_j exp s(h, h_j)].

    The similarity s is the model's conditional: u.v / tau for vMF, -||u - v||_p^p / tau for the generalised
    normal. At the optimum the encoder inverts the mixing up to an affine map where the model fits the data
    (Zimmermann et al. 2020, theorems 1 and 2).
    """

    model_space: ModelSpace = field(default="unbounded", metadata={"help": "what the codes live in"})
    similarity: Literal["vmf", "lp"] = field(
        default="lp", metadata={"help": "model conditional: vmf, or lp for gennorm"}
    )
    p: float = field(default=2.0, metadata={"help": "exponent of lp, at least 1"})
    tau: float = field(default=1.0, metadata={"help": "temperature"})
    alpha: float = field(default=0.5, metadata={"help": "weight of the positives' term, the rest is the negatives'"})
    symmetric: bool = field(default=False, metadata={"help": "positives are anchors as well, with their own negatives"})
    self_negative: bool = field(default=True, metadata={"help": "the anchor is among its own negatives"})
    negatives: int = field(default=0, metadata={"help": "of each anchor; 0: all anchors of the batch"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's, or linear (for vectors)"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size", "implied": "auto"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.p >= 1:
            raise ValueError(f"p is {self.p}: it must be at least 1")
        if not self.tau > 0:
            raise ValueError(f"tau is {self.tau}: it must be positive")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}: it must be between 0 and 1")
        if self.negatives < 0 or self.d < 0:
            raise ValueError("negatives and d must be at least 0")
        if self.similarity == "vmf" and self.model_space != "sphere":
            raise DeclinedError(
                f"vmf has no meaning on {self.model_space}: take --model-space sphere or --similarity lp"
            )

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        loss = partial(
            info_nce,
            similarity=self.similarity,
            p=self.p,
            tau=self.tau,
            alpha=self.alpha,
            symmetric=self.symmetric,
            self_negative=self.self_negative,
            negatives=self.negatives or None,
        )
        return train_on_pairs(self, dataset, generator, trainer, loss)
