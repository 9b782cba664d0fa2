"""Filled polygons on an image: exact coverage of each pixel; and the four outlines of the sprites."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

SPRITES = ("square", "triangle", "star_4", "spoke_4")


def coverage(vertices: Float[Tensor, "n v 2"], size: int = 64) -> Float[Tensor, "n {size} {size}"]:
    """The share of each pixel that lies inside each polygon, in [0, 1]: exact, whatever the number of vertices.

    Green's theorem a row of pixels at a time: an edge that crosses the row downwards by dy adds, to each pixel, dy
    times the share of the pixel's width that lies right of the edge, averaged along it. The sum is the signed area.

    Args:
        vertices: (x, y) in pixels, y downwards, the image being [0, size]²; simple polygons, either way round, of
            which any part may lie outside. A repeated vertex changes nothing: shorter outlines are padded with one.
        size: Of the image, in pixels.
    """
    start = vertices.float()
    span = start.roll(-1, dims=1) - start
    row = torch.arange(size, device=vertices.device)
    # The edge's two ends within each row, first as heights above its bottom, then as shares of the edge.
    begin, end = ((y[..., None] - row).clamp(0, 1) for y in (start[..., 1], start[..., 1] + span[..., 1]))
    down = end - begin
    image, edge, line = down.nonzero(as_tuple=True)
    (x, y), (width, height) = start[image, edge].T, span[image, edge].T
    # An end that is not cut is the vertex itself: the share is clamped against rounding.
    at_begin, at_end = (((heights[image, edge, line] + line - y) / height).clamp(0, 1) for heights in (begin, end))
    ends = torch.stack([x + width * at_begin, x + width * at_end])
    areas = down[image, edge, line][:, None] * _right_of(ends.amin(dim=0), ends.amax(dim=0), size)
    # Integers add up to the same sum in every order: the same bytes on any device, in any batch.
    total = torch.zeros(len(vertices) * size, size, dtype=torch.int32, device=vertices.device)
    total.index_add_(0, image * size + line, (areas * 2**20).round().int())
    return (total.abs().float() / 2**20).clamp(max=1).view(-1, size, size)


def _right_of(low: Float[Tensor, " m"], high: Float[Tensor, " m"], size: int) -> Float[Tensor, "m {size}"]:
    """Of each pixel in a row, the share that lies right of x, averaged over x between low and high."""
    border = torch.arange(size + 1, device=low.device)
    beyond_low, beyond_high = border - low[:, None], border - high[:, None]
    # Of the edge, what lies left of each border; a vertical edge is a step.
    left = (beyond_low / (high - low).clamp(min=1e-6)[:, None]).clamp(0, 1)
    ends = beyond_low.clamp(0, 1) + beyond_high.clamp(0, 1)
    return left[:, :-1] + (left[:, 1:] - left[:, :-1]) * ends[:, 1:] / 2


def outlines(device: torch.device | str = "cpu") -> Float[Tensor, "4 12 2"]:
    """The outlines of SPRITES around (0, 0), of area 1, padded to 12 vertices, y upwards.

    The square and the triangle are regular. The star's corners and points alternate at radii 1 to 2; the spokes are
    a square with an arm on each side, half the square's diagonal long. These are the shapes of those names in
    Spriteworld (Watters et al. 2019), which drew Natural Sprites.
    """
    square = _ring(4, 1.0, math.pi / 4)
    star = torch.stack([_ring(4, 1.0, math.pi / 4), _ring(4, 2.0, math.pi / 2)], dim=1).flatten(0, 1)
    tip = 1 + math.sqrt(2)
    arm, quarter = torch.tensor([[1.0, 1.0], [1.0, tip], [-1.0, tip]]), torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    spoke = torch.cat([arm, arm @ quarter, -arm, -arm @ quarter])
    padded = [torch.cat([o, o[-1:].expand(12 - len(o), 2)]) for o in (square, _ring(3, 1.0, math.pi / 2), star, spoke)]
    return torch.stack([outline / _area(outline).sqrt() for outline in padded]).to(device)


def place(
    shape: Int[Tensor, " n"],
    x: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
    scale: Float[Tensor, " n"],
    angle: Float[Tensor, " n"],
) -> Float[Tensor, "n 12 2"]:
    """Vertices of sprites in units of the image's side, y downwards; `coverage` takes them times the image's size.

    Args:
        shape: Index into SPRITES.
        x, y: Of the centre of mass.
        scale: Square root of the area.
        angle: Radians, counterclockwise as seen.
    """
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([-sin, -cos], dim=1)], dim=1)
    placed = torch.einsum("nvi,nji->nvj", outlines(shape.device)[shape], turn * scale[:, None, None])
    return placed + torch.stack([x, y], dim=1)[:, None]


def _ring(sides: int, radius: float, first: float) -> Float[Tensor, "{sides} 2"]:
    angle = first + torch.arange(sides) * (2 * math.pi / sides)
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def _area(outline: Float[Tensor, "v 2"]) -> Float[Tensor, ""]:
    ahead = outline.roll(-1, dims=0)
    return (outline[:, 0] * ahead[:, 1] - outline[:, 1] * ahead[:, 0]).sum().abs() / 2
