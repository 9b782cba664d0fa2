"""A published table as a page of the board: the paper's number beneath ours, row by row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unmix.aggregate import Summary
from unmix.board.entries import Entry
from unmix.board.model import CEILINGS, FLOORS, ICA, ROLES, Cell, Column, Configuration, Group, Role, Sheet
from unmix.record import Specification
from unmix.reproduce import Preset, Published, Row, mark, preset, presets, summaries
from unmix.results import FOLDER


@dataclass(frozen=True)
class Reproduction:
    """A published table at one profile, and which of our records are runs of it.

    Args:
        table: The paper's table.
        profile: Of the runs.
        entries: Ours by key. A submission's runs are not mixed into a reproduction.
    """

    table: Preset
    profile: str
    entries: Mapping[str, Entry]

    @property
    def name(self) -> str:
        return f"{self.table.name.replace('/', '_')}_{self.profile}"

    @property
    def href(self) -> str:
        return f"tables/{self.name}.html"

    @property
    def title(self) -> str:
        return str(self.table.published["title"])

    @property
    def paper(self) -> str:
        file = FOLDER / "paper" / self.table.content["published"][0]
        return str(json.loads(file.read_text(encoding="utf-8"))["paper"])

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.table.profile(self.profile)

    @property
    def possible(self) -> bool:
        """Whether one of our records is on a dataset of the table: quick to say, where `runs` is not."""
        named = {run["dataset"].get("name") for row in self.table.rows for run in row.runs.values()}
        named.add(self.settings["dataset"].get("name"))
        return any(entry.record.specification.dataset["name"] in named for entry in self.entries.values())

    @cached_property
    def cells(self) -> dict[tuple[int, str], list[Specification]]:
        recorded = {entry.record.specification.seed for entry in self.entries.values()}
        return self.table.specifications(self.profile, [s for s in self.settings["seeds"] if s in recorded])

    @cached_property
    def runs(self) -> list[Entry]:
        """Those that are recorded, in the order of the table."""
        keys = dict.fromkeys(s.key for runs in self.cells.values() for s in runs)
        return [self.entries[key] for key in keys if key in self.entries]

    @property
    def done(self) -> tuple[int, int]:
        """Cells with a run, and all cells."""
        return sum(any(s.key in self.entries for s in runs) for runs in self.cells.values()), len(self.cells)

    @cached_property
    def ours(self) -> dict[tuple[int, str], Summary]:
        return summaries(self.table, self.cells, {key: entry.record for key, entry in self.entries.items()})

    def sheet(self, homes: Mapping[str, Configuration]) -> Sheet:
        """The table; `homes` is run key -> its configuration, where a cell leads."""
        columns = [Column(label["title"]) for label in self.table.content["labels"]]
        columns += [Column(column["title"], 1) for column in self.table.columns]
        groups: dict[tuple[str, Role | str], list[list[Cell]]] = {}
        theirs = len(self.table.content["rows"])
        for number, row in enumerate(self.table.rows):
            role = _role(row)
            title = "The paper's rows" if number < theirs else ROLES[role] if role != "method" else "Our rows"
            cells = [Cell(f"{number + 1}. {row.labels[0]}"), *(Cell(label) for label in row.labels[1:])]
            cells += [self._cell(number, column["name"], row, homes) for column in self.table.columns]
            groups.setdefault((title, role), []).append(cells)
        return Sheet(columns, [Group(title, role, rows) for (title, role), rows in groups.items()])  # type: ignore[arg-type]

    def _cell(self, number: int, column: str, row: Row, homes: Mapping[str, Configuration]) -> Cell:
        ours, theirs, digits = self.ours.get((number, column)), row.published.get(column), self.table.digits
        small = [f"paper {printed(theirs, digits)}"] if theirs else []
        if ours is None:
            return Cell("—", small="".join(small))
        small = [f"± {ours.spread:.{digits}f}", *small] if ours.spread is not None else small
        key = next(s.key for s in self.cells[number, column] if s.key in self.entries)
        sign = mark(ours, theirs) if theirs else ""
        return Cell(f"{ours.value:.{digits}f}", ours.value, "\n".join(small), homes[key].href, sign)

    def rows(self) -> list[dict[str, Any]]:
        """For the downloads: a row of plain values for each cell."""
        found = []
        for (number, column), runs in self.cells.items():
            row = self.table.rows[number]
            ours, theirs = self.ours.get((number, column)), row.published.get(column)
            labels = {label["name"]: text for label, text in zip(self.table.content["labels"], row.labels, strict=True)}
            found.append(
                {
                    "row": number + 1,
                    **labels,
                    "column": column,
                    "ours": ours.value if ours else None,
                    "spread": ours.spread if ours else None,
                    "runs": ours.runs if ours else 0,
                    "paper": theirs.value if theirs else None,
                    "paper spread": theirs.spread if theirs else None,
                    "keys": " ".join(s.key for s in runs if s.key in self.entries),
                }
            )
        return found


def reproductions(entries: Sequence[Entry]) -> list[Reproduction]:
    """Every published table at every profile that one of our runs belongs to."""
    own = {entry.record.key: entry for entry in entries if entry.submission is None}
    tables = [preset(name) for name in presets()]
    made = [Reproduction(table, profile, own) for table in tables for profile in table.profiles]
    return [reproduction for reproduction in made if reproduction.possible and reproduction.runs]


def printed(number: Published, digits: int) -> str:
    """As the paper prints it."""
    spread = "" if number.spread is None else f" ± {number.spread:.{digits}f}"
    return f"{number.value:.{digits}f}{spread}"


def _role(row: Row) -> Role:
    """Of a row that is one method; a row of several is a method's."""
    names = {run["method"]["name"].removesuffix(ICA) for run in row.runs.values()}
    return "floor" if names <= set(FLOORS) else "ceiling" if names <= set(CEILINGS) else "method"
