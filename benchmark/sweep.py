"""Many runs: in this process or in local worker processes, with live progress."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
import traceback
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from unmix.record import Specification, Store
from unmix.types import DeclinedError

if TYPE_CHECKING:
    from unmix.training import Progress


@dataclass(frozen=True)
class Outcome:
    """How a run ended: recorded ("ok"), "declined" with its reason, or "failed" with its error."""

    specification: Specification
    status: str
    message: str = ""


@runtime_checkable
class Listener(Protocol):
    """What follows a sweep, such as progress bars."""

    def progressed(self, specification: Specification, point: Progress, steps: int) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


def missing(specifications: Iterable[Specification], store: Store) -> list[Specification]:
    """Those without a record, each once."""
    recorded = store.by_key()
    return list({s.key: s for s in specifications if s.key not in recorded}.values())


def execute(
    specifications: Sequence[Specification],
    store: Store,
    listener: Listener,
    *,
    workers: int = 1,
    threads: int = 1,
    device: str = "cpu",
) -> list[Outcome]:
    """Run all; one that fails or declines does not stop the others.

    Args:
        specifications: What to run.
        store: Where records, checkpoints and codes go.
        listener: Hears of each point of a learning curve and of each end.
        workers: Processes; 1 runs in this one.
        threads: Of torch in each run. Another number may move the last digits of a float.
        device: Of the training.
    """
    if workers > 1 and len(specifications) > 1:
        return _in_processes(specifications, store, listener, min(workers, len(specifications)), threads, device)
    outcomes = []
    for specification in specifications:
        outcome = _attempt(
            specification, store.folder, threads, device, lambda s, point, steps: listener.progressed(s, point, steps)
        )
        outcomes.append(outcome)
        listener.ended(outcome)
    return outcomes


def _attempt(specification: Specification, folder: Path, threads: int, device: str, report: Any) -> Outcome:
    import torch

    from unmix.run import run

    torch.set_num_threads(threads)
    try:
        run(specification, Store(folder), device=device, report=lambda p, steps: report(specification, p, steps))
    except DeclinedError as reason:
        return Outcome(specification, "declined", str(reason))
    except Exception as error:
        trace = Store(folder).run_folder(specification) / "traceback.txt"
        trace.write_text(traceback.format_exc(), encoding="utf-8")
        return Outcome(specification, "failed", f"{type(error).__name__}: {error} (traceback: {trace})")
    return Outcome(specification, "ok")


def _in_processes(
    specifications: Sequence[Specification],
    store: Store,
    listener: Listener,
    workers: int,
    threads: int,
    device: str,
) -> list[Outcome]:
    context = multiprocessing.get_context("spawn")
    outcomes: list[Outcome] = []
    points = context.Queue()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_follow, initargs=(points,)) as pool:
        running: dict[Future[Outcome], Specification] = {
            pool.submit(_worker, specification, store.folder, threads, device): specification
            for specification in specifications
        }
        try:
            while running:
                _forward(points, listener)
                for future in [future for future in running if future.done()]:
                    outcomes.append(_result(future, running.pop(future)))
                    listener.ended(outcomes[-1])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return outcomes


def _worker(specification: Specification, folder: Path, threads: int, device: str) -> Outcome:
    return _attempt(specification, folder, threads, device, lambda *point: _points.put(point))


def _forward(points: Any, listener: Listener) -> None:
    deadline = time.monotonic() + 0.5
    while (left := deadline - time.monotonic()) > 0:
        try:
            listener.progressed(*points.get(timeout=left))
        except queue.Empty:
            return


def _result(future: Future[Outcome], specification: Specification) -> Outcome:
    error = future.exception()
    if error is not None:  # the worker died: out of memory, or killed
        return Outcome(specification, "failed", f"the worker process died: {error}")
    return future.result()


_points: Any = None  # of a worker: where its learning curve goes


def _follow(points: Any) -> None:
    """Start of a worker. It ends with its driver, lest it trains on beside the driver's next start."""
    global _points
    _points = points
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
