"""A bounded part of `faults.py`: each fault that needs no second process group, once or a few times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("faults.py")


def tried(folder: Path, trials: int, *names: str) -> str:
    """The table of some faults; the script itself judges them by its exit status."""
    page = folder / "faults.md"
    words = [sys.executable, str(SCRIPT), "--trials", str(trials), "--only", *names, "--page", str(page)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return page.read_text()


def test_what_is_stopped_or_loses_its_disk_goes_on_to_the_same_records(tmp_path: Path) -> None:
    table = tried(tmp_path, 5, "kill_run", "sigterm", "disk_full", "damaged", "clock_back", "two_sweeps")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ") and "fault" not in line]
    assert len(rows) == 6
    assert all(int(row[1]) >= 1 for row in rows)


@pytest.mark.slow
def test_what_is_killed_beside_others_goes_on_to_the_same_records(tmp_path: Path) -> None:
    tried(tmp_path, 10, "kill_worker", "kill_driver", "kill_at_calls", "kill_compact", "read_only")
