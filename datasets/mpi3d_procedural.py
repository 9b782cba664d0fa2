"""A twin of MPI3D that needs no download: a robot arm holds a solid before a coloured strip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unmix.datasets.grid import TRANSITIONS_HELP, OnGrid
from unmix.datasets.mpi3d import COLOURS, SCENE, SHAPES
from unmix.datasets.raycast import (
    Camera,
    Solid,
    Vector,
    box,
    cast,
    cone,
    cylinder,
    pooled,
    prism,
    pyramid,
    sphere,
    unit,
)
from unmix.factors import Factor
from unmix.registry import DATASETS

SOLIDS: dict[str, Solid] = {
    "cone": cone(1.0, 1.0),
    "cube": box(0.8, 0.8, 0.8),
    "cylinder": cylinder(0.8, 0.85),
    "hexagonal": prism(6, 0.8, 0.85),
    "pyramid": pyramid(0.95, 1.0),
    "sphere": sphere(0.98),
}
SIZES = (0.3, 0.46)
OBJECT_COLOURS = ((240, 240, 235), (50, 170, 60), (215, 45, 40), (45, 80, 215), (135, 80, 40), (140, 145, 40))
STRIP_COLOURS = ((125, 60, 150), (46, 150, 95), (250, 128, 114))
METAL, VOID = (172, 178, 186), (22, 22, 26)
ELEVATIONS = (48.0, 27.0, 7.0)  # of the camera, degrees: top, centre, bottom
DISTANCE, LOOKS_AT, TANGENT = 8.0, (0.0, 0.95, 0.25), 0.25
TURN, LIFT = (-70.0, 70.0), (-14.0, 44.0)  # degrees of the two axes at their first and last level
SHOULDER, REACH = 0.85, 1.35  # its height, and the arm's length from there to the middle of the solid
TABLE, STRIP = 2.7, 1.15  # the table's radius, and the height of the strip behind it
LIGHT = (-0.45, 0.78, 0.5)
AMBIENT, SHADOW = 0.4, 0.5
STILL_SAMPLES, SAMPLES, WINDOW = 4, 2, 28  # by as many in each pixel; pixels of the square around the solid


@DATASETS.register("mpi3d_procedural")
@dataclass(frozen=True)
class Mpi3dProcedural(OnGrid):
    """A robot arm with a solid at its tip: a twin of MPI3D toy (Gondal et al. 2019), with its factors and sizes.

    The horizontal axis turns the arm from -70 to 70 degrees, the vertical axis lifts it from -14 to 44; the camera is
    48, 27 or 7 degrees high. Everything is drawn from the factors: the solid is ray-cast, the arm is a tapered rod
    with its shadow, and what stands still (9 pictures) is ray-cast at the first use. No figure of it is one of MPI3D.

    Example:
        >>> dataset = Mpi3dProcedural()
        >>> [factor.size for factor in dataset.factors]
        [6, 6, 2, 3, 3, 40, 40]
        >>> len(dataset.grid)
        1036800
    """

    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    @property
    def factors(self) -> tuple[Factor, ...]:
        return (COLOURS, SHAPES, *SCENE)

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, 64, 64)

    def images(self, levels: Int[Tensor, "n k"]) -> UInt8[Tensor, "n 3 64 64"]:
        colour, shape, size, camera, strip, *axes = levels.T
        still = _still(str(levels.device))
        view = View(still.position[camera], still.camera[camera])
        arm = _arm(*axes)
        behind, metal = _rod(arm, view, still.floor.index_select(0, camera))
        covered, shade = _solid(arm, view, shape, torch.tensor(SIZES, device=levels.device)[size])
        behind, metal = behind * (1 - covered), metal * (1 - covered)
        paint = torch.tensor(OBJECT_COLOURS, dtype=torch.float32, device=levels.device)[colour]
        scene = still.pictures.index_select(0, camera * len(STRIP_COLOURS) + strip) * behind[:, None]
        for channel, value in enumerate(METAL):
            scene[:, channel] += metal * value + shade * paint[:, channel, None, None]
        return scene.round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class View:
    """Of each image, where its camera is, and the rows right, down, forward."""

    position: Float[Tensor, "n 3"]
    axes: Float[Tensor, "n 3 3"]

    def project(self, point: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, " n"]]:
        """Where a point is in the image, in pixels, and the pixels to a unit of length there."""
        right, down, forward = (self.axes * (point - self.position)[:, None]).sum(-1).T
        scale = 32 / (TANGENT * forward)
        return torch.stack([32 + right * scale, 32 + down * scale], dim=1), scale


@dataclass(frozen=True)
class Arm:
    """Of each image: the arm's axes (across, up and along it, as rows) and its tip, the middle of the solid."""

    axes: Float[Tensor, "n 3 3"]
    tip: Float[Tensor, "n 3"]


