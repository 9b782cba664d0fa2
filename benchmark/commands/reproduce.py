"""unmix reproduce: run what a published table lacks, then print it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from unmix.commands import Commands, add_execution, add_store, carry_out, no_more, places
from unmix.commands.table import add_table, show

if TYPE_CHECKING:
    from unmix.record import Specification


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "reproduce",
        help="a paper's table: run what is missing, print ours beside theirs",
        description="Run what is missing of a published table, then print our mean +- std beside the paper's and "
        "write it as Markdown, CSV, LaTeX, HTML and a figure. Stopped at any point, the same command goes on.",
        epilog="examples:\n  unmix reproduce workshop/table1 --profile quick\n"
        "  unmix reproduce workshop/table1 --profile cpu --seeds 0 1 2\n  unmix list tables",
    )
    add_table(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=None, help="instead of the profile's own")
    parser.add_argument("--rows", type=int, nargs="+", default=None, help="only these, from 1 (default: all)")
    add_execution(parser)
    add_store(parser)
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.record import Store
    from unmix.reproduce import preset
    from unmix.sweep import missing

    table, store = preset(known.table), Store(known.store)
    cells = table.specifications(known.profile, known.seeds)
    wanted = {cell: runs for cell, runs in cells.items() if known.rows is None or cell[0] + 1 in known.rows}
    labels = {s.key: f"row {row + 1} {column} seed {s.seed}" for (row, column), runs in wanted.items() for s in runs}
    # Long runs first: the last one to start must not be the longest.
    todo = sorted(missing((s for runs in wanted.values() for s in runs), store), key=samples, reverse=True)
    console.print(f"{table.name} {known.profile}: {len(labels) - len(todo)} runs recorded, {len(todo)} to do")
    outcomes = []
    if todo:
        prepare(todo, console, places(known), known.device)
        outcomes = carry_out(known, todo, labels, store, console)
    output = Path(known.output or store.folder / "tables")
    declined = {outcome.specification.key: outcome.message for outcome in outcomes if outcome.status == "declined"}
    show(table, known.profile, cells, [store], output, console, known.format, declined)
    return 1 if any(outcome.status in ("failed", "died") for outcome in outcomes) else 0


def prepare(todo: Sequence[Specification], console: Console, workers: int, device: str) -> None:
    """Draw what can be drawn beforehand; what has to be downloaded ends the command before anything runs.

    Raises:
        MissingFileError: With the sentence of the first dataset whose files are not here.
    """
    from unmix.commands.data_render import draw_beforehand
    from unmix.datasets.download import MissingFileError
    from unmix.run import make_dataset

    distinct = {json.dumps(run.dataset, sort_keys=True): run.dataset for run in todo}
    for values in distinct.values():
        dataset = make_dataset(values, 0)
        sentence = dataset.missing() if hasattr(dataset, "missing") else ""
        if sentence and hasattr(dataset, "rendering"):
            draw_beforehand(dataset.rendering, dataset.rendering.path, console, workers, device)
        elif sentence:
            raise MissingFileError(sentence)


def samples(specification: Specification) -> int:
    """That a run trains on, which is about what it costs beside others."""
    recipe = specification.method.get("recipe", {})
    return int(recipe.get("steps", 0)) * int(recipe.get("batch", 0))
