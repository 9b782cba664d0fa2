"""dSprites' published file: its images come out exactly, drawn and corrected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from unmix.datasets import dsprites
from unmix.datasets.corrections import Corrections
from unmix.datasets.download import DamagedFileError, MissingFileError, Source
from unmix.datasets.dsprites import DSprites, DSpritesProcedural

SMALL = {"shape": 3, "scale": 2, "orientation": 2, "x": 5, "y": 4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """dSprites with few levels and no published checksums, in a folder of its own."""
    factors = [
        replace(factor, size=SMALL.get(factor.name, 1), labels=factor.labels[: SMALL.get(factor.name, 1)])
        for factor in dsprites.FACTORS
    ]
    sources = tuple(Source("dsprites", f"dsprites{suffix}") for suffix in (".npz", ".hdf5"))
    monkeypatch.setattr(dsprites, "FACTORS", tuple(factors))
    monkeypatch.setitem(dict(dsprites.SOURCES), "dsprites", sources)
    monkeypatch.setattr(dsprites, "SOURCES", {"dsprites": sources})
    monkeypatch.setenv("UNMIX_DATA", str(tmp_path))
    (tmp_path / "dsprites").mkdir()
    return tmp_path / "dsprites"


def stored_images() -> np.ndarray:
    """The drawn ones of the small grid with some pixels wrong, in {0, 1} as published."""
    drawn = DSpritesProcedural()
    images = drawn.images(drawn.grid.levels(torch.arange(len(drawn.grid))))[:, 0].numpy() // 255
    generator = np.random.default_rng(0)
    flips = generator.random(images.shape) < 1e-4
    return np.where(flips, 1 - images, images).astype(np.uint8)


def write(folder: Path, images: np.ndarray, suffix: str) -> None:
    if suffix == ".npz":
        np.savez_compressed(folder / "dsprites.npz", imgs=images, latents_classes=np.zeros((len(images), 6), np.int64))
    else:
        with h5py.File(folder / "dsprites.hdf5", "w") as file:
            file.create_dataset("imgs", data=images, chunks=(7, 64, 64), compression="gzip")


@pytest.mark.parametrize("suffix", [".npz", ".hdf5"])
def test_images_are_those_of_the_file(folder: Path, suffix: str) -> None:
    images = stored_images()
    write(folder, images, suffix)
    dataset = DSprites()
    every = dataset.grid.levels(torch.arange(len(dataset.grid)))
    np.testing.assert_array_equal(dataset.images(every)[:, 0].numpy(), images * 255)
    generator = torch.Generator().manual_seed(0)
    observations, factors = dataset.sample(50, generator)
    np.testing.assert_array_equal(observations[:, 0].numpy(), images[dataset.grid.index(factors.long()).numpy()] * 255)
    assert 0 < dataset.corrections.error < 1
    assert 0 < dataset.corrections.exact < 1


def test_the_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = stored_images()
    write(folder, images, ".npz")
    DSprites().corrections  # noqa: B018
    monkeypatch.setattr(dsprites, "image_chunks", None)
    dataset = DSprites()
    np.testing.assert_array_equal(dataset.images(dataset.grid.levels(torch.tensor([7])))[0, 0], images[7] * 255)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (lambda images: images[:-1], "it holds 239 images, 240 are expected"),
        (lambda images: images[:, :32], r"it holds images \(32, 64\), 240 of \(64, 64\) are expected"),
        (lambda images: images[::-1], "differ from the drawn ones by"),
    ],
)
def test_other_images_are_refused(folder: Path, images: object, message: str) -> None:
    assert callable(images)
    write(folder, np.ascontiguousarray(images(stored_images())), ".npz")
    with pytest.raises(DamagedFileError, match=message):
        DSprites().sample(1, torch.Generator().manual_seed(0))
    assert list(folder.glob("*corrections*")) == []


def test_a_truncated_file_is_named(folder: Path) -> None:
    write(folder, stored_images(), ".npz")
    path = folder / "dsprites.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedFileError, match=r"dsprites\.npz"):
        DSprites().sample(1, torch.Generator().manual_seed(0))


def test_without_a_file_the_sentence_says_what_to_do(folder: Path) -> None:
    dataset = DSprites()
    assert len(dataset.factors) == 6
    with pytest.raises(MissingFileError, match=r"dsprites needs dsprites\.hdf5"):
        dataset.sample(1, torch.Generator().manual_seed(0))


def test_memory_is_a_fraction_of_the_packed_file() -> None:
    """At the error that was measured on published pictures; the packed HDF5 file has 28,024,106 bytes."""
    from unmix.datasets.sprites import _tables

    images, pixels = 737_280, round(0.33 * 737_280)
    corrections = Corrections(torch.zeros(images + 1).int(), torch.zeros(pixels).to(torch.int16), (64, 64))
    tables = sum(table.nbytes for table in vars(_tables("cpu")).values())
    assert corrections.bytes + tables < 0.6 * 28_024_106


@pytest.mark.slow
def test_the_real_file_agrees_with_the_geometry_as_its_pictures_did() -> None:
    """rendering.md, section 4: 74 % of 43 images exact, 0.33 wrong pixels an image; here over all images."""
    dataset = DSprites()
    if dataset.missing():
        pytest.skip(dataset.missing())
    print(f"exact {dataset.corrections.exact:.4f}, wrong pixels {dataset.corrections.error:.4f}")
    assert dataset.corrections.exact > 0.7
    assert dataset.corrections.error < 0.5
