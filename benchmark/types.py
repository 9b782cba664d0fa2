"""The suite's core types: pairs, encoders, and what a dataset and a method are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from unmix.factors import FACTOR_TYPES, Factor, FactorType

if TYPE_CHECKING:
    from unmix.training import Trainer

__all__ = [
    "FACTOR_TYPES",
    "ConditionalDataset",
    "Dataset",
    "DeclinedError",
    "Encoder",
    "Factor",
    "FactorType",
    "Method",
    "Pair",
    "SegmentedDataset",
]

Encoder = Callable[[Tensor], Tensor]
"""Observations (n, *shape) -> codes (n, d)."""


class Pair(NamedTuple):
    """Two observations (n, *shape) of which row i of `positive` belongs to row i of `anchor`."""

    anchor: Tensor
    positive: Tensor


class DeclinedError(ValueError):
    """A combination of dataset, method and metric that has no meaning; its message is the reason."""


@runtime_checkable
class Dataset(Protocol):
    """Observations with known factors. A frozen dataclass: its fields are its hyperparameters.

    A dataset that is itself random (its mixing is drawn) has a field `seed`, which a run sets to its own.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def factors(self) -> tuple[Factor, ...]: ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one observation."""
        ...

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw z ~ p(z): observations (n, *shape) and factors (n, k)."""
        ...

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw z ~ p(z) and z' ~ p(z'|z).

        Raises:
            DeclinedError: When the dataset has no pairs.
        """
        ...


@runtime_checkable
class ConditionalDataset(Dataset, Protocol):
    """A dataset that can draw many positives of one anchor, whose factors are given."""

    def sample_positives(self, factors: Tensor, generator: torch.Generator) -> Tensor:
        """Draw z' ~ p(z'|z) for the given z, (n, k): observations (n, *shape).

        Raises:
            DeclinedError: When the dataset has no pairs.
        """
        ...


@runtime_checkable
class SegmentedDataset(Dataset, Protocol):
    """A dataset whose latents depend on an observed auxiliary variable u: the segment of a sequence, or a label."""

    @property
    def segments(self) -> int:
        """Number of values that u has."""
        ...

    def sample_auxiliary(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw u uniformly and z ~ p(z|u): observations (n, *shape) and u (n,), int64 in [0, segments)."""
        ...


@runtime_checkable
class Method(Protocol):
    """A function of a dataset, a budget and a generator. A frozen dataclass: its fields are hyperparameters."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        """Return the trained encoder: observations (n, *shape) -> codes (n, d).

        Raises:
            DeclinedError: When the method has no meaning on this dataset, with the reason.
        """
        ...
