"""The ledger as a file: SQLite, append-only, several writing processes at a time.

Numbers are given out and links are made inside the writing transaction, so that a server and a
command may write to one ledger. Triggers refuse UPDATE and DELETE: no defence against who means
harm, whom the chain and the checkpoints find, but one against mistakes.
"""

import hashlib
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from twin_core.audit.access import Access, Entry, Texts, is_typed
from twin_core.audit.keys import AuditKeys
from twin_core.audit.tips import Tip, told_tip
from twin_core.encryption import Cells, StoreKey, opened_cells
from twin_core.errors import AuditFailed, StoreError, UsageError

KIND = ".audit"
BUSY_S = 5.0
FEW_PATIENTS = 8
"""Up to so many pseudonyms stand in the entry itself."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY, body BLOB NOT NULL, link BLOB NOT NULL, signature BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS patients (digest TEXT PRIMARY KEY, pseudonyms TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (seq INTEGER PRIMARY KEY, said BLOB);
CREATE TABLE IF NOT EXISTS checkpoint (size INTEGER PRIMARY KEY, note TEXT, subtrees BLOB);
CREATE TABLE IF NOT EXISTS kept (keeper TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_is_final BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


def first_link(ledger_id: str) -> bytes:
    """What the first entry is chained to."""
    return hashlib.sha256(b"wardtwin ledger " + ledger_id.encode()).digest()


def next_link(link: bytes, body: bytes) -> bytes:
    """The link that an entry makes."""
    return hashlib.sha256(link + body).digest()


def connected(path: Path, *, create: bool) -> sqlite3.Connection:
    """The file of a ledger for writing. Raises AuditFailed, or UsageError where there is none."""
    if not create and not path.exists():
        raise UsageError(f"There is no ledger at {path}.", do="Name the store with --db.")
    with failing():
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        # Only what is new is furnished: tables that somebody dropped must be missed.
        if not db.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchall():
            path.chmod(0o600)
            db.executescript(_SCHEMA)
    return db


class Place(NamedTuple):
    """Where a ledger's file and its log are, and which they are: not only what they are called."""

    path: Path
    files: tuple[tuple[int, int] | None, ...]

    def require(self) -> None:
        """Raise AuditFailed unless they are there still: what goes into a file that was moved or
        removed is not recorded."""
        if place_of(self.path).files != self.files:
            raise AuditFailed(
                "The ledger of accesses is not where it was.",
                why=f"{self.path.name} or its log was moved, replaced or removed.",
                do="Put it back, or restart the server to begin another.",
            )


def place_of(path: Path) -> Place:
    """The files that are at the path of an open ledger now."""
    return Place(path, tuple(_identity(Path(f"{path}{end}")) for end in ("", "-wal")))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def claimed(db: sqlite3.Connection, keys: AuditKeys) -> str:
    """The id of the ledger, which is made where there is none yet.

    Raises AuditFailed where the ledger was begun with other keys.
    """
    with failing():
        db.execute("INSERT OR IGNORE INTO meta VALUES ('ledger_id', ?)", (uuid.uuid4().hex,))
        db.execute("INSERT OR IGNORE INTO meta VALUES ('keys', ?)", (keys.fingerprint(),))
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    if meta["keys"] != keys.fingerprint():
        raise AuditFailed(
            "The audit keys are not those of this ledger.",
            do="Name the file with audit.keys, or move the ledger away to begin another.",
        )
    return str(meta["ledger_id"])


def tip(db: sqlite3.Connection, ledger_id: str) -> Tip:
    """The last entry's number and link."""
    rows = db.execute("SELECT seq, link FROM entry ORDER BY seq DESC LIMIT 1").fetchall()
    return Tip(*rows[0]) if rows else Tip(0, first_link(ledger_id))


def noted_tip(db: sqlite3.Connection) -> str | None:
    """The signed line that the ledger holds of its own end."""
    rows = db.execute("SELECT value FROM meta WHERE key = 'tip'").fetchall()
    return str(rows[0][0]) if rows else None


def note_tip(db: sqlite3.Connection, ledger_id: str, keys: AuditKeys, end: Tip) -> None:
    """Note the end in the ledger itself, within the transaction that makes it."""
    line = told_tip(ledger_id, end, keys)
    db.execute("INSERT OR REPLACE INTO meta VALUES ('tip', ?)", (line,))


def link_at(db: sqlite3.Connection, seq: int) -> bytes | None:
    """The link of an entry; None where there is no such entry."""
    rows = db.execute("SELECT link FROM entry WHERE seq = ?", (seq,)).fetchall()
    return rows[0][0] if rows else None


def shape(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """What a file is made of: tables, triggers, views and indexes with what defines them."""
    rows = db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(str(kind), str(name)): str(sql) for kind, name, sql in rows}


