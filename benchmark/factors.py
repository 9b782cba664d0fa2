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
        size: Number of levels; None for a continuous range. Samples hold the index of the level, from 0.
        period: Of a periodic factor, in the units that samples hold (levels where it has a size).
        symmetry: Observations that several values share, in words; "" when every value is visible.
        range: Values of the first and the last level, or the ends of a continuous range; None where a level
            has no value of its own.
        unit: Of the range ("degrees").
        labels: What the levels of a categorical factor are called; () where they have no names.

    Raises:
        ValueError: A size below 1, labels that are not one a level.
    """

    name: str
    type: FactorType
    size: int | None = None
    period: float | None = None
    symmetry: str = ""
    range: tuple[float, float] | None = None
    unit: str = ""
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(f"factor {self.name} has {self.size} levels: it needs at least 1")
        if self.labels and len(self.labels) != self.size:
            raise ValueError(f"factor {self.name} has {len(self.labels)} labels for {self.size} levels: give one each")

    @property
    def constant(self) -> bool:
        """True when it has a single level: there is nothing to identify."""
        return self.size == 1

    def describe(self) -> str:
        """One line: name, type, size, range, symmetry."""
        parts = [self.type if self.size is None else f"{self.type}, {self.size} levels"]
        if self.constant:
            parts = ["constant"]
        if self.labels:
            parts.append(", ".join(self.labels) if len(self.labels) <= 8 else f"{self.labels[0]} to {self.labels[-1]}")
        if self.range is not None:
            parts.append(f"{self.range[0]:g} to {self.range[1]:g} {self.unit}".rstrip())
        if self.period is not None:
            parts.append(f"period {self.period:g}" + (" levels" if self.size is not None else ""))
        if self.symmetry:
            parts.append(self.symmetry)
        return f"{self.name}: {'; '.join(parts)}"
