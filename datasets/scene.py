"""3DIdent's scene (Zimmermann et al. 2021, section 5.2): from latents to matrices and colours, for any renderer.

Read from the original's scripts and scene file. World units; z points upwards; the camera looks at the origin.
The original has no bounces and no ambient light: a picture is three lights, seen directly.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from unmix.datasets.materials import INNER_IOR, OUTER_IOR, fresnel, reflect, smith

Mode = Literal["box", "sphere"]
Colours = Literal["clean", "faithful"]

EXTENT = 4.4421  # S: the pot's largest extent, which the original uses as a length
GROUND = -EXTENT
CAMERA = np.array([8.0, 0.0, 8.0])
FIELD = 25 / 35  # tangent of half the field of view: half of a 50 mm sensor behind a 35 mm lens
SPOT_HEIGHT, SPOT_ORBIT, SPOT_RADIUS = 6 + EXTENT, 4.0, 0.5
SPOT_INTENSITY = 3000 / (4 * math.pi)  # W / sr
LAMP_HEIGHT, LAMP_SIDE, LAMP_RADIANCE = 7.0, 1.0, 12.5
SUN_IRRADIANCE, SUN_TANGENT = 0.5, math.tan(0.1993 / 2)
SATURATION = (1.0, 0.8, 0.6)  # of pot, spotlight and ground
POT_RADIUS = 3.6  # a sphere about its origin that holds the pot

SPOT_SHADOWS, LAMP_SHADOWS, SUN_SHADOWS = 16, 16, 32  # points of each light that throw a shadow on the ground
SPOT_MAPS, LAMP_MAPS, SUN_MAPS = 8, 4, 4  # points of each light that throw shadows on the pot itself
SHADOWS = SPOT_SHADOWS + LAMP_SHADOWS + SUN_SHADOWS
MAPS = SPOT_MAPS + LAMP_MAPS + SUN_MAPS
FINE, COARSE = 4, 2  # samples a pixel and axis: of the pot, of the ground
CASTER = 6  # tessellation of the pot that throws shadows
BIAS = 0.01  # how far above its surface a point of the pot looks for shadows
EDGE = 0.011  # more than the cosines by which the points of the spotlight's disc differ, seen from the ground
WIDE = 0.15  # the same, seen from the pot, which is nearer
TOO_CLOSE = 0.01  # cubed distance to the lamp below which it gets no brighter

# Of the renderers: vertices are rounded to 1 / SUB of a sample, so that what a triangle covers is exact arithmetic.
SUB, BEYOND = 64, 1e8
NEAR, FAR = 1e-2, -1e30  # w of the nearest vertex that is drawn, and the key of what is not


class Scene(NamedTuple):
    """n pictures' worth of numbers, all of them float64.

    A 4 x 4 matrix maps a world point to (u w, v w, w, k): u and v are samples from the top left corner of a canvas,
    k is what the renderer needs besides. A canvas has a margin of one pixel, which the pixel filter reaches.

    Args:
        rotation: (n, 3, 3), of the pot.
        position: (n, 3), of the pot.
        spot: (n, 3), centre of the spotlight.
        spot_points: (n, SPOT_SHADOWS, 3), points on its disc.
        shadows: (n, SHADOWS, 4, 4), to the camera's coarse canvas by way of the ground; k > 0 below the light.
        maps: (n, MAPS, 4, 4), to the shadow map of a point of a light; k / w grows towards the light.
        colours: (n, 3, 3), linear RGB of pot, spotlight and ground.
    """

    rotation: Float64[ndarray, "n 3 3"]
    position: Float64[ndarray, "n 3"]
    spot: Float64[ndarray, "n 3"]
    spot_points: Float64[ndarray, "n points 3"]
    shadows: Float64[ndarray, "n shadows 4 4"]
    maps: Float64[ndarray, "n maps 4 4"]
    colours: Float64[ndarray, "n 3 3"]


def texels(size: int) -> int:
    """Side of a shadow map, for images of `size` pixels."""
    return 3 * size // 2


def units(latents: Float64[ndarray, "n 10"], mode: Mode) -> Float64[ndarray, "n 10"]:
    """Latents in [-1, 1] -> x, y, z in world units and seven angles in radians.

    box: positions 3 z, angles z pi/2: half of each circle, so nothing wraps round (the published data).
    sphere: x and y as before, z in [0, 3], angles in [0, 2 pi]: all of each circle.
    """
    shift, scale = [0.0] * 10, [3.0] * 3 + [math.pi / 2] * 7
    if mode == "sphere":
        shift, scale = [0.0] * 2 + [1.0] * 8, [3.0, 3.0, 1.5] + [math.pi] * 7
    placed: Float64[ndarray, "n 10"] = (latents + np.array(shift)) * np.array(scale)
    return placed


def rgb(hue: Float64[ndarray, " n"], saturation: float, colours: Colours) -> Float64[ndarray, "n 3"]:
    """Hue angles -> linear RGB of value 1.

    clean: the angle wraps round. faithful: a negative angle goes unwrapped through the sextants of Python's
    colorsys, as in the original: red for angles in [-pi/3, 0], and odd below.
    """
    turn = hue / (2 * math.pi)
    turn = turn % 1 if colours == "clean" else np.where(turn < 0, turn, turn % 1)
    sextant = np.trunc(turn * 6)
    rest = turn * 6 - sextant
    one, low = np.ones_like(rest), np.full_like(rest, 1 - saturation)
    falling, rising = 1 - saturation * rest, 1 - saturation * (1 - rest)
    sextants = (
        (one, rising, low),
        (falling, one, low),
        (low, one, rising),
        (low, falling, one),
        (rising, low, one),
        (one, low, falling),
    )
    wheel = np.stack([np.stack(channels, axis=1) for channels in sextants])
    found: Float64[ndarray, "n 3"] = np.maximum(wheel[sextant.astype(int) % 6, np.arange(len(hue))], 0)
    return found


def scene(units: Float64[ndarray, "n 10"], size: int, colours: Colours = "clean") -> Scene:
    """The scene of n pictures of `size` x `size` pixels."""
    n = len(units)
    position = units[:, :3] + np.array([0, 0, EXTENT / 2])
    theta = units[:, 6]
    spot = np.stack([SPOT_ORBIT * np.sin(theta), SPOT_ORBIT * np.cos(theta), np.full(n, SPOT_HEIGHT)], axis=1)
    points = _disc_facing(position - spot, SPOT_SHADOWS) * SPOT_RADIUS + spot[:, None]
    lamp, sun = lamp_points(LAMP_SHADOWS), sun_directions(SUN_SHADOWS)
    camera = camera_matrix(size, COARSE)
    fixed = np.concatenate([_onto_ground(lamp, 1.0), _onto_ground(sun, 0.0)])
    through = np.concatenate(
        [_onto_ground(points, 1.0), np.broadcast_to(fixed, (n, *fixed.shape))], axis=1
    )
    shadows = camera @ through
    shadows[:, :, 3] = through[:, :, 3]
    maps = np.concatenate(
        [
            _from_point(points[:, :: SPOT_SHADOWS // SPOT_MAPS], position, texels(size)),
            _from_point(np.broadcast_to(lamp_points(LAMP_MAPS), (n, LAMP_MAPS, 3)), position, texels(size)),
            _from_afar(np.broadcast_to(sun_directions(SUN_MAPS), (n, SUN_MAPS, 3)), position, texels(size)),
        ],
        axis=1,
    )
    hues = np.stack([rgb(units[:, 7 + i], SATURATION[i], colours) for i in range(3)], axis=1)
    return Scene(_euler(units[:, 3:6]), position, spot, points, shadows, maps, hues)


@cache
def camera_matrix(size: int, samples: int) -> Float64[ndarray, "4 4"]:
    """World -> the camera's canvas with `samples` a pixel and axis; k = 1, so that k / w grows towards the camera."""
    forward = -CAMERA / np.linalg.norm(CAMERA)
    right = np.array([0.0, 1.0, 0.0])
    up = np.cross(right, forward)
    centre = (size / 2 + 1) * samples
    half = size / 2 * samples / FIELD
    rows = np.stack([centre * forward + half * right, centre * forward - half * up, forward, 0 * forward])
    matrix = np.concatenate([rows, -rows @ CAMERA[:, None]], axis=1)
    matrix[3, 3] = 1
    return matrix


