"""What the board shows: every committed record once, with its mark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from boards import record

from unmix.board.entries import entries
from unmix.record import Record
from unmix.results import FOLDER


def write(path: Path, *records: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(each.to_json() + "\n" for each in records), encoding="utf-8")


def submit(folder: Path, name: str, *records: Record, marks: dict[str, str] | None = None) -> Path:
    place = folder / "submissions" / name
    write(place / "records.jsonl", *records)
    (place / "submission.json").write_text(json.dumps({"name": name}), encoding="utf-8")
    if marks is not None:
        (place / "marks.json").write_text(json.dumps(marks), encoding="utf-8")
    return place


def test_ours_are_verified_where_their_codes_are(tmp_path: Path) -> None:
    kept, lost = record("pca", 0), record("pca", 1)
    write(tmp_path / "reproduced" / "table.jsonl", kept, lost)
    (tmp_path / "codes").mkdir()
    np.savez(tmp_path / "codes" / f"{kept.key}.npz", codes=np.zeros((2, 1)))
    one, other = entries(tmp_path)
    assert (one.record, one.mark, one.source, one.submission) == (kept, "verified", "table", None)
    assert one.codes == tmp_path / "codes" / f"{kept.key}.npz"
    assert (other.record, other.mark, other.codes) == (lost, "claimed", None)


def test_a_submission_has_the_marks_of_its_file_and_is_claimed_without(tmp_path: Path) -> None:
    first, second, third = (record("pca", seed) for seed in range(3))
    submit(tmp_path, "judged", first, second, marks={first.key: "reproduced"})
    submit(tmp_path, "new", third)
    found = {entry.record.key: entry for entry in entries(tmp_path)}
    assert [found[each.key].mark for each in (first, second, third)] == ["reproduced", "claimed", "claimed"]
    assert found[first.key].source == "judged"
    assert found[third.key].submission == {"name": "new"}


def test_of_two_with_one_key_ours_stands(tmp_path: Path) -> None:
    """A submission cannot replace a committed record by one with the same specification and other scores."""
    ours, theirs = record("pca", mcc=0.4), record("pca", mcc=0.9)
    assert ours.key == theirs.key
    write(tmp_path / "reproduced" / "table.jsonl", ours)
    submit(tmp_path, "greedy", theirs, marks={theirs.key: "reproduced"})
    (only,) = entries(tmp_path)
    assert only.record.scores["mcc"]["value"] == 0.4
    assert only.submission is None


def test_every_committed_record_is_there_once() -> None:
    found = entries()
    keys = [entry.record.key for entry in found]
    assert len(set(keys)) == len(keys)
    lines = [line for path in (FOLDER / "reproduced").glob("*.jsonl") for line in path.read_text().splitlines() if line]
    assert {json.loads(line)["key"] for line in lines} <= set(keys)
