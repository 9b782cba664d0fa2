"""Learning curves of runs in other processes: a file each in the store, which the driver follows.

Files and no queue: a worker that is killed while it writes cannot lock out the others, and they reach over machines.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from unmix.executors import Listener
from unmix.record import Specification, Store

if TYPE_CHECKING:
    from unmix.training import Progress

FOLDER = "progress"


def reporter(specification: Specification, folder: Path) -> Callable[[Progress, int], None]:
    """For a worker: appends each point to the run's file. Where it cannot, the run goes on unseen."""
    path = folder / FOLDER / f"{specification.key}.jsonl"

    def report(point: Progress, steps: int) -> None:
        with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"point": asdict(point), "steps": steps}) + "\n")

    return report


class Curves:
    """For a driver: reads what is new and tells the listener."""

    def __init__(self, store: Store, listener: Listener) -> None:
        self.folder, self.listener = store.folder / FOLDER, listener
        self.folder.mkdir(parents=True, exist_ok=True)
        self.read: dict[str, int] = {}  # bytes of a run's file that the listener has heard
        self.runs: dict[str, Specification] = {}

    def follow(self, specification: Specification) -> None:
        """Forget what an earlier attempt wrote, listen to the next one."""
        self.runs[specification.key], self.read[specification.key] = specification, 0
        self._path(specification.key).unlink(missing_ok=True)

    def forward(self) -> None:
        """Tell of all points that are new."""
        for path in sorted(self.folder.glob("*.jsonl")):
            if path.stem in self.runs:
                self._forward(path)

    def end(self, specification: Specification) -> None:
        """Tell of the last points; the record has the curve, so the file goes."""
        path = self._path(specification.key)
        if path.exists():
            self._forward(path)
        path.unlink(missing_ok=True)
        self.runs.pop(specification.key, None)

    def _forward(self, path: Path) -> None:
        from unmix.training import Progress

        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(self.read[path.stem])
            for line in file:
                if not line.endswith(b"\n"):
                    break  # still being written
                self.read[path.stem] += len(line)
                told = json.loads(line)
                self.listener.progressed(self.runs[path.stem], Progress(**told["point"]), told["steps"])

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.jsonl"
