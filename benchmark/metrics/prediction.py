"""How well single codes, or all of them, predict a factor: SAP, explicitness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from unmix.factors import FactorType
from unmix.metrics import logistic
from unmix.metrics.bins import equal_width
from unmix.metrics.contract import Checked, InputError, Score, check, metric
from unmix.metrics.correlation import pearson
from unmix.metrics.information import gap
from unmix.metrics.mutual_information import factor_labels, levels
from unmix.metrics.scale import scaled
from unmix.metrics.split import TRAIN, Split, split_rows
from unmix.metrics.trees import by_depth

Classifier = Literal["svm", "tree"]
Tags = Int[np.ndarray, " n"]
Code = Float[np.ndarray, "n one"]
NewCode = Float[np.ndarray, "m one"]

# Of Ubisoft's trees.
MAX_DEPTH = 9
_LINE: tuple[FactorType, ...] = ("ordinal", "continuous")
_SAP = "Kumar et al. 2018, section 3; disentanglement_lib sap_score.py"


def svm_accuracy(code: Code, tags: Tags, new: NewCode, truth: np.ndarray) -> float:
    """Share of new rows whose class a linear SVM, fitted on one code, hits."""
    if np.ptp(tags) == 0:
        return float(np.mean(truth == tags[0]))
    model = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
    return float(np.mean(model.fit(code, tags).predict(new) == truth))


def tree_accuracy(code: Code, tags: Tags, new: NewCode, truth: np.ndarray) -> float:
    """As `svm_accuracy`, of a tree as deep (1 to 9) as is best over ten folds, or fewer where a class is rarer."""
    rarest = np.bincount(tags)[np.unique(tags)].min()
    if rarest < 2:
        raise InputError("a level occurs once: SAP's trees need two samples of each to choose their depth")

    def hits(known: Code, classes: Tags, asked: np.ndarray, right: np.ndarray) -> Float[np.ndarray, " depths"]:
        tree = DecisionTreeClassifier(max_depth=MAX_DEPTH, random_state=0).fit(known, classes)
        guess = tree.classes_[by_depth(tree.tree_, asked, MAX_DEPTH).argmax(axis=2)]
        share: np.ndarray = (guess == right).mean(axis=1)
        return share

    folds = StratifiedKFold(min(10, rarest)).split(code, tags)
    means = np.mean([hits(code[fit], tags[fit], code[held], tags[held]) for fit, held in folds], axis=0)
    return float(hits(code, tags, new, truth)[means.argmax()])


@metric(
    {"sap(correlation)": {}},
    range=(0.0, 1.0),
    accepts=_LINE,
    blind="Relations that are not straight; how much all codes together know.",
    reference=f"{_SAP} (continuous_factors=True)",
    invariances=("permutation", "sign", "scale", "shift"),
)
def sap_correlation(factors: ArrayLike, codes: ArrayLike, *, factor_types: Sequence[FactorType] | None = None) -> Score:
    """Separated attribute predictability by straight lines: gap of the best two squared correlations.

    SAP = 1/k Σ_i [max_j R²_ij - second max_j R²_ij], R²_ij the squared correlation of factor i and code j.

    Range [0, 1], higher is better; chance 0 as n grows. A dead code scores 0; with a single code the second
    is 0. It cannot see relations that are not straight.

    Args:
        factors: (n, k); levels of ordinal ones count as numbers.
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.

    Returns:
        The score; details: per_factor (k,), predictability (k, d).

    Raises:
        InputError: As `check`; a categorical or periodic factor, which no line fits.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(5000, 2))
        >>> print(f"{sap_correlation(factors, factors):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, accepts=_LINE)
    return _gaps(pearson(checked.factors, checked.codes) ** 2, checked, checked.warnings)


@metric(
    {"sap(tree)": {"classifier": "tree", "split": "none"}, "sap(bins=20)": {"bins": 20}},
    range=(0.0, 1.0),
    accepts=("categorical", "ordinal", "continuous"),
    blind="How much all codes together know about a factor.",
    reference="Carbonneau et al. 2022 (tree); disentangling-correlated-factors sap_d.py (bins=20)",
    invariances=("permutation", "scale", "shift"),
    attained=False,
    default=[],
)
@metric(
    {"sap": {}},
    range=(0.0, 1.0),
    accepts=("categorical", "ordinal", "continuous"),
    blind="A code that separates a factor's middle levels: a line cannot. Depends on a code's scale and offset.",
    reference=_SAP,
    invariances=("permutation", "sign"),
    attained=False,
)
def sap(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    classifier: Classifier = "svm",
    bins: int | None = None,
    split: Split = "random",
    train: int | float = TRAIN,
    seed: int = 0,
) -> Score:
    """Separated attribute predictability: how much better the best code predicts a factor than the second.

    SAP = 1/k Σ_i [max_j S_ij - second max_j S_ij]. For a factor with levels S_ij is the held-out accuracy of a
    classifier of z_i on code j alone: a linear SVM (C = 0.01, classes balanced) or a decision tree. For a
    continuous factor S_ij is the squared correlation over all samples.

    Range [0, 1], higher is better; chance 0 as n grows. Perfect codes stay far below 1 (0.18 on dSprites), for
    a linear classifier of one code cannot pick out a middle level. A dead code predicts one class; with a
    single code the second best is 0. The SVM penalises its offset: shifting or scaling a code moves the score.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default. They choose the predictor, values never do.
        classifier: "svm", or "tree" with its depth (1 to 9) chosen by 10-fold cross-validation (Ubisoft).
        bins: Replace codes by the number, from 1, of their bin of equal width (correlated-factors).
        split: "random" or "ordered" rows to fit on; "none" scores the rows it was fitted on.
        train: Share or number of the rows to fit on.
        seed: Of the random split.

    Returns:
        The score; details: per_factor (k,), predictability (k, d).

    Raises:
        InputError: As `check`; a periodic factor; fewer than 6 samples; for trees a level that occurs once.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 3, size=(3000, 2)).astype(float)
        >>> print(f"{sap(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        0.63
    """
    checked = check(factors, codes, factor_types, accepts=("categorical", "ordinal", "continuous"), min_samples=6)
    fit, held = split_rows(checked.shape[0], split, train, seed)
    values = checked.codes if bins is None else equal_width(checked.codes, bins) + 1.0
    labels = levels(checked.factors)
    matrix = pearson(checked.factors, checked.codes) ** 2
    accuracy = svm_accuracy if classifier == "svm" else tree_accuracy
    for i, kind in enumerate(checked.factor_types):
        if kind != "continuous":
            tags = labels[:, i]
            matrix[i] = [accuracy(c[fit, None], tags[fit], c[held, None], tags[held]) for c in values.T]
    return _gaps(matrix, checked, checked.warnings)


def _gaps(matrix: Float[np.ndarray, "k d"], checked: Checked, warnings: Sequence[str]) -> Score:
    per_factor = gap(matrix, axis=1)
    details = {"per_factor": per_factor, "predictability": matrix}
    return Score(per_factor.mean(), shape=checked.shape, warnings=warnings, details=details)


def area_under_roc(
    probabilities: Float[np.ndarray, "m classes"], positive: np.ndarray
) -> Float[np.ndarray, " classes"]:
    """P(score of a positive > score of a negative) + half the ties, each class against the rest.

    NaN for a class of which there are none, or nothing else.
    """
    ranks = rankdata(probabilities, axis=0)
    ones = positive.sum(axis=0)
    pairs = ones * (len(positive) - ones)
    wins = (ranks * positive).sum(axis=0) - ones * (ones + 1) / 2
    area: np.ndarray = np.divide(wins, pairs, out=np.full(len(ones), np.nan), where=pairs > 0)
    return area


@metric(
    {
        "explicitness(one_vs_rest,in_sample)": {
            "split": "none",
            "one_vs_rest": True,
            "bins": 10,
            "rescaled": True,
        }
    },
    range=(-1.0, 1.0),
    blind="Which code holds a factor; relations that are not straight, such as a factor's middle levels.",
    reference="Carbonneau et al. 2022; ubisoft-laforge-disentanglement-metrics explicitness.py",
    invariances=("permutation", "sign", "scale", "shift"),
    rate=0.5,
    attained=False,
    default=[],
)
@metric(
    {"explicitness": {}, "explicitness(in_sample)": {"split": "none"}},
    range=(0.0, 1.0),
    chance=0.5,
    rate=0.5,
    blind="Which code holds a factor; relations that are not straight, such as a factor's middle levels.",
    reference="Ridgeway & Mozer 2018, section 2; disentanglement_lib modularity_explicitness.py",
    invariances=("permutation", "sign", "scale", "shift"),
    attained=False,
    default=["explicitness"],
)
def explicitness(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    one_vs_rest: bool = False,
    bins: int = 20,
    rescaled: bool = False,
    split: Split = "random",
    train: int | float = TRAIN,
    seed: int = 0,
) -> Score:
    """How well a linear classifier of all codes tells a factor's levels apart.

    Mean over factors of the mean over levels of the area under the ROC curve, one level against the rest, of a
    logistic regression on standardised codes (ridge penalty, C = 1). Continuous and periodic factors are cut
    into bins of equal width.

    Range [0, 1] ([-1, 1] rescaled to 2 AUC - 1), higher is better; chance 0.5 (0 rescaled). Middle levels are
    no half-space of perfect codes, which therefore stay below 1. Dead codes add nothing; with dead codes alone
    the score is chance. A level absent from the rows to fit or to score is left out with a warning.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        one_vs_rest: Balanced binary regressions on codes scaled to [0, 1] (Ubisoft) for the multinomial one.
        bins: Of each factor without levels.
        rescaled: Give 2 AUC - 1.
        split: "random" or "ordered" rows to fit on; "none" scores the rows it was fitted on.
        train: Share or number of the rows to fit on.
        seed: Of the random split.

    Returns:
        The score; details: per_factor (k,).

    Raises:
        InputError: As `check`; fewer than 6 samples; no factor with two levels among the rows to score.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 2, size=(3000, 2)).astype(float)
        >>> print(f"{explicitness(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, min_samples=6)
    fit, held = split_rows(checked.shape[0], split, train, seed)
    labels = factor_labels(checked, bins)
    known, new = scaled(checked.codes[fit], checked.codes[held], "minmax" if one_vs_rest else "standard")
    warnings, areas = list(checked.warnings), []
    for i, tags in enumerate(labels.T):
        guess = logistic.predict(
            known, tags[fit], new, balanced=one_vs_rest, one_vs_rest=one_vs_rest, summed=one_vs_rest
        )
        area = area_under_roc(guess.probabilities, tags[held, None] == guess.classes)
        if np.isnan(area).any() or len(area) < len(np.unique(tags)):
            warnings.append(f"levels of factor {i} are missing among the rows to fit or to score")
        warnings += [f"factor {i}: {said}" for said in guess.warnings]
        areas.append(area[np.isfinite(area)].mean() if np.isfinite(area).any() else np.nan)
    per_factor = np.array(areas)
    if np.isnan(per_factor).all():
        raise InputError(f"no factor has two levels among the rows to score: n = {len(labels)} is too small")
    per_factor = 2 * per_factor - 1 if rescaled else per_factor
    value = np.nanmean(per_factor)
    return Score(value, shape=checked.shape, warnings=warnings, details={"per_factor": per_factor})
