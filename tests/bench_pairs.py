"""Pairs of dSprites a second, beside the usual Dataset and DataLoader.

`pytest tests/bench_pairs.py -s -o addopts=--import-mode=importlib` on a quiet machine (without the shape checks of the
test suite). The usual way: all images unpacked in memory as uint8 (3 GB), one pair an item with UNI transitions in
NumPy, put together by a DataLoader with 0 or 2 workers: once as uint8, and once as float32 in [0, 1], as
torchvision's ToTensor leaves images. Ours draws whole batches from the factors, and converts them whole for the second
comparison. All run interleaved; the figure is the ratio of the fastest rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from unmix.datasets.dsprites import DSpritesProcedural

ROUNDS, PAIRS = 5, 4096
SIZES = np.array([3, 6, 40, 32, 32])


class Usual(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A map-style dataset as the field writes it."""

    floats = False

    def __init__(self) -> None:
        dataset = DSpritesProcedural()
        self.images = np.empty((len(dataset.grid), 64, 64), dtype=np.uint8)
        for index in torch.arange(len(dataset.grid)).split(8192):
            self.images[index.numpy()] = dataset.images(dataset.grid.levels(index))[:, 0].numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        levels = np.array(np.unravel_index(index, SIZES))
        changed = np.random.choice(len(SIZES), np.random.randint(1, len(SIZES)), replace=False)
        levels[changed] = (levels[changed] + np.random.randint(1, SIZES[changed])) % SIZES[changed]
        other = np.ravel_multi_index(tuple(levels), SIZES)
        pair = torch.from_numpy(self.images[index][None]), torch.from_numpy(self.images[other][None])
        return (pair[0].float().div(255), pair[1].float().div(255)) if self.floats else pair


@pytest.fixture(scope="module")
def usual() -> Usual:
    return Usual()


def endless(loader: DataLoader[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        yield from loader


def seconds(step: Callable[[], object], steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - started


@pytest.mark.parametrize("floats", [False, True], ids=["uint8", "float32"])
@pytest.mark.parametrize("batch", [32, 64, 512])
def test_pairs_a_second(usual: Usual, batch: int, floats: bool, benchmark: pytest.FixtureRequest) -> None:
    torch.set_num_threads(1)
    dataset, generator = DSpritesProcedural(), torch.Generator().manual_seed(0)
    usual.floats = floats

    def ours() -> object:
        pair = dataset.sample_pairs(batch, generator)
        return tuple(images.float().div_(255) for images in pair) if floats else pair

    loaders = [endless(DataLoader(usual, batch, shuffle=True, num_workers=workers)) for workers in (0, 2)]
    ways = [ours, *(lambda it=it: next(it) for it in loaders)]
    for way in ways:
        way()
    times = np.array([[seconds(way, PAIRS // batch) for way in ways] for _ in range(ROUNDS)]).min(axis=0)
    mine, *theirs = PAIRS / times
    benchmark.extra_info.update(ours=mine, usual=max(theirs), ratio=mine / max(theirs))
    print(
        f"\nbatch {batch}, {'float32' if floats else 'uint8'}: ours {mine:,.0f} pairs/s; usual {theirs[0]:,.0f} "
        f"(0 workers), {theirs[1]:,.0f} (2 workers); ratio to the faster {mine / max(theirs):.1f}"
    )
    benchmark(ours)
