"""What DCI asks of a predictor: how much it uses each code for each factor, and how well it predicts."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV

from unmix.metrics.boosting import boost, cut
from unmix.metrics.contract import Checked
from unmix.metrics.mutual_information import levels
from unmix.metrics.regression import embed, explained
from unmix.metrics.scale import Scale, scaled, units
from unmix.metrics.split import Split, split_rows

Predictor = Literal["gbt", "gbt_exact", "forest", "lasso"]
Codes = Float[np.ndarray, "n d"]
NewCodes = Float[np.ndarray, "m d"]
Target = Shaped[np.ndarray, "n columns"]

# The grid and the folds of Ubisoft's 2020 review.
ALPHAS = (0.0001, 0.001, 0.01, 0.1, 0.2, 0.4, 0.8, 1.0)
FOLDS = 10
# A path that starts at its larger neighbour stops there at the default 1e-4, and picks too large a penalty.
TOLERANCE = 1e-8


class Learned(NamedTuple):
    """What a learner finds.

    Attributes:
        importance: Of each code (d,).
        predictions: (n + m, columns), of the rows fitted on and then of the new ones.
        warnings: In words.
    """

    importance: np.ndarray
    predictions: np.ndarray
    warnings: tuple[str, ...] = ()


# (codes (n, d), target (n, columns), new codes (m, d), whether the target is a class) -> Learned
Learner = Callable[[np.ndarray, np.ndarray, np.ndarray, bool], Learned]


@dataclass(frozen=True)
class Problem:
    """Codes to predict factors from; two of the same content are equal, so that fits can be remembered.

    Attributes:
        checked: Codes and factors.
        split, train, seed: Rows to fit on and to score on, and the seed of what is random.
        digest: Of the content.
    """

    checked: Checked = field(compare=False)
    split: Split
    train: int | float
    seed: int
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        content = hashlib.blake2b(repr((self.checked.factor_types, self.checked.factor_periods)).encode())
        for array in (self.checked.factors, self.checked.codes):
            content.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        object.__setattr__(self, "digest", content.digest())


@dataclass(frozen=True)
class Fit:
    """How a predictor uses the codes, and how well it predicts.

    Attributes:
        importance: (d, k), not negative.
        fitted, held: (k,) accuracy or R² on the rows fitted on and on the rows to score; NaN where a continuous
            factor does not vary there.
        warnings: In words.
    """

    importance: Float[np.ndarray, "d k"]
    fitted: Float[np.ndarray, " k"]
    held: Float[np.ndarray, " k"]
    warnings: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def fit(problem: Problem, predictor: Predictor, depth: int | None = None, scale: Scale = "standard") -> Fit:
    """Fit a predictor of every factor. Remembered: disentanglement, completeness and informativeness share it.

    Categorical and ordinal factors are classified, continuous and periodic ones regressed (an angle as its
    cosine and sine): the type decides, values never do. Lasso regresses all, categories as indicators.

    Args:
        problem: Codes, factors and rows.
        predictor: "gbt" by histograms, "gbt_exact" by scikit-learn, "forest" or "lasso".
        depth: Of the forest's trees; None for no limit.
        scale: Of codes and targets for lasso.
    """
    checked = problem.checked
    rows, held = split_rows(checked.shape[0], problem.split, problem.train, problem.seed)
    labels = levels(checked.factors)
    targets, owner = embed(checked)
    learner = _learner(predictor, depth, scale, problem.seed)
    importances, scores, said = [], [], list[str]()
    for i, kind in enumerate(checked.factor_types):
        is_class = kind in ("categorical", "ordinal") and predictor != "lasso"
        target = labels[:, [i]] if is_class else targets[:, owner == i]
        if np.ptp(target[rows], axis=0).any():
            learned = learner(checked.codes[rows], target[rows], checked.codes[held], is_class)
        else:
            said.append(f"factor {i} does not vary among the rows to fit")
            learned = Learned(np.zeros(checked.shape[1]), np.repeat(target[rows[:1]], len(rows) + len(held), axis=0))
        importances.append(learned.importance)
        said += [f"factor {i}: {each}" for each in learned.warnings]
        quality = partial(_quality, is_class=is_class, uniform=scale == "minmax")
        guesses = np.split(learned.predictions, [len(rows)])
        scores.append([quality(target[part], guess) for part, guess in zip((rows, held), guesses, strict=True)])
    fitted, scored = np.array(scores).T
    return Fit(np.array(importances).T, fitted, scored, tuple(said))


def _quality(target: np.ndarray, guess: np.ndarray, is_class: bool, uniform: bool) -> float:
    """Accuracy of a class, else R²; `uniform` for Ubisoft's 1 - 12 MSE of a factor in [0, 1], at least 0."""
    if is_class:
        return float(np.mean(target == guess))
    if uniform:
        errors = ((target - guess) ** 2).mean(axis=0) / np.maximum(np.ptp(target, axis=0), 1e-300) ** 2
        return float(np.maximum(1 - 12 * errors, 0.0).mean())
    return float(explained(target, guess, np.zeros(target.shape[1], dtype=int))[0])


