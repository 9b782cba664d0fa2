"""KITTI Masks and Natural Sprites, read from small files in the published formats; what a pickle may hold."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from miniatures import masks, put

from unmix.datasets.download import FOLDER, DamagedFileError, MissingFileError
from unmix.datasets.kitti_masks import KittiMasks
from unmix.datasets.natural_sprites import NaturalSprites, read_transitions
from unmix.datasets.unpickling import arrays

KINDS = (KittiMasks, NaturalSprites)
PUBLISHED = ("kitti_masks", "natural_sprites")
pytestmark = pytest.mark.usefixtures("patch")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moments(images: torch.Tensor) -> np.ndarray:
    """Row and column of the centre of mass, from pixel centres counted from 0, and the area in pixels."""
    share = images[:, 0].double() / 255
    area = share.sum(dim=(1, 2))
    place = torch.arange(64, dtype=torch.float64)
    rows, columns = ((share.sum(dim=axis) * place).sum(dim=1) / area for axis in (2, 1))
    return torch.stack([rows, columns, area], dim=1).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_without_files_it_says_what_it_needs(kind: Any, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv(FOLDER, str(tmp_path / "empty"))
    dataset = kind()
    assert dataset.sources[0].name in dataset.missing()
    for draw in (dataset.sample, dataset.sample_pairs):
        with pytest.raises(MissingFileError, match="by hand, from https://zenodo"):
            draw(3, generator())


# KITTI Masks.


def test_masks_show_their_factors() -> None:
    images, factors = KittiMasks().sample(200, generator())
    assert set(images.unique().tolist()) == {0, 255}
    np.testing.assert_allclose(moments(images), factors.numpy(), atol=1e-5)


@pytest.mark.parametrize("most", [1, 5, 100])
def test_a_pair_is_of_one_sequence_and_at_most_so_far_apart(most: int) -> None:
    dataset = KittiMasks(max_delta_t=most)
    anchor, positive = dataset._index_pairs(5000, generator())
    sequence = dataset.table[:, 3]
    assert (sequence[anchor] == sequence[positive]).all()
    last = np.array([np.flatnonzero(sequence == number).max() for number in sequence])
    steps = (positive - anchor).numpy()
    room = last[anchor] - anchor.numpy()
    assert steps.min() == 1
    assert steps.max() == min(most, 20)
    assert (steps <= room).all()
    free = steps[room > most]  # where the sequence does not end first, each step is as likely
    if most == 5:
        counts = np.bincount(free, minlength=6)[1:]
        assert abs(counts / len(free) - 1 / 5).max() < 4 * np.sqrt(0.16 / len(free))
    counts = np.bincount(anchor, minlength=len(sequence))
    followed = np.arange(len(sequence)) < last
    assert (counts[~followed] == 0).all()
    expected = 5000 / followed.sum()
    assert (abs(counts[followed] - expected) < 5 * np.sqrt(expected)).all()


def test_pairs_of_masks_are_those_of_their_factors() -> None:
    dataset = KittiMasks()
    pair, behind = dataset.sample_pairs(50, generator()), dataset.factor_pairs(50, generator())
    for images, factors in zip(pair, behind, strict=True):
        np.testing.assert_allclose(moments(images), factors.numpy(), atol=1e-5)


def test_max_delta_t_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="max_delta_t is 0: it must be at least 1"):
        KittiMasks(max_delta_t=0)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_arrays_are_unpickled_in_every_protocol(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "file.pickle"
    held = {"a": [np.arange(6.0).reshape(2, 3), np.zeros(3, bool)], "b": (np.float64(3), 4, "text", None)}
    path.write_bytes(pickle.dumps(held, protocol))
    found = arrays(path)
    np.testing.assert_array_equal(found["a"][0], held["a"][0])
    np.testing.assert_array_equal(found["a"][1], held["a"][1])
    assert found["a"][1].dtype == bool
    assert found["b"] == held["b"]


def test_the_names_of_older_numpy_are_known(tmp_path: Path) -> None:
    """The published file was written by NumPy 1, whose core was not private."""
    path = tmp_path / "file.pickle"
    content = pickle.dumps(np.arange(4), 2).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core" in content
    path.write_bytes(content)
    np.testing.assert_array_equal(arrays(path), np.arange(4))


class Evil:
    """Runs a command when it is unpickled as usual."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_code_in_a_pickle_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    put(KittiMasks().sources[0], pickle.dumps({**masks(), "more": Evil(trace)}))
    with pytest.raises(DamagedFileError, match=r"asks for posix\.system, and only arrays are unpickled"):
        KittiMasks().sample(3, generator())
    assert not trace.exists()
    pickle.loads(KittiMasks().sources[0].path.read_bytes())  # the usual way runs it: the test can fail
    assert trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(V1\ntR.",
        b"cnumpy\nload\n(Vx\ntR.",
        b"c_codecs\nencode\n(Vx\nVzip\ntR.",
        b"cnumpy.core.multiarray\nfrombuffer\n(Vx\ntR.",
        pickle.dumps(np.array([Evil(Path("/nowhere/at/all"))], dtype=object)),
    ],
)
def test_other_names_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.pickle"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"asks for .*, and only arrays are unpickled"):
        arrays(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_pickle_is_named(share: float) -> None:
    path = KittiMasks().sources[0].path
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DamagedFileError, match=path.name):
        KittiMasks().sample(3, generator())
    assert not list(path.parent.glob("*.npy"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "no pedestrians"),
        ({"pedestrians": [], "pedestrians_latents": []}, "are not"),
        ({**masks(), "pedestrians_latents": masks()["pedestrians_latents"][:-1]}, "are not"),
        ({**masks(), "pedestrians": [part[:, :32] for part in masks()["pedestrians"]]}, r"are not \(frames, 64, 64\)"),
        ({**masks(), "pedestrians_latents": [part[:, :2] for part in masks()["pedestrians_latents"]]}, "are not"),
    ],
)
def test_other_content_is_refused(content: object, message: str) -> None:
    put(KittiMasks().sources[0], pickle.dumps(content))
    with pytest.raises(DamagedFileError, match=message):
        KittiMasks().sample(3, generator())


