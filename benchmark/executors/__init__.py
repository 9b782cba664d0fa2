"""Where runs run: in this process, in local processes, on Ray, on Slurm. One file each; the same records on all."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from unmix.attempt import Outcome
from unmix.record import Specification, Store

if TYPE_CHECKING:
    from unmix.training import Progress


@runtime_checkable
class Listener(Protocol):
    """What follows a sweep, such as progress bars."""

    def progressed(self, specification: Specification, point: Progress, steps: int) -> None: ...

    def again(self, outcome: Outcome) -> None:
        """An attempt died, and another one is on its way."""

    def ended(self, outcome: Outcome) -> None: ...


@runtime_checkable
class Executor(Protocol):
    """Makes attempts at runs, as many at once as it has places.

    It is a context: leaving it ends what is under way, by SIGTERM where it can, which keeps a checkpoint.
    """

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def start(self, specifications: Sequence[Specification], store: Store, listener: Listener) -> None:
        """Take runs on; each is one attempt. They start in this order."""

    def ended(self) -> list[Outcome]:
        """Attempts that have ended since the last call, after waiting for about half a second where there is none."""


def extra(module: str, name: str) -> Any:
    """A module that comes with an extra of unmix.

    Raises:
        ValueError: It is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ValueError(f"{module} is not installed: pip install 'unmix[{name}]'") from None
