"""Records, entries and submissions for tests of the board, without training anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unmix.board.entries import Entry, Mark
from unmix.evaluation import Evaluation
from unmix.record import Record
from unmix.run import specify

DATASET = {"name": "nonstationary", "n": 3}
EVALUATION = Evaluation(samples=50, metrics=("r2(in_sample)", "mcc"))
EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"&"


def record(
    method: str | Mapping[str, Any],
    seed: int = 0,
    r2: float = 0.5,
    mcc: float = 0.4,
    dataset: Mapping[str, Any] = DATASET,
    **changed: Any,
) -> Record:
    """A run that nobody made; its specification is one that `unmix run` has."""
    given = {"name": method} if isinstance(method, str) else method
    scores = {
        name: {"value": value, "n": 50, "d": 3, "k": 3, "warnings": []}
        for name, value in (("r2(in_sample)", r2), ("mcc", mcc))
    }
    trained = given["name"] not in ("pca", "noise", "observations")
    curve = [
        {"step": step, "seconds": step / 10, "loss": 1 / step, "scores": {"mcc": mcc * step / 20}, "terms": {}}
        for step in (1, 10, 20)
    ]
    values: dict[str, Any] = {
        "specification": specify(dataset, given, seed, EVALUATION),
        "scores": scores,
        "steps": 20 if trained else 0,
        "seconds": 12.5 if trained else 0.0,
        "curve": curve if trained else [],
        "parameters": 1000 if trained else 0,
        "versions": {"python": "3.11.7", "unmix": "0.1.0"},
        "commit": "a" * 40,
        "hardware": {"processor": "test processor", "cores": 2, "threads": 1, "device": "cpu"},
        "finished": "2026-11-25T00:00:00+00:00",
    }
    return Record(**{**values, **changed})


def entry(given: Record, mark: Mark = "claimed", **fields: Any) -> Entry:
    return Entry(given, mark, fields.pop("source", "ours"), **fields)


def written(folder: Path) -> Path:
    """A results folder: six of our own runs, one with its codes, and a submission whose every field is an attack."""
    own = [
        record("supervised", r2=0.99, mcc=0.98),
        record("tcl", 0, r2=0.70, mcc=0.60),
        record("tcl", 1, r2=0.80, mcc=0.50),
        record("ivae", r2=0.60, mcc=0.65),
        record("pca", r2=0.30, mcc=0.35),
        record("noise", r2=-0.01, mcc=0.02),
    ]
    (folder / "reproduced").mkdir(parents=True)
    (folder / "codes").mkdir()
    lines = "".join(each.to_json() + "\n" for each in own)
    (folder / "reproduced" / "own.jsonl").write_text(lines, encoding="utf-8")
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(50, 3)).astype(np.float32)
    np.savez(folder / "codes" / f"{own[3].key}.npz", codes=factors[:, [2, 0, 1]], factors=factors)
    attack(folder / "submissions" / "evil")
    return folder


def attack(folder: Path) -> None:
    """A submission that no check has seen: text that would run in every field that holds text."""
    honest = record("pca", 7)
    specification = type(honest.specification)(
        dataset={"name": "nonstationary", "n": 3, EVIL: EVIL},
        method={"name": EVIL, "weight": EVIL},
        seed=0,
        evaluation={"samples": 50, "metrics": [EVIL]},
    )
    curve = [{"step": s, "seconds": 1.0, "loss": 0.5, "scores": {EVIL: 0.5}, "terms": {EVIL: 1.0}} for s in (1, 2)]
    forged = record(
        "pca",
        specification=specification,
        scores={EVIL: {"value": 0.5, "n": 1, "d": 1, "k": 1, "warnings": [EVIL]}},
        curve=curve,
        seconds=3.0,
        commit=EVIL,
        versions={EVIL: EVIL},
        hardware={"processor": EVIL, EVIL: EVIL, "device": EVIL},
        finished=EVIL,
    )
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text(forged.to_json() + "\n", encoding="utf-8")
    said = {
        "name": "evil",
        "title": EVIL,
        "authors": [EVIL],
        "citation": EVIL,
        "url": "javascript:alert(1)",
        EVIL: EVIL,
    }
    (folder / "submission.json").write_text(json.dumps(said), encoding="utf-8")
