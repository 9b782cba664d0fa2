"""Processes that are ended: runs, workers, drivers, `compact`, a node. Each is a fault of `faults.py`."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trials import TRAIN, Bench, Tally, again, alive, finish, fork, running, start, state, workers

from unmix.record import Store

GRACE = 30.0


def kill_run(bench: Bench, trials: int) -> Tally:
    """A run's process, at a random moment of its life, up to three times before it may end."""
    tally = Tally()
    while tally.trials < trials:
        folder = bench.store()
        for _ in range(bench.chance.randint(1, 3)):
            process = start(folder, [0])
            time.sleep(bench.chance.uniform(0, 1.1 * bench.seconds))
            os.kill(process, signal.SIGKILL)
            if finish(process) == 0:
                continue
            tally.trials += 1
            tally.note(state(folder))
        before = set(Store(folder).keys())
        again(tally, folder, [0])
        bench.judge(tally, folder, [0], before)
    return tally


def kill_at_calls(bench: Bench, trials: int) -> Tally:
    """A run's process, right before each call by which Python opens, syncs, renames or removes a file, in turn."""
    tally = Tally()
    calls = ((os, "replace"), (os, "unlink"), (os, "fsync"), (os, "mkdir"), (io, "open"))

    def dying(call: int) -> Callable[[], None]:
        def patch() -> None:
            left = [call]

            def before(real: Callable[..., Any]) -> Callable[..., Any]:
                def counted(*arguments: Any, **options: Any) -> Any:
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*arguments, **options)

                return counted

            for module, name in calls:
                setattr(module, name, before(getattr(module, name)))

        return patch

    for call in range(trials):
        folder = bench.store()
        if finish(start(folder, [0], first=dying(call))) == 0:
            shutil.rmtree(folder)
            break  # it makes no more calls
        tally.trials += 1
        tally.note(state(folder))
        before = set(Store(folder).keys())
        again(tally, folder, [0])
        bench.judge(tally, folder, [0], before)
    return tally


def kill_worker(bench: Bench, trials: int) -> Tally:
    """One of two workers of a sweep of four runs, again and again; the driver goes on."""
    tally = Tally()
    while tally.trials < trials:
        folder, seen = bench.store(), set()
        driver = start(folder, range(4), "--workers 2 --retries 1000")
        for _ in range(min(5, trials - tally.trials)):
            time.sleep(bench.chance.uniform(0, 4 * bench.seconds + 8))
            if not running(driver):
                break
            seen |= set(Store(folder).keys())
            if there := workers(driver):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(bench.chance.choice(there), signal.SIGKILL)
                tally.trials += 1
                tally.note(f"{len(seen)} of 4 recorded")
        if status := finish(driver):
            tally.wrong.append(f"the driver ended with {status}")
        bench.judge(tally, folder, range(4), seen)
    return tally


def kill_driver(bench: Bench, trials: int) -> Tally:
    """The driver of two workers; its workers must end with it, and the same command goes on."""
    tally = Tally()
    while tally.trials < trials:
        folder, seen = bench.store(), set()
        for _ in range(min(5, trials - tally.trials)):
            driver = start(folder, range(4), "--workers 2")
            time.sleep(bench.chance.uniform(0, 4 * bench.seconds + 8))
            there = workers(driver)
            os.kill(driver, signal.SIGKILL)
            tally.trials += 1
            if finish(driver) == 0:
                break
            deadline = time.monotonic() + 20
            while (left := [n for n in there if alive(n)]) and time.monotonic() < deadline:
                time.sleep(0.05)
            if left:
                tally.wrong.append("a worker lives on without its driver")
            seen |= set(Store(folder).keys())
            tally.note(f"{len(seen)} of 4 recorded")
        again(tally, folder, range(4), "--workers 2")
        bench.judge(tally, folder, range(4), seen)
    return tally


def sigterm(bench: Bench, trials: int) -> Tally:
    """As Slurm sends it: the run saves its state and ends with status 75, well within the grace period."""
    tally, slowest = Tally(), 0.0
    while tally.trials < trials:
        folder = bench.store()
        process = start(folder, [0])
        time.sleep(bench.chance.uniform(0.05, 1.1 * bench.seconds))
        os.kill(process, signal.SIGTERM)
        sent = time.monotonic()
        status = finish(process)
        slowest = max(slowest, time.monotonic() - sent)
        tally.trials += 1
        tally.note("too early: not yet listening" if status == -signal.SIGTERM else f"status {status}, {state(folder)}")
        if status not in (75, 0, -signal.SIGTERM):
            tally.wrong.append(f"status {status}")
        before = set(Store(folder).keys())
        again(tally, folder, [0])
        bench.judge(tally, folder, [0], before)
    if slowest > GRACE:
        tally.wrong.append(f"{slowest:.0f} s until it ended")
    tally.notes[f"at most {slowest:.1f} s until it ended"] = tally.trials
    return tally


def kill_compact(bench: Bench, trials: int) -> Tally:
    """`unmix store compact` beside a run that writes, at a random moment, again and again."""
    from unmix.parts import compact

    tally = Tally()

    def compact_always(folder: Path) -> int:
        while True:
            compact(folder)

    while tally.trials < trials:
        folder, seen = bench.store(), set()
        folder.mkdir()
        writer = start(folder, range(4))
        while running(writer) and tally.trials < trials:
            process = fork(lambda folder=folder: compact_always(folder))
            time.sleep(bench.chance.uniform(0, 0.5))
            os.kill(process, signal.SIGKILL)
            if finish(process) != -signal.SIGKILL:
                tally.wrong.append("compact ended by itself")
            tally.trials += 1
            now = set(Store(folder).keys())
            tally.lost += len(seen - now)
            seen = now
            tally.note(f"{len(seen)} of 4 recorded")
        if status := finish(writer):
            tally.wrong.append(f"the run ended with {status}")
        finish(fork(lambda folder=folder: int(compact(folder) is None)))
        if len(list(Store(folder))) != 4:
            tally.wrong.append("not each record is there once")
        bench.judge(tally, folder, range(4), seen)
    return tally


def node_lost(bench: Bench, trials: int) -> Tally:
    """A node of a local Ray cluster of three is taken away while it runs; Ray's machine is this one."""
    from ray.cluster_utils import Cluster

    tally = Tally()
    for _ in range(trials):
        folder = bench.store()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        more = f"--seeds 0 1 2 3 --executor ray --address {cluster.address} --workers 2 --retries 10"
        words = [*TRAIN.split(), *more.split(), "--store", str(folder)]
        code, null = "import sys, unmix.cli; sys.exit(unmix.cli.main())", subprocess.DEVNULL
        driver = subprocess.Popen([sys.executable, "-c", code, *words], stdout=null, stderr=null)
        deadline = time.monotonic() + bench.chance.uniform(15, 40)
        while driver.poll() is None and time.monotonic() < deadline and not Store(folder).keys():
            time.sleep(0.2)
        before = set(Store(folder).keys())
        cluster.remove_node(nodes[0], allow_graceful=False)
        cluster.add_node(num_cpus=1)
        if status := driver.wait(timeout=300):
            tally.wrong.append(f"the driver ended with {status}")
        cluster.shutdown()
        tally.trials += 1
        tally.note(f"{len(before)} of 4 recorded")
        bench.judge(tally, folder, range(4), before)
    return tally
