"""Scores by intervention: hold one factor and look which code keeps still."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Num
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from unmix.factors import FACTOR_TYPES, FactorType
from unmix.metrics.bins import equal_width
from unmix.metrics.contract import Checked, Score, check, metric
from unmix.metrics.sources import Rows, Source


@dataclass(frozen=True)
class Accuracy:
    """Of a classifier that names the held factor: on the votes that it learned from, and on fresh ones."""

    train: float
    test: float
    warnings: tuple[str, ...] = ()


# Votes drawn at a time, so that their codes fit into memory.
VOTES = 1000


def beta_vae_accuracy(
    source: Source,
    *,
    batch: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    iterations: int = 100,
    seed: int = 0,
) -> Accuracy:
    """Logistic regression of the held factor on mean |c - c'| over `batch` pairs that share it."""
    generator = np.random.default_rng(seed)
    factor = generator.integers(source.k, size=train + test)
    # A batch of pairs at a time: all of them at once would not fit into memory.
    pairs = (source.fixing(factor, 2, generator) for _ in range(batch))
    distance = np.asarray(sum(np.abs(pair[:, 0] - pair[:, 1]) for pair in pairs)) / batch
    model = LogisticRegression(max_iter=iterations)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(distance[:train], factor[:train])
    said = ("the logistic regression did not converge",) if caught else ()
    return Accuracy(
        train=float(model.score(distance[:train], factor[:train])),
        test=float(model.score(distance[train:], factor[train:])),
        warnings=said,
    )


