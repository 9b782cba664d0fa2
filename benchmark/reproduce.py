"""A paper's table as data -> the runs it needs -> ours beside theirs."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unmix.aggregate import Summary, summarise
from unmix.evaluation import Evaluation
from unmix.record import Record, Specification
from unmix.results import FOLDER
from unmix.run import ICA, build, specify
from unmix.tables import Table

Cell = tuple[int, str]  # row, column


EVERY = "*"  # the key of a run that gives all columns of its row


@dataclass(frozen=True)
class Published:
    """A number of a paper: mean (or median) and spread, in the table's unit."""

    value: float
    spread: float | None


@dataclass(frozen=True)
class Row:
    """A row of a table: what it says, what it runs, and the paper's numbers.

    Args:
        labels: One a label column.
        runs: Column, or "*" for all columns -> {"dataset": ..., "method": ...}.
        published: Column -> the paper's number; empty for a row of our own.
    """

    labels: tuple[str, ...]
    runs: Mapping[str, Mapping[str, Any]]
    published: Mapping[str, Published]


@dataclass(frozen=True)
class Preset:
    """A published table with what reproduces it, read from results/paper.

    Args:
        name: "workshop/table1".
        content: The preset file.
        published: The paper's table: title, columns, rows.
    """

    name: str
    content: Mapping[str, Any]
    published: Mapping[str, Any]

    @property
    def profiles(self) -> list[str]:
        return list(self.content["profiles"])

    @property
    def digits(self) -> int:
        """After the decimal point, as the paper prints."""
        return int(self.content.get("digits", 2))

    @property
    def columns(self) -> list[dict[str, str]]:
        """Columns of numbers: name in the paper's table, title, and the registered metric."""
        return [{"metric": self.content.get("metric", ""), **column} for column in self.content["columns"]]

    @property
    def rows(self) -> list[Row]:
        """The paper's rows, then our own (`extra`): floors, ceilings and methods that it does not have."""
        places = {name: place for place, name in enumerate(self.published["columns"])}
        rows = []
        for runs, printed in zip(self.content["rows"], self.published["rows"], strict=True):
            known = [column["name"] for column in self.columns if column["name"] in places]
            numbers = {name: Published(*printed[places[name]]) for name in known if printed[places[name]]}
            labels = tuple(str(printed[places[label["name"]]]) for label in self.content["labels"])
            rows.append(Row(labels, runs, numbers))
        return rows + [Row(tuple(own["labels"]), own["runs"], {}) for own in self.content.get("extra", [])]

    def profile(self, name: str) -> Mapping[str, Any]:
        """Settings of a profile.

        Raises:
            ValueError: When there is none of this name.
        """
        if name not in self.content["profiles"]:
            raise ValueError(f"{self.name} has no profile {name!r}: choose {', '.join(self.profiles)}")
        profile: Mapping[str, Any] = self.content["profiles"][name]
        return profile

    def specifications(self, profile: str, seeds: Sequence[int] | None = None) -> dict[Cell, list[Specification]]:
        """Cell -> its runs, one a seed. Cells may share runs."""
        settings = self.profile(profile)
        seeds = settings["seeds"] if seeds is None else seeds
        evaluation = build(Evaluation, settings.get("evaluation", {}), "evaluation")
        cells = {}
        for number, row in enumerate(self.rows):
            shared: dict[str, list[Specification]] = {}
            for column in [each["name"] for each in self.columns]:
                key = column if column in row.runs else EVERY
                if key in row.runs and key not in shared:
                    run, own = row.runs[key], settings.get("rows", {}).get(str(number + 1), {})
                    name = run["method"]["name"].removesuffix(ICA)
                    dataset = {**run["dataset"], **settings["dataset"]}
                    method = {**run["method"], **settings["methods"].get(name, {}), **own.get(name, {})}
                    shared[key] = [specify(dataset, method, seed, evaluation) for seed in seeds]
                if key in shared:
                    cells[number, column] = shared[key]
        return cells


def presets() -> list[str]:
    """Names of all tables that can be reproduced."""
    return sorted(json.loads(p.read_text(encoding="utf-8"))["name"] for p in (FOLDER / "paper").glob("*_table*.json"))


