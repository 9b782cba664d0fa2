"""MCC for angles: a periodic factor may be held by a pair of codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array

from unmix.factors import FactorType
from unmix.metrics.contract import Score, check, metric
from unmix.metrics.correlation import Codes, standardise
from unmix.metrics.regression import embed


@metric(
    {"mcc(circular)": {}},
    range=(0.0, 1.0),
    rate=0.5,
    accepts=("ordinal", "continuous", "periodic"),
    blind="Factors spread over more codes, and relations not linear (for angles: in cosine and sine).",
    reference="this suite; multiple correlation with an angle: Mardia and Jupp 2000, section 11.2",
    invariances=("permutation", "sign", "scale", "shift"),
    default=["mcc(circular)"],
)
def mcc_circular(
    factors: ArrayLike,
    codes: ArrayLike,
    *,
    factor_types: Sequence[FactorType] | None = None,
    factor_periods: Sequence[float | None] | None = None,
) -> Score:
    """MCC in which a periodic factor may be held by a pair of codes.

    MCC = 1/k max Σ_j v_j(codes of j), no code used twice. For plain factors v_j is |corr(z_j, c_i)| of one
    code. For an angle θ it is √R² of (cos θ, sin θ) regressed on one code or two, errors and variances summed
    over both components: neither the origin of the angle nor a rotation of the pair matters. A pair
    (cos θ, sin θ) scores 1; sin θ alone leaves half of the angle open and scores √½, as two copies of it do;
    θ itself as one code scores 0.55, because it jumps where the angle does not. (A correlation of one code
    with cos θ and sin θ would score 1 for sin θ alone; a circular-circular correlation would need to be told
    which codes are angles.)

    Range [0, 1], higher is better; chance 0 as n grows. Without periodic factors it is `mcc`. The choice of
    pairs is an exact integer programme with d²/2 variables an angle: seconds at d = 100.

    Args:
        factors: (n, k).
        codes: (n, d).
        factor_types: One a factor; "continuous" by default.
        factor_periods: Of each periodic factor in its own units, None for the others.

    Returns:
        The score; details: per_factor (k,), assignment (k, 2) the codes of each factor, -1 for none.

    Raises:
        InputError: As `check`; a periodic factor without a period; a categorical factor.

    Example:
        >>> from unmix.metrics import mcc
        >>> angle = np.random.default_rng(0).uniform(0, 360, size=1000)
        >>> codes = np.stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))], axis=1)
        >>> as_angle = {"factor_types": ["periodic"], "factor_periods": [360.0]}
        >>> print(f"{mcc(angle, codes):.2f} {mcc_circular(angle, codes, **as_angle):.2f}")
        0.78 1.00
    """
    checked = check(
        factors,
        codes,
        factor_types,
        accepts=("ordinal", "continuous", "periodic"),
        factor_periods=factor_periods,
    )
    targets, owner = embed(checked)
    units, spread = standardise(checked.codes), targets - targets.mean(axis=0)
    bundles, values, owners = [], [], []
    for factor in range(checked.shape[2]):
        pairs, value = _bundles(units, spread[:, owner == factor])
        bundles.append(pairs)
        values.append(value)
        owners.append(np.full(len(value), factor))
    bundle, value, factor_of = np.concatenate(bundles), np.concatenate(values), np.concatenate(owners)
    chosen = _pack(bundle, factor_of, value, checked.shape)
    per_factor, assignment = np.zeros(checked.shape[2]), np.full((checked.shape[2], 2), -1)
    per_factor[factor_of[chosen]], assignment[factor_of[chosen]] = value[chosen], bundle[chosen]
    details = {"per_factor": per_factor, "assignment": assignment}
    return Score(per_factor.mean(), shape=checked.shape, warnings=checked.warnings, details=details)


def _bundles(
    units: Codes, target: Float[np.ndarray, "n parts"]
) -> tuple[Int[np.ndarray, "bundles 2"], Float[np.ndarray, " bundles"]]:
    """Bundles that a factor may take (a code: (i, -1); an angle also two) and √R² of the factor on each."""
    d = units.shape[1]
    singles = np.stack([np.arange(d), np.full(d, -1)], axis=1)
    slopes = units.T @ target / np.linalg.norm(target)
    power = (slopes**2).sum(axis=1)
    if target.shape[1] == 1 or d == 1:
        return singles, np.sqrt(np.clip(power, 0, 1))
    first, second = np.triu_indices(d, 1)
    overlap = (units.T @ units)[first, second]
    rest = 1 - overlap**2
    joint = power[first] + power[second] - 2 * overlap * (slopes[first] * slopes[second]).sum(axis=1)
    # Codes that are copies of each other span one direction, not two.
    both = np.where(rest > 1e-9, joint / np.maximum(rest, 1e-9), np.maximum(power[first], power[second]))
    pairs = np.concatenate([singles, np.stack([first, second], axis=1)])
    return pairs, np.sqrt(np.clip(np.concatenate([power, both]), 0, 1))


def _pack(
    bundles: Int[np.ndarray, "bundles 2"],
    owners: Int[np.ndarray, " bundles"],
    values: Float[np.ndarray, " bundles"],
    shape: tuple[int, int, int],
) -> Int[np.ndarray, " chosen"]:
    """Bundles of the largest total value: at most one a factor, every code in at most one."""
    _, d, k = shape
    column = np.arange(len(values))
    second = bundles[:, 1] >= 0
    rows = np.concatenate([owners, k + bundles[:, 0], k + bundles[second, 1]])
    columns = np.concatenate([column, column, column[second]])
    uses = csr_array((np.ones(len(rows)), (rows, columns)), shape=(k + d, len(values)))
    once = LinearConstraint(uses, ub=1)
    solution = milp(-values, integrality=np.ones(len(values)), bounds=(0, 1), constraints=once)
    return np.flatnonzero(solution.x > 0.5)
