"""Pictures of 3DIdent's scene, by the fastest backend that is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unmix.datasets.scene import Colours, Mode, scene, units

Backend = Literal["numba", "torch"]
BATCH = 2**14, 2**18  # pixels that torch draws at once: on a CPU few, for its cache; elsewhere some gigabytes' worth


def backend_for(device: torch.device) -> Backend:
    """numba on a CPU that has it (`pip install 'unmix[render]'`), else torch."""
    return "numba" if device.type == "cpu" and find_spec("numba") else "torch"


def render(
    latents: Float[Tensor, "n 10"],
    size: int,
    mode: Mode = "box",
    colours: Colours = "clean",
    backend: Backend | None = None,
) -> UInt8[Tensor, "n 3 size size"]:
    """Draw latents in [-1, 1], on their device.

    The same latents give the same bytes, whatever the batch and the number of threads (torch's); the two backends,
    and two devices, differ by at most one grey level.

    Raises:
        ModuleNotFoundError: The backend numba is not installed.
        ValueError: Latents outside of [-1, 1], or a size below 8.
    """
    check(latents, size)
    used = backend or backend_for(latents.device)
    placed = units(latents.detach().cpu().double().numpy(), mode)
    if used == "numba":
        from unmix.datasets import raster_numba

        drawn = raster_numba.draw(scene(placed, size, colours), size, torch.get_num_threads())
        return torch.from_numpy(drawn).to(latents.device)
    from unmix.datasets import raster_torch

    # Exact coverage needs float64, which Apple's GPUs do not have.
    device = torch.device("cpu") if latents.device.type == "mps" else latents.device
    step = max(BATCH[device.type != "cpu"] // size**2, 1)
    images = torch.empty((len(placed), 3, size, size), dtype=torch.uint8, device=latents.device)
    for start in range(0, len(placed), step):
        part = scene(placed[start : start + step], size, colours)
        images[start : start + step] = raster_torch.draw(part, size, device)
    return images


def check(latents: Float[Tensor, "n 10"], size: int) -> None:
    """Refuse what cannot be drawn, and name it."""
    if size < 8:
        raise ValueError(f"a picture of {size} x {size} pixels shows nothing: give it a size of at least 8")
    outside = (~(latents.abs() <= 1)).nonzero()
    if len(outside):
        row, column = outside[0].tolist()
        raise ValueError(
            f"latents are in [-1, 1], and number {column} of row {row} is {latents[row, column].item():g}"
        )
