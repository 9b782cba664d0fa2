"""Codes that are the factors themselves, and so were not computed from observations. Imports no torch."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

COPY = 1e-8
"""The share of a factor's variance up to which it counts as copied.

A copy in float32, shifted and scaled or mixed with the others, leaves 1e-14 to 1e-12 of it. The least that any of our
runs leaves is 1e-4 (supervised training, R2 0.9999). Between them lies a method that knows a factor to a ten-thousandth
of its spread on every sample. Noise added on purpose passes: no check of codes alone can tell it from an excellent
method; training again can.
"""


def leaked(codes: np.ndarray, factors: np.ndarray, observations: np.ndarray | None = None) -> str:
    """Why codes (n, d) are copies of factors (n, k), in words; "" when they are not.

    Two forms are seen: a code that is one factor, up to shift and scale, or, for a factor without levels, up to any
    increasing or decreasing map; and codes whose affine map gives all factors that vary. A factor of two values does
    not count: a code that tells them apart is their affine image. What the observations (n, m) give as well is no leak:
    under a linear mixing every invertible code does.
    """
    varies = [column for column in factors.T.astype(np.float64) if len(np.unique(column)) > 2]
    if not varies:
        return ""
    targets, given = np.stack(varies, axis=1), codes.astype(np.float64)
    seen = np.zeros((len(codes), 0)) if observations is None else observations.astype(np.float64)
    for what, transform in (("", _same), (" in order", _ranks)):
        copied = _copies(transform(given), transform(targets)) & ~_copies(transform(seen), transform(targets))
        if what:  # levels that are told apart without an error are in order
            copied &= [len(np.unique(column)) > len(column) / 2 for column in targets.T]
        if copied.any():
            which = np.flatnonzero(copied).tolist()
            return f"a code equals a factor{what}, up to {COPY:g} of its variance, for {which} of the factors that vary"
    if (_unexplained(given, targets) <= COPY).all() and not (_unexplained(seen, targets) <= COPY).all():
        return f"an affine map of the codes gives every factor, up to {COPY:g} of its variance"
    return ""


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks: np.ndarray = rankdata(values, axis=0) if values.size else values
    return ranks


def _copies(given: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """For each target, whether a column of `given` is its affine image."""
    given = given[:, np.ptp(given, axis=0) > 0] if given.size else given
    if not given.size:
        return np.zeros(targets.shape[1], dtype=bool)
    given, targets = given - given.mean(axis=0), targets - targets.mean(axis=0)
    given, targets = given / np.linalg.norm(given, axis=0), targets / np.linalg.norm(targets, axis=0)
    copied: np.ndarray = (1 - (given.T @ targets) ** 2).min(axis=0) <= COPY
    return copied


def _unexplained(given: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Share of each target's variance that an affine map of `given` leaves; 1 where n is too small to tell."""
    n, d = given.shape
    if not d or n <= 2 * (d + 1):
        return np.ones(targets.shape[1])
    inputs = np.column_stack([given, np.ones(n)])
    left = targets - inputs @ np.linalg.lstsq(inputs, targets, rcond=None)[0]
    share: np.ndarray = left.var(axis=0) / targets.var(axis=0)
    return share
