"""Parquet parts of a store: many records in columns, written whole or not at all. Needs pyarrow (extra `store`)."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmix.disk import files, kept_apart, stamp, sync
from unmix.record import Record, RecordError, read

if TYPE_CHECKING:
    import pyarrow

ROWS = 10_000  # of a row group: what one look-up unpacks
COLUMNS = {
    "key": "string",
    "dataset": "string",
    "method": "string",
    "seed": "int64",
    "steps": "int64",
    "seconds": "float64",
    "parameters": "int64",
    "finished": "string",
    "commit": "string",
    "scores": "map",
    "dataset_fields": "string",
    "method_fields": "string",
    "json": "string",
}
"""The columns of a part: `scores` maps a metric to its value, `*_fields` are JSON, `json` is the record's line."""


def table(records: Iterable[tuple[Record, str]]) -> pyarrow.Table:
    """Records, each with its line, as columns."""
    arrow = _arrow()
    kinds = {"string": arrow.string(), "int64": arrow.int64(), "float64": arrow.float64()}
    kinds["map"] = arrow.map_(arrow.string(), arrow.float64())
    rows = [_row(record, line) for record, line in records]
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    named = zip(COLUMNS.items(), columns, strict=True)
    return arrow.table({name: arrow.array(column, kinds[kind]) for (name, kind), column in named})


def _row(record: Record, line: str) -> tuple[Any, ...]:
    """The values of COLUMNS."""
    specification = record.specification
    return (
        record.key,
        specification.dataset["name"],
        specification.method["name"],
        specification.seed,
        record.steps,
        record.seconds,
        record.parameters,
        record.finished,
        record.commit,
        [(name, float(score["value"])) for name, score in record.scores.items()],
        json.dumps(specification.dataset),
        json.dumps(specification.method),
        line,
    )


def keys(path: Path) -> list[str]:
    """Of all records of a part.

    Raises:
        RecordError: The file is damaged.
    """
    with _opened(path) as file:
        found: list[str] = file.read(columns=["key"])["key"].to_pylist()
        return found


def lines(path: Path) -> Iterator[str]:
    """The line of each record of a part, as it was before it was compacted.

    Raises:
        RecordError: The file is damaged.
    """
    with _opened(path) as file:
        for batch in file.iter_batches(1000, columns=["json"]):
            yield from batch["json"].to_pylist()


def line(path: Path, row: int) -> str:
    """The line of one record of a part.

    Raises:
        RecordError: The file is damaged, or another one.
    """
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if row < size:
                found: str = file.read_row_group(group, columns=["json"])["json"][row].as_py()
                return found
            row -= size
    raise RecordError(f"no row {row} in {path}")


def write(path: Path, records: Iterable[tuple[Record, str]]) -> int:
    """Write a part, whole or not at all; returns the number of its records. None makes no file."""
    from pyarrow.parquet import ParquetWriter

    partial, written = path.with_suffix(".partial"), 0
    try:
        with partial.open("wb") as file:
            writer = None
            remaining = iter(records)
            while rows := list(itertools.islice(remaining, ROWS)):
                columns = table(rows)
                writer = writer or ParquetWriter(
                    file, columns.schema, compression="zstd", use_dictionary=["dataset", "method", "commit"]
                )
                writer.write_table(columns)
                written += len(rows)
            if writer is not None:
                writer.close()
            file.flush()
            os.fsync(file.fileno())
        if written:
            partial.replace(path)
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)
    return written


def compact(folder: Path, follow: Callable[[int], None] = lambda n: None) -> tuple[int, list[str]]:
    """Turn the lines of a store into one more part; safe beside writers and against a kill at any point.

    Each file of lines gets a name that no writer knows; a writer that had it open sees so and writes its line again.
    Then the part is written, and only then the lines are removed. What a kill leaves twice is read once. A file with
    damaged lines stays.

    Args:
        folder: Of the store.
        follow: Called with the number of records so far.

    Returns:
        The number of records that were moved, and a sentence for each damaged line.
    """
    _arrow()
    with kept_apart(folder / "compact.lock"):
        for left in folder.glob("records.*.partial"):
            left.unlink()
        sealed = [_seal(path) for path in files(folder) if path.suffix == ".jsonl"]
        seen = {key for path in files(folder) if path.suffix == ".parquet" for key in keys(path)}
        damaged: dict[Path, list[str]] = {path: [] for path in sealed}

        def fresh() -> Iterator[tuple[Record, str]]:
            for path in sealed:
                for found in read(path):
                    if isinstance(found, str):
                        damaged[path].append(found)
                    elif found[0].key not in seen:
                        seen.add(found[0].key)
                        follow(1)
                        yield found

        written = write(folder / f"records.{stamp()}.parquet", fresh())
        for path in sealed:
            if not damaged[path]:
                path.unlink()
        return written, [sentence for sentences in damaged.values() for sentence in sentences]


def _seal(path: Path) -> Path:
    if path.suffixes[-2:] == [".sealed", ".jsonl"]:
        return path
    return path.rename(path.with_suffix(f".{secrets.token_hex(4)}.sealed.jsonl"))


def _arrow() -> Any:
    """pyarrow, or an error that says how to get it."""
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise ValueError("a compacted store (*.parquet) needs pyarrow: pip install 'unmix[store]'") from None
    return pyarrow


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    arrow = _arrow()
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            yield file
    except FileNotFoundError:
        raise
    except (arrow.ArrowException, OSError, KeyError) as error:
        raise RecordError(f"no part of a store, or damaged ({error})") from None
