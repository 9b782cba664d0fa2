"""A twin of 3D Shapes that needs no download: a room with one solid, ray-cast from the factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unmix.datasets.grid import TRANSITIONS_HELP, OnGrid
from unmix.datasets.raycast import Camera, Solid, box, capsule, cast, cylinder, hues, mixed, pooled, sphere, unit
from unmix.factors import Factor
from unmix.registry import DATASETS

HUES, SCALES, ORIENTATIONS = 10, 8, 15
# At scale 1: half the height, and the solid at a scale.
SOLIDS: dict[str, tuple[float, Callable[[float], Sequence[Solid]]]] = {
    "cube": (1.15, lambda s: [box(1.15 * s, 1.15 * s, 1.15 * s)]),
    "cylinder": (1.2, lambda s: [cylinder(1.15 * s, 1.2 * s)]),
    "sphere": (1.35, lambda s: [sphere(1.35 * s)]),
    "capsule": (1.65, lambda s: capsule(0.9 * s, 1.65 * s)),
}
FACTORS = (
    *(Factor(f"{part}_hue", "periodic", HUES, float(HUES), range=(0.0, 0.9)) for part in ("floor", "wall", "object")),
    Factor("scale", "ordinal", SCALES, range=(0.75, 1.25)),
    Factor("shape", "categorical", len(SOLIDS), labels=tuple(SOLIDS)),
    Factor("orientation", "ordinal", ORIENTATIONS, range=(-30.0, 30.0), unit="degrees"),
)
WALL, WALL_HEIGHT = 4.6, 4.8  # half the room's side, and how high its walls are
DISTANCE, HEIGHT, LOOKS_AT, TANGENT = 8.8, 4.4, 1.55, 0.44  # of the camera
LIGHT = (0.45, 0.75, 0.5)
AMBIENT, SHADOW, GLOSS = 0.42, 0.6, 0.4
SKY, WHITE = (178, 205, 232), (255, 255, 255)
SAMPLES = 3  # by 3 in each pixel
ROWS, COLUMNS = slice(10, 52), slice(2, 50)  # pixels; no solid and no shadow reaches beyond


@DATASETS.register("shapes3d_procedural")
@dataclass(frozen=True)
class Shapes3DProcedural(OnGrid):
    """A solid in a room: a twin of 3D Shapes (Burgess & Kim 2018), with its factors, order, sizes and ranges.

    The view turns around the solid by the orientation; the light stays where it is, so shades and the shadow turn.
    A picture is linear in its three colours: each of the 480 scenes (scale, shape, orientation) is ray-cast once in
    a process, at the first use, to 8-bit weights of the colours (10 MB), and an image is the sum of what it weighs.
    The same factors give the same bytes in any batch and on any device. No figure of it is a figure of 3D Shapes.

    Example:
        >>> dataset = Shapes3DProcedural()
        >>> [factor.name for factor in dataset.factors]
        ['floor_hue', 'wall_hue', 'object_hue', 'scale', 'shape', 'orientation']
        >>> len(dataset.grid)
        480000
    """

    transitions: str = field(default="uni", metadata={"help": TRANSITIONS_HELP})

    @property
    def factors(self) -> tuple[Factor, ...]:
        return FACTORS

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, 64, 64)

    def images(self, levels: Int[Tensor, "n k"]) -> UInt8[Tensor, "n 3 64 64"]:
        scale, shape, orientation = levels[:, 3:].T
        scene = (scale * len(SOLIDS) + shape) * ORIENTATIONS + orientation
        weights = _weights(str(levels.device)).index_select(0, scene)
        fixed = torch.tensor([SKY, WHITE], dtype=torch.uint8, device=levels.device).expand(len(levels), 2, 3)
        palette = hues(HUES).to(levels.device)
        return mixed(weights, torch.cat([palette[levels[:, :3]], fixed], dim=1))


@dataclass(frozen=True)
class Room:
    """What the rays of each orientation see of the empty room: its distance, and its shades where they see it."""

    origin: Float[Tensor, "3 15 1 1"]
    direction: Float[Tensor, "3 15 rows columns"]
    distance: Float[Tensor, "15 rows columns"]
    floor: Float[Tensor, "15 rows columns"]
    wall: Float[Tensor, "15 rows columns"]
    sky: Float[Tensor, "15 rows columns"]

    def crop(self, rows: slice, columns: slice) -> Room:
        """A part of the image, given in pixels."""
        down, right = (slice(cut.start * SAMPLES, cut.stop * SAMPLES) for cut in (rows, columns))
        seen = (self.direction, self.distance, self.floor, self.wall, self.sky)
        return Room(self.origin, *(values[..., down, right].contiguous() for values in seen))

    def with_solid(self, parts: Sequence[Solid], height: float) -> UInt8[Tensor, "15 5 height width"]:
        """Weights of floor, wall, object, sky and white with a solid whose middle is at `height`."""
        lift = torch.tensor([0.0, height, 0.0])[:, None, None, None]
        light = unit(LIGHT)[:, None, None, None]
        at, shade = cast(parts, self.origin - lift, self.direction, light)
        solid = at < self.distance
        shade = torch.where(solid, shade.clamp(min=0), 0.0)
        point = self.origin + self.distance * self.direction
        shadow = cast(parts, point - lift, light, light)[0].isfinite()
        behind = torch.where(solid, 0.0, torch.where(shadow, SHADOW, 1.0))
        gloss = GLOSS * ((shade - 0.85) / 0.15).clamp(min=0).square()
        body = torch.where(solid, AMBIENT + (1 - AMBIENT) * shade, 0.0) * (1 - gloss)
        return _packed(self.floor * behind, self.wall * behind, body, self.sky * ~solid, gloss)


@cache
def _weights(device: str) -> UInt8[Tensor, "480 5 64 64"]:
    """Of floor, wall, object, sky and white in each pixel of each scene, 255 being the whole of it.

    Always computed on the processor: every device has the same bytes.
    """
    if device != "cpu":
        return _weights("cpu").to(device)
    room = _room()
    nothing = torch.zeros_like(room.sky)
    empty = _packed(room.floor, room.wall, nothing, room.sky, nothing)
    weights = empty.repeat(SCALES, len(SOLIDS), 1, 1, 1, 1)
    middle = room.crop(ROWS, COLUMNS)
    for i, scale in enumerate(torch.linspace(0.75, 1.25, SCALES).tolist()):
        for j, (height, solid) in enumerate(SOLIDS.values()):
            weights[i, j, ..., ROWS, COLUMNS] = middle.with_solid(solid(scale), height * scale)
    return weights.flatten(0, 2)


def _packed(*weights: Float[Tensor, "15 rows columns"]) -> UInt8[Tensor, "15 5 height width"]:
    return (pooled(torch.stack(weights, dim=1), SAMPLES) * 255).round().to(torch.uint8)


def _room() -> Room:
    origin, direction = _rays()
    light = unit(LIGHT)
    (x, y, z), (dx, dy, dz) = origin, direction
    to_floor = torch.where(dy < 0, -y / dy, math.inf)
    # Of each pair of walls only the far one is there.
    to_x, to_z = (WALL - x * dx.sign()) / dx.abs(), (WALL - z * dz.sign()) / dz.abs()
    to_wall = torch.minimum(to_x, to_z)
    distance = torch.minimum(to_floor, to_wall)
    height = y + distance * dy
    is_floor, is_sky = to_floor <= to_wall, height > WALL_HEIGHT
    facing = torch.where(to_x < to_z, -dx.sign() * light[0], -dz.sign() * light[2])
    wall = (0.58 + 0.42 * facing) * (0.9 + 0.1 * height / WALL_HEIGHT)
    # The floor darkens away from the middle, as under a lamp.
    floor = 0.95 - 0.012 * ((x + distance * dx) ** 2 + (z + distance * dz) ** 2)
    return Room(
        origin,
        direction,
        distance,
        floor=torch.where(is_floor, floor.clamp(min=0.2), 0.0),
        wall=torch.where(is_floor | is_sky, 0.0, wall),
        sky=is_sky.float(),
    )


def _rays() -> tuple[Float[Tensor, "3 15 1 1"], Float[Tensor, "3 15 rows columns"]]:
    """Of each orientation: where the camera is, and where its sample points look."""
    cameras = []
    for degrees in torch.linspace(-30, 30, ORIENTATIONS).tolist():
        turn = math.radians(degrees)
        position = (DISTANCE * math.sin(turn), HEIGHT, DISTANCE * math.cos(turn))
        cameras.append(Camera(position, (0.0, LOOKS_AT, 0.0), TANGENT))
    origin = torch.tensor([camera.position for camera in cameras]).T[:, :, None, None]
    return origin, torch.stack([camera.directions(SAMPLES) for camera in cameras], dim=1)
