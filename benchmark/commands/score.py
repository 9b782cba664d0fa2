"""unmix score: anyone's codes and factors, every metric."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unmix.commands import Commands, no_more

if TYPE_CHECKING:
    from unmix.arrays import Arrays
    from unmix.scoring import Line

EXAMPLES = """the file:
  .npz            arrays codes (n, d) and factors (n, k); optionally factor_types and factor_names (k strings)
  .csv, .parquet  columns code_* and factor_*, for example code_0, code_1, factor_shape, factor_angle
  An array of more than 2 GiB is refused before it is unpacked; nothing is unpickled.

the sidecar (--types), one entry a factor, in their order:
  {"factors": [{"name": "shape", "type": "categorical"}, {"name": "angle", "type": "periodic", "period": 360}]}
  Types: categorical, ordinal, continuous, periodic. What is not stated is inferred, and the output says so:
  whole numbers with at most 200 values are ordinal, all else is continuous.

examples:
  unmix score codes.npz
  unmix score codes.npz --types factors.json --json scores.json
  unmix score codes.csv --metrics mcc "mcc(held_out)" r2 --factors shape angle --shuffles 20
  unmix score codes.csv --metrics block_identifiability --content shape hue"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "score",
        help="score your own codes against factors",
        description="Score codes against factors from a file: every metric of the default set, each with its noise "
        "floor (its level once the rows are shuffled) and its warnings.",
        epilog=EXAMPLES,
    )
    parser.add_argument("file", type=Path, help=".npz, .csv or .parquet")
    parser.add_argument("--metrics", nargs="+", default=None, help="registered names (default: the default set)")
    parser.add_argument("--factors", nargs="+", default=None, metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--content", nargs="+", default=(), metavar="NAME", help="the content factors, for block_identifiability"
    )
    parser.add_argument("--types", type=Path, default=None, help="JSON sidecar that describes the factors")
    parser.add_argument("--json", type=Path, default=None, help="write the scores here")
    parser.add_argument("--seed", type=whole, default=0, help="of metrics and shuffles (default: 0)")
    parser.add_argument("--shuffles", type=whole, default=5, help="of the noise floor, 0 for none (default: 5)")
    parser.set_defaults(handler=handle)


def whole(text: str) -> int:
    """An argument type: a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is not at least 0")
    return value


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    import json

    from rich.progress import track

    from unmix.arrays import read
    from unmix.scoring import default_metrics, report, score, write

    arrays = read(known.file, known.types)
    if known.factors is not None:
        arrays = arrays.only(known.factors)
    names = known.metrics or default_metrics()
    scored = score(arrays, names, content=known.content, seed=known.seed, shuffles=known.shuffles)
    lines = list(track(scored, "scoring", total=len(names), console=console, transient=True))
    show(known.file, arrays, lines, Console() if sys.stdout.isatty() else Console(width=160))
    if known.json is not None:
        content = report(known.file, arrays, lines, known.seed, known.shuffles)
        write(known.json, json.dumps(content, indent=2, allow_nan=False) + "\n")
        console.print(f"written: {known.json}", soft_wrap=True)
    return 0


def show(path: Path, arrays: Arrays, lines: Sequence[Line], out: Console) -> None:
    """Factors, scores, what is not applicable, warnings."""
    (n, k), d = arrays.factors.shape, arrays.codes.reshape(len(arrays.codes), -1).shape[1]
    out.print(Text.assemble((path.name, "bold"), f"   n = {n:,} samples, d = {d} codes, k = {k} factors\n"))
    factors = Table("factor", "type", "why", box=None, pad_edge=False, header_style="dim")
    for factor, stated in zip(arrays.described, arrays.stated, strict=True):
        period = f", period {factor.period:g}" if factor.period is not None else ""
        factors.add_row(Text(factor.name), factor.type + period, Text(stated, style="dim"))
    out.print(factors, "")
    scored = [line for line in lines if line.score is not None]
    if scored:
        notes = _notes(scored)
        out.print(_table(scored, notes), "")
        for number, note in enumerate(notes, start=1):
            out.print(Text.assemble((f"{number} ", "yellow"), note), soft_wrap=True)
        out.print(Text("Yellow: within two standard deviations of the noise floor.", style="dim"))
    refused = [line for line in lines if line.score is None]
    if refused:
        out.print(Text("\nnot applicable", style="bold"))
        for line in refused:
            out.print(Text.assemble(f"  {line.metric.name}: ", (line.reason, "dim")), soft_wrap=True)


def _table(lines: Sequence[Line], notes: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("metric", "score", "better", "range", "noise floor", "notes"):
        table.add_column(column, justify="right" if column in ("score", "noise floor") else "left", overflow="fold")
    for line in lines:
        metric, floor = line.metric, line.floor
        assert line.score is not None
        value = float(line.score)
        noisy = floor is not None and floor.reaches(value, metric.direction)
        low, high = metric.range
        table.add_row(
            Text(metric.name),
            Text(f"{value:.3f}", style="yellow" if noisy else "bold"),
            "↑" if metric.direction > 0 else "↓",
            Text(f"[{low:g}, {high:g}]", style="dim"),
            Text("–" if floor is None else f"{floor.mean:.3f} ± {floor.std:.3f}", style="dim"),
            Text(" ".join(str(notes.index(warning) + 1) for warning in line.warnings), style="yellow"),
        )
    return table


def _notes(lines: Sequence[Line]) -> list[str]:
    """Each warning once, in the order of its first metric."""
    return list(dict.fromkeys(warning for line in lines for warning in line.warnings))
