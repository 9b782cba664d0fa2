"""What variational autoencoders share: posterior, KL terms, reconstruction, and the module of encoder and decoder.

All losses here are of one image in nats: reconstruction summed over pixels, KL summed over codes, both averaged over
images, as in Kingma & Welling (2014) and Higgins et al. (2017).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from unmix.baselines.networks import decoder_for, encoder_for
from unmix.baselines.projection import Precision, scaled
from unmix.training import Recipe
from unmix.types import Dataset

CODES = 10
RECIPE = Recipe(steps=10_000, batch=64, optimiser="adam", lr=5e-4, schedule="constant", warmup=0, clip=0.0)
"""The papers' optimiser and batch (Adam, 64 images); 300,000 steps of 1e-4 there, fewer and larger ones here."""

Images = Float[Tensor, "n channels height width"] | UInt8[Tensor, "n channels height width"]


class Posterior(NamedTuple):
    """q(z|x) = N(mean, diag(exp(logvar))), a row an image."""

    mean: Float[Tensor, "n d"]
    logvar: Float[Tensor, "n d"]

    @property
    def std(self) -> Float[Tensor, "n d"]:
        return torch.exp(0.5 * self.logvar)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """One reparametrised draw a row: mean + std ε."""
        noise = torch.randn(self.mean.shape, generator=generator, device=generator.device)
        return self.mean + self.std * noise


class Elbo(NamedTuple):
    """Terms of the negative evidence lower bound, in nats an image, and the codes that they were drawn with."""

    codes: Float[Tensor, "n d"]
    reconstruction: Float[Tensor, ""]
    kl: Float[Tensor, ""]


class Vae(nn.Module):
    """Encoder and decoder; called, it encodes to the posterior's means.

    Args:
        encoder: Images (n, channels, height, width) -> means and log-variances (n, 2d).
        decoder: Codes (n, d) -> logits of the pixels.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def posterior(self, images: Images) -> Posterior:
        return Posterior(*self.encoder(images).chunk(2, dim=1))

    def forward(self, images: Images) -> Float[Tensor, "n d"]:
        return self.posterior(images).mean

    def decode(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n channels height width"]:
        """Images in [0, 1]: the expected pixels."""
        return torch.sigmoid(self.decoder(codes))

    def elbo(self, images: Images, posterior: Posterior, generator: torch.Generator) -> Elbo:
        """Its terms for codes that are drawn from the posterior, once an image."""
        codes = posterior.sample(generator)
        rebuilt = reconstruction(self.decoder(codes), images)
        return Elbo(codes, rebuilt, kl_to_normal(posterior).sum(dim=1).mean())


def vae_for(dataset: Dataset, d: int, *, generator: torch.Generator, precision: Precision = "float32") -> Vae:
    """The papers' convolutional encoder and decoder, with weights from the generator's seed.

    Raises:
        DeclinedError: When the observations are no images of 64x64.
    """
    decoder = decoder_for(dataset, d, generator=generator, precision=precision)
    return Vae(encoder_for(dataset, 2 * d, generator=generator, precision=precision), decoder)


def kl_to_normal(posterior: Posterior) -> Float[Tensor, "n d"]:
    """KL(q(z_j|x) || N(0, 1)) = (mean^2 + var - log var - 1) / 2, of each code."""
    mean, logvar = posterior
    return 0.5 * (mean.square() + logvar.exp() - logvar - 1)


def reconstruction(logits: Float[Tensor, "n channels height width"], images: Images) -> Float[Tensor, ""]:
    """-log p(x|z) with Bernoulli pixels, summed over pixels and channels, averaged over images."""
    summed = nn.functional.binary_cross_entropy_with_logits(logits, scaled(images), reduction="sum")
    return summed / len(images)


def check_weights(method: object, *names: str) -> None:
    """Refuse negative weights, and a number of codes below 1.

    Raises:
        ValueError: With the field's name and value.
    """
    for name, least in (*((name, 0) for name in names), ("d", 1)):
        value = getattr(method, name)
        if not value >= least:
            raise ValueError(f"{name} is {value}: it must be at least {least}")
