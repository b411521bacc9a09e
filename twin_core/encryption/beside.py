"""What the SQLite files beside an encrypted store keep sealed, cell by cell.

A file notes in its table `meta` that it is sealed (`sealing`). One that was begun before the store
was encrypted, or before its cells were sealed at all, is sealed when it is opened next. While the
store's key is changed, a file also notes a hand-over, by which the next key opens what the last one
sealed: whatever ends that in between, the file opens under whichever key the store has.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from twin_core.encryption.keys import StoreKey, missing_key
from twin_core.encryption.sealing import Seal, new_sealing, seal_handed_over, sealing_of
from twin_core.errors import StoreError, TwinError, WrongKey

BUSY_S = 10.0
_SEALING, _HANDOVER = "sealing", "handover"


class Sealed(NamedTuple):
    """A column whose values may tell of a patient."""

    table: str
    column: str
    row: tuple[str, ...]
    """The columns that name a row, by which its values are bound to it."""
    is_text: bool = True
    alike: bool = False
    """Whether rows are looked for by it."""


BESIDE: dict[str, tuple[Sealed, ...]] = {
    ".access": (
        Sealed("view", "name", ("principal",), alike=True),
        Sealed("view", "href", ("principal",)),
    ),
    ".audit": (Sealed("texts", "said", ("seq",), is_text=False),),
    ".outbound": tuple(
        Sealed("parked", column, ("name", "message_id")) for column in ("control_id", "reason")
    ),
    ".sources": (
        Sealed("checkpoint", "held", ("source", "what"), is_text=False),
        Sealed("seen", "resource", ("source", "what"), alike=True),
    ),
    ".simulations": tuple(
        Sealed("simulation", column, ("id",), is_text=column not in ("task", "answer"))
        for column in ("asked_by", "title", "learned", "reason", "task", "answer")
    ),
}
"""By the ending of a file's name. Everything else in these files is numbers, instants, words of the
program, and names of the site's own systems."""


class Cells:
    """How the values of one file are kept: as they are, sealed, or sealed by a key not at hand."""

    def __init__(self, suffix: str, seal: Seal | None, name: str, *, locked: bool = False) -> None:
        self._columns = {(one.table, one.column): one for one in BESIDE.get(suffix, ())}
        self._seal, self._name, self.is_locked = seal, name, locked

    @property
    def are_sealed(self) -> bool:
        """Whether values are sealed here."""
        return self._seal is not None or self.is_locked

    def kept(self, table: str, column: str, row: Sequence[object], said: object) -> object:
        """A value as its cell keeps it; nothing is kept as nothing."""
        if self._seal is None or not said:
            return said
        one, place = self._columns[table, column], _place(table, column, row)
        plain = said.encode("utf-8", "surrogatepass") if isinstance(said, str) else said
        if not isinstance(plain, bytes):
            raise TypeError(f"{table}.{column} is text or bytes")
        if one.alike:
            return self._seal.seal_alike(plain, place)
        return self._seal.seal(plain, 0, place)

    def said(self, table: str, column: str, row: Sequence[object], kept: object) -> object:
        """The value that a cell keeps.

        Raises StoreError where it was changed, ConfigurationError where no key is set.
        """
        if not kept or not self.are_sealed:
            return kept
        if self._seal is None:
            raise missing_key(self._name)
        one, place = self._columns[table, column], _place(table, column, row)
        # What is no sealed value is refused like one that does not open.
        sealed = kept if isinstance(kept, bytes) else b""
        if one.alike:
            plain = self._seal.unseal_alike(sealed, place)
        else:
            plain = self._seal.unseal(sealed, 0, place)
        return plain.decode("utf-8", "surrogatepass") if one.is_text else plain


def opened_cells(db: sqlite3.Connection, suffix: str, key: StoreKey | None, name: str) -> Cells:
    """How a file that is open for writing keeps its values, once what it holds is kept so.

    `db` is in autocommit mode, and its tables are there. Raises ConfigurationError for a file that
    is sealed where no key is set, WrongKey for one that another key sealed, sqlite3.Error.
    """
    noted, handed = _noted(db)
    if handed is None and (noted is None) == (key is None):
        return _judged(suffix, noted, handed, key, name)
    db.execute("PRAGMA secure_delete = ON")
    with _alone(db):
        # Whoever was first may have done it.
        noted, handed = _noted(db)
        before = _judged(suffix, noted, handed, key, name)
        if before.is_locked:
            raise missing_key(name)
        # A file of an earlier version may have had nothing to note.
        db.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT)")
        after = before
        if _must_change(noted, key, name, suffix):
            seal, note = _new_seal(suffix, key, name)
            after = Cells(suffix, seal, name)
            _rewrite(db, suffix, before, after)
            db.execute("DELETE FROM meta WHERE key = ?", (_SEALING,))
            if note is not None:
                db.execute("INSERT INTO meta VALUES (?, ?)", (_SEALING, note))
        db.execute("DELETE FROM meta WHERE key = ?", (_HANDOVER,))
    # Pages that held values in another form are not to outlive this in the log.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return after


