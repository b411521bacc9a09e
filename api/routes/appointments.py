"""`/v1/appointments`: the schedule in order of time, and one appointment with all it takes."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.openapi import answers, reply
from api.routes.asked import LATEST, AskedReach, AskedTwin, Instant, Limit
from twin_core.settings import AppointmentStatus

router = APIRouter(prefix="/v1", tags=["appointments"])

# By start; one whose time nobody stated comes last. The last row's place in that order is the
# page's cursor, so that pages do not shift while messages arrive. What was deleted as an error is
# shown to those only who ask for it.
APPOINTMENTS = """
WITH listed AS (
    SELECT a.*, coalesce(a.starts_at, $latest) AS sorted_at FROM twin.appointment a
    WHERE a.status = coalesce($status::VARCHAR, a.status)
      AND ($status::VARCHAR IS NOT NULL OR a.status <> 'entered-in-error')
      AND ($facility::VARCHAR IS NULL OR a.facility = $facility)
      AND ($unit::VARCHAR IS NULL OR a.unit = $unit)
      AND ($from_at::TIMESTAMPTZ IS NULL OR a.starts_at >= $from_at)
      AND ($to_at::TIMESTAMPTZ IS NULL OR a.starts_at < $to_at)
      AND ($patient_id::VARCHAR IS NULL OR a.appointment_id IN (
          SELECT appointment_id FROM twin.appointment_patient WHERE patient_id = $patient_id))
      AND {theirs}
)
SELECT * FROM listed
WHERE $after_at::TIMESTAMPTZ IS NULL OR (sorted_at, appointment_id) > ($after_at, $after_id)
ORDER BY sorted_at, appointment_id LIMIT $rows
"""

APPOINTMENT = "FROM twin.appointment WHERE appointment_id = $appointment_id"

PARTS = {
    "patients": """
        SELECT patient_id, encounter_id FROM twin.appointment_patient
        WHERE appointment_id = $appointment_id ORDER BY ALL""",
    # Who of the staff it is, their id says to those who may know.
    "resources": """
        SELECT kind, code, CASE WHEN kind <> 'personnel' THEN name END AS name, role, location_id,
               starts_at, ends_at, status
        FROM twin.appointment_resource
        WHERE appointment_id = $appointment_id ORDER BY starts_at, kind, position, code""",
    "identifiers": """
        SELECT system, value, type, occurrence FROM twin.appointment_identifier
        WHERE appointment_id = $appointment_id ORDER BY type, system, value""",
}


class ListedAppointment(msgspec.Struct, frozen=True, kw_only=True):
    """An appointment, with where and when it is."""

    appointment_id: str
    patient_id: str | None
    encounter_id: str | None
    status: str
    starts_at: datetime | None
    ends_at: datetime | None
    duration_minutes: int | None
    facility: str | None
    unit: str | None
    room: str | None
    location_id: str | None
    service: str | None
    appointment_type: str | None
    urgency: str | None
    booked_at: datetime | None
    cancelled_at: datetime | None


class AppointmentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the schedule; `next` goes into `after` for the page that follows, null on the
    last."""

    appointments: list[ListedAppointment]
    next: str | None


class AttendingPatient(msgspec.Struct, frozen=True, kw_only=True):
    """A patient of an appointment, and the visit it belongs to once that is known."""

    patient_id: str | None
    encounter_id: str | None


class AppointmentResource(msgspec.Struct, frozen=True, kw_only=True):
    """A service, a device, a location or a member of staff that an appointment takes."""

    kind: str
    code: str | None
    name: str | None
    role: str | None
    location_id: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    status: str


class AppointmentNumber(msgspec.Struct, frozen=True, kw_only=True):
    """An identifier of the appointment; `occurrence` says which one of a series it is."""

    system: str
    value: str
    type: str | None
    occurrence: str | None


class AppointmentDetail(ListedAppointment, frozen=True, kw_only=True):
    """An appointment with its patients, resources and identifiers."""

    reason: str | None
    cancel_reason: str | None
    patients: list[AttendingPatient]
    resources: list[AppointmentResource]
    identifiers: list[AppointmentNumber]


@router.get(
    "/appointments",
    summary="Appointments in order of their start",
    responses=answers(AppointmentPage, "A page of the schedule", problems="400 422 503"),
)
def appointments(
    twin: AskedTwin,
    reach: AskedReach,
    from_: Annotated[
        Instant | None, Query(alias="from", description="Starting at this instant or later")
    ] = None,
    to: Annotated[Instant | None, Query(description="Starting before this instant")] = None,
    status: Annotated[
        AppointmentStatus | None,
        Query(description="FHIR R4 status; all but entered-in-error where not given"),
    ] = None,
    facility: Annotated[str | None, Query(description="Facility code")] = None,
    unit: Annotated[str | None, Query(description="Unit or clinic it takes place in")] = None,
    patient_id: Annotated[str | None, Query(description="One of its patients")] = None,
    limit: Limit = 100,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """Appointments by start, one page at a time; those without a start come last."""
    after_at, after_id = _opened(after) if after else (None, None)
    asked = {"from_at": from_, "to_at": to, "status": status, "facility": facility, "unit": unit}
    page = {"latest": LATEST, "after_at": after_at, "after_id": after_id, "rows": limit + 1}
    sql = APPOINTMENTS.format(theirs=reach.of_places("a.facility", "a.unit"))
    rows = twin.query(sql, {**asked, "patient_id": patient_id, **page})
    more = len(rows) > limit
    return reply(
        AppointmentPage(
            appointments=msgspec.convert(rows[:limit], list[ListedAppointment]),
            next=_closed(rows[limit - 1]) if more else None,
        )
    )


@router.get(
    "/appointments/{appointment_id}",
    summary="One appointment with its patients and resources",
    responses=answers(AppointmentDetail, "The appointment", problems="404 503"),
)
def appointment(appointment_id: str, twin: AskedTwin) -> Response:
    """Everything the twin knows of an appointment, except who patients and staff are."""
    asked = {"appointment_id": appointment_id}
    found = twin.query(APPOINTMENT, asked)
    if not found:
        raise HTTPException(404, "The twin knows no such appointment.")
    parts = {name: twin.query(sql, asked) for name, sql in PARTS.items()}
    return reply(msgspec.convert({**found[0], **parts}, AppointmentDetail))


def _closed(row: dict[str, Any]) -> str:
    place = f"{row['sorted_at'].isoformat()} {row['appointment_id']}"
    return base64.urlsafe_b64encode(place.encode()).decode()


def _opened(cursor: str) -> tuple[datetime, str]:
    try:
        at, appointment_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        return datetime.fromisoformat(at), appointment_id
    except (binascii.Error, ValueError):
        raise HTTPException(400, "`after` is not the `next` of a page.") from None