@cache
def ground(size: int) -> Float64[ndarray, "side side 12"]:
    """What is the same in all pictures, at each coarse sample of the ground.

    The point's x and y; the direction to the camera; two Fresnel terms and the masking of the view; the light of
    lamp and sun without shadows, each as the part that the ground's colour multiplies and a white one.
    """
    inverse = np.linalg.inv(camera_matrix(size, COARSE)[[0, 1, 2]][:, :3])
    centres = np.arange((size + 2) * COARSE) + 0.5
    v, u = np.meshgrid(centres, centres, indexing="ij")
    ray = np.stack([u, v, np.ones_like(u)], axis=-1) @ inverse.T
    point = CAMERA + ray * ((GROUND - CAMERA[2]) / ray[..., 2:])
    view = -ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    nv = view[..., 2]
    terms = fresnel(nv, INNER_IOR), fresnel(nv, OUTER_IOR), smith(nv)
    lights = []
    for light, finite in ((lamp_points(LAMP_SHADOWS), 1), (sun_directions(SUN_SHADOWS), 0)):
        toward = light - finite * point[..., None, :]
        distance = np.linalg.norm(toward, axis=-1)
        nl = toward[..., 2] / distance
        strength = LAMP_RADIANCE * LAMP_SIDE**2 * nl / distance**2 if finite else SUN_IRRADIANCE
        vl = (toward * view[..., None, :]).sum(axis=-1) / distance
        parts = reflect(nl, nv[..., None], vl, *(term[..., None] for term in terms))
        lights += [(part * strength).mean(axis=-1) for part in parts]
    return np.stack([point[..., 0], point[..., 1], *np.moveaxis(view, -1, 0), *terms, *lights], axis=-1)


