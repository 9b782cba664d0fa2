"""Rays against solids: silhouettes, distances and shades in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from unmix.datasets.raycast import (
    Camera,
    Solid,
    box,
    capsule,
    cast,
    cone,
    cylinder,
    mixed,
    pooled,
    prism,
    pyramid,
    sphere,
)

UP, FRONT = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
# (parts, silhouette from the front, from above)
SOLIDS = {
    "box": ([box(0.7, 0.5, 0.3)], 4 * 0.7 * 0.5, 4 * 0.7 * 0.3),
    "cylinder": ([cylinder(0.6, 0.8)], 4 * 0.6 * 0.8, math.pi * 0.36),
    "cone": ([cone(0.6, 0.8)], 2 * 0.6 * 0.8, math.pi * 0.36),
    "pyramid": ([pyramid(0.6, 0.8)], 2 * 0.6 * 0.8, 4 * 0.36),
    "hexagonal": ([prism(6, 0.6, 0.8)], 2 * 0.8 * 2 * 0.6, 2 * math.sqrt(3) * 0.36),
    "sphere": ([sphere(0.7)], math.pi * 0.49, math.pi * 0.49),
    "high sphere": ([sphere(0.5, y=0.3)], math.pi * 0.25, math.pi * 0.25),
    "capsule": (list(capsule(0.3, 0.8)), 4 * 0.3 * 0.5 + math.pi * 0.09, math.pi * 0.09),
}


def parallel(towards: torch.Tensor, points: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Parallel rays along -towards from 10 away, a square of side 2 of them."""
    place = (torch.arange(points) + 0.5) * (2 / points) - 1
    first = torch.tensor([1.0, 0.0, 0.0])
    second = torch.linalg.cross(towards, first)
    start = first[:, None, None] * place + second[:, None, None] * place[:, None] + 10 * towards[:, None, None]
    return start, -towards[:, None, None].expand(3, points, points)


@pytest.mark.parametrize("name", SOLIDS)
@pytest.mark.parametrize("view", [0, 1])
def test_silhouettes(name: str, view: int) -> None:
    parts, *areas = SOLIDS[name]
    # Not quite along the axis: rays along faces are neither in nor out.
    towards = (FRONT, UP)[view] + torch.tensor([1e-4, 2e-4, 3e-4])
    distance, shade = cast(parts, *parallel(towards / towards.norm()), towards[:, None, None] / towards.norm())
    hit = distance.isfinite()
    assert hit.double().mean().item() * 4 == pytest.approx(areas[view], rel=0.01)
    assert ((distance[hit] > 9) & (distance[hit] < 11)).all()
    assert ((shade[hit] > -1e-3) & (shade[hit] <= 1 + 1e-5)).all()


@pytest.mark.parametrize("name", SOLIDS)
def test_normals_are_those_of_the_surface(name: str) -> None:
    """Two tangents by differences of where neighbouring rays enter: their cross product is along the normal."""
    parts = SOLIDS[name][0]
    towards = torch.tensor([0.3, 0.5, 0.8]) / torch.tensor([0.3, 0.5, 0.8]).norm()
    start, direction = (part.double() for part in parallel(towards))
    axes = torch.eye(3).double()
    distance = cast(parts, start, direction, axes[0][:, None, None])[0]
    normal = torch.stack([cast(parts, start, direction, axis[:, None, None])[1] for axis in axes])
    point = start + distance * direction
    across, down = point[:, 1:-1, 2:] - point[:, 1:-1, :-2], point[:, 2:, 1:-1] - point[:, :-2, 1:-1]
    expected = torch.linalg.cross(across, down, dim=0)
    expected = expected / expected.norm(dim=0)
    expected = expected * (expected * towards[:, None, None]).sum(0).sign()
    close = (expected * normal[:, 1:-1, 1:-1]).sum(0)
    close = close[close.isfinite() & distance[1:-1, 1:-1].isfinite()]
    assert (close > 0.99).double().mean() > 0.97  # all but edges, across which there is no tangent
    assert len(close) > 1000


def test_a_sphere_from_its_front() -> None:
    distance, shade = sphere(0.5).hit(*(v[:, None] for v in (10 * FRONT, -FRONT, FRONT)))
    assert distance.item() == pytest.approx(9.5)
    assert shade.item() == pytest.approx(1)


def test_behind_and_beside_is_missed() -> None:
    for parts, *_ in SOLIDS.values():
        for origin, direction in [(10 * FRONT, FRONT), (10 * FRONT + 3 * UP, -FRONT), (-10 * UP, -UP)]:
            assert cast(parts, origin[:, None], direction[:, None], UP[:, None])[0].isinf().all()


def test_half_spaces_need_no_other_end() -> None:
    wedge = Solid((((0.0, 1.0, 0.0), -math.inf, 0.0), ((1.0, 0.0, 0.0), 0.0, math.inf)))
    above = torch.tensor([[1.0], [2.0], [0.0]])
    distance, shade = wedge.hit(above, -UP[:, None], UP[:, None])
    assert distance.item() == 2
    assert shade.item() == 1


def test_camera_sees_its_target_in_the_middle_and_y_upwards() -> None:
    camera = Camera((3.0, 4.0, 5.0), (0.0, 1.0, 0.0), 0.5, size=3)
    rays = camera.directions()
    middle = rays[:, 1, 1] / rays[:, 1, 1].norm()
    aim = torch.tensor([-3.0, -3.0, -5.0])
    torch.testing.assert_close(middle, aim / aim.norm())
    assert rays[1, 0, 1] > rays[1, 2, 1]
    torch.testing.assert_close(camera.axes() @ camera.axes().T, torch.eye(3))
    # The field of view: the outer pixels' middles are at 2/3 of its half.
    torch.testing.assert_close((rays[:, 1, 2] - rays[:, 1, 1]).norm().item(), 0.5 * 2 / 3)


def test_pooled_is_the_mean_of_each_pixel() -> None:
    values = torch.arange(32.0).view(2, 4, 4)
    expected = torch.nn.functional.avg_pool2d(values[None], 2)[0]
    assert torch.equal(pooled(values, 2), expected)


def test_mixed_rounds_the_exact_sum_in_any_batch() -> None:
    draws = torch.Generator().manual_seed(0)
    weights = torch.randint(0, 52, (9, 5, 8, 8), generator=draws).to(torch.uint8)
    colours = torch.randint(0, 256, (9, 5, 3), generator=draws).to(torch.uint8)
    exact = (weights[:, :, None].long() * colours[..., None, None].long()).sum(1)
    images = mixed(weights, colours)
    assert torch.equal(images, (exact.double() / 255).round().to(torch.uint8))
    parts = zip(weights.split(2), colours.split(2), strict=True)
    assert torch.equal(images, torch.cat([mixed(*part) for part in parts]))
