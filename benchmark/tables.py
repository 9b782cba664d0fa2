"""Tables as text: Markdown, LaTeX, CSV and HTML from one value."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A titled table of cells that are text already.

    Args:
        title: One line.
        header: Column names.
        rows: One tuple of cells a row, as many as the header has.
        notes: Sentences under the table.

    Raises:
        ValueError: When a row's length is not the header's.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.header):
                raise ValueError(f"row {number} of {self.title!r} has {len(row)} cells, the header {len(self.header)}")

    def to_markdown(self) -> str:
        """GitHub's flavour; pipes in cells are escaped.

        >>> print(Table("Scores", ("method", "R2"), (("noise", "0.1"),)).to_markdown())
        **Scores**
        <BLANKLINE>
        | method | R2  |
        |--------|-----|
        | noise  | 0.1 |
        <BLANKLINE>
        """
        cells = [[cell.replace("|", "\\|") for cell in row] for row in (self.header, *self.rows)]
        widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(self.header))]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        notes = ["", *self.notes] if self.notes else []
        return "\n".join([f"**{self.title}**", "", *lines, *notes, ""])

    def to_csv(self) -> str:
        """RFC 4180, header first, without title and notes."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.header, *self.rows])
        return out.getvalue()

    def to_latex(self) -> str:
        """A booktabs table environment."""
        body = [" & ".join(map(_latex, row)) + r" \\" for row in self.rows]
        notes = " ".join(map(_latex, self.notes))
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_latex(self.title)}. {notes}}}",
                rf"\begin{{tabular}}{{{'l' * len(self.header)}}}",
                r"\toprule",
                " & ".join(map(_latex, self.header)) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def to_html(self) -> str:
        """A table element; all text is escaped."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in self.rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>\n" for note in self.notes)
        caption = f"<caption>{html.escape(self.title)}</caption>"
        return f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>\n{notes}"


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": Table.to_markdown,
    "csv": Table.to_csv,
    "latex": Table.to_latex,
    "html": Table.to_html,
}
SUFFIXES = {"markdown": ".md", "csv": ".csv", "latex": ".tex", "html": ".html"}

_LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "≈": r"$\approx$",
        "▲": r"$\uparrow$",
        "▼": r"$\downarrow$",
        "κ": r"$\kappa$",
        "β": r"$\beta$",
        "≥": r"$\geq$",
        "²": r"$^2$",
        "×": r"$\times$",
        "Δ": r"$\Delta$",
        "—": "---",
    }
)


def _latex(text: str) -> str:
    return text.translate(_LATEX)
