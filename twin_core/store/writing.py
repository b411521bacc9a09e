"""Rows into DuckDB by Arrow tables only: it takes thousands of rows in a few milliseconds.

Tables are found by the name of a local variable and numbers and instants are written into the SQL:
registering a view and binding a parameter each cost a small batch more than its rows do.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from twin_core.store.fold.rows import EntityRow
from twin_core.store.journal import of_columns, of_rows
from twin_core.store.tables import BY_NAME

BATCH = {
    "batch_no": "BIGINT",
    "position": "BIGINT",
    "known_at": "TIMESTAMPTZ",
    "messages": "BIGINT",
}
NODE = {
    "node": "BIGINT",
    "kind": "VARCHAR",
    "system": "VARCHAR",
    "value": "VARCHAR",
    "type": "VARCHAR",
    "hash": "BIGINT",
}
FAMILY = {"node": "BIGINT", "family": "BIGINT"}
_VERSION = {"version_no": "BIGINT", "owner": "BIGINT"}


def insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: dict[str, str],
    rows: Sequence[Sequence[Any]],
) -> None:
    """Append rows, whose columns are in the table's order."""
    if not rows:
        return
    incoming = of_rows(columns, rows)  # noqa: F841  (DuckDB reads it by name)
    connection.execute(f"INSERT INTO core.{table} SELECT * FROM incoming")


def journal(
    connection: duckdb.DuckDBPyConnection, table: str, parts: Sequence[pa.Table], **same: int
) -> None:
    """Append rows of the journal; all of them have the `same` values in further columns."""
    filled = [part for part in parts if part.num_rows]
    if filled:
        incoming = pa.concat_tables(filled)  # noqa: F841  (DuckDB reads it by name)
        further = "".join(f", {value} AS {column}" for column, value in same.items())
        connection.execute(f"INSERT INTO core.{table} BY NAME SELECT *{further} FROM incoming")


def open_versions(
    connection: duckdb.DuckDBPyConnection,
    opened: Iterable[tuple[Sequence[EntityRow], int, int]],
    known_at: datetime,
) -> None:
    """Append versions known from an instant on; each item is (rows, first version_no, owner)."""
    by_entity: dict[str, tuple[list[tuple[object, ...]], list[int], list[int]]] = defaultdict(
        lambda: ([], [], [])
    )
    for several, first, owner in opened:
        for version_no, (name, values) in enumerate(several, first):
            rows, numbers, owners = by_entity[name]
            rows.append(values)
            numbers.append(version_no)
            owners.append(owner)
    for name, (rows, numbers, owners) in by_entity.items():
        columns = {column.name: column.type for column in BY_NAME[name].columns} | _VERSION
        cells = (*zip(*rows, strict=True), numbers, owners)
        incoming = of_columns(columns, cells)  # noqa: F841  (DuckDB reads it by name)
        connection.execute(
            f"INSERT INTO core.{name}_version BY NAME SELECT *,"
            f" {_instant(known_at)} AS known_from, 'infinity' AS known_to FROM incoming"
        )


def close_versions(
    connection: duckdb.DuckDBPyConnection,
    closed: Iterable[tuple[str, int]],
    known_at: datetime,
) -> None:
    """End versions at an instant; each is (entity, version_no)."""
    by_entity: dict[str, list[int]] = defaultdict(list)
    for name, version_no in closed:
        by_entity[name].append(version_no)
    for name, numbers in by_entity.items():
        closing = pa.table({"number": pa.array(numbers, pa.int64())})  # noqa: F841  (by name)
        # The range lets DuckDB skip row groups: version numbers grow with time.
        connection.execute(
            f"UPDATE core.{name}_version SET known_to = {_instant(known_at)} FROM closing"
            f" WHERE version_no = closing.number"
            f" AND version_no BETWEEN {min(numbers)} AND {max(numbers)}"
        )


def regroup(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[tuple[int, int]], first_new: int
) -> None:
    """Record which family nodes belong to now; those from `first_new` on were in none before."""
    if not rows:
        return
    nodes = ", ".join(str(node) for node, _ in rows if node < first_new)
    if nodes:
        connection.execute(f"DELETE FROM core.family WHERE node IN ({nodes})")
    insert(connection, "family", FAMILY, rows)


def _instant(at: datetime) -> str:
    return f"TIMESTAMPTZ '{at.isoformat()}'"
