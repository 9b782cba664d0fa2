"""Parquet parts, queries and `unmix store`: nothing is lost or there twice, wherever it is stopped."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from test_record import make

from unmix.cli import main
from unmix.parts import compact
from unmix.query import export, query
from unmix.record import Record, Store
from unmix.results import FOLDER


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A store of the committed records."""
    return Path(shutil.copytree(FOLDER / "reproduced", tmp_path / "committed"))


def asked(folder: Path, sql: str) -> list[tuple[object, ...]]:
    def warn(sentence: str) -> None:
        raise AssertionError(sentence)

    return list(query(folder, sql, warn))[1:]


def texts(store: Store) -> list[str]:
    return [record.to_json() for record in store]


def test_compacted_records_are_the_same_to_the_letter(committed: Path) -> None:
    store = Store(committed)
    lines: dict[str, str] = {}
    for path in sorted(committed.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            lines.setdefault(json.loads(line)["key"], line)
    before, records = texts(store), store.by_key()
    compact(committed)
    assert not list(committed.glob("*.jsonl"))
    assert texts(store) == before
    assert store.by_key() == records
    assert all(store.find(key) == record for key, record in records.items())
    assert store.keys() == records.keys()
    assert dict(asked(committed, "SELECT key, json FROM records")) == lines


def test_compacting_again_takes_only_what_is_new(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    assert compact(tmp_path) == (1, [])
    assert compact(tmp_path) == (0, [])
    store.append(make(0, 0.9))  # written by another machine meanwhile: the first stands
    store.append(make(1))
    assert compact(tmp_path) == (1, [])
    assert list(store) == [make(0), make(1)]
    assert asked(tmp_path, "SELECT seed, scores['mcc'] FROM records ORDER BY seed") == [(0, 0.5), (1, 0.5)]


@pytest.mark.parametrize("operation", range(12))
def test_a_kill_at_any_point_loses_nothing_and_leaves_nothing_twice(
    tmp_path: Path, operation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one call to the disk on all fail, as for a process that is no more. Then it is read, and compacted again."""
    store = Store(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(make(1).to_json() + "\n" + make(ord(name)).to_json() + "\n")
    before = texts(store)
    calls = 0

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls > operation:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "unlink", "fsync"):
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            compact(tmp_path)
        except KeyboardInterrupt:
            assert operation < 8
    assert sorted(texts(store)) == sorted(before)
    assert asked(tmp_path, "SELECT count(*), count(DISTINCT key) FROM records") == [(3, 3)]
    compact(tmp_path)
    assert sorted(texts(Store(tmp_path))) == sorted(before)
    assert [path.suffix for path in tmp_path.glob("*[!k]")] == [".parquet"]
    assert asked(tmp_path, "SELECT count(*), count(DISTINCT key) FROM records") == [(3, 3)]


def test_compacting_beside_writers_loses_nothing(tmp_path: Path) -> None:
    store, count = Store(tmp_path), 60

    def write(first: int) -> None:
        for seed in range(first, first + count):
            store.append(make(seed))

    writers = [threading.Thread(target=write, args=(count * number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    seen: set[str] = set()
    while any(writer.is_alive() for writer in writers):
        compact(tmp_path)
        now = {record.key for record in Store(tmp_path)}
        assert seen <= now  # a reader never loses sight of a record
        seen = now
    compact(tmp_path)
    assert sorted(record.specification.seed for record in Store(tmp_path)) == list(range(2 * count))
    assert asked(tmp_path, "SELECT count(*), count(DISTINCT key) FROM records") == [(2 * count, 2 * count)]


def test_a_writer_whose_file_is_taken_writes_its_line_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, fsync = Store(tmp_path), os.fsync
    store.append(make(0))

    def slow(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        compact(tmp_path)  # of another process, after the line was written and before the writer looked again
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    store.append(make(1))
    assert list(store) == [make(0), make(1)]
    assert len(list(tmp_path.glob("*.jsonl"))) == 1


def test_two_parts_that_share_records_count_them_once(tmp_path: Path) -> None:
    """As two `compact` at once leave them on a disk without locks."""
    for name, seeds in (("one", (0, 1)), ("two", (1, 2))):
        for seed in seeds:
            Store(tmp_path / name).append(make(seed, 0.1 if name == "one" else 0.2))
        compact(tmp_path / name)
        (path,) = (tmp_path / name).glob("*.parquet")
        path.rename(tmp_path / f"records.{name}.parquet")
    found = asked(tmp_path, "SELECT seed, value FROM scores ORDER BY seed")
    assert found == [(0, 0.1), (1, 0.1), (2, 0.2)]
    assert [record.scores["mcc"]["value"] for record in Store(tmp_path)] == [0.1, 0.1, 0.2]


def test_a_file_with_a_damaged_line_stays(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(make(0).to_json() + "\ntorn\n")
    moved, (sentence,) = compact(tmp_path)
    assert moved == 1
    assert ":2: not JSON" in sentence
    store = Store(tmp_path)
    assert list(store) == [make(0)]
    assert len(store.damaged) == 1


def test_a_damaged_part_is_named_and_hides_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(make(0))
    compact(tmp_path)
    (path,) = tmp_path.glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    store.append(make(1))
    assert list(store) == [make(1)]
    assert path.name in store.damaged[0]
    assert store.keys() == {make(1).key}


def test_without_pyarrow_or_duckdb_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).append(make(0))
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ValueError, match=r"unmix\[store\]"):
        asked(tmp_path, "SELECT 1")
    compact(tmp_path)
    assert list(Store(tmp_path)) == [make(0)]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"unmix\[store\]"):
        list(Store(tmp_path))


@pytest.mark.parametrize("compacted", [False, True])
def test_a_query_gives_what_a_scan_gives(committed: Path, compacted: bool) -> None:
    records = list(Store(committed))
    if compacted:
        compact(committed)
        Store(committed).append(make(0, 0.25))
        records.append(make(0, 0.25))
    means: dict[str, list[float]] = {}
    for record in records:
        if record.specification.dataset["name"] == "synthetic" and "mcc" in record.scores:
            means.setdefault(record.specification.method["name"], []).append(record.scores["mcc"]["value"])
    sql = "SELECT method, avg(value) FROM scores WHERE dataset = 'synthetic' AND metric = 'mcc' GROUP BY ALL"
    found = dict(asked(committed, sql))
    assert found == {method: pytest.approx(sum(values) / len(values)) for method, values in means.items()}
    steps = "SELECT DISTINCT method_fields->>'$.recipe.steps' AS steps FROM records WHERE method = 'contrastive'"
    methods = [record.specification.method for record in records]
    expected = {str(method["recipe"]["steps"]) for method in methods if method["name"] == "contrastive"}
    assert {number for (number,) in asked(committed, steps)} == expected


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM read_text('/etc/hostname')", "Permission"),
        ("SELECT * FROM glob('/etc/*')", "Permission"),
        ("COPY (SELECT 1) TO 'stolen.csv'", "one SELECT"),
        ("SET enable_external_access = true", "one SELECT"),
        ("DROP VIEW records", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("", "one SELECT"),
        ("SELECT missing FROM records", "missing"),
        ("nonsense", "syntax"),
    ],
)
def test_a_query_reads_the_records_and_nothing_else(tmp_path: Path, sql: str, reason: str) -> None:
    Store(tmp_path).append(make(0))
    compact(tmp_path)
    with pytest.raises(ValueError, match=reason):
        asked(tmp_path, sql)


def test_exports_hold_every_record(committed: Path, tmp_path: Path) -> None:
    expected = Store(committed).by_key()
    paths = {form: tmp_path / f"out.{form}" for form in ("csv", "json", "parquet")}
    assert {export(committed, form, path, print) for form, path in paths.items()} == {len(expected)}
    with paths["csv"].open(newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    for key, record in expected.items():
        for name, score in record.scores.items():
            assert float(rows[key][name]) == score["value"]
    lines = paths["json"].read_text().splitlines()
    assert {r.key: r for r in map(Record.from_json, lines)} == expected
    again = tmp_path / "again"
    again.mkdir()
    paths["parquet"].rename(again / "records.parquet")
    assert Store(again).by_key() == expected


def store_command(*words: object) -> int:
    return main(["store", *map(str, words)])


def test_merge_takes_records_with_their_codes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seeds in (("a", (0, 1)), ("b", (1, 2))):
        store = Store(tmp_path / name)
        for seed in seeds:
            store.append(make(seed, 0.1 if name == "a" else 0.2))
            folder = store.run_folder(make(seed).specification)
            folder.mkdir(parents=True)
            (folder / "codes.npz").write_bytes(name.encode())
    compact(tmp_path / "b")
    into = tmp_path / "c"
    for added in ("3 records added to 0", "0 records added to 3"):
        assert store_command("merge", tmp_path / "a", tmp_path / "b", "--into", into) == 0
        assert added in capsys.readouterr().err
    merged = Store(into)
    assert [(r.specification.seed, r.scores["mcc"]["value"]) for r in merged] == [(0, 0.1), (1, 0.1), (2, 0.2)]
    assert [(merged.run_folder(r.specification) / "codes.npz").read_bytes() for r in merged] == [b"a", b"a", b"b"]
    assert len(list(into.glob("*.jsonl"))) == 1


def test_verify_names_what_is_damaged_missing_or_different(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "run synthetic pca --n 3 --pool 100 --samples 300 --metrics r2 mcc --seeds 0 1 2 3 --workers 1"
    assert main([*words.split(), "--store", str(tmp_path)]) == 0
    capsys.readouterr()
    assert store_command("verify", "--store", tmp_path) == 0
    assert "4 records, 0 faults" in capsys.readouterr().out
    (path,) = tmp_path.glob("*.jsonl")
    lines = path.read_text().splitlines()
    content = json.loads(lines[0])
    content["scores"]["mcc"]["value"] = 0.987654
    keys = [json.loads(line)["key"] for line in lines]
    path.write_text("\n".join([json.dumps(content), *lines[1:], "torn"]) + "\n")
    (tmp_path / "runs" / keys[1] / "codes.npz").unlink()
    (tmp_path / "runs" / keys[2] / "codes.npz").write_bytes(b"no archive")
    assert store_command("verify", "--store", tmp_path) == 1
    said = capsys.readouterr().out.splitlines()
    assert "records" in said[0] and ":5: not JSON" in said[0]  # noqa: PT018
    assert said[1].startswith(f"{keys[0]}: its codes give mcc = ")
    assert said[1].endswith("recorded is 0.987654")
    assert said[2].startswith(f"{keys[1]}: no codes")
    assert said[3].startswith(f"{keys[2]}: ") and "damaged" in said[3]  # noqa: PT018
    assert said[4] == "4 records, 4 faults"
    assert store_command("verify", "--no-rescore", "--store", tmp_path) == 1
    assert "4 records, 3 faults" in capsys.readouterr().out


def test_commands_as_a_person_types_them(committed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert store_command("compact", "--store", committed) == 0
    count = len(list(Store(committed)))
    assert f"{count} records compacted" in capsys.readouterr().err
    sql = "SELECT method, count(*) AS n FROM records GROUP BY ALL ORDER BY n DESC, method"
    for form in ("table", "csv", "json"):
        assert store_command("query", sql, "--format", form, "--store", committed) == 0
        assert "contrastive" in capsys.readouterr().out
    assert store_command("export", "--output", tmp_path / "x.csv", "--store", committed) == 0
    assert (tmp_path / "x.csv").exists()
    assert store_command("query", "SELECT", "--store", tmp_path / "nowhere") == 2
    assert "there is no store" in capsys.readouterr().err


def test_markup_in_a_record_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = make(0).to_json().replace('"commit": ""', '"commit": "[red]x[/red]"')
    (tmp_path / "records.jsonl").write_text(line + "\n")
    assert store_command("query", "SELECT commit FROM records", "--store", tmp_path) == 0
    assert "[red]x[/red]" in capsys.readouterr().out