def _arm(horizontal: Int[Tensor, " n"], vertical: Int[Tensor, " n"]) -> Arm:
    turn, lift = (
        (first + (last - first) * level / 39) * (math.pi / 180)
        for level, (first, last) in zip((horizontal, vertical), (TURN, LIFT), strict=True)
    )
    (sin, cos), (rise, flat) = ((angle.sin(), angle.cos()) for angle in (turn, lift))
    across = torch.stack([cos, torch.zeros_like(cos), -sin], dim=1)
    up = torch.stack([-sin * rise, flat, -cos * rise], dim=1)
    along = torch.stack([sin * flat, rise, cos * flat], dim=1)
    shoulder = torch.tensor([0.0, SHOULDER, 0.0], device=along.device)
    return Arm(torch.stack([across, up, along], dim=1), shoulder + REACH * along)


def _rod(
    arm: Arm, view: View, floor: Float[Tensor, "n 2 64 64"]
) -> tuple[Float[Tensor, "n 64 64"], Float[Tensor, "n 64 64"]]:
    """How much is left of what is behind the arm, its shadow taken off, and how bright its metal is."""
    x, z = (floor - arm.tip[:, ::2, None, None]).unbind(1)
    left = 1 - SHADOW * (1.25 - (x * x + z * z) * 5).clamp_(0, 1)
    (start, thick), (tip, thin) = (view.project(p) for p in (torch.zeros_like(arm.tip) + _shoulder(arm), arm.tip))
    pixel = torch.arange(64, device=tip.device) + 0.5
    x, y = pixel - start[:, 0, None], pixel - start[:, 1, None]
    span = tip - start
    (width, height), square = span.T[..., None], span.square().sum(1)[:, None]
    share = ((x * width / square)[:, None] + (y * height / square)[..., None]).clamp_(0, 1)
    across, down = x[:, None] - share * width[..., None], y[..., None] - share * height[..., None]
    wide, narrow = 0.19 * thick[:, None, None], 0.11 * thin[:, None, None]
    radius = wide + share * (narrow - wide)
    off = across * across + down * down
    covered = (radius - off.sqrt() + 0.5).clamp_(0, 1)
    light = unit(LIGHT).tolist()
    # The round of the rod, as a ball of its radius would have it; the forearm is of a darker metal.
    facing = (across * light[0] - down * light[1]) / radius + (1 - off / radius.square()).clamp(min=0).sqrt() * light[2]
    metal = (AMBIENT + (1 - AMBIENT) * facing.clamp_(min=0)) * torch.where(share > 0.5, 0.55, 1.0)
    return left * (1 - covered), covered * metal


def _shoulder(arm: Arm) -> Float[Tensor, "n 3"]:
    return arm.tip - REACH * arm.axes[:, 2]


def _solid(
    arm: Arm, view: View, shape: Int[Tensor, " n"], size: Float[Tensor, " n"]
) -> tuple[Float[Tensor, "n 64 64"], Float[Tensor, "n 64 64"]]:
    """How much of each pixel the solid covers, and how bright it is there."""
    centre, _ = view.project(arm.tip)
    corner = (centre - WINDOW / 2).round().clamp(0, 64 - WINDOW)
    place = (torch.arange(WINDOW * SAMPLES, device=size.device) + 0.5) / SAMPLES
    x, y = ((corner[:, axis, None] + place - 32) * (TANGENT / 32) for axis in (0, 1))
    # Everything in the frame of the solid, where it stands upright with its size 1.
    right, down, forward = ((arm.axes * view.axes[:, row, None]).sum(-1) / size[:, None] for row in range(3))
    origin = (arm.axes * (view.position - arm.tip)[:, None]).sum(-1) / size[:, None]
    light = (arm.axes * unit(LIGHT).to(size.device)).sum(-1)
    drawn = torch.zeros(2, len(shape), WINDOW, WINDOW, device=size.device)
    for index, solid in enumerate(SOLIDS.values()):
        rows = (shape == index).nonzero()[:, 0]
        start, sun, ahead, across, along = (v[rows].T[..., None, None] for v in (origin, light, forward, right, down))
        direction = ahead + across * x[rows, None] + along * y[rows, :, None]
        at, shade = cast([solid], start, direction, sun)
        seen = at.isfinite()
        bright = torch.where(seen, AMBIENT + (1 - AMBIENT) * shade.clamp(min=0), 0.0)
        drawn[:, rows] = pooled(torch.stack([seen.float(), bright]), SAMPLES)
    return _pasted(drawn, corner.long())


