"""Transitions p(z'|z) on a grid of factors: which factors of a pair change, and to what."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmix.datasets.expressions import check_name, construct
from unmix.factors import Factor
from unmix.types import DeclinedError

Levels = Int[Tensor, "n k"]


@dataclass(frozen=True)
class Transitions:
    """z' given z, for whole arrays of levels.

    The texts that name them:

        uni             k ~ U{1..D-1} of the D factors change, each to another level, uniformly
                        (Locatello et al. 2020, as Klindt et al. 2021 and Zimmermann et al. 2020 use it)
        lap(rate=1)     every ordered factor moves by a discretised Laplace (Klindt et al. 2021, appendix)
        changes(k=1)    exactly k factors change, each to another level, uniformly (Shu et al. 2020)
        views(A, B)     the factors A, B are the content that both views share; all others, the style, are
                        drawn again (von Kuegelgen et al. 2021)

    A factor with a single level never changes and does not count.
    """

    factors: tuple[Factor, ...]

    @classmethod
    def parse(cls, text: str, factors: tuple[Factor, ...]) -> Transitions:
        """From its text.

        Raises:
            UnknownNameError: A name does not exist; the message lists the close ones.
            ValueError: The text is malformed or a number out of range.
            DeclinedError: It has no meaning for these factors.
        """
        views = re.fullmatch(r"\s*views\s*\((.*)\)\s*", text)
        if views:
            content = tuple(name.strip() for name in views[1].split(",") if name.strip())
            return Views(factors, content)
        make = construct(text, "transitions", {"uni": _uni, "lap": _lap, "changes": _changes, "views": _views})
        return make(factors)

    def __call__(self, levels: Levels, generator: torch.Generator) -> Levels:
        """Levels of the positives."""
        raise NotImplementedError

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(factor.size or 0 for factor in self.factors)

    def elsewhere(self, levels: Levels, changed: Bool[Tensor, "n k"], generator: torch.Generator) -> Levels:
        """Move the chosen factors to another level, uniformly."""
        sizes = _tensor(self.sizes, str(levels.device))
        step = 1 + (_uniform(levels, generator) * (sizes - 1)).long()
        return torch.where(changed, (levels + step) % sizes, levels)

    def choose(self, k: Int[Tensor, " n"], levels: Levels, generator: torch.Generator) -> Bool[Tensor, "n k"]:
        """k factors a row, without replacement and uniformly, of those with more than one level."""
        order = _uniform(levels, generator) + _tensor(self._never, str(levels.device))
        return order <= order.sort(dim=1).values.gather(1, k[:, None] - 1)

    @cached_property
    def _never(self) -> tuple[float, ...]:
        """Infinite for a factor that cannot change."""
        return tuple(math.inf if size == 1 else 0.0 for size in self.sizes)

    @property
    def varying(self) -> int:
        """How many factors can change.

        Raises:
            DeclinedError: When none can.
        """
        count = sum(size > 1 for size in self.sizes)
        if count == 0:
            raise DeclinedError("every factor has a single level: there are no pairs that differ")
        return count


@dataclass(frozen=True)
class Uni(Transitions):
    """Between 1 and D - 1 factors change, each to another level, uniformly; one factor alone always changes."""

    def __call__(self, levels: Levels, generator: torch.Generator) -> Levels:
        most = max(self.varying - 1, 1)
        k = torch.randint(1, most + 1, (len(levels),), generator=generator, device=levels.device)
        return self.elsewhere(levels, self.choose(k, levels, generator), generator)


@dataclass(frozen=True)
class Changes(Transitions):
    """Exactly `count` factors change, each to another level, uniformly."""

    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= self.varying:
            raise ValueError(f"changes(k={self.count}): k must be between 1 and {self.varying}, the factors that vary")

    def __call__(self, levels: Levels, generator: torch.Generator) -> Levels:
        k = torch.full((len(levels),), self.count, device=levels.device)
        return self.elsewhere(levels, self.choose(k, levels, generator), generator)


@dataclass(frozen=True)
class Lap(Transitions):
    """p(z'_j | z_j) ∝ exp(-|z'_j - z_j| rate / ln size_j) on the levels of each factor that is not categorical.

    Categorical factors stay; a pair in which nothing changed is drawn again (Klindt et al. 2021, appendix). As
    there, the Laplace is cut off at the ends of the grid, and periodic factors do not wrap.
    """

    rate: float = 1.0

    def __post_init__(self) -> None:
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise ValueError(f"lap(rate={self.rate:g}): the rate must be positive")
        if not any(self._moves):
            raise DeclinedError("lap moves ordered factors, and all of these are categorical or constant: take uni")

    @property
    def _moves(self) -> list[bool]:
        return [factor.type != "categorical" and not factor.constant for factor in self.factors]

    @cached_property
    def cumulative(self) -> dict[int, Float[Tensor, "from to"]]:
        """Of each factor that moves: P(z' <= level | z), a row for each z."""
        tables = {}
        for column, (moves, size) in enumerate(zip(self._moves, self.sizes, strict=True)):
            if moves:
                level = torch.arange(size, dtype=torch.float64)
                weight = torch.exp(-(level[:, None] - level).abs() * self.rate / math.log(size))
                tables[column] = (weight / weight.sum(dim=1, keepdim=True)).cumsum(dim=1)
        return tables

    def __call__(self, levels: Levels, generator: torch.Generator) -> Levels:
        moved = self._draw(levels, generator)
        while len(same := (moved == levels).all(dim=1).nonzero()[:, 0]):
            moved[same] = self._draw(levels[same], generator)
        return moved

    def _draw(self, levels: Levels, generator: torch.Generator) -> Levels:
        moved, draws = levels.clone(), _uniform(levels, generator)
        for column, table in self.cumulative.items():
            rows = table.to(levels.device)[levels[:, column]]
            # The last entry may be a rounding below 1.
            moved[:, column] = (draws[:, column, None] > rows[:, :-1]).sum(dim=1)
        return moved


@dataclass(frozen=True)
class Views(Transitions):
    """Two views of one content: the named factors are shared, all others are drawn again, uniformly."""

    content: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [factor.name for factor in self.factors]
        for name in self.content:
            check_name("factor", name, names)
        if not self.content:
            raise ValueError(f"views() needs the factors that both views share, of {', '.join(names)}")
        if all(factor.constant or factor.name in self.content for factor in self.factors):
            raise DeclinedError("views that share every factor are equal: leave out at least one that varies")

    def __call__(self, levels: Levels, generator: torch.Generator) -> Levels:
        sizes = torch.tensor(self.sizes, device=levels.device)
        style = torch.tensor([factor.name not in self.content for factor in self.factors], device=levels.device)
        return torch.where(style, (_uniform(levels, generator) * sizes).long(), levels)


@cache
def _tensor(values: tuple[int | float, ...], device: str) -> Tensor:
    return torch.tensor(values, device=device)


def _uniform(levels: Levels, generator: torch.Generator) -> Float[Tensor, "n k"]:
    """Draws in [0, 1), one an entry. In float64: an index of many levels needs more than 24 bits."""
    return torch.rand(levels.shape, generator=generator, device=levels.device, dtype=torch.float64)


Make = Callable[[tuple[Factor, ...]], Transitions]


def _uni() -> Make:
    return Uni


def _lap(rate: float = 1.0) -> Make:
    return lambda factors: Lap(factors, rate)


def _changes(k: int = 1) -> Make:
    return lambda factors: Changes(factors, k)


def _views() -> Make:
    return lambda factors: Views(factors, ())
