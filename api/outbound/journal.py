"""The journal as a destination follows it: messages behind a position, a page at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from adapters.hl7v2.retell import Said
from api.outbound.ledger import Position
from twin_core.events import AnyEvent, Event
from twin_core.twin import Twin

PAGE = 500
"""Messages looked at in one query; without their content they weigh little."""

_AFTER = "m.batch_no >= $batch_no AND (m.batch_no > $batch_no OR m.message_id > $message_id)"
_COLUMNS = (
    "m.message_id, m.batch_no, m.format, m.feed, m.sender, m.control_id, m.trigger_event,"
    " m.status, m.sent_at, m.sequence"
)
_NEXT = f"""
SELECT {_COLUMNS} FROM core.message m WHERE {_AFTER}
ORDER BY m.batch_no, m.message_id LIMIT {PAGE}
"""  # noqa: S608  (constants)
_ONE = f"SELECT {_COLUMNS} FROM core.message m WHERE m.message_id = $message_id"  # noqa: S608
_BEHIND = f"""
SELECT count(*) AS messages, min(m.received_at) AS oldest FROM core.message m WHERE {_AFTER}
"""  # noqa: S608
_EVENTS = """
SELECT message_id, payload FROM core.event WHERE message_id IN ({}) ORDER BY message_id, ordinal
"""
_RAW = "SELECT message_id, raw FROM core.raw WHERE message_id IN ({})"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVENT = msgspec.json.Decoder(AnyEvent)


class Journalled(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the journal without its content."""

    message_id: int
    batch_no: int
    format: str
    feed: str
    sender: str | None
    control_id: str | None
    trigger_event: str | None
    status: str
    sent_at: datetime | None
    sequence: int | None

    @property
    def position(self) -> Position:
        """Where it stands in the journal."""
        return Position(self.batch_no, self.message_id)


def following(twin: Twin, position: Position) -> list[Journalled]:
    """The next page of messages behind a position."""
    return msgspec.convert(twin.query(_NEXT, position._asdict()), list[Journalled])


def journalled(twin: Twin, message_id: int) -> Journalled | None:
    """One message, whether or not it has been passed."""
    rows = twin.query(_ONE, {"message_id": message_id})
    return msgspec.convert(rows[0], Journalled) if rows else None


def behind(twin: Twin, position: Position) -> tuple[int, datetime | None]:
    """How many messages lie behind a position, and when the oldest of them was received."""
    [row] = twin.query(_BEHIND, position._asdict())
    return msgspec.convert((row["messages"], row["oldest"]), tuple[int, datetime | None])


def said(twin: Twin, messages: Sequence[Journalled]) -> dict[int, Said]:
    """Messages with the events they became, by message_id."""
    events: dict[int, list[Event]] = {message.message_id: [] for message in messages}
    for row in twin.query(_EVENTS.format(_numbers(messages))):
        events[msgspec.convert(row["message_id"], int)].append(_EVENT.decode(str(row["payload"])))
    return {
        message.message_id: Said(
            trigger_event=message.trigger_event or "",
            sender=message.sender or "",
            sent_at=message.sent_at or EPOCH,
            sequence=message.sequence or 0,
            events=tuple(events[message.message_id]),
        )
        for message in messages
    }


def received(twin: Twin, messages: Sequence[Journalled]) -> dict[int, bytes]:
    """The bytes of messages as they came, as far as they are kept, by message_id."""
    rows = twin.query(_RAW.format(_numbers(messages)))
    return {
        msgspec.convert(row["message_id"], int): bytes(row["raw"])  # type: ignore[call-overload]
        for row in rows
    }


def _numbers(messages: Sequence[Journalled]) -> str:
    return ", ".join(str(int(message.message_id)) for message in messages) or "NULL"
