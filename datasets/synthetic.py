"""Synthetic mixtures: latents with known distributions, seen through a random invertible function."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from unmix.datasets.expressions import check_name
from unmix.datasets.latents import Latents
from unmix.datasets.mixing import ACTIVATIONS, POOL, Mixing, check_rule, draw_matrices
from unmix.registry import DATASETS
from unmix.types import Factor, Pair

MIXINGS = ("mlp", "linear")


@DATASETS.register("synthetic")
@dataclass(frozen=True)
class Synthetic:
    r"""x = g(z) with z ~ p(z), and pairs with z' ~ p(z'|z) (Zimmermann et al. 2020, section 4 and table 1).

    The factors are the n latents themselves; on a sphere they are the n ambient coordinates, which are not
    independent. The mixing g is drawn from `seed` alone; the same generator gives the same latents under
    every mixing. The defaults are row 2 of the workshop paper's table 1, whose column "Linear" tells that
    its mixing has two layers; the code released with the ICML 2021 version has three, which is harder.

    Raises:
        UnknownNameError: A name does not exist; the message lists the close ones.
        ValueError: An argument is malformed or out of range.
        DeclinedError: The combination has no meaning, with the reason.

    Example:
        >>> dataset = Synthetic(space="sphere", conditional="vmf(kappa=10)", layers=3)
        >>> observations, factors = dataset.sample(4, torch.Generator().manual_seed(0))
        >>> tuple(observations.shape), tuple(factors.shape)
        ((4, 10), (4, 10))
    """

    n: int = field(default=10, metadata={"help": "number of latents, and of observed dimensions"})
    space: str = field(
        default="box",
        metadata={"help": 'box, box(low=-1, high=1), sphere, unbounded, or a product: "sphere(4) x box(6)"'},
    )
    marginal: str = field(
        default="uniform",
        metadata={
            "help": "p(z): uniform, laplace(scale=1), normal(std=1), gennorm(beta=3, scale=1) or "
            "gennorm(beta=3, std=1), vmf(kappa=1); one for each space of a product"
        },
    )
    conditional: str = field(
        default="gennorm(beta=2, scale=0.05)",
        metadata={
            "help": "p(z'|z): as the marginal, but not uniform; or, on a sphere, anisotropic(low=5, high=25), "
            'precisions of the coordinates; "" for a dataset without pairs'
        },
    )
    mixing: str = field(
        default="mlp",
        metadata={"help": "g: mlp, or linear (the same matrices without an activation)"},
    )
    layers: int = field(default=2, metadata={"help": "number of n x n matrices in the mixing"})
    activation: str = field(
        default="leaky_relu",
        metadata={"help": f"between the matrices of mlp: {', '.join(ACTIVATIONS)}"},
    )
    quantile: float = field(
        default=0.0,
        metadata={"help": "each matrix is at least as well conditioned as this share of a pool; 0: its best"},
    )
    pool: int = field(default=POOL, metadata={"help": "random matrices in the pool; fewer when n > 16"})
    seed: int = field(default=0, metadata={"help": "of the mixing; a run sets it to its own"})

    def __post_init__(self) -> None:
        check_rule(self.n, self.layers, self.quantile, self.pool)
        check_name("mixing", self.mixing, MIXINGS)
        check_name("activation", self.activation, ACTIVATIONS)
        self._latents  # noqa: B018  refuses what has no meaning now, not at the first draw

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The latents: n continuous factors z0, z1, ..."""
        return tuple(Factor(f"z{index}", "continuous") for index in range(self.n))

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (self.n,)

    @cached_property
    def mixing_function(self) -> Mixing:
        """g, with its exact `inverse`; drawn at first use."""
        weights = draw_matrices(self.n, self.layers, self.quantile, self.pool, self.seed)
        return Mixing(weights, self.activation if self.mixing == "mlp" else None)

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n"]]:
        """Draw z ~ p(z): observations and factors, both (n, self.n), float32, on the generator's device."""
        latents = self._latents.sample(n, generator)
        return self.mixing_function(latents), latents

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw z ~ p(z) and z' ~ p(z'|z): their observations, each (n, self.n).

        Raises:
            DeclinedError: When the conditional is "".
        """
        return Pair(*map(self.mixing_function, self.latent_pairs(n, generator)))

    def sample_positives(
        self, factors: Float[Tensor, "batch n"], generator: torch.Generator
    ) -> Float[Tensor, "batch n"]:
        """Draw z' ~ p(z'|z) for the given z: observations.

        Raises:
            DeclinedError: When the conditional is "".
            ValueError: When the factors are not self.n.
        """
        return self.mixing_function(self._latents.sample_positive(factors, generator))

    def latent_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """The latents behind `sample_pairs` for the same state of the generator.

        Raises:
            DeclinedError: When the conditional is "".
        """
        return Pair(*self._latents.sample_pairs(n, generator))

    @cached_property
    def _latents(self) -> Latents:
        return Latents.parse(self.space, self.marginal, self.conditional, self.n)
