"""unmix check: does a method keep what every method promises?"""

from __future__ import annotations

import argparse
import time

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from unmix.commands import Commands, no_more

COLOURS = {"kept": "green", "broken": "bold red", "not tried": "yellow"}


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "check",
        help="does a method keep what every method promises?",
        description="Run the contract of our own methods on a method in a file, which is executed, on small data: "
        "declared fields, repeatable, resumable, no global state, finite codes. Takes seconds to a minute.",
        epilog="examples:\n  unmix check mine.py\n  unmix check mine.py:Mine\n  unmix check contrastive",
    )
    parser.add_argument("method", metavar="FILE[:CLASS]", help="of the method; or a registered name")
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    import torch

    from unmix.contract import Candidate, verdicts
    from unmix.method_file import is_file, load, split
    from unmix.registry import METHODS

    torch.set_num_threads(1)  # small tensors
    named = known.method
    candidate = Candidate(load(*split(named)) if is_file(named) else METHODS[named])
    out, started, found = Console(), time.monotonic(), []
    with console.status(f"checking {candidate.kind.__name__}"):
        for verdict in verdicts(candidate):
            found.append(verdict.status)
            out.print(Text.assemble((f"{verdict.status:<10}", COLOURS[verdict.status]), verdict.promise.name))
            if verdict.reason:
                out.print(Padding(Text(verdict.reason), (0, 0, 0, 10)))
    kept, seconds = found.count("kept"), time.monotonic() - started
    where = f" on {candidate.home}" if "not tried" not in found else ""
    verdict_on = "keeps all" if kept == len(found) else f"keeps {kept} of"
    out.print(f"{candidate.kind.__name__} {verdict_on} {len(found)} promises{where} ({seconds:.0f} s)", highlight=False)
    return 0 if kept == len(found) else 1
