"""dSprites' geometry against its definition, pixel by pixel."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from unmix.datasets.dsprites import DSpritesProcedural
from unmix.datasets.sprites import HEART, SIDE, draw

DATASET = DSpritesProcedural()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inside(levels: np.ndarray) -> np.ndarray:
    """Which pixel centres are in the sprite: the plain definition, (n, 64, 64)."""
    _, shape, scale, orientation, x, y = levels.T[:, :, None, None]
    line, column = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    dx, dy = column - (16 + 32 * x / 31), line - (16 + 32 * y / 31)
    angle, size = -2 * math.pi * orientation / 39, 0.5 + 0.1 * scale
    u, v = (dx * np.cos(angle) + dy * np.sin(angle)) / size, (dy * np.cos(angle) - dx * np.sin(angle)) / size
    radius = np.array(json.loads(HEART.read_text(encoding="utf-8"))["radius"])
    outline = np.interp(np.abs(np.arctan2(u, v + 0.5)), np.linspace(0, math.pi, len(radius)), radius)
    square, ellipse = np.maximum(abs(u), abs(v)) < 9.6, (u / 12.77) ** 2 + (v / 7.21) ** 2 < 1
    heart = np.hypot(u, v + 0.5) < outline
    return np.where(shape == 0, square, np.where(shape == 1, ellipse, heart))


@pytest.mark.parametrize(("shape", "name"), [(0, "square"), (1, "ellipse"), (2, "heart")])
def test_pixels_are_set_where_their_centre_is_inside(shape: int, name: str) -> None:
    levels = DATASET.grid.sample(2000, generator())
    levels[:, 1] = shape
    wrong = ((DATASET.observe(levels)[:, 0] > 0).numpy() != inside(levels.numpy())).sum()
    # The heart's outline is linear in the angle, and is drawn by chords of half a degree.
    assert wrong <= (20 if name == "heart" else 0)


def test_levels_0_and_39_of_the_orientation_coincide() -> None:
    levels = DATASET.grid.sample(200, generator())
    first, last = levels.clone(), levels.clone()
    first[:, 3], last[:, 3] = 0, 39
    assert (DATASET.observe(first) != DATASET.observe(last)).flatten(1).sum(1).max() <= 1  # a rounding on an edge


def test_every_factor_is_seen() -> None:
    levels = DATASET.grid.sample(300, generator())
    levels = levels[levels[:, 3] != 39]  # from there the next orientation is the same
    for column, factor in enumerate(DATASET.factors):
        if not factor.constant:
            moved = levels.clone()
            moved[:, column] = (moved[:, column] + 1) % DATASET.grid.sizes[column]
            differ = (DATASET.observe(levels) != DATASET.observe(moved)).flatten(1).any(1)
            assert differ.double().mean() > 0.99, factor.name


def test_the_batch_does_not_matter_and_images_are_black_and_white() -> None:
    levels = DATASET.grid.sample(50, generator())
    together = DATASET.observe(levels)
    assert torch.equal(together, torch.cat([DATASET.observe(row) for row in levels.split(7)]))
    assert set(together.unique().tolist()) == {0, 255}
    assert together.is_contiguous()


def test_no_images_for_no_factors() -> None:
    empty = torch.zeros(0, dtype=torch.long)
    assert draw(empty, empty, empty, empty, empty).shape == (0, 1, 64, 64)


def test_pairs_show_the_factors_of_factor_pairs() -> None:
    pair, factors = DATASET.sample_pairs(20, generator()), DATASET.factor_pairs(20, generator())
    assert torch.equal(pair.anchor, DATASET.observe(factors.anchor))
    assert torch.equal(pair.positive, DATASET.observe(factors.positive))


@pytest.mark.parametrize(
    ("column", "level", "message"),
    [
        (1, 3, "shape has levels 0 to 2, got 3"),
        (3, -1, "orientation has levels 0 to 39, got -1"),
        (2, 0.5, "scale has levels 0 to 5, got 0.5"),
    ],
)
def test_a_level_that_is_not_there_is_named(column: int, level: float, message: str) -> None:
    factors = torch.zeros(2, 6)
    factors[1, column] = level
    with pytest.raises(ValueError, match=message):
        DATASET.observe(factors)
