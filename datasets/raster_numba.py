"""The renderer's `numba` backend: one picture a call, compiled, without the interpreter's lock."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numba.extending import register_jitable

from unmix.datasets import scene as s
from unmix.datasets.materials import (
    INNER_IOR,
    OUTER_IOR,
    SPOT_BLEND,
    SPOT_COS,
    cone,
    fresnel,
    larger,
    reflect,
    smaller,
    smith,
)

SUB = 64  # a sample's side in the integers that vertices are rounded to: coverage is exact
FAR = -1e30
_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")
_shading: Any = njit(nogil=True, cache=True, error_model="numpy", fastmath=True)
for _formula in (smaller, larger, fresnel, smith, reflect, cone):
    register_jitable(fastmath=True)(_formula)


@_compiled
def project(matrix, vertices, u, v, k):
    """Vertices -> rounded canvas coordinates and k / w; k is FAR for a vertex behind the projection's centre."""
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
        q = matrix[3, 0] * x + matrix[3, 1] * y + matrix[3, 2] * z + matrix[3, 3]
        if w > 1e-2:
            a = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3]) / w * SUB
            b = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3]) / w * SUB
            u[i] = np.int64(math.floor(min(max(a, -1e8), 1e8) + 0.5))
            v[i] = np.int64(math.floor(min(max(b, -1e8), 1e8) + 0.5))
            k[i] = q / w
        else:
            k[i] = FAR


@_compiled
def edges(u, v, a, b, c, side):
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
def depth(u, v, k, triangles, facing, keys, ids):
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
        ia = 0 if ay < 0 or (ay == 0 and ax > 0) else 1
        ib = 0 if by < 0 or (by == 0 and bx > 0) else 1
        ic = 0 if cy < 0 or (cy == 0 and cx > 0) else 1
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
def cover(u, v, k, triangles, bit, masks):
    """Set a bit at each sample that a triangle, seen from the back, covers."""
    side = masks.shape[0]
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        area = (u[b] - u[a]) * (v[c] - v[a]) - (v[b] - v[a]) * (u[c] - u[a])
        if area <= 0 or min(k[a], k[b], k[c]) <= 0:
            continue
        left, right, top, bottom, wa, wb, wc, ax, ay, bx, by, cx, cy = edges(u, v, a, b, c, side)
        for y in range(top, bottom + 1):
            ea, eb, ec = wa, wb, wc
            for x in range(left, right + 1):
                if ea >= 0 and eb >= 0 and ec >= 0:
                    masks[y, x] |= bit
                ea -= ay * SUB
                eb -= by * SUB
                ec -= cy * SUB
            wa += ax * SUB
            wb += bx * SUB
            wc += cx * SUB


@_shading
def seen(keys, matrix, x, y, z):
    """Share of light that a shadow map lets through to a point: of the four texels around it."""
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3]
    if w < 1e-2:
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
def shade_ground(ground, masks, spot, axis, points, colours, canvas):
    """Linear RGB of each coarse sample of the ground. `ground` is a row of `scene.Ground`'s columns each."""
    bits = np.uint64(0xFFFF)
    for y in range(canvas.shape[0]):
        for x in range(canvas.shape[1]):
            g, mask = ground[y, x], masks[y, x]
            lamp = 1 - count((mask >> np.uint64(16)) & bits) / 16
            sun = 1 - count((mask >> np.uint64(32)) & bits) / 16
            a, b = g[8] * lamp + g[10] * sun, g[9] * lamp + g[11] * sun
            lx, ly, lz = spot[0] - g[0], spot[1] - g[1], spot[2] - s.GROUND
            d2 = lx * lx + ly * ly + lz * lz
            d = math.sqrt(d2)
            cos = -(lx * axis[0] + ly * axis[1] + lz * axis[2]) / d
            share = 0.0
            if cos > SPOT_COS + SPOT_BLEND + 0.02:
                share = 1 - count(mask & bits) / 16
            elif cos > SPOT_COS - 0.02:
                for j in range(s.SPOT_SHADOWS):
                    if not (mask >> np.uint64(j)) & np.uint64(1):
                        px, py, pz = points[j, 0] - g[0], points[j, 1] - g[1], points[j, 2] - s.GROUND
                        along = -(px * axis[0] + py * axis[1] + pz * axis[2])
                        share += cone(along / math.sqrt(px * px + py * py + pz * pz)) / s.SPOT_SHADOWS
            p, q = 0.0, 0.0
            if share > 0:
                vl = (lx * g[2] + ly * g[3] + lz * g[4]) / d
                p, q = reflect(lz / d, g[4], vl, g[5], g[6], g[7])
                share *= s.SPOT_INTENSITY / d2
            for c in range(3):
                light = share * colours[1, c]
                canvas[y, x, c] = colours[2, c] * (a + p * light) + b + q * light


