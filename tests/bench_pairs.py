"""Pairs of dSprites a second, beside the usual Dataset and DataLoader.

`pytest tests/bench_pairs.py -s -o addopts=--import-mode=importlib` on a quiet machine (without the shape checks of the
test suite). The usual way: all images unpacked in memory as uint8 (3 GB), one pair an item with UNI transitions in
NumPy, put together by a DataLoader with 0 or 2 workers. Ours draws whole batches from the factors. Both end in uint8
tensors and run interleaved; the figure is the ratio of the fastest rounds.
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
        return torch.from_numpy(self.images[index][None]), torch.from_numpy(self.images[other][None])


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


@pytest.mark.parametrize("batch", [32, 64, 512])
def test_pairs_a_second(usual: Usual, batch: int, benchmark: pytest.FixtureRequest) -> None:
    torch.set_num_threads(1)
    dataset, generator = DSpritesProcedural(), torch.Generator().manual_seed(0)
    loaders = [endless(DataLoader(usual, batch, shuffle=True, num_workers=workers)) for workers in (0, 2)]
    ways = [lambda: dataset.sample_pairs(batch, generator), *(lambda it=it: next(it) for it in loaders)]
    for way in ways:
        way()
    times = np.array([[seconds(way, PAIRS // batch) for way in ways] for _ in range(ROUNDS)]).min(axis=0)
    ours, *theirs = PAIRS / times
    benchmark.extra_info.update(ours=ours, usual=max(theirs), ratio=ours / max(theirs))
    print(
        f"\nbatch {batch}: ours {ours:,.0f} pairs/s; usual {theirs[0]:,.0f} (0 workers), {theirs[1]:,.0f} (2 workers); "
        f"ratio to the faster {ours / max(theirs):.1f}"
    )
    benchmark(ways[0])
