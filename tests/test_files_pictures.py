"""3DIdent and Causal3DIdent, read from small tars in the published layout: pictures, latents, nearest neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from miniatures import npy, pictures, png, put, seen, tar

from unmix.datasets.causal3dident import Causal3DIdent
from unmix.datasets.download import FOLDER, DamagedFileError, MissingFileError
from unmix.datasets.threedident_files import Pictures, ThreeDIdent
from unmix.registry import UnknownNameError
from unmix.types import ConditionalDataset, DeclinedError

KINDS = (ThreeDIdent, Causal3DIdent)
PUBLISHED = ("threedident", "causal3dident")
pytestmark = pytest.mark.usefixtures("patch")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [16, 64, 80])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_shows_its_latents(kind: type[Pictures], split: str, size: int) -> None:
    dataset = kind(split=split, size=size)  # type: ignore[call-arg]
    images, factors = dataset.sample(100, generator())
    assert images.shape == (100, 3, size, size)
    assert images.dtype == torch.uint8
    assert factors.shape == (100, len(dataset.factors))
    # A stripe has 1.6 pixels at the smallest size, so its middle takes some of its neighbours' grey.
    np.testing.assert_allclose(seen(images, 10) * 2 - 1, factors[:, -10:].numpy(), atol=0.7 if size == 16 else 0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_the_pictures_of_their_factors(kind: type[Pictures]) -> None:
    dataset = kind()
    pair, behind = dataset.sample_pairs(100, generator()), dataset.factor_pairs(100, generator())
    for images, factors in zip(pair, behind, strict=True):
        np.testing.assert_allclose(seen(images, 10) * 2 - 1, factors[:, -10:].numpy(), atol=0.02)
    assert (behind.anchor != behind.positive).any(dim=1).all()
    together = (behind.anchor - behind.positive)[:, -10:].square().mean()
    assert together < 0.7 * (behind.anchor - behind.positive.roll(1, 0))[:, -10:].square().mean()


def brute(latents: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The two nearest rows, by all distances in float64."""
    distances = ((latents[None].astype(np.float64) - z[:, None]) ** 2).sum(axis=2)
    return np.argsort(distances, axis=1, kind="stable")[:, :2]


def test_neighbours_are_exact() -> None:
    dataset = ThreeDIdent()
    z = torch.rand((200, 10), generator=generator()) * 2 - 1
    np.testing.assert_array_equal(dataset.nearest(z, torch.zeros(200)).numpy(), brute(dataset.table[:, 1:], z.numpy()))


def test_pairs_follow_the_paper() -> None:
    """z and z' are drawn on the box and snap; the second neighbour where both would be one picture."""
    dataset = ThreeDIdent(conditional="normal(std=0.05)")
    z, positive = dataset._latents.sample_pairs(300, generator())
    table = dataset.table[:, 1:]
    anchors, candidates = brute(table, z.numpy())[:, 0], brute(table, positive.numpy())
    same = candidates[:, 0] == anchors
    assert 0.2 < same.mean() < 0.999
    expected = np.where(same, candidates[:, 1], candidates[:, 0])
    behind = dataset.factor_pairs(300, generator())
    np.testing.assert_array_equal(behind.anchor.numpy(), table[anchors])
    np.testing.assert_array_equal(behind.positive.numpy(), table[expected])


def test_causal_pairs_show_one_object() -> None:
    dataset = Causal3DIdent()
    anchor, positive = dataset.factor_pairs(300, generator())
    assert torch.equal(anchor[:, 0], positive[:, 0])
    assert set(anchor[:, 0].tolist()) == set(range(7))
    np.testing.assert_allclose(anchor[:, 1].numpy(), anchor[:, 0].numpy() / 3 - 1, atol=1e-6)  # the file's mark
    for group in range(7):  # nearest among the pictures of the object, other than the anchor
        rows = dataset.table[dataset.table[:, 0] == group, -10:]
        assert all((rows == z).all(axis=1).any() for z in positive[positive[:, 0] == group][:, 1:].numpy())


