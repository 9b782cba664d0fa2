"""The upper bound: an encoder that is shown the factors."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from unmix.baselines.networks import Network, Precision, Start, encoder_for
from unmix.registry import METHODS
from unmix.training import Recipe, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("supervised")
@dataclass(frozen=True)
class Supervised:
    """Regress the factors: minimise E ||h(x) - z||^2 (Zimmermann et al. 2020, table 1, column "Supervised")."""

    recipe: Recipe = field(default_factory=Recipe)
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's, or linear (for vectors)"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size", "implied": "auto"})

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        k = len(dataset.factors)
        encoder = encoder_for(
            dataset, k, generator=generator, precision=self.precision, start=self.start, network=self.network
        ).to(trainer.device)

        def loss(batch: int) -> torch.Tensor:
            observations, factors = dataset.sample(batch, generator)
            return nn.functional.mse_loss(trainer.encode(encoder, observations), factors)

        trainer.minimise(encoder, loss, self.recipe, generator)
        return encoder
