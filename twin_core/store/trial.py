"""An empty store in memory: there SQL of a site is tried before a store of patients runs it."""

from collections.abc import Iterable
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Self

import duckdb

from twin_core.errors import QueryFailed
from twin_core.settings import KpiSettings
from twin_core.store.database import Database, install_views, migrate, set_rows
from twin_core.store.permit import OWN_SCHEMAS, Refused, permit

LONGEST_S = 10.0
"""What takes milliseconds without a patient and is not over by then never ends."""
READABLE = OWN_SCHEMAS | {"kpi_part"}


class Trial:
    """A store without a patient, with the views, macros and settings of a real one."""

    def __init__(self, macros: Iterable[str]) -> None:
        self._database = Database(Path(":memory:"))
        migrate(self._database.connection)
        install_views(self._database.connection, tuple(macros))
        set_rows(self._database.connection, "kpi_setting", KpiSettings().rows())
        set_rows(self._database.connection, "facility", [("H", "Europe/Berlin", "")])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def permit(self, sql: str) -> None:
        """Raise QueryFailed unless `sql` is one SELECT that reads nothing but the store."""
        try:
            permit(self._database.connection, sql, READABLE)
        except Refused as refused:
            raise QueryFailed(str(refused)) from None

    def install(self, statement: str) -> None:
        """Run a statement of the product's own, such as a macro around permitted SQL."""
        try:
            self._database.connection.execute(statement)
        except duckdb.Error as error:
            raise QueryFailed(str(error).splitlines()[0]) from None

    def columns(self, sql: str) -> dict[str, str]:
        """The columns that a SELECT gives and their types; QueryFailed where it cannot run."""
        try:
            found = self._database.connection.execute(f"DESCRIBE {sql}").fetchall()
        except duckdb.Error as error:
            raise QueryFailed(str(error).splitlines()[0]) from None
        return {str(name): str(kind) for name, kind, *_ in found}

    def run(self, sql: str) -> None:
        """Run a SELECT for nothing but its faults; QueryFailed names them."""
        connection = self._database.connection
        deadline = Timer(LONGEST_S, connection.interrupt)
        deadline.start()
        try:
            connection.execute(sql).fetchall()
        except duckdb.InterruptException:
            raise QueryFailed(f"It ran for {LONGEST_S:g} s on an empty store.") from None
        except duckdb.Error as error:
            raise QueryFailed(str(error).splitlines()[0]) from None
        finally:
            deadline.cancel()
