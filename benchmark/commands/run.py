"""unmix run: one dataset, one method, some seeds."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from unmix.commands import Commands, add_execution, add_store, carry_out, no_more

if TYPE_CHECKING:
    from unmix.record import Specification, Store

EXAMPLES = """examples:
  unmix run synthetic contrastive
  unmix run synthetic contrastive --space sphere --conditional "vmf(kappa=10)" --model-space sphere --similarity vmf
  unmix run synthetic supervised --steps 500 --seeds 0 1 2
  unmix run synthetic contrastive --help       the flags of this dataset and this method
  unmix run synthetic --method mine.py:Mine    a method in a file, which needs no registration"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="train and score a method on a dataset",
        description="Train a method on a dataset, score its codes and record the run. What is recorded is shown, "
        "not computed again. The flags are the fields of the dataset, the method and the evaluation.",
        epilog=EXAMPLES,
        add_help=False,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="DATASET METHOD",
        help="registered names (`unmix list datasets`, `unmix list methods`); METHOD+ica adds linear ICA",
    )
    parser.add_argument(
        "--method", metavar="FILE:CLASS", help="in place of METHOD: the class in this file, which is executed"
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this, with the flags of what is named")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each (default: 0)")
    add_execution(parser)
    add_store(parser)
    parser.set_defaults(handler=handle, parser=parser)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    if len(words := [*known.words, *([known.method] if known.method else [])]) < 2:
        known.parser.print_help()
        return 0 if known.help else 2
    if len(words) > 2:
        raise ValueError(f"one dataset and one method, not {len(words)} names: {' '.join(words)} (flags come last)")
    from unmix.method_file import is_file, keep
    from unmix.record import Store
    from unmix.sweep import missing

    dataset, method = words
    store = Store(known.store)
    named = keep(method, store) if is_file(method.removesuffix("+ica")) else {"name": method}
    kinds = _add_fields(known.parser, dataset, named, store)
    if known.help:
        known.parser.print_help()
        return 0
    flags, rest = known.parser.parse_known_args([dataset, method, *rest])
    no_more(rest)
    specifications = [_specified(flags, dataset, named, kinds, seed, store) for seed in known.seeds]
    todo = missing(specifications, store)
    labels = {s.key: f"{dataset} {method} seed {s.seed}" for s in specifications}
    outcomes = carry_out(known, todo, labels, store, console)
    _show(specifications, store)
    return 1 if any(outcome.status != "ok" for outcome in outcomes) else 0


def command(specification: Specification, device: str = "cpu") -> str:
    """The words that run a specification, without the flags that have their default.

    Raises:
        ValueError: This version of `unmix` has no words for it: a default or a field is another one, or the method is
            in a file, which would have to be executed to know its flags.
    """
    from unmix.flags import words
    from unmix.method_file import PREFIX

    commands = argparse.ArgumentParser().add_subparsers()
    add(commands)
    parser: argparse.ArgumentParser = commands.choices["run"]
    parser.exit_on_error = False
    dataset, method = specification.dataset["name"], {"name": specification.method["name"]}
    if method["name"].startswith(PREFIX):
        name = method["name"].removeprefix(PREFIX)
        raise ValueError(f"the method is in a file: `unmix run {dataset} --method FILE:{name} --help` has its flags")
    line = [dataset, method["name"]]
    kinds = _add_fields(parser, dataset, method)
    for role, kind in kinds.items():
        line += words(parser, role, kind, getattr(specification, role))
    line += ["--seeds", str(specification.seed)] if specification.seed else []
    line += ["--device", device] if device != "cpu" else []
    try:
        flags = parser.parse_args(line)
        same = _specified(flags, dataset, method, kinds, specification.seed).key == specification.key
    except (ValueError, argparse.ArgumentError):
        same = False
    if not same:
        raise ValueError("this version of unmix has no command for the run: a default or a field is another one")
    return shlex.join(["unmix", "run", *line])


def _add_fields(
    parser: argparse.ArgumentParser, dataset: str, method: Mapping[str, str], store: Store | None = None
) -> dict[str, Any]:
    """Add the flags of what is named; returns the dataclass behind each role."""
    from unmix.evaluation import Evaluation
    from unmix.flags import add_flags
    from unmix.registry import DATASETS
    from unmix.run import method_kind

    kinds = {"dataset": DATASETS[dataset], "method": method_kind(method, store), "evaluation": Evaluation}
    for role, name in (("dataset", dataset), ("method", method["name"]), ("evaluation", "")):
        add_flags(parser, role, name, kinds[role])
    return kinds


def _specified(
    flags: argparse.Namespace,
    dataset: str,
    method: Mapping[str, str],
    kinds: Mapping[str, Any],
    seed: int,
    store: Store | None = None,
) -> Specification:
    from unmix.flags import given
    from unmix.run import build, specify

    chosen = {role: given(flags, role, kind) for role, kind in kinds.items()}
    evaluation = build(kinds["evaluation"], chosen["evaluation"], "evaluation")
    return specify({"name": dataset, **chosen["dataset"]}, {**method, **chosen["method"]}, seed, evaluation, store)


def _show(specifications: Sequence[Specification], store: Store) -> None:
    """Scores of what is recorded: a line a metric, a column a seed, and where the run's files are."""
    records = [record for key, record in store.by_key().items() if key in {s.key for s in specifications}]
    if not records:
        return
    records.sort(key=lambda record: record.specification.seed)
    table = Table("metric", *(f"seed {record.specification.seed}" for record in records), box=None)
    for metric in records[0].scores:
        table.add_row(metric, *(f"{record.scores[metric]['value']:.4f}" for record in records))
    table.add_row("training seconds", *(f"{record.seconds:.0f}" for record in records))
    out = Console()
    out.print(table)
    for record in records:
        out.print(f"seed {record.specification.seed}: {store.run_folder(record.specification)}", soft_wrap=True)
