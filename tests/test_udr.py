"""UDR: agreement of seeds, closed forms, and what can be scored from a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ortho_group

import unmix.comparison.udr
from unmix.cli import main
from unmix.comparison.arms import Arm, Task, choose
from unmix.comparison.udr import LASSO, Kind, table, udr
from unmix.evaluation import Evaluation
from unmix.record import Store
from unmix.run import run, specify

KINDS: tuple[Kind, ...] = ("lasso", "spearman")


def codes(n: int = 4000, d: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, size=(n, d))


def permuted(z: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return z[:, generator.permutation(z.shape[1])] * generator.choice([-3.0, 0.5], z.shape[1])


@pytest.mark.parametrize(("kind", "best"), [("spearman", 1.0), ("lasso", 1 - LASSO)])
def test_copies_up_to_permutation_sign_and_scale_agree(kind: Kind, best: float) -> None:
    z = codes()
    # Chance correlations of 4000 samples are below 0.06 of four other codes, of which the Lasso keeps none.
    scores = udr([permuted(z, seed) for seed in range(4)], kind=kind)
    assert scores == pytest.approx([best] * 4, abs=0.06)
    orthogonal = np.linalg.qr(z - z.mean(axis=0))[0]  # no chance correlations
    if kind == "lasso":
        scores = udr([permuted(orthogonal, seed) for seed in range(4)], kind=kind)
        assert scores == pytest.approx([best] * 4, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rotations_disagree(kind: Kind) -> None:
    z = codes()
    rotated = [z @ ortho_group(5, seed=seed).rvs() for seed in range(4)]
    assert max(udr(rotated, kind=kind)) < 0.6 < min(udr([permuted(z, seed) for seed in range(4)], kind=kind))


@pytest.mark.parametrize("kind", KINDS)
def test_independent_codes_do_not_agree(kind: Kind) -> None:
    assert max(udr([codes(seed=seed) for seed in range(3)], kind=kind)) < 0.05


def test_the_odd_one_out_has_the_lowest() -> None:
    z = codes()
    scores = udr([*(permuted(z, seed) for seed in range(4)), codes(seed=9)])
    assert np.argmin(scores) == 4
    assert min(scores[:4]) > 0.9


def test_only_informative_codes_count() -> None:
    z = codes()
    wide = [np.column_stack([permuted(z, seed), codes(d=5, seed=seed + 7)]) for seed in range(3)]
    informative = [np.arange(10) < 5] * 3
    assert min(udr(wide, informative)) > 0.9
    assert max(udr(wide)) < 0.6
    dead = [np.column_stack([permuted(z, seed), np.zeros(4000)]) for seed in range(3)]
    assert min(udr(dead)) > 0.9
    assert udr([z, np.zeros_like(z)]) == [0.0, 0.0]


def test_the_formula_by_hand() -> None:
    x = codes(500, 2)
    y = x @ np.array([[1.0, 0.4], [0.2, 1.0]])
    ranks = np.argsort(np.argsort(np.column_stack([x, y]), axis=0), axis=0)
    R = np.abs(np.corrcoef(ranks, rowvar=False)[:2, 2:])
    hand = sum(max(R[:, b]) ** 2 / sum(R[:, b]) for b in range(2)) + sum(max(R[a]) ** 2 / sum(R[a]) for a in range(2))
    assert udr([x, y]) == pytest.approx([hand / 4] * 2)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two seeds"):
        udr([codes()])
    with pytest.raises(ValueError, match="the same observations"):
        udr([codes(100), codes(50)])


def test_seeds_encode_the_same_observations_by_their_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unmix.comparison.udr, "SAMPLES", 60)
    evaluation = Evaluation(samples=50, metrics=("mcc",))
    data, pca = {"name": "dsprites_procedural"}, {"name": "pca", "fit_samples": 64}
    specifications = [specify(data, m, seed, evaluation) for m in ({"name": "untrained"}, pca) for seed in (0, 1)]
    specifications += [specify({"name": "synthetic", "pool": 50}, pca, seed, evaluation) for seed in (0, 1)]
    store = Store(tmp_path)
    for specification in specifications:
        run(specification, store)
    chosen = choose(["untrained", "pca"], [r for r in store if r.specification.dataset["name"] != "synthetic"])
    shown = table(chosen.arms, store)
    assert [row[1:3] for row in shown.rows] == [("untrained", "2"), ("pca", "2")]
    assert all(0 <= float(row[3]) <= 1 and 0 <= float(row[4]) <= 1 for row in shown.rows)
    (store.run_folder(specifications[1]) / "encoder.safetensors").unlink()
    assert "weights of seed 1 are not in" in table(chosen.arms, store).notes[1]
    records = store.by_key()
    drawn = [Arm("pca", {Task.of(s): {s.seed: records[s.key]}}) for s in specifications[4:]]
    assert "each seed has a dataset of its own" in table(drawn, store).notes[1]
    assert (
        main(
            [
                "compare",
                "untrained",
                "pca(fit_samples=64)",
                "--udr",
                "--store",
                str(tmp_path),
                "--dataset",
                "dsprites_procedural",
            ]
        )
        == 0
    )
    assert "UDR (Lasso)" in capsys.readouterr().out