def _learner(predictor: Predictor, depth: int | None, scale: Scale, seed: int) -> Learner:
    if predictor == "gbt":
        return _boosted
    if predictor == "lasso":
        return partial(_lasso, scale=scale)
    if predictor == "forest":
        forest = {"max_depth": depth, "random_state": seed}
        return partial(_trees, partial(RandomForestClassifier, **forest), partial(RandomForestRegressor, **forest))
    return partial(
        _trees,
        partial(GradientBoostingClassifier, random_state=seed),
        partial(GradientBoostingRegressor, random_state=seed),
    )


def _boosted(codes: Codes, target: Target, new: NewCodes, is_class: bool) -> Learned:
    bins = cut(codes, np.concatenate([codes, new]))
    if not is_class:
        centre, spread = units(target, "standard")
        importance, outputs = boost(bins, (target - centre) / spread, "squared")
        return Learned(_shares(importance.sum(axis=1)), outputs * spread + centre)
    classes, tags = np.unique(target[:, 0], return_inverse=True)
    one_hot = (tags[:, None] == np.arange(len(classes))).astype(float)
    if len(classes) == 2:
        importance, outputs = boost(bins, one_hot[:, 1:], "binary")
        outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
    else:
        importance, outputs = boost(bins, one_hot, "multinomial")
    guess = classes[outputs.argmax(axis=1), None]
    return Learned(_shares(importance.sum(axis=1)), guess)


def _trees(
    classifier: Callable[..., Any],
    regressor: Callable[..., Any],
    codes: Codes,
    target: Target,
    new: NewCodes,
    is_class: bool,
) -> Learned:
    """scikit-learn's ensembles, one a column of the target."""
    make = classifier if is_class else regressor
    models = [make().fit(codes, column) for column in target.T]
    importance = np.sum([model.feature_importances_ for model in models], axis=0)
    rows = np.concatenate([codes, new])
    return Learned(_shares(importance), np.stack([model.predict(rows) for model in models], axis=1))


def _lasso(codes: Codes, target: Target, new: NewCodes, is_class: bool, scale: Scale) -> Learned:
    """Absolute weights of a lasso whose penalty cross-validation chooses, summed over the target's columns."""
    codes, new = scaled(codes, new, scale)
    rows = np.concatenate([codes, new])
    centre, spread = units(target, scale)
    importance, predictions, caught = np.zeros(codes.shape[1]), [], list[Any]()
    for column in ((target - centre) / spread).T:
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always", ConvergenceWarning)
            folds = min(FOLDS, len(codes))
            alpha = (
                LassoCV(alphas=ALPHAS, cv=folds, tol=TOLERANCE, max_iter=5000, random_state=0).fit(codes, column).alpha_
            )
            model = Lasso(alpha=alpha, random_state=0).fit(codes, column)
        caught += noted
        importance += np.abs(model.coef_)
        predictions.append(model.predict(rows))
    said = ("the lasso has not converged",) if caught else ()
    return Learned(importance, np.stack(predictions, axis=1) * spread + centre, said)


def _shares(importance: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Parts of one; none where no code was of use."""
    total = importance.sum()
    return importance / total if total > 0 else importance
