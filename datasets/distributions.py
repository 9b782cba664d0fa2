"""Distributions of latents on a space: around a location (marginals) or around an anchor (conditionals).

Everything is drawn in float64 from one explicit generator, whole batches at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from scipy import special
from torch import Tensor

from unmix.datasets.spaces import Box, Space, Sphere, Unbounded
from unmix.types import DeclinedError


@runtime_checkable
class Distribution(Protocol):
    """A distribution around a centre: of a marginal its location, of a conditional the anchor."""

    def check(self, space: Space) -> None:
        """Raise DeclinedError with the reason when the distribution has no meaning on the space."""
        ...

    def around(
        self, space: Space, centre: Float[Tensor, "batch n"], generator: torch.Generator
    ) -> Float[Tensor, "batch n"]:
        """Draw one point of the space for each row of `centre`, a float64 tensor of points of the space."""
        ...


@dataclass(frozen=True)
class Uniform:
    """The uniform distribution of a box or a sphere; a draw does not depend on its centre."""

    def check(self, space: Space) -> None:
        if isinstance(space, Unbounded):
            raise DeclinedError(
                f"there is no uniform distribution on {space}: its volume is infinite; "
                "choose laplace, normal or gennorm, or a box"
            )

    def around(
        self, space: Space, centre: Float[Tensor, "batch n"], generator: torch.Generator
    ) -> Float[Tensor, "batch n"]:
        self.check(space)
        if isinstance(space, Sphere):
            return space.project(_standard_normal(centre.shape, generator))
        assert isinstance(space, Box)
        unit = _unit_uniform(centre.shape, generator)
        return (space.low + (space.high - space.low) * unit).clamp_(space.low, space.high)


@dataclass(frozen=True)
class GeneralizedNormal:
    r"""Independent coordinates of density proportional to exp(-|x - centre|^beta / scale^beta).

    On R^n it is this density; on a box every coordinate is truncated to the box (exactly, by its inverse
    cdf); on the sphere a point is drawn in R^n and projected (Zimmermann et al. 2020, table 1).

    Two conventions of width exist. `scale` is the one of the density above; `std` is the standard deviation
    before truncation or projection, scale * sqrt(Gamma(3/beta) / Gamma(1/beta)). Laplace is beta = 1 (its
    usual scale is this scale); Normal is beta = 2 with std = scale / sqrt(2).

    Args:
        beta: Exponent, at least 0.05 (the tails of smaller ones overflow float32).
        scale: Width in the density's convention, above 0.

    Raises:
        ValueError: When an argument is not finite or out of range.
    """

    beta: float
    scale: float

    def __post_init__(self) -> None:
        _check_beta(self.beta)
        _positive("gennorm's scale", self.scale)

    @property
    def std(self) -> float:
        """Standard deviation of a coordinate on R^n."""
        return self.scale * _std_of_unit_scale(self.beta)

    def check(self, space: Space) -> None:
        return None

    def around(
        self, space: Space, centre: Float[Tensor, "batch n"], generator: torch.Generator
    ) -> Float[Tensor, "batch n"]:
        if isinstance(space, Box):
            low, high = self.mass(space.low - centre), self.mass(space.high - centre)
            mass = torch.addcmul(low, high - low, _unit_uniform(centre.shape, generator))
            # A mass that rounds to 1 has an infinite quantile; its point is the box's end.
            return self.quantile(mass).add_(centre).clamp_(space.low, space.high)
        moved = centre + self.noise(centre.shape, generator)
        return space.project(moved) if isinstance(space, Sphere) else moved

    def noise(self, shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "batch n"]:
        """Draw around 0 on R^n."""
        if self.beta == 2:
            return _standard_normal(shape, generator).mul_(self.std)
        sign_and_share = _unit_uniform(shape, generator).mul_(2).sub_(1)
        # |x|^beta / scale^beta is Gamma(1/beta) = Gamma(1 + 1/beta) * U^beta in law: with the shape above 1
        # nothing underflows, whatever beta is.
        if self.beta == 1:
            uniforms = _unit_uniform(torch.Size((2, *shape)), generator)
            gamma = -torch.log1p(-uniforms).sum(0)
        else:
            concentration = torch.full_like(sign_and_share, 1 + 1 / self.beta)
            gamma = torch._standard_gamma(concentration, generator=generator)
        return gamma.pow_(1 / self.beta).mul_(sign_and_share).mul_(self.scale)

    def mass(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        """2 cdf(x) - 1 of a coordinate around 0 on R^n: the signed mass between -|x| and |x|, in [-1, 1]."""
        x = x / self.scale
        if self.beta == 2:
            return torch.erf(x)
        if self.beta == 1:
            return torch.expm1(-x.abs()).neg_().copysign_(x)
        power = x.abs().pow(self.beta)
        shape = torch.full_like(power, 1 / self.beta)
        # Where the power underflows the density is constant to float64's precision.
        constant = x.abs() / math.gamma(1 + 1 / self.beta)
        return torch.where(power < 1e-17, constant, torch.special.gammainc(shape, power)).copysign(x)

    def quantile(self, mass: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        """The inverse of `mass`."""
        if self.beta == 2:
            return torch.erfinv(mass).mul_(self.scale)
        if self.beta == 1:
            return torch.log1p(-mass.abs()).mul_(-self.scale).copysign_(mass)
        share = mass.abs().cpu()
        power = torch.from_numpy(special.gammaincinv(1 / self.beta, share.numpy()))
        constant = share * math.gamma(1 + 1 / self.beta)
        x = torch.where(power < 1e-17, constant, power.pow(1 / self.beta))
        return x.to(mass.device).mul_(self.scale).copysign_(mass)


@dataclass(frozen=True)
class VonMisesFisher:
    r"""The distribution on the sphere of density proportional to exp(kappa <centre, z>).

    Drawn exactly by rejection (Ulrich 1984, Wood 1994; Mardia & Jupp, Directional Statistics, 9.3 and 10.3).
    Wood's proposal is a uniform point of the sphere whose height y along the centre is moved to
    w = (x0 + y) / (1 + x0 y), so one uniform point gives both the height and the direction around the centre.

    Args:
        kappa: Concentration, at least 0 (0 is the uniform distribution).

    Raises:
        ValueError: When kappa is negative or not finite.
    """

    kappa: float

    def __post_init__(self) -> None:
        if not 0 <= self.kappa < math.inf:
            raise ValueError(f"vmf's kappa must be finite and at least 0, got {self.kappa:g}")

    def check(self, space: Space) -> None:
        if not isinstance(space, Sphere):
            raise DeclinedError(
                f"vmf is a distribution on the sphere, and has no meaning on {space}; "
                "choose laplace, normal or gennorm, or a sphere"
            )

    def around(
        self, space: Space, centre: Float[Tensor, "batch n"], generator: torch.Generator
    ) -> Float[Tensor, "batch n"]:
        self.check(space)
        assert isinstance(space, Sphere)
        uniform = torch.empty_like(centre)
        pending = torch.arange(len(centre), device=centre.device)
        while len(pending):
            proposal = space.project(_standard_normal(torch.Size((len(pending), space.n)), generator))
            height = torch.linalg.vecdot(proposal, centre.index_select(0, pending))
            accepted = self._accepted(height, space.n, generator)
            uniform.index_copy_(0, pending[accepted], proposal[accepted])
            pending = pending[~accepted]
        return self._moved(uniform, centre)

    def _accepted(
        self, height: Float[Tensor, " batch"], n: int, generator: torch.Generator
    ) -> Bool[Tensor, " batch"]:
        b = self._proposal(n)
        below, below_x0 = _below_pole(height, b), 2 * b / (1 + b)
        # The log of the density over its bound, which it meets at w = x0, by 1 - w and 1 - x0.
        reach = (below_x0 + (1 - below_x0) * below) * ((1 + b) ** 2 / (4 * b))
        ratio = self.kappa * (below_x0 - below) + (n - 1) * torch.log(reach)
        return torch.log1p(-_unit_uniform(height.shape, generator)) <= ratio

    def _moved(
        self, uniform: Float[Tensor, "batch n"], centre: Float[Tensor, "batch n"]
    ) -> Float[Tensor, "batch n"]:
        height: Tensor = torch.linalg.vecdot(uniform, centre)[:, None]
        across = uniform - height * centre
        below = _below_pole(height, self._proposal(centre.shape[1]))
        radius = (below * (2 - below)).sqrt_()
        length = torch.linalg.vector_norm(across, dim=1, keepdim=True)
        return across.mul_(radius / length).add_((1 - below) * centre)

    def _proposal(self, n: int) -> float:
        """Wood's b in (0, 1], without cancellation; his x0 is (1 - b) / (1 + b)."""
        return (n - 1) / (2 * self.kappa + math.hypot(2 * self.kappa, n - 1))


