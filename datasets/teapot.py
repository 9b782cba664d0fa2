"""Newell's teapot (1975): 32 bicubic Bezier patches, and the triangle mesh of them that 3DIdent shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

CIRCLE = 0.56  # Newell's factor of the control points of a quarter circle
# Profiles (radius, z) of a quarter revolution each.
PROFILES = {
    "rim": ((1.4, 2.4), (1.3375, 2.53125), (1.4375, 2.53125), (1.5, 2.4)),
    "upper body": ((1.5, 2.4), (1.75, 1.875), (2.0, 1.35), (2.0, 0.9)),
    "lower body": ((2.0, 0.9), (2.0, 0.45), (1.5, 0.225), (1.5, 0.15)),
    "knob": ((0.0, 3.15), (0.8, 3.15), (0.0, 2.85), (0.2, 2.7)),
    "lid": ((0.2, 2.7), (0.4, 2.55), (1.3, 2.55), (1.3, 2.4)),
    "bottom": ((1.5, 0.15), (1.5, 0.075), (1.425, 0.0), (0.0, 0.0)),
}
# Cross sections (x inside, z inside, x outside, z outside, half width) of a mirrored half each.
TUBES = {
    "upper handle": (
        (-1.6, 2.025, -1.5, 2.25, 0.3),
        (-2.3, 2.025, -2.5, 2.25, 0.3),
        (-2.7, 2.025, -3.0, 2.25, 0.3),
        (-2.7, 1.8, -3.0, 1.8, 0.3),
    ),
    "lower handle": (
        (-2.7, 1.8, -3.0, 1.8, 0.3),
        (-2.7, 1.575, -3.0, 1.35, 0.3),
        (-2.5, 1.125, -2.65, 0.9375, 0.3),
        (-2.0, 0.9, -1.9, 0.6, 0.3),
    ),
    "spout": (
        (1.7, 1.425, 1.7, 0.6, 0.66),
        (2.6, 1.425, 3.1, 0.825, 0.66),
        (2.3, 2.1, 2.4, 2.025, 0.25),
        (2.7, 2.4, 3.3, 2.4, 0.25),
    ),
    "spout's lip": (
        (2.7, 2.4, 3.3, 2.4, 0.25),
        (2.8, 2.475, 3.525, 2.49375, 0.25),
        (2.9, 2.475, 3.45, 2.5125, 0.15),
        (2.8, 2.4, 3.2, 2.4, 0.15),
    ),
}
SCALE, SHIFT, TURN, ENLARGE = 0.6347, -0.9067, -math.pi / 4, 1.5  # Newell's units -> 3DIdent's scene


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles that share vertices, with a smooth normal at each.

    Args:
        vertices: (v, 3).
        normals: (v, 3), of unit length, outwards.
        triangles: (t, 3) numbers of vertices, anticlockwise seen from outside.
    """

    vertices: Float64[ndarray, "v 3"]
    normals: Float64[ndarray, "v 3"]
    triangles: Int64[ndarray, "t 3"]

    @cached_property
    def twins(self) -> Int64[ndarray, "t 3"]:
        """The triangle beyond the edge opposite to each corner; -1 at a border of the surface."""
        starts, ends = (np.roll(self.triangles, -turn, axis=1) for turn in (1, 2))
        names, twin_names = starts * len(self.vertices) + ends, ends * len(self.vertices) + starts
        order = np.argsort(names, axis=None)
        place = np.searchsorted(names.ravel(), twin_names.ravel(), sorter=order) % names.size
        found = names.ravel()[order[place]] == twin_names.ravel()
        return np.where(found, order[place] // 3, -1).reshape(-1, 3)


@cache
def patches() -> Float64[ndarray, "32 4 4 3"]:
    """Control points of the patches, in Newell's units: z upwards, handle at -x, spout at +x.

    Axis 1 runs along the profile or tube, axis 2 round it; (axis 1) x (axis 2) points outwards. All profiles run from
    the top to the bottom, so that the bottom is oriented like the rest, which it is not in Newell's table.
    """
    quarter = np.array([[1, 0], [1, CIRCLE], [CIRCLE, 1], [0, 1]])
    found = []
    for profile in PROFILES.values():
        radius, z = np.array(profile).T
        for turn in range(4):
            cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[turn]
            circle = quarter @ np.array([[cos, sin], [-sin, cos]])
            ring = radius[:, None, None] * circle[None]
            found.append(np.concatenate([ring, np.broadcast_to(z[:, None, None], (4, 4, 1))], axis=2))
    for tube in TUBES.values():
        x_in, z_in, x_out, z_out, width = np.array(tube).T
        x = np.stack([x_in, x_in, x_out, x_out], axis=1)
        z = np.stack([z_in, z_in, z_out, z_out], axis=1)
        y = width[:, None] * np.array([0, 1, 1, 0])
        # The mirror image is run through backwards, so that its normal points outwards too.
        found += [np.stack([x, y, z], axis=2), np.stack([x, -y, z], axis=2)[:, ::-1]]
    return np.stack(found)


def tessellate(n: int) -> Mesh:
    """The teapot as triangles, n x n squares a patch, in Newell's units.

    Vertices on the borders of patches are shared; triangles that a pole makes empty are left out, so that
    64 n^2 - 8 n remain. Normals are the mean of the adjoining triangles', weighted by their angle.

    Raises:
        ValueError: When n < 1.
    """
    if n < 1:
        raise ValueError(f"a patch is cut into n x n squares with n >= 1, got n={n}")
    t = np.linspace(0, 1, n + 1)
    bernstein = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    points = np.einsum("ui,vj,pijk->puvk", bernstein, bernstein, patches()).reshape(-1, 3)
    number = np.arange(32 * (n + 1) ** 2).reshape(32, n + 1, n + 1)
    a, b, c, d = number[:, :-1, :-1], number[:, 1:, :-1], number[:, 1:, 1:], number[:, :-1, 1:]
    corners = np.stack([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)]).reshape(-1, 3)
    _, first, shared = np.unique(np.round(points, 9) + 0.0, axis=0, return_index=True, return_inverse=True)
    vertices, triangles = points[first], shared.reshape(-1)[corners]
    empty = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)
    return Mesh(vertices, _normals(vertices, triangles[~empty]), triangles[~empty])


@cache
def teapot(n: int = 10) -> Mesh:
    """The teapot as 3DIdent's scene has it: about its origin, 4.442 x 4.442 x 2.999.

    The original's mesh is n = 10, 6,320 triangles.
    """
    mesh = tessellate(n)
    cos, sin = math.cos(TURN), math.sin(TURN)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    vertices = ENLARGE * (mesh.vertices * SCALE + np.array([0, 0, SHIFT])) @ turn.T
    return Mesh(vertices, mesh.normals @ turn.T, mesh.triangles)


def _normals(vertices: Float64[ndarray, "v 3"], triangles: Int64[ndarray, "t 3"]) -> Float64[ndarray, "v 3"]:
    corners = vertices[triangles]
    edges = np.roll(corners, -1, axis=1) - corners
    face = np.cross(edges[:, 0], edges[:, 1])
    face /= np.linalg.norm(face, axis=1, keepdims=True)
    edges /= np.linalg.norm(edges, axis=2, keepdims=True)
    angles = np.arccos(np.clip(-(edges * np.roll(edges, 1, axis=1)).sum(axis=2), -1, 1))
    normals = np.zeros_like(vertices)
    np.add.at(normals, triangles, angles[:, :, None] * face[:, None])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    unit: Float64[ndarray, "v 3"] = normals / length
    return unit
