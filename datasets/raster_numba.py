"""The renderer's `numba` backend: compiled, a picture after the other, without the interpreter's lock."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import floor, sqrt
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pooch
from jaxtyping import UInt8
from numba.extending import overload
from numpy import ndarray

from unmix.datasets import materials
from unmix.datasets import scene as s
from unmix.datasets.materials import INNER_IOR, OUTER_IOR, SPOT_BLEND, SPOT_COS, cone, fresnel, reflect, smith, srgb
from unmix.datasets.scene import BEYOND, BIAS, COARSE, EDGE, FAR, FINE, NEAR, SUB, TOO_CLOSE
from unmix.datasets.teapot import teapot

Array = Any  # what compiled functions take: float64, but u, v, triangles, ids and masks are integers
config: Any = numba.config


def _folder() -> Path:
    """Where compiled functions are kept. Numba watches a function's own file only, not the formulas and constants."""
    sources = (Path(module.__file__).read_bytes() for module in (materials, s) if module.__file__)
    return Path(pooch.os_cache("unmix")) / f"compiled-{hashlib.sha256(b''.join(sources)).hexdigest()[:12]}"


def _kept() -> bool:
    """Whether they can be; where not, each process compiles them again."""
    try:
        _folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(_folder(), os.W_OK)


def _compiled(function: Callable[..., Any], fastmath: bool = False) -> Any:
    # Type checkers of the tests wrap functions: what is compiled is what they wrap.
    return numba.njit(nogil=True, cache=_kept(), error_model="numpy", fastmath=fastmath)(inspect.unwrap(function))


def _shading(function: Callable[..., Any]) -> Any:
    return _compiled(function, fastmath=True)


def _callable(formula: Callable[..., Any]) -> None:
    """Let compiled functions call a formula."""
    overload(formula, jit_options={"fastmath": True}, strict=False)(lambda *_: inspect.unwrap(formula))


_before, config.CACHE_DIR = config.CACHE_DIR, str(_folder())
for _formula in (materials.smaller, materials.larger, fresnel, smith, reflect, cone, srgb):
    _callable(_formula)


@_compiled
def project(matrix: Array, vertices: Array, u: Array, v: Array, k: Array) -> None:
    """Vertices -> rounded canvas coordinates and k / w; k is FAR for a vertex behind the projection's centre."""
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
        q = matrix[3, 0] * x + matrix[3, 1] * y + matrix[3, 2] * z + matrix[3, 3]
        if w > NEAR:
            a = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3]) / w * SUB
            b = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3]) / w * SUB
            u[i] = np.int64(floor(min(max(a, -BEYOND), BEYOND) + 0.5))
            v[i] = np.int64(floor(min(max(b, -BEYOND), BEYOND) + 0.5))
            k[i] = q / w
        else:
            k[i] = FAR