def _pasted(
    drawn: Float[Tensor, "2 n window window"], corner: Int[Tensor, "n 2"]
) -> tuple[Float[Tensor, "n 64 64"], Float[Tensor, "n 64 64"]]:
    """Windows at their places in whole images."""
    inside = torch.arange(WINDOW, device=corner.device)
    columns, rows = (corner[:, axis, None] + inside for axis in (0, 1))
    pixels = (rows[..., None] * 64 + columns[:, None]).flatten(1)
    whole = torch.zeros(2, len(corner), 64 * 64, device=corner.device)
    covered, shade = whole.scatter_(2, pixels.expand(2, -1, -1), drawn.flatten(2)).view(2, -1, 64, 64)
    return covered, shade


@dataclass(frozen=True)
class Still:
    """What stands still: of each camera its place, its axes and where each pixel's floor is; the nine pictures."""

    position: Float[Tensor, "3 3"]
    camera: Float[Tensor, "3 3 3"]
    floor: Float[Tensor, "3 2 64 64"]
    pictures: Float[Tensor, "9 3 64 64"]


@cache
def _still(device: str) -> Still:
    """Always computed on the processor."""
    if device != "cpu":
        still = _still("cpu")
        return Still(*(part.to(device) for part in (still.position, still.camera, still.floor, still.pictures)))
    cameras = []
    for degrees in ELEVATIONS:
        height = math.radians(degrees)
        place = (0.0, LOOKS_AT[1] + DISTANCE * math.sin(height), LOOKS_AT[2] + DISTANCE * math.cos(height))
        cameras.append(Camera(place, LOOKS_AT, TANGENT))
    position = torch.tensor([camera.position for camera in cameras])
    pictures = torch.stack([_picture(camera, strip) for camera in cameras for strip in STRIP_COLOURS])
    floor = torch.stack([_floor(camera) for camera in cameras])
    return Still(position, torch.stack([camera.axes() for camera in cameras]), floor, pictures)


def _floor(camera: Camera) -> Float[Tensor, "2 64 64"]:
    """x and z where each pixel's ray meets the table, far off where it does not."""
    place, direction = torch.tensor(camera.position), camera.directions()
    distance = torch.where(direction[1] < 0, -place[1] / direction[1], math.inf)
    spot = torch.stack([place[axis] + distance.clamp(max=1e3) * direction[axis] for axis in (0, 2)])
    return torch.where(spot.square().sum(0) < TABLE**2, spot, 1e3)


def _picture(camera: Camera, strip: Sequence[int]) -> Float[Tensor, "3 64 64"]:
    """The table, the strip around its far side and the foot of the arm."""
    origin, direction = torch.tensor(camera.position)[:, None, None], camera.directions(STILL_SAMPLES)
    light = unit(LIGHT)[:, None, None]
    (x, y, z), (dx, dy, dz) = origin, direction
    # Where the ray leaves the upright cylinder around the table.
    square, half = dx * dx + dz * dz, x * dx + z * dz
    root = (half * half - square * (x * x + z * z - TABLE**2)).clamp(min=0).sqrt()
    enters, leaves = (-half - root) / square, (-half + root) / square
    to_floor = torch.where(dy < 0, -y / dy, math.inf)
    height = y + leaves * dy
    is_table = (root > 0) & (to_floor > enters) & (to_floor < leaves)
    is_strip = (root > 0) & (height >= 0) & (height < STRIP)
    spot = ((x + to_floor * dx) ** 2 + (z + to_floor * dz) ** 2).nan_to_num(0, 0)
    table = torch.where(is_table, 0.74 - 0.05 * spot, 0.0)
    curve = 0.72 + 0.28 * ((x + leaves * dx) * light[0] + (z + leaves * dz) * light[2]).neg() / TABLE
    band = torch.where(is_strip, curve, 0.0)
    scene = torch.tensor(VOID)[:, None, None] * (~is_table & ~is_strip)
    scene = scene + torch.tensor([150, 148, 146])[:, None, None] * table + torch.tensor(strip)[:, None, None] * band
    foot: list[tuple[Solid, Vector]] = [
        (cylinder(0.5, 0.1), (0.0, 0.1, 0.0)),
        (cylinder(0.17, 0.35), (0.0, 0.5, 0.0)),
        (sphere(0.24), (0.0, SHOULDER, 0.0)),
    ]
    nearest = torch.full_like(height, math.inf)
    for solid, centre in foot:
        at, shade = cast([solid], origin - torch.tensor(centre)[:, None, None], direction, light)
        bright = (AMBIENT + (1 - AMBIENT) * shade.clamp(min=0)) * torch.tensor(METAL)[:, None, None]
        scene = torch.where(at < nearest, bright, scene)
        nearest = torch.minimum(nearest, at)
    return pooled(scene, STILL_SAMPLES)
