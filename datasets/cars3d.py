"""Cars3D: renderings of 183 cars (Reed et al. 2015)."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from unmix.datasets.archive import LANCZOS, members, scaled
from unmix.datasets.download import DamagedFileError, Source
from unmix.datasets.grid import TRANSITIONS_HELP
from unmix.datasets.published import PublishedGrid
from unmix.datasets.sources import SOURCES
from unmix.datasets.stored import Images
from unmix.factors import Factor
from unmix.registry import DATASETS

FACTORS = (
    Factor("elevation", "ordinal", 4),
    Factor("azimuth", "periodic", 24, period=24.0, range=(0.0, 345.0), unit="degrees"),
    Factor("object", "categorical", 183),
)


@DATASETS.register("cars3d")
@dataclass(frozen=True)
class Cars3D(PublishedGrid):
    """17,568 renderings of 183 cars from 24 azimuths and 4 elevations (Reed et al. 2015).

    Objects are numbered in the order of the archive's list.txt. Scaled from 128 to 64 pixels by Pillow's Lanczos
    filter, as in Locatello et al. 2019; other libraries' filters give other pixels.
    """

    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    @property
    def factors(self) -> tuple[Factor, ...]:
        return FACTORS

    @property
    def sources(self) -> tuple[Source, ...]:
        return SOURCES["cars3d"]

    def fill(self, images: Images) -> None:
        source = self.sources[0]
        elevations, azimuths, objects = self.grid.sizes
        cars: dict[str, Images] = {}
        order: list[str] = []
        # The list may come after the cars, so these are kept: scaled, they are 216 MB.
        for match, content in members(source.path, r"(?:.*/)?cars/([^/]+\.mat|list\.txt)"):
            if match[1] == "list.txt":
                order = [PurePosixPath(line).name.removesuffix(".mat") for line in content.decode().split()]
            else:
                cars[match[1].removesuffix(".mat")] = _car(content, elevations, azimuths)
        if len(order) != objects or set(order) != set(cars):
            raise DamagedFileError(
                f"{source.path} lists {len(order)} cars and holds {len(cars)}, {objects} are published: {source.again}"
            )
        grid = images.reshape(elevations, azimuths, objects, *images.shape[1:])
        for number, name in enumerate(order):
            grid[:, :, number] = cars[name]


def _car(content: bytes, elevations: int, azimuths: int) -> Images:
    """(elevation, azimuth, 64, 64, 3) of a .mat file, whose `im` is (128, 128, 3, azimuth, elevation)."""
    from scipy.io import loadmat

    try:
        stored = loadmat(io.BytesIO(content), variable_names=["im"])["im"]
    except Exception as error:  # whatever loadmat meets in a damaged file
        raise ValueError(f"a car in it cannot be read: {error}") from error
    if stored.dtype != np.uint8 or stored.ndim != 5 or stored.shape[2:] != (3, azimuths, elevations):
        published = (128, 128, 3, azimuths, elevations)
        raise ValueError(f"a car is {stored.dtype} of shape {stored.shape}: uint8 {published} is published")
    views = stored.transpose(4, 3, 0, 1, 2).reshape(-1, *stored.shape[:3])
    small = np.stack([scaled(np.ascontiguousarray(view), 64, LANCZOS) for view in views])
    return small.reshape(elevations, azimuths, 64, 64, 3)
