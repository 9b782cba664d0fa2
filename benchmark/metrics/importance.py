"""Scores of an importance matrix, how much each code matters for each factor: DCI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import xlogy

from unmix.factors import FactorType
from unmix.metrics.contract import Checked, InputError, Score, check, metric
from unmix.metrics.information import share
from unmix.metrics.predictors import Fit, Predictor, Problem, fit
from unmix.metrics.scale import Scale
from unmix.metrics.split import TRAIN, Split

Weighting = Literal["mass", "mean"]
Matrix = Float[np.ndarray, "d k"]


def concentration(importance: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """1 - entropy of each row's shares, in units of its maximum: 1 for one entry, 0 for equal ones or none.

    A row of a single column is concentrated wherever it is not 0.
    """
    shares = share(importance, importance.sum(axis=1, keepdims=True))
    entropy = -xlogy(shares, shares).sum(axis=1) / np.log(max(importance.shape[1], 2))
    return np.where(importance.sum(axis=1) > 0, 1 - entropy, 0.0)


def disentanglement(importance: Matrix) -> float:
    """Mean concentration of the codes, weighted by their shares of all importance."""
    weights = share(importance.sum(axis=1), importance.sum())
    return float(np.clip(weights @ concentration(importance), 0.0, 1.0))


def completeness(importance: Matrix, weighting: Weighting = "mass") -> float:
    """Mean concentration of the factors, weighted by their shares of all importance, or not."""
    each = concentration(importance.T)
    if weighting == "mean":
        return float(np.clip(each.mean(), 0.0, 1.0))
    return float(np.clip(share(importance.sum(axis=0), importance.sum()) @ each, 0.0, 1.0))


_FITS: Mapping[str, Mapping[str, Any]] = {
    "gbt": {"predictor": "gbt"},
    "gbt,exact": {"predictor": "gbt_exact"},
    "forest": {"predictor": "forest"},
    "forest,depth=8": {"predictor": "forest", "depth": 8},
    "lasso": {"predictor": "lasso"},
}
_UBISOFT: Mapping[str, Any] = {"predictor": "lasso", "split": "none", "scale": "minmax"}
_DCI = "Eastwood & Williams 2018, section 2"
_PEERS = "gbt: disentanglement_lib dci.py; forest: DCI-ES; lasso: the paper's linear predictor; in_sample: Ubisoft"
_BLIND = "Whatever its predictor cannot: the same codes score otherwise under another predictor."


def _fitted(
    checked: Checked, predictor: Predictor, depth: int | None, scale: Scale, problem: tuple[Split, int | float, int]
) -> tuple[Fit, tuple[str, ...]]:
    found = fit(Problem(checked, *problem), predictor, depth, scale)
    return found, (*checked.warnings, *found.warnings)


def _details(found: Fit, weighting: Weighting) -> dict[str, Any]:
    return {
        "importance": found.importance,
        "disentanglement": disentanglement(found.importance),
        "completeness": completeness(found.importance, weighting),
        "informativeness": found.held,
        "informativeness_fitted": found.fitted,
    }


@metric(
    # Of noise, the lasso often keeps a single code, or none: that code counts for one factor only.
    {"dci(lasso)": _FITS["lasso"], "dci(lasso,in_sample)": _UBISOFT},
    range=(0.0, 1.0),
    chance=None,
    blind=f"Factors that no code holds. {_BLIND}",
    reference=f"{_DCI}; {_PEERS}",
    invariances=("scale", "shift"),
    attained=False,
    fooled_by_noise=True,
    default=["dci(lasso)"],
)
@metric(
    {f"dci({name})": settings for name, settings in _FITS.items() if name != "lasso"},
    range=(0.0, 1.0),
    chance=None,
    blind=f"Factors that no code holds. {_BLIND}",
    reference=f"{_DCI}; {_PEERS}",
    invariances=("scale", "shift"),
    attained=False,
    default=[],
)
def dci(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    factor_periods: Sequence[float | None] | None = None,
    predictor: Predictor = "gbt",
    depth: int | None = None,
    scale: Scale = "standard",
    split: Split = "random",
    train: int | float = TRAIN,
    seed: int = 0,
) -> Score:
    """Disentanglement of DCI: whether each code matters for one factor only.

    R_ji is how much a predictor of factor i uses code j. D = Σ_j ρ_j [1 - H(R_j· / Σ_i R_ji) / log k], ρ_j the
    share of code j in all of R. A number without its predictor means nothing: the same codes gave 0.19 to 0.61.

    - gbt: importances of boosted trees over codes cut into 128 bins; exact: scikit-learn's GradientBoosting*.
    - forest: Gini importances of 100 random trees, of any depth or at most 8.
    - lasso: absolute weights of the lasso on standardised codes, penalty by 10-fold cross-validation.
    - lasso,in_sample: as Ubisoft's code (columns scaled to [0, 1]), without its stop at the first dead code.

    Range [0, 1], higher is better. Its chance level is not fixed: it falls with the samples and depends on the
    predictor; compare with the noise floor. A dead code has no weight; with a single factor every code of use
    counts 1; with no code of use the score is 0.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default. Categorical and ordinal ones are classified, others
            regressed; values never decide. Lasso regresses all, categories as indicators.
        factor_periods: Of each periodic factor, which is regressed as (cos, sin) of its angle.
        predictor: "gbt", "gbt_exact", "forest" or "lasso".
        depth: Of the forest's trees.
        scale: Of codes and targets for lasso: "standard" or "minmax".
        split: "random" or "ordered" rows to fit on; "none" scores the rows it was fitted on.
        train: Share or number of the rows to fit on.
        seed: Of the random split and of the forest.

    Returns:
        The score; details: importance (d, k), disentanglement, completeness, informativeness (k,) on the rows to
        score, informativeness_fitted (k,).

    Raises:
        InputError: As `check`; fewer than 12 samples; a periodic factor without a period.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(500, 2))
        >>> print(f"{dci(factors, factors, predictor='lasso'):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, min_samples=12, factor_periods=factor_periods)
    found, warnings = _fitted(checked, predictor, depth, scale, (split, train, seed))
    details = _details(found, "mass")
    return Score(details["disentanglement"], shape=checked.shape, warnings=warnings, details=details)


@metric(
    {
        **{f"dci_completeness({name})": settings for name, settings in _FITS.items()},
        "dci_completeness(lasso,in_sample)": {**_UBISOFT, "weighting": "mean"},
    },
    range=(0.0, 1.0),
    chance=None,
    blind=f"Codes that hold several factors. {_BLIND}",
    reference=f"{_DCI}; {_PEERS}",
    invariances=("scale", "shift"),
    attained=False,
    default=["dci_completeness(lasso)"],
)
def dci_completeness(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    factor_periods: Sequence[float | None] | None = None,
    predictor: Predictor = "gbt",
    depth: int | None = None,
    scale: Scale = "standard",
    weighting: Weighting = "mass",
    split: Split = "random",
    train: int | float = TRAIN,
    seed: int = 0,
) -> Score:
    """Completeness of DCI: whether each factor is held by one code only.

    C = Σ_i w_i [1 - H(R_·i / Σ_j R_ji) / log d], R as in `dci` and w_i the share of factor i in all of R, or
    1 / k ("mean", the paper's). The fit is `dci`'s, remembered.

    Range [0, 1], higher is better. Its chance level is not fixed; compare with the noise floor. With a single
    code every factor that it is of use for counts 1; a factor that no code is of use for counts 0.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        factor_periods: Of each periodic factor.
        predictor, depth, scale: As in `dci`.
        weighting: Of the factors.
        split, train, seed: As in `dci`.

    Returns:
        The score; details as in `dci`.

    Raises:
        InputError: As `dci`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(500, 2))
        >>> print(f"{dci_completeness(factors, factors, predictor='lasso'):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, min_samples=12, factor_periods=factor_periods)
    found, warnings = _fitted(checked, predictor, depth, scale, (split, train, seed))
    details = _details(found, weighting)
    return Score(details["completeness"], shape=checked.shape, warnings=warnings, details=details)


@metric(
    {
        **{f"dci_informativeness({name})": settings for name, settings in _FITS.items()},
        "dci_informativeness(lasso,in_sample)": _UBISOFT,
    },
    range=(-np.inf, 1.0),
    chance=None,
    blind=f"Which code holds a factor. {_BLIND}",
    reference=f"{_DCI}; {_PEERS}",
    invariances=("scale", "shift"),
    attained=False,
    default=["dci_informativeness(lasso)"],
)
def dci_informativeness(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    factor_periods: Sequence[float | None] | None = None,
    predictor: Predictor = "gbt",
    depth: int | None = None,
    scale: Scale = "standard",
    split: Split = "random",
    train: int | float = TRAIN,
    seed: int = 0,
) -> Score:
    """Informativeness of DCI: how well the predictor predicts.

    I = 1/k Σ_i q_i on the rows to score: accuracy for classified factors, R² for regressed ones (not clipped);
    lasso,in_sample: max(1 - 12 MSE, 0) of factors scaled to [0, 1]. The fit is `dci`'s, remembered.

    Range (-inf, 1], [0, 1] where all factors are classified; higher is better. The chance level is that of
    accuracy, the share of the commonest level, or about 0 for R²: not one number. A continuous factor that does
    not vary among the rows to score is left out.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        factor_periods: Of each periodic factor.
        predictor, depth, scale: As in `dci`.
        split, train, seed: As in `dci`.

    Returns:
        The score; details as in `dci`.

    Raises:
        InputError: As `dci`; no factor varies among the rows to score.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(500, 2))
        >>> print(f"{dci_informativeness(factors, factors, predictor='lasso'):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, min_samples=12, factor_periods=factor_periods)
    found, warnings = _fitted(checked, predictor, depth, scale, (split, train, seed))
    if np.isnan(found.held).all():
        raise InputError(f"no factor varies among the samples to score: n = {checked.shape[0]} is too small")
    details = _details(found, "mass")
    return Score(float(np.nanmean(found.held)), shape=checked.shape, warnings=warnings, details=details)
