"""dSprites: white shapes on black (Matthey et al. 2017), drawn from the factors or exactly as in the file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from jaxtyping import Int, UInt8
from torch import Tensor

from unmix.datasets.grid import TRANSITIONS_HELP, OnGrid
from unmix.datasets.sprites import ORIENTATIONS, POSITIONS, SCALES, SIDE, draw
from unmix.factors import Factor
from unmix.registry import DATASETS

FACTORS = (
    Factor("colour", "categorical", 1, labels=("white",)),
    Factor("shape", "categorical", 3, labels=("square", "ellipse", "heart")),
    Factor("scale", "ordinal", len(SCALES), range=(SCALES[0], SCALES[-1])),
    Factor(
        "orientation",
        "periodic",
        ORIENTATIONS,
        period=float(ORIENTATIONS - 1),
        range=(0.0, 2 * math.pi),
        unit="radians",
        symmetry="level 39 = level 0; a square repeats after 90 degrees, an ellipse after 180",
    ),
    Factor("x", "ordinal", POSITIONS, range=(0.0, 1.0)),
    Factor("y", "ordinal", POSITIONS, range=(0.0, 1.0)),
)


@DATASETS.register("dsprites_procedural")
@dataclass(frozen=True)
class DSpritesProcedural(OnGrid):
    """dSprites drawn from its factors: the same grid of 737,280 images to about a third of a pixel, no download.

    See `unmix.datasets.sprites.draw` for the geometry and its measured agreement with the original.

    Example:
        >>> dataset = DSpritesProcedural()
        >>> images, factors = dataset.sample(2, torch.Generator().manual_seed(0))
        >>> tuple(images.shape), images.dtype, tuple(factors.shape)
        ((2, 1, 64, 64), torch.uint8, (2, 6))
    """

    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    @property
    def factors(self) -> tuple[Factor, ...]:
        return FACTORS

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)

    def images(self, levels: Int[Tensor, "n k"]) -> UInt8[Tensor, "n 1 64 64"]:
        return draw(*levels.T[1:])
