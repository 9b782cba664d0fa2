"""Beta-TCVAE: the KL taken apart, total correlation weighed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unmix.baselines.projection import Precision
from unmix.baselines.vae import CODES, RECIPE, Posterior, check_weights, vae_for
from unmix.registry import METHODS
from unmix.training import Recipe, Terms, Trainer
from unmix.types import Dataset, DeclinedError, Encoder


@METHODS.register("beta_tcvae")
@dataclass(frozen=True)
class BetaTcVae:
    """E_q[-log p(x|z)] + alpha I(z; x) + beta TC(z) + gamma sum_j KL(q(z_j) || p(z_j)) (Chen et al. 2018, equation 4).

    q(z) is estimated from the batch. "weighted" sampling is biased by a constant that depends on the number of images
    N and does not change the gradient; "stratified" is unbiased (their appendix C).
    """

    alpha: float = field(default=1.0, metadata={"help": "weight of the information between image and codes"})
    beta: float = field(default=6.0, metadata={"help": "weight of the total correlation"})
    gamma: float = field(default=1.0, metadata={"help": "weight of each code's own KL"})
    sampling: Literal["weighted", "stratified"] = field(
        default="stratified", metadata={"help": "how q(z) is estimated from a batch"}
    )
    d: int = field(default=CODES, metadata={"help": "number of codes"})
    precision: Precision = field(default="float32", metadata={"help": "of the convolutions"})
    recipe: Recipe = field(default=RECIPE)

    def __post_init__(self) -> None:
        check_weights(self, "alpha", "beta", "gamma")
        if self.recipe.batch < 2:
            raise ValueError(f"batch is {self.recipe.batch}: q(z) is estimated from at least 2 images")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        grid = getattr(dataset, "grid", None)
        if self.sampling == "weighted" and grid is None:
            raise DeclinedError("weighted sampling needs a finite number of images: take --sampling stratified")
        weights = log_weights(self.recipe.batch, math.inf if grid is None else float(len(grid)), self.sampling)
        weights = weights.to(trainer.device)
        vae = vae_for(dataset, self.d, generator=generator, precision=self.precision).to(trainer.device)

        def loss(batch: int) -> Terms:
            images, _ = dataset.sample(batch, generator)
            posterior = vae.posterior(images)
            codes, rebuilt, kl = vae.elbo(images, posterior, generator)
            parts = decomposed(codes, posterior, weights)
            total = rebuilt + self.alpha * parts.information + self.beta * parts.tc + self.gamma * parts.own
            return {"loss": total, "reconstruction": rebuilt, "kl": kl, **parts._asdict()}

        trainer.minimise(vae, loss, self.recipe, generator)
        return vae


class Decomposed(NamedTuple):
    """The KL's three parts in nats: I(z; x), TC(z), sum_j KL(q(z_j) || p(z_j)); they add up to it."""

    information: Float[Tensor, ""]
    tc: Float[Tensor, ""]
    own: Float[Tensor, ""]


def decomposed(codes: Float[Tensor, "n d"], posterior: Posterior, weights: Float[Tensor, "n n"]) -> Decomposed:
    """Estimate the parts from a batch.

    log q(z_i) = log sum_j exp(weights_ij) q(z_i|x_j), and likewise of each dimension.

    Args:
        codes: One draw from each posterior.
        posterior: Of the batch.
        weights: Logarithms, see `log_weights`.
    """
    given = log_normal(codes[:, None], posterior.mean, posterior.logvar)  # (n, n, d): code i under posterior j
    prior = log_normal(codes, torch.zeros_like(codes), torch.zeros_like(codes)).sum(dim=1)
    own = given.diagonal().sum(dim=0)
    joint = torch.logsumexp(weights + given.sum(dim=2), dim=1)
    product = torch.logsumexp(weights[:, :, None] + given, dim=1).sum(dim=1)
    return Decomposed((own - joint).mean(), (joint - product).mean(), (product - prior).mean())


def log_normal(
    codes: Float[Tensor, "*rows d"], mean: Float[Tensor, "n d"], logvar: Float[Tensor, "n d"]
) -> Float[Tensor, "*all d"]:
    """Log-density of Normals with diagonal covariance, of each code; rows broadcast."""
    return -0.5 * ((codes - mean).square() * (-logvar).exp() + logvar + math.log(2 * math.pi))


def log_weights(batch: int, images: float, sampling: Literal["weighted", "stratified"]) -> Float[Tensor, "batch batch"]:
    """Logarithms of the weights of the posteriors of a batch in q(z_i), for N images in all (their appendix C).

    weighted: 1 / (N B). stratified, with M = B - 1: 1 / N of the image itself, 1 / M of the others but one, which has
    (N - M) / (N M), so that a row adds up to 1.
    """
    if sampling == "weighted":
        return torch.full((batch, batch), -math.log(batch) - math.log(images))
    others = batch - 1
    weights = torch.full((batch, batch), 1 / others)
    weights.fill_diagonal_(1 / images)
    row = torch.arange(batch)
    weights[row, (row + 1) % batch] = max(0.0, 1 / others - 1 / images)
    return weights.log()
