"""Writing what may leave the store into a new file: whole, or not at all.

What is written is decided by `twin_core.deid`; this module runs its statements with secrets as
parameters, so that no key is ever part of a statement, a log or an error.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from twin_core.errors import StoreError
from twin_core.store.cipher import attach
from twin_core.store.database import CATALOG, Row, prepare

Step = tuple[str, Sequence[Any] | Mapping[str, Any]]
RELEASE = "release"
"""The catalog under which statements find the file that is being written."""


def write_release(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    secrets: Mapping[str, bytes],
    steps: Sequence[Step],
    finishing: Sequence[str] = (),
    macros: Sequence[str] = (),
    catalog: str = RELEASE,
    key: str | None = None,
) -> None:
    """Run statements that fill a new database, then put it in the place of `path`.

    `connection` is a connection of the open store; `secrets` become the temporary table
    `deid_secret` (name, value), which is gone afterwards. `finishing` runs in the new file alone,
    and then those of `macros` that its tables can answer. The statements find the file under the
    name `catalog`; a release is for others and never encrypted, a file beside the store is by its
    `key`. Raises StoreError, leaving what is at `path` as it was.
    """
    part = path.with_name(f".{path.name}.part")
    for left in (part, part.with_name(f"{part.name}.wal")):
        left.unlink(missing_ok=True)
    cursor = connection.cursor()
    try:
        prepare(cursor)
        _attach(cursor, part, secrets, catalog, key)
        _run(cursor, steps)
    except (duckdb.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"The release {path.name} cannot be written.", why=_first_line(error)
        ) from None
    finally:
        _detach(cursor, catalog)
        cursor.close()
    try:
        _finish(part, finishing, macros, key)
        os.chmod(part, 0o600)
        os.replace(part, path)
    except (duckdb.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"The release {path.name} cannot be written.", why=_first_line(error)
        ) from None


def follow_release(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    secrets: Mapping[str, bytes],
    steps: Callable[[Callable[[str], list[tuple[Any, ...]]]], Iterator[Step]],
    catalog: str,
    key: str | None = None,
) -> None:
    """Bring a file made by `write_release` up to date, in one transaction; nobody else has it open.

    `steps` are given a way to ask, with which they find out what is to be done. Raises StoreError,
    leaving the file as it was.
    """
    cursor = connection.cursor()
    try:
        prepare(cursor)
        _attach(cursor, path, secrets, catalog, key)
        _run(cursor, steps(lambda sql: cursor.execute(sql).fetchall()))
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"{path.name} cannot follow the store.", why=_first_line(error)) from None
    finally:
        _detach(cursor, catalog)
        cursor.close()


def read_release(path: Path, sql: str) -> list[Row]:
    """Rows of the product's own SQL over a release. Raises StoreError where it is none."""
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"{path} is no release.", why=_first_line(error)) from None
    try:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    except duckdb.Error as error:
        raise StoreError(f"{path} is no release.", why=_first_line(error)) from None
    finally:
        connection.close()


def columns_of(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Every (table, column) of schema `twin`, as an analyst of the store sees it."""
    return connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns()"
        " WHERE database_name = ? AND schema_name = 'twin' ORDER BY ALL",
        [CATALOG],
    ).fetchall()


def _attach(
    cursor: duckdb.DuckDBPyConnection,
    path: Path,
    secrets: Mapping[str, bytes],
    catalog: str,
    key: str | None,
) -> None:
    attach(cursor, path, catalog, key=key)
    cursor.execute("CREATE TEMP TABLE deid_secret (name VARCHAR, value BLOB)")
    for name, secret in secrets.items():
        cursor.execute("INSERT INTO deid_secret VALUES (?, ?)", [name, secret])
    cursor.execute("BEGIN")


def _run(cursor: duckdb.DuckDBPyConnection, steps: Iterable[Step]) -> None:
    for sql, parameters in steps:
        cursor.execute(sql, parameters or None)
    cursor.execute("COMMIT")


def _detach(cursor: duckdb.DuckDBPyConnection, catalog: str) -> None:
    try:
        cursor.execute(f"DETACH DATABASE IF EXISTS {catalog}")
    except duckdb.Error:
        # A failed step left its transaction open.
        cursor.execute("ROLLBACK")
        cursor.execute(f"DETACH DATABASE IF EXISTS {catalog}")


def _finish(part: Path, statements: Sequence[str], macros: Sequence[str], key: str | None) -> None:
    connection = duckdb.connect()
    try:
        attach(connection, part, CATALOG, key=key)
        connection.execute(f"USE {CATALOG}")
        for statement in statements:
            connection.execute(statement)
        there = {name for (name,) in connection.execute(_THERE).fetchall()}
        for macro in macros:
            # A KPI that asks for what a release has not got is not in it. DuckDB does not always
            # look that far while a macro is made.
            if macro.startswith(_FIGURES) and not there.issuperset(_ASKED.findall(macro)):
                continue
            with suppress(duckdb.BinderException, duckdb.CatalogException):
                connection.execute(macro)
        connection.execute("CHECKPOINT")
    finally:
        connection.close()


_FIGURES = ("CREATE OR REPLACE MACRO kpi.", "CREATE OR REPLACE MACRO kpi_rows.")
_ASKED = re.compile(r"\b(?:core|history)\.\w+")
_THERE = """
SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = current_catalog()
UNION SELECT schema_name || '.' || view_name FROM duckdb_views()
UNION SELECT schema_name || '.' || function_name FROM duckdb_functions()
      WHERE database_name = current_catalog()
"""


def _first_line(error: Exception) -> str:
    # DuckDB's further lines quote the statement.
    return str(error).partition("\n")[0]
