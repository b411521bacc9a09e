"""The DuckDB half of the store: opened, locked, migrated, and given its views and macros.

The database file is attached under the fixed catalog name `wardtwin`, because a file named like
one of its own schemas would break name resolution.
"""

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import duckdb

from twin_core.errors import QueryFailed, StoreVersion
from twin_core.store.cipher import attach, why_not
from twin_core.store.replacing import replacement
from twin_core.store.tables import ENTITIES, Entity

CATALOG = "wardtwin"
_LOG = logging.getLogger("wardtwin.store")
FOREVER = "TIMESTAMPTZ '9999-01-01 00:00:00+00'"
"""The instant at which everything recorded so far is known."""

Row = dict[str, object]

_DURABLE = "COMMIT succeeded and is durable"
"""What DuckDB says where a full disk let it commit, but not write its log back."""
READ_ON_S, _PAUSE_S = 10.0, 0.005
"""How long to wait for those who read before the file is taken again."""
WRITTEN_BACK, LOAD_WRITTEN_BACK = "256MB", 128 * 1000 * 1000
"""How much may be in the log before it is written into the file: until then it is in memory, too.
Whoever looks on waits meanwhile; where nobody does, in a load, it is done sooner. Each time, the
rows at the end of every table are written once more, so half as often is half the work."""