# Natural Sprites.


@pytest.mark.parametrize("discrete", [False, True])
def test_sprites_show_their_factors(discrete: bool) -> None:
    dataset = NaturalSprites(discrete=discrete)
    images, factors = dataset.sample(300, generator())
    assert images.dtype == torch.uint8
    assert torch.equal(images[:, 0], images[:, 2])
    x, y, scale = factors[:, :3].double().T.numpy()
    if discrete:
        middles = [(edges[1:] + edges[:-1]) / 2 for edges in dataset._edges]
        x, y = (middle[level.astype(int)] / 64 for middle, level in zip(middles, (x, y), strict=False))
        scale = np.sqrt(middles[2][scale.astype(int)]) / 64
    inside = (abs(x - 0.5) + scale < 0.5) & (abs(y - 0.5) + scale < 0.5)
    assert inside.sum() > 50
    row, column, area = moments(images)[inside].T
    np.testing.assert_allclose(column + 0.5, 64 * x[inside], atol=0.1)
    np.testing.assert_allclose(63.5 - row, 64 * y[inside], atol=0.1)  # y is upwards
    np.testing.assert_allclose(area, (64 * scale[inside]) ** 2, rtol=0.02)


def test_transitions_are_those_of_adjacent_frames_and_one_window(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(
        "id,cat_id,t_0,t_1,t_2,t_3\n"
        '7,1,"[(1.5, 2, 30), None]","[(3, 4, 50), (5, 6, 70)]",,"[(9, 9, 9), (8, 8, 8)]"\n'
        '8,1,,"[(1, 2, 3), (4, 5, 6)]","[None, (7, 8, 9)]","[None, (10, 11, 12)]"\n'
    )
    assert list(read_transitions(path)) == [
        [[2, 1.5, 30], [4, 3, 50]],
        [[5, 4, 6], [8, 7, 9]],
        [[8, 7, 9], [11, 10, 12]],
    ]


def test_the_tails_of_the_areas_are_cut() -> None:
    dataset = NaturalSprites()
    every = np.array(list(read_transitions(dataset.sources[0].path)))
    kept = dataset.transitions
    assert 0.75 * len(every) < len(kept) < 0.95 * len(every)
    for frame in (0, 1):
        low, high = np.quantile(every[:, frame, 2], [0.05, 0.95])
        assert low <= kept[:, frame, 2].min() <= kept[:, frame, 2].max() <= high


@pytest.mark.parametrize("discrete", [False, True])
def test_pairs_of_sprites_are_published_transitions(discrete: bool) -> None:
    dataset = NaturalSprites(discrete=discrete)
    behind, pair = dataset.factor_pairs(200, generator()), dataset.sample_pairs(200, generator())
    for images, factors in zip(pair, behind, strict=True):
        assert torch.equal(images, dataset.observe(factors))
    assert torch.equal(behind.anchor[:, 3:], behind.positive[:, 3:])  # angle and shape stay
    assert behind.anchor[:, 3].unique().tolist() == [float(level) for level in behind.anchor[:, 3].unique().long()]
    if not discrete:
        steps = torch.stack([behind.anchor[:, :3], behind.positive[:, :3]], dim=1).double().numpy()
        found = np.stack([steps[..., 0] * 64, steps[..., 1] * 64, (steps[..., 2] * 64) ** 2], axis=-1)
        distance = abs(found[:, None] - dataset.transitions[None]).max(axis=(2, 3)).min(axis=1)
        assert distance.max() < 1e-2


def test_levels_are_nearest_to_the_middles_of_their_bins() -> None:
    dataset = NaturalSprites(discrete=True)
    for column, edges in enumerate(dataset._edges):
        values = dataset.transitions[..., column]
        middles = (edges[1:] + edges[:-1]) / 2
        nearest = abs(values[..., None] - middles).argmin(axis=-1)
        np.testing.assert_array_equal(dataset._moving[..., column].numpy(), nearest)
    assert dataset.factors[2].size == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "first column is not id"),
        ("x,y\n1,2\n", "first column is not id"),
        ("id,cat_id,t_0\n", "no two adjacent frames"),
        ('id,cat_id,t_0,t_1\n1,1,"[(1, 2, 3)]","[(1, 2)]"\n', "is no list of"),
        ('id,cat_id,t_0,t_1\n1,1,"[(1, 2, 3)]","[(1, 2, ', "Expecting|unexpected|is damaged"),
        ('id,cat_id,t_0,t_1\n1,1,"[(1, 2, 3)]","__import__(1)"\n', "is damaged"),
    ],
)
def test_another_table_is_refused(content: str, message: str) -> None:
    put(NaturalSprites().sources[0], content.encode())
    with pytest.raises(DamagedFileError, match=message):
        NaturalSprites().sample(3, generator())
