"""A store in memory for what never was: filled with whole tables, and asked like any other."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from twin_core.errors import StoreError
from twin_core.store.database import Database, Row, install_views, migrate, set_rows


class Scratch:
    """An empty store with the schema, the views and the macros of a real one."""

    def __init__(
        self,
        macros: Iterable[str],
        settings: Iterable[tuple[str, str, str]],
        *,
        memory_limit: str = "1GB",
    ) -> None:
        self._database = Database(Path(":memory:"), memory_limit=memory_limit)
        migrate(self._database.connection)
        install_views(self._database.connection, tuple(macros))
        set_rows(self._database.connection, "kpi_setting", settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def fill(
        self,
        tables: Mapping[str, Any],
        facilities: Iterable[tuple[str, str, str]],
        known_at: datetime,
    ) -> None:
        """Know these tables (Arrow, by entity), all of them since ever, until `known_at`.

        Columns that a table lacks are unknown. Raises StoreError where one has a column that the
        entity has not.
        """
        connection = self._database.connection
        set_rows(connection, "facility", facilities)
        connection.execute("INSERT INTO core.batch VALUES (1, 1, ?, 0)", [known_at])
        for entity, table in tables.items():
            connection.register("given", table)
            try:
                connection.execute(
                    f"INSERT INTO core.{entity}_version BY NAME SELECT *,"
                    " row_number() OVER () AS version_no, 0 AS owner,"
                    " '-infinity'::TIMESTAMPTZ AS known_from,"
                    " 'infinity'::TIMESTAMPTZ AS known_to FROM given"
                )
            except duckdb.Error as error:
                raise StoreError(f"{entity} cannot be filled so.", why=str(error)) from error
            finally:
                connection.unregister("given")

    def query(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[Row]:
        """Rows of a query, as of a real store."""
        return self._database.query(sql, parameters)
