"""Tiny submissions for tests, and ways to forge them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unmix.evaluation import Evaluation, score
from unmix.record import Specification, Store
from unmix.run import make_dataset, run, specify
from unmix.seeds import derived_seed
from unmix.submission.packing import Submission, pack
from unmix.submission.verification import Report, verify

SAMPLES = 200
DATASET = {"name": "synthetic", "n": 3, "pool": 100}
EVALUATION = Evaluation(samples=SAMPLES, metrics=("r2", "mcc"))
BIBTEX = "@article{key, author = {A. Person}, title = {On Tests}, year = {2026}}"
DETAILS = Submission("tiny", "A tiny submission", ("A. Person",), "MIT", BIBTEX, "https://example.org", {})


def specification(method: str = "pca", seed: int = 0, **dataset: Any) -> Specification:
    return specify({**DATASET, **dataset}, {"name": method}, seed, EVALUATION)


def packed(folder: Path) -> Path:
    """Two seeds of PCA, run and packed."""
    store = Store(folder / "store")
    records = [run(specification(seed=seed), store) for seed in (0, 1)]
    pack(DETAILS, records, store, folder)
    return folder / "tiny"


def keys(folder: Path) -> list[str]:
    return [json.loads(line)["key"] for line in lines(folder)]


def lines(folder: Path) -> list[str]:
    return (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()


def change_submission(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "submission.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def change_record(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the first record, as a forger would: its key stays."""
    first, *rest = lines(folder)
    content = json.loads(first)
    edit(content)
    (folder / "records.jsonl").write_text("\n".join([json.dumps(content), *rest]) + "\n", encoding="utf-8")


def replace_specification(folder: Path, values: Specification, codes: np.ndarray, factors: np.ndarray) -> str:
    """Make the first record one of another specification, in all places; returns its key."""
    old = keys(folder)[0]
    content = {name: getattr(values, name) for name in ("dataset", "method", "seed", "evaluation")}
    change_record(folder, lambda record: record.update(key=values.key, specification=content))
    change_submission(folder, lambda submission: submission["data"].update({values.key: submission["data"].pop(old)}))
    (folder / "codes" / f"{old}.npz").unlink()
    np.savez_compressed(folder / "codes" / f"{values.key}.npz", codes=codes, factors=factors)
    claim(folder, codes, factors)
    return values.key


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Codes and factors of the first record."""
    with np.load(folder / "codes" / f"{keys(folder)[0]}.npz", allow_pickle=False) as saved:
        return saved["codes"], saved["factors"]


def save(folder: Path, **given: Any) -> None:
    """Arrays of the first record, in place of its own."""
    np.savez_compressed(folder / "codes" / f"{keys(folder)[0]}.npz", **given)


def claim(folder: Path, codes: np.ndarray, factors: np.ndarray) -> None:
    """Give the first record the scores that its arrays have, so that nothing but the arrays is wrong."""
    content = json.loads(lines(folder)[0])["specification"]
    dataset, seed = make_dataset(content["dataset"], content["seed"]), derived_seed(content["seed"], "metrics") % 2**32
    found = score(codes, factors, dataset, content["evaluation"]["metrics"], seed)
    scores = {
        name: {"value": float(s), "n": s.n, "d": s.d, "k": s.k, "warnings": list(s.warnings)}
        for name, s in found.items()
    }
    change_record(folder, lambda record: record.update(scores=scores))


def refused(folder: Path, **options: Any) -> list[str]:
    """What a check refuses, as "place: text"."""
    return said(verify(folder, **options), "refused")


def said(report: Report, verdict: str) -> list[str]:
    return [f"{finding.place}: {finding.text}" for finding in report.findings if finding.verdict == verdict]
