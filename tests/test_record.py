"""Records and the store: identity, damage, torn lines, full disks, concurrent writers."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unmix.record import Record, RecordError, Specification, Store, merged


def make(seed: int = 0, value: float = 0.5) -> Record:
    """A record whose numbers are of no interest."""
    specification = Specification({"name": "synthetic"}, {"name": "noise"}, seed, {"samples": 10})
    return Record(
        specification=specification,
        scores={"mcc": {"value": value, "n": 10, "d": 2, "k": 2, "warnings": []}},
        steps=0,
        seconds=0.0,
        curve=[],
        parameters=0,
        versions={"unmix": "0"},
        commit="",
        hardware={},
        finished="2026-01-01T00:00:00+00:00",
    )


def test_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    store.append(make(1))
    assert list(store) == [make(0), make(1)]
    assert store.by_key()[make(1).key] == make(1)


def test_key_is_the_identity_alone() -> None:
    assert make(0, 0.1).key == make(0, 0.9).key
    assert make(0).key != make(1).key
    reordered = Specification({"name": "synthetic"}, {"name": "noise"}, 0, {"samples": 10})
    assert reordered.key == make(0).key


def test_first_record_of_a_key_stands(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "a"), Store(tmp_path / "b")
    first.append(make(0, 0.1))
    first.append(make(0, 0.2))
    second.append(make(0, 0.3))
    assert merged([first, second])[make(0).key].scores["mcc"]["value"] == 0.1


def test_nan_score_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        make(0, float("nan")).to_json()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"key": "torn', "not JSON"),
        ("[]", "schema None"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1, "scores": {}}', "missing or unknown fields"),
    ],
)
def test_damaged_line_is_named_and_hides_nothing(tmp_path: Path, line: str, reason: str) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write(line + "\n")
    store.append(make(1))
    assert [record.specification.seed for record in store] == [0, 1]
    (sentence,) = store.damaged
    assert "records.jsonl:2" in sentence
    assert reason in sentence


def test_changed_content_does_not_pass_under_its_key() -> None:
    content = json.loads(make(0).to_json())
    content["specification"]["seed"] = 7
    with pytest.raises(RecordError, match="does not match"):
        Record.from_json(json.dumps(content))


def test_torn_last_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes() + make(1).to_json().encode()[:40])
    store.append(make(2))
    assert [record.specification.seed for record in store] == [0, 2]
    assert len(store.damaged) == 1


def test_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    before = (tmp_path / "records.jsonl").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.append(make(1))
    assert (tmp_path / "records.jsonl").read_bytes() == before
    store.append(make(1))
    assert len(list(store)) == 2


def _append(folder: Path, first: int) -> None:
    for seed in range(first, first + 25):
        Store(folder).append(make(seed))


def test_concurrent_writers_lose_and_tear_nothing(tmp_path: Path) -> None:
    call = "runpy.run_path(sys.argv[1])['_append'](pathlib.Path(sys.argv[2]), int(sys.argv[3]))"
    code = f"import pathlib, runpy, sys; {call}"
    words = [sys.executable, "-c", code, __file__, str(tmp_path)]
    writers = [subprocess.Popen([*words, str(25 * i)]) for i in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    store = Store(tmp_path)
    assert sorted(record.specification.seed for record in store) == list(range(100))
    assert store.damaged == []


def test_record_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(0).steps = 1  # type: ignore[misc]
