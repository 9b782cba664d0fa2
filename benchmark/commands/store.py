"""unmix store: merge, verify, compact, export and query records."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unmix.commands import STORE, Commands, add_store, no_more

SHOWN = 100
VIEWS = """the views of a query:
  records   key, dataset, method, seed, steps, seconds, parameters, finished, commit,
            scores (a map from metric to value), dataset_fields, method_fields (JSON), json (the whole record)
  scores    a row a record and metric: the plain columns of records, then metric and value"""
EXAMPLES = """examples:
  unmix store query "SELECT method, metric, avg(value) FROM scores WHERE dataset = 'synthetic' GROUP BY ALL"
  unmix store query "SELECT method_fields->>'$.recipe.steps' AS steps, avg(scores['mcc']) FROM records GROUP BY ALL"
  unmix store merge node1/.unmix node2/.unmix --into .unmix
  unmix store verify
  unmix store compact
  unmix store export --format csv --output records.csv"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "store",
        help="merge, verify, compact, export and query records",
        description="A store is a folder of records: lines of JSON, one file a writer, and the Parquet parts that "
        "`compact` makes of them.",
        epilog=f"{VIEWS}\n\n{EXAMPLES}",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    merge = actions.add_parser(
        "merge",
        help="put the records of several stores into one",
        description="Copy records that are not there yet, with their codes and weights. Of two records with one key "
        "that of the target stands, then that of the store that is named first.",
        epilog="example:\n  unmix store merge node1/.unmix node2/.unmix --into .unmix",
    )
    merge.add_argument("sources", type=Path, nargs="+", metavar="STORE", help="folders of records")
    merge.add_argument("--into", type=Path, default=STORE, metavar="STORE", help=f"the target (default: {STORE})")
    verify = actions.add_parser(
        "verify",
        help="name damaged lines, and records whose codes are missing or give other scores",
        description="Read everything; compute every score again from the codes that were kept. Status 1 where "
        "anything is wrong.",
        epilog="examples:\n  unmix store verify\n  unmix store verify --no-rescore      seconds instead of minutes",
    )
    verify.add_argument("--no-rescore", action="store_true", help="only whether the codes can be read")
    compact = actions.add_parser(
        "compact",
        help="turn lines into a Parquet part",
        description="Turn all lines into one more Parquet part, which queries read a thousand times faster. Runs may "
        "go on meanwhile; stopped at any point, nothing is lost or there twice.",
        epilog="example:\n  unmix store compact",
    )
    export = actions.add_parser(
        "export",
        help="write all records as CSV, Parquet or JSON",
        description="csv: a row a record, a column a metric. parquet: the columns of a query. json: whole records, a "
        "line each, which are a store again.",
        epilog="example:\n  unmix store export --format csv --output records.csv",
    )
    export.add_argument("--format", choices=["csv", "parquet", "json"], default="csv", help="(default: csv)")
    export.add_argument("--output", type=Path, default=None, help="(default: export.FORMAT)")
    query = actions.add_parser(
        "query",
        help="one SELECT over all records",
        description="One SELECT in DuckDB's SQL. It reads the records and nothing else.",
        epilog=f"{VIEWS}\n\nexample:\n"
        "  unmix store query \"SELECT method, avg(scores['mcc']) AS mcc FROM records GROUP BY ALL ORDER BY mcc\"",
    )
    query.add_argument("sql", metavar="SQL", help="of the views `records` and `scores`")
    query.add_argument("--format", choices=["table", "csv", "json"], default="table", help="(default: table)")
    handlers = {verify: handle_verify, compact: handle_compact, export: handle_export, query: handle_query}
    merge.set_defaults(handler=handle_merge)
    for action, handler in handlers.items():
        add_store(action)
        action.set_defaults(handler=handler)


