"""FHIR requests, tasks, procedures, schedules, slots and metrics as statements of what is done."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from adapters.fhir import codes
from adapters.fhir.faults import DATA_TYPE
from adapters.fhir.reading import Reading, Span, code_of
from adapters.fhir.shapes import Reference
from adapters.fhir.shapes_care import (
    DeviceMetric,
    Procedure,
    Schedule,
    ServiceRequest,
    Slot,
    Task,
)
from adapters.fhir.shapes_scheduling import Named
from adapters.fhir.times import ends_before
from adapters.fhir.translate.appointment import named
from adapters.fhir.translate.people import of_patient
from adapters.fhir.translate.place import place_in
from adapters.fhir.translate.statement import Stated
from twin_core.events import CareStated, Event, StatedPeriod
from twin_core.identifiers import NOWHERE, Identifier, Place

_NOT_MEANT = frozenset(
    "draft proposed rejected cancelled revoked failed entered-in-error not-done stopped".split()
)
"""Statuses of requests and tasks that reach no milestone."""


def procedure(resource: Procedure, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """What was done to a patient, when and where."""
    span = _span(
        resource.performed_period or resource.occurrence_period,
        resource.performed_date_time or resource.occurrence_date_time,
        reading,
        "performed",
    )
    code = _code(resource.code)
    status = _status(resource.status, codes.PROCEDURE_STATUS, reading)
    reading.require(resource.subject, "subject")
    performers = [one.actor for one in resource.performer if one.actor is not None]
    ended = (span.end or span.start) if status == "completed" else None
    return _care(
        resource,
        reading,
        stated,
        status=status,
        **code,
        patient=of_patient(resource.subject, reading),
        encounter=reading.reference_to(resource.encounter, "encounter", "Encounter"),
        place=_place(resource.location, reading, "location"),
        starts_at=span.start,
        ends_at=span.end,
        performer=_first(performers, reading, "performer"),
        of=_first(resource.based_on, reading, "basedOn"),
        milestones=_milestones(code, reading, None, ended),
    )


def service_request(
    resource: ServiceRequest, reading: Reading, stated: Stated
) -> tuple[Event, ...]:
    """What was asked for."""
    authored_at = _instant(resource.authored_on, reading, "authoredOn")
    status = _status(resource.status, codes.REQUEST_STATUS, reading)
    span = _span(resource.occurrence_period, resource.occurrence_date_time, reading, "occurrence")
    reading.require(resource.subject, "subject")
    code = _code(resource.code)
    asked_at = authored_at if status not in _NOT_MEANT else None
    return _care(
        resource,
        reading,
        stated,
        status=status,
        **_asked(resource, codes.REQUEST_INTENT, reading),
        **code,
        patient=of_patient(resource.subject, reading),
        encounter=reading.reference_to(resource.encounter, "encounter", "Encounter"),
        starts_at=span.start,
        ends_at=span.end,
        authored_at=authored_at,
        performer=_first(resource.performer, reading, "performer"),
        of=_first(resource.based_on, reading, "basedOn"),
        milestones=_milestones(code, reading, asked_at, None),
    )


def task(resource: Task, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """What somebody is to do, and how far it is."""
    authored_at = _instant(resource.authored_on, reading, "authoredOn")
    modified_at = _instant(resource.last_modified, reading, "lastModified")
    status = _status(resource.status, codes.TASK_STATUS, reading)
    span = _span(resource.execution_period, "", reading, "execution")
    code = _code(resource.code)
    asked_at = authored_at if status not in _NOT_MEANT else None
    ended = (span.end or modified_at) if status == "completed" else None
    focus = reading.reference(resource.focus, "focus")
    return _care(
        resource,
        reading,
        stated,
        status=status,
        **_asked(resource, codes.TASK_INTENT, reading),
        **code,
        patient=of_patient(resource.for_, reading, "for"),
        encounter=reading.reference_to(resource.encounter, "encounter", "Encounter"),
        starts_at=span.start,
        ends_at=ended or span.end,
        authored_at=authored_at,
        performer=reading.reference(resource.owner, "owner"),
        of=focus or _first(resource.based_on, reading, "basedOn"),
        milestones=_milestones(code, reading, asked_at, ended),
    )


def schedule(resource: Schedule, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """Whose time, or which room's, can be booked."""
    reading.require(resource.actor, "actor")
    places = [_place(actor, reading, "actor") for actor in resource.actor]
    span = reading.span(resource.planning_horizon, "planningHorizon")
    people = [one for one in resource.actor if not _place(one, reading, "actor")]
    return _care(
        resource,
        reading,
        stated,
        status="active" if resource.active else "inactive",
        **_code(next(iter(resource.service_type), None)),
        place=next((place for place in places if place), NOWHERE),
        starts_at=span.start,
        ends_at=span.end,
        performer=_first(people, reading, "actor"),
    )


