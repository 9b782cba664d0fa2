"""R²: how well the factors can be regressed on the codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV

from unmix.factors import FactorType
from unmix.metrics.contract import Checked, InputError, Score, check, metric
from unmix.metrics.scale import scaled, units
from unmix.metrics.split import Split, split_rows

Codes = Float[np.ndarray, "n d"]
Targets = Float[np.ndarray, "n columns"]
NewCodes = Float[np.ndarray, "m d"]
Predictions = Float[np.ndarray, "m columns"]

# Grid of von Kügelgen et al. 2021 for the RBF kernel ridge of their nonlinear R².
ALPHAS = (1.0, 0.1, 0.01, 0.001)
GAMMAS = (0.01, 0.21544347, 4.64158883, 100.0)


def halves(n: int, split: Split, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`split_rows` in halves: the first to fit on (cl-ica), the second to score on."""
    return split_rows(n, split, n // 2, seed)


def embed(checked: Checked) -> tuple[Targets, Int[np.ndarray, " columns"]]:
    """Factors as numbers that a regression can be asked for, and the factor of each column.

    Ordinal and continuous factors stay as they are, a periodic one becomes (cos, sin) of its angle, a
    categorical one an indicator of each level. Neither origin nor labels matter then.

    Raises:
        InputError: A periodic factor whose period was not given.
    """
    columns = []
    for index, (kind, period) in enumerate(zip(checked.factor_types, checked.factor_periods, strict=True)):
        factor = checked.factors[:, index]
        if kind == "periodic":
            if period is None:
                raise InputError(f"factor {index} is periodic: give its period (factor_periods, None for the others)")
            angle = 2 * np.pi * factor / period
            columns.append(np.stack([np.cos(angle), np.sin(angle)], axis=1))
        elif kind == "categorical":
            columns.append((factor[:, None] == np.unique(factor)).astype(float))
        else:
            columns.append(factor[:, None])
    owner = np.repeat(np.arange(len(columns)), [part.shape[1] for part in columns])
    return np.concatenate(columns, axis=1), owner


def least_squares(codes: Codes, targets: Targets, new: NewCodes) -> Predictions:
    """Fit targets = codes @ B + b, of least norm where B is not unique, and predict at new codes.

    Codes are standardised by what is fitted on, so that their scales do not move what counts as zero.
    """
    known, asked = scaled(codes, new)
    mean = targets.mean(axis=0)
    prediction: np.ndarray = asked @ np.linalg.lstsq(known, targets - mean, rcond=None)[0] + mean
    return prediction


def kernel_ridge(codes: Codes, targets: Targets, new: NewCodes, gamma: float | None) -> Predictions:
    """RBF kernel ridge on standardised codes; alpha and gamma by 3-fold cross-validation without one."""
    known, asked = scaled(codes, new)
    mean, spread = units(targets, "standard")
    model: KernelRidge | GridSearchCV = KernelRidge(kernel="rbf", alpha=1.0, gamma=gamma)
    if gamma is None:
        model = GridSearchCV(KernelRidge(kernel="rbf"), {"alpha": ALPHAS, "gamma": GAMMAS}, cv=3)
    model.fit(known, (targets - mean) / spread)
    prediction: np.ndarray = model.predict(asked) * spread + mean
    return prediction


def explained(targets: Targets, predictions: Targets, owner: Int[np.ndarray, " columns"]) -> Float[np.ndarray, " k"]:
    """1 - SSE/SST of each factor over the columns that embed it; NaN for a factor without variance here."""
    errors = np.bincount(owner, ((targets - predictions) ** 2).sum(axis=0))
    total = np.bincount(owner, ((targets - targets.mean(axis=0)) ** 2).sum(axis=0))
    values: np.ndarray = 1 - np.divide(errors, total, out=np.full(len(total), np.nan), where=total > 0)
    return values


_SEEN = ("permutation", "sign", "scale", "shift")
_PAPER = "Zimmermann et al. 2021, section 4; cl-ica disentanglement_utils.py (linear_disentanglement)"


@metric(
    {
        "r2(kernel,gamma=0.1)": {"kernel": True, "gamma": 0.1},
        "r2(kernel,in_sample)": {"kernel": True, "split": "none"},
    },
    range=(-np.inf, 1.0),
    # It overfits the `rows` that it is given, and they do not grow with n: about -0.02 on noise held out.
    chance=None,
    blind="Which code holds a factor; relations finer than the kernel's width.",
    reference="CausalVerse, evaluation/*/metrics/block.py: gamma 0.1, alpha 1; in-sample: as cl-ica's regressions",
    invariances=_SEEN,
    attained=False,
    default=[],
)
@metric(
    {"r2(kernel)": {"kernel": True}},
    range=(-np.inf, 1.0),
    blind="Which code holds a factor, and relations finer than what `rows` samples show.",
    reference="von Kügelgen et al. 2021, section 5.1; grid of main_3dident.py",
    invariances=_SEEN,
    attained=False,
)
@metric(
    {"r2(in_sample)": {"split": "none"}},
    range=(0.0, 1.0),
    blind="Which code holds a factor (any invertible linear mixing scores 1); grows with d / n on noise.",
    reference=_PAPER,
    invariances=(*_SEEN, "affine"),
)
@metric(
    {
        "r2": {},
        "r2(ordered)": {"split": "ordered"},
        "r2(adjusted)": {"split": "none", "adjusted": True},
        "r2(ordered,adjusted)": {"split": "ordered", "adjusted": True},
    },
    range=(-np.inf, 1.0),
    blind="Which code holds a factor: any invertible linear mixing scores 1.",
    reference=_PAPER,
    invariances=(*_SEEN, "affine"),
    default=["r2"],
)
def r2(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    factor_periods: Sequence[float | None] | None = None,
    split: Split = "random",
    kernel: bool = False,
    gamma: float | None = None,
    rows: int = 1000,
    adjusted: bool = False,
    seed: int = 0,
) -> Score:
    """Coefficient of determination of the factors regressed on the codes, not clipped.

    R²_j = 1 - Σ (z_j - ẑ_j)² / Σ (z_j - mean z_j)² over the scored rows, ẑ = codes @ B + b fitted on the
    others; the score is the mean over factors. A periodic factor is regressed as (cos, sin) of its angle and
    a categorical one as indicators, errors and variances summed over these columns.

    Range (-inf, 1], higher is better; in-sample [0, 1]. Chance is 0 as n grows: at finite n about
    -2(d + 1) / n held out and +d / n in-sample. With d >= n the fit is exact in-sample whatever the codes
    are; a warning says so. It cannot see which code holds a factor.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        factor_periods: Of each periodic factor in its own units, None for the others.
        split: "random" halves (fitted on the first, scored on the second), "ordered" halves (cl-ica), "none".
        kernel: RBF kernel ridge in place of the linear regression.
        gamma: Of the kernel on standardised codes, with alpha 1; None searches both by cross-validation.
        rows: At most so many rows are fitted on (the first of the fitting half): the kernel's cost is cubic.
        adjusted: 1 - (1 - R²)(n - 1) / (n - d - 1), n the scored rows.
        seed: Of the random halves.

    Returns:
        The score; details: per_factor (k,).

    Raises:
        InputError: As `check`; a periodic factor without a period; d >= scored rows - 1 when adjusted.

    Example:
        >>> codes = np.random.default_rng(0).normal(size=(1000, 3))
        >>> factors = codes @ [[1, 2], [0, 1], [1, 0]] + 5
        >>> print(f"{r2(factors, codes):.3f}")
        1.000
    """
    least = 12 if kernel else 4
    checked = check(factors, codes, factor_types, factor_periods=factor_periods, min_samples=least)
    n, d, _ = checked.shape
    warnings = list(checked.warnings)
    targets, owner = embed(checked)
    fit, score = halves(n, split, seed)
    if kernel:
        fit = fit[:rows]
        score = fit if split == "none" else score
        predictions = kernel_ridge(checked.codes[fit], targets[fit], checked.codes[score], gamma)
    else:
        if d >= len(fit) - 1:
            warnings.append(f"d = {d} codes fit anything exactly on {len(fit)} samples")
        predictions = least_squares(checked.codes[fit], targets[fit], checked.codes[score])
    values = explained(targets[score], predictions, owner)
    if adjusted:
        if d >= len(score) - 1:
            raise InputError(f"adjusted R² needs more than {d + 1} scored samples: there are {len(score)}")
        values = 1 - (1 - values) * (len(score) - 1) / (len(score) - d - 1)
    return _mean(values, checked, warnings)


def _mean(values: Float[np.ndarray, " k"], checked: Checked, warnings: list[str]) -> Score:
    known = np.isfinite(values)
    if not known.any():
        raise InputError(f"no factor varies among the scored samples: n = {checked.shape[0]} is too small")
    if not known.all():
        left = np.flatnonzero(~known).tolist()
        warnings.append(f"factors without variance among the scored samples left out: {left}")
    return Score(values[known].mean(), shape=checked.shape, warnings=warnings, details={"per_factor": values})


@metric(
    {
        "r2(permuted)": {},
        "r2(permuted,unsigned)": {"signs": False},
        "r2(permuted,adjusted)": {"adjusted": True},
        "r2(permuted,rescaled)": {"rescaled": True},
        "r2(permuted,rescaled,adjusted)": {"rescaled": True, "adjusted": True},
    },
    range=(-np.inf, 1.0),
    chance=None,
    blind="Factors that are spread over several codes; unless rescaled, codes of another scale are wrong.",
    reference="cl-ica disentanglement_utils.py (permutation_disentanglement, modes r2 and adjusted_r2)",
    invariances=("permutation",),
    default=[],
)
def r2_permuted(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    signs: bool = True,
    rescaled: bool = False,
    adjusted: bool = False,
) -> Score:
    """R² of the codes as they are, once permuted (and their signs flipped): nothing is fitted.

    R² = 1/k max over assignments π and signs s of Σ_j [1 - Σ (z_j - s_j c_π(j))² / Σ (z_j - mean z_j)²],
    the best assignment found exactly (cl-ica tries all k! 2^k). Rescaled: each code by its own least squares
    line, which makes each term corr². Factors without a code (d < k) count 0.

    Range (-inf, 1], higher is better; no fixed chance level, for it depends on the codes' scale.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; all count as plain numbers.
        signs: Whether signs may be flipped.
        rescaled: Whether codes may be scaled and shifted.
        adjusted: 1 - (1 - R²)(n - 1) / (n - d - 1).

    Returns:
        The score; details: per_factor (k,), assignment (k,) the code of each factor, -1 for none.

    Raises:
        InputError: As `check`; d >= n - 1 when adjusted.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(1000, 2))
        >>> print(f"{r2_permuted(factors, -factors[:, ::-1]):.2f} {r2_permuted(factors, 3 * factors):.2f}")
        1.00 -3.00
    """
    checked = check(factors, codes, factor_types)
    n, d, k = checked.shape
    z, c = checked.factors, checked.codes
    cross = z.T @ c
    spread = ((z - z.mean(axis=0)) ** 2).sum(axis=0)[:, None]
    if rescaled:
        width = ((c - c.mean(axis=0)) ** 2).sum(axis=0)
        shared = (cross - np.outer(z.sum(axis=0), c.mean(axis=0))) ** 2
        alive = np.ptp(c, axis=0) > 0
        table = np.where(alive, shared / spread / np.where(alive, width, 1.0), 0.0)
    else:
        overlap = np.abs(cross) if signs else cross
        table = 1 - ((z**2).sum(axis=0)[:, None] - 2 * overlap + (c**2).sum(axis=0)) / spread
    if adjusted:
        if d >= n - 1:
            raise InputError(f"adjusted R² needs more than {d + 1} samples: there are {n}")
        table = 1 - (1 - table) * (n - 1) / (n - d - 1)
    rows, columns = linear_sum_assignment(-table)
    per_factor, assignment = np.zeros(k), np.full(k, -1)
    per_factor[rows], assignment[rows] = table[rows, columns], columns
    details = {"per_factor": per_factor, "assignment": assignment}
    return Score(per_factor.mean(), shape=checked.shape, warnings=checked.warnings, details=details)


@metric(
    {"block_identifiability": {}, "block_identifiability(linear)": {"kernel": False}},
    range=(-np.inf, 1.0),
    blind="Style that the codes hold besides the content: it stands in the details. Which code holds a factor.",
    reference="von Kügelgen et al. 2021, section 5.1",
    invariances=_SEEN,
    attained=False,
    default=[],
)
def block_identifiability(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    content: Sequence[int] | None = None,
    factor_types: Sequence[FactorType] | None = None,
    factor_periods: Sequence[float | None] | None = None,
    kernel: bool = True,
    seed: int = 0,
) -> Score:
    """Held-out R² of the content factors from the codes; the style factors' R² stands in the details.

    Codes that identify the content block score 1 on content and, where content and style are independent, 0
    on style. One number cannot say both: read them together.

    Range (-inf, 1], higher is better (of content); chance 0 as n grows. Dead codes add nothing. It cannot see
    which code holds a factor.

    Args:
        factors: (n, k), content and style.
        codes: (n, d), the code block that is to hold the content.
        content: Columns of the content factors, which must be given; the others are style.
        factor_types: One a factor; "continuous" by default.
        factor_periods: Of each periodic factor in its own units, None for the others.
        kernel: RBF kernel ridge (the paper's nonlinear R²) or linear regression.
        seed: Of the random halves.

    Returns:
        Mean R² over content; details: content (one each), style (one each).

    Raises:
        InputError: As `r2`; no content column, one that does not exist or one that is constant.

    Example:
        >>> factors = np.random.default_rng(0).normal(size=(500, 3))
        >>> score = block_identifiability(factors, factors[:, :2], content=[0, 1], kernel=False)
        >>> print(f"{score:.2f} {abs(score.details['style'][0]):.1f}")
        1.00 0.0
    """
    checked = check(factors, codes, factor_types, factor_periods=factor_periods)
    table = np.asarray(factors, dtype=np.float64).reshape(checked.shape[0], -1)
    k = table.shape[1]
    block = list(dict.fromkeys(content or ()))
    if not block or not set(block) <= set(range(k)):
        raise InputError(f"content columns {block} are not among the {k} factors: give `content`, at least one")
    varies = np.flatnonzero(np.ptp(table, axis=0))
    if not set(block) <= set(varies):
        raise InputError(f"content columns {sorted(set(block) - set(varies))} are constant: nothing to identify")

    def scored(columns: Sequence[int]) -> Score:
        return r2(
            table[:, list(columns)],
            codes,
            factor_types=[factor_types[column] for column in columns] if factor_types else None,
            factor_periods=[factor_periods[column] for column in columns] if factor_periods else None,
            kernel=kernel,
            seed=seed,
        )

    score = scored(block)
    style = [int(column) for column in varies if column not in block]
    details = {
        "content": score.details["per_factor"],
        "style": scored(style).details["per_factor"] if style else np.array([]),
    }
    warnings = dict.fromkeys([*checked.warnings, *score.warnings])
    return Score(score, shape=checked.shape, warnings=tuple(warnings), details=details)
