"""Runs in local worker processes, with cores and GPUs shared out."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from unmix.attempt import Outcome, Place, attempt
from unmix.executors import Listener
from unmix.executors.curves import Curves, reporter
from unmix.record import Specification, Store
from unmix.stopping import STATUS, Stopped, heed

GRACE = 30.0  # seconds that a worker has to end its step and save its state


@dataclass
class Processes:
    """Workers that make one attempt after another. One that dies is replaced; the others do not notice.

    A pool of the standard library is broken as a whole by one dead worker, so each has its own process and pipe here.

    Args:
        workers: Processes.
        place: Where each computes. With "cuda" each worker sees one GPU: they take turns at those of
            CUDA_VISIBLE_DEVICES, or at all.
    """

    workers: int
    place: Place = field(default_factory=Place)
    slots: list[_Worker] = field(default_factory=list, init=False, repr=False)
    waiting: deque[tuple[Specification, Store]] = field(default_factory=deque, init=False, repr=False)
    curves: Curves | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.waiting.clear()
        for worker in self.slots:
            worker.process.terminate()
        for worker in self.slots:
            worker.end()
        self.slots.clear()

    def start(self, specifications: Sequence[Specification], store: Store, listener: Listener) -> None:
        self.curves = self.curves or Curves(store, listener)
        for specification in specifications:
            self.curves.follow(specification)
            self.waiting.append((specification, store))
        gpus = visible_gpus() if self.place.device == "cuda" else []
        busy = sum(worker.running is not None for worker in self.slots)
        for number in range(len(self.slots), min(self.workers, busy + len(self.waiting))):
            self.slots.append(_Worker(gpus[number % len(gpus)] if gpus else None))

    def ended(self) -> list[Outcome]:
        for worker in self.slots:
            if worker.running is None and self.waiting:
                specification, store = self.waiting.popleft()
                worker.start(specification, store.folder, self.place)
        busy = {worker.pipe: worker for worker in self.slots if worker.running is not None}
        outcomes = [busy[pipe].outcome() for pipe in wait(busy, timeout=0.5) if isinstance(pipe, Connection)]
        if self.curves is not None:
            self.curves.forward()
            for outcome in outcomes:
                self.curves.end(outcome.specification)
        return outcomes


def visible_gpus() -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return chosen.split(",") if chosen else [str(number) for number in range(torch.cuda.device_count())]


def _context() -> Any:
    """Workers are forked from a process that has imported all and computed nothing: they start at once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["unmix.run", "unmix.datasets", "unmix.metrics"])
    return context


class _Worker:
    """A place for one attempt at a time: a process and the pipe to it, both replaced when the process dies."""

    def __init__(self, gpu: str | None) -> None:
        self.gpu = gpu
        self.running: Specification | None = None
        self._begin()

    def _begin(self) -> None:
        context = _context()
        self.pipe, theirs = context.Pipe()
        narrowed = {"CUDA_VISIBLE_DEVICES": self.gpu} if self.gpu is not None else {}
        self.process = context.Process(target=_serve, args=(theirs, {**os.environ, **narrowed}))
        self.process.start()
        theirs.close()

    def start(self, specification: Specification, folder: Path, place: Place) -> None:
        self.running = specification
        try:
            self.pipe.send((specification, folder, place))
        except OSError:  # it died while it was idle
            self.end()
            self._begin()
            self.pipe.send((specification, folder, place))

    def outcome(self) -> Outcome:
        specification, self.running = self.running, None
        assert specification is not None
        try:
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            self.end()
            code = self.process.exitcode or 0
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            self._begin()
            return Outcome(specification, "died", f"the worker process ended by {how}")
        return outcome

    def end(self) -> None:
        self.pipe.close()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection, environment: dict[str, str]) -> None:
    """A worker's life. It ends with its driver, lest it trains on beside the driver's next start."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the driver passes on SIGTERM
    heed()
    os.environ.clear()  # it is the server's, as of when that started
    os.environ.update(environment)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        with contextlib.suppress(EOFError):
            while True:
                specification, folder, place = pipe.recv()
                pipe.send(attempt(specification, folder, place, reporter(specification, folder)))
    except Stopped:
        sys.exit(STATUS)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(STATUS)
