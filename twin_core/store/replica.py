"""Copies of a store: for analysts while it is being written, and for backups."""

from pathlib import Path

import duckdb

from twin_core.store.database import CATALOG, prepare

WITHOUT_RAW = frozenset({"raw"})


def copy_tables(
    connection: duckdb.DuckDBPyConnection, path: Path, leave_out: frozenset[str] = WITHOUT_RAW
) -> int:
    """Copy the tables of a store, as of one batch, into a new file; return the batch number.

    `connection` is a reading cursor of the open store. Views are not copied: whoever opens the
    copy installs its own.
    """
    cursor = connection.cursor()
    prepare(cursor)
    quoted = str(path).replace("'", "''")
    cursor.execute(f"ATTACH '{quoted}' AS replica")
    try:
        cursor.execute("BEGIN")
        row = cursor.execute("SELECT coalesce(max(batch_no), 0) FROM core.batch").fetchone()
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
        cursor.execute("COMMIT")
    finally:
        cursor.execute("USE memory")
        cursor.execute("DETACH replica")
        cursor.close()
    return int(row[0]) if row else 0
