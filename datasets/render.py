"""Pictures of 3DIdent's scene, by the fastest backend that is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unmix.datasets.scene import Colours, Mode, scene, units

Backend = Literal["numba", "torch"]
BATCH = 2**17  # pixels that the torch backend draws at once: it needs some kilobytes for each


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
    placed = units(latents.detach().double().cpu().numpy(), mode)
    if used == "numba":
        from unmix.datasets import raster_numba

        images = raster_numba.draw(scene(placed, size, colours), size, torch.get_num_threads())
        return torch.from_numpy(images).to(latents.device)
    from unmix.datasets import raster_torch

    parts = [
        raster_torch.draw(scene(part, size, colours), size, latents.device)
        for part in (placed[i : i + step] for step in (max(BATCH // size**2, 1),) for i in range(0, len(placed), step))
    ]
    return torch.cat([torch.empty((0, 3, size, size), dtype=torch.uint8, device=latents.device), *parts])


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
