"""One contract for all metrics: every declaration of every registered variant is proved here."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import unmix.metrics
from unmix import METRICS
from unmix.factors import FACTOR_TYPES
from unmix.metrics import InputError, Metric, Score, boosting, metric, noise_floor
from unmix.metrics.predictors import fit

NAMES = list(METRICS)
LEVELS = (3, 4, 5)
# Of the metrics that need to be told which factors are content.
CONTENT = (0,)
# Parts of the names of metrics that take about a second a call at n = 1,000: fewer examples, fewer and smaller
# draws of noise, and the confidence interval is the wider for it.
COSTLY = (
    *("kernel", "block", "explicitness", "infoe", "sap", "ksg", "med_informativeness", "gbt"),
    *("beta_vae", "factor_vae", "z_diff", "z_min_var", "z_max_var"),
)
# Minutes a metric: examined in slow runs.
SLOW = ("exact", "forest", "tree")


def costly(name: str) -> bool:
    return any(part in name for part in COSTLY)


def shrinking(name: str) -> int:
    """By how much the draws of noise are smaller: kernels take the time."""
    return 16 if "kernel" in name or name == "block_identifiability" else 4 if costly(name) else 1


def marked(name: str, *more: str) -> Any:
    """A case of a parametrised test."""
    return pytest.param(name, *more, marks=[pytest.mark.slow] if any(part in name for part in SLOW) else [])


@pytest.fixture(autouse=True, scope="module")
def _few_rounds() -> Iterator[None]:
    """Boosting stops after a fifth of its rounds: nothing that is claimed here depends on their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "ROUNDS", 20)
        fit.cache_clear()
        yield
    fit.cache_clear()


every = pytest.mark.parametrize("name", [marked(name) for name in NAMES])


def kind(name: str) -> str:
    """The factor type that a metric is examined on: levels where it takes them."""
    accepts = METRICS[name].accepts
    return next(each for each in ("ordinal", "categorical", "continuous", "periodic") if each in accepts)


def make_factors(name: str, n: int, seed: int) -> np.ndarray:
    """Independent factors (n, 3), of LEVELS levels each or normal."""
    generator = np.random.default_rng(seed)
    if kind(name) == "continuous":
        return generator.normal(size=(n, len(LEVELS)))
    return generator.integers(0, LEVELS, size=(n, len(LEVELS))).astype(float)


def noise(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).normal(size=(n, d))


def mixed(factors: np.ndarray, seed: int = 0, d: int = 4) -> np.ndarray:
    """Codes that depend on the factors, imperfectly and unevenly."""
    weights = np.random.default_rng([seed, 2]).normal(size=(factors.shape[1], d))
    weights[:3, :3] += 2 * np.eye(factors.shape[1], 3)
    return factors @ weights + 0.5 * noise(len(factors), d, seed)


def score(name: str, factors: np.ndarray, codes: np.ndarray, seed: int = 0) -> Score:
    types = [kind(name)] * np.atleast_2d(factors.T).shape[0]
    return METRICS[name](factors, codes, factor_types=types, content=CONTENT, seed=seed)


def in_range(name: str, value: float) -> bool:
    low, high = METRICS[name].range
    return bool(np.isfinite(value) and low - 1e-9 <= value <= high + 1e-9)


@every
def test_declaration_is_complete(name):
    declared = METRICS[name]
    assert declared.name == name
    assert declared.range[0] < declared.range[1]
    assert declared.direction in (1, -1)
    assert declared.rate > 0
    assert set(declared.accepts) <= set(FACTOR_TYPES)
    assert set(declared.invariances) <= set(TRANSFORMS)
    assert len(declared.blind) > 10
    assert len(declared.reference) > 5
    text = declared.function.__doc__ or ""
    assert "Example:" in text, "a public metric shows an example"
    assert "Range" in text
    assert "chance" in text.lower()


@every
def test_function_is_exported(name):
    function = METRICS[name].function
    assert getattr(unmix.metrics, function.__name__) is function
    assert function.__name__ in unmix.metrics.__all__


def test_every_module_is_imported_and_its_examples_print_what_they_say():
    files = [path.stem for path in Path(unmix.metrics.__file__).parent.glob("*.py") if path.stem != "__init__"]
    assert len(files) >= 4
    for file in files:
        assert hasattr(unmix.metrics, file), f"unmix.metrics does not import {file}"
        module = importlib.import_module(f"unmix.metrics.{file}")
        assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


@every
def test_score_knows_how_it_was_computed(name):
    factors = make_factors(name, 200, 0)
    result = score(name, factors, mixed(factors))
    assert isinstance(result, Score)
    assert isinstance(result, float)
    assert (result.variant, result.n, result.d, result.k) == (name, 200, 4, 3)
    assert all(isinstance(warning, str) for warning in result.warnings)