class Database:
    """One open store: a writing connection for the projector and a read cursor per thread."""

    def __init__(
        self,
        path: Path,
        *,
        memory_limit: str = "256MB",
        read_only: bool = False,
        key: str | None = None,
    ) -> None:
        self.path, self.key = path, key
        self._log = log_path(path)
        self.connection = connect(path, memory_limit=memory_limit, read_only=read_only, key=key)
        self._cursors = threading.local()
        self._is_loading = False
        self.is_to_be_renewed = False
        """Whether the log could not be written back: nothing can be asked before it is."""
        self._turn = threading.Lock()
        """Held while the file is let go of and taken again."""

    def close(self) -> None:
        """Let go of the file; whoever still reads gets a StoreError."""
        self.connection.close()

    def load(self) -> None:
        """Keep little in memory from now on: much is to come, and nobody waits for an answer.

        What was written goes into the file sooner, and once it is told that it was written; memory
        that is free goes back to the system at once; and one thread writes it, since two cannot use
        what the other has freed.
        """
        self._is_loading = True
        settings = {
            # Never by itself: see `write_back`.
            "checkpoint_threshold": "'1TB'",
            "allocator_background_threads": "true",
            "threads": "1",
        }
        for name, value in settings.items():
            self.cursor().execute(f"SET GLOBAL {name} = {value}")

    def renew(self) -> None:
        """Let go of the file and take it again, which gives back what DuckDB keeps until then.

        For each group of rows that several transactions wrote it keeps 256 KiB, which count towards
        the memory limit: in the end there is no room left to write. Nobody else gets the store
        meanwhile, and who wants to read waits; who is at several questions in one transaction gets
        an error. Where somebody reads on and on it raises StoreError: nothing can be written until
        it is called again.
        """
        with self._turn, replacement(self.path), closing(self.connection.cursor()) as elsewhere:
            with suppress(duckdb.Error):
                # One is left over where even its end found no room.
                self.connection.execute("ROLLBACK")
            with suppress(duckdb.Error):
                # What cannot be written back is in the log, which is read when it is taken again.
                # And it may have been let go of already.
                elsewhere.execute(f"DETACH {CATALOG}")
            self._attach_again(elsewhere)
            self.is_to_be_renewed = False

    def _attach_again(self, connection: duckdb.DuckDBPyConnection) -> None:
        give_up_at = time.monotonic() + READ_ON_S
        while True:
            try:
                attach(connection, self.path, CATALOG, key=self.key)
                return
            except duckdb.Error as error:
                # Whoever began to read before has the file until then.
                if time.monotonic() >= give_up_at:
                    raise why_not(self.path.name, error) from error
            time.sleep(_PAUSE_S)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's own reading connection."""
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._cursors, "cursor", None)
        with self._turn:
            if cursor is None:
                cursor = self._cursors.cursor = self.reader()
        return cursor

    def reader(self) -> duckdb.DuckDBPyConnection:
        """Another connection of its own, which sees what is committed."""
        reader = self.connection.cursor()
        prepare(reader)
        return reader

    def query(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[Row]:
        """Rows of a query as dictionaries; instants are aware and in UTC.

        Raises QueryFailed with DuckDB's own words.
        """
        try:
            found = self.cursor().execute(sql, parameters or None)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        except duckdb.Error as error:
            raise QueryFailed("The query failed.", why=str(error)) from error

    def write_back(self) -> None:
        """Write the log into the file, in a load in which that has grown long.

        Where there is no room all of it stays in the log, and the store is to be taken anew.
        """
        if not self._is_loading or _size_of(self._log) < LOAD_WRITTEN_BACK:
            return
        try:
            self.connection.execute(f"CHECKPOINT {CATALOG}")
        except duckdb.Error as error:
            self._left_in_log(error)

    @contextmanager
    def transaction(self, *, back: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction on the writing connection: all of it or none of it.

        Where it is not to be written `back` whoever calls sees to that, in a load.
        """
        self.connection.execute("BEGIN")
        try:
            yield self.connection
            self._commit()
        except BaseException:
            try:
                self.connection.execute("ROLLBACK")
            except duckdb.Error as error:
                # A failed COMMIT has already ended the transaction.
                if "no transaction" not in str(error).lower():
                    raise
            raise
        if back:
            self.write_back()

    def _commit(self) -> None:
        try:
            self.connection.execute("COMMIT")
        except duckdb.IOException as error:
            # Only what was to follow failed, writing the log back: done again, all would be
            # there twice.
            if _DURABLE not in str(error):
                raise
            self._left_in_log(error)

    def _left_in_log(self, error: duckdb.Error) -> None:
        self.is_to_be_renewed = True
        _LOG.warning("The log was not written back: %s", str(error).splitlines()[0])


def connect(
    path: Path,
    *,
    memory_limit: str = "256MB",
    read_only: bool = False,
    key: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection to a store's file, which `key` encrypts where there is one.

    Raises StoreBusy where another program holds it, WrongKey or ConfigurationError where its key is
    not this one, StoreError where it is no usable database.
    """
    # What does not fit into memory is spilled beside the store, whoever started us wherever.
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": memory_limit,
            "threads": 2,
            "temp_directory": str(spill_path(path)),
        },
    )
    try:
        attach(connection, path, CATALOG, key=key, read_only=read_only)
    except duckdb.Error as error:
        connection.close()
        raise why_not(path.name, error) from error
    except BaseException:
        connection.close()
        raise
    prepare(connection)
    connection.execute(f"SET checkpoint_threshold = '{WRITTEN_BACK}'")
    return connection


def log_path(path: Path) -> Path:
    """The file in which DuckDB keeps the log of a store: beside what a link leads to, and named
    before a question mark, since it takes what comes behind one for no part of a name."""
    before, mark, behind = str(path.resolve()).partition("?")
    return Path(f"{before}.wal{mark}{behind}")


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def spill_path(path: Path) -> Path:
    """The folder beside a store in which DuckDB keeps what does not fit into memory."""
    return path.with_name(path.name + ".tmp")


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Put a connection into the store's catalog and into UTC."""
    connection.execute(f"USE {CATALOG}; SET TimeZone = 'UTC'")


