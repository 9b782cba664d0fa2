"""The upper bound: an encoder that is shown the factors."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.baselines.networks import Network, Precision, Start, encoder_for
from unmix.registry import METHODS
from unmix.seeds import derived_generator
from unmix.training import Recipe, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("supervised")
@dataclass(frozen=True)
class Supervised:
    """Regress the factors: minimise E ||h(x) - (z - mean) / std||^2 (Zimmermann et al. 2020, table 1, "Supervised").

    The paper's latents share one spread, for which this is its loss up to a constant. Factors of images do not:
    without the division the error of an orientation of 40 levels leaves none of the gradient to a shape of 3. Mean
    and std are those of 4,096 samples; a factor that is constant there is left undivided.
    """

    recipe: Recipe = field(default_factory=Recipe)
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's, or linear (for vectors)"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size", "implied": "auto"})

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        k = len(dataset.factors)
        centre, spread = _units(dataset, generator)
        encoder = encoder_for(
            dataset, k, generator=generator, precision=self.precision, start=self.start, network=self.network
        ).to(trainer.device)

        def loss(batch: int) -> torch.Tensor:
            observations, factors = dataset.sample(batch, generator)
            return nn.functional.mse_loss(trainer.encode(encoder, observations), (factors - centre) / spread)

        trainer.minimise(encoder, loss, self.recipe, generator)
        return encoder


def _units(dataset: Dataset, generator: torch.Generator) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    """Mean and standard deviation of each factor, on the generator's device."""
    _, factors = dataset.sample(4096, derived_generator(generator.initial_seed(), "units"))
    centre, spread = factors.mean(0), factors.std(0)
    return centre.to(generator.device), torch.where(spread > 0, spread, 1.0).to(generator.device)
