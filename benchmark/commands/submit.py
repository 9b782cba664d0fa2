"""unmix submit: pack runs for others to check and show."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from unmix.commands import Commands, add_store, no_more

EXAMPLES = """examples:
  unmix submit 3f2a 77b1 --name my_method --author "A. Person" "B. Person" --licence CC-BY-4.0 --citation paper.bib
  unmix submit 3f2a --name my_method --author "A. Person" --licence MIT --citation paper.bib --weights

what is packed, in OUTPUT/NAME: submission.json, records.jsonl (hyperparameters, scores, versions, hardware), codes and
factors of the evaluation samples (codes/KEY.npz), the method's file if the runs came from one (method.py), and with
--weights the encoders (weights/KEY.safetensors). Then: unmix submission check OUTPUT/NAME"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "submit",
        help="pack your runs as a submission",
        description="Pack recorded runs into a folder that others can check: the board shows it once it is committed "
        "under results/submissions.",
        epilog=EXAMPLES,
    )
    parser.add_argument("keys", nargs="+", metavar="KEY", help="of records, or how they start; ALL for every record")
    parser.add_argument("--name", required=True, help="of the folder: small letters, digits, _ and -")
    parser.add_argument("--title", default=None, help="for people (default: the name)")
    parser.add_argument("--author", "--authors", nargs="+", required=True, metavar="AUTHOR", help="one or more")
    parser.add_argument("--licence", required=True, help="SPDX expression for all in the folder: MIT, CC-BY-4.0, ...")
    parser.add_argument("--citation", required=True, metavar="FILE", help="BibTeX, or a file of it")
    parser.add_argument("--url", default="", help="of the paper or the code (default: none)")
    parser.add_argument("--weights", action="store_true", help="pack the encoders' weights too")
    parser.add_argument("--method", type=Path, default=None, metavar="FILE", help="the method's file, if not in STORE")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results/submissions"),
        help="folder of submissions (default: results/submissions)",
    )
    add_store(parser)
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.method_file import keep
    from unmix.record import Store
    from unmix.submission.archive import RefusedError
    from unmix.submission.packing import Submission, chosen, pack

    store = Store(known.store)
    records = chosen(known.keys, store.by_key())
    if known.method is not None:
        keep(str(known.method), store)
    submission = Submission(
        name=known.name,
        title=known.title or known.name,
        authors=tuple(known.author),
        licence=known.licence,
        citation=_bibtex(known.citation),
        url=known.url,
        data={},
    )
    try:
        warnings = pack(submission, records, store, known.output, weights=known.weights)
    except RefusedError as error:
        console.print(f"unmix: nothing is packed, {len(error.faults)} to mend:", highlight=False)
        for fault in error.faults:
            console.print(f"  {fault}", markup=False, highlight=False, soft_wrap=True)
        return 1
    for warning in warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    target = known.output / known.name
    console.print(f"packed: {len(records)} records in {target}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"next: unmix submission check {target}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _bibtex(given: str) -> str:
    """The text itself, or that of the file."""
    if given.lstrip().startswith("@"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--citation {given!r} is neither BibTeX, which starts with @, nor a file: {error}") from None
