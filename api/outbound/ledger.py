"""How far each destination has come: a SQLite file beside the store that survives any end.

A position is the last message that needs nothing more: delivered, parked or not meant for the
destination. It is stored after the fact, so that a message may be sent twice and never not at all;
its control id stays the same, by which the receiver knows it again.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from api.beside import BesideStore, Words, instant_text
from twin_core.encryption import StoreKey

BUSY_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS destination (
    name TEXT PRIMARY KEY, batch_no INTEGER, message_id INTEGER, state TEXT, reason TEXT,
    since TEXT, pid INTEGER, delivered_at TEXT, released INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parked (
    name TEXT, message_id INTEGER, trigger_event TEXT, control_id TEXT, code TEXT, reason TEXT,
    attempts INTEGER, parked_at TEXT, again INTEGER DEFAULT 0,
    PRIMARY KEY (name, message_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (
    name TEXT, outcome TEXT, messages INTEGER, PRIMARY KEY (name, outcome)) WITHOUT ROWID;
"""
_WORDS = Words(
    use="It says what other systems were sent; restore it from a backup.",
    about="It says how far other systems were fed from that one.",
    anew="destinations begin anew",
)
_PARKED = """
SELECT message_id, trigger_event, control_id, code, reason, attempts, parked_at, again
FROM parked WHERE name = ? ORDER BY message_id LIMIT ?
"""
_SEALED = ("control_id", "reason")
_ASKED_AGAIN = _PARKED.replace("name = ?", "name = ? AND again = 1")


class Position(NamedTuple):
    """A place in the journal. Batches become visible whole and in order; a replayed message is in
    the batch in which it was applied at last, so that it is not passed over."""

    batch_no: int
    message_id: int


class Parked(NamedTuple):
    """A message that a destination did not take, and why. The reason holds codes, never PHI."""

    message_id: int
    trigger_event: str
    control_id: str
    code: str
    """AE, AR, CE or CR; empty where it was never sent."""
    reason: str
    attempts: int
    parked_at: str
    again: bool = False
    """Whether somebody asked for another try."""


class Progress(NamedTuple):
    """Where a destination stands, as last written."""

    name: str
    position: Position
    state: str
    reason: str
    since: str
    pid: int
    delivered_at: str


def ledger_path(store: Path) -> Path:
    """Where the ledger of a store is."""
    return store.with_name(store.name + ".outbound")


