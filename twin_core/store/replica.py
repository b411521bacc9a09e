"""Copies of a store: for analysts while it is being written, and for backups."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from twin_core.store.cipher import attach
from twin_core.store.database import CATALOG, prepare
from twin_core.store.tables import ENTITIES

WITHOUT_RAW = frozenset({"raw", "family", "staged", "staged_file"})
"""What analysts' names do not need."""


def copy_tables(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    leave_out: frozenset[str] = WITHOUT_RAW,
    *,
    key: str | None = None,
) -> int:
    """Copy the tables of a store, as of one batch, into a new file; return the batch number.

    `connection` is a reading cursor of the open store; the copy is encrypted by `key`.
    Views are not copied: whoever opens the copy installs its own.
    """
    with _attached(connection, path, key) as cursor:
        sequence = _number(cursor, "SELECT max(batch_no) FROM core.batch")
        cursor.execute("CREATE SCHEMA replica.core")
        tables = cursor.execute(
            "SELECT table_name FROM duckdb_tables()"
            " WHERE database_name = ? AND schema_name = 'core' ORDER BY 1",
            [CATALOG],
        ).fetchall()
        for (table,) in tables:
            rows = "WHERE false" if table in leave_out else ""
            if table == "meta":
                # The copy gets its own views, so it must not believe that it has them.
                rows = "WHERE key <> 'views'"
            cursor.execute(
                f"CREATE TABLE replica.core.{table} AS FROM {CATALOG}.core.{table} {rows}"
            )
    return sequence


def copy_changes(
    connection: duckdb.DuckDBPyConnection, path: Path, *, key: str | None = None
) -> int:
    """Bring a copy made by `copy_tables` up to the last batch; return its number.

    What changed since the copy's own last batch is found by its instant of knowledge, so the work
    grows with the change and not with the store. Nobody else may have the copy open.
    """
    with _attached(connection, path, key) as cursor:
        sequence = _number(cursor, "SELECT max(batch_no) FROM core.batch")
        have = _number(cursor, "SELECT max(batch_no) FROM replica.core.batch")
        # Alerts change in place and are few.
        cursor.execute("DELETE FROM replica.core.alert")
        cursor.execute("INSERT INTO replica.core.alert FROM core.alert")
        if sequence > have:
            for entity in ENTITIES:
                _copy_versions(cursor, f"{entity.name}_version", have)
            _copy_messages(cursor, have)
            for table, key in (("event", "event_no"), ("node", "node"), ("batch", "batch_no")):
                last = _number(cursor, f"SELECT max({key}) FROM replica.core.{table}")
                cursor.execute(
                    f"INSERT INTO replica.core.{table} FROM core.{table} WHERE {key} > {last}"
                )
    return sequence


def _copy_versions(cursor: duckdb.DuckDBPyConnection, table: str, have: int) -> None:
    # A copy without batches knows nothing, which is before every instant.
    known = f"coalesce((SELECT known_at FROM core.batch WHERE batch_no = {have}), '-infinity')"
    cursor.execute(f"INSERT INTO replica.core.{table} FROM core.{table} WHERE known_from > {known}")
    cursor.execute(
        f"UPDATE replica.core.{table} AS copied SET known_to = ended.known_to"
        f" FROM core.{table} AS ended WHERE copied.version_no = ended.version_no"
        f" AND ended.known_from <= {known} AND ended.known_to > {known}"
        " AND ended.known_to < 'infinity'"
    )


def _copy_messages(cursor: duckdb.DuckDBPyConnection, have: int) -> None:
    # A replay writes its message's row anew, in a later batch.
    newer = f"SELECT message_id FROM core.message WHERE batch_no > {have}"
    for table in ("message", "message_finding", "message_field"):
        cursor.execute(f"DELETE FROM replica.core.{table} WHERE message_id IN ({newer})")
        cursor.execute(
            f"INSERT INTO replica.core.{table} FROM core.{table} WHERE message_id IN ({newer})"
        )


@contextmanager
def _attached(
    connection: duckdb.DuckDBPyConnection, path: Path, key: str | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    cursor = connection.cursor()
    prepare(cursor)
    attach(cursor, path, "replica", key=key)
    try:
        cursor.execute("BEGIN")
        yield cursor
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
    finally:
        cursor.execute("USE memory")
        cursor.execute("DETACH replica")
        cursor.close()


def _number(cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = cursor.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0
