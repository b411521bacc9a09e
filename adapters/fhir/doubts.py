"""What a valid resource says that can hardly be so: impossible dates, statuses against periods.

These stand in nobody's way: the resource is accepted as it is, and each doubt becomes a finding.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from twin_core.events import (
    AppointmentStated,
    CareStated,
    EncounterStated,
    Event,
    NotedFinding,
    ObservationStated,
    PatientStated,
)

IMPOSSIBLE, CONTRADICTION = "impossible_date", "status_period_mismatch"
_SKEW = timedelta(minutes=5)
_DAY = timedelta(days=1)
_OLDEST_YEARS = 130
_UNDER_WAY = frozenset({"in-progress", "arrived", "triaged", "onleave"})
_MET = frozenset({"arrived", "checked-in", "fulfilled", "noshow"})
_FIXED = frozenset({"booked", "arrived", "checked-in", "fulfilled", "noshow"})


def doubts(event: Event, received_at: datetime) -> Iterator[NotedFinding]:
    """The findings that a statement gives rise to by itself."""
    check = _CHECKS.get(type(event))
    return check(event, received_at) if check is not None else iter(())


def _person(event: PatientStated, now: datetime) -> Iterator[NotedFinding]:
    said = event.demographics
    born = said.birth_date if isinstance(said.birth_date, str) else ""
    died = said.deceased_at if isinstance(said.deceased_at, datetime) else None
    # A date may lack day and month, and may be one of any time zone.
    if born and born > (now + _DAY).date().isoformat()[: len(born)]:
        yield _note(IMPOSSIBLE, "Patient.birthDate is in the future")
    if born and int(born[:4]) < now.year - _OLDEST_YEARS:
        yield _note(IMPOSSIBLE, f"Patient.birthDate is more than {_OLDEST_YEARS} years ago")
    if died is not None and died > now + _DAY:
        yield _note(IMPOSSIBLE, "Patient.deceasedDateTime is in the future")
    if died is not None and born and _ends_before(died + _DAY, born):
        yield _note(IMPOSSIBLE, "Patient.deceasedDateTime is before the birth date")


def _ends_before(died: datetime, born: str) -> bool:
    """Whether a death was before a birth, which may lack day and month as the death may."""
    a_year_alone = died.timetuple().tm_yday <= 2
    told = died.date().isoformat()[: 4 if a_year_alone else len(born)]
    return told < born[: len(told)]


def _visit(event: EncounterStated, now: datetime) -> Iterator[NotedFinding]:
    start, end, status = event.visit.admitted_at, event.visit.discharged_at, event.status
    began = start if isinstance(start, datetime) else None
    ended = end if isinstance(end, datetime) else None
    if began is not None and began > now + _SKEW and status in _UNDER_WAY | {"finished"}:
        yield _note(IMPOSSIBLE, "Encounter.period begins in the future, and so it has not begun")
    if ended is not None and ended > now + _DAY and status == "finished":
        yield _note(IMPOSSIBLE, "Encounter.period ends in the future, and so it is not finished")
    if status == "finished" and ended is None:
        yield _note(CONTRADICTION, "Encounter.status is finished, and the period has no end")
    if status in _UNDER_WAY and ended is not None and ended < now:
        yield _note(CONTRADICTION, "Encounter.status is under way, and the period has ended")
    yield from _places(event, began, ended)


def _places(
    event: EncounterStated, began: datetime | None, ended: datetime | None
) -> Iterator[NotedFinding]:
    for position, stay in enumerate(event.locations):
        early = began is not None and stay.start is not None and stay.start < began - _DAY
        late = ended is not None and stay.end is not None and stay.end > ended + _DAY
        if early or late:
            where = f"Encounter.location[{position}].period"
            yield _note(CONTRADICTION, f"{where} is outside the period of the encounter")


def _meeting(event: AppointmentStated, now: datetime) -> Iterator[NotedFinding]:
    status, start = event.booking.status, event.booking.starts_at
    begins = start if isinstance(start, datetime) else None
    if status in _FIXED and begins is None:
        yield _note(CONTRADICTION, "Appointment.start is missing, and its status needs one")
    if status in _MET and begins is not None and begins > now + _DAY:
        yield _note(CONTRADICTION, "Appointment.status says it took place, and it is in the future")


def _results(event: ObservationStated, now: datetime) -> Iterator[NotedFinding]:
    at = event.effective_at
    if at is not None and at > now + _DAY:
        yield _note(IMPOSSIBLE, "Observation.effective is in the future")
    if at is not None and event.issued_at is not None and event.issued_at < at - _DAY:
        yield _note(CONTRADICTION, "Observation.issued is before it was observed")


def _care(event: CareStated, now: datetime) -> Iterator[NotedFinding]:
    kind, done = event.resource_type, event.status == "completed"
    if kind == "Procedure" and done and event.starts_at is None and event.ends_at is None:
        yield _note(CONTRADICTION, "Procedure.status is completed, and when is not said")
    if kind in ("Procedure", "Task") and done and _later(event.starts_at, now):
        yield _note(IMPOSSIBLE, f"{kind} is completed, and begins in the future")
    if _later(event.authored_at, now):
        yield _note(IMPOSSIBLE, f"{kind}.authoredOn is in the future")


def _later(at: datetime | None, now: datetime) -> bool:
    return at is not None and at > now + _DAY


def _note(kind: str, detail: str) -> NotedFinding:
    return NotedFinding(kind=kind, detail=detail)


_CHECKS: Mapping[type, Callable[[Any, datetime], Iterator[NotedFinding]]] = {
    PatientStated: _person,
    EncounterStated: _visit,
    AppointmentStated: _meeting,
    ObservationStated: _results,
    CareStated: _care,
}
