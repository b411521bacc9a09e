"""Message, raw, finding and event rows of a batch, from the entries of the inbox."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from twin_core.events import Event
from twin_core.identifiers import content_id
from twin_core.inbox import ERASED, Entry
from twin_core.store.facts import Fact, natural, order_of
from twin_core.store.subjects import Subject, subject_of

_JSON = msgspec.json.Encoder()

WHY_NOT_APPLIED = frozenset({"ignored_trigger", "unsupported_event", "not_understood"})
"""Findings that say why a message was accepted and nothing of it applied."""


class Filed(NamedTuple):
    """An event of a batch with its fact and what it is about."""

    fact: Fact
    ordinal: int
    subject: Subject


def filed_events(entries: Sequence[Entry]) -> list[Filed]:
    """The events of a batch in the order of the inbox."""
    filed = []
    for entry in entries:
        head = entry.head
        envelope = head.envelope
        if envelope is None or not head.events:
            continue
        message_id = entry.replay_of or entry.position
        control = natural(envelope.control_id)
        for ordinal, event in enumerate(head.events):
            order = order_of(
                event,
                sent_at=envelope.sent_at,
                sequence=envelope.sequence,
                control=control,
                digest=envelope.digest,
                ordinal=ordinal,
            )
            fact = Fact(order, event, message_id, entry.received_at, head.format, head.feed)
            filed.append(Filed(fact, ordinal, subject_of(event)))
    return filed


def message_row(entry: Entry, first_received_at: datetime | None = None) -> tuple[object, ...]:
    """An entry as a row of core.message, without its batch; a replay keeps its first receipt."""
    received_at = first_received_at or entry.received_at
    head, envelope = entry.head, entry.head.envelope
    start = (entry.replay_of or entry.position, head.format, head.feed)
    if envelope is None:
        named = (head.sender, head.control_id, head.trigger_event)
        reason = "; ".join(f"{fault.where}: {fault.reason}" for fault in head.faults)
        faults = _JSON.encode(head.faults).decode()
        unordered = (received_at, None, 0, None, head.origin)
        return (*start, *named, *unordered, "quarantined", head.code, reason, faults, None)
    named = (envelope.sender, envelope.control_id, envelope.trigger_event)
    order = (received_at, envelope.sent_at, envelope.sequence, envelope.digest, head.origin)
    status, reason_or_none = "applied", None
    if not head.events:
        status = "journalled"
        reason_or_none = f"{envelope.trigger_event} is received and kept, but changes nothing here"
        for finding in head.findings:
            if finding.kind in WHY_NOT_APPLIED:
                reason_or_none = finding.detail
            if finding.kind == ERASED:
                status, reason_or_none = ERASED, finding.detail
    replayed = entry.received_at if entry.replay_of else None
    return (*start, *named, *order, status, head.code, reason_or_none, None, replayed)


def finding_rows(entry: Entry) -> Iterator[tuple[object, ...]]:
    """What the adapter noted on a message, as rows of core.message_finding."""
    message_id = entry.replay_of or entry.position
    for noted in dict.fromkeys(entry.head.findings):
        finding_id = content_id("f", noted.kind, str(message_id), noted.detail)
        row = (message_id, finding_id, noted.kind, str(message_id), entry.received_at)
        yield (*row, noted.detail or None)


def field_rows(entry: Entry) -> Iterator[tuple[object, ...]]:
    """The fields of a message that its feed is set to keep, as rows of core.message_field."""
    message_id = entry.replay_of or entry.position
    for kept in entry.head.kept:
        yield (message_id, *kept)


def event_row(
    message_id: int, ordinal: int, event: Event, recorded_at: datetime
) -> tuple[object, ...]:
    """An event as a row of core.event, without the number and the node that its batch gives it."""
    name, payload = type(event).__name__, payload_of(event)
    return (message_id, ordinal, name, event.occurred_at, recorded_at, payload)


def payload_of(event: Event) -> str:
    """An event as the JSON that the journal keeps."""
    return _JSON.encode(event).decode()
