"""Rays against convex solids, whole batches at once: what the procedural scenes are drawn with.

Points and directions are arrays (3, ...) of x, y (up) and z, whose other axes broadcast.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Vectors = Float[Tensor, "3 ..."]
Vector = tuple[float, float, float]
TINY = 1e-12  # is lost in all but a zero, which it lets divide


@dataclass(frozen=True)
class Solid:
    """A convex solid: the points x with low ≤ <normal, x> ≤ high for every slab, and inside of a quadric.

    Args:
        slabs: (normal of length 1, low, high) each; an infinite end makes it a half-space.
        quadric: (a, b, c): x² + z² ≤ a + b y + c y², a surface of revolution around y. None for polyhedra.
    """

    slabs: tuple[tuple[Vector, float, float], ...] = ()
    quadric: Vector | None = None

    def hit(self, origin: Vectors, direction: Vectors, light: Vectors) -> tuple[Tensor, Tensor]:
        """Where rays enter, in units of their direction (infinite where they miss), and <normal, light> there."""
        if self.quadric is None:
            entered, left, shade = (direction.new_tensor(start) for start in (-math.inf, math.inf, 0.0))
        else:
            entered, left = _quadric_ends(self.quadric, origin, direction)
            shade = _quadric_shade(self.quadric, origin + entered * direction, light)
        for normal, low, high in self.slabs:
            pace = 1 / (_dot(normal, direction) + TINY)
            at, facing = _dot(normal, origin), _dot(normal, light)
            first, last = (low - at) * pace, (high - at) * pace
            begin = torch.minimum(first, last)
            shade = torch.where(begin > entered, torch.where(pace < 0, facing, -facing), shade)
            entered, left = torch.maximum(entered, begin), torch.minimum(left, torch.maximum(first, last))
        return torch.where((entered < left) & (entered > 0), entered, math.inf), shade


def cast(
    parts: Sequence[Solid], origin: Vectors, direction: Vectors, light: Vectors
) -> tuple[Float[Tensor, "*rays"], Float[Tensor, "*rays"]]:
    """The nearest entry into any of the parts (infinite where all are missed), and <normal, light> there."""
    nearest, shade = parts[0].hit(origin, direction, light)
    for part in parts[1:]:
        distance, other = part.hit(origin, direction, light)
        shade = torch.where(distance < nearest, other, shade)
        nearest = torch.minimum(distance, nearest)
    return nearest, shade


def slab(normal: Vector, half: float) -> tuple[Vector, float, float]:
    """The slab of points at most `half` from the origin along `normal`."""
    return normal, -half, half


def box(x: float, y: float, z: float) -> Solid:
    """Half sides x, y, z."""
    return Solid((slab((1.0, 0.0, 0.0), x), slab((0.0, 1.0, 0.0), y), slab((0.0, 0.0, 1.0), z)))


def prism(sides: int, radius: float, half: float) -> Solid:
    """A regular prism of an even number of sides; `radius` is of the circle within."""
    turns = [2 * math.pi * side / sides for side in range(sides // 2)]
    return Solid((*(slab((math.cos(t), 0.0, math.sin(t)), radius) for t in turns), slab((0.0, 1.0, 0.0), half)))


def pyramid(radius: float, half: float) -> Solid:
    """A square pyramid from y = -half to its tip at y = half; `radius` is half the side of its base."""
    slope = math.hypot(2 * half, radius)
    out, up = 2 * half / slope, radius / slope
    normals: list[Vector] = [(out, up, 0.0), (-out, up, 0.0), (0.0, up, out), (0.0, up, -out)]
    return Solid((*((normal, -math.inf, up * half) for normal in normals), ((0.0, 1.0, 0.0), -half, math.inf)))


def cylinder(radius: float, half: float) -> Solid:
    """Around y, from -half to half."""
    return Solid((slab((0.0, 1.0, 0.0), half),), (radius**2, 0.0, 0.0))


def cone(radius: float, half: float) -> Solid:
    """Around y, from its base at -half to its tip at half."""
    slope = (radius / (2 * half)) ** 2
    return Solid((slab((0.0, 1.0, 0.0), half),), (slope * half**2, -2 * slope * half, slope))


def sphere(radius: float, y: float = 0.0) -> Solid:
    """Around (0, y, 0)."""
    return Solid((), (radius**2 - y**2, 2 * y, -1.0))


def capsule(radius: float, half: float) -> tuple[Solid, ...]:
    """A cylinder around y with half a sphere at each end, from -half to half in all."""
    straight = half - radius
    return cylinder(radius, straight), sphere(radius, straight), sphere(radius, -straight)


@dataclass(frozen=True)
class Camera:
    """A pinhole at `position` that looks at `target`, y upright.

    Args:
        position, target: Points of the scene.
        tangent: Of half the field of view.
        size: Of the square image, in pixels.
    """

    position: Vector
    target: Vector
    tangent: float
    size: int = 64

    def axes(self) -> Float[Tensor, "3 3"]:
        """Right, down and forward, as rows."""
        x, y, z = (end - start for end, start in zip(self.target, self.position, strict=True))
        forward, right = unit((x, y, z)), unit((-z, 0.0, x))
        return torch.stack([right, torch.linalg.cross(forward, right), forward])

    def screen(self, samples: int) -> Float[Tensor, " points"]:
        """Of each row or column of sample points, its place on the plane at distance 1."""
        points = self.size * samples
        edge = self.tangent * (1 - 1 / points)
        return torch.linspace(-edge, edge, points)

    def directions(self, samples: int = 1) -> Float[Tensor, "3 rows columns"]:
        """Of the rays through samples x samples points of each pixel, 1 long along the view."""
        right, down, forward = self.axes()[:, :, None, None]
        place = self.screen(samples)
        rays: Tensor = forward + right * place + down * place[:, None]
        return rays


def pooled(values: Float[Tensor, "... rows columns"], samples: int) -> Float[Tensor, "... height width"]:
    """Means over the sample points of each pixel."""
    lines = sum((values[..., row::samples, :] for row in range(samples)), torch.tensor(0.0))
    total: Tensor = sum((lines[..., column::samples] for column in range(samples)), torch.tensor(0.0))
    return total / samples**2


def hues(levels: int) -> UInt8[Tensor, "{levels} 3"]:
    """Fully saturated colours, evenly spaced on the circle of hues, as red, green and blue."""
    colours = [colorsys.hsv_to_rgb(level / levels, 1, 1) for level in range(levels)]
    return (torch.tensor(colours) * 255).round().to(torch.uint8)


def mixed(
    weights: UInt8[Tensor, "n materials height width"], colours: UInt8[Tensor, "n materials 3"]
) -> UInt8[Tensor, "n 3 height width"]:
    """The sum over materials of weight / 255 times colour.

    Each product is below 2^16 and their sum below 2^24: in float32 it is exact in whatever order it is taken, so
    neither the batch nor the device changes a byte.
    """
    total = colours.float().mT @ weights.flatten(2).float()
    return total.div_(255).round_().clamp_(max=255).to(torch.uint8).view(-1, 3, *weights.shape[2:])


def unit(vector: Vector) -> Vectors:
    """The direction of a vector, of length 1."""
    return torch.tensor(vector) / math.hypot(*vector)


def _dot(normal: Vector, vectors: Vectors) -> Tensor:
    return sum((n * v for n, v in zip(normal, vectors, strict=True) if n != 0), torch.tensor(0.0))


def _quadric_ends(quadric: Vector, origin: Vectors, direction: Vectors) -> tuple[Tensor, Tensor]:
    """Of each ray, the interval inside of x² + z² ≤ a + b y + c y²; empty (infinite, minus infinite) where it misses.

    Where the ray is steeper than a cone, it is inside before the one root and after the other: below the tip it is
    the side that the ray's direction tells.
    """
    a, b, c = quadric
    (x, y, z), (dx, dy, dz) = origin, direction
    square = dx * dx + dz * dz - c * dy * dy + TINY
    half = x * dx + z * dz - (c * y + b / 2) * dy
    rest = x * x + z * z - (a + b * y + c * y * y)
    within = half * half - square * rest
    root = within.clamp(min=0).sqrt()
    pace = 1 / square
    low, high = (-half - root) * pace, (root - half) * pace
    misses = within <= 0
    if c > 0:
        steep = square < 0
        low, high = (
            torch.where(steep, torch.where(dy > 0, -math.inf, low), low),
            torch.where(steep, torch.where(dy > 0, high, math.inf), high),
        )
    return torch.where(misses, math.inf, low), torch.where(misses, -math.inf, high)


def _quadric_shade(quadric: Vector, point: Vectors, light: Vectors) -> Tensor:
    _, b, c = quadric
    x, y, z = point
    up = -(c * y + b / 2)
    length = (x * x + up * up + z * z).clamp(min=1e-18).sqrt()
    return torch.div(x * light[0] + up * light[1] + z * light[2], length)
