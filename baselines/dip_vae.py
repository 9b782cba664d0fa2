"""DIP-VAE I and II: the covariance of the codes is drawn to the identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from unmix.baselines.projection import Precision
from unmix.baselines.vae import CODES, RECIPE, Posterior, Vae, check_weights, vae_for
from unmix.registry import METHODS
from unmix.training import Recipe, Terms, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("dip_vae_i")
@dataclass(frozen=True)
class DipVaeI:
    """ELBO + lambda_od sum_{i != j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2 (Kumar et al. 2018, equation 6).

    C is the covariance of the posterior's means over a batch.
    """

    lambda_od: float = field(default=10.0, metadata={"help": "weight of the covariances"})
    lambda_d: float = field(default=100.0, metadata={"help": "weight of the variances' distance to 1"})
    d: int = field(default=CODES, metadata={"help": "number of codes"})
    precision: Precision = field(default="float32", metadata={"help": "of the convolutions"})
    recipe: Recipe = field(default=RECIPE)

    def __post_init__(self) -> None:
        check_weights(self, "lambda_od", "lambda_d")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return _fit(self, covariance_of_means, dataset, generator, trainer)


@METHODS.register("dip_vae_ii")
@dataclass(frozen=True)
class DipVaeII(DipVaeI):
    """DIP-VAE-I with the covariance of the codes: C = Cov(means) + E[posterior variances] (equation 7)."""

    lambda_d: float = field(default=10.0, metadata={"help": "weight of the variances' distance to 1"})

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return _fit(self, covariance_of_codes, dataset, generator, trainer)


Covariance = Callable[[Posterior], Tensor]


def _fit(
    method: DipVaeI, covariance: Covariance, dataset: Dataset, generator: torch.Generator, trainer: Trainer
) -> Vae:
    vae = vae_for(dataset, method.d, generator=generator, precision=method.precision).to(trainer.device)

    def loss(batch: int) -> Terms:
        images, _ = dataset.sample(batch, generator)
        posterior = vae.posterior(images)
        _, rebuilt, kl = vae.elbo(images, posterior, generator)
        off_diagonal, diagonal = distance_to_identity(covariance(posterior))
        total = rebuilt + kl + method.lambda_od * off_diagonal + method.lambda_d * diagonal
        return {"loss": total, "reconstruction": rebuilt, "kl": kl, "off_diagonal": off_diagonal, "diagonal": diagonal}

    trainer.minimise(vae, loss, method.recipe, generator)
    return vae


def covariance_of_means(posterior: Posterior) -> Float[Tensor, "d d"]:
    """Of the posterior's means over the batch, divided by n."""
    return torch.cov(posterior.mean.T, correction=0).reshape(posterior.mean.shape[1], -1)


def covariance_of_codes(posterior: Posterior) -> Float[Tensor, "d d"]:
    """Of z ~ q(z) over the batch, by the law of total covariance."""
    return covariance_of_means(posterior) + torch.diag(posterior.logvar.exp().mean(dim=0))


def distance_to_identity(covariance: Float[Tensor, "d d"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Sums of squares off the diagonal, and of the diagonal less 1."""
    variances = covariance.diagonal()
    return covariance.square().sum() - variances.square().sum(), (variances - 1).square().sum()
