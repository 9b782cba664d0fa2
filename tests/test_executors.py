"""Executors: the same records everywhere, bit for bit; a worker that dies takes nobody along and goes on."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmix.attempt import Outcome, Place
from unmix.commands import add_execution, executor
from unmix.evaluation import Evaluation
from unmix.executors import Executor
from unmix.executors.curves import Curves
from unmix.executors.in_process import InProcess
from unmix.executors.processes import Processes, _Worker
from unmix.executors.ray_ import OnRay
from unmix.executors.shared import expect, present
from unmix.executors.slurm import OnSlurm, _Job
from unmix.method_file import keep
from unmix.record import Record, Specification, Store
from unmix.run import specify
from unmix.sweep import execute
from unmix.training import Progress

DATASET = {"name": "synthetic", "n": 3, "pool": 100}
EVALUATION = Evaluation(samples=200, metrics=("r2", "mcc"))
STEPS = 6
Results = dict[str, tuple[Record, bytes, bytes, bytes]]


class Quiet:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.outcomes: list[Outcome] = []
        self.died: list[Outcome] = []

    def progressed(self, specification: Specification, point: Progress, steps: int) -> None:
        self.steps.append((specification.seed, point.step))

    def again(self, outcome: Outcome) -> None:
        self.died.append(outcome)

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def supervised(seed: int) -> Specification:
    method = {"name": "supervised", "recipe": {"steps": STEPS, "batch": 32, "warmup": 1}}
    return specify(DATASET, method, seed, EVALUATION)


def timeless(record: Record) -> Record:
    """Without what may differ between two runs of one specification on two machines."""
    curve = [{**point, "seconds": 0.0} for point in record.curve]
    return dataclasses.replace(record, seconds=0.0, finished="", hardware={}, commit="", curve=curve)


def results(store: Store) -> Results:
    """Key -> record, weights, codes and factors, to compare bit for bit."""
    found = {}
    for key, record in store.by_key().items():
        folder = store.run_folder(record.specification)
        with np.load(folder / "codes.npz", allow_pickle=False) as saved:
            arrays = saved["codes"].tobytes(), saved["factors"].tobytes()
        found[key] = (timeless(record), (folder / "encoder.safetensors").read_bytes(), *arrays)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Results:
    store = Store(tmp_path_factory.mktemp("alone"))
    execute([supervised(seed) for seed in range(2)], store, Quiet())
    return results(store)


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(Processes(workers=2), id="processes"),
        pytest.param(OnRay(workers=1), id="ray"),
        pytest.param(OnSlurm(cluster="local"), id="slurm"),
    ],
)
def test_the_same_sweep_gives_the_same_records_everywhere(where: Executor, tmp_path: Path, alone: Results) -> None:
    store, listener = Store(tmp_path), Quiet()
    seeds = range(1 if isinstance(where, OnSlurm) else 2)  # a job here is a whole start of Python and torch
    outcomes = execute([supervised(seed) for seed in seeds], store, listener, where)
    assert [outcome.status for outcome in outcomes] == ["ok"] * len(seeds), outcomes
    assert results(store) == {key: alone[key] for key in (supervised(seed).key for seed in seeds)}
    assert sorted(listener.steps) == [(seed, step) for seed in seeds for step in range(1, STEPS + 1)]
    assert not list(tmp_path.glob("progress/*"))


MORTAL = """
import os, signal
from dataclasses import dataclass, field
from pathlib import Path
import torch
from unmix.training import Recipe

@dataclass(frozen=True)
class Mortal:
    file: str = ""   # while it is there, step 4 ends the process after a checkpoint was saved
    how: str = "exit"
    recipe: Recipe = field(default_factory=lambda: Recipe(steps=6, batch=8))

    def fit(self, dataset, generator, trainer):
        trainer.every = 0.0
        encoder = torch.nn.Linear(dataset.shape[0], len(dataset.factors), bias=False)
        torch.nn.init.eye_(encoder.weight)
        steps = []

        def loss(batch):
            observations, factors = dataset.sample(batch, generator)
            steps.append(trainer.steps)
            if trainer.steps == 4 and self.file and Path(self.file).exists():
                Path(self.file).unlink()
                if self.how == "exit":
                    os._exit(7)
                os.kill(os.getpid(), signal.SIGTERM)
            return (encoder(observations) - factors).square().mean()

        trainer.minimise(encoder, loss, self.recipe, generator)
        Path(self.file).with_suffix(".steps").write_text(" ".join(map(str, steps)))
        return encoder
