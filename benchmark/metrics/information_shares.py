"""MED: mutual information, shared out among codes, as the importances of DCI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from unmix.factors import FactorType
from unmix.metrics import logistic
from unmix.metrics.contract import Checked, Score, check, metric
from unmix.metrics.importance import completeness, concentration, disentanglement
from unmix.metrics.information import binned, share
from unmix.metrics.mutual_information import factor_labels, mutual_information
from unmix.metrics.scale import scaled
from unmix.metrics.split import TRAIN, Split, split_rows

Matrix = Float[np.ndarray, "d k"]


def information_shares(checked: Checked, bins: int) -> Matrix:
    """Mutual information of each code and factor as a share of what all codes know of the factor."""
    information = mutual_information(*binned(checked, bins)).T
    return share(information, information.sum(axis=0))


def purest(importance: Matrix, top: int) -> Float[np.ndarray, "kept k"]:
    """Rows of the `top` most concentrated codes of each factor, a code counting for the factor it knows best."""
    owner = importance.argmax(axis=1)
    order = np.lexsort((-concentration(importance), owner))
    firsts = np.searchsorted(owner[order], owner[order])
    kept: np.ndarray = importance[order[np.arange(len(order)) - firsts < top]]
    return kept


_MED = "Cao et al. 2022, section 3 (MED, Top-k MED)"


@metric(
    {"med": {}, "med(top=1)": {"top": 1}},
    range=(0.0, 1.0),
    chance=None,
    blind="How much a code knows: shares of almost nothing count in full. Outliers stretch the bins.",
    reference=_MED,
    invariances=("permutation", "sign", "scale", "shift"),
    attained=False,
    default=["med"],
)
def med(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
    top: int | None = None,
) -> Score:
    """Disentanglement as in DCI, of mutual information in place of a predictor's importances.

    R_ji = I(z_i; c_j) / Σ_j I(z_i; c_j), then D as in `dci`. `top` keeps only the codes of highest concentration
    for each factor: whether a subset of a wide representation is disentangled. Bins as in `mig`.

    Range [0, 1], higher is better. Its chance level is not fixed: tiny informations of noise codes have shares
    too, and they keep perfect codes below 1 at finite n; compare with the noise floor. A dead code has no
    weight; without any information the score is 0; with a single factor every code that informs counts 1.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        bins: Of each code, and of each factor without levels.
        top: Codes kept for each factor; None for all.

    Returns:
        The score; details: importance (d, k), disentanglement, completeness.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(5000, 2))
        >>> print(f"{med(factors, factors):.2f}")
        0.91
    """
    checked = check(factors, codes, factor_types)
    return _med(checked, bins, top, "disentanglement")


@metric(
    {"med_completeness": {}, "med_completeness(top=1)": {"top": 1}},
    range=(0.0, 1.0),
    chance=None,
    blind="How much a code knows: shares of almost nothing count in full. Outliers stretch the bins.",
    reference=_MED,
    invariances=("permutation", "sign", "scale", "shift"),
    attained=False,
    default=["med_completeness"],
)
def med_completeness(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
    top: int | None = None,
) -> Score:
    """Completeness as in DCI, of mutual information in place of a predictor's importances; see `med`.

    Range [0, 1], higher is better. Its chance level is not fixed; compare with the noise floor. A factor that no
    code knows anything about counts 0.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        bins: Of each code, and of each factor without levels.
        top: Codes kept for each factor; None for all.

    Returns:
        The score; details as in `med`.

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(5000, 2))
        >>> print(f"{med_completeness(factors, factors):.2f}")
        0.91
    """
    checked = check(factors, codes, factor_types)
    return _med(checked, bins, top, "completeness")


def _med(checked: Checked, bins: int, top: int | None, which: str) -> Score:
    importance = information_shares(checked, bins)
    importance = importance if top is None else purest(importance, top)
    details: dict[str, Any] = {
        "importance": importance,
        "disentanglement": disentanglement(importance),
        "completeness": completeness(importance),
    }
    return Score(details[which], shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"med_informativeness": {}, "med_informativeness(in_sample)": {"split": "none"}},
    range=(0.0, 1.0),
    chance=None,
    blind="Which code holds a factor; relations that are not straight, such as a factor's middle levels.",
    reference="Cao et al. 2022, disentanglement_lib_med med.py",
    invariances=("permutation", "sign", "scale", "shift"),
    attained=False,
    default=[],
)
def med_informativeness(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    bins: int = 20,
    split: Split = "random",
    train: int | float = TRAIN,
    seed: int = 0,
) -> Score:
    """Accuracy of a logistic regression of each factor's levels on the standardised codes, mean over factors.

    Range [0, 1], higher is better. The chance level is the share of the commonest level: not one number. Dead
    codes add nothing. Middle levels are no half-space of perfect codes, which can stay below 1.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        bins: Of each factor without levels.
        split: "random" or "ordered" rows to fit on; "none" scores the rows it was fitted on.
        train: Share or number of the rows to fit on.
        seed: Of the random split.

    Returns:
        The score; details: per_factor (k,).

    Raises:
        InputError: As `check`; fewer than 6 samples.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 2, size=(3000, 2)).astype(float)
        >>> print(f"{med_informativeness(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, min_samples=6)
    rows, held = split_rows(checked.shape[0], split, train, seed)
    known, new = scaled(checked.codes[rows], checked.codes[held])
    hits, warnings = [], list(checked.warnings)
    for i, tags in enumerate(factor_labels(checked, bins).T):
        guess = logistic.predict(known, tags[rows], new)
        hits.append(np.mean(guess.classes[guess.probabilities.argmax(axis=1)] == tags[held]))
        warnings += [f"factor {i}: {said}" for said in guess.warnings]
    details = {"per_factor": np.array(hits)}
    return Score(np.mean(hits), shape=checked.shape, warnings=warnings, details=details)
