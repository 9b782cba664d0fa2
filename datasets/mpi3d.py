"""MPI3D: a robot arm turns an object before a camera (Gondal et al. 2019)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from unmix.datasets.download import DamagedFileError, Source
from unmix.datasets.expressions import check_name
from unmix.datasets.grid import TRANSITIONS_HELP
from unmix.datasets.published import PublishedGrid
from unmix.datasets.sources import SOURCES
from unmix.datasets.stored import Images, copy, image_chunks, image_shape, npy_header
from unmix.factors import Factor
from unmix.registry import DATASETS

VARIANTS = ("toy", "realistic", "real", "real_complex")

COLOURS = Factor("object_colour", "ordinal", 6, labels=("white", "green", "red", "blue", "brown", "olive"))
SHAPES = Factor(
    "object_shape", "categorical", 6, labels=("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere")
)
COMPLEX_COLOURS = Factor("object_colour", "ordinal", 4, labels=("yellow", "green", "olive", "red"))
COMPLEX_SHAPES = Factor(
    "object_shape", "categorical", 4, labels=("coffee cup", "tennis ball", "croissant", "beer cup")
)
SCENE = (
    Factor("object_size", "ordinal", 2, labels=("small", "large")),
    Factor("camera_height", "ordinal", 3, labels=("top", "centre", "bottom")),
    Factor("background_colour", "ordinal", 3, labels=("purple", "sea green", "salmon")),
    Factor("horizontal_axis", "ordinal", 40),
    Factor("vertical_axis", "ordinal", 40),
)

IMAGES_SHA256 = {"realistic": "f6124f358e02846695cb3795acf8714f990c84cf02d495796898c133cf1ae866"}
"""Of images.npy inside the published file. Three variants have files of one shape, which could be renamed unseen."""


@DATASETS.register("mpi3d")
@dataclass(frozen=True)
class Mpi3d(PublishedGrid):
    """Images of a robot arm with an object: all combinations of seven factors (Gondal et al. 2019).

    1,036,800 images, or 460,800 of real_complex. The factors are stored in this order, the last varying fastest.
    Only the shape is categorical, as in Klindt et al. 2021, whose LAP transitions move colours along their levels.
    Unpacked a variant takes 12.7 GB on disk (real_complex 5.7 GB); it is read in pieces.

    Raises:
        UnknownNameError: There is no such variant; the message lists the close ones.
    """

    variant: str = field(default="toy", metadata={"help": f"which recordings: {', '.join(VARIANTS)}"})
    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    def __post_init__(self) -> None:
        check_name("variant of MPI3D", self.variant, VARIANTS)

    @property
    def factors(self) -> tuple[Factor, ...]:
        first = (COMPLEX_COLOURS, COMPLEX_SHAPES) if self.variant == "real_complex" else (COLOURS, SHAPES)
        return (*first, *SCENE)

    @property
    def sources(self) -> tuple[Source, ...]:
        return (SOURCES["mpi3d"][VARIANTS.index(self.variant)],)

    def fill(self, images: Images) -> None:
        source = self.sources[0]
        stored = image_shape(source.path, "images")
        if stored != images.shape:
            raise DamagedFileError(
                f"{source.path} holds images of shape {stored} and {self.variant} has {images.shape}, so it is another "
                f"variant's file, renamed, or damaged: {source.again}"
            )
        digest = hashlib.sha256(npy_header(source.path, "images"))
        copy(_hashed(image_chunks(source.path, "images"), digest), images)
        for variant, published in IMAGES_SHA256.items():
            if (digest.hexdigest() == published) != (variant == self.variant):
                raise DamagedFileError(
                    f"{source.path} does not hold the published images of {self.variant}, but another variant's or "
                    f"altered ones: {source.again}"
                )


def _hashed(chunks: Iterator[Images], digest: hashlib._Hash) -> Iterator[Images]:
    for chunk in chunks:
        digest.update(chunk.data)
        yield chunk
