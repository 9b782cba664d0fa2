"""Ada-GVAE and Ada-ML-VAE: pairs that share an unknown subset of their factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from unmix.baselines.projection import Precision
from unmix.baselines.vae import CODES, RECIPE, Posterior, Vae, check_weights, vae_for
from unmix.registry import METHODS
from unmix.training import Recipe, Terms, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("ada_gvae")
@dataclass(frozen=True)
class AdaGvae:
    """Beta-VAE on pairs whose posteriors are averaged where they differ least (Locatello et al. 2020, section 4.2).

    Code i counts as shared where KL(q(z_i|x) || q(z_i|x')) is below the middle between the smallest and the largest
    of a pair's codes (their equation 6). Shared codes take the average of both means and of both variances
    (Hosoya 2019).
    """

    beta: float = field(default=1.0, metadata={"help": "weight of the KL"})
    d: int = field(default=CODES, metadata={"help": "number of codes"})
    precision: Precision = field(default="float32", metadata={"help": "of the convolutions"})
    recipe: Recipe = field(default=replace(RECIPE, batch=RECIPE.batch // 2))

    def __post_init__(self) -> None:
        check_weights(self, "beta")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return _fit(self, mean_of_moments, dataset, generator, trainer)


@METHODS.register("ada_ml_vae")
@dataclass(frozen=True)
class AdaMlVae(AdaGvae):
    """Ada-GVAE whose shared codes take the product of both posteriors (Locatello et al. 2020; Bouchacourt et al. 2018).

    The product of two Normals has the precision-weighted mean; its variance is taken twice as large, the harmonic
    mean of both, as in the released code, so that equal posteriors stay as they are.
    """

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return _fit(self, product, dataset, generator, trainer)


Average = Callable[[Posterior, Posterior], Posterior]


def _fit(method: AdaGvae, average: Average, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Vae:
    vae = vae_for(dataset, method.d, generator=generator, precision=method.precision).to(trainer.device)

    def loss(batch: int) -> Terms:
        images = torch.cat(dataset.sample_pairs(batch, generator))
        _, rebuilt, kl = vae.elbo(images, shared(vae.posterior(images), average), generator)
        return {"loss": rebuilt + method.beta * kl, "reconstruction": rebuilt, "kl": kl}

    trainer.minimise(vae, loss, method.recipe, generator)
    return vae


def shared(posterior: Posterior, average: Average) -> Posterior:
    """Posteriors of anchors and then of their positives, (2n, d), averaged in the codes that a pair seems to share."""
    anchor, positive = (Posterior(*parts) for parts in zip(*(part.chunk(2) for part in posterior), strict=True))
    alike = seem_shared(anchor, positive).repeat(2, 1)
    mean, logvar = (part.repeat(2, 1) for part in average(anchor, positive))
    return Posterior(torch.where(alike, mean, posterior.mean), torch.where(alike, logvar, posterior.logvar))


def seem_shared(anchor: Posterior, positive: Posterior) -> Bool[Tensor, "n d"]:
    """Whether KL(q(z_i|x) || q(z_i|x')) is below the middle between the smallest and the largest of a pair's codes."""
    ratio = (anchor.logvar - positive.logvar).exp()
    distance = (anchor.mean - positive.mean).square() / positive.logvar.exp()
    kl = 0.5 * (ratio + distance - 1 - ratio.log())
    return kl < (kl.amin(1, keepdim=True) + kl.amax(1, keepdim=True)) / 2


def mean_of_moments(anchor: Posterior, positive: Posterior) -> Posterior:
    """Mean of the means and mean of the variances (Hosoya 2019)."""
    variance = (anchor.logvar.exp() + positive.logvar.exp()) / 2
    return Posterior((anchor.mean + positive.mean) / 2, variance.log())


def product(anchor: Posterior, positive: Posterior) -> Posterior:
    """Precision-weighted mean and harmonic mean of the variances (Bouchacourt et al. 2018, equation 3, rescaled)."""
    weights = torch.softmax(torch.stack([-anchor.logvar, -positive.logvar]), dim=0)
    mean = weights[0] * anchor.mean + weights[1] * positive.mean
    precision = ((-anchor.logvar).exp() + (-positive.logvar).exp()) / 2
    return Posterior(mean, -precision.log())
