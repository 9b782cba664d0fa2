"""The renderer's `torch` backend: batches of pictures on any device, the same as `numba`'s within one grey level."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from unmix.datasets import scene as s
from unmix.datasets.materials import INNER_IOR, OUTER_IOR, SPOT_BLEND, SPOT_COS, cone, fresnel, reflect, smith, srgb
from unmix.datasets.teapot import Mesh, teapot


class Projected(NamedTuple):
    """Vertices on the canvas of several views: in whole parts of a sample, and k / w (FAR where there is none)."""

    u: Float64[Tensor, "views v"]
    v: Float64[Tensor, "views v"]
    k: Float64[Tensor, "views v"]


class Fragments(NamedTuple):
    """Samples that triangles cover, one triangle each."""

    sample: Int64[Tensor, " f"]
    triangle: Int64[Tensor, " f"]
    key: Float64[Tensor, " f"]


class Frame(NamedTuple):
    """The scene on the device, with what only this backend needs: `s.Scene`'s fields, and the spotlight's axis."""

    rotation: Float64[Tensor, "n 3 3"]
    position: Float64[Tensor, "n 3"]
    spot: Float64[Tensor, "n 3"]
    spot_points: Float64[Tensor, "n points 3"]
    shadows: Float64[Tensor, "n shadows 4 4"]
    maps: Float64[Tensor, "n maps 4 4"]
    colours: Float64[Tensor, "n 3 3"]
    axis: Float64[Tensor, "n 3"]


class Points(NamedTuple):
    """Points of the pot that the camera sees, of several pictures."""

    picture: Int64[Tensor, " f"]
    place: Float64[Tensor, "f 3"]
    normal: Float64[Tensor, "f 3"]


def draw(scene: s.Scene, size: int, device: torch.device) -> UInt8[Tensor, "n 3 size size"]:
    """The scene's pictures, on the device."""
    given = [_on(getattr(scene, name), device) for name in Frame._fields[:-1]]
    frame = Frame(*given, axis=_unit(given[1] - given[2]))
    n, side = len(frame.spot), (size + 2) * s.COARSE
    casters, _ = _place(teapot(s.CASTER), frame)
    triangles = torch.from_numpy(teapot(s.CASTER).triangles).to(device)
    shaded = torch.zeros(n * s.SHADOWS * side * side, dtype=torch.bool, device=device)
    shadows = project(frame.shadows, casters)
    shaded[cover(shadows, triangles, shadows.k > 0, side).sample] = True
    keys = torch.full((n * s.MAPS * s.texels(size) ** 2,), s.FAR, dtype=torch.float64, device=device)
    maps = project(frame.maps, casters)
    fragments = cover(maps, triangles, maps.k != s.FAR, s.texels(size))
    keys.scatter_reduce_(0, fragments.sample, fragments.key, "amax")
    ground = shade_ground(shaded.view(n, s.SHADOWS, side, side), frame, size)
    pot = _pot(frame, keys.view(n, s.MAPS, s.texels(size), s.texels(size)), ground, size)
    coarse, fine = (_blur(size, samples, device) for samples in (s.COARSE, s.FINE))
    linear = coarse @ ground.movedim(-1, 1) @ coarse.T + fine @ pot.movedim(-1, 1) @ fine.T
    return (255 * srgb(linear.clamp(0, 1)) + 0.5).to(torch.uint8)


def project(matrices: Float64[Tensor, "n m 4 4"], vertices: Float64[Tensor, "n v 3"]) -> Projected:
    """Every vertex by every matrix of its picture."""
    x, y, z = (axis[:, None] for axis in vertices.unbind(dim=2))
    rows = [
        matrices[..., i, 0, None] * x + matrices[..., i, 1, None] * y + matrices[..., i, 2, None] * z
        + matrices[..., i, 3, None]
        for i in range(4)
    ]
    w = rows[2].clamp(min=s.NEAR)
    u, v = (torch.floor((row / w * s.SUB).clamp(-s.BEYOND, s.BEYOND) + 0.5) for row in rows[:2])
    k = torch.where(rows[2] > s.NEAR, rows[3] / w, s.FAR)
    return Projected(u.flatten(0, 1), v.flatten(0, 1), k.flatten(0, 1))