@_shading
def shade_pot(x, y, z, nx, ny, nz, maps, keys, spot, axis, points, lamp, colours, bias, out):
    """Linear RGB of a point of the pot with a normal: the sum over the points of each light."""
    vx, vy, vz = s.CAMERA[0] - x, s.CAMERA[1] - y, s.CAMERA[2] - z
    d = math.sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx / d, vy / d, vz / d
    nv = max(nx * vx + ny * vy + nz * vz, 1e-3)
    inner, outer, masking = fresnel(nv, INNER_IOR), fresnel(nv, OUTER_IOR), smith(nv)
    ox, oy, oz = x + bias * nx, y + bias * ny, z + bias * nz
    a, b, p, q = 0.0, 0.0, 0.0, 0.0
    lx, ly, lz = spot[0] - x, spot[1] - y, spot[2] - z
    d = math.sqrt(lx * lx + ly * ly + lz * lz)
    nl = (nx * lx + ny * ly + nz * lz) / d
    if nl > 0 and -(lx * axis[0] + ly * axis[1] + lz * axis[2]) / d > SPOT_COS - 0.05:
        share = 0.0
        for j in range(s.SPOT_MAPS):
            i = j * (s.SPOT_SHADOWS // s.SPOT_MAPS)
            px, py, pz = points[i, 0] - x, points[i, 1] - y, points[i, 2] - z
            along = -(px * axis[0] + py * axis[1] + pz * axis[2])
            fading = cone(along / math.sqrt(px * px + py * py + pz * pz))
            if fading > 0:
                share += fading * seen(keys[j], maps[j], ox, oy, oz)
        if share > 0:
            p, q = reflect(nl, nv, (vx * lx + vy * ly + vz * lz) / d, inner, outer, masking)
            share *= s.SPOT_INTENSITY / (d * d) / s.SPOT_MAPS
            p, q = p * share, q * share
    for j in range(s.LAMP_MAPS):
        lx, ly, lz = lamp[j, 0] - x, lamp[j, 1] - y, lamp[j, 2] - z
        d = math.sqrt(lx * lx + ly * ly + lz * lz)
        nl = (nx * lx + ny * ly + nz * lz) / d
        if nl > 0 and lz > 0:
            share = seen(keys[s.SPOT_MAPS + j], maps[s.SPOT_MAPS + j], ox, oy, oz)
            if share > 0:
                f, g = reflect(nl, nv, (vx * lx + vy * ly + vz * lz) / d, inner, outer, masking)
                share *= s.LAMP_RADIANCE * s.LAMP_SIDE**2 / s.LAMP_MAPS * lz / max(d * d * d, 0.01)
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
def count(bits):
    """Bits that are set."""
    n = 0
    while bits:
        bits &= bits - np.uint64(1)
        n += 1
    return n


@_shading
def blur(canvas, weights, image):
    """The pixel filter over the coarse canvas: image (size, size, 3) is overwritten."""
    size, taps = image.shape[0], len(weights)
    row = np.empty((size, 3))
    image[:] = 0
    for y in range(canvas.shape[0]):
        for x in range(size):
            for c in range(3):
                total = 0.0
                for i in range(taps):
                    total += weights[i] * canvas[y, x * s.COARSE + i, c]
                row[x, c] = total
        for p in range(max((y - taps) // s.COARSE + 1, 0), min(y // s.COARSE + 1, size)):
            weight = weights[y - p * s.COARSE]
            for x in range(size):
                for c in range(3):
                    image[p, x, c] += weight * row[x, c]


@_shading
def add_pot(u, v, k, vertices, normals, triangles, ids, canvas, weights, image, lights, bias):
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
                n /= math.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
                shade_pot(
                    p[0], p[1], p[2], n[0], n[1], n[2], maps, keys, spot, axis, points, lamp, colours, bias, rgb
                )
            behind = canvas[y // (s.FINE // s.COARSE), x // (s.FINE // s.COARSE)]
            for i in range(max((y - taps) // s.FINE + 1, 0), min(y // s.FINE + 1, size)):
                for j in range(max((x - taps) // s.FINE + 1, 0), min(x // s.FINE + 1, size)):
                    weight = weights[y - i * s.FINE] * weights[x - j * s.FINE]
                    for c3 in range(3):
                        image[i, j, c3] += weight * (rgb[c3] - behind[c3])


@_compiled
def draw(rotation, position, spot, points, shadows, maps, colours, fine, coarse, camera, ground, lamp, filters, bias, out):
    """One picture: linear RGB (size, size, 3)."""
    vertices = fine[0] @ rotation.T + position
    normals = fine[1] @ rotation.T
    casters = coarse[0] @ rotation.T + position
    axis = position - spot
    axis /= math.sqrt(axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2)
    u, v, k = np.empty(len(vertices), np.int64), np.empty(len(vertices), np.int64), np.empty(len(vertices))
    masks = np.zeros(ground.shape[:2], np.uint64)
    for j in range(len(shadows)):
        project(shadows[j], casters, u, v, k)
        cover(u, v, k, coarse[2], np.uint64(1) << np.uint64(j), masks)
    side = filters[2]
    keys = np.full((len(maps), side, side), FAR)
    ids = np.empty((side, side), np.int32)
    for j in range(len(maps)):
        project(maps[j], casters, u, v, k)
        depth(u, v, k, coarse[2], 0, keys[j], ids)
    canvas = np.empty((*ground.shape[:2], 3))
    shade_ground(ground, masks, spot, axis, points, colours, canvas)
    blur(canvas, filters[1], out)
    fineside = ground.shape[0] * (s.FINE // s.COARSE)
    nearest = np.full((fineside, fineside), FAR)
    ids = np.full((fineside, fineside), -1, np.int32)
    project(camera, vertices, u, v, k)
    depth(u, v, k, fine[2], 1, nearest, ids)
    lights = (maps, keys, spot, axis, points, lamp, colours)
    add_pot(u, v, k, vertices, normals, fine[2], ids, canvas, filters[0], out, lights, bias)


def test_render(sc, size, n, bias=0.05, coarse=5, threads=1):
    from unmix.datasets.teapot import teapot
    f, c = teapot(10), teapot(coarse)
    fm, cm = (f.vertices, f.normals, f.triangles), (c.vertices, c.triangles.astype(np.int64), c.triangles)
    gr = s.ground(size)
    out = np.empty((n, size, size, 3))
    def one(i):
        draw(sc.rotation[i], sc.position[i], sc.spot[i], sc.spot_points[i], sc.shadows[i], sc.maps[i], sc.colours[i],
          fm, cm, s.camera_matrix(size, s.FINE), gr, s.lamp_points(s.LAMP_MAPS), (s.pixel_filter(s.FINE), s.pixel_filter(s.COARSE), s.texels(size)), bias, out[i])
    with ThreadPoolExecutor(threads) as ex: list(ex.map(one, range(n)))
    return out
