"""Runs in this process, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from unmix.attempt import Outcome, Place, attempt
from unmix.executors import Listener
from unmix.record import Specification, Store


@dataclass
class InProcess:
    """The simplest executor: a process that dies takes the sweep along, and the same command goes on.

    Args:
        place: Where attempts compute.
    """

    place: Place = field(default_factory=Place)
    waiting: deque[tuple[Specification, Store, Listener]] = field(default_factory=deque, init=False, repr=False)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.waiting.clear()

    def start(self, specifications: Sequence[Specification], store: Store, listener: Listener) -> None:
        self.waiting.extend((specification, store, listener) for specification in specifications)

    def ended(self) -> list[Outcome]:
        if not self.waiting:
            return []
        specification, store, listener = self.waiting.popleft()
        heard = partial(listener.progressed, specification)
        return [attempt(specification, store.folder, self.place, heard)]