@_compiled
def edges(u: Array, v: Array, a: Array, b: Array, c: Array, side: Array) -> tuple[Any, ...]:
    """A triangle's edge functions at the first sample of its bounding box, their steps, and the box."""
    ua, va, ub, vb, uc, vc = u[a], v[a], u[b], v[b], u[c], v[c]
    left = max((min(ua, ub, uc) + SUB // 2 - 1) // SUB, 0)
    right = min((max(ua, ub, uc) - SUB // 2) // SUB, side - 1)
    top = max((min(va, vb, vc) + SUB // 2 - 1) // SUB, 0)
    bottom = min((max(va, vb, vc) - SUB // 2) // SUB, side - 1)
    x, y = left * SUB + SUB // 2, top * SUB + SUB // 2
    ax, ay = uc - ub, vc - vb
    bx, by = ua - uc, va - vc
    cx, cy = ub - ua, vb - va
    wa = ax * (y - vb) - ay * (x - ub)
    wb = bx * (y - vc) - by * (x - uc)
    wc = cx * (y - va) - cy * (x - ua)
    return left, right, top, bottom, wa, wb, wc, ax, ay, bx, by, cx, cy


@_compiled
def threshold(x: Array, y: Array) -> int:
    """Least value of an edge's function inside: of two triangles that share the edge, one owns the samples on it."""
    return 0 if y < 0 or (y == 0 and x > 0) else 1


@_compiled
def depth(u: Array, v: Array, k: Array, triangles: Array, facing: Array, keys: Array, ids: Array) -> None:
    """The nearest triangle at each sample (ids; -1: none) and its interpolated k (keys: larger is nearer).

    A sample on a shared edge belongs to one side only. facing: 1 for all triangles, 0 for those seen from the back.
    """
    side = keys.shape[0]
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if min(k[a], k[b], k[c]) == FAR:
            continue
        area = (u[b] - u[a]) * (v[c] - v[a]) - (v[b] - v[a]) * (u[c] - u[a])
        if area == 0 or (area < 0 and facing == 0):
            continue
        if area < 0:
            b, c = c, b
            area = -area
        left, right, top, bottom, wa, wb, wc, ax, ay, bx, by, cx, cy = edges(u, v, a, b, c, side)
        ia, ib, ic = threshold(ax, ay), threshold(bx, by), threshold(cx, cy)
        for y in range(top, bottom + 1):
            ea, eb, ec = wa, wb, wc
            for x in range(left, right + 1):
                if ea >= ia and eb >= ib and ec >= ic:
                    key = (ea * k[a] + eb * k[b] + ec * k[c]) / area
                    if key > keys[y, x]:
                        keys[y, x] = key
                        ids[y, x] = t
                ea -= ay * SUB
                eb -= by * SUB
                ec -= cy * SUB
            wa += ax * SUB
            wb += bx * SUB
            wc += cx * SUB


@_compiled
def cover(u: Array, v: Array, k: Array, triangles: Array, bit: Array, masks: Array) -> None:
    """Set a bit at each sample that a triangle, seen from the back, covers."""
    side = masks.shape[0]
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        area = (u[b] - u[a]) * (v[c] - v[a]) - (v[b] - v[a]) * (u[c] - u[a])
        if area <= 0 or min(k[a], k[b], k[c]) <= 0:
            continue
        left, right, top, bottom, wa, wb, wc, ax, ay, bx, by, cx, cy = edges(u, v, a, b, c, side)
        ia, ib, ic = threshold(ax, ay), threshold(bx, by), threshold(cx, cy)
        for y in range(top, bottom + 1):
            ea, eb, ec = wa, wb, wc
            for x in range(left, right + 1):
                if ea >= ia and eb >= ib and ec >= ic:
                    masks[y, x] |= bit
                ea -= ay * SUB
                eb -= by * SUB
                ec -= cy * SUB
            wa += ax * SUB
            wb += bx * SUB
            wc += cx * SUB


@_shading
def seen(keys: Array, matrix: Array, x: Array, y: Array, z: Array) -> float:
    """Share of light that a shadow map lets through to a point: of the four texels around it."""
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
    if w < NEAR:
        return 1.0
    u = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3]) / w - 0.5
    v = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3]) / w - 0.5
    key = (matrix[3, 0] * x + matrix[3, 1] * y + matrix[3, 2] * z + matrix[3, 3]) / w
    side = keys.shape[0]
    if not (0 <= u < side - 1 and 0 <= v < side - 1):
        return 1.0
    i, j = np.int64(u), np.int64(v)
    a, b = u - i, v - j
    light = 0.0
    if keys[j, i] <= key:
        light += (1 - a) * (1 - b)
    if keys[j, i + 1] <= key:
        light += a * (1 - b)
    if keys[j + 1, i] <= key:
        light += (1 - a) * b
    if keys[j + 1, i + 1] <= key:
        light += a * b
    return light


@_shading
def shade_ground(
    ground: Array, masks: Array, spot: Array, axis: Array, points: Array, colours: Array, canvas: Array
) -> None:
    """Linear RGB of each coarse sample of the ground. `ground` is a row of `scene.Ground`'s columns each."""
    of_spot, of_lamp = np.uint64(2**s.SPOT_SHADOWS - 1), np.uint64(2**s.LAMP_SHADOWS - 1)
    for y in range(canvas.shape[0]):
        for x in range(canvas.shape[1]):
            g, mask = ground[y, x], masks[y, x]
            lamp = 1 - count((mask >> np.uint64(s.SPOT_SHADOWS)) & of_lamp) / s.LAMP_SHADOWS
            sun = 1 - count(mask >> np.uint64(s.SPOT_SHADOWS + s.LAMP_SHADOWS)) / s.SUN_SHADOWS
            a, b = g[8] * lamp + g[10] * sun, g[9] * lamp + g[11] * sun
            lx, ly, lz = spot[0] - g[0], spot[1] - g[1], spot[2] - s.GROUND
            d2 = lx * lx + ly * ly + lz * lz
            d = sqrt(d2)
            cos = -(lx * axis[0] + ly * axis[1] + lz * axis[2]) / d
            share = 0.0
            if cos > SPOT_COS + SPOT_BLEND + EDGE:
                share = 1 - count(mask & of_spot) / s.SPOT_SHADOWS
            elif cos > SPOT_COS - EDGE:
                for j in range(s.SPOT_SHADOWS):
                    if not (mask >> np.uint64(j)) & np.uint64(1):
                        px, py, pz = points[j, 0] - g[0], points[j, 1] - g[1], points[j, 2] - s.GROUND
                        along = -(px * axis[0] + py * axis[1] + pz * axis[2])
                        share += cone(along / sqrt(px * px + py * py + pz * pz)) / s.SPOT_SHADOWS
            p, q = 0.0, 0.0
            if share > 0:
                vl = (lx * g[2] + ly * g[3] + lz * g[4]) / d
                p, q = reflect(lz / d, g[4], vl, g[5], g[6], g[7])
                share *= s.SPOT_INTENSITY / d2
            for c in range(3):
                light = share * colours[1, c]
                canvas[y, x, c] = colours[2, c] * (a + p * light) + b + q * light


@_shading
def shade_pot(
    x: Array,
    y: Array,
    z: Array,
    nx: Array,
    ny: Array,
    nz: Array,
    maps: Array,
    keys: Array,
    spot: Array,
    axis: Array,
    points: Array,
    lamp: Array,
    colours: Array,
    out: Array,
) -> None:
    """Linear RGB of a point of the pot with a normal: the sum over the points of each light."""
    vx, vy, vz = s.CAMERA[0] - x, s.CAMERA[1] - y, s.CAMERA[2] - z
    d = sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx / d, vy / d, vz / d
    nv = max(nx * vx + ny * vy + nz * vz, 1e-3)
    inner, outer, masking = fresnel(nv, INNER_IOR), fresnel(nv, OUTER_IOR), smith(nv)
    ox, oy, oz = x + BIAS * nx, y + BIAS * ny, z + BIAS * nz
    a, b, p, q = 0.0, 0.0, 0.0, 0.0
    lx, ly, lz = spot[0] - x, spot[1] - y, spot[2] - z
    d = sqrt(lx * lx + ly * ly + lz * lz)
    nl = (nx * lx + ny * ly + nz * lz) / d
    if nl > 0 and -(lx * axis[0] + ly * axis[1] + lz * axis[2]) / d > SPOT_COS - s.WIDE:
        share = 0.0
        for j in range(s.SPOT_MAPS):
            i = j * (s.SPOT_SHADOWS // s.SPOT_MAPS)
            px, py, pz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
            along = -(px * axis[0] + py * axis[1] + pz * axis[2])
            fading = cone(along / sqrt(px * px + py * py + pz * pz))
            if fading > 0:
                share += fading * seen(keys[j], maps[j], ox, oy, oz)
        if share > 0:
            p, q = reflect(nl, nv, (vx * lx + vy * ly + vz * lz) / d, inner, outer, masking)
            share *= s.SPOT_INTENSITY / (d * d) / s.SPOT_MAPS
            p, q = p * share, q * share
    for j in range(s.LAMP_MAPS):
        lx, ly, lz = lamp[j, 0] - x, lamp[j, 1] - y, lamp[j, 2] - z
        d = sqrt(lx * lx + ly * ly + lz * lz)
        nl = (nx * lx + ny * ly + nz * lz) / d
        if nl > 0 and lz > 0:
            share = seen(keys[s.SPOT_MAPS + j], maps[s.SPOT_MAPS + j], ox, oy, oz)
            if share > 0:
                f, g = reflect(nl, nv, (vx * lx + vy * ly + vz * lz) / d, inner, outer, masking)
                share *= s.LAMP_RADIANCE * s.LAMP_SIDE**2 / s.LAMP_MAPS * lz / max(d * d * d, TOO_CLOSE)
                a, b = a + f * share, b + g * share
    if nz > 0:
        share = 0.0
        for j in range(s.SPOT_MAPS + s.LAMP_MAPS, s.MAPS):
            share += seen(keys[j], maps[j], ox, oy, oz) / s.SUN_MAPS
        if share > 0:
            f, g = reflect(nz, nv, vz, inner, outer, masking)
            a, b = a + f * share * s.SUN_IRRADIANCE, b + g * share * s.SUN_IRRADIANCE
    for c in range(3):
        out[c] = colours[0, c] * (a + p * colours[1, c]) + b + q * colours[1, c]


@_compiled
def count(bits: Array) -> int:
    """Bits that are set."""
    n = 0
    while bits:
        bits &= bits - np.uint64(1)
        n += 1
    return n


@_shading
def blur(canvas: Array, weights: Array, image: Array) -> None:
    """The pixel filter over the coarse canvas: image (size, size, 3) is overwritten."""
    size, taps = image.shape[0], len(weights)
    row = np.empty((size, 3))
    image[:] = 0
    for y in range(canvas.shape[0]):
        for x in range(size):
            for c in range(3):
                total = 0.0
                for i in range(taps):
                    total += weights[i] * canvas[y, x * COARSE + i, c]
                row[x, c] = total
        for p in range(max((y - taps) // COARSE + 1, 0), min(y // COARSE + 1, size)):
            weight = weights[y - p * COARSE]
            for x in range(size):
                for c in range(3):
                    image[p, x, c] += weight * row[x, c]


@_shading
def add_pot(
    u: Array,
    v: Array,
    k: Array,
    vertices: Array,
    normals: Array,
    triangles: Array,
    ids: Array,
    canvas: Array,
    weights: Array,
    image: Array,
    lights: Array,
) -> None:
    """Put the pot's samples in front of the ground's, through the pixel filter."""
    maps, keys, spot, axis, points, lamp, colours = lights
    size, taps = image.shape[0], len(weights)
    rgb = np.empty(3)
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            t = ids[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            px, py = x * SUB + SUB // 2, y * SUB + SUB // 2
            wa = ((u[c] - u[b]) * (py - v[b]) - (v[c] - v[b]) * (px - u[b])) * k[a]
            wb = ((u[a] - u[c]) * (py - v[c]) - (v[a] - v[c]) * (px - u[c])) * k[b]
            wc = ((u[b] - u[a]) * (py - v[a]) - (v[b] - v[a]) * (px - u[a])) * k[c]
            total = wa + wb + wc
            rgb[:] = 0
            if total < 0:  # seen from outside: no light gets inside
                wa, wb, wc = wa / total, wb / total, wc / total
                p = wa * vertices[a] + wb * vertices[b] + wc * vertices[c]
                n = wa * normals[a] + wb * normals[b] + wc * normals[c]
                n /= sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
                shade_pot(
                    p[0], p[1], p[2], n[0], n[1], n[2], maps, keys, spot, axis, points, lamp, colours, rgb
                )
            behind = canvas[y // (FINE // COARSE), x // (FINE // COARSE)]
            for i in range(max((y - taps) // FINE + 1, 0), min(y // FINE + 1, size)):
                for j in range(max((x - taps) // FINE + 1, 0), min(x // FINE + 1, size)):
                    weight = weights[y - i * FINE] * weights[x - j * FINE]
                    for c3 in range(3):
                        image[i, j, c3] += weight * (rgb[c3] - behind[c3])


@_compiled
def picture(scene: Array, meshes: Array, tables: Array, image: Array, out: Array) -> None:
    """One picture: `image` (size, size, 3) is room for linear RGB, `out` (3, size, size) takes the bytes."""
    rotation, position, spot, points, shadows, maps, colours = scene
    (places, directions, triangles), (caster, caster_triangles) = meshes
    camera, ground, lamp, fine, coarse, side = tables
    vertices, normals = places @ rotation.T + position, directions @ rotation.T
    casters = caster @ rotation.T + position
    axis = position - spot
    axis /= sqrt(axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2)
    u, v, k = np.empty(len(vertices), np.int64), np.empty(len(vertices), np.int64), np.empty(len(vertices))
    masks = np.zeros(ground.shape[:2], np.uint64)
    for j in range(len(shadows)):
        project(shadows[j], casters, u, v, k)
        cover(u, v, k, caster_triangles, np.uint64(1) << np.uint64(j), masks)
    keys, ids = np.full((len(maps), side, side), FAR), np.empty((side, side), np.int32)
    for j in range(len(maps)):
        project(maps[j], casters, u, v, k)
        depth(u, v, k, caster_triangles, 0, keys[j], ids)
    canvas = np.empty((*ground.shape[:2], 3))
    shade_ground(ground, masks, spot, axis, points, colours, canvas)
    blur(canvas, coarse, image)
    across = ground.shape[0] * (FINE // COARSE)
    nearest, ids = np.full((across, across), FAR), np.full((across, across), -1, np.int32)
    project(camera, vertices, u, v, k)
    depth(u, v, k, triangles, 1, nearest, ids)
    lights = (maps, keys, spot, axis, points, lamp, colours)
    add_pot(u, v, k, vertices, normals, triangles, ids, canvas, fine, image, lights)
    for c in range(3):
        for y in range(image.shape[0]):
            for x in range(image.shape[0]):
                out[c, y, x] = np.uint8(255 * srgb(min(max(image[y, x, c], 0.0), 1.0)) + 0.5)


config.CACHE_DIR = _before


def draw(scene: s.Scene, size: int, threads: int = 1) -> UInt8[ndarray, "n 3 size size"]:
    """The scene's pictures. Each is drawn by itself: bytes do not depend on the batch, nor on the threads."""
    fine, caster = teapot(), teapot(s.CASTER)
    meshes = (fine.vertices, fine.normals, fine.triangles), (caster.vertices, caster.triangles)
    tables = (
        s.camera_matrix(size, FINE),
        s.ground(size),
        s.lamp_points(s.LAMP_MAPS),
        s.pixel_filter(FINE),
        s.pixel_filter(COARSE),
        s.texels(size),
    )
    pictures = list(zip(*scene, strict=True))
    threads = max(min(threads, len(pictures)), 1)
    out = np.empty((len(pictures), 3, size, size), np.uint8)

    def work(first: int) -> None:
        image = np.empty((size, size, 3))
        for i in range(first, len(pictures), threads):
            picture(pictures[i], meshes, tables, image, out[i])

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(work, range(threads)))
    return out
