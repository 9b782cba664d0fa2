"""One attempt at a run, and how it ended."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unmix.record import Specification, Store
from unmix.types import DeclinedError

if TYPE_CHECKING:
    from unmix.training import Progress


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Args:
        specification: Of the run.
        status: "ok": recorded; "declined": it has no meaning; "failed": by an error of its own, which it would make
            again; "died": by the machine (process killed, node lost, no memory, disk), so that another attempt may do.
        message: The reason or the error, and where its traceback is.
    """

    specification: Specification
    status: Literal["ok", "declined", "failed", "died"]
    message: str = ""


@dataclass(frozen=True)
class Place:
    """Where an attempt computes; nothing here is part of a run's identity.

    Args:
        threads: Of torch. Another number may move the last digits of a float, as may chunk, compile and ranks.
        device: Of the training.
        chunk: Observations that a method on pairs encodes at a time; 0: the whole batch.
        compile: Backend of torch.compile, such as "inductor"; "": none.
        ranks: Processes that share out the encoding of each batch, see `unmix.distributed`.
        tensorboard: Whether learning curves are written as TensorBoard files into the run's folder.
    """

    threads: int = 1
    device: str = "cpu"
    chunk: int = 0
    compile: str = ""
    ranks: int = 1
    tensorboard: bool = False

    @property
    def cores(self) -> int:
        """That an attempt uses."""
        return self.threads * self.ranks


def attempt(
    specification: Specification, folder: Path, place: Place, report: Callable[[Progress, int], None]
) -> Outcome:
    """Run it, from its last checkpoint where there is one. What an error was is kept in runs/KEY/traceback.txt.

    Args:
        specification: The run.
        folder: Of the store.
        place: Where it computes.
        report: Hears of each point of the learning curve, with the number of steps.
    """
    import torch

    from unmix.run import run

    store = Store(folder)
    torch.set_num_threads(place.threads)
    try:
        run(specification, store, place, report=report)
    except DeclinedError as reason:
        return Outcome(specification, "declined", str(reason))
    except (OSError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError) as error:
        return _kept(specification, store, "died", error)
    except Exception as error:
        return _kept(specification, store, "failed", error)
    return Outcome(specification, "ok")


def _kept(specification: Specification, store: Store, status: Literal["failed", "died"], error: Exception) -> Outcome:
    message = f"{type(error).__name__}: {error}"
    trace = store.run_folder(specification) / "traceback.txt"
    try:
        trace.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError as reason:  # a full disk may be what it died of
        return Outcome(specification, status, f"{message} (no traceback was kept: {reason})")
    return Outcome(specification, status, f"{message} (traceback: {trace})")