def pixel_filter(samples: int) -> Float64[ndarray, " taps"]:
    """Blackman-Harris weights of the samples along one axis, over three pixels; their sum is 1."""
    phase = 2 * math.pi * (np.arange(3 * FINE) + 0.5) / (3 * FINE)
    weights = 0.35875 - 0.48829 * np.cos(phase) + 0.14128 * np.cos(2 * phase) - 0.01168 * np.cos(3 * phase)
    summed: Float64[ndarray, " taps"] = weights.reshape(3 * samples, -1).sum(axis=1) / weights.sum()
    return summed


def lamp_points(n: int) -> Float64[ndarray, "n 3"]:
    """Points of the square lamp: a Hammersley set."""
    u = (np.arange(n) + 0.5) / n
    v = np.array([int(f"{i:0{n.bit_length() - 1}b}"[::-1], 2) for i in range(n)]) / n + 0.5 / n
    return np.stack([(u - 0.5) * LAMP_SIDE, (v - 0.5) * LAMP_SIDE, np.full(n, LAMP_HEIGHT)], axis=1)


def sun_directions(n: int) -> Float64[ndarray, "n 3"]:
    """Directions towards points of the sun's disc, of length 1 in z."""
    return np.concatenate([SUN_TANGENT * _disc(n), np.ones((n, 1))], axis=1)