@every
@pytest.mark.parametrize("each", FACTOR_TYPES)
def test_accepted_types_score_and_others_are_refused(name, each):
    declared = METRICS[name]
    generator = np.random.default_rng(0)
    factors = generator.integers(0, LEVELS, size=(200, 3)).astype(float)
    if each == "continuous":
        factors = generator.normal(size=(200, 3))
    periods = [7.0] * 3 if each == "periodic" else None
    given = {"factor_types": [each] * 3, "factor_periods": periods, "content": CONTENT}
    if each in declared.accepts:
        assert in_range(name, declared(factors, mixed(factors), **given))
    else:
        with pytest.raises(InputError, match=f"factor 0 is {each}"):
            declared(factors, mixed(factors), **given)


@every
def test_perfect_codes_score_best(name):
    """And above noise, unless the metric declares that noise can fool it: then that is shown."""
    declared = METRICS[name]
    factors = make_factors(name, 600, 0)
    if kind(name) != "continuous":
        # The full grid: factors independent to the digit, so that no chance correlation stands in the way.
        grid = np.stack(np.meshgrid(*map(np.arange, LEVELS), indexing="ij"), axis=-1).reshape(-1, len(LEVELS))
        factors = np.random.default_rng(0).permutation(np.tile(grid, (10, 1)).astype(float))
    best = declared.range[1] if declared.direction > 0 else declared.range[0]
    value = score(name, factors, factors.copy())
    assert in_range(name, value)
    if declared.attained:
        assert value == pytest.approx(best, abs=1e-6)
    else:
        known = {"factor_types": [kind(name)] * 3, "content": CONTENT}
        floor = noise_floor(declared, factors, factors, repeats=5 if costly(name) else 20, **known)
        assert floor.reaches(value, declared.direction) == declared.fooled_by_noise


def chance_error(declared: Metric, draw: Callable[[int, int], float], shrink: int = 1) -> tuple[float, float]:
    """How far the value on noise, as n grows, is from what is declared, and its 99 % confidence half-width.

    Scores at four sizes are fitted by chance + a n^-rate + b n^-2rate; the interval of the constant follows
    from the scores' own spread, with Bonferroni's correction for as many metrics as there are.
    """
    sizes, repeats = np.array([1000, 2000, 4000, 16000]) // shrink, 6 if shrink > 1 else 20
    scores = np.array([[draw(int(n), seed) for seed in range(repeats)] for n in sizes])
    design = np.stack([np.ones(len(sizes)), sizes**-declared.rate, sizes ** (-2 * declared.rate)], axis=1)
    weights = np.linalg.pinv(design)[0]
    variances = weights**2 * scores.var(axis=1, ddof=1) / repeats
    freedom = variances.sum() ** 2 / max((variances**2).sum() / (repeats - 1), 1e-300)
    expected = declared.chance(len(LEVELS)) if callable(declared.chance) else declared.chance
    width = stats.t.ppf(1 - 0.005 / len(NAMES), max(freedom, 1)) * np.sqrt(variances.sum())
    return abs(float(weights @ scores.mean(axis=1)) - expected), float(width) + 1e-9


@every
def test_chance_level_on_noise(name):
    declared = METRICS[name]
    if declared.chance is None:
        assert in_range(name, score(name, make_factors(name, 400, 0), noise(400, 4, 0)))
        return

    def draw(n: int, seed: int) -> float:
        return score(name, make_factors(name, n, seed), noise(n, 4, seed), seed)

    error, width = chance_error(declared, draw, shrinking(name))
    assert error <= width


def test_a_wrong_chance_level_is_found():
    wrong = metric({"wrong": {}}, range=(0.0, 1.0), chance=0.02, rate=0.5, blind="-", reference="-")
    wrong(METRICS["mcc"].function)
    declared = METRICS._items.pop("wrong")

    def draw(n: int, seed: int) -> float:
        return declared(make_factors("mcc", n, seed), noise(n, 4, seed))

    error, width = chance_error(declared, draw)
    assert error > width


