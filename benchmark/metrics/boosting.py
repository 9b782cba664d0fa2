"""Gradient-boosted trees over binned codes, all columns of targets at once: importances and predictions.

The algorithm is Friedman's (2001) as scikit-learn's GradientBoosting* run it by default (100 rounds of trees
of depth 3, rate 0.1, squared-error splits, Newton leaves); only the thresholds are restricted to bin edges.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csc_array, csr_array
from scipy.special import expit, logit, softmax

ROUNDS = 100
DEPTH = 3
RATE = 0.1
# Codes are cut at the edges of as many bins of equal mass; codes of fewer levels are cut exactly.
BINS = 128
# Relative difference of gains below which rounding tells them apart.
TIE = 1e-9

Loss = Literal["squared", "binary", "multinomial"]
Bins = Int[np.ndarray, "rows d"]
Fitted = Int[np.ndarray, "n d"]
Targets = Float[np.ndarray, "n columns"]
Outputs = Float[np.ndarray, "rows columns"]
Nodes = Int[np.ndarray, "rows columns"]


class Boosted(NamedTuple):
    """Importance of each code for each column of targets (d, columns), and outputs (rows, columns)."""

    importance: np.ndarray
    outputs: np.ndarray


class Splits(NamedTuple):
    """Of each node and column: the code to look at and the last bin that goes left (nodes, columns).

    `credit` (d, columns) is the squared error that each code saves in the level; codes that would save as much
    share it, for which of them comes first says nothing.
    """

    code: np.ndarray
    bin: np.ndarray
    credit: np.ndarray


def cut(codes: Float[np.ndarray, "n d"], new: Float[np.ndarray, "rows d"]) -> Bins:
    """Bin of each new code between edges that are values of `codes`: increasing maps of a code change nothing.

    A code of at most BINS levels keeps them; another is cut into BINS of equal mass.
    """
    shares = np.arange(1, BINS) / BINS
    columns = []
    for code, column in zip(codes.T, new.T, strict=True):
        edges = np.unique(code)[:-1]
        if len(edges) >= BINS:
            edges = np.unique(np.quantile(code, shares, method="inverted_cdf"))
        columns.append(np.searchsorted(edges, column))
    # In two bytes each: rows go down the trees by looking them up.
    return np.stack(columns, axis=1).astype(np.int16)


def boost(bins: Bins, targets: Targets, loss: Loss) -> Boosted:
    """Boost trees for each column of targets on the first n rows; the other rows only travel along.

    Args:
        bins: Bin of each code, of the n rows to fit on and then of those to predict.
        targets: Numbers for "squared", one column of 0 and 1 for "binary", one-hot classes for "multinomial".
        loss: Of the outputs: "squared" (every column on its own), "binary" or "multinomial" (log-odds).
    """
    (rows, d), (n, columns) = bins.shape, targets.shape
    table = Histogram(bins[:n])
    share = targets.mean(axis=0)
    start = {"squared": lambda mean: mean, "binary": logit, "multinomial": np.log}[loss](share)
    outputs = np.tile(start, (rows, 1))
    importance = np.zeros((d, columns))
    link = {"squared": lambda raw: raw, "binary": expit, "multinomial": partial(softmax, axis=1)}[loss]
    for _ in range(ROUNDS):
        means = link(outputs[:n])
        residuals = targets - means
        node = np.zeros((rows, columns), dtype=np.intp)
        histograms = None
        for _ in range(DEPTH):
            histograms = table.grow(residuals, node[:n], histograms)
            splits = best_splits(*histograms, table.starts)
            importance += splits.credit
            node = descend(node, bins, splits)
        outputs += RATE * leaves(node, residuals, means, loss)
    return Boosted(importance, outputs)


class Histogram:
    """Sums over the samples in each bin of each code, by one sparse product for all columns."""

    def __init__(self, bins: Fitted) -> None:
        n, d = bins.shape
        sizes = bins.max(axis=0) + 1
        self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        where = (bins + self.starts).ravel()
        one_hot = csr_array((np.ones(n * d), where, np.arange(n + 1) * d), shape=(n, int(sizes.sum())))
        self._bins: csc_array = one_hot.T
        self._counts = self._bins @ np.ones(n)

    def grow(
        self, residuals: Targets, node: Nodes, parents: tuple[np.ndarray, np.ndarray] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of residuals and counts (nodes, bins, columns); only left children are summed, the rest is less.

        Nodes of a level are numbered so that 2 i and 2 i + 1 are the children of i.
        """
        columns = residuals.shape[1]
        if parents is None:
            counts = np.repeat(self._counts[:, None], columns, axis=1)
            return (self._bins @ residuals)[None], counts[None]
        inside = [node == 2 * parent for parent in range(len(parents[0]))]
        blocks = [residuals * mask for mask in inside] + [mask.astype(float) for mask in inside]
        sums = (self._bins @ np.concatenate(blocks, axis=1)).reshape(-1, 2 * len(inside), columns)
        left = sums.transpose(1, 0, 2).reshape(2, len(inside), -1, columns)
        both = [np.stack([part, whole - part], axis=1) for part, whole in zip(left, parents, strict=True)]
        residual, count = (pair.reshape(2 * len(inside), -1, columns) for pair in both)
        return residual, count


