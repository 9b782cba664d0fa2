"""The commands of `unmix`, one file each: `add` puts the command's parser beside the others'."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

Commands = Any  # argparse's sub-parsers action, whose type is private
STORE = Path(".unmix")


def add_store(parser: argparse.ArgumentParser) -> None:
    """The flag that says where records are."""
    parser.add_argument("--store", type=Path, default=STORE, help=f"folder of the records (default: {STORE})")


def add_execution(parser: argparse.ArgumentParser) -> None:
    """The flags that say where runs run; none of them is part of a run's identity."""
    group = parser.add_argument_group("execution")
    group.add_argument("--workers", type=positive, default=None, help="processes (default: one a core)")
    group.add_argument("--threads", type=positive, default=1, help="of torch in each run (default: 1)")
    group.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")


def positive(text: str) -> int:
    """An argument type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def no_more(rest: list[str]) -> None:
    """Refuse words that no flag took."""
    if rest:
        raise ValueError(f"unknown words: {' '.join(rest)} (`--help` lists the flags)")
