"""Newell's teapot: counts that are public facts, a surface without seams, the original scene's measures."""

from __future__ import annotations

import numpy as np
import pytest

from unmix.datasets.teapot import patches, teapot, tessellate


def test_control_points_are_newells() -> None:
    assert patches().shape == (32, 4, 4, 3)
    assert len(np.unique(np.round(patches().reshape(-1, 3), 9) + 0.0, axis=0)) == 290


@pytest.mark.parametrize(("n", "triangles"), [(10, 6320), (9, 5112), (2, 240)])
def test_triangles_without_the_empty_ones_at_the_poles(n: int, triangles: int) -> None:
    mesh = tessellate(n)
    assert len(mesh.triangles) == triangles == 64 * n**2 - 8 * n
    corners = mesh.vertices[mesh.triangles]
    assert (np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) > 0).all()


def test_one_orientation() -> None:
    """No two triangles run along a shared edge in the same direction, and vertex normals side with the triangles'."""
    mesh = teapot()
    edges = np.concatenate([mesh.triangles, np.roll(mesh.triangles, -1, axis=1)]).reshape(2, -1).T
    assert len(np.unique(edges, axis=0)) == len(edges)
    corners = mesh.vertices[mesh.triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("ti,tci->tc", face, mesh.normals[mesh.triangles]) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1)


def test_normals_point_out_of_the_body() -> None:
    mesh = tessellate(10)
    radius = np.hypot(*mesh.vertices.T[:2])
    belly = np.isclose(mesh.vertices[:, 2], 0.9) & (radius > 1.95) & (mesh.vertices[:, 0] > -1.99)  # off the handle
    assert belly.sum() == 39
    outwards = mesh.vertices[belly, :2] / radius[belly, None]
    assert ((outwards * mesh.normals[belly, :2]).sum(axis=1) > 0.99).all()


def test_twins_share_an_edge_backwards() -> None:
    mesh = tessellate(3)
    borders = 0
    for triangle, twins in zip(mesh.triangles.tolist(), mesh.twins.tolist(), strict=True):
        for corner, twin in enumerate(twins):
            start, end = triangle[(corner + 1) % 3], triangle[(corner + 2) % 3]
            if twin < 0:
                borders += 1
                continue
            other = mesh.triangles[twin].tolist()
            assert (end, start) in {(other[i], other[(i + 1) % 3]) for i in range(3)}
    # Open are the lid's and the body's rims, both ends of the handle and of the spout: 4 x 3, 4 x 3, and 4 x (2 x 3).
    assert borders == 48


def test_measures_of_the_original_scene() -> None:
    extents = np.ptp(teapot(10).vertices, axis=0)
    np.testing.assert_allclose(extents, [4.4421, 4.4421, 2.999], atol=2e-4)


def test_no_squares_is_refused() -> None:
    with pytest.raises(ValueError, match="n >= 1, got n=0"):
        tessellate(0)
