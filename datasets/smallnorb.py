"""SmallNORB: photographs of fifty toys (LeCun, Huang & Bottou 2004)."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unmix.datasets.archive import BILINEAR, scaled
from unmix.datasets.download import DamagedFileError, Source
from unmix.datasets.expressions import check_name
from unmix.datasets.grid import TRANSITIONS_HELP, Grid
from unmix.datasets.published import PublishedGrid
from unmix.datasets.sources import SOURCES
from unmix.datasets.stored import Images, reading, tracked
from unmix.factors import Factor
from unmix.registry import DATASETS

MAGIC: dict[int, np.dtype[Any]] = {
    0x1E3D4C51: np.dtype("<f4"),
    0x1E3D4C53: np.dtype("<f8"),
    0x1E3D4C54: np.dtype("<i4"),
    0x1E3D4C55: np.dtype("u1"),
    0x1E3D4C56: np.dtype("<i2"),
}
"""Element types of the binary matrix format; all numbers are little-endian."""

INSTANCES = {"train": (4, 6, 7, 8, 9), "test": (0, 1, 2, 3, 5), "all": tuple(range(10))}
CATEGORY = Factor("category", "categorical", 5, labels=("animal", "human", "plane", "truck", "car"))
VIEW = (
    Factor("elevation", "ordinal", 9, range=(30.0, 70.0), unit="degrees"),
    Factor("azimuth", "periodic", 18, period=18.0, range=(0.0, 340.0), unit="degrees"),
    Factor("lighting", "ordinal", 6),
)


@DATASETS.register("smallnorb")
@dataclass(frozen=True)
class SmallNorb(PublishedGrid):
    """48,600 photographs of fifty toys, the left ones of the stereo pairs (LeCun, Huang & Bottou 2004).

    Scaled from 96 to 64 pixels by Pillow's bilinear filter with anti-aliasing, as in Klindt et al. 2021. Both files
    together make a full grid; either alone has five of the ten instances of each category. Lightings have no order,
    but count as ordinal, as there.

    Raises:
        UnknownNameError: There is no such split; the message lists the close ones.
    """

    split: str = field(default="all", metadata={"help": "instances: all, or those of the files train or test"})
    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    def __post_init__(self) -> None:
        check_name("split of SmallNORB", self.split, INSTANCES)

    @property
    def factors(self) -> tuple[Factor, ...]:
        instances = INSTANCES[self.split]
        symmetry = "numbered within a category: the same number is another toy in each"
        instance = Factor(
            "instance", "categorical", len(instances), labels=tuple(map(str, instances)), symmetry=symmetry
        )
        return (CATEGORY, instance, *VIEW)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, 64, 64)

    @property
    def sources(self) -> tuple[Source, ...]:
        parts = SOURCES["smallnorb"]
        return {"train": parts[:3], "test": parts[3:], "all": parts}[self.split]

    def fill(self, images: Images) -> None:
        seen = np.zeros(len(images), bool)
        for photographs, categories, info in zip(*(iter(self.sources),) * 3, strict=True):
            index = self._index(categories.path, info.path)
            start = 0
            for chunk in tracked(_left(photographs.path, len(index)), len(index)):
                for image in chunk:
                    images[index[start], ..., 0] = scaled(image, 64, BILINEAR)
                    start += 1
            seen[index] = True
        if not seen.all():
            raise DamagedFileError(
                f"the SmallNORB files in {self.sources[0].path.parent} have no photograph of {(~seen).sum()} of "
                f"{len(seen)} combinations: delete them and run `unmix data fetch smallnorb`"
            )

    def _index(self, categories: Path, info: Path) -> np.ndarray:
        """Of each photograph in a file: its number in the grid."""
        category, others = read_matrix(categories), read_matrix(info)
        with reading(info):
            if category.shape != (len(others),) or others.shape[1:] != (4,):
                raise ValueError(f"labels of shape {category.shape} and {others.shape} do not belong together")
            instance, elevation, azimuth, lighting = others.T
            level = np.searchsorted(INSTANCES[self.split], instance)
            levels = np.stack([category, level, elevation, azimuth // 2, lighting], axis=1)
            grid = Grid(self.factors)
            if (levels < 0).any() or (levels >= grid.sizes).any():
                raise ValueError(f"labels outside of the {self.split} grid of {grid.sizes}: another split's file?")
            index: np.ndarray = levels.astype(np.int64) @ np.array(grid.strides)
            return index


def read_matrix(path: Path) -> np.ndarray:
    """A whole gzipped binary matrix.

    Raises:
        DamagedFileError: It is no binary matrix, or ends too early.
    """
    with reading(path), gzip.open(path) as stream:
        dtype, shape = _header(stream)
        content = stream.read(math.prod(shape) * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape)


def _left(path: Path, n: int, rows: int = 512) -> Iterator[Images]:
    """The left photographs (rows, 96, 96), in pieces."""
    with reading(path), gzip.open(path) as stream:
        dtype, shape = _header(stream)
        if dtype != np.uint8 or len(shape) != 4 or shape[:2] != (n, 2):
            raise ValueError(f"{dtype} of shape {shape}: uint8 ({n}, 2, height, width) is published")
        for start in range(0, n, rows):
            count = min(rows, n - start)
            content = stream.read(count * math.prod(shape[1:]))
            yield np.frombuffer(content, np.uint8).reshape(count, *shape[1:])[:, 0]


def _header(stream: gzip.GzipFile) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic, ndim = np.frombuffer(stream.read(8), "<i4")
    if magic not in MAGIC or not 1 <= ndim <= 8:
        raise ValueError("it does not begin like a binary matrix")
    shape = np.frombuffer(stream.read(4 * max(3, ndim)), "<i4")[:ndim]
    return MAGIC[int(magic)], tuple(map(int, shape))