"""


def mortal(store: Store, folder: Path, how: str = "exit") -> Specification:
    (folder / "mortal.py").write_text(MORTAL, encoding="utf-8")
    (folder / "alive").write_text("", encoding="utf-8")
    named = keep(str(folder / "mortal.py"), store)
    return specify(DATASET, {**named, "file": str(folder / "alive"), "how": how}, 0, EVALUATION, store)


@pytest.mark.parametrize("how", ["exit", "term"])
def test_a_worker_that_dies_is_replaced_and_its_run_goes_on_from_the_checkpoint(how: str, tmp_path: Path) -> None:
    store, listener = Store(tmp_path / "store"), Quiet()
    dying = mortal(store, tmp_path, how)
    outcomes = execute([dying, supervised(0), supervised(1)], store, listener, Processes(workers=2), retries=1)
    assert [outcome.status for outcome in outcomes] == ["ok"] * 3, outcomes
    assert [outcome.message for outcome in listener.died] == [
        f"the worker process ended by exit status {7 if how == 'exit' else 75}"
    ]
    steps = (tmp_path / "alive.steps").read_text(encoding="utf-8").split()
    assert steps == (["4", "5"] if how == "exit" else ["5"])  # SIGTERM waits for the end of step 4
    assert len(store.keys()) == 3


def test_a_run_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    store, listener = Store(tmp_path / "store"), Quiet()
    killer = MORTAL.replace("if trainer.steps == 4 and", "if os._exit(7) and")
    (tmp_path / "killer.py").write_text(killer, encoding="utf-8")
    run = specify(DATASET, {**keep(str(tmp_path / "killer.py"), store), "file": "x"}, 0, EVALUATION, store)
    outcomes = execute([run, supervised(0)], store, listener, Processes(workers=1), retries=1)
    assert [outcome.status for outcome in outcomes] == ["ok", "died"]
    assert outcomes[1].message == "the worker process ended by exit status 7; 2 attempts"
    assert len(listener.died) == 1
    assert store.keys() == {supervised(0).key}


def test_what_the_machine_did_is_tried_again_and_its_traceback_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk may have room again; an error of the run itself would only come again."""
    store, listener, left = Store(tmp_path), Quiet(), [OSError(28, "No space left on device"), ValueError("wrong")]

    def compute(*_: Any, **__: Any) -> None:
        raise left[0]

    monkeypatch.setattr("unmix.run._compute", compute)
    (outcome,) = execute([supervised(0)], store, listener, retries=2)
    trace = store.run_folder(supervised(0)) / "traceback.txt"
    assert outcome.status == "died"
    assert outcome.message == f"OSError: [Errno 28] No space left on device (traceback: {trace}); 3 attempts"
    assert "in compute" in trace.read_text(encoding="utf-8")
    del left[0]
    (outcome,) = execute([supervised(0)], store, listener, retries=2)
    assert (outcome.status, outcome.message) == ("failed", f"ValueError: wrong (traceback: {trace})")
    assert len(listener.died) == 2


def test_workers_take_turns_at_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    started: list[str | None] = []
    monkeypatch.setattr("unmix.executors.processes._Worker", Started.into(started))
    runs = [supervised(seed) for seed in range(4)]
    Processes(workers=3, place=Place(device="cuda")).start(runs, Store(tmp_path), Quiet())
    assert started == ["3", "5", "3"]


class Started:
    """In place of a worker: remembers its GPU."""

    running = None

    @classmethod
    def into(cls, started: list[str | None]) -> Callable[[str | None], Started]:
        return lambda gpu: (started.append(gpu), cls())[1]


LOOKING = MORTAL.replace("steps = []", "steps = [os.environ['CUDA_VISIBLE_DEVICES'], torch.get_num_threads()]")


def test_a_worker_sees_its_gpu_and_has_its_threads(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "looking.py").write_text(LOOKING, encoding="utf-8")
    named = keep(str(tmp_path / "looking.py"), store)
    run = specify(DATASET, {**named, "file": str(tmp_path / "x")}, 0, EVALUATION, store)
    Curves(store, Quiet())
    worker = _Worker("5")
    worker.start(run, store.folder, Place(threads=2))
    assert worker.outcome().status == "ok"
    worker.end()
    assert (tmp_path / "x.steps").read_text(encoding="utf-8").split()[:2] == ["5", "2"]


def test_a_node_that_does_not_see_the_store_says_so(tmp_path: Path) -> None:
    assert "does not see the store" in present(supervised(0), tmp_path)
    expect(supervised(0), Store(tmp_path))
    assert present(supervised(0), tmp_path) == ""


@pytest.mark.parametrize(("module", "where"), [("ray", OnRay()), ("submitit", OnSlurm())])
def test_a_missing_extra_is_named(module: str, where: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"{module} is not installed: pip install 'unmix\[(ray|slurm)\]'"), where:
        pass


def test_slurm_is_asked_for_what_the_flags_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """submitit's own class writes the file for sbatch; only the search for srun is left out."""
    from submitit.slurm.slurm import SlurmExecutor

    monkeypatch.setattr(SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    words = ["x", "--executor", "slurm", "--partition", "gpu", "--time", "1-2:30", "--device", "cuda", "--threads", "3"]
    where = executor(flags(*words[1:], "--workers", "7", "--sbatch", "account=mine", "mem=16G"), 10)
    assert isinstance(where, OnSlurm)
    with where:
        text = where._submitter(Store(tmp_path))._executor._make_submission_file_text("python", "1")
    lines = {line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")}
    assert {"partition=gpu", "time=1590", "cpus-per-task=3", "account=mine", "mem=16G"} <= lines
    assert {"gpus-per-node=1", "signal=USR2@120", "open-mode=append"} <= lines


def test_without_slurm_the_command_says_where_to_go(tmp_path: Path) -> None:
    with OnSlurm() as where, pytest.raises(ValueError, match="sbatch and srun"):
        where.start([supervised(0)], Store(tmp_path), Quiet())


def test_a_timed_out_job_goes_on_as_the_same_job() -> None:
    job = _Job(Path("store"), Place())
    again = job.checkpoint(supervised(0))
    assert (again.function, again.args) == (job, (supervised(0),))


@pytest.mark.parametrize(
    ("words", "kind"),
    [(["--workers", "1"], InProcess), (["--workers", "2"], Processes), (["--executor", "ray"], OnRay)],
)
def test_flags_choose_the_executor(words: list[str], kind: type) -> None:
    assert isinstance(executor(flags(*words), 2), kind)


def flags(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_execution(parser)
    return parser.parse_args(words)
