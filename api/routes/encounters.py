"""`/v1/encounters`: visits, newest first, and one visit with everything the twin knows of it."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.openapi import answers, reply
from api.routes.asked import AskedReach, AskedTwin, Limit
from twin_core.twin import Twin

router = APIRouter(prefix="/v1", tags=["encounters"])

NEVER = datetime(1, 1, 1, tzinfo=UTC)

# Newest first by start of the visit; an encounter without one comes last. The last row's place
# in that order is the page's cursor, so that pages do not shift while messages arrive.
ENCOUNTERS = """
WITH placed AS (
    SELECT encounter_id, max_by(facility, from_at) AS facility, max_by(unit, from_at) AS unit,
           max_by(room, from_at) AS room, max_by(bed, from_at) AS bed
    FROM twin.stay WHERE to_at IS NULL GROUP BY encounter_id
), listed AS (
    SELECT e.encounter_id, e.patient_id, e.facility, e.class, e.status, e.admitted_at,
           e.discharged_at, e.service, p.unit, p.room, p.bed,
           coalesce(e.admitted_at, $never) AS sorted_at
    FROM twin.encounter e LEFT JOIN placed p ON p.encounter_id = e.encounter_id
    WHERE ($status::VARCHAR IS NULL OR e.status = $status)
      AND ($class::VARCHAR IS NULL OR e.class = $class)
      AND ($unit::VARCHAR IS NULL OR p.unit = $unit)
      AND ($facility::VARCHAR IS NULL OR coalesce(p.facility, e.facility) = $facility)
      AND {theirs}
)
SELECT * FROM listed
WHERE $before_at::TIMESTAMPTZ IS NULL OR (sorted_at, encounter_id) < ($before_at, $before_id)
ORDER BY sorted_at DESC, encounter_id DESC LIMIT $rows
"""

ENCOUNTER = """
SELECT encounter_id, patient_id, facility, class, status, admitted_at, discharged_at, service,
       admit_source, disposition, part_of, start_inferred
FROM twin.encounter WHERE encounter_id = $encounter_id
"""

PARTS = {
    "stays": """
        SELECT stay_id, facility, unit, room, bed, from_at, to_at, start_inferred
        FROM twin.stay WHERE encounter_id = $encounter_id ORDER BY from_at, stay_id""",
    "statuses": """
        SELECT status AS value, from_at, to_at
        FROM twin.encounter_status WHERE encounter_id = $encounter_id ORDER BY from_at""",
    "classes": """
        SELECT class AS value, from_at, to_at
        FROM twin.encounter_class WHERE encounter_id = $encounter_id ORDER BY from_at""",
    "milestones": """
        SELECT kind, "at" FROM twin.encounter_milestone
        WHERE encounter_id = $encounter_id ORDER BY "at", kind""",
    "plans": """
        SELECT kind, status, stated_at, expected_at, ended_at, facility, unit, room, bed
        FROM twin.encounter_plan WHERE encounter_id = $encounter_id ORDER BY stated_at, plan_id""",
    "tracking": """
        SELECT status, temporary, facility, unit, room, bed, from_at, to_at
        FROM twin.encounter_tracking WHERE encounter_id = $encounter_id ORDER BY from_at""",
    "identifiers": """
        SELECT system, value, type FROM twin.encounter_identifier
        WHERE encounter_id = $encounter_id ORDER BY type, system, value""",
    # Through the journal's own keys: the analysts' view would join the whole journal first.
    "messages": """
        WITH known AS (
            SELECT n.node FROM core.node n
            JOIN twin.encounter_identifier i ON i.system = n.system AND i.value = n.value
            WHERE i.encounter_id = $encounter_id AND n.kind = 'e'
        ), said AS (
            SELECT e.message_id, list(e.event ORDER BY e.ordinal) AS events,
                   max(e.occurred_at) AS occurred_at
            FROM core.event e JOIN known k ON k.node = e.node GROUP BY e.message_id
        )
        SELECT m.message_id, m.feed, m.trigger_event, m.received_at, m.status, s.occurred_at,
               s.events
        FROM said s JOIN core.message m ON m.message_id = s.message_id ORDER BY m.message_id""",
}


class ListedEncounter(msgspec.Struct, frozen=True, kw_only=True):
    """A visit, with where the patient is while it is open."""

    encounter_id: str
    patient_id: str | None
    facility: str | None
    class_: str | None = msgspec.field(name="class")
    status: str | None
    admitted_at: datetime | None
    discharged_at: datetime | None
    service: str | None
    unit: str | None
    room: str | None
    bed: str | None


class EncounterPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of visits; `next` goes into `after` for the page that follows, null on the last."""

    encounters: list[ListedEncounter]
    next: str | None


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """One uninterrupted stay at one place, half-open; `to_at` is null while it lasts."""

    stay_id: str
    facility: str | None
    unit: str | None
    room: str | None
    bed: str | None
    from_at: datetime
    to_at: datetime | None
    start_inferred: bool | None


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A status or a class for a while, half-open."""

    value: str | None
    from_at: datetime | None
    to_at: datetime | None


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """A named instant of the visit."""

    kind: str
    at: datetime | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to come: admission, transfer, discharge or return, and what became of it."""

    kind: str
    status: str
    stated_at: datetime
    expected_at: datetime | None
    ended_at: datetime | None
    facility: str | None
    unit: str | None
    room: str | None
    bed: str | None


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """Where the patient was besides the assigned bed: on the way (departed) or there (arrived)."""

    status: str
    temporary: bool
    facility: str | None
    unit: str | None
    room: str | None
    bed: str | None
    from_at: datetime
    to_at: datetime | None


