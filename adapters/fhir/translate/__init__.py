"""FHIR resources into events: one module per resource type, one row in the table.

Types without a row are valid FHIR that the twin does not use: received, journalled, not applied.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from adapters.fhir import shapes, shapes_care, shapes_results, shapes_scheduling
from adapters.fhir.doubts import doubts
from adapters.fhir.faults import DATA_TYPE, REQUIRED, UNSUPPORTED, Refused, rejection
from adapters.fhir.judge import judge
from adapters.fhir.read import Resource, read_resource
from adapters.fhir.reading import ID, Reading, Scope
from adapters.fhir.release import RESOURCE_TYPES, Release
from adapters.fhir.translate.appointment import appointment
from adapters.fhir.translate.care import (
    device_metric,
    procedure,
    schedule,
    service_request,
    slot,
    task,
)
from adapters.fhir.translate.device import device
from adapters.fhir.translate.directory import healthcare_service, practitioner_role
from adapters.fhir.translate.encounter import encounter
from adapters.fhir.translate.location import location
from adapters.fhir.translate.observation import observation
from adapters.fhir.translate.organization import organization
from adapters.fhir.translate.patient import patient
from adapters.fhir.translate.practitioner import practitioner
from adapters.fhir.translate.statement import Stated
from twin_core.events import Envelope, Event, Fault, Rejection, Translation
from twin_core.identifiers import TWIN_SOURCE, content_id
from twin_core.settings import LimitSettings

Shape = type[shapes.AnyResource]


class Translator(NamedTuple):
    """How one resource type is read: its shape in R4 and R4B, its shape in R5, its function."""

    r4: Shape
    r5: Shape
    events: Callable[[Any, Reading, Stated], tuple[Event, ...]]


def _same(shape: Shape, events: Callable[[Any, Reading, Stated], tuple[Event, ...]]) -> Translator:
    """A type whose one shape reads every edition."""
    return Translator(shape, shape, events)


TRANSLATORS: dict[str, Translator] = {
    "Patient": Translator(shapes.Patient, shapes.Patient, patient),
    "Encounter": Translator(shapes.Encounter, shapes.EncounterR5, encounter),
    "Location": Translator(shapes.Location, shapes.LocationR5, location),
    "Device": Translator(shapes.Device, shapes.DeviceR5, device),
    "Organization": Translator(shapes.Organization, shapes.Organization, organization),
    "Practitioner": Translator(shapes.Practitioner, shapes.Practitioner, practitioner),
    "PractitionerRole": _same(shapes_scheduling.PractitionerRole, practitioner_role),
    "HealthcareService": _same(shapes_scheduling.HealthcareService, healthcare_service),
    "Observation": _same(shapes_results.Observation, observation),
    "Appointment": _same(shapes_scheduling.Appointment, appointment),
    "Procedure": _same(shapes_care.Procedure, procedure),
    "ServiceRequest": _same(shapes_care.ServiceRequest, service_request),
    "Task": _same(shapes_care.Task, task),
    "Schedule": _same(shapes_care.Schedule, schedule),
    "Slot": _same(shapes_care.Slot, slot),
    "DeviceMetric": _same(shapes_care.DeviceMetric, device_metric),
}

_RECEIVED = Translator(shapes.AnyResource, shapes.AnyResource, lambda *_: ())
_SKEW = timedelta(minutes=5)
_MOST_FAULTS = 50


def translate_resource(
    resource: bytes | Resource, scope: Scope, *, limits: LimitSettings, id_: str = ""
) -> Translation | Rejection:
    """One FHIR resource as events, or why not.

    `id_` is the id that the address of a PUT or an earlier entry gave; a resource without any gets
    one derived from its first business identifier, else from its content.
    """
    if isinstance(resource, bytes):
        read = read_resource(resource, limits)
        if isinstance(read, Refused):
            return rejection(read, scope.source)
        resource = read
    kind = resource.type
    if kind not in RESOURCE_TYPES[scope.release]:
        return _unsupported(scope)
    row = TRANSLATORS.get(kind, _RECEIVED)
    shape = row.r5 if scope.release is Release.R5 else row.r4
    reading = Reading(scope, kind)
    try:
        typed = msgspec.convert(resource.tree, shape)
    except msgspec.ValidationError as error:
        return _rejected(resource, reading, [_fault(kind, str(error))], id_)
    translation = _translated(resource, typed, row, reading, id_)
    if reading.faults:
        return _rejected(resource, reading, reading.faults, id_ or typed.id)
    if scope.settings.strictness == "strict" and scope.judged:
        faults = judge(resource.tree, scope.release)
        if faults:
            return _rejected(resource, reading, faults, id_ or typed.id)
    return translation


def assigned_id(resource: Resource, full_url: str = "") -> str:
    """The id of a resource that came without one: the same for the same content."""
    stated = resource.tree.get("identifier")
    for one in stated if isinstance(stated, list) else ():
        if isinstance(one, dict) and one.get("system") and one.get("value"):
            return content_id("r", resource.type, str(one["system"]), str(one["value"]))
    return content_id("r", resource.type, resource.digest.hex(), full_url)


def _translated(
    resource: Resource, typed: shapes.AnyResource, row: Translator, reading: Reading, id_: str
) -> Translation:
    scope, kind = reading.scope, reading.kind
    meta = typed.meta or _NO_META
    for where, stated_id in (("id", typed.id), ("meta.versionId", meta.version_id)):
        if stated_id and not ID.fullmatch(stated_id):
            reading.faults.append(
                Fault(where=f"{reading.kind}.{where}", code=DATA_TYPE, reason="This is no FHIR id.")
            )
    id_ = id_ or typed.id or assigned_id(resource)
    updated = reading.moment(meta.last_updated, "meta.lastUpdated")
    occurred_at = updated.at if updated is not None else scope.received_at
    if occurred_at > scope.received_at + _SKEW:
        reading.note("clock_skew", f"{reading.kind}.meta.lastUpdated is in the future")
    if isinstance(typed, shapes.Identified):
        reading.contained = typed.contained
    version = meta.version_id or (updated.at.isoformat() if updated is not None else "")
    stated = Stated(occurred_at, scope.source, reading.own(id_), meta.version_id)
    events = row.events(typed, reading, stated)
    if scope.own and meta.source == scope.own:
        events = ()
    return Translation(
        envelope=Envelope(
            feed=scope.source,
            # Whoever hands on what another twin knows, it is that twin who says so.
            sender=meta.source if meta.source.startswith(TWIN_SOURCE) else scope.source,
            control_id=f"{kind}/{id_}/{version}" if version else f"{kind}/{id_}",
            trigger_event=f"FHIR {reading.kind}",
            sent_at=occurred_at,
            digest=resource.digest,
            unversioned=not version,
        ),
        events=events,
        findings=(
            *reading.findings,
            *(found for event in events for found in doubts(event, scope.received_at)),
        ),
    )


_NO_META = shapes.Meta()


def _unsupported(scope: Scope) -> Rejection:
    return Rejection(
        code="AR",
        faults=(
            Fault(
                where="resourceType",
                code=UNSUPPORTED,
                reason=f"FHIR {scope.release} has no such resource type.",
            ),
        ),
        feed=scope.source,
        sender=scope.source,
        trigger_event="FHIR",
    )


def _rejected(resource: Resource, reading: Reading, faults: list[Fault], id_: str) -> Rejection:
    """A reject with the faults found here and, unless the site is lenient, the judge's."""
    scope = reading.scope
    found = {fault.where: fault for fault in faults}
    if scope.settings.strictness != "lenient" and scope.judged:
        for fault in judge(resource.tree, scope.release):
            found.setdefault(fault.where, fault)
    return Rejection(
        code="AE",
        faults=tuple(found.values())[:_MOST_FAULTS],
        feed=scope.source,
        sender=scope.source,
        control_id=f"{reading.kind}/{id_}" if ID.fullmatch(id_) else "",
        trigger_event=f"FHIR {reading.kind}",
    )


_AT = re.compile(r" - at `\$\.?(.*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")


def _fault(kind: str, message: str) -> Fault:
    """A fault from what msgspec says: the path and the expected type, never a value."""
    at = _AT.search(message)
    where = ".".join(part for part in (kind, at[1] if at else "") if part)
    missing = _MISSING.search(message)
    if missing is not None:
        return Fault(
            where=f"{where}.{missing[1]}", code=REQUIRED, reason="This element is required."
        )
    return Fault(where=where, code=DATA_TYPE, reason="The element has the wrong JSON type.")
