"""A grid of factors, and what the image datasets on one share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unmix.datasets.transitions import Transitions
from unmix.factors import Factor
from unmix.types import DeclinedError, Pair

TRANSITIONS_HELP = (
    "p(z'|z) of the pairs: uni, lap(rate=1), changes(k=1), views(NAME, ...) with the factors that both views "
    'share; "" for a dataset without pairs'
)


@dataclass(frozen=True)
class Grid:
    """All combinations of levels, numbered with the last factor varying fastest.

    index = Σ_j level_j Π_{l > j} size_l, as the images of dSprites, Shapes3D and MPI3D are stored.

    Args:
        factors: Each with a size.

    Raises:
        ValueError: When a factor has no size.
    """

    factors: tuple[Factor, ...]

    def __post_init__(self) -> None:
        endless = [factor.name for factor in self.factors if factor.size is None]
        if endless:
            raise ValueError(f"factors without a size have no grid: {', '.join(endless)}")

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Levels of each factor."""
        return tuple(factor.size or 0 for factor in self.factors)

    def __len__(self) -> int:
        return math.prod(self.sizes)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """How far apart in the numbering two neighbouring levels of each factor are."""
        return tuple(math.prod(self.sizes[j + 1 :]) for j in range(len(self.sizes)))

    def index(self, levels: Int[Tensor, "n k"]) -> Int[Tensor, " n"]:
        """Numbers of the combinations."""
        return (levels * torch.tensor(self.strides, device=levels.device)).sum(dim=1)

    def levels(self, index: Int[Tensor, " n"]) -> Int[Tensor, "n k"]:
        """The combinations of these numbers."""
        strides = torch.tensor(self.strides, device=index.device)
        sizes = torch.tensor(self.sizes, device=index.device)
        return index[:, None] // strides % sizes

    def sample(self, n: int, generator: torch.Generator) -> Int[Tensor, "n k"]:
        """Levels drawn uniformly and independently."""
        index = torch.randint(len(self), (n,), generator=generator, device=generator.device)
        return self.levels(index)


class OnGrid:
    """What datasets on a full grid of factors share; a subclass is a frozen dataclass.

    It has a field `transitions`, the properties `factors` and `shape`, and `images`. Factors of a sample are the
    indices of levels; images are uint8 until a network takes them. Nothing is drawn but by the generator that
    is given, and all of it on the generator's device.
    """

    transitions: str

    @property
    def factors(self) -> tuple[Factor, ...]:
        raise NotImplementedError

    def images(self, levels: Int[Tensor, "n k"]) -> UInt8[Tensor, "n channels height width"]:
        """The images of levels that are known to be on the grid, on the levels' device."""
        raise NotImplementedError

    def observe(self, factors: Float[Tensor, "n k"] | Int[Tensor, "n k"]) -> UInt8[Tensor, "n channels height width"]:
        """The images of given factors, on the factors' device.

        Raises:
            ValueError: A level is outside of its factor's range; the message names both.
        """
        return self.images(self.check_levels(factors))

    def check_levels(self, factors: Tensor) -> Int[Tensor, "n k"]:
        """Factors as level indices, or an error that names the factor and the level."""
        levels = factors.long()
        sizes = torch.tensor(self.grid.sizes, device=levels.device)
        outside = ((levels < 0) | (levels >= sizes) | (levels != factors)).nonzero()
        if len(outside):
            row, column = outside[0].tolist()
            factor = self.factors[column]
            raise ValueError(
                f"factor {factor.name} has levels 0 to {(factor.size or 0) - 1}, got {factors[row, column].item():g}"
            )
        return levels

    @cached_property
    def grid(self) -> Grid:
        """The numbering of the factors' combinations."""
        return Grid(self.factors)

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[UInt8[Tensor, "n channels height width"], Float[Tensor, "n k"]]:
        """Draw factors uniformly: images and the indices of the levels."""
        levels = self.grid.sample(n, generator)
        return self.images(levels), levels.float()

    def factor_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """The factors behind `sample_pairs` for the same state of the generator: which of them changed is seen here.

        Raises:
            DeclinedError: When `transitions` is "".
        """
        return Pair(*(levels.float() for levels in self._level_pairs(n, generator)))

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw z uniformly and z' by the transitions: their images, in one rendering.

        Raises:
            DeclinedError: When `transitions` is "".
        """
        images = self.images(torch.cat(self._level_pairs(n, generator)))
        return Pair(images[:n], images[n:])

    def _level_pairs(self, n: int, generator: torch.Generator) -> Pair:
        anchor = self.grid.sample(n, generator)
        return Pair(anchor, self._transitions(anchor, generator))

    def sample_positives(
        self, factors: Float[Tensor, "n k"], generator: torch.Generator
    ) -> UInt8[Tensor, "n channels height width"]:
        """Draw z' by the transitions for the given z, indices of levels: images.

        Raises:
            DeclinedError: When `transitions` is "".
            ValueError: A level is outside of its factor's range.
        """
        return self.observe(self._transitions(self.check_levels(factors), generator))

    @cached_property
    def _transitions(self) -> Transitions:
        if not self.transitions:
            raise DeclinedError("this dataset was made without pairs: give it --transitions uni, for instance")
        return Transitions.parse(self.transitions, self.factors)
