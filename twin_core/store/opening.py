"""Opening a store: two files that belong together, or a clear refusal."""

import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from twin_core.clock import Clock
from twin_core.encryption import StoreKey
from twin_core.errors import StoreBusy, StoreError, StoreMismatch
from twin_core.inbox import Inbox
from twin_core.settings import Settings
from twin_core.store.database import (
    Database,
    get_meta,
    install_views,
    migrate,
    put_meta,
    spill_path,
)
from twin_core.store.erasing import carry_out, is_ordered
from twin_core.store.replacing import busy, is_replaced, settle
from twin_core.store.units import last_known_at

_LOG = logging.getLogger("wardtwin.store")


def inbox_path(path: Path) -> Path:
    """Where the inbox of a store is."""
    return path.with_name(path.name + ".inbox")


def open_store(
    path: Path,
    settings: Settings,
    clock: Clock,
    *,
    macros: tuple[str, ...],
    judge: Callable[[], None],
    demo: bool,
    create: bool,
    key: StoreKey | None = None,
) -> tuple[Database, Inbox]:
    """Both halves of a store, made where there is none yet.

    Both are encrypted by `key`, where there is one. An erasure that was interrupted is carried out
    first. Raises StoreMismatch where one half is missing,
    foreign or older than the other; StoreBusy, StoreVersion or StoreError where a half cannot be
    used at all, WrongKey or ConfigurationError where its key is not this one.
    """
    settle(path)
    limit, database_key = settings.store.memory_limit, key.database if key else None
    if carry_out(path, memory_limit=limit, key=key) is not None:
        _LOG.warning("An erasure that had been interrupted was carried out.")
    had_database, had_inbox = path.exists(), inbox_path(path).exists()
    if not create and not had_database:
        raise StoreError(
            f"There is no store at {path}.",
            do="Name an existing one with --db, or start `wardtwin serve` to make one.",
        )
    _refuse_missing_half(path, had_database=had_database, had_inbox=had_inbox)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder of {path} cannot be made.", why=str(error)) from error
    database = Database(path, memory_limit=limit, key=database_key)
    if is_replaced(path):
        # It began between our looking and our holding the store.
        database.close()
        settle(path)
        raise busy(path)
    if is_ordered(path):
        database.close()
        raise StoreBusy(
            f"A patient is to be erased from the store {path.name}.",
            why="That was ordered while it was being opened.",
            do="Open it again.",
        )
    _remove_spilled(database)
    try:
        inbox = _open_inbox(
            database, path, settings, clock, had_inbox=had_inbox, demo=demo, key=key
        )
    except BaseException:
        database.close()
        raise
    for made, file in ((not had_database, path), (not had_inbox, inbox_path(path))):
        if made:
            # Whose patients they are is nobody else's business.
            file.chmod(0o600)
    log = path.with_name(path.name + ".wal")
    if log.exists():
        log.chmod(0o600)
    try:
        install_views(database.connection, macros, judge)
    except BaseException:
        inbox.close()
        database.close()
        raise
    return database, inbox


def _remove_spilled(database: Database) -> None:
    """Remove what somebody spilled who was killed: nobody else holds the store now.

    A long log that was read just now has spilled, too: that and the folder are still needed.
    """
    asked = "SELECT path FROM duckdb_temporary_files()"
    needed = {Path(str(row["path"])).name for row in database.query(asked)}
    for file in spill_path(database.path).glob("*"):
        if file.name not in needed:
            with suppress(OSError):
                file.unlink()


def _open_inbox(
    database: Database,
    path: Path,
    settings: Settings,
    clock: Clock,
    *,
    had_inbox: bool,
    demo: bool,
    key: StoreKey | None,
) -> Inbox:
    connection = database.connection
    migrate(connection)
    _, applied, _ = last_known_at(connection)
    store_id = get_meta(connection, "store_id")
    if applied and not had_inbox:
        raise _one_half(inbox_path(path).name, path.name)
    window_ms = settings.store.commit_window_ms
    inbox = Inbox(inbox_path(path), clock, window_ms=window_ms, key=key)
    try:
        claimed = inbox.store_id()
        if store_id is None:
            if inbox.high:
                raise _one_half(path.name, inbox.path.name)
            store_id = claimed or uuid.uuid4().hex
            put_meta(connection, "store_id", store_id)
            put_meta(connection, "demo", str(demo).lower())
        if claimed is None:
            inbox.claim(store_id)
        elif claimed != store_id:
            raise StoreMismatch(
                f"{path.name} and {inbox.path.name} belong to different stores.",
                do="Restore both from the same backup.",
            )
        inbox.require(applied)
    except BaseException:
        inbox.close()
        raise
    return inbox


def _refuse_missing_half(path: Path, *, had_database: bool, had_inbox: bool) -> None:
    if had_inbox and not had_database:
        raise _one_half(path.name, inbox_path(path).name)


def _one_half(missing: str, present: str) -> StoreMismatch:
    return StoreMismatch(
        f"{missing} is missing beside {present}.",
        why="Inbox and database are two halves of one store.",
        do="Restore both from the same backup, or remove both to start anew.",
    )
