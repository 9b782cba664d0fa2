"""A bounded part of `faults.py`: each fault that needs no second process group, once or a few times; and SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unmix import stopping
from unmix.training import Recipe, Trainer

SCRIPT = Path(__file__).with_name("faults.py")


def tried(folder: Path, trials: int, *names: str) -> str:
    """The table of some faults; the script itself judges them by its exit status."""
    page = folder / "faults.md"
    words = [sys.executable, str(SCRIPT), "--trials", str(trials), "--only", *names, "--page", str(page)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return page.read_text()


def test_what_is_stopped_or_loses_its_disk_goes_on_to_the_same_records(tmp_path: Path) -> None:
    table = tried(tmp_path, 3, "kill_run", "sigterm", "disk_full", "damaged", "clock_back", "two_sweeps")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ") and "fault" not in line]
    assert len(rows) == 6
    assert all(int(row[1]) >= 1 for row in rows)


@pytest.mark.slow
def test_what_is_killed_beside_others_goes_on_to_the_same_records(tmp_path: Path) -> None:
    tried(tmp_path, 10, "kill_worker", "kill_driver", "kill_at_calls", "kill_compact", "read_only")


@pytest.fixture
def _heeding(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(stopping, "_asked", threading.Event())
    stopping.heed()
    yield
    signal.signal(signal.SIGTERM, before)


def trained(checkpoint: Path, stop: int = 0) -> Tensor:
    """Weights after 12 steps; SIGTERM comes within a step."""
    generator = torch.Generator().manual_seed(0)
    module = nn.Linear(3, 2)
    nn.init.normal_(module.weight, generator=generator)
    nn.init.zeros_(module.bias)
    trainer = Trainer(checkpoint=checkpoint, every=1e9)

    def loss(batch: int) -> Tensor:
        if stop and trainer.steps + 1 == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        value: Tensor = (module(torch.randn(batch, 3, generator=generator)) - 1).square().mean()
        return value

    trainer.minimise(module, loss, Recipe(steps=12, batch=4, warmup=0), generator)
    return module.weight.detach()


@pytest.mark.usefixtures("_heeding")
@pytest.mark.parametrize("stop", [1, 7, 12])
def test_sigterm_lets_the_step_end_and_saves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    expected = trained(tmp_path / "whole.pt")
    with pytest.raises(stopping.Stopped):
        trained(tmp_path / "stopped.pt", stop)
    assert torch.load(tmp_path / "stopped.pt", weights_only=True)["step"] == stop
    monkeypatch.setattr(stopping, "_asked", threading.Event())  # as in the next process
    assert torch.equal(trained(tmp_path / "stopped.pt"), expected)


@pytest.mark.usefixtures("_heeding")
def test_sigterm_outside_of_a_training_stops_at_once() -> None:
    with pytest.raises(stopping.Stopped):
        signal.raise_signal(signal.SIGTERM)


def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged: delete it to start over"):
        trained(tmp_path / "checkpoint.pt")
