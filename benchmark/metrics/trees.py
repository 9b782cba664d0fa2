"""scikit-learn's fitted trees, cut at every depth."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float


def by_depth(tree: Any, codes: Float[np.ndarray, "m d"], deepest: int) -> Float[np.ndarray, "depths m outputs"]:
    """Value of the node that each row has reached at depth 1 to `deepest`: one tree in place of one a depth.

    A tree that is grown depth first to some depth is a deeper one cut there, up to the order in which codes are
    drawn at random. Values are shares of the classes, or one number.

    Args:
        tree: `tree_` of a fitted estimator of one output.
        codes: (m, d).
        deepest: How many depths.
    """
    rows = np.arange(len(codes))
    # Trees compare in single precision.
    seen = codes.astype(np.float32)
    node = np.zeros(len(codes), dtype=np.intp)
    values = []
    for _ in range(deepest):
        left = seen[rows, np.maximum(tree.feature[node], 0)] <= tree.threshold[node]
        below = np.where(left, tree.children_left[node], tree.children_right[node])
        node = np.where(tree.children_left[node] >= 0, below, node)
        values.append(tree.value[node, 0])
    return np.stack(values)
