"""SQL over the records of a store, by DuckDB (extra `store`)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmix.disk import files, whole
from unmix.parts import COLUMNS, table
from unmix.record import Record, read

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH = 10_000
SCORES = """CREATE VIEW scores AS SELECT * EXCLUDE (scores, json, dataset_fields, method_fields),
    unnest(map_keys(scores)) AS metric, unnest(map_values(scores)) AS value FROM records"""


@contextlib.contextmanager
def opened(folder: Path, warn: Callable[[str], None]) -> Iterator[DuckDBPyConnection]:
    """A connection with two views: `records` (`unmix.parts.COLUMNS`) and `scores` (a row a record and metric).

    Parquet parts are read where they are; lines that were not compacted are parsed first.

    Args:
        folder: Of the store.
        warn: Hears of each damaged line.

    Raises:
        ValueError: DuckDB is not installed, or refuses something; the message is DuckDB's.
    """
    try:
        import duckdb
    except ModuleNotFoundError:
        raise ValueError("queries need DuckDB: pip install 'unmix[store]'") from None
    columns = ", ".join(COLUMNS)
    try:
        with duckdb.connect() as connection:
            parts = _fill(connection, folder, warn)
            source = f"SELECT {columns} FROM lines"
            if parts:
                scan = _scan(connection, parts)
                connection.execute(f"DELETE FROM lines WHERE key IN (SELECT key FROM {scan})")
                source += f" UNION ALL SELECT {columns} FROM {scan}"
            connection.execute(f"CREATE VIEW records AS {source}")
            connection.execute(SCORES)
            yield connection
    except duckdb.Error as error:
        raise ValueError(f"the query failed: {error}") from None


def _fill(connection: DuckDBPyConnection, folder: Path, warn: Callable[[str], None]) -> list[str]:
    """Put the records in lines into a table, a key once; returns the parts that were there when they were read."""
    empty = table([])  # noqa: F841 - DuckDB reads the variable
    while True:
        connection.execute("CREATE OR REPLACE TABLE lines AS SELECT * FROM empty")
        paths = files(folder)
        with contextlib.suppress(FileNotFoundError):  # compacted meanwhile: look again
            fresh = _fresh([path for path in paths if path.suffix == ".jsonl"], warn)
            while rows := list(itertools.islice(fresh, BATCH)):
                batch = table(rows)  # noqa: F841 - DuckDB reads the variable
                connection.execute("INSERT INTO lines SELECT * FROM batch")
            return [str(path) for path in paths if path.suffix == ".parquet"]


def _fresh(paths: Sequence[Path], warn: Callable[[str], None]) -> Iterator[tuple[Record, str]]:
    seen: set[str] = set()
    for found in itertools.chain.from_iterable(read(path) for path in paths):
        if isinstance(found, str):
            warn(found)
        elif found[0].key not in seen:
            seen.add(found[0].key)
            yield found


def _scan(connection: DuckDBPyConnection, paths: Sequence[str]) -> str:
    """Of all parts. Two of them share keys only where `compact` ran twice at once on a disk without locks."""
    listed = f"[{', '.join(map(_quoted, paths))}]"
    scan = f"read_parquet({listed})"
    shared = len(paths) > 1 and connection.execute(f"SELECT count(*) > count(DISTINCT key) FROM {scan}").fetchone()
    if not shared or not shared[0]:
        return scan
    scan = f"read_parquet({listed}, filename = true, file_row_number = true)"
    connection.execute(
        f"CREATE TABLE again AS SELECT filename, file_row_number FROM {scan} "
        "QUALIFY row_number() OVER (PARTITION BY key ORDER BY filename, file_row_number) > 1"
    )
    return f"(SELECT * FROM {scan} ANTI JOIN again USING (filename, file_row_number))"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def query(folder: Path, sql: str, warn: Callable[[str], None]) -> Iterator[tuple[Any, ...]]:
    """The column names, then the rows, of one SELECT, which may read the two views and nothing else.

    Raises:
        ValueError: It is no single SELECT, or DuckDB refuses it.
    """
    with opened(folder, warn) as connection:
        import duckdb

        parts = [_quoted(str(path)) for path in files(folder) if path.suffix == ".parquet"]
        connection.execute(f"SET allowed_paths = [{', '.join(parts)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        statements = connection.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise ValueError("a query is one SELECT, which cannot change the store")
        result = connection.execute(statements[0])
        yield tuple(column[0] for column in result.description or ())
        while batch := result.fetchmany(BATCH):
            yield from batch


def export(folder: Path, form: str, path: Path, warn: Callable[[str], None]) -> int:
    """Write all records, whole or not at all; returns their number.

    Args:
        folder: Of the store.
        form: "json" (lines, as a store has them), "parquet" (`unmix.parts.COLUMNS`), "csv" (a column a metric).
        path: The file.
        warn: Hears of each damaged line.
    """
    with opened(folder, warn) as connection, whole(path) as file:
        if form == "json":
            result = connection.execute("SELECT json FROM records")
            while lines := result.fetchmany(BATCH):
                file.writelines(line.encode() + b"\n" for (line,) in lines)
        else:
            columns, options = "*", "FORMAT parquet, COMPRESSION zstd"
            if form == "csv":
                columns, options = f"* EXCLUDE (scores, json){_wide(connection)}", "FORMAT csv, HEADER"
            target = _quoted(file.name)
            connection.execute(f"COPY (SELECT {columns} FROM records) TO {target} ({options}, USE_TMP_FILE false)")
        return int(connection.execute("SELECT count(*) FROM records").fetchall()[0][0])


def _wide(connection: DuckDBPyConnection) -> str:
    """A column for each metric that any record has."""
    metrics = connection.execute("SELECT DISTINCT metric FROM scores ORDER BY metric").fetchall()
    doubled = [(_quoted(name), name.replace('"', '""')) for (name,) in metrics]
    return "".join(f', scores[{name}] AS "{column}"' for name, column in doubled)
