"""KITTI Masks: outlines of pedestrians in videos (Klindt et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unmix.datasets.download import Source
from unmix.datasets.published import Published
from unmix.datasets.sources import SOURCES
from unmix.datasets.stored import Images, StoredImages, reading, unpack
from unmix.datasets.unpickling import arrays
from unmix.factors import Factor
from unmix.registry import DATASETS
from unmix.types import Pair

SIDE = 64


@DATASETS.register("kitti_masks")
@dataclass(frozen=True)
class KittiMasks(Published):
    """Masks of pedestrians in videos, frames t and t + U{1..max_delta_t} of one sequence a pair (Klindt et al. 2021).

    t is any frame but the last of its sequence, uniformly over all sequences; a step beyond the end stops at the last
    frame, as there. The factors are the mask's centre in pixels from the top and from the left, and its area in
    pixels. Klindt et al. also shift, turn and flip their training pairs: here they are as published.

    Raises:
        ValueError: max_delta_t is below 1.
    """

    max_delta_t: int = field(default=5, metadata={"help": "the most frames between a pair; the paper has 1 and 5"})

    def __post_init__(self) -> None:
        if self.max_delta_t < 1:
            raise ValueError(f"max_delta_t is {self.max_delta_t}: it must be at least 1")

    @property
    def factors(self) -> tuple[Factor, ...]:
        return (
            Factor("y", "continuous", range=(0.0, SIDE - 1.0), unit="pixels from the top"),
            Factor("x", "continuous", range=(0.0, SIDE - 1.0), unit="pixels from the left"),
            Factor("area", "continuous", range=(1.0, float(SIDE**2)), unit="pixels"),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)

    @property
    def sources(self) -> tuple[Source, ...]:
        return SOURCES["kitti_masks"]

    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[UInt8[Tensor, "n 1 64 64"], Float[Tensor, "n 3"]]:
        """Draw frames that have a successor, uniformly: masks of 0 and 255, and their factors.

        Raises:
            MissingFileError, DamagedFileError, StorageError: See `PublishedGrid.images`.
        """
        index = self._anchors(n, generator)
        return self._stored(index), self._factors_of(index)

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw frames t and t + U{1..max_delta_t} of one sequence.

        Raises:
            MissingFileError, DamagedFileError, StorageError: See `PublishedGrid.images`.
        """
        images = self._stored(torch.cat(self._index_pairs(n, generator)))
        return Pair(images[:n], images[n:])

    def factor_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """The factors behind `sample_pairs` for the same state of the generator."""
        return Pair(*map(self._factors_of, self._index_pairs(n, generator)))

    def _anchors(self, n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        followed = self._followed.to(generator.device)
        return followed[torch.randint(len(followed), (n,), generator=generator, device=generator.device)]

    def _index_pairs(self, n: int, generator: torch.Generator) -> Pair:
        anchor = self._anchors(n, generator)
        step = torch.randint(1, self.max_delta_t + 1, (n,), generator=generator, device=generator.device)
        return Pair(anchor, torch.minimum(anchor + step, self._last.to(generator.device)[anchor]))

    def _factors_of(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n 3"]:
        return torch.from_numpy(self.table[index.cpu().numpy(), :3]).to(index.device)

    @cached_property
    def _last(self) -> Int[Tensor, " frames"]:
        """The last frame of each frame's sequence."""
        sequence = self.table[:, 3].copy()
        return torch.from_numpy(np.searchsorted(sequence, sequence, side="right") - 1)

    @cached_property
    def _followed(self) -> Int[Tensor, " followed"]:
        return (self._last > torch.arange(len(self._last))).nonzero()[:, 0]

    @cached_property
    def table(self) -> np.ndarray:
        """y, x, area and the number of the sequence of each frame: float32 (frames, 4)."""
        return self._unpacked[0]

    @cached_property
    def _stored(self) -> StoredImages:
        return self._unpacked[1]

    @cached_property
    def _unpacked(self) -> tuple[np.ndarray, StoredImages]:
        targets, path = [self.unpacked(name) for name in ("factors.npy", "masks.npy")], self.sources[0].path
        with reading(path):
            if not all(target.exists() for target in targets):
                table, masks = _read(arrays(path))
                unpack(targets[0], table.shape, lambda array: np.copyto(array, table), np.float32)
                unpack(targets[1], masks.shape, lambda array: np.copyto(array, masks))
            table = np.load(targets[0], allow_pickle=False)
            return table, StoredImages(targets[1], (len(table), SIDE, SIDE, 1))


def _read(content: object) -> tuple[np.ndarray, Images]:
    """Factors and masks of all sequences, one after the other."""
    if not isinstance(content, dict) or not {"pedestrians", "pedestrians_latents"} <= content.keys():
        raise ValueError("it has no pedestrians and pedestrians_latents")
    masks = [np.asarray(sequence) for sequence in content["pedestrians"]]
    latents = [np.asarray(sequence, np.float32) for sequence in content["pedestrians_latents"]]
    shapes = [(len(sequence), SIDE, SIDE) for sequence in latents]
    if not masks or [mask.shape for mask in masks] != shapes or any(part.shape[1:] != (3,) for part in latents):
        raise ValueError(f"its masks are not (frames, {SIDE}, {SIDE}) with latents (frames, 3)")
    numbers = np.repeat(np.arange(len(latents)), [len(part) for part in latents])
    table = np.column_stack([np.concatenate(latents), numbers]).astype(np.float32)
    return table, np.concatenate([mask != 0 for mask in masks])[..., None].astype(np.uint8) * np.uint8(255)
