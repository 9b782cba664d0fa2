"""Logistic regression of a factor's levels on the codes, shared by explicitness, InfoE and MED."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

Codes = Float[np.ndarray, "n d"]
Tags = Int[np.ndarray, " n"]


class Prediction(NamedTuple):
    """Probability of each class (m, classes) at m new rows, the classes, and what is worth a warning."""

    probabilities: np.ndarray
    classes: np.ndarray
    warnings: tuple[str, ...]


def predict(
    codes: Codes | csr_array,
    tags: Tags,
    new: Float[np.ndarray, "m d"] | csr_array,
    *,
    strength: float = 1.0,
    balanced: bool = False,
    one_vs_rest: bool = False,
    summed: bool = False,
) -> Prediction:
    """Fit scikit-learn's logistic regression and give the classes' probabilities at new codes.

    Args:
        codes: (n, d), scaled.
        tags: Class of each row.
        new: (m, d), scaled alike.
        strength: C, the inverse of the ridge penalty; infinite for none.
        balanced: Weigh classes by the inverse of their frequency.
        one_vs_rest: A binary regression for each class, its probabilities normalised, for the multinomial one.
        summed: Stop by the gradient of the summed loss, as scikit-learn did until 1.4, in place of the mean's.
    """
    classes = np.unique(tags)
    if len(classes) == 1:
        return Prediction(np.ones((new.shape[0], 1)), classes, ())
    model: LogisticRegression | OneVsRestClassifier = LogisticRegression(
        C=strength, class_weight="balanced" if balanced else None, tol=1e-4 / (len(tags) if summed else 1)
    )
    if one_vs_rest:
        model = OneVsRestClassifier(model)
    with warnings.catch_warnings(record=True) as caught:
        # The peers' limit of iterations is part of the score: it is said, and no error.
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(codes, tags)
    said = ("a logistic regression reached its limit of iterations and has not converged",) if caught else ()
    return Prediction(model.predict_proba(new), classes, said)
