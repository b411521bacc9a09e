"""A store folded again from its journal, as after an upgrade that reads messages better.

Messages, raw bytes, findings and batches are kept as they are. Events are taken from the journal,
or translated anew where the bytes remain and a translator is given, and folded batch by batch with
the recorded instants, so that what was known when stays what it was.
"""

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from twin_core.events import AnyEvent, Event
from twin_core.settings import PrecedenceSettings
from twin_core.store.database import Database, migrate
from twin_core.store.facts import Fact, natural, order_of
from twin_core.store.messages import Filed
from twin_core.store.projection import Projection
from twin_core.store.subjects import subject_of

KEPT = (
    "message",
    "raw",
    "message_finding",
    "message_field",
    "batch",
    "facility",
    "alert",
    "staged_file",
    "staged",
    "published_figure",
    "saved_query",
)
Retranslate = Callable[[str, str, bytes, datetime], tuple[Event, ...] | None]
"""(format, feed, raw bytes, received at) to events, or None to keep the journalled ones."""

_EVENT = msgspec.json.Decoder(AnyEvent)


def rebuild_store(
    path: Path,
    precedence: PrecedenceSettings,
    *,
    memory_limit: str,
    key: str | None = None,
    retranslate: Retranslate | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Rebuild a store's database beside it and put it in its place; return the events folded.

    `progress` is told (batches done, batches in all). The store must not be open.
    """
    fresh = path.with_name(path.name + ".rebuild")
    fresh.unlink(missing_ok=True)
    old = Database(path, memory_limit=memory_limit, key=key)
    new = Database(fresh, memory_limit=memory_limit, key=key)
    try:
        migrate(new.connection)
        _keep(old, new)
        events = _refold(new, old, precedence, retranslate, progress)
        new.connection.execute("CHECKPOINT wardtwin")
    except BaseException:
        new.close()
        old.close()
        fresh.unlink(missing_ok=True)
        raise
    new.close()
    old.close()
    shutil.move(fresh, path)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    return events


def _keep(old: Database, new: Database) -> None:
    for table in KEPT:
        reader = old.connection.execute(f"FROM core.{table}").to_arrow_reader(10_000)
        for kept in reader:  # noqa: B007  (DuckDB reads it by name)
            new.connection.execute(f"INSERT INTO core.{table} FROM kept")
    rows = old.connection.execute(
        "SELECT key, value FROM core.meta WHERE key NOT IN ('views', 'schema_version')"
    ).fetchall()
    for key, value in rows:
        new.connection.execute("INSERT INTO core.meta VALUES (?, ?)", [key, value])


def _refold(
    new: Database,
    old: Database,
    precedence: PrecedenceSettings,
    retranslate: Retranslate | None,
    progress: Callable[[int, int], None],
) -> int:
    projection = Projection(new, precedence)
    batches = old.connection.execute(
        "SELECT batch_no, known_at FROM core.batch ORDER BY batch_no"
    ).fetchall()
    folded = 0
    for done, (batch_no, known_at) in enumerate(batches, 1):
        filed = _batch(old.connection, batch_no, retranslate)
        if filed:
            projection.refold(filed, known_at)
        folded += len(filed)
        progress(done, len(batches))
    return folded


def _batch(
    connection: duckdb.DuckDBPyConnection, batch_no: int, retranslate: Retranslate | None
) -> list[Filed]:
    messages = connection.execute(
        "SELECT m.message_id, m.format, m.feed, m.sent_at, m.sequence, m.control_id, m.digest,"
        " coalesce(m.replayed_at, m.received_at), r.raw"
        " FROM core.message m LEFT JOIN core.raw r USING (message_id)"
        " WHERE m.batch_no = ? AND m.status <> 'quarantined' ORDER BY m.message_id",
        [batch_no],
    ).fetchall()
    journalled: dict[int, list[Event]] = {}
    rows = connection.execute(
        "SELECT e.message_id, e.payload FROM core.event e JOIN core.message m USING (message_id)"
        " WHERE m.batch_no = ? ORDER BY e.message_id, e.ordinal",
        [batch_no],
    ).fetchall()
    for message_id, payload in rows:
        journalled.setdefault(message_id, []).append(_EVENT.decode(payload))
    filed: list[Filed] = []
    for message in messages:
        events: Sequence[Event] | None = None
        if retranslate is not None and message[8] is not None:
            events = retranslate(message[1], message[2], message[8], message[7])
        filed += _filed(message, journalled.get(message[0], []) if events is None else events)
    return filed


def _filed(message: tuple[Any, ...], events: Sequence[Event]) -> list[Filed]:
    message_id, format_, feed, sent_at, sequence, control_id, digest, recorded_at, _ = message
    filed = []
    for ordinal, event in enumerate(events):
        order = order_of(
            event,
            sent_at=sent_at,
            sequence=sequence,
            control=natural(control_id),
            digest=digest,
            ordinal=ordinal,
        )
        fact = Fact(order, event, message_id, recorded_at, format_, feed)
        filed.append(Filed(fact, ordinal, subject_of(event)))
    return filed
