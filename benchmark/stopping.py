"""SIGTERM with a grace period, as Slurm sends it: a training saves its state at the end of its step, then all ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

STATUS = 75  # EX_TEMPFAIL of sysexits.h: not done, and the same command goes on


class Stopped(BaseException):
    """The process was asked to end; the same command goes on from the last checkpoint."""


_asked = threading.Event()
_trainings = 0


def heed() -> None:
    """From now on SIGTERM stops this process with `Stopped`. In a thread that may not set it nothing changes."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _ask)


def asked() -> bool:
    """Whether SIGTERM has come."""
    return _asked.is_set()


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Within it SIGTERM only makes `asked` true, so that a training can save its state first.

    Raises:
        Stopped: At the end, where SIGTERM came meanwhile.
    """
    global _trainings
    _trainings += 1
    try:
        yield
    finally:
        _trainings -= 1
    if _asked.is_set():
        raise Stopped


def _ask(signal_number: int, frame: Any) -> None:
    _asked.set()
    if not _trainings:
        raise Stopped