def cover(
    views: Projected, triangles: Int64[Tensor, "t 3"], valid: Bool[Tensor, "views v"], side: int, facing: bool = False
) -> Fragments:
    """The samples inside of each triangle; with `facing`, of those seen from the front as well as from the back.

    Float64 holds the products of the rounded coordinates exactly, so that coverage is exact; a sample on an edge
    that two triangles share belongs to one of them.
    """
    corner = [triangles[:, i] for i in range(3)]
    (ua, ub, uc), (va, vb, vc) = ([axis[:, c] for c in corner] for axis in views[:2])
    area = (ub - ua) * (vc - va) - (vb - va) * (uc - ua)
    left, top = (_first(torch.minimum(torch.minimum(*axis[:2]), axis[2])) for axis in ((ua, ub, uc), (va, vb, vc)))
    right, bottom = (
        _last(torch.maximum(torch.maximum(*axis[:2]), axis[2]), side) for axis in ((ua, ub, uc), (va, vb, vc))
    )
    kept = (left <= right) & (top <= bottom) & ((area != 0) if facing else (area > 0))
    for c in corner:
        kept &= valid[:, c]
    view, triangle = kept.nonzero(as_tuple=True)
    turned = (area[kept] < 0)[:, None]
    order = torch.where(turned, triangles[triangle][:, [0, 2, 1]], triangles[triangle])
    u, v, k = (axis[view[:, None], order] for axis in views)
    # Edge i is opposite to corner i: its function is ax (y - v) - ay (x - u), here as three coefficients.
    ax, ay = u.roll(1, 1) - u.roll(-1, 1), v.roll(1, 1) - v.roll(-1, 1)
    constant = ay * u.roll(-1, 1) - ax * v.roll(-1, 1)
    owned = (ay < 0) | ((ay == 0) & (ax > 0))
    constant = constant - (~owned).double()  # whole numbers: > 0 is >= 1
    width = (right - left + 1)[kept].long()
    count = width * (bottom - top + 1)[kept].long()
    of = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    within = torch.arange(len(of), device=count.device) - (count.cumsum(0) - count)[of]
    column = left[kept].long()[of] + within % width[of]
    row = top[kept].long()[of] + within // width[of]
    x, y = (column * s.SUB + s.SUB // 2).double(), (row * s.SUB + s.SUB // 2).double()
    weights = [ax[of, i] * y - ay[of, i] * x + constant[of, i] for i in range(3)]
    inside = (weights[0] >= 0) & (weights[1] >= 0) & (weights[2] >= 0)
    of = of[inside]
    a, b, c = (w[inside] + (~owned[of, i]).double() for i, w in enumerate(weights))
    key = (a * k[of, 0] + b * k[of, 1] + c * k[of, 2]) / area[kept][of].abs()
    sample = (view[of] * side + row[inside]) * side + column[inside]
    return Fragments(sample, triangle[of], key)


def shade_ground(
    shaded: Bool[Tensor, "n shadows side side"], frame: Frame, size: int
) -> Float64[Tensor, "n side side 3"]:
    """Linear RGB of each coarse sample of the ground."""
    ground = _on(s.ground(size), shaded.device)
    lit = 1 - torch.stack([part.double().mean(1) for part in shaded.split(s.SPOT_SHADOWS, dim=1)], dim=1)
    spot, lamp, sun = lit.unbind(dim=1)
    place = torch.cat([ground[..., :2], torch.full_like(ground[..., :1], s.GROUND)], dim=-1)
    toward = frame.spot[:, None, None] - place
    distance = torch.linalg.vector_norm(toward, dim=-1)
    cos = -(toward * frame.axis[:, None, None]).sum(-1) / distance
    spot = torch.where(cos > SPOT_COS - s.EDGE, spot, 0.0)
    n, y, x = ((cos > SPOT_COS - s.EDGE) & (cos <= SPOT_COS + SPOT_BLEND + s.EDGE)).nonzero(as_tuple=True)
    fading = cone(_along(frame.spot_points[n] - place[y, x][:, None], frame.axis[n][:, None]))
    spot[n, y, x] = (fading * ~shaded[n, : s.SPOT_SHADOWS, y, x]).mean(dim=1)
    n, y, x = (spot > 0).nonzero(as_tuple=True)
    terms, d = ground[y, x], distance[n, y, x]
    vl = (toward[n, y, x] * terms[:, 2:5]).sum(-1) / d
    parts = reflect(toward[n, y, x, 2] / d, terms[:, 4], vl, *terms[:, 5:8].unbind(1))
    coloured, white = torch.zeros_like(spot), torch.zeros_like(spot)
    light = spot[n, y, x] * s.SPOT_INTENSITY / d**2
    coloured[n, y, x], white[n, y, x] = (part * light for part in parts)
    _, tint, own = (colour[:, None, None] for colour in frame.colours.unbind(dim=1))
    a = (ground[..., 8] * lamp + ground[..., 10] * sun)[..., None] + coloured[..., None] * tint
    b = (ground[..., 9] * lamp + ground[..., 11] * sun)[..., None] + white[..., None] * tint
    return own * a + b


def seen(
    keys: Float64[Tensor, "n side side"],
    matrices: Float64[Tensor, "n 4 4"],
    picture: Int64[Tensor, " f"],
    place: Float64[Tensor, "f 3"],
) -> Float64[Tensor, " f"]:
    """Share of light that one shadow map a picture lets through to points: of the four texels around each."""
    matrix = matrices[picture]
    rows = [(matrix[:, i, :3] * place).sum(1) + matrix[:, i, 3] for i in range(4)]
    w = rows[2].clamp(min=s.NEAR)
    u, v, key = rows[0] / w - 0.5, rows[1] / w - 0.5, rows[3] / w
    last = keys.shape[-1] - 1
    inside = (rows[2] >= s.NEAR) & (u >= 0) & (u < last) & (v >= 0) & (v < last)
    i, j = (torch.where(inside, axis, 0.0).long() for axis in (u, v))
    a, b = u - i, v - j
    light = torch.zeros_like(key)
    for right, down, share in ((0, 0, (1 - a) * (1 - b)), (1, 0, a * (1 - b)), (0, 1, (1 - a) * b), (1, 1, a * b)):
        light += share * (keys[picture, j + down, i + right] <= key)
    return torch.where(inside, light, 1.0)


def shade_pot(
    points: Points, frame: Frame, keys: Float64[Tensor, "n maps side side"]
) -> Float64[Tensor, "f 3"]:
    """Linear RGB of points of the pot: the sum over the points of each light."""
    of, place, normal = points
    view = _unit(_on(s.CAMERA, place.device) - place)
    nv = (normal * view).sum(1).clamp(min=1e-3)
    terms = fresnel(nv, INNER_IOR), fresnel(nv, OUTER_IOR), smith(nv)
    above = place + s.BIAS * normal

    def reflected(toward: Float64[Tensor, "f 3"]) -> tuple[Tensor, Tensor, Tensor]:
        distance = torch.linalg.vector_norm(toward, dim=-1)
        nl = (normal * toward).sum(-1) / distance
        a, b = reflect(nl.clamp(min=1e-9), nv, (view * toward).sum(-1) / distance, *terms)
        return torch.where(nl > 0, a, 0.0), torch.where(nl > 0, b, 0.0), distance

    def through(j: int) -> Float64[Tensor, " f"]:
        return seen(keys[:, j], frame.maps[:, j], of, above)

    spot = torch.zeros_like(nv)
    for j in range(s.SPOT_MAPS):
        point = frame.spot_points[of, j * (s.SPOT_SHADOWS // s.SPOT_MAPS)]
        spot += cone(_along(point - place, frame.axis[of])) * through(j) / s.SPOT_MAPS
    a, b, distance = reflected(frame.spot[of] - place)
    tint = frame.colours[of, 1] * (spot * s.SPOT_INTENSITY / distance**2)[:, None]
    coloured, white = a[:, None] * tint, b[:, None] * tint
    for j, point in enumerate(_on(s.lamp_points(s.LAMP_MAPS), place.device)):
        toward = point - place
        a, b, distance = reflected(toward)
        light = s.LAMP_RADIANCE * s.LAMP_SIDE**2 / s.LAMP_MAPS * toward[:, 2].clamp(min=0)
        light = through(s.SPOT_MAPS + j) * light / (distance**3).clamp(min=s.TOO_CLOSE)
        coloured, white = coloured + (a * light)[:, None], white + (b * light)[:, None]
    sun = torch.stack([through(j) for j in range(s.SPOT_MAPS + s.LAMP_MAPS, s.MAPS)]).mean(0) * s.SUN_IRRADIANCE
    a, b, _ = reflected(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64, device=place.device).expand_as(place))
    return frame.colours[of, 0] * (coloured + (a * sun)[:, None]) + white + (b * sun)[:, None]


def _pot(
    frame: Frame, keys: Float64[Tensor, "n maps side side"], ground: Float64[Tensor, "n side side 3"], size: int
) -> Float64[Tensor, "n fine fine 3"]:
    """How much the pot's samples differ from the ground behind them: 0 where there is none."""
    n, side, device = len(keys), (size + 2) * s.FINE, keys.device
    vertices, normals = _place(teapot(), frame)
    triangles = torch.from_numpy(teapot().triangles).to(device)
    views = project(_on(s.camera_matrix(size, s.FINE), device).expand(n, 1, 4, 4), vertices)
    found = cover(views, triangles, views.k != s.FAR, side, facing=True)
    nearest = torch.full((n * side * side,), s.FAR, dtype=torch.float64, device=device)
    nearest.scatter_reduce_(0, found.sample, found.key, "amax")
    first = found.key == nearest[found.sample]  # of equally near triangles the first one, in whatever order they come
    ids = torch.full((n * side * side,), len(triangles), device=device)
    ids.scatter_reduce_(0, found.sample[first], found.triangle[first], "amin")
    sample = (ids < len(triangles)).nonzero()[:, 0]
    picture, y, x = sample // side**2, sample // side % side, sample % side
    corner = triangles[ids[sample]]
    u, v, k = (axis[picture[:, None], corner] for axis in views)
    px, py = (((axis * s.SUB) + s.SUB // 2).double()[:, None] for axis in (x, y))
    ax, ay = u.roll(1, 1) - u.roll(-1, 1), v.roll(1, 1) - v.roll(-1, 1)
    weights = (ax * (py - v.roll(-1, 1)) - ay * (px - u.roll(-1, 1))) * k
    total = weights.sum(dim=1)
    outside = (total < 0).nonzero()[:, 0]  # no light gets inside of the pot
    weights, of = (weights / total[:, None])[outside, :, None], picture[outside]
    place, normal = (
        (weights * values[of[:, None], corner[outside]]).sum(dim=1) for values in (vertices, normals)
    )
    colour = torch.zeros((len(sample), 3), dtype=torch.float64, device=device)
    colour[outside] = shade_pot(Points(of, place, _unit(normal)), frame, keys)
    step = s.FINE // s.COARSE
    pot = torch.zeros((n, side, side, 3), dtype=torch.float64, device=device)
    pot[picture, y, x] = colour - ground[picture, y // step, x // step]
    return pot


def _place(mesh: Mesh, frame: Frame) -> tuple[Float64[Tensor, "n v 3"], Float64[Tensor, "n v 3"]]:
    """A mesh's vertices and normals in the world, of each picture."""
    turn = frame.rotation.transpose(1, 2)
    vertices, normals = (_on(part, turn.device) @ turn for part in (mesh.vertices, mesh.normals))
    return vertices + frame.position[:, None], normals


def _blur(size: int, samples: int, device: torch.device) -> Float64[Tensor, "size side"]:
    """The pixel filter along one axis, as a matrix."""
    taps = _on(s.pixel_filter(samples), device)
    matrix = torch.zeros((size, (size + 2) * samples), dtype=torch.float64, device=device)
    for i in range(size):
        matrix[i, i * samples : i * samples + len(taps)] = taps
    return matrix


def _along(toward: Float64[Tensor, "*n 3"], axis: Float64[Tensor, "*n 3"]) -> Float64[Tensor, "*n"]:
    """Cosine between the spotlight's axis and the way from a point of its disc."""
    cos: Tensor = -(toward * axis).sum(-1) / torch.linalg.vector_norm(toward, dim=-1)
    return cos


def _unit(vectors: Float64[Tensor, "*n 3"]) -> Float64[Tensor, "*n 3"]:
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)


def _first(least: Float64[Tensor, "views t"]) -> Float64[Tensor, "views t"]:
    """The first sample whose centre is not before a coordinate."""
    return ((least + s.SUB // 2 - 1) / s.SUB).floor().clamp(min=0)


def _last(most: Float64[Tensor, "views t"], side: int) -> Float64[Tensor, "views t"]:
    """The last sample whose centre is not behind a coordinate."""
    return ((most - s.SUB // 2) / s.SUB).floor().clamp(max=side - 1)


def _on(array: Float64[ndarray, "*shape"], device: torch.device) -> Float64[Tensor, "*shape"]:
    return torch.from_numpy(array).to(device)