def handle_merge(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.disk import stamp, whole
    from unmix.record import Store, read

    for source in known.sources:
        _check(source)
    target = Store(known.into)
    target.folder.mkdir(parents=True, exist_ok=True)
    seen, before = set(target.keys()), len(target.keys())
    damaged = 0
    path = target.folder / f"records.{stamp()}.jsonl"
    with _count(console, "merging") as progress, whole(path) as file:
        for source, found in ((s, found) for s in known.sources for path in _files(s) for found in read(path)):
            if isinstance(found, str):
                damaged += 1
                console.print(f"damaged: {found}", markup=False, highlight=False, soft_wrap=True)
                continue
            record, line = found
            if record.key not in seen:
                _copy(Store(source).run_folder(record.specification), target.run_folder(record.specification))
                file.write(line.encode() + b"\n")
                seen.add(record.key)
            progress.advance(progress.task_ids[0])
    if len(seen) == before:
        path.unlink()
    console.print(f"{len(seen) - before:,} records added to {before:,} of {target.folder}", highlight=False)
    return int(damaged > 0)


def _copy(source: Path, target: Path) -> None:
    """Codes and weights of a run, each whole or not at all; a copied record never lacks them."""
    from unmix.disk import whole

    for name in ("codes.npz", "encoder.safetensors"):
        if (source / name).exists() and not (target / name).exists():
            target.mkdir(parents=True, exist_ok=True)
            with (source / name).open("rb") as given, whole(target / name) as taken:
                shutil.copyfileobj(given, taken)


def handle_verify(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from rich.progress import track

    from unmix.record import Store
    from unmix.submission.rescoring import damage, fault

    _check(known.store)
    store, wrong = Store(known.store), 0
    for sentence in damage(known.store):
        wrong += 1
        print(f"damaged: {sentence}")
    total = len(store.keys())
    for record in track(store, "verifying", total=total, console=console, transient=True):
        if sentence := fault(record, store, rescore=not known.no_rescore):
            wrong += 1
            print(f"{record.key}: {sentence}")
    print(f"{total:,} records, {wrong:,} faults")
    return int(wrong > 0)


def handle_compact(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.parts import compact

    _check(known.store)
    with _count(console, "compacting") as progress:
        moved, damaged = compact(known.store, lambda n: progress.advance(progress.task_ids[0], n))
    for sentence in damaged:
        console.print(f"damaged: {sentence}; its file stays", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{moved:,} records compacted", highlight=False)
    return int(bool(damaged))


def handle_export(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.query import export

    _check(known.store)
    path = known.output or Path(f"export.{known.format}")
    with console.status("exporting"):
        count = export(known.store, known.format, path, lambda sentence: _warn(console, sentence))
    console.print(f"{count:,} records: {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def handle_query(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.query import query

    _check(known.store)
    with console.status("querying"):
        rows = query(known.store, known.sql, lambda sentence: _warn(console, sentence))
        names = next(rows)
    if known.format == "csv":
        csv.writer(sys.stdout).writerows(itertools.chain([names], rows))
    elif known.format == "json":
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True)), default=str))
    else:
        _show(names, rows)
    return 0


def _show(names: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    out = Console() if sys.stdout.isatty() else Console(width=200)
    table = Table(box=None, header_style="bold")
    for name in names:
        table.add_column(Text(name))
    remaining = iter(rows)
    for row in itertools.islice(remaining, SHOWN):
        table.add_row(*(Text(f"{value:.6g}" if isinstance(value, float) else str(value)) for value in row))
    out.print(table)
    if more := sum(1 for _ in remaining):
        out.print(f"and {more:,} rows more: --format csv prints all", highlight=False)


def _check(folder: Path) -> None:
    """Refuse a folder that is none: it is a wrong word, not an empty store."""
    if not folder.is_dir():
        raise ValueError(f"there is no store {folder}")


def _files(folder: Path) -> list[Path]:
    from unmix.disk import files

    return files(folder)


def _warn(console: Console, sentence: str) -> None:
    console.print(f"damaged: {sentence}; ignored", markup=False, highlight=False, soft_wrap=True)


def _count(console: Console, what: str) -> Any:
    """A bar of records whose number is not known beforehand."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description} {task.completed:,.0f} records"), BarColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True)
    progress.add_task(what, total=None)
    return progress
