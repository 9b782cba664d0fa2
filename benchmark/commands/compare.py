"""unmix compare: methods against each other, over what is recorded."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Shown
from rich.text import Text

from unmix.commands import Commands, add_store, no_more
from unmix.tables import Table

if TYPE_CHECKING:
    from unmix.comparison.arms import Chosen
    from unmix.comparison.verdicts import Findings

EXAMPLES = """what to compare:
  slow_vae                        all runs of a method
  "slow_vae(beta=0.5)"            those with this field; of a recipe too: "slow_vae(steps=8000)"
  "contrastive(transitions=uni)"  those trained on these pairs
  91bc  or  91bc,3f2a             the runs of these keys, as one arm
  A word that means several configurations on one dataset is an arm for each.
  Only runs on the same dataset and number of samples are compared, paired by seed; the pairs that a method trains on
  may differ. What is left out is said.

examples:
  unmix compare slow_vae beta_vae
  unmix compare slow_vae beta_vae contrastive --metric mcc "dci(gbt)" --dataset dsprites_procedural
  unmix compare contrastive --dataset dsprites_procedural      its configurations with each other
  unmix compare slow_vae pca ica untrained --first             slow_vae with each: fewer comparisons to correct for
  unmix compare slow_vae beta_vae --output figures             tables and figures into a folder
  unmix compare slow_vae beta_vae --udr                        UDR beside them, from the weights in the store
  unmix compare slow_vae beta_vae --format csv > pairs.csv

how to read it: docs/compare.md"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "compare",
        help="methods against each other: intervals, tests, ranks, how many seeds it takes",
        description="Compare methods over your records and those that come with unmix: mean, median and IQM with "
        "intervals, probability of improvement, paired permutation tests corrected for their number, effect sizes, "
        "ranks, and a sentence for each pair that says when the runs are too few to tell. Nothing is run.",
        epilog=EXAMPLES,
    )
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="see below")
    parser.add_argument("--dataset", nargs="+", default=(), metavar="NAME", help="only these (default: all shared)")
    parser.add_argument("--metric", nargs="+", default=None, metavar="NAME", help="only these (default: all shared)")
    parser.add_argument("--here", action="store_true", help="only your store, without the records of unmix")
    parser.add_argument("--first", action="store_true", help="only the first method with each other one")
    parser.add_argument("--udr", action="store_true", help="score seeds against each other, without factors")
    parser.add_argument("--seed", type=int, default=0, help="of resampling and permuting (default: 0)")
    parser.add_argument(
        "--format", choices=["text", "markdown", "csv", "json"], default="text", help="on screen (default: text)"
    )
    parser.add_argument("--output", type=Path, default=None, help="folder for compare.md, .csv, .json and figures")
    add_store(parser)
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.board.entries import entries
    from unmix.comparison.arms import choose
    from unmix.comparison.report import FORMATS
    from unmix.record import Store

    store = Store(known.store)
    records = store.by_key()
    for sentence in store.damaged:
        console.print(f"damaged {sentence}", markup=False, highlight=False, soft_wrap=True)
    for entry in [] if known.here else entries():
        records.setdefault(entry.record.key, entry.record)
    chosen = choose(known.methods, records.values(), known.dataset)
    found = _found(known, chosen, console)
    more = [_udr(store, chosen, console)] if known.udr else []
    if known.format == "text":
        _show(found, more)
    else:
        print(FORMATS[known.format](found, more), end="")
    if known.output is not None:
        _write(found, more, known.output, console)
    return 0


def _found(known: argparse.Namespace, chosen: Chosen, console: Console) -> Findings:
    from rich.progress import Progress

    from unmix.comparison.verdicts import findings

    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("comparing", total=None)
        return findings(
            chosen,
            known.metric,
            first_only=known.first,
            seed=known.seed,
            progressed=lambda metric: bars.update(task, description=f"comparing in {metric}"),
        )


def _udr(store: Any, chosen: Chosen, console: Console) -> Table:
    from rich.progress import Progress

    from unmix.comparison.udr import table

    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("UDR", total=None)
        return table(chosen.arms, store, lambda what: bars.update(task, description=what))


def _show(found: Findings, more: Sequence[Table]) -> None:
    from unmix.comparison.report import in_short, tables

    out = Console() if sys.stdout.isatty() else Console(width=160)
    for table in (*tables(found), *more):
        shown = Shown(title=Text(table.title, style="bold"), title_justify="left", box=None, pad_edge=False)
        for name in table.header:
            shown.add_column(Text(name), overflow="fold", header_style="dim")
        for row in table.rows:
            shown.add_row(*map(Text, row))
        out.print(shown)
        for note in table.notes:
            out.print(Text(note, style="dim"))
        out.print()
    out.print(Text("Conclusions", style="bold"))
    for sentence in in_short(found):
        out.print(Text(f"  {sentence}"))
    if found.left_out:
        out.print(Text("\nLeft out", style="bold"))
        for sentence in found.left_out:
            out.print(Text(f"  {sentence}", style="dim"))


def _write(found: Findings, more: Sequence[Table], folder: Path, console: Console) -> None:
    from unmix.comparison.plots import draw
    from unmix.comparison.report import FORMATS

    paths = draw(found, folder)
    for form, suffix in (("markdown", "md"), ("csv", "csv"), ("json", "json")):
        path = folder / f"compare.{suffix}"
        path.write_text(FORMATS[form](found, more), encoding="utf-8")
        paths.append(path)
    console.print(f"written: {', '.join(map(str, paths))}", markup=False, highlight=False, soft_wrap=True)
