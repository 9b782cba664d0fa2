"""Where observations that share a factor come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from unmix.metrics.contract import InputError

Groups = Int[np.ndarray, " groups"]
Codes = Float[np.ndarray, "groups size d"]


@runtime_checkable
class Source(Protocol):
    """Where observations that share a factor come from: arrays (`Rows`), or a model that draws them (`Grid`).

    Attributes:
        k: Number of factors.
    """

    @property
    def k(self) -> int: ...

    def fixing(self, factor: Groups, size: int, generator: np.random.Generator) -> Codes:
        """Codes of `size` observations for each group, which share a random level of the group's factor.

        All other factors vary freely; the observations of a group differ as far as there are so many.
        """
        ...

    def marginal(self, n: int, generator: np.random.Generator) -> Float[np.ndarray, "n d"]:
        """Codes of at most n observations of the marginal."""
        ...


@dataclass(frozen=True)
class Rows:
    """Arrays as a source: a group's observations are rows that share its level, drawn without replacement.

    Levels are equally likely, as under an intervention, however often they are in the arrays; a level of a
    single row is left out. A level with fewer rows than a group needs gives each equally often.

    Args:
        factors: (n, k) with repeated levels.
        codes: (n, d).

    Raises:
        InputError: From `fixing`, when no level of a factor repeats.
    """

    factors: Float[np.ndarray, "n k"]
    codes: Float[np.ndarray, "n d"]

    @property
    def k(self) -> int:
        return int(self.factors.shape[1])

    @cached_property
    def _levels(self) -> list[list[np.ndarray]]:
        """Of each factor: the rows of each level that repeats."""
        found = []
        for factor, column in enumerate(self.factors.T):
            _, level, counts = np.unique(column, return_inverse=True, return_counts=True)
            rows = np.split(np.argsort(level, kind="stable"), np.cumsum(counts)[:-1])
            found.append([part for part in rows if len(part) > 1])
            if not found[-1]:
                raise InputError(f"no two samples share a level of factor {factor}: give discrete factors, or bin it")
        return found

    def fixing(self, factor: Groups, size: int, generator: np.random.Generator) -> Codes:
        levels = self._levels
        level = generator.integers(np.array([len(parts) for parts in levels])[factor])
        chosen = np.empty((len(factor), size), dtype=np.intp)
        # Groups of one level lie together, so that each level is shuffled for all of its groups at once.
        order = np.lexsort((level, factor))
        ends = np.flatnonzero(np.diff(factor[order]) | np.diff(level[order])) + 1
        for groups in np.split(order, ends):
            rows = levels[factor[groups[0]]][level[groups[0]]]
            chosen[groups] = _blocks(rows, len(groups), size, generator)
        return self.codes[chosen]

    def marginal(self, n: int, generator: np.random.Generator) -> Float[np.ndarray, "n d"]:
        return self.codes if n >= len(self.codes) else generator.permutation(self.codes)[:n]


def _blocks(
    rows: Int[np.ndarray, " rows"], count: int, size: int, generator: np.random.Generator
) -> Int[np.ndarray, "count size"]:
    """`count` blocks of `size` rows: shuffles cut into blocks, or laid end to end to fill one."""
    a_shuffle = max(len(rows) // size, 1)
    a_block = -(-size // len(rows))
    shuffles = -(-count // a_shuffle) * a_block
    shuffled = generator.permuted(np.broadcast_to(rows, (shuffles, len(rows))), axis=1)
    cut = shuffled.reshape(-1, a_block * len(rows))[:, : a_shuffle * size]
    blocks: np.ndarray = cut.reshape(-1, size)[:count]
    return blocks


@dataclass(frozen=True)
class Grid:
    """A model of the codes as a source: independent factors, uniform on their levels, encoded at each call.

    Args:
        sizes: Levels of each factor.
        encode: (factors (m, k) of level indices, generator) -> codes (m, d).
    """

    sizes: tuple[int, ...]
    encode: Callable[[np.ndarray, np.random.Generator], np.ndarray]

    @property
    def k(self) -> int:
        return len(self.sizes)

    def fixing(self, factor: Groups, size: int, generator: np.random.Generator) -> Codes:
        levels = generator.integers(np.array(self.sizes)[factor])
        factors = generator.integers(self.sizes, size=(len(factor), size, self.k))
        factors[np.arange(len(factor)), :, factor] = levels[:, None]
        codes = self.encode(factors.reshape(-1, self.k), generator)
        return codes.reshape(len(factor), size, -1)

    def marginal(self, n: int, generator: np.random.Generator) -> Float[np.ndarray, "n d"]:
        return self.encode(generator.integers(self.sizes, size=(n, self.k)), generator)
