"""Small files in the published formats, whose pictures show their factors: stripe j is as bright as factor j."""

from __future__ import annotations

import dataclasses
import gzip
import io
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from unmix.datasets import cars3d, causal3dident, mpi3d, shapes3d, smallnorb
from unmix.datasets.download import FOLDER, Source
from unmix.datasets.grid import Grid
from unmix.datasets.sources import SOURCES
from unmix.factors import Factor


def drawn(shares: np.ndarray, side: int = 64) -> np.ndarray:
    """Pictures (n, side, side) whose horizontal stripe j is as bright as share j of (n, k), in [0, 1]."""
    stripe = np.arange(side) * shares.shape[1] // side
    rows = np.round(np.clip(shares, 0, 1) * 255).astype(np.uint8)[:, stripe]
    return np.repeat(rows[:, :, None], side, axis=2)


def seen(images: torch.Tensor, k: int) -> np.ndarray:
    """The shares that pictures (n, c, side, side) show: the inverse of `drawn`, from the middle of each stripe."""
    side = images.shape[-1]
    middle = [int((j + 0.5) * side / k) for j in range(k)]
    return images[:, 0, middle, side // 2].numpy() / 255


def shares_of(grid: Grid) -> np.ndarray:
    """Of every combination of levels, in the grid's order."""
    levels = grid.levels(torch.arange(len(grid))).numpy()
    return levels / np.maximum(np.array(grid.sizes) - 1, 1)


def smaller(factors: Sequence[Factor], *sizes: int) -> tuple[Factor, ...]:
    return tuple(
        dataclasses.replace(factor, size=size, labels=(), period=float(size) if factor.period else None)
        for factor, size in zip(factors, sizes, strict=True)
    )


def put(source: Source, content: bytes) -> Path:
    source.path.parent.mkdir(parents=True, exist_ok=True)
    source.path.write_bytes(content)
    return source.path


def in_colour(images: np.ndarray) -> np.ndarray:
    return np.repeat(images[..., None], 3, axis=-1)


def write_shapes3d(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shapes3d, "FACTORS", smaller(shapes3d.FACTORS, 3, 3, 3, 2, 3, 4))
    path = put(SOURCES["shapes3d"][0], b"")
    with h5py.File(path, "w") as file:
        images = in_colour(drawn(shares_of(Grid(shapes3d.FACTORS))))
        file.create_dataset("images", data=images, chunks=(50, 64, 64, 3), compression="gzip", compression_opts=1)


def npz(images: np.ndarray, name: str = "images") -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: images})
    return buffer.getvalue()


def write_mpi3d(patch: pytest.MonkeyPatch) -> None:
    first = ((mpi3d.COLOURS, mpi3d.SHAPES, 3, 3), (mpi3d.COMPLEX_COLOURS, mpi3d.COMPLEX_SHAPES, 2, 4))
    names = (("COLOURS", "SHAPES"), ("COMPLEX_COLOURS", "COMPLEX_SHAPES"))
    for (colour, shape, *sizes), pair in zip(first, names, strict=True):
        for name, factor in zip(pair, smaller((colour, shape), *sizes), strict=True):
            patch.setattr(mpi3d, name, factor)
    patch.setattr(mpi3d, "SCENE", smaller(mpi3d.SCENE, 2, 3, 2, 3, 3))
    patch.setattr(mpi3d, "IMAGES_SHA256", {})
    for variant in ("toy", "real_complex"):
        dataset = mpi3d.Mpi3d(variant=variant)
        put(dataset.sources[0], npz(in_colour(drawn(shares_of(dataset.grid)))))


def matrix(array: np.ndarray) -> bytes:
    """SmallNORB's binary matrix format, gzipped."""
    magic = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}[array.dtype.name]
    sizes = [*array.shape, *(1,) * (3 - array.ndim)]
    header = struct.pack(f"<ii{len(sizes)}i", magic, array.ndim, *sizes)
    return gzip.compress(header + array.tobytes(), compresslevel=1)


