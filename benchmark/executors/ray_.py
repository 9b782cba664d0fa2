"""Runs on Ray: a cluster that is there, or a local one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unmix.attempt import Outcome, Place, attempt
from unmix.executors import Listener, extra
from unmix.executors.curves import Curves, reporter
from unmix.executors.shared import expect, present
from unmix.record import Specification, Store
from unmix.stopping import STATUS, Stopped, heed

GRACE = 10.0  # seconds that cancelled runs have to end


@dataclass
class OnRay:
    """One Ray task an attempt. The store is on a disk that all nodes share: checkpoints and records go there.

    Ray's own retries are off: a task whose worker or node is lost comes back as "died", and the sweep starts another
    attempt, which Ray places on another node and which goes on from the checkpoint. So retries count alike everywhere.

    Args:
        address: "auto" or host:port of a cluster; "local" starts one here, of cores for `workers` runs.
        workers: Runs at once on a local cluster; on another its free cores and GPUs decide.
        place: Where attempts compute; a run takes its cores.
        gpus: That a run takes; a share of one is possible. None: one with "cuda", else none.

    Raises:
        ValueError: Ray is not installed, or no cluster is at the address.
    """

    address: str = "local"
    workers: int = 1
    place: Place = field(default_factory=Place)
    gpus: float | None = None
    running: dict[Any, Specification] = field(default_factory=dict, init=False, repr=False)
    curves: Curves | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> OnRay:
        # Ray is about to leave CUDA_VISIBLE_DEVICES alone where a task takes no GPU, and warns until one chooses.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        self.ray = extra("ray", "ray")
        cores = self.workers * self.place.cores
        here = {"num_cpus": cores, "include_dashboard": False} if self.address == "local" else {}
        self.ours = not self.ray.is_initialized()
        if self.ours:
            try:
                self.ray.init(self.address, log_to_driver=False, logging_level="ERROR", **here)
            except (ConnectionError, RuntimeError) as error:
                raise ValueError(f"no Ray cluster at {self.address!r}: {error}") from None
        gpus = self.gpus if self.gpus is not None else float(self.place.device.startswith("cuda"))
        self.task = self.ray.remote(_serve).options(num_cpus=self.place.cores, num_gpus=gpus, max_retries=0)
        return self

    def __exit__(self, *_: object) -> None:
        for task in self.running:
            self.ray.cancel(task, force=False)
        if self.running:
            self.ray.wait(list(self.running), num_returns=len(self.running), timeout=GRACE)
        self.running.clear()
        if self.ours:
            self.ray.shutdown()

    def start(self, specifications: Sequence[Specification], store: Store, listener: Listener) -> None:
        self.curves = self.curves or Curves(store, listener)
        for specification in specifications:
            self.curves.follow(specification)
            expect(specification, store)
            self.running[self.task.remote(specification, store.folder.resolve(), self.place)] = specification

    def ended(self) -> list[Outcome]:
        if not self.running or self.curves is None:
            return []
        tasks = list(self.running)
        ready, _ = self.ray.wait(tasks, num_returns=len(tasks), timeout=0.5)
        outcomes = [self._outcome(task) for task in ready]
        self.curves.forward()
        for outcome in outcomes:
            self.curves.end(outcome.specification)
        return outcomes

    def _outcome(self, task: Any) -> Outcome:
        specification = self.running.pop(task)
        try:
            outcome: Outcome = self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            return Outcome(specification, "died", f"{type(error).__name__}: {first}")
        return outcome


def _serve(specification: Specification, folder: Path, place: Place) -> Outcome:
    heed()
    if absent := present(specification, folder):
        return Outcome(specification, "failed", absent)
    try:
        return attempt(specification, folder, place, reporter(specification, folder))
    except Stopped:
        sys.exit(STATUS)  # the worker process ends, as it was told to
