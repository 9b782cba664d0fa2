"""unmix data show: a picture of a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from unmix.commands import Commands, no_more


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "show",
        help="a picture of a dataset: random images, factors swept, pairs",
        description="Draw random images, a row for each factor swept over its range, and a strip of pairs. "
        "The flags are the fields of the dataset.",
        epilog="examples:\n  unmix data show dsprites_procedural\n"
        '  unmix data show dsprites_procedural --transitions "lap(rate=1)" --out lap.png',
        add_help=False,
    )
    parser.add_argument("name", nargs="?", help="registered name (`unmix list datasets`)")
    parser.add_argument("-h", "--help", action="store_true", help="show this, with the flags of what is named")
    parser.add_argument("--out", type=Path, default=None, help="the picture (default: NAME.png)")
    parser.add_argument("--draw", type=int, default=0, metavar="SEED", help="of what is drawn (default: 0)")
    parser.set_defaults(handler=handle, parser=parser)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    if known.name is None:
        known.parser.print_help()
        return 0 if known.help else 2
    from unmix.flags import add_flags, given
    from unmix.gallery import gallery
    from unmix.registry import DATASETS
    from unmix.run import make_dataset

    kind = DATASETS[known.name]
    add_flags(known.parser, "dataset", known.name, kind)
    if known.help:
        known.parser.print_help()
        return 0
    flags, rest = known.parser.parse_known_args([known.name, *rest])
    no_more(rest)
    out = known.out or Path(f"{known.name}.png")
    dataset = make_dataset({"name": known.name, **given(flags, "dataset", kind)}, known.draw)
    gallery(dataset, known.name, out, known.draw)
    Console().print(str(out), soft_wrap=True)
    return 0
