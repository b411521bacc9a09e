"""`/v1/messages` and `/v1/quarantine`: what was received, what became of it, and trying again."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapters.hl7v2.explain import MOST_PARTS
from api.explaining import Explanation, Finding, Message, explain_message
from api.openapi import answers, reply
from api.operations import quarantine_replay
from api.routes.asked import AskedTwin, Limit, ShowsPhi
from twin_core.errors import UsageError
from twin_core.events import Fault
from twin_core.twin import Twin

router = APIRouter(prefix="/v1", tags=["messages"])

# message_id only ever grows, so that it is the cursor of a page, newest first.
MESSAGES = """
SELECT * FROM twin.message
WHERE ($feed::VARCHAR IS NULL OR feed = $feed)
  AND ($status::VARCHAR IS NULL OR status = $status)
  AND ($trigger_event::VARCHAR IS NULL OR trigger_event = $trigger_event)
  AND ($control_id::VARCHAR IS NULL OR control_id = $control_id)
  AND ($before::BIGINT IS NULL OR message_id < $before)
ORDER BY message_id DESC LIMIT $rows
"""

# One that was replayed and accepted is no longer waiting.
QUARANTINE = """
SELECT * FROM twin.message
WHERE status = 'quarantined' AND replayed_at IS NULL
  AND ($feed::VARCHAR IS NULL OR feed = $feed)
  AND ($before::BIGINT IS NULL OR message_id < $before)
ORDER BY message_id DESC LIMIT $rows
"""

ONE = """
SELECT m.*, c.faults FROM twin.message m JOIN core.message c ON c.message_id = m.message_id
WHERE m.message_id = $message_id
"""
EVENTS = """
SELECT kind, occurred_at, recorded_at, encounter_id FROM twin.event
WHERE message_id = $message_id ORDER BY ordinal
"""
FINDINGS = "SELECT kind, subject, detail FROM twin.finding WHERE message_id = $message_id"

MessageId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Position in the inbox")]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next` of the page before")]


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of messages; `next` goes into `before` for the page that follows."""

    messages: list[Message]
    next: int | None


class SaidEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something the message said had happened."""

    kind: str
    occurred_at: datetime | None
    recorded_at: datetime | None
    encounter_id: str | None


class MessageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A message with its events, its findings, and why it was refused where it was."""

    message: Message
    kept: bool
    """Whether its bytes are kept; retention or an erasure may have removed them."""
    faults: list[Fault]
    events: list[SaidEvent]
    findings: list[Finding]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a quarantined message that was tried again."""

    message_id: int
    status: str
    code: str


@router.get(
    "/messages",
    summary="Messages, newest first",
    responses=answers(MessagePage, "A page of messages", problems="422 503"),
)
def messages(
    twin: AskedTwin,
    feed: Annotated[str | None, Query(description="Feed or FHIR source")] = None,
    status: Annotated[
        str | None, Query(description="applied, journalled, quarantined, erased")
    ] = None,
    trigger_event: Annotated[str | None, Query(description="Such as ADT^A01")] = None,
    control_id: Annotated[str | None, Query(description="MSH-10")] = None,
    limit: Limit = 100,
    before: Before = None,
) -> Response:
    """What was received, duplicates aside, without the content."""
    asked = {
        "feed": feed,
        "status": status,
        "trigger_event": trigger_event,
        "control_id": control_id,
    }
    return reply(message_page(twin, MESSAGES, asked, limit=limit, before=before))


@router.get(
    "/messages/{message_id}",
    summary="One message with its events and findings",
    responses=answers(MessageDetail, "The message", problems="404 422 503"),
)
def message(message_id: MessageId, twin: AskedTwin) -> Response:
    """What a message said had happened and what was odd about it; never its raw content."""
    return reply(message_detail(twin, message_id))


@router.get(
    "/messages/{message_id}/explain",
    summary="One message field by field, with what it became and changed",
    responses=answers(Explanation, "The message explained", problems="404 422 503"),
)
def explain(message_id: MessageId, twin: AskedTwin, phi: ShowsPhi) -> Response:
    """Every field by the names of the standard, faults and findings where they are, the events the
    message became and the rows it changed. Values about patients are masked unless asked for.
    """
    return reply(explanation(twin, message_id, phi=phi))


@router.get(
    "/quarantine",
    summary="Messages that could not be applied",
    responses=answers(MessagePage, "A page of quarantined messages", problems="422 503"),
)
def quarantine(
    twin: AskedTwin,
    feed: Annotated[str | None, Query(description="Feed or FHIR source")] = None,
    limit: Limit = 100,
    before: Before = None,
) -> Response:
    """Messages waiting for a fix, newest first, each with its reason."""
    return reply(message_page(twin, QUARANTINE, {"feed": feed}, limit=limit, before=before))


@router.post(
    "/quarantine/{message_id}/replay",
    summary="Try a quarantined message again",
    responses=answers(Replayed, "What became of it", problems="404 409 422 503"),
)
def replay(message_id: MessageId, twin: AskedTwin) -> Response:
    """Translate the raw bytes again with the settings of now, and apply what comes of them."""
    found = message_detail(twin, message_id).message
    if found.status != "quarantined" or found.replayed_at is not None:
        raise HTTPException(409, "The message is not waiting in quarantine.")
    if not twin.has_raw(message_id):
        raise HTTPException(409, "The bytes of the message are not kept any more.")
    [outcome] = quarantine_replay(twin, {"message_ids": [message_id]})
    return reply(msgspec.convert(outcome, Replayed))


def message_page(
    twin: Twin, sql: str, asked: dict[str, Any], *, limit: int, before: int | None
) -> MessagePage:
    """One page of messages by one of this module's queries."""
    rows = twin.query(sql, {**asked, "before": before, "rows": limit + 1})
    shown = msgspec.convert(rows[:limit], list[Message])
    return MessagePage(messages=shown, next=shown[-1].message_id if len(rows) > limit else None)


def message_detail(twin: Twin, message_id: int) -> MessageDetail:
    """One message with everything but its content, or 404."""
    asked = {"message_id": message_id}
    found: list[dict[str, Any]] = twin.query(ONE, asked)
    if not found:
        raise HTTPException(404, "The twin knows no such message.")
    faults = found[0].pop("faults")
    return MessageDetail(
        message=msgspec.convert(found[0], Message),
        kept=twin.has_raw(message_id),
        faults=msgspec.json.decode(faults, type=list[Fault]) if faults else [],
        events=msgspec.convert(twin.query(EVENTS, asked), list[SaidEvent]),
        findings=msgspec.convert(twin.query(FINDINGS, asked), list[Finding]),
    )


def explanation(twin: Twin, message_id: int, *, phi: bool, most: int = MOST_PARTS) -> Explanation:
    """One message explained, or 404; of its content no more than `most` parts."""
    try:
        return explain_message(twin, message_id, phi=phi, most=most)
    except UsageError as missing:
        raise HTTPException(404, "The twin knows no such message.") from missing