def preset(name: str) -> Preset:
    """Read a table by its name.

    Raises:
        ValueError: When there is none, with the close ones.
    """
    path = FOLDER / "paper" / f"{name.replace('/', '_')}.json"
    if name not in presets():
        close = difflib.get_close_matches(name, presets()) or presets()
        raise ValueError(f"no table is named {name!r}; did you mean {' or '.join(close)}?")
    content = json.loads(path.read_text(encoding="utf-8"))
    file, table = content["published"]
    published = json.loads((FOLDER / "paper" / file).read_text(encoding="utf-8"))["tables"][table]
    return Preset(name, content, published)


def summaries(
    table: Preset, cells: Mapping[Cell, Sequence[Specification]], records: Mapping[str, Record]
) -> dict[Cell, Summary]:
    """Cell -> centre and spread of its recorded runs, in the table's unit; cells without a record are left out."""
    metrics = {column["name"]: column["metric"] for column in table.columns}
    found = {
        (row, column): [
            table.content["scale"] * records[s.key].scores[metrics[column]]["value"] for s in runs if s.key in records
        ]
        for (row, column), runs in cells.items()
    }
    statistic = table.content.get("statistic", "mean")
    return {cell: summarise(values, statistic) for cell, values in found.items() if values}


def beside(
    table: Preset,
    profile: str,
    cells: Mapping[Cell, Sequence[Specification]],
    records: Mapping[str, Record],
    declined: Mapping[str, str] | None = None,
) -> Table:
    """Ours beside the paper's, the difference marked.

    ≈ within the paper's printed spread (at least 0.01), ▲ above it, ▼ below it; — not run yet. Up to three columns
    of numbers have the paper's in a column of their own, more have it in brackets.

    Args:
        table: The published table.
        profile: Of the runs.
        cells: Their specifications.
        records: By key.
        declined: Key -> reason, of runs whose method has no meaning on the dataset.
    """
    settings, declined = table.profile(profile), declined or {}
    ours = summaries(table, cells, records)
    apart = len(table.columns) <= 3
    header = ["#", *(label["title"] for label in table.content["labels"])]
    for column in table.columns:
        header += [column["title"], "paper"] if apart else [column["title"]]
    rows, reasons = [], []
    for number, row in enumerate(table.rows):
        texts = [str(number + 1), *row.labels]
        for column in table.columns:
            cell = (number, column["name"])
            refused = {declined[s.key] for s in cells.get(cell, []) if s.key in declined}
            reasons += [f"Row {number + 1} declined: {reason}" for reason in refused]
            mine = "declined" if refused else _ours(ours.get(cell), row.published.get(column["name"]), table.digits)
            theirs = _published(row.published.get(column["name"]), table.digits)
            texts += [mine, theirs] if apart else [f"{mine} ({theirs})" if theirs else mine]
        rows.append(tuple(texts))
    counts = sorted({summary.runs for summary in ours.values()})
    data = sorted({s.dataset["name"] for runs_of_cell in cells.values() for s in runs_of_cell})
    runs = " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1])))) if counts else "0"
    ours_is = f"{table.content.get('statistic', 'mean')} of {runs} runs" if counts[-1:] > [1] else f"{runs} run"
    notes = (
        f"Ours: {table.published['metric']}, on {' and '.join(data)}; {ours_is} a cell; "
        f"the paper's{'' if apart else ' (in brackets)'}: {table.published['statistic']} of {table.published['runs']}.",
        "≈ within the paper's spread, ▲ above, ▼ below, — not run.",
        *settings["notes"],
        *dict.fromkeys(reasons),
    )
    title = f"{table.name}, {table.published['title']}, profile {profile}: {settings['title']}"
    return Table(title, tuple(header), tuple(rows), notes)


def mark(ours: Summary, theirs: Published) -> str:
    """≈, ▲ or ▼: our value against the paper's printed value and spread."""
    difference = round(ours.value - theirs.value, 2)
    if math.isnan(difference):
        return "?"
    if abs(difference) <= max(theirs.spread or 0.0, 0.01):
        return "≈"
    return "▲" if difference > 0 else "▼"


def _ours(ours: Summary | None, theirs: Published | None, digits: int) -> str:
    if ours is None:
        return "—"
    return f"{ours:.{digits}f}" + (f" {mark(ours, theirs)}" if theirs else "")


def _published(value: Published | None, digits: int) -> str:
    if value is None:
        return ""
    return f"{value.value:.{digits}f}" + (f" ± {value.spread:.{digits}f}" if value.spread is not None else "")