def write_smallnorb(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(smallnorb, "INSTANCES", {"train": (4, 6), "test": (0, 1), "all": (0, 1, 4, 6)})
    patch.setattr(smallnorb, "CATEGORY", smaller([smallnorb.CATEGORY], 3)[0])
    patch.setattr(smallnorb, "VIEW", smaller(smallnorb.VIEW, 3, 4, 3))
    whole = smallnorb.SmallNorb()
    levels = whole.grid.levels(torch.arange(len(whole.grid))).numpy()
    instance = np.array(smallnorb.INSTANCES["all"])[levels[:, 1]]
    left = drawn(shares_of(whole.grid), 96)
    order = np.random.default_rng(0).permutation(len(levels))  # the files are in no order
    for split in ("train", "test"):
        rows = order[np.isin(instance[order], smallnorb.INSTANCES[split])]
        info = np.stack([instance[rows], levels[rows, 2], levels[rows, 3] * 2, levels[rows, 4]], axis=1)
        stereo = np.stack([left[rows], 255 - left[rows]], axis=1)
        contents = (stereo, levels[rows, 0].astype(np.int32), info.astype(np.int32))
        for source, content in zip(smallnorb.SmallNorb(split=split).sources, contents, strict=True):
            put(source, matrix(np.ascontiguousarray(content)))


def tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def write_cars3d(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cars3d, "FACTORS", smaller(cars3d.FACTORS, 3, 4, 3))
    grid = Grid(cars3d.FACTORS)
    images = in_colour(drawn(shares_of(grid), 128)).reshape(*grid.sizes, 128, 128, 3)
    names = ["car_007_mesh", "car_002_mesh", "car_011_mesh"]
    members: dict[str, bytes] = {"data/": b"", "data/sprites/other.mat": b"of another dataset"}
    for number, name in sorted(enumerate(names), key=lambda item: item[1]):
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {"im": images[:, :, number].transpose(2, 3, 4, 1, 0), "mask": np.zeros(3)})
        members[f"data/cars/{name}.mat"] = buffer.getvalue()
    members["data/cars/list.txt"] = "\n".join([*names, ""]).encode()
    put(SOURCES["cars3d"][0], tar(members, "w:gz"))


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def pictures(folder: str, latents: np.ndarray, group: str = "", side: int = 80) -> dict[str, bytes]:
    """Members of a tar: pictures that show their ten latents, and the latents."""
    width = int(np.ceil(np.log10(len(latents))))
    images = in_colour(drawn((latents + 1) / 2, side))
    members = {f"{folder}/images{group}/{i:0{width}}.png": png(image) for i, image in enumerate(images)}
    return {**members, f"{folder}/raw_latents{group}.npy": npy(latents)}


def write_threedident(patch: pytest.MonkeyPatch) -> None:
    for split, source in zip(("train", "test"), SOURCES["threedident"], strict=True):
        latents = np.random.default_rng(len(split)).uniform(-1, 1, (300 if split == "train" else 30, 10))
        members = pictures(f"3dident/{split}", latents)
        put(source, tar({**members, f"3dident/{split}/latents.npy": npy(latents * 3)}))


def write_causal3dident(patch: pytest.MonkeyPatch) -> None:
    for split, source in zip(("trainset", "testset"), SOURCES["causal3dident"], strict=True):
        members: dict[str, bytes] = {}
        for group in range(causal3dident.OBJECTS):
            latents = np.random.default_rng(group).uniform(-1, 1, (20 + group, 10))
            latents[:, 0] = group / 3 - 1  # tells the groups apart
            members |= pictures(split, latents, f"_{group}")
        put(source, tar(members, "w:gz"))


def masks() -> dict[str, list[np.ndarray]]:
    """Squares that drift and grow, of 2 to 21 frames."""
    rng = np.random.default_rng(0)
    sequences, latents = [], []
    for length in (2, 5, 20, 21):
        centre = rng.integers(15, 49, 2) + np.cumsum(rng.integers(-1, 2, (length, 2)), axis=0)
        half = 3 + np.arange(length) % 5
        frames = np.zeros((length, 64, 64), bool)
        for frame, (y, x), h in zip(frames, centre.clip(8, 55), half, strict=True):
            frame[y - h : y + h + 1, x - h : x + h + 1] = True
        sequences.append(frames)
        latents.append(np.column_stack([centre.clip(8, 55), (2 * half + 1) ** 2]).astype(float))
    return {"pedestrians": sequences, "pedestrians_latents": latents}


def write_kitti_masks(patch: pytest.MonkeyPatch) -> None:
    put(SOURCES["kitti_masks"][0], pickle.dumps(masks(), protocol=3))


def write_natural_sprites(patch: pytest.MonkeyPatch) -> None:
    """Objects in three windows of a video, some of them not visible."""
    rng = np.random.default_rng(0)
    lines = ["id,cat_id,t_0,t_1,t_2,t_3"]
    for number in range(60):
        start = rng.uniform(16, 48, (3, 2))
        cells = []
        for frame in range(4):
            parts = [
                "None" if (number + window) % 5 == 0 else f"({y}, {x}, {int(rng.integers(40, 900))})"
                for window, (y, x) in enumerate((start + rng.normal(0, 1, (3, 2))).tolist())
            ]
            cells.append("" if (number + frame) % 7 == 0 else '"[' + ", ".join(parts) + ']"')
        lines.append(f"{number},{number % 40}," + ",".join(cells))
    put(SOURCES["natural_sprites"][0], ("\n".join(lines) + "\n").encode())


WRITERS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    name.removeprefix("write_"): function for name, function in list(globals().items()) if name.startswith("write_")
}


@contextmanager
def published(folder: Path, *names: str) -> Iterator[pytest.MonkeyPatch]:
    """A folder with small files of these datasets (default: of all), which count as published while this lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        for name in names or WRITERS:
            free = [dataclasses.replace(source, size=None, checksums=()) for source in SOURCES[name]]
            patch.setitem(SOURCES, name, tuple(free))  # type: ignore[arg-type]
            WRITERS[name](patch)
        yield patch
