"""Polygons: exact coverage against areas, moments and dense supersampling; the sprites' outlines."""

from __future__ import annotations

import math

import pytest
import torch
from matplotlib.path import Path
from torch import Tensor

from unmix.datasets.polygons import SPRITES, coverage, outlines, place


def scattered(n: int = 40) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Sprites of every shape, all inside of the image."""
    draws = torch.rand(4, n, generator=torch.Generator().manual_seed(0))
    shape = torch.arange(n) % len(SPRITES)
    return shape, 0.25 + 0.5 * draws[0], 0.25 + 0.5 * draws[1], 0.05 + 0.2 * draws[2], 2 * math.pi * draws[3]


def test_area_and_centre_are_exact() -> None:
    shape, x, y, scale, angle = scattered()
    drawn = coverage(place(shape, x, y, scale, angle) * 64).double()
    middle = torch.arange(64) + 0.5
    area = drawn.sum((1, 2))
    torch.testing.assert_close(area, (scale.double() * 64) ** 2, rtol=0, atol=1e-3)
    # A share does not say where in its pixel it lies: at most 1/8 of first moment for each pixel of the outline.
    allowed = 1 / (4 * 64 * scale.double())
    assert bool((((drawn.sum(1) @ middle.double()) / area - x.double() * 64).abs() < allowed).all())
    assert bool((((drawn.sum(2) @ middle.double()) / area - y.double() * 64).abs() < allowed).all())


@pytest.mark.parametrize("index", range(8))
def test_equals_dense_supersampling(index: int) -> None:
    """Matplotlib's point-in-polygon test at 32 x 32 points of each pixel of a 16 pixel image, partly outside of it."""
    shape, _, _, _, angle = scattered(8)
    one = slice(index, index + 1)
    edge = torch.tensor([0.1, 0.5, 0.9, 0.97, -0.1, 0.5, 0.3, 1.05])[one]
    vertices = place(shape[one], edge, 0.8 * edge, torch.full((1,), 0.5), angle[one]) * 16
    points = (torch.arange(16 * 32) + 0.5) / 32
    inside = Path(vertices[0].numpy()).contains_points(torch.cartesian_prod(points, points).numpy())
    expected = torch.from_numpy(inside).double().view(16, 32, 16, 32).mean((1, 3)).T
    torch.testing.assert_close(coverage(vertices, 16)[0].double(), expected, rtol=0, atol=0.02)
    assert expected.sum() > 0


def test_whole_pixels_and_repeated_vertices() -> None:
    square = torch.tensor([[2.0, 3.0], [5.0, 3.0], [5.0, 7.0], [2.0, 7.0]])
    padded = torch.cat([square, square[-1:], square[-1:]])
    expected = torch.zeros(8, 8)
    expected[3:7, 2:5] = 1
    assert torch.equal(coverage(square[None], 8)[0], expected)
    assert torch.equal(coverage(square.flip(0)[None], 8)[0], expected)
    assert torch.equal(coverage(padded[None], 8)[0], expected)
    assert coverage(square[None] + 100, 8).sum() == 0
    assert coverage(square[:0].view(0, 4, 2), 8).shape == (0, 8, 8)


def test_batches_do_not_change_a_byte() -> None:
    vertices = place(*scattered()) * 64
    assert torch.equal(coverage(vertices), torch.cat([coverage(part) for part in vertices.split(7)]))


def test_outlines() -> None:
    """Spriteworld's: unit area around 0; what tells the four apart is how far they reach."""
    shapes = outlines()
    assert shapes.shape == (4, 12, 2)
    torch.testing.assert_close(coverage(shapes * 8 + 16, 32).sum((1, 2)), torch.full((4,), 64.0))
    reach = dict(zip(SPRITES, shapes.norm(dim=2).amax(dim=1).tolist(), strict=True))
    assert reach["square"] == pytest.approx(math.sqrt(1 / 2))
    assert reach["triangle"] == pytest.approx(2 / math.sqrt(3 * math.sqrt(3)))
    assert reach["star_4"] == pytest.approx(2 / math.sqrt(4 * math.sqrt(2)))
    # Arms of length 1 on a square of diagonal 2: the far corner, over the root of the area 2 + 4 √2.
    corner = math.hypot(math.sqrt(1 / 2), math.sqrt(1 / 2) + 1)
    assert reach["spoke_4"] == pytest.approx(corner / math.sqrt(2 + 4 * math.sqrt(2)))


def test_angle_turns_counterclockwise_as_seen() -> None:
    half = torch.full((1,), 0.5)
    tip = place(torch.tensor([1]), half, half, half, torch.zeros(1))[0, 0]
    turned = place(torch.tensor([1]), half, half, half, torch.full((1,), math.pi / 2))[0, 0]
    assert tip[1] < 0.2  # the triangle points up
    assert turned[0] < 0.2  # and after a quarter turn to the left
