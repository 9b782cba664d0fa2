"""What the datasets share that are read from published files."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

from jaxtyping import Int, UInt8
from torch import Tensor

from unmix.datasets.download import MissingFileError, Source, missing, trusted
from unmix.datasets.grid import OnGrid
from unmix.datasets.stored import Images, StoredImages, reading, unpack


class Published:
    """A dataset whose files are published: it can be made without them, and says what is missing when it draws."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files that it reads."""
        raise NotImplementedError

    def missing(self) -> str:
        """One sentence that says which files are not here and how to get them; "" when all are."""
        return missing(self.sources)

    def unpacked(self, name: str) -> Path:
        """Where what is made of the files goes: beside the first, under a name that changes with their content.

        Raises:
            MissingFileError: A file is not here.
            DamagedFileError: A file is not what was published.
        """
        if sentence := self.missing():
            raise MissingFileError(sentence)
        digest = hashlib.sha256("".join(map(trusted, self.sources)).encode()).hexdigest()
        return self.sources[0].path.with_name(f"{digest[:12]}-{name}")


class PublishedGrid(OnGrid, Published):
    """Images of a full grid of factors, in published files. A subclass says its `factors`, `sources` and `fill`."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, 64, 64)

    def fill(self, images: Images) -> None:
        """Write the image of every combination of levels, in the grid's order: (combinations, height, width, channels).

        Raises:
            DamagedFileError: A file is damaged, or of another dataset or variant.
        """
        raise NotImplementedError

    def images(self, levels: Int[Tensor, "n k"]) -> UInt8[Tensor, "n channels height width"]:
        """The images of levels that are known to be on the grid; the first call unpacks the files, once.

        Raises:
            MissingFileError: A file is not here.
            DamagedFileError: A file is damaged, or of another dataset or variant.
            StorageError: There is no room to unpack it.
        """
        return self._stored(self.grid.index(levels))

    @cached_property
    def _stored(self) -> StoredImages:
        channels, height, width = self.shape
        shape = (len(self.grid), height, width, channels)
        target = self.unpacked(f"{height}px.npy")
        with reading(self.sources[0].path):
            unpack(target, shape, self.fill)
        return StoredImages(target, shape)