class Ledger(BesideStore):
    """The ledger of one store; every method is one transaction, on any thread."""

    def __init__(self, path: Path, store_id: str, key: StoreKey | None) -> None:
        super().__init__(
            path, store_id, key, kind=".outbound", schema=_SCHEMA, words=_WORDS, busy_s=BUSY_S
        )

    def begin(self, name: str, position: Position) -> Position:
        """Where a destination goes on; `position` where it is a new one."""
        with self._writing() as db:
            db.execute(
                "INSERT OR IGNORE INTO destination (name, batch_no, message_id, state, reason,"
                " since, pid, delivered_at) VALUES (?, ?, ?, '', '', '', 0, '')",
                (name, *position),
            )
            row = db.execute(
                "SELECT batch_no, message_id FROM destination WHERE name = ?", (name,)
            ).fetchone()
        return Position(*row)

    def advance(
        self,
        name: str,
        position: Position,
        tallies: Mapping[str, int],
        delivered_at: datetime | None,
    ) -> None:
        """Everything up to `position` is settled; `tallies` are counted on top."""
        with self._writing() as db:
            self._advanced(db, name, position, tallies)
            if delivered_at is not None:
                db.execute(
                    "UPDATE destination SET delivered_at = ? WHERE name = ?",
                    (instant_text(delivered_at), name),
                )

    def park(
        self, name: str, parked: Parked, position: Position | None, tallies: Mapping[str, int]
    ) -> None:
        """Put a message aside, and go on behind it."""
        row = (name, parked.message_id)
        sealed = {
            word: self._cells.kept("parked", word, row, getattr(parked, word)) for word in _SEALED
        }
        kept = (name, *(sealed.get(word, said) for word, said in parked._asdict().items()))
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", kept)
            if position is not None:
                self._advanced(db, name, position, tallies)

    def unpark(self, name: str, message_id: int) -> None:
        """A parked message was delivered after all."""
        with self._writing() as db:
            db.execute("DELETE FROM parked WHERE name = ? AND message_id = ?", (name, message_id))

    def tell(self, name: str, state: str, reason: str, at: datetime, pid: int) -> None:
        """Write down how a destination is doing, for other programs to see."""
        with self._writing() as db:
            db.execute(
                "UPDATE destination SET state = ?, reason = ?, since = ?, pid = ? WHERE name = ?",
                (state, reason, instant_text(at), pid, name),
            )

    def ask_again(self, name: str, message_ids: Sequence[int] = ()) -> int:
        """Ask for another try of parked messages (all where none is named), and of the one that a
        stopped destination stands at; how many parked ones there are."""
        with self._writing() as db:
            db.execute("UPDATE destination SET released = 1 WHERE name = ?", (name,))
            if not message_ids:
                return db.execute("UPDATE parked SET again = 1 WHERE name = ?", (name,)).rowcount
            return sum(
                db.execute(
                    "UPDATE parked SET again = 1 WHERE name = ? AND message_id = ?", (name, one)
                ).rowcount
                for one in message_ids
            )

    def released(self, name: str) -> bool:
        """Whether somebody asked a stopped destination to go on; asked once, answered once."""
        with self._writing() as db:
            return (
                db.execute(
                    "UPDATE destination SET released = 0 WHERE name = ? AND released = 1", (name,)
                ).rowcount
                > 0
            )

    def asked_again(self, name: str, limit: int = 100) -> list[Parked]:
        """The parked messages that somebody wants another try of, oldest first."""
        return self._parked(_ASKED_AGAIN, name, limit)

    def parked(self, name: str, limit: int = 1_000) -> list[Parked]:
        """The parked messages of a destination, oldest first."""
        return self._parked(_PARKED, name, limit)

    def parked_before(self, before: datetime) -> tuple[int, str | None]:
        """How many messages were parked before an instant, and when the oldest was."""
        sql = "SELECT count(*), min(parked_at) FROM parked WHERE parked_at < ?"
        [(messages, oldest)] = self._read(sql, (instant_text(before),))
        return messages, oldest

    def give_up(self, before: datetime) -> int:
        """Forget the messages that were parked before an instant; how many there were."""
        with self._writing() as db:
            db.execute("PRAGMA secure_delete = ON")
            gone = db.execute("DELETE FROM parked WHERE parked_at < ?", (instant_text(before),))
            return gone.rowcount

    def progress(self) -> list[Progress]:
        """Every destination there ever was."""
        rows = self._read(
            "SELECT name, batch_no, message_id, state, reason, since, pid, delivered_at"
            " FROM destination ORDER BY name"
        )
        return [Progress(row[0], Position(*row[1:3]), *row[3:]) for row in rows]

    def tallies(self) -> dict[str, dict[str, int]]:
        """What became of messages, by destination and outcome, since the ledger was made."""
        counted: dict[str, dict[str, int]] = {}
        for name, outcome, messages in self._read("SELECT name, outcome, messages FROM tally"):
            counted.setdefault(name, {})[outcome] = messages
        for name, waiting in self._read("SELECT name, count(*) FROM parked GROUP BY name"):
            counted.setdefault(name, {})["parked"] = waiting
        return counted

    def _parked(self, sql: str, name: str, limit: int) -> list[Parked]:
        return [self._opened(name, Parked(*row)) for row in self._read(sql, (name, limit))]

    def _opened(self, name: str, kept: Parked) -> Parked:
        row = (name, kept.message_id)
        said = {
            word: self._cells.said("parked", word, row, getattr(kept, word)) for word in _SEALED
        }
        reason, control_id = str(said["reason"]), str(said["control_id"])
        return kept._replace(again=bool(kept.again), reason=reason, control_id=control_id)

    def _advanced(
        self, db: sqlite3.Connection, name: str, position: Position, tallies: Mapping[str, int]
    ) -> None:
        db.execute(
            "UPDATE destination SET batch_no = ?, message_id = ? WHERE name = ?", (*position, name)
        )
        db.executemany(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT (name, outcome)"
            " DO UPDATE SET messages = messages + excluded.messages",
            [(name, outcome, messages) for outcome, messages in tallies.items()],
        )
