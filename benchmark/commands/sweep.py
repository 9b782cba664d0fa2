"""unmix sweep: a grid or random search over datasets, methods and seeds, from a file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from unmix.commands import Commands, add_execution, add_store, carry_out, no_more, places
from unmix.commands.reproduce import prepare, samples

if TYPE_CHECKING:
    from unmix.cost import Estimate
    from unmix.plan import Plan
    from unmix.record import Record, Specification, Store

EXAMPLES = """a file:
  datasets: [{name: synthetic, n: {grid: [4, 8]}}]
  methods:
    - {name: contrastive, tau: {log_uniform: [0.1, 10]}, recipe: {steps: 900}}
    - pca
  seeds: 3                            # 0, 1 and 2; or a list
  random: {draws: 20, seed: 0}        # of uniform, log_uniform and choice
docs/sweeps.md explains every key.

examples:
  unmix sweep mine.yaml --dry-run                       what it would run, and for how many hours
  unmix sweep mine.yaml --workers 4 --threads 2
  unmix sweep beta --executor ray --address auto        a preset (`unmix list sweeps`) on a Ray cluster
  unmix sweep beta --executor slurm --partition gpu --time 4:00:00 --device cuda --sbatch account=mine"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "sweep",
        help="a grid, random search and seeds over datasets and methods, from a file",
        description="Say what the runs of a file will cost, then run those that are not recorded. What died is tried "
        "again from its checkpoint. Stopped at any point, the same command goes on.",
        epilog=EXAMPLES,
    )
    parser.add_argument("sweep", metavar="FILE|NAME", help="a .yaml or .json file, or a preset's name")
    parser.add_argument("--dry-run", action="store_true", help="only say what it will cost")
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="FILE:CLASS",
        help="this file may be executed: it is `name: file:CLASS` in the sweep; repeat for more",
    )
    add_execution(parser)
    add_store(parser)
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.board.entries import entries
    from unmix.cost import estimates
    from unmix.method_file import keep
    from unmix.plan import read
    from unmix.record import Store
    from unmix.sweep import missing

    store = Store(known.store)
    files = {named["name"]: named for named in (keep(word, store) for word in known.method)}
    plan = read(known.sweep, files, store)
    todo = missing(plan.specifications, store)
    ours = (entry.record for entry in entries() if entry.submission is None)
    costs = estimates(todo, [*_of_kinds(store, todo), *ours], known.device)
    # Long runs first: the last one to start must not be the longest.
    todo.sort(key=lambda run: (costs[run.key].seconds if run.key in costs else 0.0, samples(run)), reverse=True)
    workers = places(known) if known.executor == "processes" else known.workers
    _show(plan, todo, costs, workers, Console() if known.dry_run else console)
    if known.dry_run or not todo:
        return 0
    prepare(todo, console, places(known), known.device)
    outcomes = carry_out(known, todo, plan.labels, store, console)
    recorded = sum(outcome.status == "ok" for outcome in outcomes)
    console.print(f"{recorded} runs recorded in {store.folder}", markup=False, highlight=False, soft_wrap=True)
    return 1 if any(outcome.status in ("failed", "died") for outcome in outcomes) else 0


def _of_kinds(store: Store, runs: Iterable[Specification]) -> list[Record]:
    kinds = {(run.dataset["name"], run.method["name"]) for run in runs}
    named = ((record, record.specification) for record in (store if kinds else ()))
    return [record for record, each in named if (each.dataset["name"], each.method["name"]) in kinds]


def _show(
    plan: Plan, todo: Sequence[Specification], costs: Mapping[str, Estimate], workers: int | None, console: Console
) -> None:
    """What will run and for how long, a line a dataset and method; and what is left out, with the reason."""
    left = {run.key for run in todo}
    kinds: dict[tuple[str, str], list[Specification]] = {}
    for run in plan.specifications:
        kinds.setdefault((run.dataset["name"], run.method["name"]), []).append(run)
    table = Table("dataset", "method", "runs", "recorded", "to do", "training", "estimated from", box=None)
    for (dataset, method), runs in kinds.items():
        new = [run for run in runs if run.key in left]
        table.add_row(dataset, method, str(len(runs)), str(len(runs) - len(new)), str(len(new)), *_training(new, costs))
    console.print(f"{plan.name}: {plan.about}" if plan.about else plan.name, markup=False, highlight=False)
    console.print(table)
    for label, reason in plan.declined.items():
        console.print(f"declined  {label}: {reason}", markup=False, highlight=False, soft_wrap=True)
    done = len(plan.specifications) - len(todo)
    console.print(
        f"{len(plan.specifications)} runs: {done} recorded, {len(todo)} to do; {_total(todo, costs, workers)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _training(runs: Sequence[Specification], costs: Mapping[str, Estimate]) -> tuple[str, str]:
    if not runs:
        return "", ""
    known = [costs[run.key] for run in runs if run.key in costs]
    if not known:
        return "unknown", "no record of this kind on such a device"
    text = _time(sum(cost.seconds for cost in known))
    unknown = f" + {len(runs) - len(known)} unknown" if len(known) < len(runs) else ""
    count = max(cost.records for cost in known)
    scaled = "steps" if all(cost.exact for cost in known) else "steps and batch"
    return text + unknown, f"median of {count} record{'s' if count > 1 else ''}, scaled by {scaled}"


def _total(todo: Sequence[Specification], costs: Mapping[str, Estimate], workers: int | None) -> str:
    seconds = [costs[run.key].seconds for run in todo if run.key in costs]
    if not todo:
        return "nothing is left"
    if not seconds:
        return "how long is unknown"
    text = f"about {_time(sum(seconds))} of training"
    if workers:
        text += f", {_time(max(sum(seconds) / workers, max(seconds)))} with {workers} at once"
    if len(seconds) < len(todo):
        text += f", without {len(todo) - len(seconds)} runs whose time is unknown"
    return text + "; evaluation comes on top"


def _time(seconds: float) -> str:
    """For people: two digits that matter are enough for an estimate.

    >>> _time(0.0), _time(80), _time(5400), _time(360000)
    ('0 s', '80 s', '90 min', '100 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.{1 if seconds < 36000 else 0}f} h"
