"""The README says what the records say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unmix.cli import parser
from unmix.record import Store
from unmix.reproduce import beside, preset
from unmix.results import FOLDER

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


SHOWN = re.findall(r"<!-- table:(\S+):(\w+) -->\n(.*?)\n<!-- /table -->", README, re.DOTALL)


def test_the_readme_shows_tables() -> None:
    assert {("workshop/table1", "quick"), ("workshop/table1", "cpu")} <= {(name, profile) for name, profile, _ in SHOWN}


@pytest.mark.parametrize(("name", "profile", "shown"), SHOWN)
def test_tables_are_those_of_the_committed_records(name: str, profile: str, shown: str) -> None:
    store, table = Store(FOLDER / "reproduced"), preset(name)
    records = store.by_key()
    assert store.damaged == []
    expected = beside(table, profile, table.specifications(profile), records).to_markdown()
    assert shown.strip() == expected.strip()


@pytest.mark.parametrize("profile", ["quick", "cpu"])
def test_every_run_of_table1_is_committed(profile: str) -> None:
    records = Store(FOLDER / "reproduced").by_key()
    cells = preset("workshop/table1").specifications(profile)
    assert [cell for cell, runs in cells.items() if any(run.key not in records for run in runs)] == []


def test_committed_records_name_their_commit() -> None:
    records = list(Store(FOLDER / "reproduced"))
    assert records
    for record in records:
        assert re.fullmatch(r"[0-9a-f]{40}", record.commit), f"{record.key} was not computed from a clean checkout"


def test_commands_of_the_readme_exist() -> None:
    commands = set(re.findall(r"(?:^|/)unmix ([a-z]+)", README, re.MULTILINE))
    known = parser().format_help()
    assert commands
    assert [command for command in commands if not re.search(rf"^\s+{command}\b", known, re.MULTILINE)] == []


def test_from_the_template_to_a_row_beside_the_baselines(tmp_path: Path) -> None:
    """The README's lines to the letter, in an empty folder."""
    (lines,) = re.findall(r"^```bash method$\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert len(lines.splitlines()) == 4
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    words = ["bash", "-euo", "pipefail", "-c", lines]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MyMethod keeps all" in done.stdout
    (record,) = Store(tmp_path / ".unmix")
    board = done.stdout.split("seed 0: .unmix/runs/")[1]
    order = [line.split("  ")[0] for line in board.splitlines()]
    assert order.index("supervised (ceiling)") < order.index("file:MyMethod") < order.index("observations (floor)")
    assert f"{record.scores['r2(in_sample)']['value']:.3f}" in board


def test_pictures_are_there() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