def read_cells(db: sqlite3.Connection, suffix: str, key: StoreKey | None, name: str) -> Cells:
    """How a file keeps its values, which is only read: without a key, sealed ones stay closed.

    Raises WrongKey where another key sealed them.
    """
    return _judged(suffix, *_noted(db), key, name)


def hand_over(path: Path, key: StoreKey | None, new_key: StoreKey | None) -> None:
    """Let the next key open the files beside a store, too; the present one goes on to.

    Raises StoreError where one of them cannot be written.
    """
    for suffix, file, name in _files(path):
        with _opened(file) as db:
            if key is None:
                continue
            opened_cells(db, suffix, key, name)
            noted, _ = _noted(db)
            if noted is None:
                continue
            seal = sealing_of(noted, key, suffix.encode(), name)
            note = seal.handed_over(new_key, suffix.encode()) if new_key else seal.given_up()
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_HANDOVER, note))


def settle_beside(path: Path, key: StoreKey | None) -> None:
    """Seal the files beside a store as the store is, whatever they were.

    Raises StoreError where one of them cannot be written, WrongKey for one that another key sealed,
    once the others are settled.
    """
    failures = []
    for suffix, file, name in _files(path):
        try:
            with _opened(file) as db:
                opened_cells(db, suffix, key, name)
        except TwinError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def unsealed(path: Path, key: StoreKey | None) -> list[str]:
    """The files beside a store that are not sealed by a key; they are only looked at.

    Raises WrongKey for a store or a file that another key sealed, StoreError for one that cannot
    be read.
    """
    found = []
    inbox = path.with_name(path.name + ".inbox")
    if key is not None and inbox.exists():
        with _opened(inbox, mode="ro") as db:
            if (noted := _noted(db)[0]) is not None:
                sealing_of(noted, key, b"inbox", f"The store {path.name}")
    for suffix, file, name in _files(path):
        with _opened(file, mode="ro") as db:
            if not read_cells(db, suffix, key, name).are_sealed:
                found.append(file.name)
    return found


def _noted(db: sqlite3.Connection) -> tuple[str | None, str | None]:
    if not db.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchall():
        return None, None
    sql = "SELECT key, value FROM meta WHERE key IN (?, ?)"
    noted = dict(db.execute(sql, (_SEALING, _HANDOVER)).fetchall())
    return noted.get(_SEALING), noted.get(_HANDOVER)


def _judged(
    suffix: str, noted: str | None, handed: str | None, key: StoreKey | None, name: str
) -> Cells:
    """How the values are kept now, for whoever has this key."""
    if noted is None:
        return Cells(suffix, None, name)
    purpose = suffix.encode()
    given = seal_handed_over(handed, key, purpose, name) if handed else None
    if key is None:
        return Cells(suffix, given, name, locked=given is None)
    try:
        return Cells(suffix, sealing_of(noted, key, purpose, name), name)
    except WrongKey:
        if given is None:
            raise
        return Cells(suffix, given, name)


def _must_change(noted: str | None, key: StoreKey | None, name: str, suffix: str) -> bool:
    """Whether the file is not yet kept as this key, or none, wants it."""
    if noted is None or key is None:
        return (noted is None) != (key is None)
    try:
        sealing_of(noted, key, suffix.encode(), name)
    except WrongKey:
        return True
    return False


def _new_seal(suffix: str, key: StoreKey | None, name: str) -> tuple[Seal | None, str | None]:
    if key is None:
        return None, None
    note = new_sealing(key, suffix.encode())
    return sealing_of(note, key, suffix.encode(), name), note


def _rewrite(db: sqlite3.Connection, suffix: str, before: Cells, after: Cells) -> None:
    """Every value of the sealed columns, kept in another way."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, column, row, _, _ in BESIDE[suffix]:
        if table not in there:
            continue
        own = " AND ".join(f"{one} = ?" for one in row)
        # The names first, which are short: what a file holds may not fit into memory.
        keys = db.execute(f"SELECT DISTINCT {', '.join(row)} FROM {table}").fetchall()  # noqa: S608
        held = f"SELECT DISTINCT {column} FROM {table} WHERE {own}"  # noqa: S608
        change = f"UPDATE {table} SET {column} = ? WHERE {own} AND {column} IS ?"  # noqa: S608
        for key in keys:
            for (kept,) in db.execute(held, key).fetchall():
                said = before.said(table, column, key, kept)
                db.execute(change, (after.kept(table, column, key, said), *key, kept))


def _files(path: Path) -> Iterator[tuple[str, Path, str]]:
    for suffix in BESIDE:
        file = path.with_name(path.name + suffix)
        if file.exists():
            yield suffix, file, f"The file {file.name}"


@contextmanager
def _opened(file: Path, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_S
        )
        with closing(connection) as db:
            db.isolation_level = None
            db.execute("PRAGMA synchronous = FULL")
            yield db
    except sqlite3.Error as error:
        raise StoreError(
            f"{file.name} cannot be used.", why=f"{error}.", do="Restore it from a backup."
        ) from error


@contextmanager
def _alone(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _place(table: str, column: str, row: Sequence[object]) -> bytes:
    named = "\x1f".join(str(one) for one in row)
    return f"{table}.{column}\x1f{named}".encode("utf-8", "surrogatepass")
