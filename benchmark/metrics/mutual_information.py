"""Mutual information between columns: of labels by counting, of real numbers by nearest neighbours."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.spatial import KDTree
from scipy.special import digamma, xlogy

from unmix.metrics.bins import equal_width
from unmix.metrics.contract import Checked

Values = Float[np.ndarray, "n columns"]
Labels = Int[np.ndarray, "n columns"]
Left = Int[np.ndarray, "n left"]
Right = Int[np.ndarray, "n right"]
Column = Float[np.ndarray, " n"]
Tags = Int[np.ndarray, " n"]

# Counting n samples, the least mutual information that is not 0 is about 1 / n²; below is rounding.
ROUNDING = 1e-12
# Relative size of the noise that separates equal values for the neighbour estimators (Kraskov et al. 2004).
JITTER = 1e-10


def quantile_bins(values: Values, bins: int) -> Labels:
    """Index of the bin of equal mass; equal values share one, so that a column of levels keeps them.

    Edges are values of the sample, therefore increasing maps of a column change nothing.
    """
    shares = np.arange(1, bins) / bins
    edges = np.quantile(values, shares, axis=0, method="inverted_cdf")
    return np.stack([np.searchsorted(*pair) for pair in zip(edges.T, values.T, strict=True)], axis=1)


def levels(values: Values) -> Labels:
    """Index of each value among its column's distinct ones."""
    return np.stack([np.unique(column, return_inverse=True)[1] for column in values.T], axis=1)


def factor_labels(checked: Checked, bins: int, all_types: bool = False) -> Labels:
    """Levels of categorical and ordinal factors; `bins` bins of equal width of the others, or of all."""
    labels = levels(checked.factors)
    real = np.array([all_types or kind in ("continuous", "periodic") for kind in checked.factor_types])
    labels[:, real] = equal_width(checked.factors, bins)[:, real]
    return labels


def entropy(labels: Labels) -> Float[np.ndarray, " columns"]:
    """Of each column, in nats."""
    n = len(labels)
    return np.array([np.log(n) - xlogy(c, c).sum() / n for c in map(np.bincount, labels.T)])


def joint_entropy(left: Left, right: Right) -> Float[np.ndarray, "left right"]:
    """Of each pair of columns, in nats: every contingency table is a block of one sparse product."""
    table = (_one_hot(left).T @ _one_hot(right)).toarray()
    terms: np.ndarray = xlogy(table, table)
    for axis, labels in enumerate((left, right)):
        terms = np.add.reduceat(terms, _offsets(labels), axis=axis)
    joint: np.ndarray = np.log(len(left)) - terms / len(left)
    return joint


def mutual_information(left: Left, right: Right) -> Float[np.ndarray, "left right"]:
    """Of each pair of columns, in nats; exactly 0 for a constant column."""
    information = entropy(left)[:, None] + entropy(right) - joint_entropy(left, right)
    return np.asarray(np.where(information > ROUNDING, information, 0.0))


def _offsets(labels: Labels) -> Int[np.ndarray, " columns"]:
    return np.concatenate([[0], np.cumsum(labels.max(axis=0) + 1)[:-1]])


def _one_hot(labels: Labels) -> csr_array:
    n, columns = labels.shape
    where = (labels + _offsets(labels)).ravel()
    width = int((labels.max(axis=0) + 1).sum())
    return csr_array((np.ones(n * columns), where, np.arange(n + 1) * columns), shape=(n, width))


