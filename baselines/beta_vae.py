"""Beta-VAE, and its annealed capacity."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from unmix.baselines.projection import Precision
from unmix.baselines.vae import CODES, RECIPE, check_weights, vae_for
from unmix.registry import METHODS
from unmix.training import Recipe, Terms, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("beta_vae")
@dataclass(frozen=True)
class BetaVae:
    """E_q[-log p(x|z)] + beta KL(q(z|x) || N(0, I)) (Higgins et al. 2017, equation 4).

    The usual scale, of one image. SlowVAE's released code doubles the reconstruction: its "beta = 8" is 4 here.
    """

    beta: float = field(default=4.0, metadata={"help": "weight of the KL"})
    d: int = field(default=CODES, metadata={"help": "number of codes"})
    precision: Precision = field(default="float32", metadata={"help": "of the convolutions"})
    recipe: Recipe = field(default=RECIPE)

    def __post_init__(self) -> None:
        check_weights(self, "beta")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        vae = vae_for(dataset, self.d, generator=generator, precision=self.precision).to(trainer.device)

        def loss(batch: int) -> Terms:
            images, _ = dataset.sample(batch, generator)
            _, rebuilt, kl = vae.elbo(images, vae.posterior(images), generator)
            return {"loss": rebuilt + self.beta * kl, "reconstruction": rebuilt, "kl": kl}

        trainer.minimise(vae, loss, self.recipe, generator)
        return vae


@METHODS.register("annealed_vae")
@dataclass(frozen=True)
class AnnealedVae:
    """E_q[-log p(x|z)] + gamma |KL(q(z|x) || N(0, I)) - C| (Burgess et al. 2018, equation 8).

    C grows linearly from 0 to `capacity` over the first `ramp` of the steps.
    """

    gamma: float = field(default=1000.0, metadata={"help": "weight of the KL's distance to the capacity"})
    capacity: float = field(default=25.0, metadata={"help": "of the codes at the end, in nats"})
    ramp: float = field(default=1 / 3, metadata={"help": "share of the steps over which the capacity grows"})
    d: int = field(default=CODES, metadata={"help": "number of codes"})
    precision: Precision = field(default="float32", metadata={"help": "of the convolutions"})
    recipe: Recipe = field(default=RECIPE)

    def __post_init__(self) -> None:
        check_weights(self, "gamma", "capacity")
        if not 0 < self.ramp <= 1:
            raise ValueError(f"ramp is {self.ramp}: it must be above 0 and at most 1")

    def capacity_at(self, step: int) -> float:
        """C in nats, after that many steps."""
        return self.capacity * min(1.0, step / (self.ramp * self.recipe.steps))

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        vae = vae_for(dataset, self.d, generator=generator, precision=self.precision).to(trainer.device)

        def loss(batch: int) -> Terms:
            images, _ = dataset.sample(batch, generator)
            _, rebuilt, kl = vae.elbo(images, vae.posterior(images), generator)
            missed = (kl - self.capacity_at(trainer.steps)).abs()
            return {"loss": rebuilt + self.gamma * missed, "reconstruction": rebuilt, "kl": kl}

        trainer.minimise(vae, loss, self.recipe, generator)
        return vae