def own_shape() -> dict[tuple[str, str], str]:
    """What the file of a ledger is made of, and of nothing else."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_SCHEMA)
        return shape(db)


def sealed(db: sqlite3.Connection, path: Path, key: StoreKey | None) -> Cells:
    """How the texts of an open ledger are kept. Raises AuditFailed, or WrongKey."""
    with failing():
        return opened_cells(db, KIND, key, f"The file {path.name}")


def append(
    db: sqlite3.Connection,
    ledger_id: str,
    keys: AuditKeys,
    cells: Cells,
    said: Sequence[tuple[datetime, Access]],
) -> list[int]:
    """Write accesses in one fsynced transaction; their numbers. Raises AuditFailed."""
    with failing():
        db.execute("BEGIN IMMEDIATE")
        try:
            seq, link = tip(db, ledger_id)
            numbers = []
            for at, access in said:
                seq += 1
                body = _put(db, keys, cells, seq, at, access)
                link = next_link(link, body)
                db.execute(
                    "INSERT INTO entry VALUES (?, ?, ?, ?)", (seq, body, link, keys.sign(link))
                )
                numbers.append(seq)
            if numbers:
                note_tip(db, ledger_id, keys, Tip(seq, link))
            _require_written(db, ledger_id, numbers, link)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return numbers


def _require_written(
    db: sqlite3.Connection, ledger_id: str, numbers: Sequence[int], link: bytes
) -> None:
    """Raise AuditFailed unless entries are in the table: a trigger may keep them out silently."""
    if not numbers:
        return
    found = db.execute("SELECT count(*) FROM entry WHERE seq >= ?", (numbers[0],)).fetchone()
    if found != (len(numbers),) or tip(db, ledger_id) != Tip(numbers[-1], link):
        raise AuditFailed(
            "An access was not recorded, although the ledger took it.",
            why="Something that was added to its file keeps entries out.",
            do="Run `wardtwin audit verify`, and look at the triggers in the file.",
        )


def _put(
    db: sqlite3.Connection,
    keys: AuditKeys,
    cells: Cells,
    seq: int,
    at: datetime,
    access: Access,
) -> bytes:
    pseudonyms = tuple(sorted({keys.pseudonym(patient) for patient in access.patients}))
    few, digest = pseudonyms, ""
    if len(pseudonyms) > FEW_PATIENTS:
        listed = " ".join(pseudonyms)
        few, digest = (), hashlib.sha256(listed.encode()).hexdigest()
        db.execute("INSERT OR IGNORE INTO patients VALUES (?, ?)", (digest, listed))
    texts = ""
    named = tuple(one for one in access.objects if is_typed(one, access.outcome))
    if access.text or access.reason or named:
        said = msgspec.json.encode(Texts(access.text, access.reason, named))
        texts = keys.text_digest(said)
        kept = cells.kept("texts", "said", (seq,), said)
        db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (seq, kept))
    return msgspec.json.encode(
        Entry(
            seq=seq,
            at=at,
            who=access.who,
            act=access.act,
            what=access.what,
            outcome=access.outcome,
            status=access.status,
            via=access.via,
            address=access.address,
            why=access.why,
            objects=tuple(
                keys.object_pseudonym(one) if one in named else one for one in access.objects
            ),
            patients=few,
            patients_digest=digest,
            patients_count=len(pseudonyms),
            beside=access.beside,
            text_digest=texts,
            rows=access.rows,
        )
    )


@contextmanager
def failing() -> Iterator[None]:
    """Say of SQLite's failures what they mean: what cannot be recorded is not shown."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise AuditFailed(
            "The ledger of accesses cannot be used.",
            why=f"{error}.",
            do="Make room on its disk, or restore it; until then no patient's rows are shown.",
        ) from error


def readable(path: Path) -> sqlite3.Connection:
    """The file of a ledger for reading. Raises UsageError where there is none, or StoreError."""
    if not path.exists():
        raise UsageError(f"There is no ledger at {path}.", do="Name the store with --db.")
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)
        db.execute("SELECT value FROM meta WHERE key = 'ledger_id'").fetchall()
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read as a ledger.", why=f"{error}.") from error
    return db


def texts_before(path: Path, before: datetime) -> list[tuple[int, datetime]]:
    """The entries older than an instant that have texts beside them. Raises AuditFailed."""
    with failing(), closing(connected(path, create=False)) as db:
        rows = db.execute("SELECT seq, body FROM entry JOIN texts USING (seq) ORDER BY seq")
        told = ((seq, msgspec.json.decode(body, type=Entry).at) for seq, body in rows)
        return [(seq, at) for seq, at in told if at < before]


def forget_texts(path: Path, numbers: Sequence[int]) -> int:
    """Remove the texts beside entries, from the pages that they were on, too; how many there were.

    The entries keep their digests and verify as before. Raises AuditFailed.
    """
    with failing(), closing(connected(path, create=False)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        gone = sum(db.execute("DELETE FROM texts WHERE seq = ?", (n,)).rowcount for n in numbers)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return gone


def copy_ledger(source: Path, copy: Path) -> None:
    """Write a consistent copy of a ledger, also while it is written. Raises AuditFailed."""
    with failing(), closing(sqlite3.connect(source)) as db, closing(sqlite3.connect(copy)) as made:
        copy.chmod(0o600)
        db.backup(made)