def test_positives_of_given_factors_are_near_them() -> None:
    dataset = ThreeDIdent(conditional="normal(std=0.01)")
    assert isinstance(dataset, ConditionalDataset)
    z = dataset.sample(100, generator())[1]
    images = dataset.sample_positives(z, generator(1))
    second = dataset.table[brute(dataset.table[:, 1:], z.numpy())[:, 1], 1:]
    agree = np.abs(seen(images, 10) * 2 - 1 - second).max(axis=1) < 0.02
    assert agree.mean() > 0.9  # so narrow a conditional seldom changes which picture is the second nearest


def test_a_conditional_is_checked_at_once() -> None:
    for text, error in (("normol(std=1)", UnknownNameError), ("normal(std=-1)", ValueError)):
        with pytest.raises(error):
            ThreeDIdent(conditional=text)
    with pytest.raises(UnknownNameError, match="did you mean test"):
        ThreeDIdent(split="tset")
    with pytest.raises(ValueError, match="must be between 1 and 224"):
        ThreeDIdent(size=500)
    with pytest.raises(DeclinedError, match="without pairs"):
        ThreeDIdent(conditional="").sample_pairs(3, generator())


@pytest.mark.parametrize("kind", KINDS)
def test_without_files_it_says_what_it_needs(
    kind: type[Pictures], tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    patch.setenv(FOLDER, str(tmp_path / "empty"))
    dataset = kind()
    for draw in (dataset.sample, dataset.sample_pairs):
        with pytest.raises(MissingFileError, match="by hand, from https://zenodo"):
            draw(3, generator())


# Damaged files.


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_tar_is_named(kind: type[Pictures], share: float, tmp_path: Path) -> None:
    path = kind().sources[0].path
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DamagedFileError, match=f"{path.name} is damaged"):
        kind().sample(3, generator())
    assert not list(path.parent.glob("*.npy"))


def content(changed: dict[str, bytes] | None = None, without: str = "") -> bytes:
    latents = np.random.default_rng(0).uniform(-1, 1, (20, 10))
    members = {**pictures("3dident/train", latents), **(changed or {})}
    return tar({name: member for name, member in members.items() if not without or without not in name})


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (content(without="/03.png"), "1 of 20 pictures are not in it"),
        (content(without="raw_latents"), r"latents of the groups \[\]"),
        (content({"3dident/train/images/20.png": png(np.zeros((8, 8, 3), np.uint8))}), "a picture 20, and latents of"),
        (content({"3dident/train/images/03.png": b"no picture"}), "a picture in it cannot be read"),
        (content({"3dident/train/raw_latents.npy": npy(np.ones((20, 9)))}), r"shape \(20, 9\) holds no 10 latents"),
        (content({"3dident/train/raw_latents.npy": npy(np.full((20, 10), 3.0))}), r"no 10 latents in \[-1, 1\]"),
        (content({"3dident/train/raw_latents.npy": npy(np.array([[None] * 10]))}), "allow_pickle=False"),
        (content({"../../../outside.png": b"x"}), "points outside of it"),
        (content({"/etc/../../outside.png": b"x"}), "points outside of it"),
    ],
)
def test_other_content_is_refused(archive: bytes, message: str, tmp_path: Path) -> None:
    put(ThreeDIdent().sources[0], archive)
    with pytest.raises(DamagedFileError, match=message):
        ThreeDIdent().sample(3, generator())
    assert not list(tmp_path.rglob("outside*"))
    assert not list(tmp_path.rglob("*px.npy"))


def test_causal3dident_is_not_3dident() -> None:
    put(ThreeDIdent().sources[0], tar(pictures("trainset", np.zeros((10, 10)), "_3")))
    with pytest.raises(DamagedFileError, match=r"latents of the groups \[3\], published are 0 to 0"):
        ThreeDIdent().sample(3, generator())
