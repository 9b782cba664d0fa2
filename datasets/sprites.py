"""The geometry of dSprites: which pixels a sprite covers, for whole arrays of factors at once."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

SIDE = 64
POSITIONS = 32
ORIENTATIONS = 40
SCALES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
HALF_SIDE = 9.6  # of the square at scale 1, pixels
SEMI_AXES = (12.77, 7.21)  # of the ellipse at scale 1
HEART = Path(__file__).with_name("dsprites_heart.json")
REACH = 14  # no sprite reaches further from its centre, pixels
LINES = 2 * REACH
STEPS = POSITIONS - 1
# A line of pixels lies (STEPS q + STEPS / 2) / STEPS pixels below a sprite's centre, for a whole q: a table over q has
# every chord that an image can show.
LOWEST = -REACH * STEPS - STEPS // 2
HEIGHTS = LINES * STEPS


def draw(
    shape: Int[Tensor, " n"],
    scale: Int[Tensor, " n"],
    orientation: Int[Tensor, " n"],
    x: Int[Tensor, " n"],
    y: Int[Tensor, " n"],
) -> UInt8[Tensor, "n 1 64 64"]:
    """Images of sprites, 255 where a pixel's centre is inside of the sprite and 0 elsewhere.

    The centre is at (16 + 32 x/31, 16 + 32 y/31) pixels; shapes are 0 square, 1 ellipse, 2 heart; scales are
    0.5, 0.6, ..., 1; the angle is -2 pi o/39 for orientation o in 0..39, so that 0 and 39 coincide. Recovered from
    published pictures of the original (Matthey et al. 2017): 74 % of 43 images that were not used for the fit are
    exact, with a mean error of 0.33 pixels an image.

    Args:
        shape, scale, orientation, x, y: Indices of levels, not checked.
    """
    tables = _tables(str(shape.device))
    sprite = (shape * len(SCALES) + scale) * ORIENTATIONS + orientation
    place = sprite * STEPS + tables.phase[y]
    first = torch.arange(0, SIDE * len(y), SIDE, device=y.device) + tables.first_line[y]
    line = first[:, None] + tables.lines
    centre = tables.centre[x]
    stretch = torch.zeros(len(x) * SIDE, dtype=torch.int32, device=x.device)
    stretch[line] = _stretch(tables.chords.index_select(0, place), centre[:, None])
    images = tables.rows.index_select(0, stretch)
    # Hearts are not convex: a few lines cut them more than once. Cuts have no pixel in common, so that adding joins.
    more = tables.more.index_select(0, place)
    image, row = more.nonzero().unbind(1)
    cuts = tables.cuts.index_select(0, more[image, row].int() - 1)
    others = tables.rows.index_select(0, _stretch(cuts, centre[image, None]).flatten())
    images.index_add_(0, line[image, row], others.view(*cuts.shape[:2], SIDE // 8).sum(1))
    return images.view(torch.uint8).view(-1, 1, SIDE, SIDE)


def _stretch(ends: Float[Tensor, "n lines 2"], centre: Float[Tensor, "n 1"]) -> Int[Tensor, "n lines"]:
    """Which of `rows` has the pixels whose centres lie between the ends."""
    first, last = (ends + centre[..., None]).ceil_().int().unbind(-1)
    return first * (SIDE + 1) + last


@dataclass(frozen=True)
class _Tables:
    """What `draw` looks up. A place is a sprite and one of the 31 ways in which its lines can lie beside the pixels'.

    Attributes:
        chords: Left and right end of each line's first cut from the centre, (0, 0) where it misses the sprite.
        more: 1 + the row of `cuts` that has a line's other cuts, 0 for none.
        cuts: Other cuts, padded with (0, 0).
        first_line: Of each y, the first line of pixels within REACH.
        phase: Of each y, how the lines lie.
        centre: Of each x, the centre less half a pixel.
        lines: 0 to LINES.
        rows: Pixels of a line that is set from column `first` to before `last`, at first * 65 + last; eight a word.
    """

    chords: Float[Tensor, "places lines 2"]
    more: Int[Tensor, "places lines"]
    cuts: Float[Tensor, "others cuts 2"]
    first_line: Int[Tensor, " y"]
    phase: Int[Tensor, " y"]
    centre: Float[Tensor, " x"]
    lines: Int[Tensor, " lines"]
    rows: Int[Tensor, "stretches 8"]


@cache
def _tables(device: str) -> _Tables:
    height = (torch.arange(LOWEST, LOWEST + HEIGHTS, dtype=torch.float64) + STEPS / 2) / STEPS
    angles = -2 * math.pi * torch.arange(ORIENTATIONS, dtype=torch.float64) / (ORIENTATIONS - 1)
    corner = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) * HALF_SIDE
    cuts = [_polygon(corner * scale, angles, height) for scale in SCALES]
    cuts += [_ellipse(scale, angles, height) for scale in SCALES]
    cuts += [_polygon(_heart() * scale, angles, height) for scale in SCALES]
    most = max(table.shape[2] for table in cuts)
    chords = torch.cat([nn.functional.pad(table, (0, 0, 0, most - table.shape[2])) for table in cuts])
    # Lines STEPS apart are seen together.
    chords = chords.view(len(chords), LINES, STEPS, most, 2).transpose(1, 2).flatten(0, 1)
    several = (chords[:, :, 1:, 1] > chords[:, :, 1:, 0]).any(dim=2)
    y = torch.arange(POSITIONS)
    first_line = SIDE // 4 + -((-LOWEST - POSITIONS * y) // STEPS)
    column = torch.arange(SIDE)
    first, last = torch.arange(SIDE + 1)[:, None, None], torch.arange(SIDE + 1)[None, :, None]
    rows = ((column >= first) & (column < last)).to(torch.uint8) * 255
    tables = _Tables(
        chords=chords[:, :, 0].float().contiguous(),
        more=(several.flatten().cumsum(0).view_as(several) * several).to(torch.int16),
        cuts=chords[several][:, 1:].float().contiguous(),
        first_line=first_line,
        phase=STEPS * (first_line - SIDE // 4) - POSITIONS * y - LOWEST,
        centre=(torch.arange(POSITIONS) * (POSITIONS / STEPS) + (SIDE // 4 - 0.5)).float(),
        lines=torch.arange(LINES),
        rows=rows.view(-1, SIDE).view(torch.int64),
    )
    return _Tables(**{name: table.to(device) for name, table in vars(tables).items()})


def _heart() -> Float[Tensor, "corners 2"]:
    """The heart's outline at scale 1, y downwards: the radius is linear in the angle between those of the file."""
    given = torch.tensor(json.loads(HEART.read_text(encoding="utf-8"))["radius"], dtype=torch.float64)
    radius = nn.functional.interpolate(given[None, None], 3 * len(given) - 2, mode="linear", align_corners=True)[0, 0]
    angle = torch.linspace(0, math.pi, len(radius), dtype=torch.float64)
    right = torch.stack([radius * angle.sin(), radius * angle.cos() - 0.5], dim=1)
    left = right[1:-1].flip(0) * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return torch.cat([right, left])


