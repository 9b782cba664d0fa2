"""Shapes3D: one object in a room (Burgess & Kim 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field

from unmix.datasets.download import Source
from unmix.datasets.grid import TRANSITIONS_HELP
from unmix.datasets.published import PublishedGrid
from unmix.datasets.shapes3d_procedural import FACTORS
from unmix.datasets.sources import SOURCES
from unmix.datasets.stored import Images, copy, image_chunks
from unmix.factors import Factor
from unmix.registry import DATASETS


@DATASETS.register("shapes3d")
@dataclass(frozen=True)
class Shapes3D(PublishedGrid):
    """480,000 images of one object in a room: all combinations of six factors (Burgess & Kim 2018).

    The factors are stored in this order, the last varying fastest. Unpacked it takes 5.9 GB on disk.
    """

    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    @property
    def factors(self) -> tuple[Factor, ...]:
        return FACTORS

    @property
    def sources(self) -> tuple[Source, ...]:
        return SOURCES["shapes3d"]

    def fill(self, images: Images) -> None:
        copy(image_chunks(self.sources[0].path, "images"), images)