def migrate(connection: duckdb.DuckDBPyConnection) -> int:
    """Bring a store to this version, one numbered file at a time; return the version.

    Raises StoreVersion for a store that a newer wardtwin wrote.
    """
    migrations = _migrations()
    have = schema_version(connection)
    newest = max(migrations)
    if have > newest:
        raise StoreVersion(
            f"The store has schema version {have}; this wardtwin knows {newest}.",
            why="A newer wardtwin wrote it, and an older one would damage it.",
            do="Install the newer wardtwin, or restore a backup from before the upgrade.",
        )
    for number in range(have + 1, newest + 1):
        connection.execute("BEGIN")
        connection.execute(migrations[number])
        connection.execute("DELETE FROM core.meta WHERE key = 'schema_version'")
        put_meta(connection, "schema_version", str(number))
        connection.execute("COMMIT")
    return newest


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """The version a store was last migrated to; 0 for an empty file."""
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'core'"
        " AND table_name = 'meta'",
        [CATALOG],
    ).fetchone()
    return int(get_meta(connection, "schema_version") or 0) if found else 0


def get_meta(connection: duckdb.DuckDBPyConnection, key: str) -> str | None:
    """A fact about the store itself, such as its id."""
    row = connection.execute("SELECT value FROM core.meta WHERE key = ?", [key]).fetchone()
    return None if row is None else str(row[0])


def put_meta(connection: duckdb.DuckDBPyConnection, key: str, value: str) -> None:
    """Record a fact about the store itself; the caller removes an earlier one."""
    connection.execute("INSERT INTO core.meta VALUES (?, ?)", [key, value])


def install_views(
    connection: duckdb.DuckDBPyConnection,
    macros: Sequence[str] = (),
    judge: Callable[[], None] = lambda: None,
) -> None:
    """Create the analysts' views and macros, unless this very version of them is there.

    `macros` are further statements (the KPI catalogue's), installed after the views. `judge` is
    asked before they are, and raises where they must not be.
    """
    statements = [*_view_statements(), *macros]
    fingerprint = hashlib.sha256("\n".join(statements).encode()).hexdigest()
    if get_meta(connection, "views") == fingerprint:
        return
    judge()
    connection.execute("BEGIN")
    for schema in ("twin", "history", "kpi"):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for statement in statements:
        connection.execute(statement)
    connection.execute("DELETE FROM core.meta WHERE key = 'views'")
    put_meta(connection, "views", fingerprint)
    connection.execute("COMMIT")


def set_rows(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[tuple[str, ...]]
) -> None:
    """Make a small table of schema `core` hold exactly these rows: what a site has set."""
    wanted = sorted(rows)
    if connection.execute(f"SELECT * FROM core.{table} ORDER BY ALL").fetchall() == wanted:
        return
    connection.execute("BEGIN")
    connection.execute(f"DELETE FROM core.{table}")
    for row in wanted:
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO core.{table} VALUES ({marks})", row)
    connection.execute("COMMIT")


def _migrations() -> dict[int, str]:
    folder = files("twin_core.store") / "schema"
    names = [e.name for e in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", e.name)]
    return {int(name[:4]): (folder / name).read_text("utf-8") for name in names}


def _view_statements() -> list[str]:
    generated = [statement for entity in ENTITIES for statement in _entity_statements(entity)]
    folder = files("twin_core.store") / "views"
    written = [
        entry.read_text("utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    ]
    return generated + written


def _entity_statements(entity: Entity) -> Iterator[str]:
    columns = ", ".join(f'"{column.name}"' for column in entity.columns)
    source = f"core.{entity.name}_version"
    yield (
        f"CREATE OR REPLACE MACRO history.{entity.name}(known_at) AS TABLE"
        f" SELECT {columns} FROM {source}"
        f" WHERE known_from <= coalesce(known_at::TIMESTAMPTZ, {FOREVER})"
        f" AND known_to > coalesce(known_at::TIMESTAMPTZ, {FOREVER})"
    )
    view = f"twin.{entity.name}"
    yield (
        f"CREATE OR REPLACE VIEW {view} AS"
        f" SELECT {columns} FROM {source} WHERE known_to = 'infinity'"
    )
    yield f"COMMENT ON VIEW {view} IS {_literal(entity.comment)}"
    for column in entity.columns:
        yield f'COMMENT ON COLUMN {view}."{column.name}" IS {_literal(column.comment)}'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