def _ellipse(
    scale: float, angles: Float[Tensor, " angles"], height: Float[Tensor, " lines"]
) -> Float[Tensor, "angles lines 1 2"]:
    """Chords of the rotated ellipse: the roots of a quadratic in x."""
    a, b = (axis * scale for axis in SEMI_AXES)
    cos, sin, y = angles.cos()[:, None], angles.sin()[:, None], height
    square = (cos / a) ** 2 + (sin / b) ** 2
    half = cos * sin * y * (1 / a**2 - 1 / b**2)
    rest = y**2 * ((sin / a) ** 2 + (cos / b) ** 2) - 1
    root = (half**2 - square * rest).clamp(min=0).sqrt()
    ends = torch.stack([-half - root, -half + root], dim=-1) / square[..., None]
    return torch.where((root > 0)[..., None], ends, 0.0)[:, :, None]


def _polygon(
    corners: Float[Tensor, "corners 2"], angles: Float[Tensor, " angles"], height: Float[Tensor, " lines"]
) -> Float[Tensor, "angles lines cuts 2"]:
    """Chords of a rotated polygon: crossings of its edges in order, each two of them a chord (even-odd rule)."""
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    x, y = corners[:, 0] * cos - corners[:, 1] * sin, corners[:, 0] * sin + corners[:, 1] * cos
    x_next, y_next = x.roll(-1, -1), y.roll(-1, -1)
    first, stop = (torch.searchsorted(height, ends) for ends in (torch.minimum(y, y_next), torch.maximum(y, y_next)))
    counts = (stop - first).flatten()
    edge = torch.arange(len(counts)).repeat_interleave(counts)
    lines = first.flatten()[edge] + torch.arange(len(edge)) - (counts.cumsum(0) - counts)[edge]
    start, rise = torch.stack([x, y]).flatten(1)[:, edge], torch.stack([x_next - x, y_next - y]).flatten(1)[:, edge]
    crossing = start[0] + (height[lines] - start[1]) * rise[0] / rise[1]
    line = edge // len(corners) * len(height) + lines
    order = crossing.argsort()
    order = order[line[order].argsort(stable=True)]
    line, crossing = line[order], crossing[order]
    each = torch.bincount(line, minlength=len(angles) * len(height))
    place = torch.arange(len(line)) - (each.cumsum(0) - each)[line]
    ends = torch.zeros(len(each), int(each.max()), dtype=torch.float64)
    ends[line, place] = crossing
    return ends.view(len(angles), len(height), -1, 2)
