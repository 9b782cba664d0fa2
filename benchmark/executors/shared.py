"""Whether other machines see the store: records and checkpoints of their runs go there."""

from __future__ import annotations

import socket
from pathlib import Path

from unmix.record import Specification, Store


def expect(specification: Specification, store: Store) -> None:
    """For a driver: make the run's folder, by which a worker knows the store."""
    store.run_folder(specification).mkdir(parents=True, exist_ok=True)


def present(specification: Specification, folder: Path) -> str:
    """For a worker: "", or a sentence where this machine does not see the store, before a record is lost on it."""
    if Store(folder).run_folder(specification).is_dir():
        return ""
    return f"{socket.gethostname()} does not see the store {folder}: --store must be on a disk that all nodes share"
