"""A twin of Natural Sprites that needs no download: sprites that move by the laws fitted to objects in videos."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unmix.datasets.distributions import GeneralizedNormal
from unmix.datasets.motion import Motion, check_ranges
from unmix.datasets.natural_sprites import ANGLE, ANGLES, BINS, SHAPE, SIDE
from unmix.datasets.polygons import SPRITES, coverage, place
from unmix.factors import Factor
from unmix.registry import DATASETS
from unmix.types import Pair

MOTION = Motion(
    low=(0.2 * SIDE, 0.2 * SIDE, (SIDE / 12) ** 2),
    high=(0.8 * SIDE, 0.8 * SIDE, (SIDE / 2) ** 2),
    steps=(GeneralizedNormal(0.515, 0.257), GeneralizedNormal(0.548, 0.308), GeneralizedNormal(0.444, 5.04)),
)
"""Of x, y and area, in pixels of a 64 x 64 image and a frame: steps as Klindt et al. 2021 fitted 234,652 transitions of
YouTube-VOS, the source of Natural Sprites, as printed by `data_analysis/data_analysis_both.ipynb` of their release. The
excess kurtosis that it prints is 40, 36 and 76; these laws have 20, 17 and 33, or 15, 13 and 14 with steps reflected
at the ends. The ranges are those of the grid in their loader.
"""
CONTINUOUS = (
    *(Factor(name, "continuous", range=(0.2, 0.8), unit="of the image's side") for name in ("x", "y")),
    Factor("scale", "continuous", range=(1 / 12, 1 / 2), unit="of the image's side"),
)
DISCRETE = tuple(Factor(name, "ordinal", size) for name, size in zip(("x", "y", "scale"), BINS, strict=True))


@DATASETS.register("natural_sprites_procedural")
@dataclass(frozen=True)
class NaturalSpritesProcedural:
    """White sprites that move and grow between two frames as objects in videos do: a twin of Natural Sprites.

    x, y and area are uniform in their ranges and change between the frames of a pair by the generalised normal laws
    that Klindt et al. 2021 fitted to YouTube-VOS (beta 0.52, 0.55 and 0.44); angle and shape are uniform and stay.
    x and y are of the centre of mass, y upwards, and scale is the square root of the area, in sides of the image:
    exact, but for what a large sprite near the border has outside. `discrete` has x, y and area in 32, 32 and 6
    levels of equal width, each drawn at its middle.

    Example:
        >>> dataset = NaturalSpritesProcedural(discrete=True)
        >>> [factor.size for factor in dataset.factors]
        [32, 32, 6, 40, 4]
    """

    discrete: bool = field(default=False, metadata={"help": "x, y and area in 32, 32 and 6 levels"})

    @property
    def factors(self) -> tuple[Factor, ...]:
        return (*(DISCRETE if self.discrete else CONTINUOUS), ANGLE, SHAPE)

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, SIDE, SIDE)

    def observe(self, factors: Float[Tensor, "n 5"] | Int[Tensor, "n 5"]) -> UInt8[Tensor, "n 3 64 64"]:
        """The images of given factors, on their device: white on black, in three equal channels.

        Raises:
            ValueError: A factor is outside of its range, or no level; the message names it.
        """
        check_ranges(self.factors, factors)
        x, y, scale, angle, shape = factors.float().T
        if self.discrete:
            x, y, area = (_middle(column, level) for column, level in enumerate((x, y, scale)))
            x, y, scale = x / SIDE, y / SIDE, area.sqrt() / SIDE
        sprites = place(shape.long(), x, 1 - y, scale, angle * (2 * math.pi / ANGLES))
        grey = (coverage(sprites * SIDE, SIDE) * 255).round().to(torch.uint8)
        return grey[:, None].expand(-1, 3, -1, -1)

    def sample(self, n: int, generator: torch.Generator) -> tuple[UInt8[Tensor, "n 3 64 64"], Float[Tensor, "n 5"]]:
        """Draw single frames: images and factors."""
        factors = torch.cat([self._moving(MOTION.sample(n, generator)), _fixed(n, generator)], dim=1)
        return self.observe(factors), factors

    def factor_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """The factors behind `sample_pairs` for the same state of the generator."""
        moving, fixed = MOTION.pairs(n, 1, generator), _fixed(n, generator)
        return Pair(*(torch.cat([self._moving(frame), fixed], dim=1) for frame in moving))

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw two adjacent frames of one sprite each, in one rendering."""
        images = self.observe(torch.cat(self.factor_pairs(n, generator)))
        return Pair(images[:n], images[n:])

    def _moving(self, motion: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """x, y and scale, or their levels, of x, y and area in pixels."""
        if not self.discrete:
            x, y, area = motion.T
            return torch.stack([x / SIDE, y / SIDE, area.sqrt() / SIDE], dim=1).float()
        low, high, bins = (torch.tensor(ends, device=motion.device) for ends in (MOTION.low, MOTION.high, BINS))
        return ((motion - low) / (high - low) * bins).floor().clamp(min=0).minimum(bins - 1).float()


def _fixed(n: int, generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """Angle and shape, uniformly."""
    sizes = torch.tensor([ANGLES, len(SPRITES)], device=generator.device)
    draws = torch.rand((n, 2), generator=generator, device=generator.device, dtype=torch.float64)
    return (draws * sizes).floor().float()


def _middle(column: int, level: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    low, high = MOTION.low[column], MOTION.high[column]
    return low + (high - low) * (level + 0.5) / BINS[column]
