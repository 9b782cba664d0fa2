"""Seeds that named things derive for themselves, so that adding one does not reshuffle the others."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, *names: str) -> int:
    """A 63-bit seed for the thing of these names, from the run's seed: SHA-256 of "seed/name/name"."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def derived_generator(seed: int, *names: str, device: str = "cpu") -> torch.Generator:
    """A generator on `device` that starts at `derived_seed(seed, *names)`."""
    import torch

    return torch.Generator(device).manual_seed(derived_seed(seed, *names))
