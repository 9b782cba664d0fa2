"""dSprites: white shapes on black (Matthey et al. 2017), drawn from the factors or exactly as in the file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from jaxtyping import Int, UInt8
from torch import Tensor

from unmix.datasets.corrections import Corrections
from unmix.datasets.download import Source
from unmix.datasets.grid import TRANSITIONS_HELP, OnGrid
from unmix.datasets.published import Published
from unmix.datasets.sources import SOURCES
from unmix.datasets.sprites import ORIENTATIONS, POSITIONS, SCALES, SIDE, draw
from unmix.datasets.stored import image_chunks, reading, tracked
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


class Sprites(OnGrid):
    """The grid of dSprites."""

    @property
    def factors(self) -> tuple[Factor, ...]:
        return FACTORS

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)


@DATASETS.register("dsprites_procedural")
@dataclass(frozen=True)
class DSpritesProcedural(Sprites):
    """dSprites drawn from its factors: the same grid of 737,280 images to about a third of a pixel, no download.

    See `unmix.datasets.sprites.draw` for the geometry and its measured agreement with the original.

    Example:
        >>> dataset = DSpritesProcedural()
        >>> images, factors = dataset.sample(2, torch.Generator().manual_seed(0))
        >>> tuple(images.shape), images.dtype, tuple(factors.shape)
        ((2, 1, 64, 64), torch.uint8, (2, 6))
    """

    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    def images(self, levels: Int[Tensor, "n k"]) -> UInt8[Tensor, "n 1 64 64"]:
        return draw(*levels.T[1:])


@DATASETS.register("dsprites")
@dataclass(frozen=True)
class DSprites(Sprites, Published):
    """dSprites exactly as published: 737,280 black and white images (Matthey et al. 2017).

    The images are drawn from their factors and the pixels corrected in which the file differs, so that the set takes
    about 12 MB of memory instead of 3 GB. The corrections are found once, when the first image is drawn.
    Either published file will do; they hold the same images.
    """

    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    @property
    def sources(self) -> tuple[Source, ...]:
        """The file that is here; the HDF5 where there is none."""
        npz, hdf5 = SOURCES["dsprites"]
        return (npz,) if npz.path.is_file() and not hdf5.path.is_file() else (hdf5,)

    def images(self, levels: Int[Tensor, "n k"]) -> UInt8[Tensor, "n 1 64 64"]:
        """The images of levels that are known to be on the grid; the first call reads the file, once.

        Raises:
            MissingFileError: The file is not here.
            DamagedFileError: It is damaged, or holds other images.
            StorageError: The corrections cannot be kept beside it.
        """
        device = str(levels.device)
        if device not in self._corrections:
            self._corrections[device] = self.corrections.to(levels.device)
        return self._corrections[device].apply(draw(*levels.T[1:]), self.grid.index(levels))

    @cached_property
    def corrections(self) -> Corrections:
        """What the file differs in from the drawn images: `exact` and `error` tell how well these agree."""
        target = self.unpacked("corrections.npz")
        source = self.sources[0].path
        if not target.exists():
            with reading(source):
                stored = tracked(image_chunks(source, "imgs"), len(self.grid))
                Corrections.between(self._drawn, stored, len(self.grid), (SIDE, SIDE)).save(target)
        with reading(target):
            return Corrections.load(target)

    def _drawn(self, index: Int[Tensor, " n"]) -> UInt8[Tensor, "n 1 64 64"]:
        return draw(*self.grid.levels(index).T[1:])

    @cached_property
    def _corrections(self) -> dict[str, Corrections]:
        """By device."""
        return {}
