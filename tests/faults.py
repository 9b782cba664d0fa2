"""Faults, tried: processes killed, disks full, clocks wrong. What was recorded stays, and what goes on ends the same.

    python tests/faults.py                      all, 200 kills: about half an hour of one core; writes docs/faults.md
    python tests/faults.py --trials 20 --only kill_run sigterm --page /tmp/faults.md

Each trial has a store of its own. After the fault the same command is given again, and its records (without times and
commit), codes and weights are compared, bit for bit, with those of a run that nothing disturbed. Runs are small, n = 3
and 60 steps, and write a checkpoint every 0.02 seconds.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from kills import kill_at_calls, kill_compact, kill_driver, kill_run, kill_worker, node_lost, sigterm
from trials import Bench, Tally, again, finish, results, small_disk, start, state

import unmix.training
from unmix.record import Store

unmix.training.CHECKPOINT_SECONDS = 0.02  # spawned workers import this file as well
PAGE = Path(__file__).resolve().parent.parent / "docs" / "faults.md"


def disk_full(bench: Bench, trials: int) -> Tally:
    """A disk with 0 to 1.5 MiB left; then there is room again. Without the right to mount: a limit on file sizes."""
    tally = Tally()
    for _ in range(trials):
        left = bench.chance.randint(0, 1536 * 1024)
        tally.trials += 1
        with small_disk(bench) as disk:
            if disk is None:
                folder = bench.store()
                status = finish(start(folder, [0], "--workers 1 --retries 0", lambda left=left: _limit(left)))
            else:
                folder = disk / "store"
                (disk / "filler").write_bytes(bytes(2**22 - 8192 - left))
                status = finish(start(folder, [0], "--workers 1 --retries 0"))
                (disk / "filler").unlink()
            kind = "file sizes limited" if disk is None else "mounted disk"
            tally.note(f"{kind}: " + ("there was room" if status == 0 else f"status {status}, {state(folder)}"))
            if status not in (0, 1, 2):
                tally.wrong.append(f"status {status}")
            before = set(Store(folder).keys())
            again(tally, folder, [0])
            bench.judge(tally, folder, [0], before)
    return tally


def _limit(size: int) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def read_only(bench: Bench, trials: int) -> Tally:
    """A disk that is mounted read-only: what is recorded is shown, a new run ends with an error before it trains."""
    tally = Tally()
    for _ in range(trials):
        with small_disk(bench) as disk:
            if disk is None:
                tally.note("not tried: no right to mount")
                continue
            folder = disk / "store"
            again(tally, folder, [0])
            before = results(folder)
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            statuses = [finish(start(folder, seeds)) for seeds in ([0], [1])]
            if statuses != [0, 1] or results(folder) != before:
                tally.wrong.append(f"statuses {statuses} for what is recorded and what is not")
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            tally.trials += 1
            tally.note(f"a new run ends with status {statuses[1]}")
            again(tally, folder, [0, 1])
            bench.judge(tally, folder, [0, 1], set(before))
    return tally


def clock_back(bench: Bench, trials: int) -> Tally:
    """A clock that goes back an hour at each look, in a run that is killed and goes on a day earlier."""
    tally = Tally()

    def patch(days: int) -> Callable[[], None]:
        def back() -> None:
            import unmix.disk
            import unmix.run

            now = [time.time() - 86400 * days]

            def earlier(*_: Any) -> float:
                now[0] -= 3600
                return now[0]

            class Clock(datetime):
                @classmethod
                def now(cls, zone: Any = None) -> datetime:
                    return datetime.fromtimestamp(0, zone) + timedelta(seconds=earlier())

            time.time = earlier
            unmix.disk.datetime = unmix.run.datetime = Clock

        return back

    for _ in range(trials):
        folder = bench.store()
        process = start(folder, [0, 1], first=patch(0))
        time.sleep(bench.chance.uniform(0, 2 * bench.seconds))
        os.kill(process, signal.SIGKILL)
        finish(process)
        tally.trials += 1
        before = set(Store(folder).keys())
        tally.note(f"{len(before)} of 2 recorded")
        if status := finish(start(folder, [0, 1], first=patch(1))):
            tally.wrong.append(f"status {status}")
        bench.judge(tally, folder, [0, 1], before)
    return tally


def two_sweeps(bench: Bench, trials: int) -> Tally:
    """Two commands with the same runs on one store: with locks, without, and with locks that do not lock."""
    import fcntl

    def missing(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    tally = Tally()
    kinds: dict[str, Callable[[], None]] = {
        "locks": lambda: None,
        "no locks": lambda: setattr(fcntl, "flock", missing),
        "locks that do not lock": lambda: setattr(fcntl, "flock", lambda descriptor, operation: None),
    }
    for number in range(trials):
        name, first = list(kinds.items())[number % 3]
        folder = bench.store()
        for process in [start(folder, range(4), first=first) for _ in range(2)]:
            if status := finish(process):
                tally.wrong.append(f"{name}: status {status}")
        tally.trials += 1
        lines = sum(len(path.read_bytes().splitlines()) for path in folder.glob("*.jsonl"))
        tally.note(f"{name}: {lines - 4} of 4 trained twice")
        bench.judge(tally, folder, range(4))
    return tally


def damaged(bench: Bench, trials: int) -> Tally:
    """A store's lines cut, overwritten, joined by rubbish: each damaged line is named, the others are read."""
    tally, whole = Tally(), bench.store()
    again(tally, whole, range(4))
    for number in range(trials):
        folder = Path(shutil.copytree(whole, bench.store()))
        (path,) = folder.glob("*.jsonl")
        content = path.read_bytes()
        at = bench.chance.randrange(len(content))
        kind = ("cut", "zeros", "rubbish", "a score changed")[number % 4]
        if kind == "a score changed":
            line = json.loads(content.splitlines()[0])
            line["scores"]["mcc"]["value"] = 0.5
            path.write_bytes(json.dumps(line).encode() + b"\n" + content.split(b"\n", 1)[1])
            from unmix.submission.rescoring import fault

            store = Store(folder)
            if sum(bool(fault(record, store)) for record in store) != 1:
                tally.wrong.append("verify does not find the changed score")
            path.write_bytes(content)
        else:
            rubbish = bench.chance.randbytes(100).replace(b"\n", b"")
            after = {"cut": b"", "zeros": bytes(100) + content[at + 100 :], "rubbish": rubbish + content[at:]}[kind]
            path.write_bytes(content[:at] + after)
        store = Store(folder)
        before = {record.key for record in store}
        tally.trials += 1
        tally.note(f"{kind}: {4 - len(before)} of 4 to run again, {len(store.damaged)} lines named")
        again(tally, folder, range(4))
        bench.judge(tally, folder, range(4), before, len(store.damaged))
    shutil.rmtree(whole)
    return tally




