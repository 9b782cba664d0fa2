"""InfoMEC: modularity, explicitness and compactness as shares of information."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from unmix.factors import FactorType
from unmix.metrics import logistic
from unmix.metrics.contract import Checked, InputError, Score, check, metric
from unmix.metrics.information import share
from unmix.metrics.mutual_information import entropy, levels, mutual_information, neighbour_information
from unmix.metrics.scale import scaled
from unmix.metrics.split import TRAIN, Split, split_rows

Latents = Literal["real", "levels"]
Matrix = Float[np.ndarray, "k d"]

_LEVELS: tuple[FactorType, ...] = ("categorical", "ordinal")
_PAPER = "Hsu et al. 2023, section 5 and appendix; latent_quantization infomec.py"
_BLIND = "How much a code knows: shares of almost nothing count in full. Codes that vary little are left out."
# The neighbour estimators' jitter draws anew for each column: only what leaves columns in place is exact.
_SEEN = ("sign", "shift")


def normalised_information(checked: Checked, latents: Latents, neighbours: int, seed: int) -> Matrix:
    """I(z_i; c_j) / H(z_i), of real codes by nearest neighbours or of each code's distinct values as levels."""
    tags = levels(checked.factors)
    if latents == "levels":
        information = mutual_information(tags, levels(checked.codes))
    else:
        information = neighbour_information(checked, neighbours, seed)
    shares: Matrix = share(information, entropy(tags)[:, None])
    return shares


def active(checked: Checked, latents: Latents, threshold: float) -> Bool[np.ndarray, " d"]:
    """Codes whose range exceeds a share of the largest range; of levels, all that vary."""
    ranges = np.ptp(checked.codes, axis=0)
    least = 0.0 if latents == "levels" else float(ranges.max()) * threshold
    wide: np.ndarray = ranges > least
    return wide


