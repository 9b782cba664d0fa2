"""Real columns -> bin indices."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def equal_width(columns: Float[np.ndarray, "n columns"], bins: int) -> Int[np.ndarray, "n columns"]:
    """Index of the bin, of `bins` of equal width between a column's extremes, that each entry falls into.

    The edges are those of `np.histogram`; an entry on an inner edge belongs to the bin above it. A constant
    column is bin 0 throughout.

    >>> equal_width(np.array([[0.0], [0.5], [1.0], [2.0]]), bins=2).ravel().tolist()
    [0, 0, 1, 1]
    """
    indices = np.zeros(columns.shape, dtype=np.intp)
    # One linspace a column: over arrays, NumPy rounds the edges of all in another way when one is constant.
    for index, column in enumerate(columns.T):
        low, high = column.min(), column.max()
        if high > low:
            inner = np.linspace(low, high, bins + 1)[1:-1]
            indices[:, index] = np.searchsorted(inner, column, side="right")
    return indices
