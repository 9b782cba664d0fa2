"""Where stored images differ from drawn ones: with these, images drawn from factors are exactly those of a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Int, UInt8
from torch import Tensor

from unmix.datasets.download import writable

MOST = 20.0
"""Pixels an image that may be wrong on average. dSprites' geometry misses 0.33, another order of images hundreds."""


@dataclass(frozen=True)
class Corrections:
    """Pixels of black and white images to be inverted.

    The 737,280 images of dSprites take 3 GB; their corrections and the tables that they are drawn from some
    megabytes, less than the compressed file.

    Attributes:
        starts: Where each image's pixels begin; one more than there are images.
        pixels: Positions in the flattened image.
        shape: Height and width.
    """

    starts: Int[Tensor, " bounds"]
    pixels: Int[Tensor, " corrections"]
    shape: tuple[int, int]

    @classmethod
    def between(
        cls, draw: Callable[[Tensor], Tensor], stored: Iterable[np.ndarray], total: int, shape: tuple[int, int]
    ) -> Corrections:
        """What turns the drawn images into the stored ones, chunk by chunk.

        Args:
            draw: Numbers (n,) -> the images (n, 1, height, width) that are drawn for them, nonzero where white.
            stored: Chunks (n, height, width) in order, nonzero where white.
            total: How many images there must be.
            shape: Height and width.

        Raises:
            ValueError: They are of another shape or number, or differ by more than `MOST` pixels an image.
        """
        counts, pixels, start = [], [], 0
        for theirs in stored:
            n = len(theirs)
            if theirs.shape[1:] != shape or start + n > total:
                raise ValueError(f"it holds images {theirs.shape[1:]}, {total:,} of {shape} are expected")
            ours = draw(torch.arange(start, start + n))[:, 0].numpy()
            image, pixel = ((ours > 0) != (theirs > 0)).reshape(n, -1).nonzero()
            if len(pixel) > MOST * n:
                raise ValueError(f"its images differ from the drawn ones by {len(pixel) / n:.0f} pixels each")
            counts.append(np.bincount(image, minlength=n))
            pixels.append(pixel.astype(np.int16))
            start += n
        if start != total:
            raise ValueError(f"it holds {start:,} images, {total:,} are expected")
        count = np.concatenate(counts)
        starts = torch.from_numpy(np.concatenate([[0], count.cumsum()]).astype(np.int32))
        return cls(starts, torch.from_numpy(np.concatenate(pixels)), shape)

    @property
    def bytes(self) -> int:
        """Of memory."""
        return self.starts.nbytes + self.pixels.nbytes

    @property
    def exact(self) -> float:
        """Share of images that were drawn without an error."""
        return float((self.starts.diff() == 0).double().mean())

    @property
    def error(self) -> float:
        """Wrong pixels an image."""
        return len(self.pixels) / (len(self.starts) - 1)

    def apply(
        self, images: UInt8[Tensor, "n 1 height width"], index: Int[Tensor, " n"]
    ) -> UInt8[Tensor, "n 1 height width"]:
        """Invert in place the pixels that are wrong in the drawn images of these numbers."""
        start, stop = self.starts[index].long(), self.starts[index + 1].long()
        image = torch.arange(len(index), device=index.device).repeat_interleave(stop - start)
        before = (stop - start).cumsum(0) - (stop - start)
        place = torch.arange(len(image), device=index.device) - before[image] + start[image]
        flat = images.view(len(images), -1)
        flat[image, self.pixels[place].long()] ^= 255
        return images

    def to(self, device: torch.device) -> Corrections:
        return Corrections(self.starts.to(device), self.pixels.to(device), self.shape)

    def save(self, path: Path) -> None:
        """Whole, or not at all."""
        with writable(path.parent), FileLock(path.with_name(f".{path.name}.lock")):
            part = path.with_name(f".{path.name}.{os.getpid()}.part.npz")
            np.savez_compressed(part, starts=self.starts.numpy(), pixels=self.pixels.numpy(), shape=self.shape)
            part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Corrections:
        with np.load(path, allow_pickle=False) as content:
            height, width = content["shape"].tolist()
            return cls(torch.from_numpy(content["starts"]), torch.from_numpy(content["pixels"]), (height, width))
