"""Pictures of 3DIdent's scene that are drawn beforehand: an HDF5 file, made in parts that a killed run keeps."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float
from torch import Tensor

from unmix.datasets.download import data_folder, writable
from unmix.datasets.latents import Latents
from unmix.datasets.render import backend_for, render
from unmix.datasets.scene import Colours, Mode
from unmix.provenance import commit, versions
from unmix.seeds import derived_generator

PART = 256  # pictures
RENDERER = ("teapot", "materials", "scene", "raster_numba", "raster_torch")


@dataclass(frozen=True)
class Rendering:
    """What is drawn: n pictures of latents uniform in [-1, 1]^10.

    Raises:
        ValueError: n < 1, or a size below 8.
    """

    n: int
    size: int = 64
    mode: Mode = "box"
    colours: Colours = "clean"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"there is nothing to draw: n is {self.n}, and must be at least 1")
        if self.size < 8:
            raise ValueError(f"a picture of {self.size} x {self.size} pixels shows nothing: give it at least 8")

    @property
    def path(self) -> Path:
        """Where the dataset looks for it."""
        seed = f"-seed{self.seed}" if self.seed else ""
        name = f"{self.mode}-{self.colours}-{self.size}px-{self.n}{seed}.h5"
        return data_folder() / "threedident_procedural" / name

    @property
    def command(self) -> str:
        """What makes it."""
        given = [f"--n {self.n} --size {self.size}"]
        given += [f"--{name} {value}" for name, value in (("mode", self.mode), ("colours", self.colours))]
        return f"unmix data render threedident {' '.join(given)}"

    def latents(self) -> Float[Tensor, "n 10"]:
        """Of all pictures, from the seed."""
        box = Latents.parse("box(low=-1, high=1)", "uniform", n=10)
        return box.sample(self.n, derived_generator(self.seed, "threedident_procedural"))


def fingerprint() -> str:
    """Of the renderer's sources: parts of two versions are not put together."""
    sources = (Path(__file__).with_name(f"{name}.py").read_bytes() for name in RENDERER)
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


def draw(
    rendering: Rendering,
    path: Path,
    workers: int = 1,
    device: str = "cpu",
    drawn: Callable[[int], None] = lambda n: None,
) -> float:
    """Draw what is missing and write the file, whole or not at all; returns the seconds that it took.

    Finished parts lie in a folder beside the file until then, so that a killed run goes on where it stopped.

    Args:
        rendering: What to draw.
        path: The file. One that is there is left alone.
        workers: Processes, one thread each.
        device: Of torch. All but "cpu" draw in this process.
        drawn: Is called with the number of pictures that became ready.

    Raises:
        StorageError: The folder cannot be written to, or is full.
    """
    parts = path.with_name(f".{path.name}.parts")
    with writable(path.parent), FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            drawn(rendering.n)
            return 0.0
        begin = time.perf_counter()
        identity = {**asdict(rendering), "renderer": fingerprint(), "backend": backend_for(torch.device(device))}
        _prepare(parts, identity)
        latents = rendering.latents()
        numbers = range((rendering.n + PART - 1) // PART)
        todo = [number for number in numbers if not _part(parts, number).exists()]
        drawn(rendering.n - sum(len(_of(latents, number)) for number in todo))
        work = partial(_draw_part, parts, rendering, device)
        for number in _executed(work, [(number, _of(latents, number)) for number in todo], workers, device):
            drawn(len(_of(latents, number)))
        seconds = time.perf_counter() - begin
        _assemble(path, parts, latents, {**identity, "device": device, "seconds": seconds})
        shutil.rmtree(parts)
        return seconds


def _prepare(parts: Path, identity: dict[str, Any]) -> None:
    """Keep the parts of an earlier run, unless another renderer drew them."""
    plan = parts / "plan.json"
    if plan.exists() and json.loads(plan.read_text()) != identity:
        shutil.rmtree(parts)
    parts.mkdir(exist_ok=True)
    _replace(plan, json.dumps(identity).encode())


def _executed(
    work: Callable[[tuple[int, Tensor]], int], todo: list[tuple[int, Tensor]], workers: int, device: str
) -> Iterator[int]:
    if device != "cpu" or workers == 1:
        yield from map(work, todo)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as executor:
        try:
            yield from executor.map(work, todo)
        finally:
            executor.shutdown(cancel_futures=True)


def _draw_part(parts: Path, rendering: Rendering, device: str, item: tuple[int, Tensor]) -> int:
    number, latents = item
    images = render(latents.to(device), rendering.size, rendering.mode, rendering.colours)
    _replace(_part(parts, number), np.ascontiguousarray(images.cpu().permute(0, 2, 3, 1).numpy()).tobytes())
    return number


def _assemble(path: Path, parts: Path, latents: Float[Tensor, "n 10"], attributes: dict[str, Any]) -> None:
    import h5py

    n, size = len(latents), attributes["size"]
    unfinished = parts / "whole.h5"
    with h5py.File(unfinished, "w") as file:
        file.attrs.update(attributes, commit=commit(), versions=json.dumps(versions()))
        file.create_dataset("latents", data=latents.numpy())
        images = file.create_dataset(
            "images", (n, size, size, 3), np.uint8, chunks=(min(PART, n), size, size, 3), compression="gzip"
        )
        for start in range(0, n, PART):
            content = np.frombuffer(_part(parts, start // PART).read_bytes(), np.uint8)
            images[start : start + PART] = content.reshape(-1, size, size, 3)
    unfinished.replace(path)


def _of(latents: Float[Tensor, "n 10"], number: int) -> Float[Tensor, "part 10"]:
    return latents[number * PART : (number + 1) * PART]


def _part(parts: Path, number: int) -> Path:
    return parts / f"{number:06d}.rgb"


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
