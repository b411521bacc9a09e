"""One batch of the inbox into the database: messages, events, and new versions of what is true.

Everything of a batch is one transaction, its inbox position included, so that a crash leaves
either all of it or none of it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from twin_core.inbox import Entry
from twin_core.settings import PrecedenceSettings
from twin_core.store import writing
from twin_core.store.database import Database
from twin_core.store.fold.rows import EntityRow
from twin_core.store.folding import Changes, Folding
from twin_core.store.messages import (
    Filed,
    event_row,
    field_rows,
    filed_events,
    finding_rows,
    message_row,
)
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


class Projection:
    """Applies batches of durable entries to the database, in order, exactly once each."""

    def __init__(self, database: Database, precedence: PrecedenceSettings) -> None:
        self._database, self._connection = database, database.connection
        self._folding = Folding(self._connection, precedence)
        self.batch_no, self.position, self.known_at = last_known_at(self._connection)
        self._next_event = self._last_event()

    def apply(self, entries: Sequence[Entry]) -> BatchApplied:
        """Apply entries as one transaction. On any error nothing of it is kept."""
        try:
            with self._database.transaction():
                return self._apply(entries)
        except BaseException:
            self._forget()
            raise

    def load(self) -> None:
        """Remember more of what was told from now on: much is to come."""
        self._folding.units.load()

    def refold(self, filed: Sequence[Filed], known_at: datetime) -> None:
        """Fold events that were journalled before, as one transaction, known since `known_at`.

        Writes events, identity and versions, but no messages and no batch: those are kept as they
        are when a store is rebuilt.
        """
        with self._database.transaction():
            self._write(filed, self._folding.fold(filed), known_at)

    def _apply(self, entries: Sequence[Entry]) -> BatchApplied:
        filed = filed_events(entries)
        changes = self._folding.fold(filed)
        batch_no, position = self.batch_no + 1, entries[-1].position
        latest = max(entry.received_at for entry in entries)
        known_at = latest if self.known_at is None else max(latest, self.known_at + _MICROSECOND)
        self._write_messages(entries, batch_no)
        self._write(filed, changes, known_at)
        batch = (batch_no, position, known_at, len(entries))
        writing.insert(self._connection, "batch", writing.BATCH, [batch])
        self.batch_no, self.position, self.known_at = batch_no, position, known_at
        return BatchApplied(
            batch_no,
            known_at,
            len(entries),
            position,
            opened=tuple([row for row, _, _ in changes.opened]),
            closed=tuple([row for row, _ in changes.closed]),
        )

    def _write(self, filed: Sequence[Filed], changes: Changes, known_at: datetime) -> None:
        connection, nodes = self._connection, self._folding.nodes
        events = [
            event_row(f, number, node)
            for number, (f, node) in enumerate(
                zip(filed, changes.nodes, strict=True), self._next_event + 1
            )
        ]
        writing.insert(connection, "event", writing.EVENT, events)
        writing.insert(connection, "node", writing.NODE, nodes.created)
        writing.regroup(connection, nodes.regroupings(), nodes.first_new)
        closed = [(row[0], number) for row, number in changes.closed]
        writing.close_versions(connection, closed, known_at)
        writing.open_versions(connection, changes.opened, known_at)
        self._next_event += len(events)

    def _write_messages(self, entries: Sequence[Entry], batch_no: int) -> None:
        connection = self._connection
        replayed = self._first_received([e.replay_of for e in entries if e.replay_of])
        rows = [message_row(e, batch_no, replayed.get(e.replay_of or 0)) for e in entries]
        writing.insert(connection, "message", writing.MESSAGE, rows)
        # Of what names an erased patient there are no bytes.
        raws = [(e.position, e.raw) for e in entries if e.raw and not e.replay_of]
        writing.insert(connection, "raw", writing.RAW, raws)
        findings = [row for entry in entries for row in finding_rows(entry)]
        writing.insert(connection, "message_finding", writing.MESSAGE_FINDING, findings)
        fields = [row for entry in entries if entry.head.kept for row in field_rows(entry)]
        writing.insert(connection, "message_field", writing.MESSAGE_FIELD, fields)

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

    def _forget(self) -> None:
        self._folding.forget()
        self.batch_no, self.position, self.known_at = last_known_at(self._connection)
        self._next_event = self._last_event()

    def _last_event(self) -> int:
        row = self._connection.execute(
            "SELECT coalesce(max(event_no), 0) FROM core.event"
        ).fetchone()
        return int(row[0]) if row else 0
