"""Natural Sprites: sprites that move as objects in videos do (Klindt et al. 2021)."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unmix.datasets.download import Source
from unmix.datasets.motion import check_ranges
from unmix.datasets.polygons import SPRITES, coverage, place
from unmix.datasets.published import Published
from unmix.datasets.sources import SOURCES
from unmix.datasets.stored import reading, unpack
from unmix.factors import Factor
from unmix.registry import DATASETS
from unmix.types import Pair

SIDE, ANGLES, BINS = 64, 40, (32, 32, 6)
CUT = 0.05  # of the areas, from each tail, in either frame

ANGLE = Factor(
    "angle",
    "periodic",
    ANGLES,
    period=float(ANGLES),
    range=(0.0, 360.0 * (ANGLES - 1) / ANGLES),
    unit="degrees",
    symmetry="square, star_4 and spoke_4 repeat after 90 degrees, triangle after 120",
)
SHAPE = Factor("shape", "categorical", len(SPRITES), labels=SPRITES)


@DATASETS.register("natural_sprites")
@dataclass(frozen=True)
class NaturalSprites(Published):
    """White sprites that move and grow between two frames as annotated objects in videos do (Klindt et al. 2021).

    The published file has transitions of x, y and area only; angle and shape are uniform and stay within a pair, and
    the images are drawn here, with exact coverage where there Spriteworld smooths by five samples a side. x and y
    are of the centre of mass in sides of the image, y upwards; scale is the square root of the area. As there, pairs
    with an area in the outer 5 % of either tail are left out; `discrete` rounds x, y and area to 32, 32 and 6 levels
    and draws the factors of single images uniformly from the grid of levels, where else they are of first frames.
    """

    discrete: bool = field(default=False, metadata={"help": "x, y and area in 32, 32 and 6 levels"})

    @property
    def factors(self) -> tuple[Factor, ...]:
        names = ("x", "y", "scale")
        if self.discrete:
            moving = [Factor(name, "ordinal", size) for name, size in zip(names, BINS, strict=True)]
        else:
            moving = [Factor(name, "continuous", range=(0.0, 1.0)) for name in names]
        return (*moving, ANGLE, SHAPE)

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, SIDE, SIDE)

    @property
    def sources(self) -> tuple[Source, ...]:
        return SOURCES["natural_sprites"]

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[UInt8[Tensor, "n 3 64 64"], Float[Tensor, "n 5"]]:
        """Draw single images and their factors.

        Raises:
            MissingFileError, DamagedFileError, StorageError: See `PublishedGrid.images`.
        """
        if self.discrete:
            self._edges  # noqa: B018  says that the file is missing before anything is drawn
            draws = torch.rand((n, 5), generator=generator, device=generator.device, dtype=torch.float64)
            sizes = torch.tensor([*BINS, ANGLES, len(SPRITES)], device=generator.device)
            factors = (draws * sizes).floor().float()
        else:
            factors = self.factor_pairs(n, generator).anchor
        return self.observe(factors), factors

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw two adjacent frames of one object, with one angle and shape.

        Raises:
            MissingFileError, DamagedFileError, StorageError: See `PublishedGrid.images`.
        """
        images = self.observe(torch.cat(self.factor_pairs(n, generator)))
        return Pair(images[:n], images[n:])

    def factor_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """The factors behind `sample_pairs` for the same state of the generator."""
        device = generator.device
        index = torch.randint(len(self.transitions), (n,), generator=generator, device=device)
        fixed = [
            torch.randint(size, (n, 1), generator=generator, device=device).float() for size in (ANGLES, len(SPRITES))
        ]
        moving = self._moving[index.cpu()].to(device)
        return Pair(*(torch.cat([moving[:, frame], *fixed], dim=1) for frame in (0, 1)))

    def observe(self, factors: Float[Tensor, "n 5"]) -> UInt8[Tensor, "n 3 64 64"]:
        """The images of given factors, on their device: white on black, in three equal channels.

        Raises:
            ValueError: A factor is outside of its range, or no level; the message names it.
        """
        check_ranges(self.factors, factors)
        x, y, scale, angle, shape = factors.float().T
        if self.discrete:
            centres = [torch.from_numpy((edges[1:] + edges[:-1]) / 2).float().to(x.device) for edges in self._edges]
            x, y, area = (centre[level.long()] for centre, level in zip(centres, (x, y, scale), strict=True))
            x, y, scale = x / SIDE, y / SIDE, area.sqrt() / SIDE
        sprites = place(shape.long(), x, 1 - y, scale, angle * (2 * math.pi / ANGLES))
        grey = (coverage(sprites * SIDE, SIDE) * 255).round().byte()
        return grey[:, None].expand(-1, 3, -1, -1)

    @cached_property
    def _moving(self) -> Float[Tensor, "transitions 2 3"]:
        """x, y and scale, or their levels, of both frames."""
        if self.discrete:
            levels = [
                np.clip(np.digitize(self.transitions[..., column], edges) - 1, 0, len(edges) - 2)
                for column, edges in enumerate(self._edges)
            ]
            return torch.from_numpy(np.stack(levels, axis=-1)).float()
        x, y, area = np.moveaxis(self.transitions, -1, 0)
        return torch.from_numpy(np.stack([x / SIDE, y / SIDE, np.sqrt(area) / SIDE], axis=-1)).float()

    @cached_property
    def _edges(self) -> tuple[np.ndarray, ...]:
        """Of the levels of x, y and area: of equal width, from the least to the most of both frames."""
        low, high = self.transitions.min(axis=(0, 1)), self.transitions.max(axis=(0, 1))
        return tuple(np.linspace(low[column], high[column], size + 1) for column, size in enumerate(BINS))

    @cached_property
    def transitions(self) -> np.ndarray:
        """x, y in pixels and area, in two adjacent frames: float64 (transitions, 2, 3), the areas' tails cut."""
        target, path = self.unpacked("transitions.npy"), self.sources[0].path
        with reading(path):
            if not target.exists():
                found = np.array(list(read_transitions(path)), np.float64).reshape(-1, 2, 3)
                if not len(found):
                    raise ValueError("it has no two adjacent frames of an object")
                unpack(target, found.shape, lambda array: np.copyto(array, found), np.float64)
            stored = np.load(target, allow_pickle=False)
        areas = stored[..., 2]
        low, high = np.quantile(areas, [CUT, 1 - CUT], axis=0)
        kept: np.ndarray = stored[((areas >= low) & (areas <= high)).all(axis=1)]
        return kept


def read_transitions(path: Path) -> Iterator[list[list[Any]]]:
    """[[x, y, area], [x, y, area]] of all adjacent frames that show an object in the same window of the video.

    The columns are id, category, and a frame each: empty, or a list with (y, x, area) or None for each window.

    Raises:
        ValueError: It is no such table.
    """
    with path.open(newline="") as file:
        rows = csv.reader(file)
        if next(rows, [])[:1] != ["id"]:
            raise ValueError("its first column is not id")
        for row in rows:
            for before, after in itertools.pairwise(map(_windows, row[2:])):
                for first, second in zip(before, after, strict=False):
                    if first and second:
                        yield [[x, y, area] for y, x, area in (first, second)]


def _windows(cell: str) -> list[list[Any] | None]:
    if not cell:
        return []
    content = json.loads(cell.replace("(", "[").replace(")", "]").replace("None", "null"))
    if not isinstance(content, list) or any(part is not None and len(part) != 3 for part in content):
        raise ValueError(f"{cell[:40]!r} is no list of (y, x, area)")
    found: list[list[Any] | None] = content
    return found
