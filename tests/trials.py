"""The bench of `faults.py`: small runs in processes that can be ended, and what they must give in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unmix.cli import main as unmix
from unmix.record import Store

TRAIN = "run synthetic supervised --n 3 --pool 100 --steps 60 --batch 64 --warmup 10 --samples 500 --metrics r2 mcc"
HERE = "--workers 1"


@dataclass
class Tally:
    """What came of the trials of one fault.

    Args:
        trials: Faults that were made.
        lost: Records that were there after the fault and not at the end, or are missing at the end.
        torn: Lines that could not be read at the end.
        unequal: Records, codes or weights that differ from those of an undisturbed run.
        wrong: Another thing that must not be, in words.
        notes: What the fault met, counted.
    """

    trials: int = 0
    lost: int = 0
    torn: int = 0
    unequal: int = 0
    wrong: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def note(self, what: str) -> None:
        self.notes[what] = self.notes.get(what, 0) + 1

    @property
    def good(self) -> bool:
        return not (self.lost or self.torn or self.unequal or self.wrong)


@dataclass
class Bench:
    """Where trials are made, and what they must end with.

    Args:
        folder: Of all stores.
        chance: Of moments.
        seconds: That an undisturbed run takes once everything is imported.
        expected: Key -> what it gives.
    """

    folder: Path
    chance: random.Random
    seconds: float = 0.0
    expected: dict[str, Any] = field(default_factory=dict)
    count: int = 0

    def store(self) -> Path:
        self.count += 1
        return self.folder / f"trial{self.count}"

    def prepare(self) -> None:
        """Runs that nothing disturbs; the first in this process, so that all forks have imported everything."""
        folder = self.store()
        assert unmix([*TRAIN.split(), "--store", str(folder), *HERE.split()]) == 0
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        started = time.monotonic()
        assert finish(start(folder, [1])) == 0
        self.seconds = time.monotonic() - started
        assert finish(start(folder, [2, 3])) == 0
        self.expected = results(folder)

    def judge(
        self, tally: Tally, folder: Path, seeds: Sequence[int], before: set[str] | None = None, damaged: int = 0
    ) -> None:
        """Compare a store at the end with what it should be, and remove it.

        Args:
            tally: Gets what is found.
            folder: The store.
            seeds: Of the runs that must be recorded.
            before: Keys that were recorded right after the fault.
            damaged: Lines that the fault itself has damaged.
        """
        store, found = Store(folder), results(folder)
        wanted = [key for key, result in self.expected.items() if result["seed"] in seeds]
        tally.lost += len((set(wanted) | (before or set())) - set(found))
        for _ in store:
            pass
        tally.torn += max(0, len(store.damaged) - damaged)
        tally.unequal += sum(found[key] != self.expected[key] for key in wanted if key in found)
        left = [path.name for path in folder.glob("runs/*/*") if path.suffix in (".partial", ".pt")]
        if left:
            tally.wrong.append(f"left behind: {', '.join(left)}")
        shutil.rmtree(folder)


def results(folder: Path) -> dict[str, Any]:
    """Of each record what must be equal: all but times and the commit; and its codes and weights."""
    found = {}
    for key, record in Store(folder).by_key().items():
        curve = [{**point, "seconds": 0.0} for point in record.curve]
        timeless = dataclasses.replace(record, seconds=0.0, finished="", commit="", curve=curve)
        files = Store(folder).run_folder(record.specification)
        with np.load(files / "codes.npz") as saved:
            arrays = {name: saved[name].tobytes() for name in saved.files}
        weights = (files / "encoder.safetensors").read_bytes()
        found[key] = {"seed": record.specification.seed, "record": timeless.to_json(), "weights": weights, **arrays}
    return found


def fork(work: Callable[[], int]) -> int:
    """Do it in a fork of this process, which has imported everything; returns the fork's number."""
    process = os.fork()
    if process:
        return process
    status = 99
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        status = work()
    finally:
        os._exit(status)


def start(folder: Path, seeds: Sequence[int], more: str = HERE, first: Callable[[], None] = lambda: None) -> int:
    """Start the command, after something that may change its world; returns its number."""
    words = [*TRAIN.split(), "--seeds", *map(str, seeds), "--store", str(folder), *more.split()]
    return fork(lambda: (first(), unmix(words))[1])


def finish(process: int) -> int:
    """The exit status; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def state(folder: Path) -> str:
    """How far a store has come."""
    if any(folder.glob("*.jsonl")):
        return "recorded"
    return "after a checkpoint" if any(folder.glob("runs/*/checkpoint.pt")) else "before a checkpoint"


def again(tally: Tally, folder: Path, seeds: Sequence[int], more: str = HERE) -> None:
    if status := finish(start(folder, seeds, more)):
        tally.wrong.append(f"the same command again ends with {status}")


@contextlib.contextmanager
def small_disk(bench: Bench) -> Iterator[Path | None]:
    """A disk of four MiB; None where none may be mounted."""
    folder = bench.store()
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def workers(driver: int) -> list[int]:
    """Of a driver: what its fork server has started."""
    return [worker for server in _children(driver) if b"forkserver" in _words(server) for worker in _children(server)]


def _children(process: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def _words(process: int) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def running(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def alive(process: int) -> bool:
    """Neither gone nor waiting for whoever inherited it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
