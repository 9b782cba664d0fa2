"""3DIdent's scene, drawn by our own renderer: any latents, any size, no download."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unmix.datasets.download import MissingFileError
from unmix.datasets.latents import Latents
from unmix.datasets.render import render
from unmix.datasets.rendered import Rendering
from unmix.datasets.scene import Colours, Mode
from unmix.datasets.stored import StoredImages, copy, image_chunks, reading, unpack
from unmix.datasets.threedident_files import LIGHT, POSITION, ROTATION
from unmix.factors import Factor
from unmix.registry import DATASETS
from unmix.types import DeclinedError, Pair

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

CONDITIONAL_HELP = (
    "p(z'|z) on [-1, 1], before nearest pairs snap to pictures: normal(std=0.1), laplace(scale=0.1), ...; "
    '"" for a dataset without pairs'
)
FAITHFUL = "as published, negative hues go unwrapped: those of the object in [-2/3, 0] are all red, others distorted"
UNWRAPPED = "as published, negative hues go unwrapped: their colours are distorted"


@DATASETS.register("threedident_procedural")
@dataclass(frozen=True)
class ThreeDIdentProcedural:
    """3DIdent's teapot, ground and lights, drawn by the suite (the scene of Zimmermann et al. 2021, section 5.2).

    Ten latents, uniform in [-1, 1]: what `observe` takes and samples hold. In mode box, as published, positions
    are 3 z and angles z quarter turns, so nothing wraps around. In mode sphere z lies in [0, 3], and the seven
    angles z half turns: all of each circle. Its p(z'|z) is still that of the box and does not cross the seam.
    Pairs are drawn from the latents exactly, or as published snapped to the nearest of `images` pictures, which are
    drawn beforehand: a pair is then further apart than p(z'|z) says, and the further the fewer pictures there are.

    Raises:
        ValueError: A size below 8, a negative number of images, nearest pairs of fewer than 2 images.
        UnknownNameError: No such distribution.

    Example:
        >>> dataset = ThreeDIdentProcedural(size=32)
        >>> images, factors = dataset.sample(2, torch.Generator().manual_seed(0))
        >>> images.dtype, tuple(images.shape), tuple(factors.shape)
        (torch.uint8, (2, 3, 32, 32), (2, 10))
    """

    size: int = field(default=64, metadata={"help": "side of the images in pixels; the published ones have 224"})
    mode: Mode = field(default="box", metadata={"help": "box: half of each circle, as published; sphere: all of it"})
    colours: Colours = field(
        default="clean", metadata={"help": "clean, or faithful to how the published ones treat negative hues"}
    )
    conditional: str = field(default="normal(std=0.1)", metadata={"help": CONDITIONAL_HELP})
    pairs: Literal["exact", "nearest"] = field(
        default="exact", metadata={"help": "exact: each pair is drawn; nearest: snapped to pictures drawn beforehand"}
    )
    images: int = field(
        default=0,
        metadata={"help": "samples and anchors are from so many pictures drawn beforehand; 0: each is drawn"},
    )

    def __post_init__(self) -> None:
        if self.images < 0:
            raise ValueError(f"images is {self.images}: 0 draws each picture, a number takes so many drawn beforehand")
        if self.pairs == "nearest" and self.images < 2:
            raise ValueError(
                f"pairs of the nearest pictures need at least 2 pictures, and images is {self.images}: give it "
                "--images 25000, or --pairs exact"
            )
        replace(self.rendering, n=1)  # refuses the size
        self._latents  # noqa: B018  refuses what has no meaning now, not at the first draw

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Ten, in the published order."""
        factors = (*POSITION, *ROTATION, *LIGHT)
        if self.colours == "faithful" and self.mode == "box":
            notes = {"object_hue": FAITHFUL, "background_hue": UNWRAPPED, "spotlight_hue": UNWRAPPED}
            return tuple(replace(factor, symmetry=notes.get(factor.name, "")) for factor in factors)
        if self.mode == "sphere":
            return POSITION + tuple(replace(f, type="periodic", period=2.0, unit="half turns") for f in factors[3:])
        return factors

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size)

    def missing(self) -> str:
        """One sentence that says how to draw the pictures beforehand; "" when they are here, or not needed."""
        path = self.rendering.path
        if self.images == 0 or path.is_file():
            return ""
        return f"{self.images:,} pictures drawn beforehand are not at {path} yet: run `{self.rendering.command}`"

    def observe(self, factors: Float[Tensor, "n 10"]) -> UInt8[Tensor, "n 3 size size"]:
        """The images of any latents in [-1, 1]: the same bytes whatever the batch, on the latents' device.

        Raises:
            ValueError: Latents outside of [-1, 1].
        """
        return render(factors, self.size, self.mode, self.colours)

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[UInt8[Tensor, "n 3 size size"], Float[Tensor, "n 10"]]:
        """Draw latents uniformly, or from the pictures drawn beforehand: images and latents.

        Raises:
            MissingFileError: `images` is not 0, and they are not here; the message has the command.
        """
        if self.images:
            index = self._index(n, generator)
            return self._stored(index), self._table[index.cpu()].to(index.device)
        latents = self._latents.sample(n, generator)
        return self.observe(latents), latents

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw z and z' ~ p(z'|z): their images, or the nearest pictures; the second nearest to z' if both are one.

        Raises:
            DeclinedError: When `conditional` is "".
            MissingFileError: `images` is not 0, and they are not here; the message has the command.
        """
        if self.pairs == "nearest":
            images = self._stored(torch.cat(self._index_pairs(n, generator)))
            return Pair(images[:n], images[n:])
        if self.images:
            index, factors = self._exact_pairs(n, generator)
            return Pair(self._stored(index), self.observe(factors.positive))
        images = self.observe(torch.cat(self.factor_pairs(n, generator)))
        return Pair(images[:n], images[n:])

    def factor_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """The latents behind `sample_pairs` for the same state of the generator: those of the pictures that it shows.

        Raises:
            DeclinedError: When `conditional` is "".
        """
        if self.pairs == "nearest":
            return Pair(*(self._table[index.cpu()].to(index.device) for index in self._index_pairs(n, generator)))
        if self.images:
            return self._exact_pairs(n, generator)[1]
        self._check_pairs()
        return Pair(*self._latents.sample_pairs(n, generator))

    def sample_positives(
        self, factors: Float[Tensor, "n 10"], generator: torch.Generator
    ) -> UInt8[Tensor, "n 3 size size"]:
        """Draw z' ~ p(z'|z) for the given z: as in `sample_pairs`.

        Raises:
            DeclinedError: When `conditional` is "".
        """
        self._check_pairs()
        if self.pairs == "nearest":
            return self._stored(self._positive(factors, self._nearest(factors)[:, 0], generator))
        return self.observe(self._latents.sample_positive(factors, generator))

    def _check_pairs(self) -> None:
        if not self.conditional.strip():
            raise DeclinedError('this dataset was made without pairs: give it --conditional "normal(std=0.1)"')

    def _index(self, n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        return torch.randint(self.images, (n,), generator=generator, device=generator.device)

    def _exact_pairs(self, n: int, generator: torch.Generator) -> tuple[Int[Tensor, " n"], Pair]:
        self._check_pairs()
        index = self._index(n, generator)
        anchor = self._table[index.cpu()].to(index.device)
        return index, Pair(anchor, self._latents.sample_positive(anchor, generator))

    def _index_pairs(self, n: int, generator: torch.Generator) -> Pair:
        self._check_pairs()
        z = self._latents.sample(n, generator)
        anchor = self._nearest(z)[:, 0]
        return Pair(anchor, self._positive(z, anchor, generator))

    def _positive(
        self, z: Float[Tensor, "n 10"], anchor: Int[Tensor, " n"], generator: torch.Generator
    ) -> Int[Tensor, " n"]:
        nearest, second = self._nearest(self._latents.sample_positive(z, generator)).T
        return torch.where(nearest == anchor, second, nearest)

    def _nearest(self, z: Float[Tensor, "n 10"]) -> Int[Tensor, "n 2"]:
        """Numbers of the nearest and the second nearest picture, by exact Euclidean distance."""
        _, found = self._tree.query(z.double().cpu().numpy(), k=2, workers=torch.get_num_threads())
        return torch.from_numpy(np.asarray(found)).to(z.device)

    @cached_property
    def _latents(self) -> Latents:
        return Latents.parse("box(low=-1, high=1)", "uniform", self.conditional, n=10)

    @property
    def rendering(self) -> Rendering:
        """What is drawn beforehand, and where it is."""
        return Rendering(max(self.images, 1), self.size, self.mode, self.colours)

    @cached_property
    def _table(self) -> Float[Tensor, "images 10"]:
        """Latents of the pictures drawn beforehand."""
        import h5py

        if sentence := self.missing():
            raise MissingFileError(sentence)
        with reading(self.rendering.path), h5py.File(self.rendering.path) as file:
            wanted = {"n": self.images, "size": self.size, "mode": self.mode, "colours": self.colours, "seed": 0}
            found = {name: file.attrs[name] for name in wanted}
            if found != wanted:
                raise ValueError(f"it holds {json.dumps(found, default=str)}")
            return torch.from_numpy(file["latents"][:])

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree

        return cKDTree(self._table.numpy(), balanced_tree=False, compact_nodes=False)

    @cached_property
    def _stored(self) -> StoredImages:
        path, shape = self.rendering.path, (len(self._table), self.size, self.size, 3)
        target = path.with_name(f"{path.stem}-{path.stat().st_mtime_ns:x}.npy")  # another file, another array
        with reading(path):
            unpack(target, shape, lambda images: copy(image_chunks(path, "images"), images))
        return StoredImages(target, shape)
