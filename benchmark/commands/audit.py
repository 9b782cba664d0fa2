"""unmix audit: stress tests that show which metric can be believed where."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unmix.commands import Commands, no_more, positive


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "audit",
        help="stress tests of the metrics themselves",
        description="Score representations whose quality is known (perfect, noise, rotated, redundant, ...) with "
        "every metric, and draw one page of heat maps: which metric can be believed where.",
        epilog="examples:\n  unmix audit\n  unmix audit --metrics mcc 'mcc(held_out)' 'dci(lasso)' --repeats 10\n"
        "  unmix audit --redraw",
    )
    parser.add_argument("--samples", type=positive, default=1000, help="of each representation (default: 1000)")
    parser.add_argument("--repeats", type=positive, default=3, help="fresh draws; fewer where slow (default: 3)")
    parser.add_argument("--metrics", nargs="+", default=None, help="registered names (default: unmix.audit.audited)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")
    parser.add_argument("--output", type=Path, default=None, help="folder of audit.json, .png (default: .unmix/audit)")
    parser.add_argument("--redraw", action="store_true", help="only draw the audit.json that is there")
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    import json

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from unmix.audit import audit, audited, cells, dump, facts
    from unmix.audit_page import draw
    from unmix.commands import STORE
    from unmix.scoring import write

    folder = known.output or STORE / "audit"
    if known.redraw:
        content = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    else:
        names = known.metrics or audited()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("audit", total=len(cells(names)))

            def progressed(title: str) -> None:
                bars.update(task, advance=1, description=title)

            content = audit(names, known.samples, known.repeats, known.seed, progressed)
            content["facts"] = facts(known.seed)
        write(folder / "audit.json", dump(content))
    draw(content, folder / "audit.png")
    _show(content["facts"])
    console.print(f"written: {folder / 'audit.json'}, {folder / 'audit.png'}", soft_wrap=True)
    return 0


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table("the audit paper", "theirs", "ours", "agrees", box=None, pad_edge=False)
    verdicts = {True: Text("yes", style="green"), False: Text("no", style="red"), None: Text("not known", style="dim")}
    for row in rows:
        theirs = "" if row["theirs"] is None else f"{row['theirs']:g}"
        table.add_row(row["statement"], theirs, f"{row['ours']:.3f} ± {row['std']:.3f}", verdicts[row["agrees"]])
    Console().print(table)
