"""One batch of the inbox into the database: messages, events, and new versions of what is true.

Everything of a batch is one transaction, its inbox position included, so that a crash leaves
either all of it or none of it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb
import pyarrow as pa

from twin_core.inbox import Entry, Prepared
from twin_core.settings import PrecedenceSettings
from twin_core.store import writing
from twin_core.store.committed import Committed
from twin_core.store.database import Database
from twin_core.store.fold.rows import EntityRow
from twin_core.store.folding import Changes, Folding
from twin_core.store.journal import Journal, decoded, events_of, journal_of
from twin_core.store.messages import Filed, filed_events
from twin_core.store.units import last_known_at

_MICROSECOND = timedelta(microseconds=1)
_UNIT_AT = {"stay": slice(3, 5), "location": slice(2, 4)}
"""Entities that are in a unit, and where among their columns facility and unit stand."""


class BatchApplied(NamedTuple):
    """What a batch changed, for those who show the present."""

    sequence: int
    known_at: datetime
    messages: int
    position: int = 0
    """Inbox position up to which messages have been applied."""
    not_applied: tuple[int, ...] = ()
    """Positions of messages that were acknowledged and then could not be applied."""
    opened: tuple[EntityRow, ...] = ()
    """Rows of `history` that hold from this batch on."""
    closed: tuple[EntityRow, ...] = ()
    """Rows that held until this batch."""

    @property
    def units(self) -> frozenset[tuple[str, str]]:
        """(facility, unit) of every place where anybody came or went, or that changed itself."""
        rows = [row for row in self.opened + self.closed if row[0] in _UNIT_AT]
        changed = [values[_UNIT_AT[name]] for name, values in rows]
        return frozenset((str(facility or ""), str(unit or "")) for facility, unit in changed)


class Folded(NamedTuple):
    """What a batch changes, before it is written."""

    entries: Sequence[Entry]
    prepared: Sequence[Prepared]
    changes: Changes


class Projection:
    """Applies batches of durable entries to the database, in order, exactly once each."""

    def __init__(self, database: Database, precedence: PrecedenceSettings) -> None:
        self._database, self._connection = database, database.connection
        self.committed = Committed(self._connection)
        self._folding = Folding(self.committed, precedence)
        self.batch_no, self.position, self.known_at = last_known_at(self._connection)
        self._next_event = _last_event(self._connection)
        self._is_stale = False
        """Whether the database could not say how far it is, after something had failed."""

    def apply(self, entries: Sequence[Entry], prepared: Sequence[Prepared] = ()) -> BatchApplied:
        """Apply entries as one transaction. On any error nothing of it is kept."""
        try:
            applied = self.write(self.fold(entries, prepared))
        except BaseException:
            self.forget()
            raise
        self.write_back()
        return applied

    def fold(self, entries: Sequence[Entry], prepared: Sequence[Prepared] = ()) -> Folded:
        """What entries change, given all that was folded before. Nothing is written.

        `prepared` are journals that hold some of the entries, in the order of positions.
        Whoever does not write it, or fails to, calls `forget`.
        """
        if self._is_stale:
            self.forget()
        filed = filed_events(entries)
        return Folded(entries, prepared, self._folding.fold(filed))

    def write(self, folded: Folded) -> BatchApplied:
        """Write what was folded as one transaction: all of it or nothing.

        Whoever loads calls `write_back` then: what is written is there for everybody before that.
        """
        with self._database.transaction(back=False):
            return self._write_batch(folded)

    def write_back(self) -> None:
        """In a load, write the database's log into its file where it has grown long."""
        self._database.write_back()

    def forget(self) -> None:
        """Forget what was folded and not written; the database knows how far it is."""
        self._is_stale = True
        self._folding.forget()
        # Asked where nobody else asks: the writing thread of a load may write the log back now, and
        # what one of two threads asks of a connection is gone when the other asks.
        asked = self.committed.so_far
        self.batch_no, self.position, self.known_at = last_known_at(asked)
        self._next_event = _last_event(asked)
        self._is_stale = False

    def load(self) -> None:
        """Remember more of what was told from now on: much is to come.

        From now on `fold` may be called while another thread is in `write`.
        """
        self._folding.units.load()
        self.committed.so_far = self._database.reader()

    @property
    def is_to_be_renewed(self) -> bool:
        """Whether the database can answer only once it is taken anew."""
        return self._database.is_to_be_renewed

    def renew(self) -> None:
        """Let the database give back what it keeps of the rows that were written."""
        self._database.renew()

    def refold(self, filed: Sequence[Filed], known_at: datetime) -> None:
        """Fold events that were journalled before, as one transaction, known since `known_at`.

        Writes events, identity and versions, but no messages and no batch: those are kept as they
        are when a store is rebuilt.
        """
        with self._database.transaction():
            self._write([events_of(filed)], self._folding.fold(filed), known_at)

    def _write_batch(self, folded: Folded) -> BatchApplied:
        entries, changes = folded.entries, folded.changes
        batch_no, position = self.batch_no + 1, entries[-1].position
        latest = max(entry.received_at for entry in entries)
        known_at = latest if self.known_at is None else max(latest, self.known_at + _MICROSECOND)
        journals = self._journals(entries, folded.prepared)
        self._write_messages(journals, batch_no)
        self._write([journal.event for journal in journals], changes, known_at)
        batch = (batch_no, position, known_at, len(entries))
        writing.insert(self._connection, "batch", writing.BATCH, [batch])
        self.batch_no, self.position, self.known_at = batch_no, position, known_at
        return BatchApplied(
            batch_no,
            known_at,
            len(entries),
            position,
            opened=tuple([row for rows, _, _ in changes.opened for row in rows]),
            closed=tuple([row for row, _ in changes.closed]),
        )

    def _write(self, events: Sequence[pa.Table], changes: Changes, known_at: datetime) -> None:
        connection = self._connection
        numbers = range(self._next_event + 1, self._next_event + 1 + len(changes.nodes))
        numbered = (
            pa.concat_tables(events)
            .append_column("event_no", pa.array(numbers, pa.int64()))
            .append_column("node", pa.array(changes.nodes, pa.int64()))
        )
        writing.journal(connection, "event", [numbered])
        writing.insert(connection, "node", writing.NODE, changes.created)
        writing.regroup(connection, changes.regrouped, changes.first_new)
        closed = [(row[0], number) for row, number in changes.closed]
        writing.close_versions(connection, closed, known_at)
        writing.open_versions(connection, changes.opened, known_at)
        self._next_event += len(numbers)

    def _write_messages(self, journals: Sequence[Journal], batch_no: int) -> None:
        for name in Journal._fields:
            if name != "event":
                same = {"batch_no": batch_no} if name == "message" else {}
                parts = [getattr(one, name) for one in journals]
                writing.journal(self._connection, name, parts, **same)

    def _journals(self, entries: Sequence[Entry], prepared: Sequence[Prepared]) -> list[Journal]:
        """The journal's rows of entries, in parts: those that are prepared, and the others."""
        journals: list[Journal] = []
        positions = [entry.position for entry in entries]
        done = 0
        for first, last, encoded in prepared:
            begin, end = bisect_left(positions, first), bisect_right(positions, last)
            if begin == end:
                continue
            journal = decoded(encoded).between(positions[begin], positions[end - 1])
            if journal.message.num_rows == end - begin:
                journals += self._rows(entries[done:begin])
                journals.append(journal)
                done = end
        return [*journals, *self._rows(entries[done:])]

    def _rows(self, entries: Sequence[Entry]) -> Iterator[Journal]:
        if entries:
            replayed = self._first_received([e.replay_of for e in entries if e.replay_of])
            yield journal_of(entries, replayed)

    def _first_received(self, message_ids: Sequence[int]) -> dict[int, datetime]:
        # A replayed message keeps its row's identity and first receipt; the rest is written anew.
        if not message_ids:
            return {}
        listed = ", ".join(str(number) for number in message_ids)
        found = self._connection.execute(
            f"SELECT message_id, received_at FROM core.message WHERE message_id IN ({listed})"
        ).fetchall()
        self._connection.execute(f"DELETE FROM core.message WHERE message_id IN ({listed})")
        return dict(found)


def _last_event(connection: duckdb.DuckDBPyConnection) -> int:
    asked = "SELECT coalesce(max(event_no), 0) FROM core.event"
    # All of it: who has fetched one row only still reads, and the store is not taken anew.
    [[last]] = connection.execute(asked).fetchall()
    return int(last)
