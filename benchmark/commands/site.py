"""unmix site: the board as static pages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from unmix.commands import Commands, no_more

if TYPE_CHECKING:
    from unmix.board.entries import Entry

EXAMPLES = """examples:
  unmix site build                                the committed records and submissions -> site/index.html
  unmix site build --store .unmix --output mine   with your own runs, which are marked as claimed"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "site",
        help="the board as static pages",
        description="Make the board: pages of tables, benchmarks, methods, datasets and runs. They need no server and "
        "load nothing from elsewhere; open index.html.",
        epilog=EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser(
        "build",
        help="write all pages",
        description="Write all pages, whole or not at all. An older site in the same folder is replaced; any other "
        "folder is refused.",
        epilog=EXAMPLES,
    )
    build.add_argument("--output", type=Path, default=Path("site"), help="folder of the site (default: site)")
    build.add_argument(
        "--results", type=Path, default=None, help="folder of reproduced/, codes/, submissions/ (default: unmix's own)"
    )
    build.add_argument("--store", type=Path, nargs="+", default=[], help="stores whose runs are shown as well")
    build.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from rich.progress import Progress

    from unmix.board.entries import entries
    from unmix.board.pages import build
    from unmix.results import FOLDER

    results = known.results or FOLDER
    if not results.is_dir():
        raise ValueError(f"{results} is no folder: --results has reproduced/, codes/ and submissions/")
    found = {entry.record.key: entry for entry in entries(results)}
    for folder in known.store:
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder: --store has the records of `unmix run`")
        for entry in _stored(folder, console):
            found.setdefault(entry.record.key, entry)
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("pages")
        pages = build(known.output, list(found.values()), lambda done, of: bars.update(task, completed=done, total=of))
    print(known.output / "index.html")
    console.print(f"{pages} pages of {len(found)} runs", highlight=False)
    return 0


def _stored(folder: Path, console: Console) -> list[Entry]:
    """The runs of a store: claimed, whether or not their codes are there, since nobody has scored them again."""
    from unmix.board.entries import Entry
    from unmix.record import Store

    store, found = Store(folder), []
    for record in store.by_key().values():
        codes = store.run_folder(record.specification) / "codes.npz"
        found.append(Entry(record, "claimed", str(folder), None, codes if codes.exists() else None))
    for sentence in store.damaged:
        console.print(f"[yellow]damaged[/] {sentence}", soft_wrap=True)
    return found
