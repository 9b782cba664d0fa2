"""Runs on a Slurm cluster, through submitit."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unmix.attempt import Outcome, Place, attempt
from unmix.executors import Listener, extra
from unmix.executors.curves import Curves, reporter
from unmix.executors.shared import expect, present
from unmix.record import Specification, Store
from unmix.stopping import STATUS, Stopped, heed

ARRAY = 1000  # jobs of an array; Slurm's own limit is 1001 by default
TIMEOUTS = 100  # times that a run may reach its time limit, since each time it goes on from its checkpoint
NOTICE = 120  # seconds before the time limit at which Slurm warns


@dataclass
class OnSlurm:
    """One job an attempt, in arrays. The store is on the cluster's shared disk; logs are in its folder `slurm`.

    A job that reaches its time limit is put back into the queue and goes on from its checkpoint. SIGTERM, as scancel
    and preemption send it, lets it save its state first.

    Args:
        workers: Jobs at once.
        minutes: Time limit of a job.
        place: Where attempts compute; a job takes its cores.
        gpus: Of a job. None: one with "cuda", else none.
        parameters: Further options of sbatch: {"partition": ..., "account": ..., "mem": "16G"}.
        cluster: Of submitit; "local" runs jobs here, to try it.

    Raises:
        ValueError: submitit or Slurm is not here.
    """

    workers: int = 256
    minutes: int = 240
    place: Place = field(default_factory=Place)
    gpus: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    cluster: Literal["slurm", "local"] = "slurm"
    waiting: deque[Specification] = field(default_factory=deque, init=False, repr=False)
    jobs: dict[str, tuple[Specification, Any]] = field(default_factory=dict, init=False, repr=False)
    curves: Curves | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> OnSlurm:
        self.submitit = extra("submitit", "slurm")
        return self

    def __exit__(self, *_: object) -> None:
        self.waiting.clear()
        for _specification, job in self.jobs.values():
            job.cancel(check=False)
        self.jobs.clear()

    def start(self, specifications: Sequence[Specification], store: Store, listener: Listener) -> None:
        self.curves = self.curves or Curves(store, listener)
        self.store = store
        self.submitter = self._submitter(store)
        for specification in specifications:
            self.curves.follow(specification)
            expect(specification, store)
        self.waiting.extend(specifications)

    def ended(self) -> list[Outcome]:
        if not self.jobs and self.waiting:
            array = [self.waiting.popleft() for _ in range(min(ARRAY, len(self.waiting)))]
            job = _Job(self.store.folder.resolve(), self.place)
            started = zip(array, self.submitter.map_array(job, array), strict=True)
            self.jobs = {specification.key: (specification, each) for specification, each in started}
        done = [key for key, (_, job) in self.jobs.items() if job.done()]
        if not done:
            time.sleep(0.5)
        outcomes = [self._outcome(*self.jobs.pop(key)) for key in done]
        if self.curves is not None:
            self.curves.forward()
            for outcome in outcomes:
                self.curves.end(outcome.specification)
        return outcomes

    def _submitter(self, store: Store) -> Any:
        try:
            submitter = self.submitit.AutoExecutor(
                store.folder.resolve() / "slurm", cluster=self.cluster, slurm_max_num_timeout=TIMEOUTS
            )
        except RuntimeError as error:
            raise ValueError(f"{error} Run it where sbatch and srun are, or leave out --executor slurm.") from None
        submitter.update_parameters(
            name="unmix",
            timeout_min=self.minutes,
            cpus_per_task=self.place.cores,
            gpus_per_node=self.gpus if self.gpus is not None else int(self.place.device.startswith("cuda")),
            slurm_array_parallelism=self.workers,
            slurm_signal_delay_s=NOTICE,
            slurm_additional_parameters=dict(self.parameters),
        )
        return submitter

    def _outcome(self, specification: Specification, job: Any) -> Outcome:
        try:
            outcome: Outcome = job.result()
        except (self.submitit.core.utils.UncompletedJobError, self.submitit.core.utils.FailedJobError) as error:
            first = str(error).strip().splitlines()[0]
            return Outcome(specification, "died", f"job {job.job_id}: {first} (log: {job.paths.stderr})")
        return outcome


@dataclass(frozen=True)
class _Job:
    """What submitit pickles and a job calls; at a time limit `checkpoint` says what the next job calls."""

    folder: Path
    place: Place

    def __call__(self, specification: Specification) -> Outcome:
        heed()
        if absent := present(specification, self.folder):
            return Outcome(specification, "failed", absent)
        try:
            return attempt(specification, self.folder, self.place, reporter(specification, self.folder))
        except Stopped:
            sys.exit(STATUS)

    def checkpoint(self, specification: Specification) -> Any:
        return extra("submitit", "slurm").helpers.DelayedSubmission(self, specification)
