"""Images on disk: read from the published containers in chunks, unpacked once, drawn from a memory map."""

from __future__ import annotations

import math
import mmap
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Int, UInt8
from torch import Tensor

from unmix.datasets.download import FOLDER, DamagedFileError, MissingFileError, StorageError, writable

Images = np.ndarray[Any, np.dtype[np.uint8]]
"""(n, ...), as it lies in the file."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what any library raises on a damaged file into one sentence that names the file.

    Raises:
        DamagedFileError: The file cannot be read, or holds something else.
    """
    try:
        yield
    except (MissingFileError, DamagedFileError, StorageError):
        raise
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        reason = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        raise DamagedFileError(
            f"{path} is damaged, or another file of that name ({reason or type(error).__name__}): "
            "delete it and run `unmix data fetch`"
        ) from error


def image_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of the array `name` in a .npz or HDF5 file, without reading it.

    Raises:
        DamagedFileError: There is no such array, or it is not uint8.
    """
    with _array(path, name) as (shape, _):
        return shape


def image_chunks(path: Path, name: str, rows: int = 4096) -> Iterator[Images]:
    """The array `name` of a .npz or HDF5 file in pieces of about `rows` rows: it is never whole in memory.

    Args:
        path: Ends in .npz, .h5 or .hdf5.
        name: Of an array (n, ...) of uint8, in C order.
        rows: At most, but a whole number of an HDF5 file's own chunks.

    Raises:
        DamagedFileError: There is no such array, it is not uint8, or the file ends too early or fails its checksum.
    """
    with _array(path, name) as (shape, read):
        yield from read(shape, rows)


def npy_header(path: Path, name: str) -> bytes:
    """What stands before the array `name` of a .npz: with it, a checksum of the whole .npy can be made from chunks."""
    with reading(path), ZipFile(path) as archive:
        with archive.open(f"{name}.npy") as stream:
            _npy_header(stream, name)
            length = stream.tell()
        with archive.open(f"{name}.npy") as stream:
            return stream.read(length)


Read = Callable[[tuple[int, ...], int], Iterator[Images]]


@contextmanager
def _array(path: Path, name: str) -> Iterator[tuple[tuple[int, ...], Read]]:
    with reading(path):
        if path.suffix == ".npz":
            with ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
                yield _npy_header(stream, name), lambda shape, rows: _npy_chunks(stream, shape, rows)
        else:
            import h5py

            with h5py.File(path) as file:
                array = file[name]
                if array.dtype != np.uint8:
                    raise ValueError(f"{name} is {array.dtype}, and images are uint8")
                yield tuple(array.shape), lambda shape, rows: _hdf5_chunks(array, rows)


def _npy_header(stream: Any, name: str) -> tuple[int, ...]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype != np.uint8 or fortran:
        raise ValueError(f"{name} is {dtype}{', in Fortran order' if fortran else ''}: uint8 in C order is published")
    return tuple(shape)


def _npy_chunks(stream: Any, shape: tuple[int, ...], rows: int) -> Iterator[Images]:
    width = math.prod(shape[1:])
    for start in range(0, shape[0], rows):
        n = min(rows, shape[0] - start)
        content = stream.read(n * width)
        if len(content) != n * width:
            raise EOFError(f"it ends after {start + len(content) // width:,} of {shape[0]:,} images")
        yield np.frombuffer(content, np.uint8).reshape(n, *shape[1:])
    if stream.read(1):  # reading to the end also makes zipfile compare the checksum
        raise ValueError("it is longer than its header says")


def _hdf5_chunks(array: Any, rows: int) -> Iterator[Images]:
    own = array.chunks[0] if array.chunks else 1
    step = max(rows // own, 1) * own
    for start in range(0, len(array), step):
        yield array[start : start + step]


def unpack(
    target: Path, shape: tuple[int, ...], fill: Callable[[Images], None], dtype: type[np.generic] = np.uint8
) -> None:
    """Make `target`, a .npy of this shape, by `fill`: whole, or not at all. A target that is there is left alone.

    Raises:
        StorageError: The folder cannot be written to, or has too little room.
    """
    if target.exists():
        return
    with writable(target.parent), FileLock(target.with_name(f".{target.name}.lock")):
        if target.exists():
            return
        needed, free = math.prod(shape) * np.dtype(dtype).itemsize, shutil.disk_usage(target.parent).free
        if needed > free:  # a memory map on a full disk would end the process
            raise StorageError(
                f"unpacking to {target} needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: make room, or "
                f"name another folder by the environment variable {FOLDER}"
            )
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            array = np.lib.format.open_memmap(part, "w+", dtype, shape)
            fill(array)
            array.flush()
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def copy(chunks: Iterator[Images], images: Images) -> None:
    """Write chunks one after the other; there must be exactly as many rows, of the same size."""
    start = 0
    for chunk in tracked(chunks, len(images)):
        images[start : start + len(chunk)] = chunk.reshape(len(chunk), *images.shape[1:])
        start += len(chunk)
        _forget(images)
    if start != len(images):
        raise EOFError(f"it holds {start:,} images, {len(images):,} are expected")


def _forget(images: Images) -> None:
    """Take what was written to a memory map out of this process: the system's cache has it, and writes it to disk."""
    base: Any = images.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def tracked(chunks: Iterator[Images], total: int) -> Iterator[Images]:
    """The chunks, with a progress bar on a terminal: unpacking takes a minute or more, once."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("unpacking, once", total=total)
        for chunk in chunks:
            yield chunk
            progress.update(task, advance=len(chunk))


@dataclass(frozen=True)
class StoredImages:
    """Images (n, height, width, channels) of uint8 in a .npy file, drawn by their numbers.

    Only what is drawn is read, and the system's cache is shared by all processes. Pickled, it is a path.
    """

    path: Path
    shape: tuple[int, ...]

    @cached_property
    def array(self) -> Images:
        """The memory map.

        Raises:
            DamagedFileError: The file is not what was unpacked.
        """
        with reading(self.path):
            array: Images = np.load(self.path, mmap_mode="r", allow_pickle=False)
            if array.shape != self.shape or array.dtype != np.uint8:
                raise ValueError(f"{array.dtype} of shape {array.shape}, expected uint8 {self.shape}; it is made again")
            return array

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "shape": self.shape}

    def __call__(self, index: Int[Tensor, " n"]) -> UInt8[Tensor, "n channels height width"]:
        """The images of these numbers, on the numbers' device. Channels are last in memory, as convolutions like it."""
        rows = torch.from_numpy(self.array.take(index.cpu().numpy(), axis=0))
        return rows.to(index.device).permute(0, 3, 1, 2)
