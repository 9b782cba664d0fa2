"""What can be downloaded from a page of the board: plain rows as CSV, records as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from unmix.board.entries import Entry
from unmix.board.model import Benchmark, Configuration, machine

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would execute a text that starts so


def row(entry: Entry, configuration: Configuration, benchmark: Benchmark) -> dict[str, Any]:
    """A run as plain values."""
    record, specification = entry.record, entry.record.specification
    scores = {m: record.scores[m]["value"] if m in record.scores else None for m in benchmark.metrics}
    return {
        "key": record.key,
        "method": specification.method["name"],
        "settings": benchmark.labels[configuration.key],
        "seed": specification.seed,
        "kind": configuration.role,
        **scores,
        "steps": record.steps,
        "seconds": record.seconds,
        "parameters": record.parameters,
        "hardware": machine(record.hardware),
        "mark": entry.mark,
        "from": configuration.submission or "unmix",
        "commit": record.commit,
    }


def content(entry: Entry) -> dict[str, Any]:
    """An entry's record with its mark and source."""
    return {"mark": entry.mark, "source": entry.source, **json.loads(entry.record.to_json())}


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""RFC 4180 with a header. Text that a spreadsheet would take for a formula gets an apostrophe.

    >>> as_csv([{"method": "=1+1", "mcc": -0.5}])
    "method,mcc\r\n'=1+1,-0.5\r\n"
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _safe(value) for name, value in row.items()})
    return out.getvalue()


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
