"""Records and the store: identity, damage, torn lines, full disks, concurrent writers, disks without locks."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unmix.disk import kept_apart, whole
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
        (make(3).to_json().replace('"value": 0.5', '"value": NaN'), "NaN"),
        (make(3).to_json().replace('"value": 0.5', '"value": 1e400'), "bad scores"),
        (make(3).to_json().replace('"steps": 0', '"steps": "0"'), "bad steps"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_damaged_line_is_named_and_hides_nothing(tmp_path: Path, line: str, reason: str) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("a") as file:
        file.write(line + "\n")
    store.append(make(1))
    assert [record.specification.seed for record in store] == [0, 1]
    (sentence,) = store.damaged
    assert f"{path.name}:2" in sentence
    assert reason in sentence


def test_changed_content_does_not_pass_under_its_key() -> None:
    content = json.loads(make(0).to_json())
    content["specification"]["seed"] = 7
    with pytest.raises(RecordError, match="does not match"):
        Record.from_json(json.dumps(content))


def test_torn_last_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes() + make(1).to_json().encode()[:40])
    store.append(make(2))
    assert [record.specification.seed for record in store] == [0, 2]
    assert len(store.damaged) == 1


def test_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    (path,) = tmp_path.glob("*.jsonl")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.append(make(1))
    assert path.read_bytes() == before
    store.append(make(1))
    assert len(list(store)) == 2


def _append(folder: Path, first: int) -> None:
    for seed in range(first, first + 25):
        Store(folder).append(make(seed))


def _without_locks(folder: Path, first: int) -> None:
    import fcntl

    def missing(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    fcntl.flock = missing
    with kept_apart(folder / "lock"):
        _append(folder, first)


@pytest.mark.parametrize("writer", ["_append", "_without_locks"])
def test_concurrent_writers_lose_and_tear_nothing(tmp_path: Path, writer: str) -> None:
    call = f"runpy.run_path(sys.argv[1])['{writer}'](pathlib.Path(sys.argv[2]), int(sys.argv[3]))"
    code = f"import pathlib, runpy, sys; {call}"
    words = [sys.executable, "-c", code, __file__, str(tmp_path)]
    writers = [subprocess.Popen([*words, str(25 * i)]) for i in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    store = Store(tmp_path)
    assert sorted(record.specification.seed for record in store) == list(range(100))
    assert store.damaged == []
    assert len(list(tmp_path.glob("*.jsonl"))) == 4


def test_a_line_without_end_is_read_where_it_is_whole(tmp_path: Path) -> None:
    """An editor may leave out the last line break; a writer that is killed leaves half a line."""
    (tmp_path / "records.jsonl").write_text(make(0).to_json() + "\n" + make(1).to_json())
    store = Store(tmp_path)
    assert [record.specification.seed for record in store] == [0, 1]
    assert store.damaged == []
    (tmp_path / "records.jsonl").write_text(make(0).to_json() + "\n" + make(1).to_json()[:-9])
    assert list(store) == [make(0)]
    assert "unfinished" in store.damaged[0]


def test_find_reads_only_what_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, parsed = Store(tmp_path), []
    from_json = Record.from_json

    def counted(line: str | bytes) -> Record:
        parsed.append(line)
        return from_json(line)

    for seed in range(5):
        store.append(make(seed))
    monkeypatch.setattr(Record, "from_json", counted)
    assert store.find(make(3).key) == make(3)
    assert len(parsed) == 5 + 1
    store.append(make(5))
    assert Store(tmp_path).find(make(5).key) == make(5)
    assert len(parsed) == 5 + 1 + 1 + 1
    assert store.find("nothing") is None
    assert store.keys() == {make(seed).key for seed in range(6)}
    assert len(parsed) == 5 + 1 + 1 + 1


def test_find_gives_the_record_that_stands_and_sees_files_change(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, value in (("b", 0.2), ("c", 0.3), ("a", 0.1)):
        (tmp_path / f"{name}.jsonl").write_text(make(0, value).to_json() + "\n")
        found = store.find(make(0).key)
        assert found == store.by_key()[make(0).key] == make(0, {"b": 0.2, "c": 0.2, "a": 0.1}[name])
    (tmp_path / "a.jsonl").unlink()
    assert store.find(make(0).key) == make(0, 0.2)
    (tmp_path / "b.jsonl").write_text("")
    (tmp_path / "c.jsonl").unlink()
    assert store.find(make(0).key) is None


def test_an_error_of_a_disk_is_not_taken_for_missing_locks(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), kept_apart(tmp_path / "file" / "lock"):
        pass


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    path.write_bytes(b"before")

    def write() -> None:
        with whole(path) as file:
            file.write(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_record_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(0).steps = 1  # type: ignore[misc]
