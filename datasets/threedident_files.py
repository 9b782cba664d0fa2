"""3DIdent's published pictures: a teapot under a spotlight (Zimmermann et al. 2021)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unmix.datasets.archive import members, picture
from unmix.datasets.download import Source
from unmix.datasets.expressions import check_name
from unmix.datasets.latents import Latents
from unmix.datasets.published import Published
from unmix.datasets.sources import SOURCES
from unmix.datasets.stored import Images, StoredImages, reading, tracked, unpack
from unmix.factors import Factor
from unmix.registry import DATASETS
from unmix.types import DeclinedError, Pair

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

SPLITS = ("train", "test")
SIDE = 224
SIZE_HELP = "side of the images in pixels; the published ones have 224"
CONDITIONAL_HELP = (
    "p(z'|z) before both snap to the nearest picture, on [-1, 1]: normal(std=0.1), laplace(scale=0.1), ...; "
    '"" for a dataset without pairs'
)
POSITION = tuple(Factor(name, "continuous", range=(-1.0, 1.0)) for name in ("x", "y", "z"))
ROTATION = tuple(
    Factor(f"rotation_{name}", "continuous", range=(-1.0, 1.0), unit="quarter turns")
    for name in ("alpha", "beta", "gamma")
)
LIGHT = (
    Factor("spotlight_angle", "continuous", range=(-1.0, 1.0), unit="quarter turns"),
    *(
        Factor(f"{part}_hue", "continuous", range=(-1.0, 1.0), unit="quarter turns")
        for part in ("object", "spotlight", "background")
    ),
)


class Pictures(Published):
    """Pictures of known continuous latents in a tar, in groups, and pairs of them by nearest neighbours.

    A subclass is a frozen dataclass with fields `split`, `size` and `conditional`.
    """

    split: str
    size: int
    conditional: str
    groups = 1

    def __post_init__(self) -> None:
        check_name("split", self.split, SPLITS)
        if not 1 <= self.size <= SIDE:
            raise ValueError(f"size is {self.size}: it must be between 1 and {SIDE}, which the published pictures have")
        self._latents  # noqa: B018  refuses what has no meaning now, not at the first draw

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size)

    def factors_of(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n k"]:
        """Factors of the pictures of these numbers."""
        return torch.from_numpy(self.table[index.cpu().numpy(), 1:]).to(index.device)

    def anchors(self, n: int, generator: torch.Generator) -> tuple[Float[Tensor, "n 10"], Int[Tensor, " n"]]:
        """Draw z, and the pictures that show it."""
        raise NotImplementedError

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[UInt8[Tensor, "n 3 size size"], Float[Tensor, "n k"]]:
        """Draw pictures uniformly: images, and their factors as published.

        Raises:
            MissingFileError, DamagedFileError, StorageError: See `PublishedGrid.images`.
        """
        index = torch.randint(len(self.table), (n,), generator=generator, device=generator.device)
        return self._stored(index), self.factors_of(index)

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw z, z' ~ p(z'|z), and for each the nearest picture: the second nearest for z' if both would be one.

        Raises:
            DeclinedError: When `conditional` is "".
            MissingFileError, DamagedFileError, StorageError: See `PublishedGrid.images`.
        """
        images = self._stored(torch.cat(self._index_pairs(n, generator)))
        return Pair(images[:n], images[n:])

    def factor_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """The factors behind `sample_pairs` for the same state of the generator: those of the pictures."""
        return Pair(*map(self.factors_of, self._index_pairs(n, generator)))

    def _index_pairs(self, n: int, generator: torch.Generator) -> Pair:
        if not self.conditional.strip():
            raise DeclinedError('this dataset was made without pairs: give it --conditional "normal(std=0.1)"')
        z, anchor = self.anchors(n, generator)
        return Pair(anchor, self._positive(z, anchor, generator))

    def _positive(
        self, z: Float[Tensor, "n 10"], anchor: Int[Tensor, " n"], generator: torch.Generator
    ) -> Int[Tensor, " n"]:
        group = torch.from_numpy(self.table[anchor.cpu().numpy(), 0]).to(anchor.device)
        nearest, second = self.nearest(self._latents.sample_positive(z, generator), group).T
        return torch.where(nearest == anchor, second, nearest)

    def nearest(self, z: Float[Tensor, "n 10"], group: Float[Tensor, " n"]) -> Int[Tensor, "n 2"]:
        """Numbers of the nearest and the second nearest picture within a group, by exact Euclidean distance."""
        queries, groups = z.double().cpu().numpy(), group.cpu().numpy()
        found = np.empty((len(queries), 2), np.int64)
        for number in np.unique(groups):
            rows, (numbers, tree) = groups == number, self._trees[int(number)]
            found[rows] = numbers[tree.query(queries[rows], k=2, workers=-1)[1]]
        return torch.from_numpy(found).to(z.device)

    @cached_property
    def _trees(self) -> list[tuple[np.ndarray, cKDTree]]:
        from scipy.spatial import cKDTree

        groups, latents = self.table[:, 0], self.table[:, -10:]
        numbers = [np.flatnonzero(groups == group) for group in range(self.groups)]
        # Split in the middle of the box: as fast for points that fill it, and built in a third of the time.
        return [(rows, cKDTree(latents[rows], balanced_tree=False, compact_nodes=False)) for rows in numbers]

    @cached_property
    def _latents(self) -> Latents:
        return Latents.parse("box(low=-1, high=1)", "uniform", self.conditional, n=10)

    @cached_property
    def table(self) -> np.ndarray:
        """The group and the factors of each picture, float32 (pictures, 1 + k)."""
        target = self.unpacked("factors.npy")
        path = self.sources[0].path
        with reading(path):
            if not target.exists():
                table = self.read_table()
                unpack(target, table.shape, lambda array: np.copyto(array, table), np.float32)
            stored: np.ndarray = np.load(target, allow_pickle=False)
            return stored

    def read_table(self) -> np.ndarray:
        """From the latents in the archive, whose groups follow each other."""
        path, found = self.sources[0].path, {}
        for match, content in members(path, r"(?:.*/)?raw_latents(?:_(\d))?\.npy"):
            with reading(path):
                latents = np.load(io.BytesIO(content), allow_pickle=False)
                if latents.ndim != 2 or latents.shape[1] != 10 or not (np.abs(latents) <= 1 + 1e-6).all():
                    raise ValueError(f"{match[0]} of shape {latents.shape} holds no 10 latents in [-1, 1]")
                found[int(match[1] or 0)] = latents
        if sorted(found) != list(range(self.groups)):
            raise ValueError(f"it has latents of the groups {sorted(found)}, published are 0 to {self.groups - 1}")
        numbered = [np.insert(found[group], 0, group, axis=1) for group in range(self.groups)]
        return np.concatenate(numbered).astype(np.float32)

    @cached_property
    def _stored(self) -> StoredImages:
        shape = (len(self.table), self.size, self.size, 3)
        target = self.unpacked(f"{self.size}px.npy")
        with reading(self.sources[0].path):
            unpack(target, shape, self._fill)
        return StoredImages(target, shape)

    def _fill(self, images: Images) -> None:
        starts = np.searchsorted(self.table[:, 0], np.arange(self.groups + 1))
        seen = np.zeros(len(images), bool)
        for part, numbers in self._decoded(starts):
            if numbers.max() >= len(images):
                raise ValueError(f"it has a picture {numbers.max()}, and latents of {len(images)}")
            images[numbers] = part
            seen[numbers] = True
        if not seen.all():
            raise EOFError(f"{(~seen).sum():,} of {len(seen):,} pictures are not in it")

    def _decoded(self, starts: np.ndarray) -> Iterator[tuple[Images, np.ndarray]]:
        stream = members(self.sources[0].path, r"(?:.*/)?images(?:_(\d))?/(\d+)\.png")
        numbers: list[np.ndarray] = []

        def parts() -> Iterator[Images]:
            with ThreadPoolExecutor() as pool:
                while batch := list(itertools.islice(stream, 512)):
                    numbers.append(np.array([starts[int(match[1] or 0)] + int(match[2]) for match, _ in batch]))
                    yield np.stack(list(pool.map(lambda item: picture(item[1], self.size), batch)))

        for part in tracked(parts(), int(starts[-1])):
            yield part, numbers.pop()


