"""Datasets on grids, read from small files in the published formats: every image is that of its factors."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from miniatures import drawn, in_colour, matrix, npz, put, seen, shares_of, tar

from unmix.cli import main
from unmix.datasets import mpi3d, smallnorb
from unmix.datasets.cars3d import Cars3D
from unmix.datasets.download import FOLDER, DamagedFileError, MissingFileError, StorageError
from unmix.datasets.mpi3d import Mpi3d
from unmix.datasets.published import PublishedGrid
from unmix.datasets.shapes3d import Shapes3D
from unmix.datasets.smallnorb import SmallNorb, read_matrix
from unmix.datasets.stored import StoredImages, copy, image_chunks, image_shape, unpack
from unmix.registry import UnknownNameError

GRIDS: dict[str, tuple[type[PublishedGrid], dict[str, Any]]] = {
    "shapes3d": (Shapes3D, {}),
    "mpi3d": (Mpi3d, {}),
    "mpi3d real_complex": (Mpi3d, {"variant": "real_complex"}),
    "smallnorb": (SmallNorb, {}),
    "smallnorb train": (SmallNorb, {"split": "train"}),
    "smallnorb test": (SmallNorb, {"split": "test"}),
    "cars3d": (Cars3D, {}),
}
PUBLISHED = ("shapes3d", "mpi3d", "smallnorb", "cars3d")
pytestmark = pytest.mark.usefixtures("patch")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", GRIDS)
def test_every_image_shows_its_factors(name: str) -> None:
    kind, fields = GRIDS[name]
    dataset = kind(**fields)
    assert dataset.missing() == ""
    levels = dataset.grid.levels(torch.arange(len(dataset.grid)))
    images = dataset.observe(levels)
    assert images.dtype == torch.uint8
    assert images.shape == (len(levels), *dataset.shape)
    # A resampled stripe is as bright in its middle as before.
    np.testing.assert_allclose(seen(images, len(dataset.factors)), expected(dataset), atol=1.5 / 255)


def expected(dataset: PublishedGrid) -> np.ndarray:
    """The shares that the miniatures show: an instance of SmallNORB is as bright in any split."""
    shares = shares_of(dataset.grid)
    if isinstance(dataset, SmallNorb):
        every, instances = smallnorb.INSTANCES["all"], smallnorb.INSTANCES[dataset.split]
        level = np.round(shares[:, 1] * (len(instances) - 1)).astype(int)
        shares[:, 1] = np.searchsorted(every, np.array(instances)[level]) / (len(every) - 1)
    return shares


@pytest.mark.parametrize("name", GRIDS)
def test_sample_and_pairs_are_the_images_of_their_factors(name: str) -> None:
    kind, fields = GRIDS[name]
    dataset = kind(**fields)
    images, factors = dataset.sample(50, generator())
    assert torch.equal(images, dataset.observe(factors))
    pair, behind = dataset.sample_pairs(50, generator()), dataset.factor_pairs(50, generator())
    for part, levels in zip(pair, behind, strict=True):
        assert torch.equal(part, dataset.observe(levels))
    assert (behind.anchor != behind.positive).any(dim=1).all()


def test_files_are_unpacked_once(tmp_path: Path) -> None:
    first = Shapes3D().sample(20, generator())[0]
    (unpacked,) = tmp_path.glob("shapes3d/*.npy")
    made = unpacked.stat().st_mtime_ns
    assert torch.equal(Shapes3D().sample(20, generator())[0], first)
    assert unpacked.stat().st_mtime_ns == made
    assert not list(tmp_path.glob("shapes3d/.*.part"))


def test_a_pickled_dataset_takes_no_images_along() -> None:
    dataset = Shapes3D()
    images, factors = dataset.sample(20, generator())
    content = pickle.dumps(dataset)
    assert len(content) < 10_000
    assert torch.equal(pickle.loads(content).observe(factors), images)


@pytest.mark.parametrize("name", GRIDS)
def test_without_files_a_dataset_says_what_it_needs(name: str, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    kind, fields = GRIDS[name]
    patch.setenv(FOLDER, str(tmp_path / "empty"))
    dataset = kind(**fields)
    assert len(dataset.factors) >= 3
    folder = tmp_path / "empty" / dataset.sources[0].dataset
    for part in (dataset.sources[0].name, str(folder), "by hand, from http", "needs"):
        assert part in dataset.missing()
    for draw in (dataset.sample, dataset.sample_pairs):
        with pytest.raises(MissingFileError, match="needs"):
            draw(3, generator())
    assert not folder.exists()


def truncate(path: Path, share: float = 0.6) -> None:
    os.truncate(path, int(path.stat().st_size * share))


@pytest.mark.parametrize("name", GRIDS)
def test_truncated_files_are_named(name: str, tmp_path: Path) -> None:
    kind, fields = GRIDS[name]
    dataset = kind(**fields)
    path = dataset.sources[0].path
    truncate(path)
    with pytest.raises(DamagedFileError, match=f"{re.escape(path.name)} is damaged.*unmix data fetch"):
        dataset.sample(3, generator())
    assert not list(path.parent.glob("*.npy"))
    assert not list(path.parent.glob(".*.part"))


def test_list_shows_factors_and_what_is_here(
    tmp_path: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> str:
        assert main(["list", "datasets", "-v"]) == 0
        return " ".join(capsys.readouterr().out.split())

    with_files = shown()
    for factor in Shapes3D().factors:
        assert f"factor {factor.describe()}" in with_files
    assert with_files.count("its files are here") == 4
    patch.setenv(FOLDER, str(tmp_path / "empty"))
    without = shown()
    assert "its files are here" not in without
    assert "run `unmix data fetch shapes3d 3dshapes.h5`" in without


# Shapes3D.


def test_shapes3d_of_another_size_is_refused() -> None:
    path = Shapes3D().sources[0].path
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((100, 64, 64, 3), np.uint8)
    with pytest.raises(DamagedFileError, match="it holds 100 images, 648 are expected"):
        Shapes3D().sample(3, generator())


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros((648, 64, 64, 3), np.float32), "images is float32"), (np.zeros((648, 32, 32, 3), np.uint8), "reshape")],
)
def test_shapes3d_of_another_type_is_refused(array: np.ndarray, message: str) -> None:
    with h5py.File(Shapes3D().sources[0].path, "w") as file:
        file["images"] = array
    with pytest.raises(DamagedFileError, match=message):
        Shapes3D().sample(3, generator())


def test_another_file_under_its_name_is_refused() -> None:
    put(Shapes3D().sources[0], npz(np.zeros((3, 64, 64, 3), np.uint8)))
    with pytest.raises(DamagedFileError, match=r"does not begin like a \.h5 file"):
        Shapes3D().sample(3, generator())


# MPI3D.


def test_mpi3d_of_another_variant_is_refused() -> None:
    toy, other = Mpi3d().sources[0].path, Mpi3d(variant="real_complex").sources[0].path
    toy.write_bytes(other.read_bytes())
    with pytest.raises(DamagedFileError, match="another variant's file, renamed"):
        Mpi3d().sample(3, generator())


def test_mpi3d_of_a_variant_of_the_same_shape_is_told_by_its_checksum(patch: pytest.MonkeyPatch) -> None:
    """Against the checksum of images.npy as NumPy writes it, header and all."""
    toy, realistic = Mpi3d(), Mpi3d(variant="realistic")
    put(realistic.sources[0], toy.sources[0].path.read_bytes())
    with zipfile.ZipFile(toy.sources[0].path) as archive:
        digest = hashlib.sha256(archive.read("images.npy")).hexdigest()
    patch.setattr(mpi3d, "IMAGES_SHA256", {"realistic": digest})
    with pytest.raises(DamagedFileError, match="does not hold the published images of toy"):
        toy.sample(3, generator())
    assert realistic.sample(3, generator())[0].shape == (3, 3, 64, 64)
    patch.setattr(mpi3d, "IMAGES_SHA256", {"realistic": "0" * 64})
    put(realistic.sources[0], npz(np.ones((len(toy.grid), 64, 64, 3), np.uint8)))
    realistic.sources[0].pin.unlink()
    with pytest.raises(DamagedFileError, match="does not hold the published images of realistic"):
        Mpi3d(variant="realistic").sample(3, generator())


def test_mpi3d_without_images_is_refused() -> None:
    put(Mpi3d().sources[0], npz(np.zeros((3, 64, 64, 3), np.uint8), name="imgs"))
    with pytest.raises(DamagedFileError, match=r"images\.npy"):
        Mpi3d().sample(3, generator())


def test_unknown_variants_list_the_close_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean real"):
        Mpi3d(variant="reel")
    with pytest.raises(UnknownNameError, match="did you mean train"):
        SmallNorb(split="trains")


# SmallNORB.


def test_smallnorb_of_the_other_split_is_refused() -> None:
    train, test = SmallNorb(split="train"), SmallNorb(split="test")
    for mine, other in zip(train.sources, test.sources, strict=True):
        mine.path.write_bytes(other.path.read_bytes())
    with pytest.raises(DamagedFileError, match=r"another split's file|have no photograph"):
        train.sample(3, generator())


def test_smallnorb_without_a_combination_is_refused() -> None:
    dataset = SmallNorb(split="train")
    info = read_matrix(dataset.sources[2].path).copy()
    info[0] = info[1]
    put(dataset.sources[2], matrix(info))
    with pytest.raises(DamagedFileError, match="have no photograph of 1 of 216 combinations"):
        dataset.sample(3, generator())


def test_smallnorb_photographs_are_no_labels() -> None:
    dataset = SmallNorb(split="train")
    put(dataset.sources[0], dataset.sources[1].path.read_bytes())
    with pytest.raises(DamagedFileError, match=r"uint8 \(216, 2, height, width\) is published"):
        dataset.sample(3, generator())
    put(dataset.sources[1], gzip.compress(b"a text that was renamed"))
    dataset.sources[1].pin.unlink()
    with pytest.raises(DamagedFileError, match="binary matrix"):
        SmallNorb(split="train").sample(3, generator())


@pytest.mark.parametrize("array", [np.arange(24, dtype=np.int32), np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)])
def test_binary_matrices_are_read_as_written(array: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "matrix.gz"
    path.write_bytes(matrix(array))
    np.testing.assert_array_equal(read_matrix(path), array)


def test_binary_matrix_header_is_the_published_layout(tmp_path: Path) -> None:
    """By hand: a vector still has three sizes; everything is little-endian."""
    path = tmp_path / "matrix.gz"
    path.write_bytes(gzip.compress(bytes.fromhex("544c3d1e 01000000 02000000 01000000 01000000 05000000 ff010000")))
    assert read_matrix(path).tolist() == [5, 511]


# Cars3D.


def test_cars3d_without_a_listed_car_is_refused() -> None:
    put(Cars3D().sources[0], tar({"data/cars/list.txt": b"car_001_mesh\n"}, "w:gz"))
    with pytest.raises(DamagedFileError, match="lists 1 cars and holds 0, 3 are published"):
        Cars3D().sample(3, generator())


def test_cars3d_with_a_damaged_car_is_refused() -> None:
    put(Cars3D().sources[0], tar({"data/cars/car_1.mat": b"no matrix" * 100, "data/cars/list.txt": b"car_1"}, "w:gz"))
    with pytest.raises(DamagedFileError, match="a car in it cannot be read"):
        Cars3D().sample(3, generator())


def test_an_archive_that_points_outside_is_refused(tmp_path: Path) -> None:
    put(Cars3D().sources[0], tar({"../../outside.mat": b"x", "data/cars/list.txt": b""}, "w:gz"))
    with pytest.raises(DamagedFileError, match="points outside of it"):
        Cars3D().sample(3, generator())
    assert not list(tmp_path.rglob("outside*"))


# Arrays on disk.


@pytest.mark.parametrize("rows", [1, 7, 50, 1000])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_chunks_are_the_array(rows: int, suffix: str, tmp_path: Path) -> None:
    images = in_colour(drawn(np.random.default_rng(0).uniform(size=(53, 4)), 8))
    path = tmp_path / f"file{suffix}"
    if suffix == ".npz":
        path.write_bytes(npz(images))
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("images", data=images, chunks=(5, 8, 8, 3))
    assert image_shape(path, "images") == images.shape
    chunks = list(image_chunks(path, "images", rows))
    np.testing.assert_array_equal(np.concatenate(chunks), images)
    assert max(map(len, chunks)) <= max(rows, 5 if suffix == ".h5" else 1)


def test_a_damaged_npz_fails_its_own_checksum(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, images=np.zeros((50, 8, 8), np.uint8))
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("images.npy").header_offset
    content = bytearray(path.read_bytes())
    content[offset + 2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="CRC-32"):
        list(image_chunks(path, "images"))


def test_unpacking_is_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "images.npy"

    def fail(images: np.ndarray) -> None:
        images[0] = 1
        raise EOFError("ends early")

    with pytest.raises(EOFError):
        unpack(target, (3, 2, 2, 1), fail)
    assert list(tmp_path.glob("*.npy")) == list(tmp_path.glob(".*.part")) == []
    unpack(target, (3, 2, 2, 1), lambda images: copy(iter([np.full((3, 2, 2, 1), 7, np.uint8)]), images))
    assert np.load(target).min() == 7
    with pytest.raises(EOFError, match="it holds 2 images, 3 are expected"):
        unpack(tmp_path / "b.npy", (3, 2, 2, 1), lambda images: copy(iter([np.zeros((2, 2, 2, 1), np.uint8)]), images))


def test_too_little_room_is_said_before_unpacking(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"needs 1000000\.0 GB and .* GB are free"):
        unpack(tmp_path / "images.npy", (10**15,), lambda images: None)


def test_an_altered_unpacked_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((3, 4, 4, 1), np.uint8))
    with pytest.raises(DamagedFileError, match="expected uint8"):
        StoredImages(tmp_path / "images.npy", (4, 4, 4, 1))(torch.tensor([0]))


def test_a_read_only_folder_is_named(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    patch.setattr("numpy.lib.format.open_memmap", refuse)
    with pytest.raises(StorageError, match=r"cannot be written to \(Permission denied\).*UNMIX_DATA"):
        Shapes3D().sample(3, generator())


def test_what_is_written_is_not_kept_in_memory(tmp_path: Path) -> None:
    """Resident pages of the file after each chunk, as the system counts them: one chunk of 4 MB, not all of 64."""
    statistics = Path("/proc/self/status")
    if not statistics.exists():
        pytest.skip("the system has no /proc/self/status")

    def mapped() -> int:
        found = re.search(r"RssFile:\s+(\d+) kB", statistics.read_text())
        assert found
        return int(found[1]) // 1024

    resident = []

    def chunks() -> Iterator[np.ndarray]:
        for number in range(16):
            yield np.full((1024, 64, 64, 1), number, np.uint8)
            resident.append(mapped())

    before = mapped()
    unpack(tmp_path / "images.npy", (16 * 1024, 64, 64, 1), lambda images: copy(chunks(), images))
    assert max(resident) - before < 24
    stored = np.load(tmp_path / "images.npy")
    assert (stored == np.repeat(np.arange(16), 1024)[:, None, None, None]).all()
