"""Speed of every default metric, beside a plain formulation of the same number in the same run.

`pytest -o addopts=--import-mode=importlib tests/bench_metrics.py` (one process, without the tests' type checks)
prints a Markdown table at its end: CPU seconds of one thread, and how often ours goes into the plain
formulation's. A busy machine lengthens both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_selection import mutual_info_classif
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, mutual_info_score, r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC

from unmix import METRICS
from unmix.metrics import predictors
from unmix.metrics.importance import completeness, disentanglement
from unmix.metrics.regression import ALPHAS, GAMMAS

pytestmark = [
    pytest.mark.benchmark(timer=time.process_time),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
N, D = 10_000, 10
DEFAULT = [name for name, declared in METRICS.items() if declared.default]
DSPRITES = (3, 6, 40, 32, 32)
Table = Callable[[np.ndarray, np.ndarray], float]


def arrays(k: int, sizes: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Factors of few levels each, and codes that mix them a little."""
    generator = np.random.default_rng(0)
    factors = generator.integers(0, sizes or (3, 4, 5, 6, 4) * (k // 5), size=(N, k)).astype(float)
    weights = np.eye(k, D) + 0.3 * generator.normal(size=(k, D))
    return factors, factors @ weights + 0.5 * generator.normal(size=(N, D))


def pairwise(one: Table, factors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.array([[one(factor, code) for code in codes.T] for factor in factors.T])


def matched(table: np.ndarray) -> float:
    """Greedy matching: the solvers of others are slower, this favours them."""
    table, total = np.abs(table), 0.0
    for _ in range(min(table.shape)):
        row, column = np.unravel_index(table.argmax(), table.shape)
        total += table[row, column]
        table[row], table[:, column] = 0, 0
    return total / len(table)


def binned(column: np.ndarray, bins: int = 20) -> np.ndarray:
    return np.digitize(column, np.histogram(column, bins)[1][:-1])


def information(factors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return pairwise(mutual_info_score, factors, np.stack([binned(code) for code in codes.T], axis=1))


def gaps(table: np.ndarray) -> np.ndarray:
    ordered = np.sort(table, axis=1)
    return ordered[:, -1] - ordered[:, -2]


def entropies(columns: np.ndarray) -> np.ndarray:
    return np.array([mutual_info_score(column, column) for column in columns.T])


def plain_r2(factors: np.ndarray, codes: np.ndarray, fit: slice, score: slice) -> float:
    values = []
    for factor in factors.T:
        model = LinearRegression().fit(codes[fit], factor[fit])
        values.append(r2_score(factor[score], model.predict(codes[score])))
    return float(np.mean(values))


def plain_kernel_r2(factors: np.ndarray, codes: np.ndarray) -> float:
    grid = {"alpha": ALPHAS, "gamma": GAMMAS}
    values = []
    for factor in factors.T:
        model = GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=3).fit(codes[:1000], factor[:1000])
        values.append(r2_score(factor[REST], model.predict(codes[REST])))
    return float(np.mean(values))


def plain_linear_mcc(factors: np.ndarray, codes: np.ndarray) -> float:
    values = []
    for factor in factors.T:
        model = LinearRegression().fit(codes[HALF], factor[HALF])
        values.append(abs(pearsonr(factor[REST], model.predict(codes[REST]))[0]))
    return float(np.mean(values))


def plain_held_out_mcc(factors: np.ndarray, codes: np.ndarray) -> float:
    tables = [pairwise(correlate, factors[rows], codes[rows]) for rows in (HALF, REST)]
    return sum(map(matched, tables)) / 2


def plain_cca(factors: np.ndarray, codes: np.ndarray) -> float:
    """By the eigenvalues of the four covariance blocks."""
    k, joint = factors.shape[1], np.cov(np.hstack([factors[HALF], codes[HALF]]).T)
    blocks = joint[:k, :k], joint[:k, k:], joint[k:, k:], joint[k:, :k]
    product = np.linalg.inv(blocks[0]) @ blocks[1] @ np.linalg.inv(blocks[2]) @ blocks[3]
    return float(np.sqrt(np.linalg.eigvals(product).real.clip(0)).mean())


def plain_rdc(factors: np.ndarray, codes: np.ndarray) -> float:
    """As the authors' few lines: the features of both columns anew for every pair."""
    generator = np.random.default_rng(0)

    def features(column: np.ndarray) -> np.ndarray:
        ranks = np.stack([rankdata(column, method="max") / len(column), np.ones(len(column))], axis=1)
        return np.sin(ranks @ generator.normal(size=(2, 20)) / np.sqrt(6))

    def one(factor: np.ndarray, code: np.ndarray) -> float:
        covariance = np.cov(np.hstack([features(factor), features(code)]).T)
        inverse = [np.linalg.pinv(part) for part in (covariance[:20, :20], covariance[20:, 20:])]
        product = inverse[0] @ covariance[:20, 20:] @ inverse[1] @ covariance[20:, :20]
        return float(np.sqrt(np.linalg.eigvals(product).real.max().clip(0)))

    return matched(pairwise(one, factors, codes))


def correlate(factor: np.ndarray, code: np.ndarray) -> float:
    return float(pearsonr(factor, code)[0])


def plain_gap_over_codes(factors: np.ndarray, codes: np.ndarray) -> float:
    """MIG with the roles swapped; DCI-MIG needs the same table."""
    labels = np.stack([binned(code) for code in codes.T], axis=1)
    return float((gaps(information(factors, codes).T) / entropies(labels)).mean())


def plain_jemmig(factors: np.ndarray, codes: np.ndarray) -> float:
    table = information(factors, codes)
    labels = np.stack([binned(code) for code in codes.T], axis=1)
    joint = entropies(factors)[:, None] + entropies(labels) - table
    blur = joint[np.arange(len(table)), table.argmax(axis=1)] - gaps(table)
    return float(np.mean(1 - blur / (entropies(factors) + np.log(20))))


def plain_quantile_mig(factors: np.ndarray, codes: np.ndarray) -> float:
    labels = [np.searchsorted(np.quantile(code, np.arange(1, 20) / 20), code) for code in codes.T]
    table = pairwise(mutual_info_score, factors, np.stack(labels, axis=1))
    return float((gaps(table) / entropies(factors)).mean())


def plain_neighbour_mig(factors: np.ndarray, codes: np.ndarray) -> float:
    table = np.array([mutual_info_classif(codes, factor, n_neighbors=10) for factor in factors.T])
    return float((gaps(table) / entropies(factors)).mean())


def plain_total_correlation(factors: np.ndarray, codes: np.ndarray) -> float:
    covariance = np.cov(codes.T)
    return float(0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1]))


def plain_sap(factors: np.ndarray, codes: np.ndarray) -> float:
    def one(factor: np.ndarray, code: np.ndarray) -> float:
        model = LinearSVC(C=0.01, class_weight="balanced").fit(code[: 2 * N // 3, None], factor[: 2 * N // 3])
        return float(model.score(code[2 * N // 3 :, None], factor[2 * N // 3 :]))

    return float(gaps(pairwise(one, factors, codes)).mean())


def plain_explicitness(factors: np.ndarray, codes: np.ndarray) -> float:
    units, cut = (codes - codes.mean(axis=0)) / codes.std(axis=0), 2 * N // 3
    areas = []
    for factor in factors.T:
        model = LogisticRegression().fit(units[:cut], factor[:cut])
        guess = model.predict_proba(units[cut:]).T
        truth = [factor[cut:] == level for level in model.classes_]
        areas.append(np.mean([roc_auc_score(*pair) for pair in zip(truth, guess, strict=True)]))
    return float(np.mean(areas))


def group(factors: np.ndarray, held: int, size: int, generator: np.random.Generator) -> np.ndarray:
    rows = np.flatnonzero(factors[:, held] == generator.choice(np.unique(factors[:, held])))
    return generator.choice(rows, size)


def plain_factor_vae(factors: np.ndarray, codes: np.ndarray, votes: int) -> float:
    generator, spread = np.random.default_rng(0), codes.var(axis=0, ddof=1)
    table = np.zeros((codes.shape[1], factors.shape[1]))
    for _ in range(votes):
        held = generator.integers(factors.shape[1])
        chosen = codes[group(factors, held, 64, generator)]
        table[(chosen.var(axis=0, ddof=1) / spread).argmin(), held] += 1
    return float(table.max(axis=1).sum() / table.sum())


def plain_beta_vae(factors: np.ndarray, codes: np.ndarray, votes: int) -> float:
    generator = np.random.default_rng(0)
    points, held = np.zeros((votes, codes.shape[1])), generator.integers(factors.shape[1], size=votes)
    for vote in range(votes):
        pairs = [codes[group(factors, held[vote], 2, generator)] for _ in range(64)]
        points[vote] = np.mean([np.abs(first - second) for first, second in pairs], axis=0)
    return float(LogisticRegression(max_iter=10_000).fit(points, held).score(points, held))


def plain_irs(factors: np.ndarray, codes: np.ndarray) -> float:
    largest = np.abs(codes - codes.mean(axis=0)).max(axis=0)
    table = np.zeros((codes.shape[1], factors.shape[1]))
    for j, factor in enumerate(factors.T):
        levels = np.unique(factor)
        for level in levels:
            part = codes[factor == level]
            moves = np.abs(part - part.mean(axis=0))
            table[:, j] += np.quantile(moves, 0.99, axis=0) / len(levels)
    return float(np.average((1 - table / largest[:, None]).max(axis=1), weights=largest))


def plain_modularity(factors: np.ndarray, codes: np.ndarray) -> float:
    squares = information(factors, codes) ** 2
    best = squares.max(axis=0)
    return float(np.mean(1 - (squares.sum(axis=0) - best) / (best * (len(squares) - 1))))


def plain_mutual_information(factors: np.ndarray, codes: np.ndarray) -> float:
    labels = [binned(code) for code in codes.T]
    return float(np.mean([mutual_info_score(a, b) for a, b in permutations(labels, 2)]))


def plain_wasserstein(factors: np.ndarray, codes: np.ndarray) -> float:
    covariance = np.cov(codes.T)
    return float(2 * np.trace(covariance) - 2 * np.trace(sqrtm(covariance * np.diag(covariance)[:, None])).real)


def plain_lasso(factors: np.ndarray, codes: np.ndarray) -> float:
    """A grid search for the penalty of each factor, as the review's code."""
    rows, grid = slice(2 * N // 3), {"alpha": predictors.ALPHAS}
    units = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    models = [GridSearchCV(Lasso(), grid, cv=10).fit(units[rows], factor[rows]) for factor in factors.T]
    return disentanglement(np.abs([model.best_estimator_.coef_ for model in models]).T)


def plain_boosting(factors: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """scikit-learn's defaults, as disentanglement_lib: D and C."""
    rows = np.random.default_rng(0).permutation(N)[: round(2 * N / 3)]
    models = [GradientBoostingClassifier(random_state=0).fit(codes[rows], factor[rows]) for factor in factors.T]
    importance = np.stack([model.feature_importances_ for model in models], axis=1)
    return disentanglement(importance), completeness(importance)


def plain_infom(factors: np.ndarray, codes: np.ndarray) -> float:
    """InfoC needs the same table."""
    table = np.array([mutual_info_classif(codes, factor, n_neighbors=10) for factor in factors.T])
    shares = table / entropies(factors)[:, None]
    return float((shares.max(axis=0) / shares.sum(axis=0)).mean())


def plain_infoe(factors: np.ndarray, codes: np.ndarray) -> float:
    units, cut = (codes - codes.mean(axis=0)) / codes.std(axis=0), 2 * N // 3
    values = []
    for factor in factors.T:
        model = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-4 / cut).fit(units[:cut], factor[:cut])
        loss = log_loss(factor[cut:], model.predict_proba(units[cut:]))
        values.append(1 - loss / np.log(len(model.classes_)))
    return float(np.mean(values))


def plain_med(factors: np.ndarray, codes: np.ndarray) -> float:
    table = information(factors, codes).T
    return disentanglement(table / table.sum(axis=0))


HALF, REST = slice(N // 2), slice(N // 2, None)
# The formulations of the papers' code, one pair or one vote at a time, and the share of ours' work that they do.
PLAIN: dict[str, tuple[Table, float]] = {
    "r2": (lambda factors, codes: plain_r2(factors, codes, HALF, REST), 1),
    "r2(in_sample)": (lambda factors, codes: plain_r2(factors, codes, slice(None), slice(None)), 1),
    "r2(kernel)": (plain_kernel_r2, 1),
    "mcc": (lambda factors, codes: matched(pairwise(correlate, factors, codes)), 1),
    "mcc(circular)": (lambda factors, codes: matched(pairwise(correlate, factors, codes)), 1),
    "mcc(spearman)": (lambda f, c: matched(pairwise(lambda a, b: spearmanr(a, b)[0], f, c)), 1),
    "mcc(held_out)": (plain_held_out_mcc, 1),
    "mcc(linear)": (plain_linear_mcc, 1),
    "mcc(cca)": (plain_cca, 1),
    "mcc(rdc)": (plain_rdc, 1),
    "mig": (lambda f, c: float((gaps(information(f, c)) / entropies(f)).mean()), 1),
    "mig(quantile)": (plain_quantile_mig, 1),
    "mig(ksg)": (plain_neighbour_mig, 1),
    "mig_sup": (plain_gap_over_codes, 1),
    "dcimig": (plain_gap_over_codes, 1),
    "jemmig": (plain_jemmig, 1),
    "modularity": (plain_modularity, 1),
    "dci(lasso)": (plain_lasso, 1),
    "dci_completeness(lasso)": (plain_lasso, 1),
    "dci_informativeness(lasso)": (plain_lasso, 1),
    "infom": (plain_infom, 1),
    "infoc": (plain_infom, 1),
    "infoe": (plain_infoe, 1),
    "med": (plain_med, 1),
    "med_completeness": (plain_med, 1),
    "explicitness": (plain_explicitness, 1),
    "sap": (plain_sap, 1),
    "sap(correlation)": (lambda f, c: float(gaps(pairwise(correlate, f, c) ** 2).mean()), 1),
    "beta_vae": (lambda factors, codes: plain_beta_vae(factors, codes, 150), 0.01),
    "factor_vae": (lambda factors, codes: plain_factor_vae(factors, codes, 1500), 0.1),
    "irs": (plain_irs, 1),
    "gaussian_total_correlation": (plain_total_correlation, 1),
    "gaussian_wasserstein_correlation(normalised)": (plain_wasserstein, 1),
    "mutual_information_score": (plain_mutual_information, 1),
}


ROWS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _table(pytestconfig: pytest.Config) -> Iterator[None]:
    """Print what was measured as Markdown."""
    yield
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n| metric | k | CPU s | plain, CPU s | ratio | |", "|---|---|---|---|---|---|", *ROWS, sep="\n")


def seconds_of(function: Callable[[], object]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


def noted(benchmark: Any, name: str, k: int, plain: float, remark: str = "") -> None:
    ours = benchmark.stats.stats.median
    benchmark.extra_info.update(plain_seconds=round(plain, 4), ratio=round(plain / ours, 1))
    ROWS.append(f"| {name} | {k} | {ours:.4f} | {plain:.3f} | {plain / ours:.1f} | {remark} |")


def test_every_default_metric_has_a_plain_formulation():
    assert set(PLAIN) == set(DEFAULT)


@pytest.mark.parametrize("k", [5, 10])
@pytest.mark.parametrize("name", DEFAULT)
def test_metric(benchmark, name, k):
    declared = METRICS[name]
    kinds = [kind for kind in ("ordinal", "categorical", "continuous") if kind in declared.accepts]
    factors, codes = arrays(k)

    def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
        predictors.fit.cache_clear()  # fits are remembered
        return (factors, codes), {"factor_types": [kinds[0]] * k}

    benchmark.pedantic(declared, setup=fresh, rounds=3, warmup_rounds=1)
    plain, share = PLAIN[name]
    remark = f"plain does {share:.0%} of the votes, scaled" if share < 1 else ""
    noted(benchmark, name, k, seconds_of(lambda: plain(factors, codes)) / share, remark)


@pytest.mark.parametrize("k", [5, 10])
def test_boosted_dci(benchmark, k):
    """At least 10 times faster than scikit-learn's GradientBoostingClassifier, and how far from it."""
    factors, codes = arrays(k)
    scores: list[float] = []
    seconds = seconds_of(lambda: scores.extend(plain_boosting(factors, codes)))
    known = {"factor_types": ["ordinal"] * k}

    def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
        predictors.fit.cache_clear()
        return (factors, codes), known

    ours = benchmark.pedantic(METRICS["dci(gbt)"], setup=fresh, rounds=1)
    moved = [ours - scores[0], ours.details["completeness"] - scores[1]]
    benchmark.extra_info["deviation"] = moved
    remark = f"D {ours:.4f}, deviates by {moved[0]:+.4f}; C by {moved[1]:+.4f}"
    noted(benchmark, "dci(gbt)", k, seconds, remark)
    assert seconds / benchmark.stats.stats.median >= 10
    assert np.abs(moved).max() < 0.02


def test_default_set_on_dsprites(benchmark):
    """Everything that `unmix score` computes by default, but boosted DCI, on dSprites-sized factors."""
    factors, codes = arrays(5, DSPRITES)
    types = ["categorical", *["ordinal"] * 4]
    predictors.fit.cache_clear()

    def everything() -> dict[str, float]:
        seconds = {}
        for name in DEFAULT:
            declared = METRICS[name]
            kept = [index for index, kind in enumerate(types) if kind in declared.accepts]
            given = {"factor_types": [types[index] for index in kept]}
            seconds[name] = round(seconds_of(partial(declared, factors[:, kept], codes, **given)), 3)
        return seconds

    seconds = benchmark.pedantic(everything, rounds=1)
    benchmark.extra_info["seconds"] = seconds
    total = sum(seconds.values())
    slowest = ", ".join(f"{name} {seconds[name]:.1f}" for name in sorted(seconds, key=seconds.__getitem__)[-4:])
    ROWS.append(f"| default set, dSprites sizes | 5 | {total:.2f} | | | {slowest} |")
    assert total < 10
