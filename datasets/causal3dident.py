"""Causal3DIdent's published pictures: seven objects whose latents depend on each other (von Kuegelgen et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmix.datasets.download import Source
from unmix.datasets.sources import SOURCES
from unmix.datasets.threedident_files import (
    CONDITIONAL_HELP,
    LIGHT,
    POSITION,
    ROTATION,
    SIZE_HELP,
    SPLITS,
    Pictures,
)
from unmix.factors import Factor
from unmix.registry import DATASETS

OBJECTS = 7


@DATASETS.register("causal3dident")
@dataclass(frozen=True)
class Causal3DIdent(Pictures):
    """Pictures of seven objects with ten latents in [-1, 1] that depend on each other (von Kuegelgen et al. 2021).

    Anchors are drawn from the pictures, so their latents keep their dependence. Both of a pair show the same object:
    z' from the conditional snaps to the nearest other picture of it.

    Raises:
        UnknownNameError: There is no such split, or no such distribution.
        ValueError: The size is out of range, or the conditional malformed.
    """

    split: str = field(default="train", metadata={"help": "train (about 250,000 pictures) or test (a tenth)"})
    size: int = field(default=64, metadata={"help": SIZE_HELP})
    conditional: str = field(default="normal(std=0.1)", metadata={"help": CONDITIONAL_HELP})

    groups = OBJECTS

    @property
    def factors(self) -> tuple[Factor, ...]:
        return (Factor("object", "categorical", OBJECTS), *POSITION, *ROTATION, *LIGHT)

    @property
    def sources(self) -> tuple[Source, ...]:
        return (SOURCES["causal3dident"][SPLITS.index(self.split)],)

    def read_table(self) -> np.ndarray:
        table = super().read_table()
        return np.insert(table, 0, table[:, 0], axis=1)  # the object is a factor, too

    def anchors(self, n: int, generator: torch.Generator) -> tuple[Float[Tensor, "n 10"], Int[Tensor, " n"]]:
        index = torch.randint(len(self.table), (n,), generator=generator, device=generator.device)
        return self.factors_of(index)[:, -10:], index
