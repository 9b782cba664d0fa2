"""What the board shows: every committed record with its mark and where it comes from. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unmix.record import Record, Store
from unmix.results import FOLDER

Mark = Literal["claimed", "verified", "reproduced"]


@dataclass(frozen=True)
class Entry:
    """A record and how far it can be believed.

    Args:
        record: The run.
        mark: "claimed"; "verified": its scores were recomputed from its codes; "reproduced": it was trained again.
        source: The file of our own records, or the submission's name.
        submission: The submission's `submission.json`; None for our own. Text from outside: escape it.
        codes: Its codes and factors, None where they are not kept.
    """

    record: Record
    mark: Mark
    source: str
    submission: Mapping[str, Any] | None = None
    codes: Path | None = None


def entries(folder: Path = FOLDER) -> list[Entry]:
    """Our own records (`reproduced/*.jsonl`), then those of `submissions/NAME`; of two with one key the first stands.

    Our own are verified where their codes are committed, since a test scores those again. A submission's marks are in
    its `marks.json`, key -> mark, which `unmix submission` writes; without one it is claimed.
    """
    found: dict[str, Entry] = {}
    for path in sorted((folder / "reproduced").glob("*.jsonl")):
        for record in (Record.from_json(line) for line in path.read_text(encoding="utf-8").splitlines() if line):
            codes = folder / "codes" / f"{record.key}.npz"
            kept = codes.exists()
            entry = Entry(record, "verified" if kept else "claimed", path.stem, None, codes if kept else None)
            found.setdefault(record.key, entry)
    for path in sorted((folder / "submissions").glob("*/submission.json")):
        submission = json.loads(path.read_text(encoding="utf-8"))
        marks_file = path.with_name("marks.json")
        marks = json.loads(marks_file.read_text(encoding="utf-8")) if marks_file.exists() else {}
        for key, record in Store(path.parent).by_key().items():
            codes = path.parent / "codes" / f"{key}.npz"
            mark = marks.get(key, "claimed")
            found.setdefault(
                key, Entry(record, mark, path.parent.name, submission, codes if codes.exists() else None)
            )
    return list(found.values())
