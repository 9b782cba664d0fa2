"""Columns in the units of the rows that a predictor is fitted on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

Scale = Literal["standard", "minmax"]


def units(columns: Float[np.ndarray, "n columns"], scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Origin and unit of each column: its mean and standard deviation, or its minimum and range.

    >>> [part.tolist() for part in units(np.array([[1.0, 5.0], [3.0, 5.0]]), "minmax")]
    [[1.0, 5.0], [2.0, 1.0]]
    """
    width = np.ptp(columns, axis=0)
    origin, unit = (columns.mean(axis=0), columns.std(axis=0)) if scale == "standard" else (columns.min(axis=0), width)
    # A constant column stays constant: the rounded deviation from its mean must not become its unit.
    return origin, np.where(width > 0, unit, 1.0)


def scaled(
    codes: Float[np.ndarray, "n d"], new: Float[np.ndarray, "m d"], scale: Scale = "standard"
) -> tuple[np.ndarray, np.ndarray]:
    """Both in the units of the first."""
    origin, unit = units(codes, scale)
    return (codes - origin) / unit, (new - origin) / unit
