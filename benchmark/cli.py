"""The command `unmix`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from unmix import __version__
from unmix.commands import (
    audit,
    check,
    compare,
    data,
    leaderboard,
    list_,
    new,
    parity,
    plot,
    reproduce,
    run,
    score,
    site,
    store,
    submission,
    submit,
    sweep,
    table,
)
from unmix.stopping import STATUS, Stopped, heed


class Parser(argparse.ArgumentParser):
    """Keeps the line breaks of examples, and says where help is when a word is wrong."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> Any:
        self.exit(2, f"unmix: {message}\n(`{self.prog} --help` explains the command)\n")


def parser() -> Parser:
    """All commands; each module of `unmix.commands` adds its own."""
    main = Parser(
        prog="unmix",
        description="Disentanglement and identifiability: methods on the same data, scored by the same metrics, "
        "beside the papers' own tables.",
        epilog="example:\n  unmix reproduce workshop/table1 --profile quick",
    )
    main.add_argument("--version", action="version", version=f"unmix {__version__}")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for module in (
        list_,
        run,
        reproduce,
        sweep,
        table,
        plot,
        compare,
        score,
        audit,
        parity,
        data,
        new,
        check,
        leaderboard,
        submit,
        submission,
        store,
        site,
    ):
        module.add(commands)
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 something failed, 2 wrong words, 75 stopped: run it again."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    known, rest = parser().parse_known_args(arguments)
    console = Console(stderr=True)
    heed()
    try:
        status: int = known.handler(known, rest, console)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from the last checkpoint")
        return 130
    except Stopped:
        console.print("stopped by SIGTERM; the same command goes on from the last checkpoint")
        return STATUS
    except BrokenPipeError:  # `unmix list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, KeyError, OSError) as error:
        if os.environ.get("UNMIX_DEBUG"):
            raise
        console.print(f"unmix: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    return status
