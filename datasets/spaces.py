"""The spaces that latents live in: a box, the unit sphere, all of R^n."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """[low, high]^n.

    Args:
        n: Number of latents.
        low: Lower end of every coordinate.
        high: Upper end, above `low`.

    Raises:
        ValueError: When n < 1, or when the ends are not finite and in order.
    """

    n: int
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _at_least(1, "box", self.n)
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"a box needs finite low < high, got low={self.low:g}, high={self.high:g}")

    def __str__(self) -> str:
        return f"box({self.n}, low={self.low:g}, high={self.high:g})"


@dataclass(frozen=True)
class Sphere:
    """The unit sphere S^(n-1) in R^n; its latents are the n ambient coordinates.

    Args:
        n: Dimension of the ambient space.

    Raises:
        ValueError: When n < 2 (in R^1 the sphere is two points).
    """

    n: int

    def __post_init__(self) -> None:
        _at_least(2, "sphere", self.n)

    def __str__(self) -> str:
        return f"sphere({self.n})"

    def project(self, points: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        """The nearest points of the sphere."""
        length: Tensor = torch.linalg.vector_norm(points, dim=1, keepdim=True)
        return points / length


@dataclass(frozen=True)
class Unbounded:
    """R^n.

    Args:
        n: Number of latents.

    Raises:
        ValueError: When n < 1.
    """

    n: int

    def __post_init__(self) -> None:
        _at_least(1, "unbounded space", self.n)

    def __str__(self) -> str:
        return f"unbounded({self.n})"


Space = Box | Sphere | Unbounded


def _at_least(least: int, name: str, n: int) -> None:
    if n < least:
        raise ValueError(f"a {name} needs n of at least {least}, got {n}")
