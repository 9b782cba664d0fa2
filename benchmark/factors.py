"""Factors: what a dataset knows of its ground truth. Imports no torch: the metrics use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FactorType = Literal["categorical", "ordinal", "continuous", "periodic"]
FACTOR_TYPES: tuple[FactorType, ...] = ("categorical", "ordinal", "continuous", "periodic")


@dataclass(frozen=True)
class Factor:
    """A ground-truth generative factor.

    Args:
        name: Its name in the field's words ("orientation").
        type: categorical (levels without order), ordinal (levels with order), continuous, or
            periodic (levels or reals on a circle).
        size: Number of levels; None for a continuous range.
        period: Of a periodic factor, in the factor's own units.
        symmetry: Observations that several values share, in words; "" when every value is visible.
    """

    name: str
    type: FactorType
    size: int | None = None
    period: float | None = None
    symmetry: str = ""

    @property
    def constant(self) -> bool:
        """True when it has a single level: there is nothing to identify."""
        return self.size == 1
