"""Nonstationary mixtures: latents whose scale and mean depend on the segment of a sequence."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NoReturn

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unmix.datasets.distributions import laplace, normal
from unmix.datasets.expressions import check_name
from unmix.datasets.mixing import ACTIVATIONS, POOL, Mixing, check_rule, draw_matrices
from unmix.registry import DATASETS
from unmix.seeds import derived_generator
from unmix.types import DeclinedError, Factor


@DATASETS.register("nonstationary")
@dataclass(frozen=True)
class Nonstationary:
    r"""x = g(z) with z_i = m_i(u) + s_i(u) e_i, u the segment (Hyvärinen & Morioka 2016; Khemakhem et al. 2020).

    e is Laplace or normal of unit variance; every segment has its own s_i(u) ~ U(low, high) and m_i(u) ~
    U(-shift, shift). All of them and the mixing g are drawn from `seed` alone. Each draw has its own u, uniform: the
    papers have so many neighbouring points of each segment, which is the same where nothing but u depends on time.
    The defaults are those of the simulations of Khemakhem et al. 2020.

    Raises:
        UnknownNameError: A name does not exist; the message lists the close ones.
        ValueError: An argument is out of range.

    Example:
        >>> dataset = Nonstationary(n=3, segments=8, pool=100)
        >>> observations, segment = dataset.sample_auxiliary(4, torch.Generator().manual_seed(0))
        >>> tuple(observations.shape), tuple(segment.shape)
        ((4, 3), (4,))
    """

    n: int = field(default=5, metadata={"help": "number of latents, and of observed dimensions"})
    segments: int = field(default=40, metadata={"help": "number of segments, the values of u"})
    innovations: Literal["laplace", "normal"] = field(default="laplace", metadata={"help": "distribution of e"})
    low: float = field(default=0.5, metadata={"help": "smallest standard deviation of a latent in a segment"})
    high: float = field(default=3.0, metadata={"help": "largest standard deviation"})
    shift: float = field(default=0.0, metadata={"help": "largest mean of a latent in a segment; 0: only scales change"})
    layers: int = field(default=3, metadata={"help": "number of n x n matrices in the mixing"})
    activation: str = field(default="leaky_relu", metadata={"help": f"between them: {', '.join(ACTIVATIONS)}"})
    quantile: float = field(
        default=0.0, metadata={"help": "each matrix is at least as well conditioned as this share of a pool"}
    )
    pool: int = field(default=POOL, metadata={"help": "random matrices in the pool; fewer when n > 16"})
    seed: int = field(default=0, metadata={"help": "of segments and mixing; a run sets it to its own"})

    def __post_init__(self) -> None:
        check_rule(self.n, self.layers, self.quantile, self.pool)
        check_name("activation", self.activation, ACTIVATIONS)
        if self.segments < 2:
            raise ValueError(f"segments is {self.segments}: it must be at least 2")
        if not 0 < self.low <= self.high:
            raise ValueError(f"low is {self.low} and high {self.high}: 0 < low <= high must hold")
        if not self.shift >= 0:
            raise ValueError(f"shift is {self.shift}: it must be at least 0")

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
        return Mixing(weights, self.activation)

    @cached_property
    def modulation(self) -> tuple[Float[Tensor, "segments n"], Float[Tensor, "segments n"]]:
        """Means m(u) and standard deviations s(u) of the latents in each segment, float64."""
        generator = derived_generator(self.seed, "segments")
        stds, means = torch.rand((2, self.segments, self.n), generator=generator, dtype=torch.float64)
        return self.shift * (2 * means - 1), self.low + (self.high - self.low) * stds

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n"]]:
        """Draw u uniformly and z ~ p(z|u): observations and factors, both (n, self.n), float32."""
        latents, _ = self._latents(n, generator)
        return self.mixing_function(latents), latents

    def sample_auxiliary(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch n"], Int64[Tensor, " batch"]]:
        """The observations of `sample` for the same state of the generator, and the segment u of each."""
        latents, segment = self._latents(n, generator)
        return self.mixing_function(latents), segment

    def sample_pairs(self, n: int, generator: torch.Generator) -> NoReturn:
        """Raise DeclinedError: points of a segment are independent, so a pair says nothing beyond its segment."""
        raise DeclinedError(
            "nonstationary has no pairs, its points are independent given their segment: take a method for "
            "auxiliary variables (tcl, ivae), or the dataset synthetic"
        )

    def _latents(
        self, n: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch n"], Int64[Tensor, " batch"]]:
        segment = torch.randint(self.segments, (n,), generator=generator, device=generator.device)
        unit = laplace(0.5**0.5) if self.innovations == "laplace" else normal(1.0)
        noise = unit.noise(torch.Size((n, self.n)), generator)
        means, stds = (part.to(generator.device)[segment] for part in self.modulation)
        return (means + stds * noise).float(), segment