def best_splits(
    sums: Float[np.ndarray, "nodes bins columns"],
    counts: Float[np.ndarray, "nodes bins columns"],
    starts: Int[np.ndarray, " d"],
) -> Splits:
    """The split of each node and column that saves most squared error, and whom it is to be credited to."""
    codes = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, sums.shape[1])))
    left, below = _cumulated(sums, starts, codes), _cumulated(counts, starts, codes)
    first = slice(0, starts[1] if len(starts) > 1 else None)
    total, size = sums[:, first].sum(axis=1, keepdims=True), counts[:, first].sum(axis=1, keepdims=True)
    above = size - below
    saved = (left * size - total * below) ** 2
    valid = (below > 0.5) & (above > 0.5)
    gains = np.divide(saved, below * above * size, out=np.zeros_like(saved), where=valid)
    each = np.maximum.reduceat(gains, starts, axis=1)
    gain = each.max(axis=1, keepdims=True)
    tied = each >= gain * (1 - TIE)
    best = (gains >= gain * (1 - TIE)).argmax(axis=1)
    credit = (gain * tied / tied.sum(axis=1, keepdims=True)).sum(axis=0)
    return Splits(codes[best], best - starts[codes[best]], credit)


def _cumulated(
    values: Float[np.ndarray, "nodes bins columns"],
    starts: Int[np.ndarray, " d"],
    codes: Int[np.ndarray, " bins"],
) -> Float[np.ndarray, "nodes bins columns"]:
    """Running sums over the bins of each code."""
    running = values.cumsum(axis=1)
    before = np.concatenate([np.zeros_like(running[:, :1]), running], axis=1)[:, starts]
    within: np.ndarray = running - before[:, codes]
    return within


def descend(node: Nodes, bins: Bins, splits: Splits) -> Nodes:
    """Node of each row and column one level below."""
    rows, columns = node.shape
    place = node * columns + np.arange(columns)
    # Flat takes: several times faster than indexing by pairs of arrays.
    seen = bins.take(splits.code.take(place) + np.arange(0, rows * bins.shape[1], bins.shape[1])[:, None])
    right: Nodes = 2 * node + (seen > splits.bin.take(place))
    return right


def leaves(node: Nodes, residuals: Targets, means: Targets, loss: Loss) -> Outputs:
    """Step of each row and column: the leaf's mean residual, or one Newton step of the log-odds."""
    n, columns = residuals.shape
    place = node + 2**DEPTH * np.arange(columns)
    weights = np.ones_like(residuals) if loss == "squared" else means * (1 - means)

    def summed(values: Targets) -> Float[np.ndarray, " leaves"]:
        return np.bincount(place[:n].ravel(), values.ravel(), minlength=2**DEPTH * columns)

    top, bottom = summed(residuals), summed(weights)
    if loss == "multinomial":
        top *= (columns - 1) / columns
    steps: Outputs = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 1e-150)[place]
    return steps
