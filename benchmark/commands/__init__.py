"""The commands of `unmix`, one file each: `add` puts the command's parser beside the others'."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from unmix.attempt import Outcome
    from unmix.executors import Executor
    from unmix.record import Specification, Store

Commands = Any  # argparse's sub-parsers action, whose type is private
STORE = Path(".unmix")


def add_store(parser: argparse.ArgumentParser) -> None:
    """The flag that says where records are."""
    parser.add_argument("--store", type=Path, default=STORE, help=f"folder of the records (default: {STORE})")


def add_execution(parser: argparse.ArgumentParser) -> None:
    """The flags that say where runs run; none of them is part of a run's identity."""
    group = parser.add_argument_group("execution")
    group.add_argument(
        "--executor",
        choices=["processes", "ray", "slurm"],
        default="processes",
        help="where runs run: local processes, a Ray cluster, Slurm jobs (default: processes)",
    )
    group.add_argument(
        "--workers", type=positive, default=None, help="runs at once; 1 runs in this process (default: what fits)"
    )
    group.add_argument("--threads", type=positive, default=1, help="of torch in each run (default: 1)")
    group.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1; workers share cuda's GPUs (default: cpu)")
    group.add_argument("--chunk", type=natural, default=0, help="observations encoded at a time (default: the batch)")
    group.add_argument("--compile", nargs="?", const="inductor", default="", help="torch.compile, and its backend")
    group.add_argument("--ranks", type=positive, default=1, help="processes that share each batch (default: 1)")
    group.add_argument("--tensorboard", action="store_true", help="learning curves in STORE/runs/KEY/tensorboard")
    group.add_argument("--retries", type=natural, default=2, help="further attempts at a run that died (default: 2)")
    group.add_argument("--gpus", type=float, default=None, help="ray, slurm: of a run (default: 1 with cuda, else 0)")
    group.add_argument("--address", default="local", help="ray: auto or host:port of a cluster (default: a local one)")
    group.add_argument("--partition", default=None, help="slurm: where jobs are sent")
    group.add_argument(
        "--time", type=minutes, default=240, help="slurm: limit of a job, as for sbatch (default: 4 h)"
    )
    group.add_argument("--sbatch", nargs="+", default=[], metavar="KEY=VALUE", help="slurm: account=..., mem=16G, ...")


def executor(known: argparse.Namespace, runs: int) -> Executor:
    """The executor that the flags of `add_execution` describe, for so many runs.

    Raises:
        ValueError: A flag has no meaning on it.
    """
    from unmix.attempt import Place

    place = Place(known.threads, known.device, known.chunk, known.compile, known.ranks, known.tensorboard)
    if known.executor == "slurm":
        from unmix.executors.slurm import OnSlurm

        parameters = dict(_pair(word) for word in known.sbatch)
        parameters |= {"partition": known.partition} if known.partition else {}
        if known.gpus is not None and not known.gpus.is_integer():
            raise ValueError(f"--gpus {known.gpus:g}: Slurm gives whole GPUs")
        gpus = None if known.gpus is None else int(known.gpus)
        return OnSlurm(known.workers or 256, known.time, place, gpus, parameters)
    workers = places(known)
    if known.executor == "ray":
        from unmix.executors.ray_ import OnRay

        return OnRay(known.address, workers, place, known.gpus)
    if min(workers, runs) > 1:
        from unmix.executors.processes import Processes

        return Processes(workers, place)
    from unmix.executors.in_process import InProcess

    return InProcess(place)


def places(known: argparse.Namespace) -> int:
    """Runs at once on this machine: what was asked for, else one a GPU with cuda, else as many as have cores."""
    if known.workers is not None:
        return int(known.workers)
    if known.device != "cuda":
        return max(1, (os.cpu_count() or 1) // int(known.threads * known.ranks))
    from unmix.executors.processes import visible_gpus

    return max(1, len(visible_gpus()))


def carry_out(
    known: argparse.Namespace,
    todo: Sequence[Specification],
    labels: Mapping[str, str],
    store: Store,
    console: Console,
) -> list[Outcome]:
    """Run with progress bars where the flags say; names at the end what was given up."""
    from unmix.progress import Bars
    from unmix.sweep import execute

    where = executor(known, len(todo))
    with Bars(len(todo), labels, console) as bars:
        outcomes = execute(todo, store, bars, where, retries=known.retries)
    lost = [outcome for outcome in outcomes if outcome.status in ("failed", "died")]
    if len(outcomes) > 1 and lost:
        console.print(f"{len(lost)} of {len(outcomes)} runs gave no record:")
        for outcome in lost:
            key = outcome.specification.key
            console.print(f"  {labels.get(key, key)}: {outcome.message}", markup=False, highlight=False, soft_wrap=True)
    return outcomes


def positive(text: str) -> int:
    """An argument type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def natural(text: str) -> int:
    """An argument type: a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is less than 0")
    return value


def minutes(text: str) -> int:
    """An argument type: a time as sbatch has it, in minutes, rounded up.

    >>> minutes("90"), minutes("1:30:00"), minutes("2-0"), minutes("1:30")
    (90, 90, 2880, 2)
    """
    found = re.fullmatch(r"(?:(\d+)-(\d+)(?::(\d+))?(?::(\d+))?)|(?:(\d+):)?(\d+):(\d+)|(\d+)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is none of MINUTES, M:S, H:M:S, D-H, D-H:M, D-H:M:S")
    days, hours, minute, second, hour, m, s, plain = (int(part or 0) for part in found.groups())
    seconds = 86400 * days + 3600 * (hours + hour) + 60 * (minute + m + plain) + second + s
    if seconds == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time")
    return -(-seconds // 60)


def no_more(rest: list[str]) -> None:
    """Refuse words that no flag took."""
    if rest:
        raise ValueError(f"unknown words: {' '.join(rest)} (`--help` lists the flags)")


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not (key and equals and value):
        raise ValueError(f"--sbatch {word}: KEY=VALUE is needed, such as account=mine")
    return key.removeprefix("--"), value