@dataclass(frozen=True)
class Anisotropic:
    r"""The normal distribution around a point of the sphere, of variance 1 / weight_i in coordinate i, on the sphere.

    Drawn in R^n; draws whose length is within 0.1 of 1 are projected, the others drawn again (Rusak et al. 2024 and
    its code). That is close to the density proportional to exp(-(z - centre)^T W (z - centre) / 2) on the sphere.

    The weights are spread evenly from `low` to `high` over the n coordinates, or take `levels` such values, each in
    as many neighbouring coordinates: levels=2 is the paper's two blocks.

    Args:
        low: Weight of the first coordinate, above 0.
        high: Of the last.
        levels: Number of different weights; 0 for n.

    Raises:
        ValueError: When a weight is not a finite number above 0, or levels is negative.
    """

    low: float
    high: float
    levels: int = 0

    def __post_init__(self) -> None:
        _positive("anisotropic's low", self.low)
        _positive("anisotropic's high", self.high)
        if self.levels < 0:
            raise ValueError(f"anisotropic's levels must be at least 0, got {self.levels}")

    def check(self, space: Space) -> None:
        if not isinstance(space, Sphere):
            raise DeclinedError(
                f"anisotropic is a distribution on the sphere, and has no meaning on {space}; "
                "choose a product such as normal(0.05) x normal(0.2) there"
            )
        if min(self.low, self.high) < space.n / 2:
            raise DeclinedError(
                f"a weight of {min(self.low, self.high):g} is so small that hardly a draw falls near {space}: "
                f"take at least {space.n / 2:g}, or uniform"
            )

    def weights(self, n: int) -> Float[Tensor, " n"]:
        """Of the n coordinates."""
        levels = self.levels or n
        spread = torch.linspace(self.low, self.high, levels, dtype=torch.float64)
        return spread[torch.arange(n) * levels // n]

    def around(
        self, space: Space, centre: Float[Tensor, "batch n"], generator: torch.Generator
    ) -> Float[Tensor, "batch n"]:
        self.check(space)
        assert isinstance(space, Sphere)
        stds = self.weights(space.n).rsqrt().to(centre.device)
        drawn = torch.empty_like(centre)
        pending = torch.arange(len(centre), device=centre.device)
        while len(pending):
            proposal = centre[pending] + stds * _standard_normal(torch.Size((len(pending), space.n)), generator)
            accepted = (torch.linalg.vector_norm(proposal, dim=1) - 1).abs() < 0.1
            drawn[pending[accepted]] = space.project(proposal[accepted])
            pending = pending[~accepted]
        return drawn


def normal(std: float) -> GeneralizedNormal:
    """The normal distribution with standard deviation `std` in every coordinate."""
    _positive("normal's std", std)
    return GeneralizedNormal(beta=2.0, scale=std * math.sqrt(2))


def laplace(scale: float) -> GeneralizedNormal:
    """The Laplace distribution of density exp(-|x| / scale) / (2 scale); its std is scale * sqrt(2)."""
    _positive("laplace's scale", scale)
    return GeneralizedNormal(beta=1.0, scale=scale)


def gennorm(beta: float, scale: float | None = None, std: float | None = None) -> GeneralizedNormal:
    """The generalised normal distribution, with its width in exactly one of the two conventions.

    Raises:
        ValueError: When both or none of scale and std are given, or one is not a finite number above 0.
    """
    if (scale is None) == (std is None):
        raise ValueError(
            "gennorm takes exactly one of scale (density exp(-|x/scale|^beta)) and std (standard deviation)"
        )
    if std is None:
        assert scale is not None
        return GeneralizedNormal(beta, scale)
    _check_beta(beta)
    _positive("gennorm's std", std)
    return GeneralizedNormal(beta, std / _std_of_unit_scale(beta))


def _std_of_unit_scale(beta: float) -> float:
    return math.exp((math.lgamma(3 / beta) - math.lgamma(1 / beta)) / 2)


def _below_pole(height: Float[Tensor, "*shape"], b: float) -> Float[Tensor, "*shape"]:
    """1 - w for a uniform point's height: exact near the pole, where w itself has lost its digits."""
    below = 1 - height
    return (2 * b * below / (2 * b + (1 - b) * (2 - below))).clamp(0, 2)


def _check_beta(beta: float) -> None:
    if not 0.05 <= beta < math.inf:
        raise ValueError(f"gennorm's beta must be finite and at least 0.05, got {beta:g}")


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value:g}")


def _standard_normal(shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "*shape"]:
    return torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)


def _unit_uniform(shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """In [0, 1), with float64's 53 bits: the tails need them."""
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
