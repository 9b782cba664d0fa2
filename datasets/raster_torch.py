"""The renderer's `torch` backend: batches of pictures on any device, the same as `numba`'s within one grey level."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64, Shaped, UInt8
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
    given = [_on(part, device) for part in scene]
    frame = Frame._make([*given, _unit(given[1] - given[2])])
    n, side, texels = len(frame.spot), (size + 2) * s.COARSE, s.texels(size)
    caster = teapot(s.CASTER)
    triangles, twins = (_on(part, device) for part in (caster.triangles, caster.twins))
    casters, _ = _place(caster, frame)
    shadows = project(frame.shadows, casters)
    shaded = silhouettes(shadows, _members(shadows, triangles, shadows.k > 0), triangles, twins, side)
    maps = project(frame.maps, casters)
    fragments = cover(maps, _members(maps, triangles, maps.k != s.FAR), triangles, texels)
    keys = torch.full((n * s.MAPS * texels**2,), s.FAR, dtype=torch.float64, device=device)
    keys.scatter_reduce_(0, fragments.sample, fragments.key, "amax")
    ground = shade_ground(shaded.view(n, s.SHADOWS, side, side), frame, size)
    pot = _pot(frame, keys.view(n, s.MAPS, texels, texels), ground, size)
    coarse, fine = (_blur(size, samples, device) for samples in (s.COARSE, s.FINE))
    linear = coarse @ ground.movedim(-1, 1) @ coarse.T + fine @ pot.movedim(-1, 1) @ fine.T
    images: Tensor = (255 * srgb(linear.clamp(0, 1)) + 0.5).to(torch.uint8)
    return images


def project(matrices: Float64[Tensor, "n m 4 4"], vertices: Float64[Tensor, "n v 3"]) -> Projected:
    """Every vertex by every matrix of its picture."""
    rows = matrices[..., :3] @ vertices[:, None].transpose(2, 3) + matrices[..., 3:]
    x, y, depth, k = rows.flatten(0, 1).unbind(dim=1)
    w = depth.clamp(min=s.NEAR)
    u, v = (torch.floor((row / w * s.SUB).clamp(-s.BEYOND, s.BEYOND) + 0.5) for row in (x, y))
    return Projected(u, v, torch.where(depth > s.NEAR, k / w, s.FAR))


def _members(
    views: Projected, triangles: Int64[Tensor, "t 3"], valid: Bool[Tensor, "views v"], facing: bool = False
) -> Bool[Tensor, "views t"]:
    """The triangles that are seen from the back, with `facing` those seen from the front as well."""
    (ua, ub, uc), (va, vb, vc) = ([axis.index_select(1, corner) for corner in triangles.T] for axis in views[:2])
    area = (ub - ua) * (vc - va) - (vb - va) * (uc - ua)
    drawn = (area != 0) if facing else (area > 0)
    for corner in () if valid.all() else triangles.T:
        drawn &= valid[:, corner]
    return drawn


def silhouettes(
    views: Projected,
    members: Bool[Tensor, "views t"],
    triangles: Int64[Tensor, "t 3"],
    twins: Int64[Tensor, "t 3"],
    side: int,
) -> Bool[Tensor, "views side side"]:
    """The samples inside of any member.

    Edges between two members cancel, so that a row is crossed at the outline only: from the left a triangle begins
    at the first sample right of an edge that goes up, and ends at the first one right of an edge that goes down.
    """
    beyond = (members.index_select(1, twin.clamp(min=0)) & (twin >= 0) for twin in twins.T)
    view, triangle, corner = torch.stack([members & ~beside for beside in beyond], dim=2).nonzero(as_tuple=True)
    ends = (triangles[triangle, (corner + turn) % 3] + view * views.u.shape[1] for turn in (1, 2))
    (ua, va), (ub, vb) = ((views.u.take(end), views.v.take(end)) for end in ends)
    top, bottom = _first(torch.minimum(va, vb)), _first(torch.maximum(va, vb)).clamp(max=side) - 1
    of, row = _enumerated((bottom - top + 1).clamp(min=0).long())
    row += top.long()[of]
    y = (row * s.SUB + s.SUB // 2).double()
    du, dv = (ub - ua)[of], (vb - va)[of]
    start = du * (y - va[of]) - dv * (s.SUB // 2 - ua[of])  # the edge function at the row's first sample
    column = torch.ceil(start / (dv * s.SUB)).clamp(0, side).long()
    starts = torch.zeros(len(members) * side * (side + 1), dtype=torch.int16, device=members.device)
    sign = torch.where(dv < 0, 1, -1).to(torch.int16)
    starts.index_add_(0, (view[of] * side + row) * (side + 1) + column, sign)
    count = starts.view(len(members), side, side + 1)[..., :side].cumsum(dim=-1, dtype=torch.int16)
    return count > 0


def cover(views: Projected, members: Bool[Tensor, "views t"], triangles: Int64[Tensor, "t 3"], side: int) -> Fragments:
    """The samples inside of each member.

    Float64 holds the products of the rounded coordinates exactly, so that coverage is exact; a sample on an edge
    that two triangles share belongs to one of them.
    """
    view, triangle = members.nonzero(as_tuple=True)
    corners = triangles.index_select(0, triangle) + view[:, None] * views.u.shape[1]
    u, v, k = (axis.take(corners) for axis in views)
    # Edge i is opposite to corner i: its function is ax (y - v) - ay (x - u), above 0 inside.
    ax, ay = u.roll(1, 1) - u.roll(-1, 1), v.roll(1, 1) - v.roll(-1, 1)
    area = ax[:, 2] * (v[:, 2] - v[:, 0]) - ay[:, 2] * (u[:, 2] - u[:, 0])
    turn = torch.where(area < 0, -1.0, 1.0)[:, None]
    ax, ay = ax * turn, ay * turn
    foreign = (~((ay < 0) | ((ay == 0) & (ax > 0)))).double()
    first, last = _first(v.amin(dim=1)), _last(v.amax(dim=1), side)
    of, row = _enumerated((last - first + 1).clamp(min=0).long())
    row += first.long()[of]
    # At the first sample of the canvas; its steps along columns and rows.
    start = ay * (u.roll(-1, 1) - s.SUB // 2) - ax * (v.roll(-1, 1) - s.SUB // 2)
    start, step, foreign = torch.stack([start, -ay * s.SUB, foreign]).index_select(1, of)
    start += ax.index_select(0, of) * (row * s.SUB)[:, None]
    ratio = (start - foreign) / step.abs()
    low = torch.where(step > 0, -ratio, 0.0).amax(dim=1).ceil()
    high = torch.where(step < 0, ratio, side - 1.0).amin(dim=1).floor()
    empty = ((step == 0) & (start < foreign)).any(dim=1)
    line, column = _enumerated(((high - low + 1) * ~empty).clamp(min=0).long())
    column += low.long()[line]
    start, step = torch.stack([start, step]).index_select(1, line)
    of = of[line]
    key = (start + step * column[:, None]) * k.index_select(0, of)
    key = (key[:, 0] + key[:, 1] + key[:, 2]) / area[of].abs()
    return Fragments((view[of] * side + row[line]) * side + column, triangle[of], key)


def _enumerated(counts: Int64[Tensor, " k"]) -> tuple[Int64[Tensor, " f"], Int64[Tensor, " f"]]:
    """As many items of each as it counts: whose they are, and their numbers within."""
    of = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    return of, torch.arange(len(of), device=counts.device) - (counts.cumsum(0) - counts)[of]


def shade_ground(
    shaded: Bool[Tensor, "n shadows side side"], frame: Frame, size: int
) -> Float64[Tensor, "n side side 3"]:
    """Linear RGB of each coarse sample of the ground."""
    ground = _on(s.ground(size), shaded.device)
    hidden = shaded.view(torch.uint8)  # adding bytes is several times faster than counting truths
    spot, lamp, sun = (
        1 - reduce(torch.add, part.unbind(dim=1)).double() / part.shape[1]
        for part in hidden.split_with_sizes([s.SPOT_SHADOWS, s.LAMP_SHADOWS, s.SUN_SHADOWS], dim=1)
    )
    place = torch.cat([ground[..., :2], torch.full_like(ground[..., :1], s.GROUND)], dim=-1)
    toward = frame.spot[:, None, None] - place
    distance = _dot(toward, toward).sqrt()
    cos = -_dot(toward, frame.axis[:, None, None]) / distance
    spot = torch.where(cos > SPOT_COS - s.EDGE, spot, 0.0)
    n, y, x = ((cos > SPOT_COS - s.EDGE) & (cos <= SPOT_COS + SPOT_BLEND + s.EDGE)).nonzero(as_tuple=True)
    fading = cone(_along(frame.spot_points[n] - place[y, x][:, None], frame.axis[n][:, None]))
    spot[n, y, x] = (fading * ~shaded[n, : s.SPOT_SHADOWS, y, x]).mean(dim=1)
    n, y, x = (spot > 0).nonzero(as_tuple=True)
    terms, d, toward = ground[y, x], distance[n, y, x], toward[n, y, x]
    parts = reflect(toward[:, 2] / d, terms[:, 4], _dot(toward, terms[:, 2:5]) / d, *terms[:, 5:8].unbind(1))
    coloured, white = torch.zeros_like(spot), torch.zeros_like(spot)
    light = spot[n, y, x] * s.SPOT_INTENSITY / d**2
    coloured[n, y, x], white[n, y, x] = (part * light for part in parts)
    _, tint, own = (colour[:, None, None] for colour in frame.colours.unbind(dim=1))
    a = (ground[..., 8] * lamp + ground[..., 10] * sun)[..., None] + coloured[..., None] * tint
    b = (ground[..., 9] * lamp + ground[..., 11] * sun)[..., None] + white[..., None] * tint
    rgb: Tensor = own * a + b
    return rgb


def seen(
    keys: Float64[Tensor, "n side side"],
    matrices: Float64[Tensor, "n 4 4"],
    picture: Int64[Tensor, " f"],
    place: Float64[Tensor, "f 3"],
) -> Float64[Tensor, " f"]:
    """Share of light that one shadow map a picture lets through to points: of the four texels around each."""
    matrix, (x, y, z) = matrices.index_select(0, picture), place[:, :, None].unbind(dim=1)
    rows = matrix[..., 0] * x + matrix[..., 1] * y + matrix[..., 2] * z + matrix[..., 3]
    across, down, depth, k = rows.unbind(dim=1)
    w = depth.clamp(min=s.NEAR)
    u, v, key = across / w - 0.5, down / w - 0.5, k / w
    side = keys.shape[-1]
    inside = (depth >= s.NEAR) & (u >= 0) & (u < side - 1) & (v >= 0) & (v < side - 1)
    u, v = torch.where(inside, u, 0.0), torch.where(inside, v, 0.0)
    i, j = u.long(), v.long()
    a, b = u - i, v - j
    first, flat = (picture * side + j) * side + i, keys.reshape(-1)
    light = (1 - a) * (1 - b) * (flat[first] <= key) + a * (1 - b) * (flat[first + 1] <= key)
    light += (1 - a) * b * (flat[first + side] <= key) + a * b * (flat[first + side + 1] <= key)
    return torch.where(inside, light, 1.0)


def shade_pot(points: Points, frame: Frame, keys: Float64[Tensor, "n maps side side"]) -> Float64[Tensor, "f 3"]:
    """Linear RGB of points of the pot: the sum over the points of each light."""
    of, place, normal = points
    view = _unit(_on(s.CAMERA, place.device) - place)
    nv = _dot(normal, view).clamp(min=1e-3)
    terms = fresnel(nv, INNER_IOR), fresnel(nv, OUTER_IOR), smith(nv)
    above = place + s.BIAS * normal
    coloured, white = torch.zeros_like(place), torch.zeros_like(place)

    def add(chosen: Int64[Tensor, " c"], toward: Float64[Tensor, "c 3"], light: Float64[Tensor, "c _"]) -> None:
        distance, lit = _dot(toward, toward).sqrt(), [term[chosen] for term in (nv, *terms)]
        nl, vl = _dot(normal[chosen], toward) / distance, _dot(view[chosen], toward) / distance
        a, b = reflect(nl, lit[0], vl, *lit[1:])
        coloured[chosen] += a[:, None] * light
        white[chosen] += b[:, None] * light

    def through(j: int, chosen: Int64[Tensor, " c"]) -> Float64[Tensor, " c"]:
        return seen(keys[:, j], frame.maps[:, j], of[chosen], above[chosen])

    toward = frame.spot[of] - place
    wide = -_dot(toward, frame.axis[of]) > (SPOT_COS - s.WIDE) * _dot(toward, toward).sqrt()
    chosen = (wide & (_dot(normal, toward) > 0)).nonzero()[:, 0]
    toward, centre, axis = toward[chosen], place[chosen], frame.axis[of[chosen]]
    share = torch.zeros_like(centre[:, 0])
    for j in range(s.SPOT_MAPS):
        disc = frame.spot_points[of[chosen], j * (s.SPOT_SHADOWS // s.SPOT_MAPS)]
        share += cone(_along(disc - centre, axis)) * through(j, chosen) / s.SPOT_MAPS
    add(chosen, toward, frame.colours[of[chosen], 1] * (share * s.SPOT_INTENSITY / _dot(toward, toward))[:, None])
    for j, lamp in enumerate(_on(s.lamp_points(s.LAMP_MAPS), place.device)):
        toward = lamp - place
        chosen = ((_dot(normal, toward) > 0) & (toward[:, 2] > 0)).nonzero()[:, 0]
        toward = toward[chosen]
        falling = toward[:, 2] / (_dot(toward, toward) ** 1.5).clamp(min=s.TOO_CLOSE)
        share = through(s.SPOT_MAPS + j, chosen) * falling * (s.LAMP_RADIANCE * s.LAMP_SIDE**2 / s.LAMP_MAPS)
        add(chosen, toward, share[:, None])
    chosen = (normal[:, 2] > 0).nonzero()[:, 0]
    up = torch.zeros_like(place[chosen])
    up[:, 2] = 1
    shares = [through(j, chosen) for j in range(s.SPOT_MAPS + s.LAMP_MAPS, s.MAPS)]
    add(chosen, up, reduce(torch.add, shares)[:, None] / s.SUN_MAPS * s.SUN_IRRADIANCE)
    return frame.colours[of, 0] * coloured + white


def _pot(
    frame: Frame, keys: Float64[Tensor, "n maps texels texels"], ground: Float64[Tensor, "n coarse coarse 3"], size: int
) -> Float64[Tensor, "n fine fine 3"]:
    """How much the pot's samples differ from the ground behind them: 0 where there is none."""
    n, side, device = len(keys), (size + 2) * s.FINE, keys.device
    vertices, normals = _place(teapot(), frame)
    triangles = _on(teapot().triangles, device)
    views = project(_on(s.camera_matrix(size, s.FINE), device).expand(n, 1, 4, 4), vertices)
    found = cover(views, _members(views, triangles, views.k != s.FAR, facing=True), triangles, side)
    nearest = torch.full((n * side * side,), s.FAR, dtype=torch.float64, device=device)
    nearest.scatter_reduce_(0, found.sample, found.key, "amax")
    first = found.key == nearest[found.sample]  # of equally near triangles the first one, in whatever order they come
    ids = torch.full((n * side * side,), len(triangles), device=device)
    ids.scatter_reduce_(0, found.sample[first], found.triangle[first], "amin")
    sample = (ids < len(triangles)).nonzero()[:, 0]
    picture, y, x = sample // side**2, sample // side % side, sample % side
    corner = triangles[ids[sample]]
    u, v, k = (axis.take(corner + picture[:, None] * axis.shape[1]) for axis in views)
    px, py = ((axis * s.SUB + s.SUB // 2).double()[:, None] for axis in (x, y))
    ax, ay = u.roll(1, 1) - u.roll(-1, 1), v.roll(1, 1) - v.roll(-1, 1)
    weights = (ax * (py - v.roll(-1, 1)) - ay * (px - u.roll(-1, 1))) * k
    total = weights[:, 0] + weights[:, 1] + weights[:, 2]
    outside = (total < 0).nonzero()[:, 0]  # no light gets inside of the pot
    shares, of, corner = (weights / total[:, None])[outside], picture[outside], corner[outside]
    place, normal = (
        reduce(torch.add, [shares[:, i, None] * values[of, corner[:, i]] for i in range(3)])
        for values in (vertices, normals)
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


def _along(toward: Float64[Tensor, "*n 3"], axis: Float64[Tensor, "*#n 3"]) -> Float64[Tensor, "*n"]:
    """Cosine between the spotlight's axis and the way from a point of its disc."""
    return -_dot(toward, axis) / _dot(toward, toward).sqrt()


def _dot(a: Float64[Tensor, "*#n 3"], b: Float64[Tensor, "*#n 3"]) -> Float64[Tensor, "*n"]:
    """Faster than a sum over a dimension of 3."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _unit(vectors: Float64[Tensor, "*n 3"]) -> Float64[Tensor, "*n 3"]:
    return vectors / _dot(vectors, vectors).sqrt()[..., None]


def _first(least: Float64[Tensor, " k"]) -> Float64[Tensor, " k"]:
    """The first sample whose centre is not before a coordinate."""
    return ((least + s.SUB // 2 - 1) / s.SUB).floor().clamp(min=0)


def _last(most: Float64[Tensor, " k"], side: int) -> Float64[Tensor, " k"]:
    """The last sample whose centre is not behind a coordinate."""
    return ((most - s.SUB // 2) / s.SUB).floor().clamp(max=side - 1)


def _on(array: Shaped[ndarray, "*shape"], device: torch.device) -> Shaped[Tensor, "*shape"]:
    return torch.from_numpy(array).to(device)