def preference(information: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """Largest share of each row, rescaled so that equal shares, or none, are 0 and a single one is 1."""
    columns = information.shape[1]
    largest = share(information.max(axis=1), information.sum(axis=1))
    if columns == 1:
        return np.where(largest > 0, 1.0, 0.0)
    return np.asarray(np.maximum((largest - 1 / columns) / (1 - 1 / columns), 0.0))


@metric(
    {"infom(levels)": {"latents": "levels"}},
    range=(0.0, 1.0),
    chance=None,
    accepts=_LEVELS,
    blind=_BLIND,
    reference=_PAPER,
    invariances=_SEEN,
    attained=False,
    default=[],
)
@metric(
    {"infom": {}, "infom(neighbours=3,threshold=0.125)": {"neighbours": 3, "threshold": 0.125}},
    range=(0.0, 1.0),
    chance=None,
    accepts=_LEVELS,
    blind=_BLIND,
    reference=_PAPER,
    invariances=_SEEN,
    attained=False,
    fooled_by_noise=True,
    default=["infom"],
)
def infom(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    latents: Latents = "real",
    neighbours: int = 10,
    threshold: float = 0.05,
    seed: int = 0,
) -> Score:
    """InfoM, modularity: the share of what a code knows that is about its best factor.

    InfoM = [mean over active codes of max_i N_ij / Σ_i N_ij - 1/k] / (1 - 1/k), N_ij = I(z_i; c_j) / H(z_i), by
    Ross's nearest-neighbour estimator. Active codes range over more than `threshold` of the largest range.

    The released stand-alone code is the default; the authors' training code has neighbours=3, threshold=0.125;
    "levels" counts each distinct value of a code as a level, for quantised codes (of real ones every code then
    knows everything).

    Range [0, 1], higher is better. Its chance level is not fixed (0.6 on noise): compare with the noise floor.
    A code without information counts 0, and so do dead codes alone; with a single factor a code that informs
    counts 1.

    Args:
        factors: (n, k) categorical or ordinal.
        codes: (n, d).
        factor_types: One a factor; must be given.
        latents: Codes are "real" or have "levels".
        neighbours: Of the estimator.
        threshold: Share of the largest range.
        seed: Of the jitter that separates equal values.

    Returns:
        The score; details: information (k, d), active (d,), preference (of active codes).

    Raises:
        InputError: As `check`; a continuous or periodic factor.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(2000, 2)).astype(float)
        >>> print(f"{infom(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, accepts=_LEVELS)
    information = normalised_information(checked, latents, neighbours, seed)
    mask = active(checked, latents, threshold)
    found = preference(information[:, mask].T)
    details = {"information": information, "active": mask, "preference": found}
    value = found.mean() if mask.any() else 0.0
    return Score(value, shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"infoc(levels)": {"latents": "levels"}},
    range=(0.0, 1.0),
    chance=None,
    accepts=_LEVELS,
    blind=_BLIND,
    reference=_PAPER,
    invariances=_SEEN,
    attained=False,
    default=[],
)
@metric(
    {"infoc": {}, "infoc(neighbours=3,threshold=0.125)": {"neighbours": 3, "threshold": 0.125}},
    range=(0.0, 1.0),
    chance=None,
    accepts=_LEVELS,
    blind=_BLIND,
    reference=_PAPER,
    invariances=_SEEN,
    attained=False,
    fooled_by_noise=True,
    default=["infoc"],
)
def infoc(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    latents: Latents = "real",
    neighbours: int = 10,
    threshold: float = 0.05,
    seed: int = 0,
) -> Score:
    """InfoC, compactness: the share of what active codes know about a factor that its best code knows.

    InfoC = [1/k Σ_i max_j N_ij / Σ_j N_ij - 1/a] / (1 - 1/a), over the a active codes; N and variants as in
    `infom`.

    Range [0, 1], higher is better. Its chance level is not fixed: compare with the noise floor. A factor that no
    active code knows about counts 0; with a single active code a known factor counts 1.

    Args:
        factors: (n, k) categorical or ordinal.
        codes: (n, d).
        factor_types: One a factor; must be given.
        latents: Codes are "real" or have "levels".
        neighbours: Of the estimator.
        threshold: Share of the largest range.
        seed: Of the jitter that separates equal values.

    Returns:
        The score; details: information (k, d), active (d,), preference (k,).

    Raises:
        InputError: As `infom`.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 4, size=(2000, 2)).astype(float)
        >>> print(f"{infoc(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, accepts=_LEVELS)
    information = normalised_information(checked, latents, neighbours, seed)
    mask = active(checked, latents, threshold)
    found = preference(information[:, mask]) if mask.any() else np.zeros(len(information))
    details = {"information": information, "active": mask, "preference": found}
    return Score(found.mean(), shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"infoe(levels,in_sample)": {"split": "none", "latents": "levels"}},
    range=(-np.inf, 1.0),
    # A code without equal values has as many levels as samples, and tells everything about all of them.
    chance=None,
    accepts=_LEVELS,
    blind="Which code holds a factor. For quantised codes only: of real ones every code knows everything.",
    reference=_PAPER,
    invariances=("scale",),
    attained=False,
    default=[],
)
@metric(
    {"infoe": {}, "infoe(in_sample)": {"split": "none"}},
    range=(-np.inf, 1.0),
    accepts=_LEVELS,
    blind="Which code holds a factor; relations that are not straight, such as a factor's middle levels.",
    reference=_PAPER,
    # Of permutations and offsets too, up to where the solver stops (1e-6).
    invariances=("sign", "scale"),
    attained=False,
    default=["infoe"],
)
def infoe(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    latents: Latents = "real",
    split: Split = "random",
    train: int | float = TRAIN,
    seed: int = 0,
) -> Score:
    """InfoE, explicitness: the share of a factor's uncertainty that a logistic regression on the codes removes.

    InfoE = 1/k Σ_i [log l_i - L_i] / log l_i, L_i the log-loss of an unpenalised multinomial regression (classes
    balanced, at most 100 iterations), l_i the levels of factor i: log l_i is the same regression's loss without
    codes.

    Range (-inf, 1], higher is better; chance 0 as n grows (below at finite n, above in-sample). In-sample is the
    paper's; unpenalised, it fits noise once d nears n, which is why held-out rows are the default. Dead codes
    add nothing. A level absent from the rows to fit costs its rows log of the smallest number.

    Args:
        factors: (n, k) categorical or ordinal.
        codes: (n, d).
        factor_types: One a factor; must be given.
        latents: Codes are "real" (standardised) or have "levels" (one indicator each).
        split: "random" or "ordered" rows to fit on; "none" scores the rows it was fitted on.
        train: Share or number of the rows to fit on.
        seed: Of the random split.

    Returns:
        The score; details: per_factor (k,).

    Raises:
        InputError: As `infom`; fewer than 6 samples; no factor varies among the rows to fit.

    Example:
        >>> factors = np.random.default_rng(0).integers(0, 2, size=(3000, 2)).astype(float)
        >>> print(f"{infoe(factors, factors, factor_types=['ordinal'] * 2):.2f}")
        1.00
    """
    checked = check(factors, codes, factor_types, accepts=_LEVELS, min_samples=6)
    rows, held = split_rows(checked.shape[0], split, train, seed)
    known, new = scaled(checked.codes[rows], checked.codes[held])
    if latents == "levels":
        inputs = _indicators(checked)
        known, new = inputs[rows], inputs[held]
    warnings, shares = list(checked.warnings), []
    for i, tags in enumerate(levels(checked.factors).T):
        guess = logistic.predict(known, tags[rows], new, strength=np.inf, balanced=True, summed=True)
        warnings += [f"factor {i}: {said}" for said in guess.warnings]
        if len(guess.classes) < 2:
            warnings.append(f"factor {i} does not vary among the rows to fit and is left out")
            continue
        hit = tags[held, None] == guess.classes
        likelihood = np.where(hit, guess.probabilities, 0.0).sum(axis=1)
        loss = -np.log(np.maximum(likelihood, np.finfo(float).eps)).mean()
        shares.append(1 - loss / np.log(len(guess.classes)))
    if not shares:
        raise InputError(f"no factor varies among the rows to fit: n = {checked.shape[0]} is too small")
    return Score(np.mean(shares), shape=checked.shape, warnings=warnings, details={"per_factor": np.array(shares)})


def _indicators(checked: Checked) -> csr_array:
    """One column a level of each code."""
    return csr_array(np.concatenate([np.eye(tags.max() + 1)[tags] for tags in levels(checked.codes).T], axis=1))
