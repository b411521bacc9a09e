"""Orders of erasure: written down whole, carried out step by step, and gone when all is done."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from glob import escape
from pathlib import Path

import msgspec

from twin_core.encryption import StoreKey, missing_key, new_sealing, sealing_of
from twin_core.erased import Marks, made_key, telling
from twin_core.errors import StoreBusy, StoreError
from twin_core.identifiers import Identifier
from twin_core.inbox.keeping_out import add_tombstones, mark_key_path
from twin_core.store.erasing.beside import forget_beside, written_anew
from twin_core.store.erasing.found import Erasure
from twin_core.store.erasing.rewriting import fresh_path, remove_file, rewrite
from twin_core.store.replacing import to_disk
from twin_core.store.subjects import PATIENT

_PURPOSE, _NAME = b"erasure", "The order of an erasure"
_LEFT_BEHIND = (".replica", ".limited", ".aggregates", ".rebuild")
"""Copies that a program which was killed may have left beside a store."""


def order_path(path: Path) -> Path:
    """Where the order of an erasure is while it is carried out."""
    return path.with_name(path.name + ".erasing")


def is_ordered(path: Path) -> bool:
    """Whether an erasure of this store is not carried out yet."""
    return order_path(path).exists()


def order(path: Path, erasure: Erasure, key: StoreKey | None) -> None:
    """Write an order down durably; from now on the store opens only without what goes.

    It names the patient, so that it is sealed where the store is encrypted.
    """
    part = path.with_name(path.name + ".erasing.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_written(erasure, key))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, order_path(path))
    to_disk(path.parent)


def carry_out(path: Path, *, memory_limit: str, key: StoreKey | None) -> Erasure | None:
    """Carry out the order that lies beside a store; None where there is none.

    The store must be closed. Raises StoreBusy where another program is at it or holds the store,
    and StoreError where the disk refuses: the order stays, and the next start goes on.
    """
    with _alone(path) as written:
        if written is None:
            return None
        erasure = _read(written, key)
        _keep_out(path, erasure)
        rewrite(path, erasure, memory_limit=memory_limit, key=key.database if key else None)
        forget_beside(path, erasure, key)
        _remove_copies(path)
        order_path(path).unlink()
        to_disk(path.parent)
    return erasure


def _written(erasure: Erasure, key: StoreKey | None) -> bytes:
    plain = msgspec.json.encode(erasure)
    if key is None:
        return plain
    noted = new_sealing(key, _PURPOSE)
    return noted.encode() + b"\n" + sealing_of(noted, key, _PURPOSE, _NAME).seal(plain, 0, _PURPOSE)


def _read(written: bytes, key: StoreKey | None) -> Erasure:
    if written.startswith(b"{"):
        return msgspec.json.decode(written, type=Erasure)
    if key is None:
        raise missing_key(_NAME)
    noted, _, sealed = written.partition(b"\n")
    seal = sealing_of(noted.decode("ascii"), key, _PURPOSE, _NAME)
    return msgspec.json.decode(seal.unseal(sealed, 0, _PURPOSE), type=Erasure)


@contextmanager
def _alone(path: Path) -> Iterator[bytes | None]:
    """The order, while nobody else carries it out."""
    try:
        file = order_path(path).open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreBusy(
                f"A patient is being erased from the store {path.name}.",
                why="Another program is at it.",
                do="Wait until it is done, and try again.",
            ) from error
        # Whoever held it before may have carried it out.
        yield file.read() if order_path(path).exists() else None


def _keep_out(path: Path, erasure: Erasure) -> None:
    """Tombstones first: from here on nothing of the person comes in again."""
    inbox = path.with_name(path.name + ".inbox")
    marks = Marks(made_key(mark_key_path(inbox)))
    noted = {marks.mark(Identifier(system, value)) for _, system, value in erasure.identifiers}
    noted |= {
        mark
        for kind, system, value in erasure.identifiers
        if kind == PATIENT
        for mark in marks.marks_alike(Identifier(system, value))
    }
    noted |= {marks.mark_word(word) for word in telling(erasure.words)}
    try:
        with closing(sqlite3.connect(inbox, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("BEGIN IMMEDIATE")
            add_tombstones(db, sorted(noted), erasure.erasure_id)
            # What is applied is in the database, and goes from there.
            db.execute("DELETE FROM entry WHERE position <= ?", (erasure.position,))
            db.execute(
                "INSERT OR REPLACE INTO meta VALUES ('pruned_to', ?)", (str(erasure.position),)
            )
            for table in ("digest", "recent_digest"):
                db.executemany(
                    f"DELETE FROM {table} WHERE position = ?",
                    [(one,) for one in erasure.messages],
                )
            db.execute("COMMIT")
            written_anew(db)
    except sqlite3.Error as error:
        raise StoreError("The inbox could not be written anew.", why=f"{error}.") from error


def _remove_copies(path: Path) -> None:
    remove_file(fresh_path(path))
    spilled = path.parent.glob(f"{escape(path.name)}*.tmp")
    for left in (*(path.with_name(path.name + suffix) for suffix in _LEFT_BEHIND), *spilled):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            remove_file(left)