def slot(resource: Slot, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """A time of a schedule that can be booked, or is."""
    for element in ("schedule", "start", "end"):
        reading.require(getattr(resource, element), element)
    start, end = reading.moment(resource.start, "start"), reading.moment(resource.end, "end")
    if start is not None and end is not None and ends_before(start, end):
        reading.object_to("end", DATA_TYPE, "It ends before it starts.", "reversed_period")
        end = start
    return _care(
        resource,
        reading,
        stated,
        status=_status(resource.status, codes.SLOT_STATUS, reading),
        **_code(next(iter(resource.service_type), None)),
        starts_at=start.at if start is not None else None,
        ends_at=end.at if end is not None else None,
        of=reading.reference(resource.schedule, "schedule"),
    )


def device_metric(resource: DeviceMetric, reading: Reading, stated: Stated) -> tuple[Event, ...]:
    """What a device measures or lets be set."""
    reading.require(resource.type, "type")
    reading.require(resource.category, "category")
    status = reading.known(resource.operational_status, codes.METRIC_STATUS, "operationalStatus")
    return _care(
        resource,
        reading,
        stated,
        status=status,
        **_code(resource.type),
        device=reading.reference_to(resource.source or resource.device, "source", "Device"),
        category=reading.known(resource.category, codes.METRIC_CATEGORY, "category"),
        unit=code_of(resource.unit),
    )


def _care(resource: Any, reading: Reading, stated: Stated, **said: Any) -> tuple[Event, ...]:
    return (
        CareStated(
            occurred_at=stated.occurred_at,
            source=stated.source,
            subject=stated.subject,
            version=stated.version,
            identifiers=reading.identifiers(resource.identifier),
            resource_type=reading.kind,
            **said,
        ),
    )


def _status(stated: str, table: Collection[str], reading: Reading) -> str:
    reading.require(stated, "status")
    return reading.known(stated, table, "status")


def _asked(
    resource: ServiceRequest | Task, intents: Collection[str], reading: Reading
) -> dict[str, str]:
    reading.require(resource.intent, "intent")
    return {
        "intent": reading.known(resource.intent, intents, "intent"),
        "priority": reading.known(resource.priority, codes.PRIORITY, "priority"),
    }


def _code(stated: Named | None) -> dict[str, str]:
    system, code, display = named(stated) if stated is not None else ("", "", "")
    return {"system": system, "code": code, "display": display}


def _span(period: Any, at: str, reading: Reading, where: str) -> Span:
    if period is not None:
        return reading.span(period, f"{where}Period")
    found = _instant(at, reading, f"{where}DateTime")
    return Span(found, None)


def _instant(text: str, reading: Reading, where: str) -> datetime | None:
    found = reading.moment(text, where)
    return found.at if found is not None else None


def _place(stated: Reference | None, reading: Reading, where: str) -> Place:
    target = reading.reference_to(stated, where, "Location")
    if target is None or (target.type != "reference" and stated and stated.type != "Location"):
        return NOWHERE
    return place_in(target, reading) or Place(reference=target)


def _first(several: Sequence[Reference], reading: Reading, where: str) -> Identifier | None:
    return reading.reference(several[0], f"{where}[0]") if several else None


def _milestones(
    code: Mapping[str, str], reading: Reading, asked_at: datetime | None, ended_at: datetime | None
) -> tuple[StatedPeriod, ...]:
    """The milestones of the visit that the site's settings see in this code."""
    settings = reading.scope.settings
    found = []
    for table, at in ((settings.milestones, asked_at), (settings.completions, ended_at)):
        name = table.get(f"{code['system']}|{code['code']}") or table.get(code["code"])
        if name and at is not None:
            found.append(StatedPeriod(value=name, start=at))
    return tuple(found)
