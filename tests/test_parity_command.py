"""`unmix parity`: the summary, the files, the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from unmix.cli import main
from unmix.commands.parity import show, unexplained
from unmix.parity import Comparison

ORACLE = Path(__file__).parents[2] / "shared" / "oracle"


def row(verdict: str, ours: float | None = 0.5, reason: str = "") -> Comparison:
    return Comparison("case", "mig", "dlib@new", "score", "mig", ours, 0.5, 1e-6, verdict, reason)  # type: ignore[arg-type]


def test_summary_counts_and_names_what_deviates(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("agrees", 0.5 + 5e-7), row("agrees"), row("explained", 0.7), row("deviates", 0.6, "known")]
    show(rows, Console(width=160))
    shown = capsys.readouterr().out.splitlines()
    (line,) = (line for line in shown if line.startswith("mig"))
    assert line.split() == ["mig", "dlib", "mig", "2", "1", "1", "5.0e-07", "50%"]
    assert "open: known" in shown[-1]
    assert not unexplained(rows)
    assert unexplained([*rows, row("deviates", 0.6)])


def test_nothing_to_compare_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "expected.json").write_text('{"results": {}}', encoding="utf-8")
    assert main(["parity", "--oracle", str(tmp_path), "--metrics", "mig"]) == 2
    assert "matches mig" in " ".join(capsys.readouterr().err.split())
    assert main(["parity", "--oracle", str(tmp_path / "nowhere")]) == 2


@pytest.mark.skipif(not (ORACLE / "expected.json").exists(), reason="the oracle is not here")
def test_files_hold_every_value(tmp_path: Path) -> None:
    words = ["parity", "--oracle", str(ORACLE), "--metrics", "mig[bins=20]"]
    assert main([*words, "--output", str(tmp_path / "a.md"), "--json", str(tmp_path / "a.json")]) == 0
    values = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["values"]
    assert values
    assert {value["metric"] for value in values} == {"mig[bins=20]"}
    text = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if "| mig[bins=20] score |" in line]) == len(values)
