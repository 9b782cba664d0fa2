"""A store's runs beside the committed ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from unmix.cli import main
from unmix.record import Record, Store
from unmix.results import FOLDER


@pytest.fixture(scope="module")
def committed() -> Record:
    """Contrastive on 8 latents on a sphere, of table 1."""
    records = Store(FOLDER / "reproduced").by_key().values()
    return next(
        r
        for r in records
        if (s := r.specification).dataset.get("n") == 8
        and s.dataset["conditional"] == "vmf(kappa=10)"
        and s.method["name"] == "contrastive"
    )


def add(store: Path, record: Record, score: float, seed: int = 0, **dataset: object) -> None:
    """The record as a run of another method would have left it."""
    specification = dataclasses.replace(
        record.specification,
        dataset={**record.specification.dataset, **dataset},
        method={"name": "file:Mine", "source": "0" * 64},
        seed=seed,
    )
    scores = {name: {**each, "value": score} for name, each in record.scores.items()}
    Store(store).append(dataclasses.replace(record, specification=specification, scores=scores))


def rows(shown: str) -> list[str]:
    return [line.split("  ")[0].strip() for line in shown.splitlines() if "   " in line]


def test_a_run_stands_between_those_that_it_is_between(
    committed: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path, committed, 0.9)
    assert main(["leaderboard", "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    order = rows(shown)
    assert order.index("supervised (ceiling)") < order.index("contrastive") < order.index("file:Mine")
    assert order.index("file:Mine") < order.index("observations (floor)")
    assert "this store" in next(line for line in shown.splitlines() if line.startswith("file:Mine"))
    assert f"{committed.scores['r2(in_sample)']['value']:.3f}" in shown
    assert shown.count("method  ") == 1, "tests that the store has no record of"


def test_seeds_are_one_row_with_an_interval(
    committed: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, score in enumerate((0.8, 0.9)):
        add(tmp_path, committed, score, seed)
    assert main(["leaderboard", "synthetic", "--metrics", "mcc", "--store", str(tmp_path)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("file:Mine")]
    assert "0.850 ± 0.635" in row  # t(1) s / sqrt(2) = 12.706 * 0.0707 / 1.414
    assert "r2" not in row


def test_another_test_is_another_table(committed: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(tmp_path, committed, 0.9, n=9)
    assert main(["leaderboard", "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "n 9" in shown
    assert "supervised" not in shown
    assert main(["leaderboard", "synthetic", "--all", "--store", str(tmp_path)]) == 0
    assert "supervised" in capsys.readouterr().out


def test_nothing_to_show_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "--store", str(tmp_path)]) == 2
    assert "has no record: `unmix run` makes one, and --all shows ours" in capsys.readouterr().err
    assert main(["leaderboard", "synthetik", "--store", str(tmp_path)]) == 2
    assert "did you mean synthetic" in capsys.readouterr().err
    assert main(["leaderboard", "--all", "--metrics", "mcs", "--store", str(tmp_path)]) == 2
    assert "no record with mcs" in capsys.readouterr().err
