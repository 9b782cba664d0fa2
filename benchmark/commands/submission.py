"""unmix submission: check what was submitted; train it again."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unmix.commands import Commands, add_execution, executor, no_more

if TYPE_CHECKING:
    from unmix.record import Record
    from unmix.submission.verification import Report

STYLES = {"refused": "red", "warning": "yellow", "not checked": "cyan", "checked": "green"}
MARKS = """marks: claimed; verified: every score was recomputed from the codes, whose factors are those of the
evaluation samples; reproduced: a maintainer trained it again."""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "submission",
        help="check a submission, or train it again",
        description="Judge a submission that `unmix submit` packed.",
        epilog=f"examples:\n  unmix submission check results/submissions/my_method\n"
        f"  unmix submission rerun results/submissions/my_method --yes-execute\n\n{MARKS}",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(parser))
    check = actions.add_parser(
        "check",
        help="judge every file and recompute every score",
        description="Judge a submission's folder, or an archive of it: files and sizes, fields, keys, data, factors of "
        "the evaluation samples, and every score, recomputed from the codes. Nothing of it is executed. All that is "
        "wrong is listed; the status is 1 where anything is.",
        epilog="examples:\n  unmix submission check results/submissions/my_method\n"
        f"  unmix submission check my_method.zip --json report.json\n\n{MARKS}",
    )
    check.add_argument("path", type=Path, help="folder, or .zip, .tar, .tar.gz, .tar.xz, .tar.bz2")
    check.add_argument("--json", type=Path, default=None, help="write the report here")
    check.add_argument("--mark", action="store_true", help="write what is found to the folder's marks.json")
    check.set_defaults(handler=handle_check)
    rerun = actions.add_parser(
        "rerun",
        help="train it again from its method and seeds (executes code from the submission)",
        description="Train a submission's runs again, compare the scores and mark as reproduced what agrees. The "
        "method's file of the submission is executed: read it first. On the same kind of machine with the same "
        "versions, scores must be equal (1e-6); elsewhere within three standard deviations over the seeds, where "
        "there are three or more, and within 0.01 in any case.",
        epilog="example:\n  unmix submission rerun results/submissions/my_method --keys 3f2a --yes-execute",
    )
    rerun.add_argument("path", type=Path, help="the submission's folder")
    rerun.add_argument("--keys", nargs="+", default=["ALL"], metavar="KEY", help="only these (default: all)")
    rerun.add_argument("--yes-execute", action="store_true", help="you have read the method's file")
    rerun.add_argument("--store", type=Path, default=Path(".unmix/reruns"), help="of the runs, a folder a submission")
    add_execution(rerun)
    rerun.set_defaults(handler=handle_rerun)


def handle_check(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.scoring import write
    from unmix.submission.rerun import write_marks

    if known.mark and not known.path.is_dir():
        raise ValueError(f"--mark writes into a folder, and {known.path} is none: unpack it first")
    report = _verified(known.path, console)
    show(report, Console())
    if known.json is not None:
        write(known.json, json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n")
        console.print(f"written: {known.json}", markup=False, soft_wrap=True)
    if known.mark and report.accepted:
        write_marks(known.path, report.marks)
        console.print(f"written: {known.path / 'marks.json'}", markup=False, soft_wrap=True)
    return 0 if report.accepted else 1


def handle_rerun(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.progress import Bars
    from unmix.record import Record, Store
    from unmix.submission.archive import text_of
    from unmix.submission.packing import chosen
    from unmix.submission.rerun import prepare, settle
    from unmix.sweep import execute, missing

    report = _verified(known.path, console)
    if not report.accepted or not known.path.is_dir():
        show(report, Console())
        raise ValueError(f"{known.path} is not trained again: give an accepted submission's folder")
    lines = text_of(known.path / "records.jsonl").split("\n")
    records = {record.key: record for record in (Record.from_json(line) for line in lines if line.strip())}
    asked = chosen(known.keys, records)
    method = known.path / "method.py"
    if not known.yes_execute:
        code = f"It executes {method}: read it, then" if method.exists() else "To train"
        raise ValueError(f"{len(asked)} runs would be trained again. {code} say --yes-execute")
    store = Store(known.store / report.name)
    prepare(asked, method, store)
    labels = {r.key: f"{r.specification.method['name']} seed {r.specification.seed}" for r in asked}
    todo = missing([record.specification for record in asked], store)
    with Bars(len(todo), labels, console) as bars:
        execute(todo, store, bars, executor(known, len(todo)), retries=known.retries)
    different = settle(known.path, asked, records, store, report.marks)
    _show_reruns(asked, different)
    return 1 if any(different.values()) else 0


def show(report: Report, out: Console) -> None:
    """Every item, then the marks; what comes from outside is text, not markup."""
    from unmix.submission.verification import counted

    table = Table("where", "verdict", "what", box=None, pad_edge=False, header_style="dim")
    table.columns[2].overflow = "fold"
    for finding in report.findings:
        table.add_row(Text(finding.place), Text(finding.verdict, style=STYLES[finding.verdict]), Text(finding.text))
    out.print(table)
    marks = [f"{list(report.marks.values()).count(mark)} {mark}" for mark in sorted(set(report.marks.values()))]
    said = ("accepted", "green") if report.accepted else ("refused", "red")
    summary = [*counted(report.findings), *(marks if report.accepted else [])]
    out.print(Text.assemble(f"\n{report.name}: ", said, f" ({', '.join(summary)})" if summary else ""))


def _show_reruns(asked: list[Record], different: dict[str, list[str]]) -> None:
    for record in asked:
        said = different[record.key]
        verdict = ("different", "red") if said else ("reproduced", "green")
        Console().print(Text.assemble(f"{record.key}  ", verdict, f"  {'; '.join(said)}"), soft_wrap=True)


def _verified(path: Path, console: Console) -> Report:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from unmix.submission.verification import verify

    text = TextColumn("{task.description}", markup=False)
    with Progress(SpinnerColumn(), text, TimeElapsedColumn(), console=console, transient=True) as bars:
        task = bars.add_task("files", total=None)
        return verify(path, watch=lambda said: bars.update(task, description=said))
