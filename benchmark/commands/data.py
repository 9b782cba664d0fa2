"""unmix data: the published files of datasets, and pictures of what is in them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from unmix.commands import Commands, data_render, data_show, no_more

if TYPE_CHECKING:
    from unmix.datasets.download import Source

EXAMPLES = """examples:
  unmix data list
  unmix data fetch shapes3d
  unmix data fetch mpi3d mpi3d_toy.npz --folder /scratch/unmix
  unmix data verify mpi3d"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "data",
        help="fetch, verify, list and show datasets",
        description="The published files of datasets. They are in $UNMIX_DATA, else in the platform's cache folder.",
        epilog=EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    fetch = actions.add_parser(
        "fetch",
        help="download what is not here, and check what is",
        description="Download a dataset's files. An interrupted download goes on where it stopped.",
        epilog="examples:\n  unmix data fetch shapes3d\n  unmix data fetch mpi3d mpi3d_toy.npz",
    )
    fetch.add_argument("name", help="a dataset (`unmix data list`)")
    fetch.add_argument("files", nargs="*", metavar="FILE", help="only these of its files (default: all)")
    verify = actions.add_parser(
        "verify",
        help="read what is here and compare it with what is published, or was first seen",
        description="Read whole files and compare their checksums with the published ones, or with the one that was "
        "recorded at first sight.",
        epilog="examples:\n  unmix data verify\n  unmix data verify mpi3d mpi3d_toy.npz",
    )
    verify.add_argument("name", nargs="?", help="a dataset (default: all that is here)")
    verify.add_argument("files", nargs="*", metavar="FILE", help="only these of its files (default: all)")
    lists = actions.add_parser(
        "list",
        help="every file: its size, what is known of it, whether it is here",
        description="Show the published files of each dataset, and where they are or would go.",
        epilog="examples:\n  unmix data list\n  unmix data list smallnorb",
    )
    lists.add_argument("name", nargs="?", help="a dataset (default: all)")
    for action, handler in ((fetch, handle_fetch), (verify, handle_verify), (lists, handle_list)):
        action.add_argument("--folder", type=Path, default=None, help="of all files, instead of $UNMIX_DATA")
        action.set_defaults(handler=handler)
    data_show.add(actions)
    data_render.add(actions)


def handle_fetch(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from unmix.datasets.download import fetch

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    failed = False
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        for source in _chosen(known):
            try:
                path = fetch(source, progress)
            except OSError as error:
                failed = True
                console.print(f"unmix: {error}", markup=False, highlight=False, soft_wrap=True)
            else:
                console.print(f"here: {path}", markup=False, highlight=False, soft_wrap=True)
    return int(failed)


def handle_verify(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.datasets.download import verify

    failed = False
    for source in _chosen(known):
        if known.name is None and not source.path.is_file():
            continue
        try:
            sha256 = verify(source)
        except OSError as error:
            failed = True
            console.print(f"unmix: {error}", markup=False, highlight=False, soft_wrap=True)
        else:
            known_by = "as published" if source.checksums else "as first seen"
            console.print(f"{known_by}: {source.path} (sha256 {sha256})", highlight=False, soft_wrap=True)
    return int(failed)


def handle_list(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.datasets.download import FOLDER, data_folder

    sources = _chosen(known)
    table = Table(
        "dataset", Column("file", overflow="fold"), Column("size", justify="right"), "checksum", "state", box=None
    )
    for source in sources:
        here = source.path.is_file()
        size = source.path.stat().st_size if here else source.size
        table.add_row(
            source.dataset,
            Text(source.name),
            "unknown" if size is None else f"{size:,}",
            ", ".join(checksum.split(":")[0] for checksum in source.checksums) or "at first sight",
            Text("here", style="green") if here else Text("not here" if source.addresses else "by hand", style="dim"),
        )
    out = Console() if sys.stdout.isatty() else Console(width=160)
    out.print(table)
    out.print(f"\nEach file is, or goes, to {data_folder()}/DATASET/FILE (another folder: {FOLDER}).", soft_wrap=True)
    return 0


def _chosen(known: argparse.Namespace) -> list[Source]:
    """The files that the words name.

    Raises:
        UnknownNameError: No such dataset or file; the message lists the close ones.
    """
    from unmix.datasets.download import FOLDER
    from unmix.datasets.expressions import check_name
    from unmix.datasets.sources import SOURCES

    if known.folder is not None:
        os.environ[FOLDER] = str(known.folder)
    if known.name is None:
        return [source for sources in SOURCES.values() for source in sources]
    check_name("dataset with published files", known.name, SOURCES)
    sources, files = SOURCES[known.name], getattr(known, "files", [])
    for file in files:
        check_name(f"file of {known.name}", file, [source.name for source in sources])
    return [source for source in sources if not files or source.name in files]
