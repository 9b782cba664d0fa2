"""What a person sees while runs are under way."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from unmix.attempt import Outcome
from unmix.record import Specification

if TYPE_CHECKING:
    from unmix.training import Progress as Point


class Bars:
    """A bar for the whole sweep and one for each run under way, with its current score; plain lines in a log."""

    def __init__(self, total: int, labels: Mapping[str, str], console: Console) -> None:
        self.labels = labels
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}"),
            console=console,
        )
        self.overall = self.bars.add_task("all runs", total=total, score="")
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def progressed(self, specification: Specification, point: Point, steps: int) -> None:
        key = specification.key
        if key not in self.tasks:
            self.tasks[key] = self.bars.add_task(self.labels.get(key, key), total=steps, score="")
        scores = "  ".join(f"{name} {value:.4f}" for name, value in point.scores.items())
        self.bars.update(self.tasks[key], completed=point.step, score=f"loss {point.loss:.3f}  {scores}")

    def again(self, outcome: Outcome) -> None:
        self._print(outcome, f"{outcome.message}; another attempt goes on from its checkpoint")

    def ended(self, outcome: Outcome) -> None:
        self.bars.advance(self.overall)
        self._print(outcome, outcome.message)

    def _print(self, outcome: Outcome, message: str) -> None:
        key = outcome.specification.key
        if key in self.tasks:
            self.bars.remove_task(self.tasks.pop(key))
        done, label = outcome.status == "ok", self.labels.get(key, key)
        # Labels and messages are text from elsewhere: brackets in them are no markup.
        word = ("done", "green") if done else (outcome.status, "yellow")
        self.console.print(Text.assemble(word, f"{'':{10 - len(word[0])}}{label}{f': {message}' if message else ''}"))
