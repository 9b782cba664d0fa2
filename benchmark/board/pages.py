"""The board as static pages: no server, no scripts from elsewhere, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from unmix import __version__
from unmix.board import about
from unmix.board.downloads import as_csv, content, row
from unmix.board.entries import Entry
from unmix.board.figures import curves, heat, scatter, strip
from unmix.board.model import (
    ICA,
    Benchmark,
    Configuration,
    benchmarks,
    configurations,
    results,
    seeds,
    sheet,
    slug,
)
from unmix.board.tables import Reproduction, reproductions
from unmix.citations import bibliography, software, submitted, titled
from unmix.commands.run import command
from unmix.fields import spoken
from unmix.record import Record
from unmix.registry import DATASETS, METHODS, METRICS
from unmix.results import FOLDER

TEMPLATES = Path(__file__).parent / "templates"
MARKER = "site.json"  # what tells a folder of ours
PICTURES = FOLDER.parent / "docs"  # of a checkout; an installed wheel has none


@dataclass
class Board:
    """Everything that the pages show, sorted out once.

    Args:
        entries: What is on the board.
        folder: Where the pages go.
    """

    entries: Sequence[Entry]
    folder: Path
    pages: int = 0
    configurations: list[Configuration] = field(init=False)
    benchmarks: list[Benchmark] = field(init=False)
    tables: list[Reproduction] = field(init=False)

    def __post_init__(self) -> None:
        self.configurations = configurations(self.entries)
        self.benchmarks = benchmarks(self.configurations)
        self.tables = reproductions(self.entries)
        self.homes = {c.key: b for b in self.benchmarks for c in b.configurations}
        self.of_run = {e.record.key: c for c in self.configurations for e in c.entries}
        self.better = {name: int(metric.direction) for name, metric in METRICS.items()}
        self.methods = {name: about.method(name) for name in sorted({*METHODS, *map(_plain, self.configurations)})}
        named = {*DATASETS, *(str(c.dataset["name"]) for c in self.configurations)}
        self.datasets = {name: about.dataset(name) for name in sorted(named)}
        self.submissions = {e.source: e.submission for e in self.entries if e.submission is not None}
        self.environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals.update(
            board=self, slug=slug, spoken=spoken, version=__version__, strip=strip, pieces=about.pieces
        )

    def write(self, href: str, template: str, **values: Any) -> None:
        """A page; `root` leads from it to the index."""
        root = "../" * href.count("/")
        text = self.environment.get_template(template).render(root=root, here=href, **values)
        self.save(href, text)
        self.pages += 1

    def save(self, href: str, text: str) -> None:
        path = self.folder / href
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")

    def download(self, href: str, rows: Sequence[Mapping[str, Any]], content: Any) -> None:
        """`rows` as CSV and `content` as JSON, beside the page."""
        stem = href.removesuffix(".html")
        self.save(f"{stem}.csv", as_csv(rows))
        self.save(f"{stem}.json", json.dumps(content, indent=1, ensure_ascii=False))

    def papers(self, given: Iterable[Configuration]) -> str:
        """BibTeX of methods, datasets, submissions and the software."""
        found: list[str] = []
        for c in given:
            found += self.methods[_plain(c)].references
            found += self.datasets[c.dataset["name"]].references
            found.append(submitted(c.entries[0].submission))
        return bibliography(*found, software())


def build(output: Path, entries: Sequence[Entry], report: Callable[[int, int], None] | None = None) -> int:
    """Write the site, whole or not at all; an older one in its place is replaced. Returns the number of pages.

    Args:
        output: The folder of the site.
        entries: What is on the board.
        report: Told how many parts of how many are done.

    Raises:
        ValueError: There is nothing to show, or `output` holds something that is not a site of ours.
    """
    if not entries:
        raise ValueError("no records to show: give a --results folder or a --store that has some")
    output = output.absolute()
    if output.exists() and not is_site(output):
        raise ValueError(f"{output} is there and is no site of unmix's: choose another --output, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        new, old = partial / "new", partial / "old"
        new.mkdir()
        board = Board(entries, new)
        parts = _parts(board)
        for done, (part, given) in enumerate(parts):
            part(board, *given)
            if report:
                report(done + 1, len(parts))
        board.save(MARKER, json.dumps({"made by": "unmix site build", "version": __version__, "pages": board.pages}))
        if output.exists():
            output.rename(old)
        new.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return board.pages


def is_site(folder: Path) -> bool:
    """True of a site of ours and of an empty folder."""
    if not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    try:
        content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("made by") == "unmix site build"


Part = tuple[Callable[..., None], tuple[Any, ...]]


def _parts(board: Board) -> list[Part]:
    parts: list[Part] = [(_index, ())]
    parts += [(_table, (table,)) for table in board.tables]
    parts += [(_benchmark, (benchmark,)) for benchmark in board.benchmarks]
    parts += [(_method, (known,)) for known in board.methods.values()]
    parts += [(_dataset, (known,)) for known in board.datasets.values()]
    parts += [(_submission, (name,)) for name in board.submissions]
    parts += [(_configuration, (c,)) for c in board.configurations if len(c.entries) > 1]
    return parts + [(_run, (entry,)) for entry in board.entries]


def _index(board: Board) -> None:
    for name in ("board.css", "board.js"):
        shutil.copyfile(TEMPLATES / name, board.folder / name)
    board.write("index.html", "index.html")


def _table(board: Board, table: Reproduction) -> None:
    given = [board.of_run[entry.record.key] for entry in table.runs]
    bib = bibliography(titled(table.paper), board.papers(given))
    shown = table.sheet(board.of_run)
    board.download(table.href, table.rows(), [content(entry) for entry in table.runs])
    board.write(table.href, "table.html", table=table, sheet=shown, bib=bib)


def _benchmark(board: Board, benchmark: Benchmark) -> None:
    figures = [made for metric in benchmark.metrics if (made := scatter(benchmark, metric)) is not None]
    rows = [row(e, board.of_run[e.record.key], benchmark) for e in benchmark.entries]
    board.download(benchmark.href, rows, [content(entry) for entry in benchmark.entries])
    board.write(
        benchmark.href,
        "benchmark.html",
        benchmark=benchmark,
        sheet=sheet(benchmark, board.better),
        figures=figures,
        known=board.datasets[benchmark.dataset["name"]],
        bib=board.papers(benchmark.configurations),
    )


def _method(board: Board, known: about.About) -> None:
    given = [c for c in board.configurations if _plain(c) == known.name]
    shown = results(given, board.homes, board.better) if given else None
    bib = bibliography(*known.references, *(submitted(c.entries[0].submission) for c in given), software())
    board.write(f"methods/{slug(known.name)}.html", "method.html", known=known, sheet=shown, bib=bib)


def _dataset(board: Board, known: about.About) -> None:
    picture = PICTURES / f"data_{known.name}.png"
    shown = known.lead != "" and picture.exists()
    if shown:
        (board.folder / "pictures").mkdir(exist_ok=True)
        shutil.copyfile(picture, board.folder / "pictures" / f"{known.name}.png")
    mine = [b for b in board.benchmarks if b.dataset["name"] == known.name]
    bib = bibliography(*known.references, software())
    href = f"datasets/{slug(known.name)}.html"
    board.write(href, "dataset.html", known=known, picture=shown, benchmarks=mine, bib=bib)


def _submission(board: Board, name: str) -> None:
    given = [c for c in board.configurations if c.submission == name]
    content = board.submissions[name] or {}
    said = spoken({key: value for key, value in content.items() if key not in ("schema", "title", "data", "citation")})
    shown = results(given, board.homes, board.better)
    bib = bibliography(submitted(content), software())
    href = f"submissions/{slug(name)}.html"
    board.write(href, "submission.html", name=name, content=content, said=said, sheet=shown, bib=bib)


def _configuration(board: Board, configuration: Configuration) -> None:
    home = board.homes[configuration.key]
    board.write(
        configuration.page,
        "configuration.html",
        configuration=configuration,
        benchmark=home,
        sheet=seeds(configuration, home, board.better),
        commands=[_command(entry.record) for entry in configuration.entries],
        bib=board.papers([configuration]),
    )


def _run(board: Board, entry: Entry) -> None:
    record, configuration = entry.record, board.of_run[entry.record.key]
    if entry.codes is not None:
        (board.folder / "codes").mkdir(exist_ok=True)
        shutil.copyfile(entry.codes, board.folder / "codes" / f"{record.key}.npz")
    board.write(
        f"runs/{record.key}.html",
        "run.html",
        entry=entry,
        record=record,
        configuration=configuration,
        benchmark=board.homes[configuration.key],
        command=_command(record),
        scores=[_score(name, score) for name, score in record.scores.items()],
        figures=curves(record.curve),
        heat=_heat(board, entry),
        tables=[table for table in board.tables if any(e is entry for e in table.runs)],
        bib=board.papers([configuration]),
    )


def _command(record: Record) -> tuple[str, str]:
    """The command of a run, or why there is none. It executes nothing: a method in a file has no command here."""
    try:
        return command(record.specification, str(record.hardware.get("device", "cpu"))), ""
    except (ValueError, KeyError) as reason:
        return "", str(reason)


def _score(name: str, score: Mapping[str, Any]) -> dict[str, Any]:
    metric = METRICS.get(name)
    chance = None if metric is None else metric.chance
    return {
        "name": name,
        "value": float(score["value"]),
        "chance": chance(score["k"]) if callable(chance) else chance,
        "better": "" if metric is None else "higher" if metric.direction > 0 else "lower",
        "reference": "" if metric is None else metric.reference,
        "blind": metric.blind if metric is not None and isinstance(metric.blind, str) else "",
        "shape": [score[letter] for letter in "ndk"],
        "warnings": [str(warning) for warning in score["warnings"]],
    }


def _heat(board: Board, entry: Entry) -> Any:
    """Correlations of codes with factors; None where the codes are not here, or nobody has looked at them yet."""
    if entry.codes is None or entry.mark == "claimed":
        return None
    with np.load(entry.codes, allow_pickle=False) as saved:
        codes, factors = saved["codes"], saved["factors"]
    declared = board.datasets[entry.record.specification.dataset["name"]].factors
    return heat(codes, factors, [factor.name for factor in declared])


def _plain(configuration: Configuration) -> str:
    return str(configuration.method["name"]).removesuffix(ICA)