FAULTS: dict[str, tuple[Callable[[Bench, int], Tally], str, float]] = {
    "kill_run": (kill_run, "kill -9 of a run, at random", 0.7),
    "kill_worker": (kill_worker, "kill -9 of a worker, at random", 0.15),
    "kill_driver": (kill_driver, "kill -9 of the driver, at random", 0.15),
    "kill_at_calls": (kill_at_calls, "kill -9 before the n-th call to the disk, each n", 1.0),
    "sigterm": (sigterm, "SIGTERM with a grace period, at random", 0.2),
    "disk_full": (disk_full, "disk full, at random", 0.1),
    "read_only": (read_only, "disk read-only", 0.02),
    "clock_back": (clock_back, "clock going back, and kill -9", 0.05),
    "two_sweeps": (two_sweeps, "two sweeps on one store", 0.05),
    "damaged": (damaged, "lines of the store damaged, at random", 0.2),
    "kill_compact": (kill_compact, "kill -9 of compact beside a run, at random", 0.2),
    "node_lost": (node_lost, "node of a Ray cluster lost", 0.02),
}


def page(tallies: dict[str, tuple[Tally, float]], words: str) -> str:
    """The table as Markdown."""
    lines = [
        "# Faults, tried",
        "",
        f"Written by `{words}`.",
        "",
        "Each trial has a store of its own: small runs (n = 3, 60 steps, a checkpoint every 0.02 s), a fault, and the",
        "same command again. *Lost*: records that were there right after the fault, or are due at the end, and are not",
        "there. *Torn*: unreadable lines at the end, beyond those that the fault itself damaged. *Unequal*: records",
        "(without times and commit), codes or weights that differ in any bit from those of undisturbed runs.",
        "",
        "| fault | trials | lost | torn | unequal | else wrong | met, number of trials |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (tally, _) in tallies.items():
        met = ", ".join(f"{what}: {count}" for what, count in sorted(tally.notes.items()))
        wrong = "; ".join(sorted(set(tally.wrong))) or "nothing"
        counts = f"{tally.trials} | {tally.lost} | {tally.torn} | {tally.unequal}"
        lines.append(f"| {FAULTS[name][1]} | {counts} | {wrong} | {met} |")
    seconds = sum(taken for _, taken in tallies.values())
    return "\n".join([*lines, "", f"{seconds / 60:.0f} minutes.", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="kills of runs, workers and drivers (default: 200)")
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: 0)")
    memory = Path("/dev/shm")
    parser.add_argument(
        "--folder", type=Path, default=memory if memory.is_dir() else None, help="of the stores (default: in memory)"
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="where the table goes")
    options = parser.parse_args()
    tallies: dict[str, tuple[Tally, float]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        bench = Bench(Path(folder), Random(options.seed))
        bench.prepare()
        for name in options.only:
            fault, _, share = FAULTS[name]
            started = time.monotonic()
            tally = fault(bench, max(1, round(share * options.trials)))
            tallies[name] = tally, time.monotonic() - started
            print(f"{name}: {tally} {tallies[name][1]:.0f} s", flush=True)
            options.page.write_text(page(tallies, f"python tests/faults.py --trials {options.trials}"))
    return int(not all(tally.good for tally, _ in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
