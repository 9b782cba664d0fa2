"""unmix leaderboard: your runs beside all others on the same test."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unmix.commands import Commands, add_store, no_more

if TYPE_CHECKING:
    from unmix.board.model import Benchmark

HERE = "this store"
OTHERS, SCORE = 80, 16  # characters of the columns that are no scores, and of one that is
STYLES = {"ceiling": "dim", "method": "", "floor": "dim"}


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "leaderboard",
        help="your runs beside the baselines on the same data",
        description="Print your records beside those that come with unmix, best first: a table for each dataset and "
        "evaluation that your store has a record of. Methods may have learned from other pairs, which are named.",
        epilog="examples:\n  unmix leaderboard\n  unmix leaderboard synthetic --metrics mcc r2\n"
        "  unmix leaderboard dsprites_procedural --all",
    )
    parser.add_argument("dataset", nargs="?", help="registered name (default: all)")
    parser.add_argument("--metrics", nargs="+", help="columns; the first ranks (default: what fits)")
    parser.add_argument("--all", action="store_true", help="also what your store has no record of")
    add_store(parser)
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.board.entries import Entry, entries
    from unmix.board.model import benchmarks, configurations
    from unmix.record import Store
    from unmix.registry import DATASETS

    if known.dataset is not None:
        DATASETS[known.dataset]  # an unknown name ends here, with the close ones
    committed, stored = entries(), Store(known.store).by_key()
    known_keys = {entry.record.key for entry in committed}
    own = [Entry(record, "claimed", HERE, {}) for key, record in stored.items() if key not in known_keys]
    found = [
        benchmark
        for benchmark in benchmarks(configurations([*committed, *own]))
        if known.dataset in (None, benchmark.dataset["name"])
        and (known.all or any(entry.record.key in stored for entry in benchmark.entries))
        and (not known.metrics or known.metrics[0] in benchmark.metrics)
    ]
    if not found:
        of = f" of {known.dataset}" if known.dataset else ""
        scored = f" with {known.metrics[0]}" if known.metrics else ""
        raise ValueError(f"{known.store} has no record{of}{scored}: `unmix run` makes one, and --all shows ours")
    out = Console() if sys.stdout.isatty() else Console(width=160)
    for benchmark in found:
        fitting = benchmark.metrics[: max(2, (out.width - OTHERS) // SCORE)]
        out.print(_table(benchmark, known.metrics or fitting))
        if not known.metrics and (more := benchmark.metrics[len(fitting) :]):
            out.print(Text(f"and {', '.join(more)} (--metrics)", style="dim"))
        out.print()
    out.print(Text("± half of a 95 % interval over seeds. A difference of means may be chance.", style="dim"))
    return 0


def _table(benchmark: Benchmark, metrics: Sequence[str]) -> Table:
    """A row a configuration, the best mean of the first metric first."""
    from unmix.board.model import duration, labels, score_cell
    from unmix.registry import METRICS

    first = metrics[0]
    direction = METRICS[first].direction if first in METRICS else 1
    named = labels(benchmark.configurations)
    title = Text.assemble((benchmark.dataset["name"], "bold"), f"  {benchmark.setting}".rstrip())
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("method", "pairs", *metrics, "seeds", "time", "from"):
        justify: Literal["right", "left"] = "left" if name in ("method", "pairs", "from") else "right"
        table.add_column(name, justify=justify, overflow="fold")
    scored = [configuration for configuration in benchmark.configurations if configuration.values(first)]
    for configuration in sorted(scored, key=lambda c: -direction * (c.mean(first) or 0.0)):
        role, settings = configuration.role, named[configuration.key]
        kind, settings = "" if role == "method" else f" ({role})", f"\n  {settings}" if settings else ""
        cells = [score_cell(configuration, name) for name in metrics]
        table.add_row(
            Text.assemble(configuration.method["name"], kind, (settings, "dim")),
            Text(configuration.pairs or "none"),
            *(f"{cell.text} {cell.small}".rstrip() for cell in cells),
            str(len(configuration.entries)),
            duration(configuration.seconds),
            Text(configuration.submission or "unmix"),
            style="bold green" if configuration.submission == HERE else STYLES[role],
        )
    return table