def factor_vae_accuracy(
    source: Source,
    *,
    batch: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    threshold: float = 0.05,
    moving: bool = False,
    seed: int = 0,
) -> Accuracy:
    """Majority vote on the code of least (or, if `moving`, largest) relative variance among `batch` codes."""
    generator = np.random.default_rng(seed)
    marginal = source.marginal(10_000, generator)
    spread = marginal.std(axis=0, ddof=1)
    active = (spread >= threshold) & (np.ptp(marginal, axis=0) > 0)
    if not active.any():
        return Accuracy(0.0, 0.0, ("no code is active: its standard deviation is below the threshold",))
    factor = generator.integers(source.k, size=train + test)
    variance = np.concatenate(
        [
            source.fixing(part, batch, generator)[..., active].var(axis=1, ddof=1) / spread[active] ** 2
            for part in np.array_split(factor, -(-len(factor) // VOTES))
        ]
    )
    code = variance.argmax(axis=1) if moving else variance.argmin(axis=1)
    votes = np.zeros((2, variance.shape[1], source.k))
    np.add.at(votes, ((np.arange(train + test) >= train).astype(int), code, factor), 1)
    # One factor for each code, chosen on the first votes.
    right = np.take_along_axis(votes, votes[:1].argmax(axis=2, keepdims=True), axis=2).sum(axis=(1, 2))
    return Accuracy(float(right[0] / train), float(right[1] / test))


LEVELS: tuple[FactorType, ...] = ("categorical", "ordinal", "periodic")
_BINNED = " Continuous factors are cut into bins of equal width."


def _share(k: int) -> float:
    """Accuracy of a guess among k factors."""
    return 1 / k


def _score(accuracy: Accuracy, checked: Checked, adjusted: bool) -> Score:
    """Accuracy on fresh votes, if `adjusted` rescaled so that a guess among k factors is 0."""
    k = checked.shape[2]
    value = accuracy.test
    if adjusted and k > 1 and accuracy.train > 0:
        value = (value - 1 / k) / (1 - 1 / k)
    said = ["a single factor is always named correctly: the score says nothing"] if k == 1 else []
    return Score(
        value,
        shape=checked.shape,
        warnings=[*checked.warnings, *accuracy.warnings, *said],
        details={"train_accuracy": accuracy.train, "test_accuracy": accuracy.test},
    )


def _discrete(checked: Checked, bins: int) -> Float[np.ndarray, "n k"]:
    """Factors with continuous ones cut into bins of equal width, the others as they are."""
    continuous = np.array([kind == "continuous" for kind in checked.factor_types])
    return np.where(continuous, equal_width(checked.factors, bins), checked.factors)


@metric(
    {"z_diff": {"batch": 200, "iterations": 10_000, "adjusted": True, "bins": 10}},
    range=(-1.0, 1.0),
    blind="How factors are spread over codes: any rotation of them scores 1." + _BINNED,
    reference="Higgins et al. 2017, appendix A.4, as the 2020 review (Sepliarskaia; Ubisoft) rescales it",
    invariances=("sign", "shift"),
    default=[],
)
@metric(
    {"beta_vae": {}},
    range=(0.0, 1.0),
    chance=_share,
    accepts=LEVELS,
    blind="How factors are spread over codes: any rotation of them scores 1. It saturates.",
    reference="Higgins et al. 2017, appendix A.4; settings of Locatello et al. 2019 (disentanglement_lib)",
    invariances=("sign", "shift"),
)
def beta_vae(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    batch: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    iterations: int = 100,
    bins: int | None = None,
    adjusted: bool = False,
    seed: int = 0,
) -> Score:
    """BetaVAE score: accuracy with which the factor that pairs share is read off their codes' distance.

    A vote draws a factor y and `batch` pairs of samples, each pair with its own common level of y; its
    feature is the mean |c - c'| (d,). The score is the accuracy of a logistic regression of y on it, on fresh
    votes.

    Range [0, 1] (adjusted for guessing: [-1, 1]), higher is better; chance 1/k (0). The pairs come from the
    arrays: levels must repeat. It cannot see rotations: with any invertible linear mixing of the factors the
    distances still tell them apart. With one factor it is 1.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; continuous factors need `bins`.
        batch: Pairs a vote.
        train: Votes to learn from.
        test: Votes to score.
        iterations: At most so many of the logistic regression; reaching them is a warning.
        bins: Of continuous factors; None refuses them.
        adjusted: (accuracy - 1/k) / (1 - 1/k).
        seed: Of the votes.

    Returns:
        The score; details: train_accuracy, test_accuracy.

    Raises:
        InputError: As `check`; a factor of which no level repeats.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(1000, 3))
        >>> rotated = 10 * factors @ [[2, 1, 0], [-1, 2, 0], [0, 0, 1]]
        >>> print(beta_vae(factors, rotated, factor_types=["ordinal"] * 3, train=500, test=200))
        1.0
    """
    checked = check(factors, codes, factor_types, accepts=LEVELS if bins is None else FACTOR_TYPES)
    rows = Rows(_discrete(checked, bins or 1), checked.codes)
    if rows.k == 1:
        return _score(Accuracy(1.0, 1.0), checked, adjusted)
    accuracy = beta_vae_accuracy(rows, batch=batch, train=train, test=test, iterations=iterations, seed=seed)
    return _score(accuracy, checked, adjusted)


@metric(
    {"z_max_var": {"batch": 200, "train": 800, "test": 800, "adjusted": True, "bins": 3, "moving": True}},
    range=(-1.0, 1.0),
    # Few samples share all other factors: what they have by chance decides the votes for long.
    rate=0.5,
    blind="Factors that share a code beyond the first, and how much else a code holds." + _BINNED,
    reference="Kim et al. 2019, section 4, rescaled as by Ubisoft",
    invariances=("permutation", "sign", "shift"),
    default=[],
)
@metric(
    {
        "z_min_var": {"batch": 200, "train": 800, "test": 800, "adjusted": True, "bins": 10},
    },
    range=(-1.0, 1.0),
    blind="Factors that share a code beyond the first, and how much else a code holds." + _BINNED,
    reference="Kim and Mnih 2018, section 4, rescaled as by Ubisoft",
    invariances=("permutation", "sign", "shift"),
    default=[],
)
@metric(
    {"factor_vae": {}, "factor_vae(threshold=0)": {"threshold": 0.0}},
    range=(0.0, 1.0),
    chance=_share,
    accepts=LEVELS,
    blind="How much else a code holds, as long as its own factor moves it most. It saturates.",
    reference="Kim and Mnih 2018, section 4; pruning of Locatello et al. 2019 (0.05)",
    invariances=("permutation", "sign", "shift"),
    default=["factor_vae"],
)
def factor_vae(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    batch: int = 64,
    train: int = 10_000,
    test: int = 5_000,
    threshold: float = 0.05,
    moving: bool = False,
    bins: int | None = None,
    adjusted: bool = False,
    seed: int = 0,
) -> Score:
    """FactorVAE score: accuracy with which the held factor is read off the code that keeps stillest.

    A vote draws a factor y and `batch` samples that share a level of y, and names the active code of least
    variance relative to its variance over all samples. Each code stands for the factor that it was named for
    most; the score is the accuracy of that rule on fresh votes. With `moving`, all other factors are held and
    the code of largest relative variance is named (z_max_var).

    Range [0, 1] (adjusted for guessing: [-1, 1]), higher is better; chance 1/k (0). No active code scores 0.
    The samples come from the arrays: levels (with `moving`: combinations of the other factors) must repeat.
    It cannot see what else a code holds. With one factor it is 1.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; continuous factors need `bins`.
        batch: Samples a vote.
        train: Votes to learn from.
        test: Votes to score.
        threshold: Codes of a smaller standard deviation are pruned; constant ones always are. It is a length
            in the codes' own units: 0.05 is meant for codes with a standard normal prior.
        moving: Hold all other factors.
        bins: Of continuous factors; None refuses them.
        adjusted: (accuracy - 1/k) / (1 - 1/k).
        seed: Of the votes.

    Returns:
        The score; details: train_accuracy, test_accuracy.

    Raises:
        InputError: As `check`; levels that do not repeat.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(1000, 3))
        >>> print(factor_vae(factors, 2.0 * factors, factor_types=["ordinal"] * 3, train=500, test=200))
        1.0
    """
    checked = check(factors, codes, factor_types, accepts=LEVELS if bins is None else FACTOR_TYPES)
    levels = _discrete(checked, bins or 1)
    if moving:
        others = [np.delete(levels, factor, axis=1) for factor in range(levels.shape[1])]
        groups = [np.unique(rest, axis=0, return_inverse=True)[1] for rest in others]
        levels = np.stack(groups, axis=1).astype(float)
    accuracy = factor_vae_accuracy(
        Rows(levels, checked.codes),
        batch=batch,
        train=train,
        test=test,
        threshold=threshold,
        moving=moving,
        seed=seed,
    )
    return _score(accuracy, checked, adjusted)


@metric(
    {
        "irs": {},
        "irs(q=1)": {"quantile": 1.0},
        "irs(bins=10)": {"bins": 10},
        "irs(bins=10,q=1)": {"bins": 10, "quantile": 1.0},
        "irs(binned)": {"binned": "all"},
        "irs(binned,q=1)": {"binned": "all", "quantile": 1.0},
    },
    range=(-1.0, 1.0),
    chance=None,
    blind="Codes that several factors move a little, and factors that no code holds.",
    reference="Suter et al. 2019, section 4 (q = 1); disentanglement_lib: q = 0.99, all factors in 20 bins",
    invariances=("permutation", "sign", "shift"),
    attained=False,
    default=["irs"],
)
def irs(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    quantile: float = 0.99,
    bins: int = 20,
    binned: Literal["continuous", "all"] = "continuous",
) -> Score:
    """Interventional robustness score: how little a code moves while its factor is held.

    For code i and factor j, R_ij = 1 - mean over levels of j of Q(|c_i - mean c_i given the level|) /
    max |c_i - mean c_i|, Q the quantile within the level (the paper's maximum is 1). The score is the mean
    over codes of max_j R_ij, weighted by max |c_i - mean c_i|: codes of a large scale count more.

    Range [-1, 1], higher is better. No fixed chance level: on noise it falls with n from the quantile's
    distance to the maximum, to slightly below 0 where the means of levels lie off the overall mean. No code
    that varies scores 0; dead codes have weight 0. It cannot see factors that no code holds: one good code
    and nothing else scores 1.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor.
        quantile: Of the deviations within a level.
        bins: Of equal width, for factors that are binned.
        binned: "continuous" factors only, or "all" (which merges the levels of a factor of more than `bins`).

    Returns:
        The score; details: per_code (of the active codes), weights, table R (active codes, k).

    Raises:
        InputError: As `check`.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(1000, 3))
        >>> codes = factors + 0.1 * np.random.default_rng(1).normal(size=(1000, 3))
        >>> types = ["ordinal"] * 3
        >>> print(f"{irs(factors, codes, factor_types=types):.2f}")
        0.86
    """
    checked = check(factors, codes, factor_types)
    active = np.delete(checked.codes, checked.dead, axis=1)
    if not active.shape[1]:
        return Score(0.0, shape=checked.shape, warnings=checked.warnings)
    levels = _discrete(checked, bins) if binned == "continuous" else equal_width(checked.factors, bins)
    largest = np.abs(active - active.mean(axis=0)).max(axis=0)
    deviation = np.stack([_deviation(level, active, quantile) for level in levels.T], axis=1)
    table = 1 - deviation / largest[:, None]
    per_code = table.max(axis=1)
    return Score(
        np.average(per_code, weights=largest),
        shape=checked.shape,
        warnings=checked.warnings,
        details={"per_code": per_code, "weights": largest, "table": table},
    )


def _deviation(
    level: Num[np.ndarray, " n"], codes: Float[np.ndarray, "n d"], quantile: float
) -> Float[np.ndarray, " d"]:
    """Mean over levels of the quantile of |code - its mean at that level|."""
    order = np.argsort(level, kind="stable")
    ends = np.flatnonzero(np.diff(level[order])) + 1
    parts = np.split(codes[order], ends)
    moves = [np.quantile(np.abs(part - part.mean(axis=0)), quantile, axis=0) for part in parts]
    mean: np.ndarray = np.mean(moves, axis=0)
    return mean
