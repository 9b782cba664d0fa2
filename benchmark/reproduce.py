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
from unmix.run import build, specify
from unmix.tables import Table

Cell = tuple[int, str]  # row, column


@dataclass(frozen=True)
class Published:
    """A number of a paper: mean (or median) and spread, in the table's unit."""

    value: float
    spread: float | None


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
        for row, columns in enumerate(self.content["rows"]):
            for column, run in columns.items():
                dataset = {**run["dataset"], **settings["dataset"]}
                name = run["method"]["name"]
                own = settings.get("rows", {}).get(str(row + 1), {})
                method = {**run["method"], **settings["methods"].get(name, {}), **own.get(name, {})}
                cells[row, column] = [specify(dataset, method, seed, evaluation) for seed in seeds]
        return cells

    def cell(self, row: int, column: str) -> Published:
        """The paper's value."""
        value, spread = self.published["rows"][row][self.published["columns"].index(column)]
        return Published(value, spread)


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
    """Cell -> mean and spread of its recorded runs, in the table's unit; cells without a record are left out."""
    metric, scale = table.content["metric"], table.content["scale"]
    found = {
        cell: [scale * records[s.key].scores[metric]["value"] for s in runs if s.key in records]
        for cell, runs in cells.items()
    }
    return {cell: summarise(values) for cell, values in found.items() if values}


def beside(
    table: Preset, profile: str, cells: Mapping[Cell, Sequence[Specification]], records: Mapping[str, Record]
) -> Table:
    """Our mean ± std beside the paper's, the difference marked.

    ≈ within the paper's printed spread (at least 0.01), ▲ above it, ▼ below it; — not run yet.
    """
    settings = table.profile(profile)
    ours = summaries(table, cells, records)
    columns = table.content["columns"]
    header = ["#", "z in", "p(z)", "p(z'|z)", "codes in", "model"]
    for column in columns:
        header += [column["title"], "paper"]
    rows = []
    for row, published in enumerate(table.published["rows"]):
        cells_of_row = [str(row + 1), *map(str, published[:5])]
        for column in columns:
            theirs = table.cell(row, column["name"])
            mine = ours.get((row, column["name"]))
            cells_of_row += [f"{mine} {mark(mine, theirs)}" if mine else "—", _published(theirs)]
        rows.append(tuple(cells_of_row))
    runs = max((summary.runs for summary in ours.values()), default=0)
    notes = (
        f"Ours: {table.published['metric']}; {runs} run{'s' if runs != 1 else ''} a cell; "
        f"the paper's: {table.published['statistic']} of {table.published['runs']}.",
        "≈ within the paper's spread, ▲ above, ▼ below, — not run.",
        *settings["notes"],
    )
    title = f"{table.name}, {table.published['title']}, profile {profile}: {settings['title']}"
    return Table(title, tuple(header), tuple(rows), notes)


def mark(ours: Summary, theirs: Published) -> str:
    """≈, ▲ or ▼: our mean against the paper's printed value and spread."""
    difference = round(ours.mean - theirs.value, 2)
    if math.isnan(difference):
        return "?"
    if abs(difference) <= max(theirs.spread or 0.0, 0.01):
        return "≈"
    return "▲" if difference > 0 else "▼"


def _published(value: Published) -> str:
    return f"{value.value:.2f}" + (f" ± {value.spread:.2f}" if value.spread is not None else "")
