"""Latents: a space, a marginal p(z) and a conditional p(z'|z) on it, each of them possibly a product.

The texts that name them:

    spaces          box | box(low=-1, high=1) | sphere | unbounded; products, with each n: sphere(4) x box(6)
    distributions   uniform | vmf(kappa=) | anisotropic(low=, high=, levels=0) | laplace(scale=) | normal(std=)
                    | gennorm(beta=, scale= or std=); products: vmf(kappa=10) x laplace(scale=0.05)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unmix.datasets.distributions import (
    Anisotropic,
    Distribution,
    GeneralizedNormal,
    Uniform,
    VonMisesFisher,
    gennorm,
    laplace,
    normal,
)
from unmix.datasets.expressions import construct, split_product
from unmix.datasets.spaces import Box, Space, Sphere, Unbounded
from unmix.types import DeclinedError

SPACES: dict[str, Callable[..., Space]] = {"box": Box, "sphere": Sphere, "unbounded": Unbounded}
DISTRIBUTIONS: dict[str, Callable[..., Distribution]] = {
    "uniform": Uniform,
    "vmf": VonMisesFisher,
    "anisotropic": Anisotropic,
    "laplace": laplace,
    "normal": normal,
    "gennorm": gennorm,
}


@dataclass(frozen=True)
class Part:
    """One factor of the product: a space with its marginal and its conditional.

    Raises:
        DeclinedError: When a distribution has no meaning on the space.
    """

    space: Space
    marginal: Distribution
    conditional: Distribution | None

    def __post_init__(self) -> None:
        self.marginal.check(self.space)
        outside = isinstance(self.space, Box) and not self.space.low <= 0 <= self.space.high
        if isinstance(self.marginal, GeneralizedNormal) and outside:
            raise DeclinedError(
                f"the marginal is located at 0, which is outside of {self.space}; choose uniform, "
                "or a box that contains 0"
            )
        if self.conditional is None:
            return
        self.conditional.check(self.space)
        if isinstance(self.conditional, Uniform):
            raise DeclinedError(
                "a uniform conditional does not depend on z, so its pairs say nothing about the latents; "
                'choose vmf, laplace, normal or gennorm, or "" for no pairs'
            )

    def location(self, n: int, device: torch.device) -> Float[Tensor, "batch n"]:
        """The marginal's location, n times: 0, on the sphere e_1."""
        location = torch.zeros(n, self.space.n, dtype=torch.float64, device=device)
        if isinstance(self.space, Sphere):
            location[:, 0] = 1
        return location


@dataclass(frozen=True)
class Latents:
    r"""p(z) and p(z'|z) on a product of spaces, whose coordinates are concatenated.

    A marginal other than the uniform one is located at 0, on the sphere at e_1 (Zimmermann et al. 2020):
    "normal(std=1)" on the sphere is N(e_1, I) projected onto it, which is not invariant under rotations.

    Args:
        parts: The factors of the product, at least one.

    Example:
        >>> latents = Latents.parse("sphere(4) x box(6)", "uniform x uniform", "vmf(10) x normal(0.1)")
        >>> anchor, positive = latents.sample_pairs(5, torch.Generator().manual_seed(0))
        >>> tuple(anchor.shape), tuple(positive.shape)
        ((5, 10), (5, 10))
    """

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, space: str, marginal: str, conditional: str = "", n: int | None = None) -> Latents:
        """From their texts.

        Args:
            space: As in the module's table.
            marginal: With as many factors as the space.
            conditional: With as many factors as the space; "" for none.
            n: Total number of latents; it may be left out when the space's text states it.

        Raises:
            UnknownNameError: A name does not exist; the message lists the close ones.
            ValueError: A text is malformed, a number out of range, or the numbers of latents do not agree.
            DeclinedError: The combination has no meaning.
        """
        spaces = _spaces(space, n)
        marginals = _distributions(marginal, "marginal", space, len(spaces))
        conditionals: list[Distribution] | list[None] = [None] * len(spaces)
        if conditional.strip():
            conditionals = _distributions(conditional, "conditional", space, len(spaces))
        return cls(tuple(map(Part, spaces, marginals, conditionals)))

    @property
    def n(self) -> int:
        """Number of latents."""
        return sum(part.space.n for part in self.parts)

    def sample(
        self, n: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "batch n"]:
        """Draw n latents z ~ p(z) on the generator's device."""
        return self._marginal(n, generator).to(dtype)

    def sample_pairs(
        self, n: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n"]]:
        """Draw n pairs z ~ p(z), z' ~ p(z'|z) on the generator's device.

        Raises:
            DeclinedError: When there is no conditional.
        """
        if any(part.conditional is None for part in self.parts):
            raise DeclinedError("these latents have no conditional p(z'|z), hence no pairs")
        anchor = self._marginal(n, generator)
        return anchor.to(dtype), self._conditional(anchor, generator).to(dtype)

    def sample_positive(
        self, anchor: Float[Tensor, "batch n"], generator: torch.Generator
    ) -> Float[Tensor, "batch n"]:
        """Draw z' ~ p(z'|z) for given anchors z, in the anchors' dtype.

        Raises:
            DeclinedError: When there is no conditional.
            ValueError: When the anchors' dimension is not n.
        """
        if anchor.shape[1] != self.n:
            raise ValueError(f"anchors have {anchor.shape[1]} coordinates, the latents {self.n}")
        if any(part.conditional is None for part in self.parts):
            raise DeclinedError("these latents have no conditional p(z'|z), hence no pairs")
        return self._conditional(anchor.double(), generator).to(anchor.dtype)

    def _marginal(self, n: int, generator: torch.Generator) -> Float[Tensor, "batch n"]:
        return torch.cat(
            [
                part.marginal.around(part.space, part.location(n, generator.device), generator)
                for part in self.parts
            ],
            dim=1,
        )

    def _conditional(
        self, anchor: Float[Tensor, "batch n"], generator: torch.Generator
    ) -> Float[Tensor, "batch n"]:
        columns = torch.split(anchor, [part.space.n for part in self.parts], dim=1)
        return torch.cat(
            [
                part.conditional.around(part.space, column, generator)
                for part, column in zip(self.parts, columns, strict=True)
                if part.conditional is not None
            ],
            dim=1,
        )


def _spaces(text: str, n: int | None) -> list[Space]:
    factors = split_product(text)
    defaults = {"n": n} if n is not None and len(factors) == 1 else {}
    spaces = [construct(factor, "space", SPACES, **defaults) for factor in factors]
    total = sum(space.n for space in spaces)
    if n is not None and total != n:
        raise ValueError(f"space {text!r} has {total} latents, and n is {n}: make them agree")
    return spaces


def _distributions(text: str, kind: str, space: str, count: int) -> list[Distribution]:
    factors = split_product(text)
    if len(factors) != count:
        raise ValueError(
            f"{kind} {text!r} has {len(factors)} factors and space {space!r} has {count}: "
            "give one for each space, joined by ' x '"
        )
    return [construct(factor, kind, DISTRIBUTIONS) for factor in factors]
