"""FactorVAE: total correlation by a discriminator."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from unmix.baselines.mlp import Mlp
from unmix.baselines.networks import initialised
from unmix.baselines.projection import Precision
from unmix.baselines.vae import CODES, RECIPE, check_weights, vae_for
from unmix.registry import METHODS
from unmix.training import Recipe, Terms, Trainer
from unmix.types import Dataset, Encoder


@METHODS.register("factor_vae")
@dataclass(frozen=True)
class FactorVae:
    """E_q[-log p(x|z)] + KL(q(z|x) || N(0, I)) + gamma TC(z) (Kim & Mnih 2018, equation 2).

    TC(z) = KL(q(z) || prod_j q(z_j)) is estimated by the density-ratio trick: a discriminator D tells codes from
    codes permuted across a second batch, each dimension by itself, and TC = E[log D(z) - log(1 - D(z))]. Both are
    trained at each step by the recipe's one optimiser; theirs has other moments (0.5, 0.9) for the discriminator.
    """

    gamma: float = field(default=35.0, metadata={"help": "weight of the total correlation"})
    width: int = field(default=1000, metadata={"help": "of the discriminator's hidden layers"})
    depth: int = field(default=6, metadata={"help": "number of the discriminator's hidden layers"})
    d: int = field(default=CODES, metadata={"help": "number of codes"})
    precision: Precision = field(default="float32", metadata={"help": "of the convolutions and the discriminator"})
    recipe: Recipe = field(default=RECIPE)

    def __post_init__(self) -> None:
        check_weights(self, "gamma")
        if self.width < 1 or self.depth < 1:
            raise ValueError(f"width and depth are {self.width} and {self.depth}: they must be at least 1")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        vae = vae_for(dataset, self.d, generator=generator, precision=self.precision).to(trainer.device)
        sizes = [self.d, *[self.width] * self.depth, 1]
        discriminator = initialised(
            lambda: Mlp(sizes, slope=0.2, precision=self.precision), generator, "discriminator"
        ).to(trainer.device)

        def loss(batch: int) -> Terms:
            images, _ = dataset.sample(batch, generator)
            codes, rebuilt, kl = vae.elbo(images, vae.posterior(images), generator)
            tc = total_correlation(discriminator, codes)
            with torch.no_grad():
                others = vae.posterior(dataset.sample(batch, generator)[0]).sample(generator)
            told = discrimination(discriminator, codes.detach(), permuted(others, generator))
            total = rebuilt + kl + self.gamma * tc + told
            return {"loss": total, "reconstruction": rebuilt, "kl": kl, "tc": tc, "discriminator": told}

        trainer.minimise(nn.ModuleList([vae, discriminator]), loss, self.recipe, generator, vae)
        return vae


def total_correlation(discriminator: nn.Module, codes: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """E[log D - log(1 - D)], the mean logit; its gradient reaches the codes and not the discriminator."""
    fixed = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    logits: Tensor = functional_call(discriminator, fixed, (codes,))
    return logits.mean()


def discrimination(
    discriminator: nn.Module, codes: Float[Tensor, "n d"], others: Float[Tensor, "m d"]
) -> Float[Tensor, ""]:
    """Cross-entropy of telling codes from permuted others: (E[-log D(z)] + E[-log(1 - D(z'))]) / 2."""
    joint, factorised = discriminator(torch.cat([codes, others])).split([len(codes), len(others)])
    return (nn.functional.softplus(-joint).mean() + nn.functional.softplus(factorised).mean()) / 2


def permuted(codes: Float[Tensor, "n d"], generator: torch.Generator) -> Float[Tensor, "n d"]:
    """Each dimension permuted across the batch by itself: a sample of prod_j q(z_j) (their algorithm 1)."""
    order = torch.rand(codes.shape, generator=generator, device=generator.device).argsort(dim=0)
    return codes.gather(0, order)
