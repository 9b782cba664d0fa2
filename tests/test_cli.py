"""The command: what it prints, what it refuses, what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from unmix.cli import main
from unmix.record import Store
from unmix.registry import METRICS

RUN = ["run", "synthetic", "--n", "3", "--pool", "100", "--samples", "300", "--workers", "1"]


def run(method: str, store: Path, *flags: str) -> int:
    return main(["run", "synthetic", method, *RUN[2:], *flags, "--store", str(store)])


def test_list_shows_names_and_declarations(capsys: pytest.CaptureFixture[str]) -> None:
    for kind, name in (("datasets", "synthetic"), ("methods", "contrastive"), ("tables", "workshop/table1")):
        assert main(["list", kind]) == 0
        assert name in capsys.readouterr().out
    assert main(["list", "metrics", "-v"]) == 0
    shown = capsys.readouterr().out
    for name in METRICS:
        assert name in shown
    assert "cannot see" in shown


@pytest.mark.parametrize("command", ["list", "run", "reproduce", "sweep", "table", "plot"])
def test_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0") if command != "run" else pytest.raises(AssertionError, match="ran"):
        status = main([command, "--help"])
        assert status != 0, "ran"
    assert f"unmix {command} " in capsys.readouterr().out.split("example")[1]


def test_help_of_a_run_lists_the_fields_of_dataset_and_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "synthetic", "contrastive", "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in ("--space", "--conditional", "--model-space", "--tau", "--lr", "--no-symmetric", "--samples"):
        assert flag in shown


def test_run_prints_scores_and_records_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pca", tmp_path, "--seeds", "0", "1") == 0
    shown = capsys.readouterr().out
    assert "seed 1" in shown
    assert "r2(in_sample)" in shown
    records = list(Store(tmp_path))
    assert sorted(record.specification.seed for record in records) == [0, 1]
    assert f"{records[0].scores['mcc']['value']:.4f}" in shown


def test_flags_reach_the_run(tmp_path: Path) -> None:
    assert run("supervised", tmp_path, "--steps", "2", "--batch", "16", "--space", "sphere", "--metrics", "mcc") == 0
    (record,) = Store(tmp_path)
    specification = record.specification
    assert specification.dataset["space"] == "sphere"
    assert specification.method["recipe"]["steps"] == 2
    assert specification.method["recipe"]["lr"] == 6e-3  # what was not given keeps the method's default
    assert list(record.scores) == ["mcc"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "synthetik", "pca"], "no dataset is named 'synthetik'; did you mean synthetic"),
        (["run", "synthetic", "contrastiv"], "no method is named 'contrastiv'; did you mean contrastive"),
        ([*RUN[:2], "pca", "--metrics", "mcs"], "no metric is named 'mcs'"),
        ([*RUN[:2], "pca", "--stepz", "3"], "unknown words: --stepz 3"),
        ([*RUN[:2], "supervised", "--steps", "0"], "steps is 0: it must be at least 1"),
        ([*RUN[:2], "contrastive", "--p", "0.5"], "p is 0.5: it must be at least 1"),
        ([*RUN[:2], "contrastive", "--similarity", "vmf"], "vmf has no meaning on unbounded"),
        ([*RUN[:2], "pca", "--space", "unbounded"], "unbounded"),
        ([*RUN[:2], "pca", "--conditional", "vmf(kappa=1)"], "vmf"),
        (["reproduce", "workshop/tabel1"], "did you mean workshop/table1"),
        (["reproduce", "workshop/table1", "--profile", "fast"], "choose quick, cpu, paper"),
        (["plot", "ffff"], "no record has a key that starts with 'ffff'"),
    ],
)
def test_wrong_words_say_what_is_allowed(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--store", str(tmp_path)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.jsonl")), "it ran before it refused"


@pytest.mark.parametrize("words", [["lst"], ["list", "method"], ["run", "synthetic", "pca", "--workers", "0"]])
def test_wrong_choice_lists_the_choices(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    shown = capsys.readouterr().err
    assert "choose from" in shown or "at least 1" in shown


def test_declined_run_tells_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("contrastive", tmp_path, "--conditional", "") == 1
    assert "pairs" in capsys.readouterr().err


def test_table_writes_every_format_and_names_damaged_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "records.jsonl").write_text('{"torn', encoding="utf-8")
    assert main(["table", "workshop/table1", "--profile", "paper", "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "99.42 ± 0.05" in shown.out
    assert "records.jsonl:1" in " ".join(shown.err.split()).replace(" ", "")
    suffixes = {path.suffix for path in (tmp_path / "tables").iterdir()}
    assert suffixes == {".md", ".csv", ".tex", ".html", ".png"}


def test_reproduce_runs_what_is_missing_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real command on the cheapest column; the others are recorded as they would be."""
    from unmix.record import Record
    from unmix.reproduce import preset

    store = Store(tmp_path)
    cells = preset("workshop/table1").specifications("quick", [0])
    for (row, column), (specification,) in cells.items():
        if row == 1 and column != "linear":
            scores = {"r2(in_sample)": {"value": 0.5, "n": 1, "d": 1, "k": 1, "warnings": []}}
            store.append(Record(specification, scores, 1, 1.0, [], 1, {}, "", {}, "2026-01-01"))
    words = ["reproduce", "workshop/table1", "--seeds", "0", "--rows", "2", "--workers", "1", "--store", str(tmp_path)]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "2 runs recorded, 1 to do" in shown.err
    row = next(line for line in shown.out.splitlines() if line.startswith("| 2 "))
    assert "50.00 ▼" in row
    assert cells[1, "linear"][0].key in store.by_key()
    assert main(words) == 0
    assert "3 runs recorded, 0 to do" in capsys.readouterr().err
    assert store.by_key()[cells[1, "linear"][0].key].seconds == 0.0


def test_reproduce_says_which_file_is_missing_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNMIX_DATA", str(tmp_path / "data"))
    assert main(["reproduce", "workshop/table5", "--profile", "paper", "--store", str(tmp_path / "store")]) == 2
    assert "run `unmix data fetch kitti_masks kitti_peds_v2.pickle`" in capsys.readouterr().err
    assert not list(tmp_path.glob("store/runs/*"))
