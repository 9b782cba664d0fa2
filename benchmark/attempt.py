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
        folder: Of the store.
        threads: Of torch. Another number may move the last digits of a float.
        device: Of the training.
    """

    folder: Path
    threads: int = 1
    device: str = "cpu"


def attempt(specification: Specification, place: Place, report: Callable[[Progress, int], None]) -> Outcome:
    """Run it, from its last checkpoint where there is one. What an error was is kept in runs/KEY/traceback.txt.

    Args:
        specification: The run.
        place: Where it computes.
        report: Hears of each point of the learning curve, with the number of steps.
    """
    import torch

    from unmix.run import run

    store = Store(place.folder)
    torch.set_num_threads(place.threads)
    try:
        run(specification, store, device=place.device, report=report)
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