def _monotone(codes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    units = codes / np.abs(codes).max(axis=0)
    maps = [np.exp, np.sinh, np.cbrt, lambda values: values**3 + values]
    return np.stack([maps[generator.integers(4)](column) for column in units.T], axis=1)


def _affine(codes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    d = codes.shape[1]
    rotation = np.linalg.qr(generator.normal(size=(d, d)))[0]
    return codes @ (rotation * generator.uniform(0.5, 2, size=d)) + generator.normal(size=d)


TRANSFORMS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "permutation": lambda codes, generator: generator.permutation(codes, axis=1),
    "sign": lambda codes, generator: codes * generator.choice([-1, 1], size=codes.shape[1]),
    # Powers of two are exact: a value that lies on the edge of a bin stays there.
    "scale": lambda codes, generator: codes * 2.0 ** generator.integers(-6, 7, size=codes.shape[1]),
    "shift": lambda codes, generator: codes + generator.integers(-4, 5, size=codes.shape[1]),
    "monotone": _monotone,
    "affine": _affine,
}
CLAIMS = [marked(name, claim) for name in NAMES for claim in METRICS[name].invariances]


@pytest.mark.parametrize(("name", "claim"), CLAIMS)
def test_invariance(name, claim):
    @settings(max_examples=2 if costly(name) else 5, deadline=None, derandomize=True)
    @given(seed=st.integers(0, 2**31 - 1))
    def holds(seed: int) -> None:
        factors = make_factors(name, 150, seed)
        codes = mixed(factors, seed)
        moved = TRANSFORMS[claim](codes, np.random.default_rng(seed))
        assert score(name, factors, moved) == pytest.approx(score(name, factors, codes), abs=1e-7)

    holds()


@every
def test_constant_factor_is_dropped_and_reported(name):
    factors = make_factors(name, 200, 0)
    codes = mixed(factors)
    result = score(name, np.insert(factors, 1, 3.0, axis=1), codes)
    assert result == score(name, factors, codes)
    assert result.k == 3
    assert "constant factors dropped: [1]" in " ".join(result.warnings)


@every
def test_dead_code_has_a_value_and_is_reported(name):
    factors = make_factors(name, 200, 0)
    codes = mixed(factors)
    for column, value in ((0, 0.1), (4, -3.0)):
        result = score(name, factors, np.insert(codes, column, value, axis=1))
        assert in_range(name, result)
        assert f"dead (constant) codes: [{column}]" in " ".join(result.warnings)


@every
@pytest.mark.parametrize("d", [1, 2, 12])
def test_any_number_of_codes(name, d):
    factors = make_factors(name, 200, 0)
    assert in_range(name, score(name, factors, mixed(factors, d=max(d, 3))[:, :d]))


@every
def test_one_dimensional_input_is_one_column(name):
    factors = make_factors(name, 200, 0)[:, 2]
    codes = factors + noise(200, 1, 0)[:, 0]
    result = score(name, factors, codes)
    assert in_range(name, result)
    assert result == score(name, factors[:, None], codes[:, None])
    assert (result.d, result.k) == (1, 1)


@every
def test_only_dead_codes_have_a_value(name):
    factors = make_factors(name, 200, 0)
    result = score(name, factors, np.ones((200, 3)))
    assert in_range(name, result)


@every
@pytest.mark.parametrize("n", [2, 3, 5, 12, 30])
def test_few_samples_are_refused_or_warned_about(name, n):
    factors = np.stack([np.arange(n) % levels for levels in LEVELS], axis=1).astype(float)
    try:
        result = score(name, factors, noise(n, 4, 0))
    except InputError:
        return
    assert in_range(name, result)
    assert f"n = {n}" in " ".join(result.warnings)


HOLE = np.arange(18).reshape(9, 2) == 3
BAD = {
    "lengths": (np.ones((5, 2)), np.ones((6, 2)), "same samples"),
    "empty": (np.ones((0, 2)), np.ones((0, 2)), "empty"),
    "one sample": (np.ones((1, 2)), np.ones((1, 2)), "too few"),
    "strings": (np.array([["a", "b"]] * 9), np.ones((9, 2)), "factors have dtype"),
    "objects": (np.ones((9, 2)), np.array([[1, None]] * 9, dtype=object), "codes have dtype"),
    "complex": (np.ones((9, 2)), np.ones((9, 2)) * 1j, "codes have dtype"),
    "cube": (np.ones((9, 2)), np.ones((9, 2, 2)), "codes have shape"),
    "nan": (np.ones((9, 2)), np.where(HOLE, np.nan, 1.0), r"codes.*column \[1\]"),
    "inf": (np.where(HOLE, np.inf, 1.0), np.ones((9, 2)), r"factors.*column \[1\]"),
    "huge": (np.ones((9, 2)), np.where(HOLE, 1e200, 1.0), r"codes have values beyond 1e\+100.*column \[1\]"),
    "tiny": (np.ones((9, 2)), np.where(HOLE, 1e-200, 0.0), r"codes have values.*column \[1\]"),
    "constant": (np.ones((50, 2)), noise(50, 2, 0), "every factor is constant"),
}


@every
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_the_reason(name, case):
    factors, codes, words = BAD[case]
    with pytest.raises(InputError, match=words):
        score(name, factors, codes)


@every
def test_too_few_types_are_refused(name):
    with pytest.raises(InputError, match="types"):
        METRICS[name](noise(50, 2, 0), noise(50, 2, 1), factor_types=[kind(name)], content=CONTENT)


@every
def test_deterministic_under_a_seed_and_leaves_the_caller_alone(name):
    factors = make_factors(name, 200, 0)
    codes = mixed(factors)
    before = factors.copy(), codes.copy()
    factors.flags.writeable = codes.flags.writeable = False
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first = score(name, factors, codes, seed=3)
    assert (np.random.get_state()[1] == state).all(), "the global generator was used"
    np.random.seed(2)
    assert score(name, factors, codes, seed=3) == first
    assert (factors == before[0]).all()
    assert (codes == before[1]).all()


@every
def test_dtype_and_memory_order_do_not_matter(name):
    factors = make_factors(name, 200, 0)
    codes = np.round(mixed(factors) * 8)
    expected = score(name, factors, codes)
    single = score(name, np.asfortranarray(factors), codes.astype(np.float32))
    assert single == pytest.approx(expected, abs=1e-12)
    assert score(name, factors, codes.astype(np.int16)) == expected
    assert score(name, factors, codes.tolist()) == expected
    yes = factors > np.median(factors, axis=0)
    assert score(name, yes, codes) == score(name, yes.astype(float), codes)
