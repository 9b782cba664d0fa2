"""Explicitness of DCI-ES: how little capacity a predictor needs for what it finally predicts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from unmix.factors import FactorType
from unmix.metrics.contract import InputError, Score, check, metric
from unmix.metrics.mutual_information import levels
from unmix.metrics.regression import embed, explained
from unmix.metrics.split import TRAIN, Split, split_rows
from unmix.metrics.trees import by_depth

# Of the forests in the oracle of DCI-ES's recipe.
DEPTHS = (1, 2, 3, 4, 8, 10, 12, 14, 16, 18, 20, 32)


def truncated(forest: Any, codes: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "depths m outputs"]:
    """A forest's mean leaf at each of DEPTHS: probabilities of the classes, or one number."""
    total = np.sum([by_depth(tree.tree_, codes, DEPTHS[-1]) for tree in forest.estimators_], axis=0)
    mean: np.ndarray = total[np.array(DEPTHS) - 1] / len(forest.estimators_)
    return mean


def loss_curve(
    codes: Float[np.ndarray, "n d"],
    target: np.ndarray,
    new: Float[np.ndarray, "m d"],
    truth: np.ndarray,
    is_class: bool,
    seed: int,
) -> Float[np.ndarray, " depths"]:
    """Share of errors, or 1 - R², on the new rows at each depth.

    Args:
        codes, new: To fit on and to score.
        target, truth: (n, columns) and (m, columns): one column of classes, or numbers.
        is_class: Which of the two.
        seed: Of the forests.
    """
    settings = {"max_depth": DEPTHS[-1], "random_state": seed}
    if is_class:
        forest = RandomForestClassifier(**settings).fit(codes, target[:, 0])
        guess = forest.classes_[truncated(forest, new).argmax(axis=2)]
        return np.asarray((guess != truth[:, 0]).mean(axis=1))
    forests = [RandomForestRegressor(**settings).fit(codes, column) for column in target.T]
    predictions = np.concatenate([truncated(forest, new) for forest in forests], axis=2)
    owner = np.zeros(truth.shape[1], dtype=int)
    return np.array([1 - explained(truth, each, owner)[0] for each in predictions])


def area_above(curve: Float[np.ndarray, " depths"], baseline: float) -> float:
    """1 - twice the area between a curve's running minimum and its least value, per depth and baseline loss."""
    lowest = np.minimum.accumulate(curve)
    area = np.trapezoid(lowest - lowest[-1], DEPTHS)
    return float(1 - 2 * area / ((DEPTHS[-1] - DEPTHS[0]) * baseline))


@metric(
    {"dci_explicitness(forest)": {}},
    range=(-1.0, 1.0),
    chance=None,
    blind="How low the loss gets: codes that know nothing have a flat curve, which scores near 1.",
    reference="Eastwood et al. 2023 (DCI-ES), section 4; explitcitness.py and simple_gather.py",
    invariances=(),
    attained=False,
    fooled_by_noise=True,
    default=[],
)
def dci_explicitness(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    factor_periods: Sequence[float | None] | None = None,
    split: Split = "random",
    train: int | float = TRAIN,
    seed: int = 0,
) -> Score:
    """Explicitness of DCI-ES: how early the loss-capacity curve of a random forest flattens.

    E = 1/k Σ_i 1 - 2 A_i / [(32 - 1) b_i]: A_i is the area between the running minimum of the held-out loss over
    tree depths 1 to 32 and its least value; losses are the share of errors (b_i = 1 - 1 / levels) or 1 - R²
    (b_i = 1). One forest is fitted and cut at each depth.

    Range [-1, 1], higher is better. Its chance level is not fixed: codes that predict nothing have a flat curve
    and score near 1, so read it beside `dci_informativeness`. Dead codes alone score 1 for the same reason. The
    size S = k / d, the fourth of DCI-ES's scores, stands in the details.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default. Categorical and ordinal ones are classified.
        factor_periods: Of each periodic factor, which is regressed as (cos, sin) of its angle.
        split: "random" or "ordered" rows to fit on; "none" scores the rows it was fitted on.
        train: Share or number of the rows to fit on.
        seed: Of the random split and of the forests.

    Returns:
        The score; details: per_factor (k,), loss (k, depths), depths, informativeness (best over depths), size.

    Raises:
        InputError: As `check`; fewer than 12 samples; no factor varies among the rows to fit and to score.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 2, size=(300, 2)).astype(float)
        >>> print(f"{dci_explicitness(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, min_samples=12, factor_periods=factor_periods)
    n, d, k = checked.shape
    rows, held = split_rows(n, split, train, seed)
    labels = levels(checked.factors)
    targets, owner = embed(checked)
    curve = partial(loss_curve, checked.codes[rows], new=checked.codes[held], seed=seed)
    curves, values, warnings = [], [], list(checked.warnings)
    for i, kind in enumerate(checked.factor_types):
        is_class = kind in ("categorical", "ordinal")
        target = labels[:, [i]] if is_class else targets[:, owner == i]
        if not (np.ptp(target[rows], axis=0).any() and np.ptp(target[held], axis=0).any()):
            warnings.append(f"factor {i} does not vary among the rows to fit or to score and is left out")
            continue
        curves.append(curve(target[rows], truth=target[held], is_class=is_class))
        values.append(area_above(curves[-1], 1 - 1 / (labels[:, i].max() + 1) if is_class else 1.0))
    if not values:
        raise InputError(f"no factor varies among the rows to fit and to score: n = {n} is too small")
    losses = np.array(curves)
    details = {
        "per_factor": np.array(values),
        "loss": losses,
        "depths": DEPTHS,
        "informativeness": float(1 - losses.mean(axis=0).min()),
        "size": k / d,
    }
    return Score(np.clip(np.mean(values), -1.0, 1.0), shape=checked.shape, warnings=warnings, details=details)