class KnownAs(msgspec.Struct, frozen=True, kw_only=True):
    """An identifier of the visit."""

    system: str
    value: str
    type: str | None


class SaidBy(msgspec.Struct, frozen=True, kw_only=True):
    """A message that spoke of the visit, and what it said had happened."""

    message_id: int
    feed: str | None
    trigger_event: str | None
    received_at: datetime | None
    status: str | None
    occurred_at: datetime | None
    events: list[str]


class EncounterDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A visit with its stays, its histories, its identifiers and the messages behind it."""

    encounter_id: str
    patient_id: str | None
    facility: str | None
    class_: str | None = msgspec.field(name="class")
    status: str | None
    admitted_at: datetime | None
    discharged_at: datetime | None
    service: str | None
    admit_source: str | None
    disposition: str | None
    part_of: str | None
    start_inferred: bool | None
    stays: list[Stay]
    statuses: list[Period]
    classes: list[Period]
    milestones: list[Milestone]
    plans: list[Plan]
    tracking: list[Tracked]
    identifiers: list[KnownAs]
    messages: list[SaidBy]


@router.get(
    "/encounters",
    summary="Visits, newest first",
    responses=answers(EncounterPage, "A page of visits", problems="400 422 503"),
)
def encounters(
    twin: AskedTwin,
    reach: AskedReach,
    status: Annotated[str | None, Query(description="FHIR R4 status, such as in-progress")] = None,
    class_: Annotated[str | None, Query(alias="class", description="v3 ActCode: EMER, IMP")] = None,
    facility: Annotated[str | None, Query(description="Facility code")] = None,
    unit: Annotated[str | None, Query(description="Unit the patient is in now")] = None,
    limit: Limit = 100,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """Visits by start, newest first, one page at a time."""
    before_at, before_id = _opened(after) if after else (None, None)
    asked = {"status": status, "class": class_, "facility": facility, "unit": unit}
    page = {"never": NEVER, "before_at": before_at, "before_id": before_id, "rows": limit + 1}
    sql = ENCOUNTERS.format(theirs=reach.of_visits("e.encounter_id"))
    rows: list[dict[str, Any]] = twin.query(sql, {**asked, **page})
    more = len(rows) > limit
    return reply(
        EncounterPage(
            encounters=msgspec.convert(rows[:limit], list[ListedEncounter]),
            next=_closed(rows[limit - 1]) if more else None,
        )
    )


@router.get(
    "/encounters/{encounter_id}",
    summary="One visit with its stays, histories and messages",
    responses=answers(EncounterDetail, "The visit", problems="404 503"),
)
def encounter(encounter_id: str, twin: AskedTwin) -> Response:
    """Everything the twin knows of a visit, except who the patient is."""
    return reply(visit_detail(twin, encounter_id))


def visit_detail(twin: Twin, encounter_id: str) -> EncounterDetail:
    """A visit with its stays, histories and messages. Raises HTTPException where there is none."""
    asked = {"encounter_id": encounter_id}
    found = twin.query(ENCOUNTER, asked)
    if not found:
        raise HTTPException(404, "The twin knows no such encounter.")
    parts = {name: twin.query(sql, asked) for name, sql in PARTS.items()}
    return msgspec.convert({**found[0], **parts}, EncounterDetail)


def _closed(row: dict[str, Any]) -> str:
    place = f"{row['sorted_at'].isoformat()} {row['encounter_id']}"
    return base64.urlsafe_b64encode(place.encode()).decode()


def _opened(cursor: str) -> tuple[datetime, str]:
    try:
        at, encounter_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        return datetime.fromisoformat(at), encounter_id
    except (binascii.Error, ValueError):
        raise HTTPException(400, "`after` is not the `next` of a page.") from None