UNWRAPPED = {
    "object_hue": "negative hues were not wrapped: all those in [-2/3, 0] are red, others distorted",
    "spotlight_hue": "negative hues were not wrapped: their colours are distorted",
    "background_hue": "negative hues were not wrapped: their colours are distorted",
}
"""What the published pictures do not show of a hue (see the scene's `colours`)."""


@DATASETS.register("threedident")
@dataclass(frozen=True)
class ThreeDIdent(Pictures):
    """250,000 pictures of a teapot with ten latents uniform in [-1, 1]: the published files (Zimmermann et al. 2021).

    Pairs as there: z from the marginal and z' from the conditional both snap to the nearest picture. With 250,000
    pictures the snapping, not the conditional's 0.1, sets how far a pair is apart: about 0.26 in each latent. Positions
    are 3 z in the scene, angles z quarter turns, so none of them wraps around. Smaller sizes are scaled by Pillow's
    bilinear filter with anti-aliasing. The files' statistics are not those of the paper's constants: compute them.

    Raises:
        UnknownNameError: There is no such split, or no such distribution.
        ValueError: The size is out of range, or the conditional malformed.
    """

    split: str = field(default="train", metadata={"help": "train (250,000 pictures) or test (25,000)"})
    size: int = field(default=64, metadata={"help": SIZE_HELP})
    conditional: str = field(default="normal(std=0.1)", metadata={"help": CONDITIONAL_HELP})

    @property
    def factors(self) -> tuple[Factor, ...]:
        factors = (*POSITION, *ROTATION, *LIGHT)
        return tuple(replace(factor, symmetry=UNWRAPPED.get(factor.name, "")) for factor in factors)

    @property
    def sources(self) -> tuple[Source, ...]:
        return (SOURCES["threedident"][SPLITS.index(self.split)],)

    def anchors(self, n: int, generator: torch.Generator) -> tuple[Float[Tensor, "n 10"], Int[Tensor, " n"]]:
        z = self._latents.sample(n, generator)
        return z, self.nearest(z, z.new_zeros(n))[:, 0]

    def sample_positives(self, factors: Float[Tensor, "n 10"], generator: torch.Generator) -> Any:
        """Draw z' ~ p(z'|z) for the given z: the nearest pictures, other than the one that is nearest to z.

        Raises:
            DeclinedError: When `conditional` is "".
        """
        anchor = self.nearest(factors, factors.new_zeros(len(factors)))[:, 0]
        return self._stored(self._positive(factors, anchor, generator))
