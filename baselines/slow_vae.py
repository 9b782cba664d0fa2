"""SlowVAE: a sparse transition prior on pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from unmix.baselines.projection import Precision
from unmix.baselines.vae import CODES, RECIPE, Posterior, check_weights, vae_for
from unmix.registry import METHODS
from unmix.training import Recipe, Terms, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("slow_vae")
@dataclass(frozen=True)
class SlowVae:
    """Reconstruction + beta KL(q || N(0, I)) + gamma (E_q[-log Laplace(z_t; mean_t', rate)] - H(q)).

    Klindt et al. 2021, equation 8, on both directions of a pair, as their released code weighs the terms: the
    cross-entropies of both directions are added and averaged over pairs, all else is averaged over images. That code
    doubles the reconstruction; in the usual scale of one image, which is used here, its beta 1 and gamma 10 are 0.5
    and 5.
    """

    beta: float = field(default=0.5, metadata={"help": "weight of the KL to the standard Normal"})
    gamma: float = field(default=5.0, metadata={"help": "weight of the transition's term"})
    rate: float = field(default=6.0, metadata={"help": "of the Laplace transition"})
    d: int = field(default=CODES, metadata={"help": "number of codes"})
    precision: Precision = field(default="float32", metadata={"help": "of the convolutions"})
    recipe: Recipe = field(default=replace(RECIPE, batch=RECIPE.batch // 2))

    def __post_init__(self) -> None:
        check_weights(self, "beta", "gamma")
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate}: it must be positive")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        vae = vae_for(dataset, self.d, generator=generator, precision=self.precision).to(trainer.device)

        def loss(batch: int) -> Terms:
            images = torch.cat(dataset.sample_pairs(batch, generator))
            posterior = vae.posterior(images)
            _, rebuilt, kl = vae.elbo(images, posterior, generator)
            slow = slowness(posterior, self.rate)
            total = rebuilt + self.beta * kl + self.gamma * slow
            return {"loss": total, "reconstruction": rebuilt, "kl": kl, "slowness": slow}

        trainer.minimise(vae, loss, self.recipe, generator)
        return vae


def slowness(posterior: Posterior, rate: float) -> Float[Tensor, ""]:
    """Cross-entropy to the transition, of both directions, less the entropy of q.

    Args:
        posterior: Of the anchors and then of their positives, (2n, d).
        rate: Of the Laplace.
    """
    (first, second), (std, other) = posterior.mean.chunk(2), posterior.std.chunk(2)
    both = laplace_cross_entropy(first - second, std, rate) + laplace_cross_entropy(second - first, other, rate)
    entropy = 0.5 * (posterior.logvar + math.log(2 * math.pi * math.e))
    return both.sum(1).mean() - entropy.sum(1).mean()


def laplace_cross_entropy(
    difference: Float[Tensor, "n d"], std: Float[Tensor, "n d"], rate: float
) -> Float[Tensor, "n d"]:
    """E[-log p(z)] of z ~ N(m, s^2) under a Laplace p of that rate at 0, of each code.

    -log(rate / 2) + rate [s sqrt(2 / pi) exp(-m^2 / (2 s^2)) + m (2 Φ(m / s) - 1)] (Klindt et al. 2021, appendix).

    Args:
        difference: m, of the means of the two images.
        std: s, of the posterior.
        rate: Inverse scale of the Laplace.
    """
    ratio = difference / (std * math.sqrt(2))
    distance = std * math.sqrt(2 / math.pi) * torch.exp(-ratio.square()) + difference * torch.erf(ratio)
    return rate * distance - math.log(rate / 2)
