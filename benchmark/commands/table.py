"""unmix table: print a published table from what is recorded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from unmix.commands import Commands, add_store, no_more

if TYPE_CHECKING:
    from unmix.record import Specification, Store
    from unmix.reproduce import Cell, Preset


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "table",
        help="a paper's table from the records that are there",
        description="Print a published table from your records and those that come with unmix; nothing is run.",
        epilog="examples:\n  unmix table workshop/table1 --profile cpu\n"
        "  unmix table workshop/table1 --profile quick --format latex",
    )
    add_table(parser)
    add_store(parser)
    parser.set_defaults(handler=handle)


def add_table(parser: argparse.ArgumentParser) -> None:
    """The words that name a table and how it is written."""
    parser.add_argument("table", help="name (`unmix list tables`)")
    parser.add_argument("--profile", default="quick", help="quick, cpu or paper (default: quick)")
    parser.add_argument(
        "--format",
        choices=["markdown", "csv", "latex", "html"],
        default="markdown",
        help="on screen (default: markdown)",
    )
    parser.add_argument("--output", type=Path, default=None, help="folder of the files (default: STORE/tables)")


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.record import Store
    from unmix.reproduce import preset
    from unmix.results import FOLDER

    table = preset(known.table)
    stores = [Store(known.store), Store(FOLDER / "reproduced")]
    output = Path(known.output or known.store / "tables")
    show(table, known.profile, table.specifications(known.profile), stores, output, console, known.format)
    return 0


def show(
    table: Preset,
    profile: str,
    cells: Mapping[Cell, Sequence[Specification]],
    stores: Sequence[Store],
    output: Path,
    console: Console,
    form: str = "markdown",
    declined: Mapping[str, str] | None = None,
) -> None:
    """Print the table, and write it in every format with its figure; `declined` is key -> reason."""
    from unmix.plots import table_figure
    from unmix.record import merged
    from unmix.reproduce import beside
    from unmix.tables import FORMATS, SUFFIXES

    records = merged(stores)
    for store in stores:
        for sentence in store.damaged:
            console.print(f"[yellow]damaged[/] {sentence}", soft_wrap=True)
    result = beside(table, profile, cells, records, declined)
    print(FORMATS[form](result))
    output.mkdir(parents=True, exist_ok=True)
    stem = f"{table.name.replace('/', '_')}_{profile}"
    for name, render in FORMATS.items():
        (output / f"{stem}{SUFFIXES[name]}").write_text(render(result), encoding="utf-8")
    table_figure(table, profile, cells, records, output / f"{stem}.png")
    console.print(f"written: {output / stem}.md, .csv, .tex, .html, .png", soft_wrap=True)
