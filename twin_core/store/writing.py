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
from twin_core.store.tables import BY_NAME

_AT = pa.timestamp("us", tz="UTC")
_ARROW: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "TIMESTAMPTZ": _AT,
    "BOOLEAN": pa.bool_(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "BLOB": pa.binary(),
}

MESSAGE = {
    "message_id": "BIGINT",
    "batch_no": "BIGINT",
    "format": "VARCHAR",
    "feed": "VARCHAR",
    "sender": "VARCHAR",
    "control_id": "VARCHAR",
    "trigger_event": "VARCHAR",
    "received_at": "TIMESTAMPTZ",
    "sent_at": "TIMESTAMPTZ",
    "sequence": "BIGINT",
    "digest": "BLOB",
    "origin": "VARCHAR",
    "status": "VARCHAR",
    "code": "VARCHAR",
    "reason": "VARCHAR",
    "faults": "VARCHAR",
    "replayed_at": "TIMESTAMPTZ",
}
BATCH = {
    "batch_no": "BIGINT",
    "position": "BIGINT",
    "known_at": "TIMESTAMPTZ",
    "messages": "BIGINT",
}
RAW = {"message_id": "BIGINT", "raw": "BLOB"}
EVENT = {
    "event_no": "BIGINT",
    "message_id": "BIGINT",
    "ordinal": "INTEGER",
    "event": "VARCHAR",
    "occurred_at": "TIMESTAMPTZ",
    "recorded_at": "TIMESTAMPTZ",
    "node": "BIGINT",
    "payload": "VARCHAR",
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
MESSAGE_FINDING = {
    "finding_id": "VARCHAR",
    "kind": "VARCHAR",
    "subject": "VARCHAR",
    "message_id": "BIGINT",
    "found_at": "TIMESTAMPTZ",
    "detail": "VARCHAR",
}
MESSAGE_FIELD = {
    "message_id": "BIGINT",
    "segment": "VARCHAR",
    "sequence": "INTEGER",
    "field": "INTEGER",
    "component": "INTEGER",
    "repetition": "INTEGER",
    "value": "VARCHAR",
}
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
    arrays = [
        pa.array(values, _ARROW[type_])
        for type_, values in zip(columns.values(), zip(*rows, strict=True), strict=True)
    ]
    incoming = pa.table(arrays, names=list(columns))  # noqa: F841  (DuckDB reads it by name)
    connection.execute(f"INSERT INTO core.{table} SELECT * FROM incoming")


def open_versions(
    connection: duckdb.DuckDBPyConnection,
    opened: Iterable[tuple[EntityRow, int, int]],
    known_at: datetime,
) -> None:
    """Append versions known from an instant on; each is (row, version_no, owner)."""
    by_entity: dict[str, list[tuple[EntityRow, int, int]]] = defaultdict(list)
    for version in opened:
        by_entity[version[0][0]].append(version)
    for name, several in by_entity.items():
        columns = {column.name: column.type for column in BY_NAME[name].columns} | _VERSION
        rows, numbers, owners = zip(*several, strict=True)
        cells = (*zip(*[values for _, values in rows], strict=True), numbers, owners)
        arrays = [
            pa.array(values, _ARROW[type_])
            for type_, values in zip(columns.values(), cells, strict=True)
        ]
        incoming = pa.table(arrays, names=list(columns))  # noqa: F841  (DuckDB reads it by name)
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
