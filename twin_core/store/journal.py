"""The journal's rows of some messages as Arrow tables, whichever process makes them.

Whoever reads files makes them for the one that applies: making them takes as long as writing them.
What only the batch decides is left out: its number, and which events have which numbers and nodes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from twin_core.inbox import Entry
from twin_core.store.messages import Filed, event_row, field_rows, finding_rows, message_row

MESSAGE = {
    "message_id": "BIGINT",
    "format": "VARCHAR",
    "feed": "VARCHAR",
    "sender": "VARCHAR",
    "control_id": "VARCHAR",
    "trigger_event": "VARCHAR",
    "received_at": "TIMESTAMPTZ",
    "sent_at": "TIMESTAMPTZ",
    "sequence": "BIGINT",
    "digest": "BLOB",
    "origin": "VARCHAR",
    "status": "VARCHAR",
    "code": "VARCHAR",
    "reason": "VARCHAR",
    "faults": "VARCHAR",
    "replayed_at": "TIMESTAMPTZ",
}
RAW = {"message_id": "BIGINT", "raw": "BLOB"}
EVENT = {
    "message_id": "BIGINT",
    "ordinal": "INTEGER",
    "event": "VARCHAR",
    "occurred_at": "TIMESTAMPTZ",
    "recorded_at": "TIMESTAMPTZ",
    "payload": "VARCHAR",
}
MESSAGE_FINDING = {
    "message_id": "BIGINT",
    "finding_id": "VARCHAR",
    "kind": "VARCHAR",
    "subject": "VARCHAR",
    "found_at": "TIMESTAMPTZ",
    "detail": "VARCHAR",
}
MESSAGE_FIELD = {
    "message_id": "BIGINT",
    "segment": "VARCHAR",
    "sequence": "INTEGER",
    "field": "INTEGER",
    "component": "INTEGER",
    "repetition": "INTEGER",
    "value": "VARCHAR",
}
ARROW: Mapping[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "BOOLEAN": pa.bool_(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "BLOB": pa.binary(),
}
"""The types of the store's columns, as Arrow has them."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Journal(NamedTuple):
    """The rows of some messages by table, each table in the order of `message_id`."""

    message: pa.Table
    raw: pa.Table
    event: pa.Table
    message_finding: pa.Table
    message_field: pa.Table

    def between(self, first: int, last: int) -> "Journal":
        """The rows of the messages whose ids are in a range, both ends included."""
        return Journal(*(_between(table, first, last) for table in self))


def journal_of(entries: Sequence[Entry], received: Mapping[int, datetime] | None = None) -> Journal:
    """The rows of entries in the order of their positions.

    `received` tells of messages that are replayed when they were first received.
    """
    first = received or {}
    heads = [(entry, entry.head) for entry in entries]
    return Journal(
        of_rows(MESSAGE, [message_row(one, first.get(one.replay_of or 0)) for one in entries]),
        # Of what names an erased patient there are no bytes.
        of_rows(RAW, [(one.position, one.raw) for one in entries if one.raw and not one.replay_of]),
        of_rows(
            EVENT,
            [
                event_row(entry.replay_of or entry.position, ordinal, event, entry.received_at)
                for entry, head in heads
                if head.envelope is not None
                for ordinal, event in enumerate(head.events)
            ],
        ),
        of_rows(
            MESSAGE_FINDING,
            [row for entry, head in heads if head.findings for row in finding_rows(entry)],
        ),
        of_rows(
            MESSAGE_FIELD,
            [row for entry, head in heads if head.kept for row in field_rows(entry)],
        ),
    )


def events_of(filed: Sequence[Filed]) -> pa.Table:
    """The rows of events that are filed, in their order."""
    facts = [(one.fact, one.ordinal) for one in filed]
    return of_rows(
        EVENT, [event_row(f.message_id, number, f.event, f.recorded_at) for f, number in facts]
    )


def of_rows(columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows, whose values are in the order of the columns, as an Arrow table."""
    cells = zip(*rows, strict=True) if rows else ((),) * len(columns)
    return of_columns(columns, cells)


def of_columns(columns: Mapping[str, str], cells: Iterable[Sequence[Any]]) -> pa.Table:
    """Columns of values, in the order of their names, as an Arrow table."""
    arrays = [_column(values, type_) for type_, values in zip(columns.values(), cells, strict=True)]
    return pa.table(arrays, names=list(columns))


def _column(values: Sequence[Any], type_: str) -> pa.Array:
    if type_ != "TIMESTAMPTZ":
        return pa.array(values, ARROW[type_])
    # Arrow asks every instant for its zone, which takes four times as long as this.
    since = [at and at - _EPOCH for at in values]
    return pa.array(since, pa.duration("us")).view(ARROW[type_])


def encoded(journal: Journal) -> bytes:
    """A journal as it is handed to another process."""
    sink = pa.BufferOutputStream()
    for each in journal:
        with pa.ipc.new_stream(sink, each.schema) as stream:
            stream.write_table(each)
    return bytes(sink.getvalue())


def journalled(entries: Sequence[Entry]) -> bytes:
    """The journal of entries, encoded; nothing where one of them has what no column can hold.

    Whoever applies them finds out which one that is, and quarantines it alone.
    """
    try:
        return encoded(journal_of(entries))
    except (ValueError, TypeError, OverflowError):
        return b""


def decoded(told: bytes) -> Journal:
    """The journal that another process has `encoded`; its values are not copied."""
    source = pa.BufferReader(told)
    return Journal(*(pa.ipc.open_stream(source).read_all() for _ in Journal._fields))


def _between(rows: pa.Table, first: int, last: int) -> pa.Table:
    ids = rows.column("message_id")
    if not len(ids) or (first <= ids[0].as_py() and ids[-1].as_py() <= last):
        return rows
    begin = bisect_left(ids, first, key=lambda one: one.as_py())
    return rows.slice(begin, bisect_right(ids, last, key=lambda one: one.as_py()) - begin)
