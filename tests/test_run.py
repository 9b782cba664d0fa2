"""Runs and sweeps: recorded once, resumed after kill -9, failures that stop nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from unmix.attempt import Outcome
from unmix.evaluation import EncoderError, Evaluation, encode
from unmix.record import Record, Specification, Store
from unmix.registry import METHODS
from unmix.run import dead_codes, make_method, run, specify
from unmix.sweep import execute, missing
from unmix.training import Progress, Trainer
from unmix.types import Dataset, Encoder

DATASET = {"name": "synthetic", "n": 3, "pool": 100}
RECIPE = {"steps": 6, "batch": 32, "warmup": 1}
EVALUATION = Evaluation(samples=200, metrics=("r2", "mcc"))


class Quiet:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.points: list[Progress] = []
        self.outcomes: list[Outcome] = []

    def progressed(self, specification: Specification, point: Progress, steps: int) -> None:
        self.points.append(point)

    def again(self, outcome: Outcome) -> None:
        raise AssertionError("nothing dies here")

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def supervised(seed: int = 0, **recipe: Any) -> Specification:
    return specify(DATASET, {"name": "supervised", "recipe": {**RECIPE, **recipe}}, seed, EVALUATION)


def timeless(record: Record) -> Record:
    """Without what may differ between two runs of one specification."""
    curve = [{**point, "seconds": 0.0} for point in record.curve]
    return dataclasses.replace(record, seconds=0.0, finished="", curve=curve)


def test_run_is_recorded_and_not_computed_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = run(supervised(), store)
    assert list(store) == [record]
    assert run(supervised(), store) == record
    assert len(list(store)) == 1
    assert record.steps == 6
    assert record.parameters > 0
    assert set(record.scores) == {"r2", "mcc"}
    assert record.scores["r2"]["n"] > 0
    assert torch.__version__.startswith(record.versions["torch"])
    assert record.hardware["threads"] >= 1


def test_run_keeps_codes_and_weights(tmp_path: Path) -> None:
    """Anyone can score the saved codes again, and the saved weights give the saved codes."""
    from unmix.metrics import mcc

    store, specification = Store(tmp_path), supervised()
    record = run(specification, store)
    folder = store.run_folder(specification)
    with np.load(folder / "codes.npz", allow_pickle=False) as saved:
        codes, factors = saved["codes"], saved["factors"]
    assert mcc(factors, codes) == pytest.approx(record.scores["mcc"]["value"], abs=1e-12)
    assert sum(weights.size for weights in map(torch.Tensor.numpy, load_file(folder / "encoder.safetensors").values()))
    assert not (folder / "checkpoint.pt").exists()


def test_same_specification_same_record(tmp_path: Path) -> None:
    first, second = (run(supervised(), Store(tmp_path / name)) for name in ("a", "b"))
    assert timeless(first) == timeless(second)
    assert run(supervised(seed=1), Store(tmp_path / "c")).scores != first.scores


def test_unknown_metric_ends_the_run_before_it_trains() -> None:
    with pytest.raises(KeyError, match=r"no metric is named 'mcs'"):
        specify(DATASET, {"name": "noise"}, 0, Evaluation(metrics=("mcs",)))


def test_one_failure_or_refusal_does_not_stop_the_others(tmp_path: Path) -> None:
    store, listener = Store(tmp_path), Quiet()
    without_pairs = specify({**DATASET, "conditional": ""}, {"name": "contrastive", "recipe": RECIPE}, 0, EVALUATION)
    diverging = specify(
        DATASET, {"name": "supervised", "recipe": {**RECIPE, "lr": 1e30, "optimiser": "adam"}}, 0, EVALUATION
    )
    outcomes = execute([without_pairs, diverging, supervised()], store, listener)
    assert [outcome.status for outcome in outcomes] == ["declined", "failed", "ok"]
    assert "pairs" in outcomes[0].message
    assert "not finite at step" in outcomes[1].message
    assert (store.run_folder(diverging) / "traceback.txt").exists()
    assert listener.outcomes == outcomes
    assert [record.key for record in store] == [supervised().key]  # what failed is never cached


def test_missing_names_each_run_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run(supervised(0), store)
    todo = missing([supervised(0), supervised(1), supervised(1)], store)
    assert [specification.seed for specification in todo] == [1]


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (lambda x: x[:, 0], "shape"),
        (lambda x: x[:3], "shape"),
        (lambda x: x.index_fill(1, torch.tensor([1]), float("nan")), r"columns \[1\]"),
    ],
)
def test_codes_that_cannot_be_scored_are_refused(codes: Any, reason: str) -> None:
    with pytest.raises(EncoderError, match=reason):
        encode(codes, torch.randn(10, 4))


def test_a_new_default_is_a_new_run() -> None:
    """The key covers every field, given or not."""
    explicit = specify(DATASET, {"name": "contrastive", "tau": 1.0}, 0, EVALUATION)
    assert explicit.key == specify(DATASET, {"name": "contrastive"}, 0, EVALUATION).key
    assert explicit.method["recipe"]["steps"] == make_method({"name": "contrastive"}).recipe.steps  # type: ignore[attr-defined]


def test_a_field_younger_than_records_is_named_only_where_it_differs() -> None:
    """Otherwise `network` would have given each committed record another key."""

    def method(**fields: str) -> dict[str, Any]:
        return dict(specify(DATASET, {"name": "contrastive", **fields}, 0, EVALUATION).method)

    assert "network" not in method()
    assert method(network="auto") == method()
    assert method(network="conv")["network"] == "conv"
    assert make_method(method(network="conv")).network == "conv"  # type: ignore[attr-defined]


def test_a_nested_field_that_is_given_in_part_keeps_the_methods_defaults() -> None:
    method = make_method({"name": "beta_vae", "recipe": {"steps": 7}})
    expected = dataclasses.replace(METHODS["beta_vae"]().recipe, steps=7)
    assert method.recipe == expected  # type: ignore[attr-defined]


def test_dead_codes_are_those_that_do_not_vary() -> None:
    codes = np.random.default_rng(0).normal(size=(500, 4)) * [1.0, 0.5, 1e-5, 0.0]
    assert dead_codes(codes, 1e-6) == 0.5
    assert dead_codes(codes, 0.5) == 0.75


def test_a_collapsed_vae_is_reported_while_it_trains(tmp_path: Path) -> None:
    method = {"name": "beta_vae", "beta": 1e6, "recipe": {"steps": 3, "batch": 4}}
    record = run(specify({"name": "dsprites_procedural"}, method, 0, EVALUATION), Store(tmp_path))
    assert record.curve[-1]["scores"]["dead_codes"] == 1.0
    assert set(record.curve[-1]["terms"]) == {"reconstruction", "kl"}


def test_kill_9_and_resume_gives_the_uninterrupted_record(tmp_path: Path) -> None:
    """The command is killed without warning after its first checkpoint; the same command ends with the same record."""
    words = ["run", "synthetic", "supervised", "--n", "3", "--pool", "100", "--steps", "400", "--batch", "64"]

    def command(store: Path) -> list[str]:
        code = "import sys, unmix.cli, unmix.training as t; t.CHECKPOINT_SECONDS = 0.05; sys.exit(unmix.cli.main())"
        return [sys.executable, "-c", code, *words, "--workers", "1", "--store", str(store)]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, timeout=120)
    process = subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").glob("runs/*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list((tmp_path / "killed").glob("runs/*/checkpoint.pt")), "it ended before it could be killed"
    assert not list(Store(tmp_path / "killed"))
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True, timeout=120)
    (expected,), (resumed,) = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    assert timeless(resumed) == timeless(expected)


def test_records_are_plain_json(tmp_path: Path) -> None:
    run(supervised(), Store(tmp_path))
    (path,) = tmp_path.glob("*.jsonl")
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["specification"]["method"]["recipe"]["steps"] == 6


class Misshapen:
    """A method whose encoder returns one code too few dimensions."""

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return lambda observations: observations.sum(1)


def test_a_misshapen_encoder_fails_its_run_with_a_clear_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        METHODS._items, "misshapen", dataclasses.make_dataclass("M", [], bases=(Misshapen,), frozen=True)
    )
    (outcome,) = execute([specify(DATASET, {"name": "misshapen"}, 0, EVALUATION)], Store(tmp_path), Quiet())
    assert outcome.status == "failed"
    assert "must return codes (200, d)" in outcome.message
