"""A small database in memory beside a store: the recent past, for figures that are always fresh.

It has one thread and a memory of its own, so that what is computed there again and again neither
waits for the store nor makes it wait.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import duckdb

from twin_core.errors import QueryFailed
from twin_core.store.cipher import load_cipher
from twin_core.store.database import Database, Row


class Mirror:
    """Tables copied from a store, and whatever is computed from them."""

    def __init__(
        self, schemas: Iterable[str], macros: Iterable[str], *, memory_limit: str = "256MB"
    ) -> None:
        self._connection = duckdb.connect(
            ":memory:", config={"threads": 1, "memory_limit": memory_limit}
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        for schema in ("core", "kpi_part", *schemas):
            self._connection.execute(f"CREATE SCHEMA {schema}")
        self._macros: tuple[str, ...] = tuple(macros)
        self._spills = False

    def close(self) -> None:
        """Let go of everything."""
        self._connection.close()

    def copy(self, database: Database, chosen: str, tables: Mapping[str, str]) -> None:
        """Fill tables anew, each from a SELECT on the store, all as of one instant.

        The SELECTs may read `chosen`, which is made first. Raises QueryFailed where the store
        cannot be read.
        """
        self._spill_beside(database)
        cursor = database.cursor()
        try:
            cursor.execute("BEGIN")
            try:
                cursor.execute(f"CREATE TEMP TABLE chosen AS {chosen}")
                for table, sql in tables.items():
                    self._fill(table, cursor.execute(sql))
            finally:
                cursor.execute("ROLLBACK")
            while self._macros:
                self._connection.execute(self._macros[0])
                self._macros = self._macros[1:]
        except duckdb.Error as error:
            raise QueryFailed("The recent past could not be copied.", why=str(error)) from error

    def _spill_beside(self, database: Database) -> None:
        if self._spills:
            return
        # A folder of its own: two databases in one would write into each other's files.
        spill = f"{database.path}.{id(self):x}.tmp".replace("'", "''")
        self._connection.execute(f"SET temp_directory = '{spill}'")
        if database.key is not None:
            load_cipher(self._connection)
        self._spills = True

    def _fill(self, table: str, found: duckdb.DuckDBPyConnection) -> None:
        self._connection.register("copied", found.to_arrow_table())
        self._connection.execute(f"CREATE OR REPLACE TABLE {table} AS FROM copied")
        self._connection.unregister("copied")

    def between(self, start: datetime, end: datetime) -> None:
        """Set the window that every SELECT means by `window_start` and `window_end`."""
        for name, instant in (("window_start", start), ("window_end", end)):
            self._connection.execute(f"SET VARIABLE {name} = TIMESTAMPTZ '{instant.isoformat()}'")

    def make(self, table: str, sql: str) -> None:
        """Make a table of a SELECT; QueryFailed has DuckDB's own words."""
        self._run(f"CREATE OR REPLACE TABLE {table} AS {sql}")

    def rows(self, sql: str) -> list[Row]:
        """The rows of a SELECT as dictionaries; QueryFailed has DuckDB's own words."""
        found = self._run(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._connection.execute(sql)
        except duckdb.Error as error:
            raise QueryFailed("The query failed.", why=str(error)) from error
