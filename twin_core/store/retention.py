"""Raw bytes that are older than a site keeps them: counted, and removed a piece at a time.

Only bytes go. Messages, events and versions stay, and so do the digests in the inbox, by which a
message is known when it is sent again.
"""

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import Any, Literal, NamedTuple

from twin_core.store.database import Database

PIECE = 20_000
"""Messages whose bytes are removed in one transaction: while it lasts no batch is applied."""

RawKind = Literal["messages", "quarantine"]
_CHOSEN: dict[RawKind, str] = {
    "messages": "m.status <> 'quarantined'",
    "quarantine": "m.status = 'quarantined'",
}


class Kept(NamedTuple):
    """How many messages have bytes older than an instant, and from when the oldest are."""

    messages: int
    oldest: datetime | None


def older(
    query: Callable[[str, dict[str, object]], list[dict[str, Any]]], kind: RawKind, before: datetime
) -> Kept:
    """What a policy would remove of the bytes of a kind."""
    [row] = query(
        "SELECT count(*) AS messages, min(m.received_at) AS oldest FROM core.message m"
        " SEMI JOIN core.raw r ON r.message_id = m.message_id"
        f" WHERE m.received_at < $before AND {_CHOSEN[kind]}",
        {"before": before},
    )
    return Kept(row["messages"], row["oldest"])


def prune(database: Database, kind: RawKind, before: datetime, between: Lock) -> int:
    """Remove the bytes of a kind that are older than an instant; of how many messages.

    `between` is held for one piece at a time, so that batches are applied in the meantime.
    """
    removed, after = 0, 0
    while numbers := _next(database, kind, before, after):
        after = numbers[-1]
        listed = ", ".join(map(str, numbers))
        with between, database.transaction() as connection:
            connection.execute(f"DELETE FROM core.raw WHERE message_id IN ({listed})")
        removed += len(numbers)
    return removed


def _next(database: Database, kind: RawKind, before: datetime, after: int) -> list[int]:
    rows = database.query(
        "SELECT m.message_id FROM core.message m"
        " SEMI JOIN core.raw r ON r.message_id = m.message_id"
        f" WHERE m.received_at < $before AND {_CHOSEN[kind]} AND m.message_id > $after"
        f" ORDER BY 1 LIMIT {PIECE}",
        {"before": before, "after": after},
    )
    return [int(str(row["message_id"])) for row in rows]
