"""Rows to fit on and rows to score on, for metrics that train a predictor."""

from __future__ import annotations

from typing import Literal

import numpy as np

from unmix.metrics.contract import InputError

Split = Literal["random", "ordered", "none"]

# disentanglement_lib fits on 10,000 samples and scores on 5,000.
TRAIN = 2 / 3


def split_rows(n: int, split: Split, train: int | float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to score on: disjoint, or all rows twice ("none").

    Args:
        n: Rows in all.
        split: "random" shuffles first (arrays often arrive in the order of a factor grid), "ordered" fits on
            the first rows, "none" fits and scores on all.
        train: A share of the rows (below 1) or their number.
        seed: Of the shuffle.

    Raises:
        InputError: Nothing would be left to fit on or to score on.

    >>> [part.tolist() for part in split_rows(6, "ordered", 2 / 3, 0)]
    [[0, 1, 2, 3], [4, 5]]
    """
    rows = np.arange(n)
    if split == "none":
        return rows, rows
    count = round(train * n) if train < 1 else int(train)
    if not 0 < count < n:
        raise InputError(f"{n} samples leave none to fit on or to score on: {count} to fit were asked for")
    if split == "random":
        rows = np.random.default_rng(seed).permutation(n)
    return rows[:count], rows[count:]