def _disc(n: int) -> Float64[ndarray, "n 2"]:
    """Points of the unit disc on a sunflower's spiral."""
    radius = np.sqrt((np.arange(n) + 0.5) / n)
    angle = np.arange(n) * math.pi * (3 - math.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _frame(axis: Float64[ndarray, "*n 3"]) -> tuple[Float64[ndarray, "*n 3"], ...]:
    """(right, up, forward) of unit length about axes that never point along x: all lights are above the pot."""
    forward = axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    up = np.cross(forward, np.array([1.0, 0.0, 0.0]))
    up /= np.linalg.norm(up, axis=-1, keepdims=True)
    return np.cross(up, forward), up, forward


def _disc_facing(axis: Float64[ndarray, "n 3"], points: int) -> Float64[ndarray, "n points 3"]:
    right, up, _ = _frame(axis)
    disc = _disc(points)
    found: Float64[ndarray, "n points 3"] = disc[:, :1] * right[:, None] + disc[:, 1:] * up[:, None]
    return found


def _euler(angles: Float64[ndarray, "n 3"]) -> Float64[ndarray, "n 3 3"]:
    """Rotations about x, then y, then z."""
    (a, b, c), (sa, sb, sc) = np.cos(angles).T, np.sin(angles).T
    rows = [
        [b * c, sa * sb * c - a * sc, a * sb * c + sa * sc],
        [b * sc, sa * sb * sc + a * c, a * sb * sc - sa * c],
        [-sb, sa * b, a * b],
    ]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def _onto_ground(light: Float64[ndarray, "*n 3"], finite: float) -> Float64[ndarray, "*n 4 4"]:
    """Homogeneous projections onto the ground from points (finite = 1) or along directions (finite = 0)."""
    height = light[..., 2] - finite * GROUND
    matrix = np.zeros((*light.shape[:-1], 4, 4))
    for i in range(3):
        matrix[..., i, i] = height
        matrix[..., i, 2] -= light[..., i]
        matrix[..., i, 3] = light[..., i] * GROUND
    matrix[..., 3, 2] = -finite
    matrix[..., 3, 3] = light[..., 2]
    return matrix


def _from_point(
    light: Float64[ndarray, "n m 3"], position: Float64[ndarray, "n 3"], side: int
) -> Float64[ndarray, "n m 4 4"]:
    """Perspective views of the pot's sphere from points, at most 2 to each side of the axis at distance 1."""
    axis = position[:, None] - light
    distance = np.linalg.norm(axis, axis=-1)
    reach = POT_RADIUS / np.sqrt(np.maximum(distance**2 - POT_RADIUS**2, (POT_RADIUS / 2) ** 2))
    return _view(light, axis, side / 2 / reach, side, perspective=True)


def _from_afar(
    direction: Float64[ndarray, "n m 3"], position: Float64[ndarray, "n 3"], side: int
) -> Float64[ndarray, "n m 4 4"]:
    """Parallel views of the pot's sphere along directions."""
    origin = np.broadcast_to(position[:, None], direction.shape)
    scale = np.full(direction.shape[:-1], side / 2 / POT_RADIUS)
    return _view(origin, -direction, scale, side, perspective=False)


def _view(
    origin: Float64[ndarray, "n m 3"],
    axis: Float64[ndarray, "n m 3"],
    scale: Float64[ndarray, "n m"],
    side: int,
    perspective: bool,
) -> Float64[ndarray, "n m 4 4"]:
    right, up, forward = _frame(axis)
    rows = np.zeros((*scale.shape, 4, 4))
    across, depth = [scale[..., None] * right, scale[..., None] * up], forward
    for i, row in enumerate((*across, depth)):
        rows[..., i, :3] = row
        rows[..., i, 3] = -(row * origin).sum(axis=-1)
    if perspective:
        rows[..., :2, :] += side / 2 * rows[..., 2:3, :]
        rows[..., 3, 3] = 1
    else:
        rows[..., 3, :] = -rows[..., 2, :]
        rows[..., 2, :] = np.array([0, 0, 0, 1])
        rows[..., :2, 3] += side / 2
    return rows