def neighbour_information(checked: Checked, neighbours: int, seed: int) -> Float[np.ndarray, "k d"]:
    """Mutual information of factors and real codes in nats, by nearest neighbours.

    Categorical and ordinal factors: Ross 2014; continuous ones: Kraskov et al. 2004, estimator 1. Both are
    scikit-learn's (`mutual_info_classif`, `mutual_info_regression`) up to the jitter's random draws. Dead
    codes have none, and estimates below 0 count 0.

    Args:
        checked: n samples of k factors and d codes.
        neighbours: How many.
        seed: Of the jitter.
    """
    generator = np.random.default_rng(seed)
    codes = _jittered(checked.codes, generator)
    factors = _jittered(checked.factors, generator)
    tags = levels(checked.factors)
    information = np.zeros((checked.factors.shape[1], codes.shape[1]))
    for j in np.setdiff1d(np.arange(codes.shape[1]), checked.dead):
        for i, kind in enumerate(checked.factor_types):
            if kind in ("categorical", "ordinal"):
                information[i, j] = ross(codes[:, j], tags[:, i], neighbours)
            else:
                information[i, j] = kraskov(codes[:, j], factors[:, i], neighbours)
    return np.maximum(information, 0.0)


def _jittered(values: Values, generator: np.random.Generator) -> Values:
    spread = values.std(axis=0)
    scaled = values / np.where(spread > 0, spread, 1.0)
    sizes = JITTER * np.maximum(1.0, np.abs(scaled).mean(axis=0))
    return np.asarray(scaled + sizes * generator.standard_normal(values.shape))


def ross(codes: Column, tags: Tags, neighbours: int) -> float:
    """I(code; tag) in nats: how many samples lie nearer than the k-th neighbour of the same tag.

    Tags that occur once have no neighbour and are left out.
    """
    counts = np.bincount(tags)
    keep = counts[tags] > 1
    if not keep.any():
        return 0.0
    order = np.argsort(codes[keep], kind="stable")
    codes, tags = codes[keep][order], tags[keep][order]
    used, sizes, radii = np.empty(len(tags)), np.empty(len(tags)), np.empty(len(tags))
    for tag in np.flatnonzero(counts > 1):
        mine = np.flatnonzero(tags == tag)
        used[mine] = k = min(neighbours, len(mine) - 1)
        sizes[mine] = len(mine)
        radii[mine] = _nearest(codes[mine], k)
    inside = _within(codes, radii)
    information = digamma(len(tags)) + np.mean(digamma(used) - digamma(sizes) - digamma(inside))
    return float(information)


def kraskov(codes: Column, factors: Column, neighbours: int) -> float:
    """I(code; factor) in nats: samples nearer in one coordinate than the k-th neighbour in the plane."""
    n = len(codes)
    k = min(neighbours, n - 1)
    plane = np.stack([codes, factors], axis=1)
    radii = KDTree(plane).query(plane, k=[k + 1], p=np.inf)[0][:, 0]
    inside = []
    for column in (codes, factors):
        order = np.argsort(column, kind="stable")
        inside.append(_within(column[order], radii[order]))
    return float(digamma(n) + digamma(k) - sum(digamma(count).mean() for count in inside))


def _nearest(ordered: Column, k: int) -> Column:
    """Distance of each of n ordered numbers to its k-th nearest: the best of the k + 1 windows around it."""
    n = len(ordered)
    padded = np.concatenate([np.full(k, -np.inf), ordered, np.full(k, np.inf)])
    windows = [
        np.maximum(ordered - padded[k - left : k - left + n], padded[2 * k - left : 2 * k - left + n] - ordered)
        for left in range(k + 1)
    ]
    nearest: Column = np.min(windows, axis=0)
    return nearest


def _within(ordered: Column, radii: Column) -> Column:
    """How many of the ordered numbers, itself included, are nearer to each than its radius."""
    inner = np.nextafter(radii, 0)
    low = np.searchsorted(ordered, ordered - inner)
    high = np.searchsorted(ordered, ordered + inner, side="right")
    # The sum above rounds: whether the number at either end is inside, its own distance decides.
    padded = np.concatenate([[-np.inf], ordered, [np.inf]])
    low = low + (ordered - padded[low + 1] > inner) - (ordered - padded[low] <= inner)
    high = high - (padded[high] - ordered > inner) + (padded[high + 1] - ordered <= inner)
    return np.asarray(high - low, dtype=float)
