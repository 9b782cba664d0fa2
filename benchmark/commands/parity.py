"""unmix parity: our metrics beside the published implementations, on the same inputs."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unmix.commands import Commands, no_more

if TYPE_CHECKING:
    from unmix.parity import Comparison

VERDICTS = ("agrees", "explained", "deviates", "reference failed", "no tolerance", "no mirror")


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "parity",
        help="our metrics beside the published implementations",
        description="Compute our value for every value of the oracle (what published implementations gave on fixed "
        "inputs) and judge the difference by the oracle's tolerance. Exit status 1 when one deviates unexplained.",
        epilog="examples:\n  unmix parity --oracle ../shared/oracle\n"
        "  unmix parity --oracle ../shared/oracle --metrics 'mig*' 'linear_*' --output parity.md --json parity.json",
    )
    parser.add_argument("--oracle", type=Path, required=True, help="folder with expected.json and inputs/")
    parser.add_argument("--slow", action="store_true", help="with the values that take minutes each")
    parser.add_argument("--metrics", nargs="+", default=["*"], metavar="PATTERN", help="the oracle's names (all)")
    parser.add_argument("--output", type=Path, default=None, help="write every value here, as Markdown")
    parser.add_argument("--json", type=Path, default=None, help="write every value here, as JSON")
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    import json
    from dataclasses import asdict
    from fnmatch import fnmatchcase

    from rich.progress import track

    from unmix.parity import compare, entries, report
    from unmix.scoring import finite, versions, write

    patterns = [pattern.replace("[", "[[]") for pattern in known.metrics]
    chosen = [
        entry
        for entry in entries(known.oracle)
        if (known.slow or not entry.slow) and any(fnmatchcase(entry.metric, pattern) for pattern in patterns)
    ]
    if not chosen:
        raise ValueError(f"no value of {known.oracle} matches {' '.join(known.metrics)}")
    rows = [compare(known.oracle, entry) for entry in track(chosen, "comparing", console=console, transient=True)]
    show(rows, Console() if sys.stdout.isatty() else Console(width=200))
    if known.output is not None:
        write(known.output, report(rows) + "\n")
        console.print(f"written: {known.output}", soft_wrap=True)
    if known.json is not None:
        plain = [{**asdict(row), "difference": row.difference} for row in rows]
        plain = [{key: finite(v) if isinstance(v, float) else v for key, v in row.items()} for row in plain]
        content = {"schema": 1, "slow": known.slow, "versions": versions(), "values": plain}
        write(known.json, json.dumps(content, indent=1, allow_nan=False) + "\n")
        console.print(f"written: {known.json}", soft_wrap=True)
    return 1 if unexplained(rows) else 0


def unexplained(rows: Sequence[Comparison]) -> list[Comparison]:
    """Differences beyond the tolerance that nobody has put a reason to."""
    return [row for row in rows if row.verdict == "deviates" and not row.reason]


def show(rows: Sequence[Comparison], out: Console) -> None:
    """A line a metric and implementation: how many values by verdict, the largest difference; then what deviates."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("metric", "reference", "ours"):
        table.add_column(name, overflow="fold")
    for name in (*VERDICTS, "max |difference|", "of tolerance"):
        table.add_column(name, justify="right")
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for row in rows:
        groups.setdefault((row.metric, row.implementation.split("@")[0]), []).append(row)
    for (metric, implementation), group in groups.items():
        variants = ", ".join(dict.fromkeys(row.variant for row in group if row.variant))
        table.add_row(Text(metric), Text(implementation), Text(variants), *_counts(group), *_largest(group))
    table.add_section()
    table.add_row(Text("all", style="bold"), "", "", *_counts(rows), "", "")
    out.print(table)
    for row in rows:
        if row.verdict == "deviates":
            what = f"{row.case} {row.metric} {row.key} {row.implementation}"
            numbers = f"ours {row.ours:.6g}, theirs {row.reference:.6g}, tolerance {row.tolerance:.2g}"
            why = f"open: {row.reason}" if row.reason else "unexplained"
            out.print(Text.assemble(("deviates ", "red"), f"{what}: {numbers}; {why}"), soft_wrap=True)


def _counts(rows: Sequence[Comparison]) -> list[str]:
    counts: Counter[str] = Counter(row.verdict for row in rows)
    return [str(counts[verdict] or "") for verdict in VERDICTS]


def _largest(rows: Sequence[Comparison]) -> tuple[str, str]:
    """The largest difference among the values in agreement, alone and as a share of its tolerance."""
    agreeing = [row for row in rows if row.verdict == "agrees"]
    found = [(abs(row.difference or 0.0), row.tolerance or 0.0) for row in agreeing]
    if not found:
        return "", ""
    share = max((difference / tolerance for difference, tolerance in found if tolerance), default=0.0)
    return f"{max(found)[0]:.1e}", f"{share:.0%}"
