"""Many runs on an executor, with live progress and another attempt at what died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from unmix.attempt import Outcome
from unmix.executors import Executor, Listener
from unmix.executors.in_process import InProcess
from unmix.record import Specification, Store


def missing(specifications: Iterable[Specification], store: Store) -> list[Specification]:
    """Those without a record, each once."""
    recorded = store.keys()
    return list({s.key: s for s in specifications if s.key not in recorded}.values())


def execute(
    specifications: Sequence[Specification],
    store: Store,
    listener: Listener,
    executor: Executor | None = None,
    *,
    retries: int = 0,
) -> list[Outcome]:
    """Run all; one that fails, declines or dies does not stop the others.

    Args:
        specifications: What to run.
        store: Where records, checkpoints and codes go.
        listener: Hears of each point of a learning curve and of each end.
        executor: Where they run; in this process where it is None.
        retries: Further attempts at a run that died, each from its last checkpoint.

    Returns:
        One outcome a run, in the order in which they ended.
    """
    attempts: Counter[str] = Counter()
    outcomes: list[Outcome] = []
    with executor or InProcess() as places:
        places.start(specifications, store, listener)
        while len(outcomes) < len(specifications):
            for outcome in places.ended():
                run = outcome.specification
                attempts[run.key] += 1
                if outcome.status == "died" and attempts[run.key] <= retries:
                    listener.again(outcome)
                    places.start([run], store, listener)
                    continue
                if outcome.status == "died" and retries:
                    outcome = replace(outcome, message=f"{outcome.message}; {attempts[run.key]} attempts")
                outcomes.append(outcome)
                listener.ended(outcome)
    return outcomes
