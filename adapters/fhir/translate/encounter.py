"""A FHIR Encounter as a statement of its status, class and location histories."""

from collections.abc import Iterable

from msgspec import UNSET

from adapters.fhir import codes
from adapters.fhir.extensions import CLASS_HISTORY, MILESTONE, STATUS_HISTORY
from adapters.fhir.reading import Reading, Span, code_of, words_of
from adapters.fhir.release import Release
from adapters.fhir.shapes import (
    ClassPeriod,
    CodeableConcept,
    CodeableReference,
    Coding,
    Encounter,
    EncounterR5,
    Participant,
    ParticipantR5,
    Reference,
    StatusPeriod,
)
from adapters.fhir.translate.people import of_patient
from adapters.fhir.translate.place import facility_of, place_in
from adapters.fhir.translate.statement import Stated
from twin_core.events import EncounterStated, Event, StatedPeriod, Text, Visit
from twin_core.identifiers import NOWHERE, Identifier, Place


def encounter(
    resource: Encounter | EncounterR5, reading: Reading, stated: Stated
) -> tuple[Event, ...]:
    """The Encounter itself, with R5 statuses told in R4 codes."""
    span = reading.span(resource.period, resource.PERIOD)
    statuses = _statuses(resource, reading)
    return (
        EncounterStated(
            occurred_at=stated.occurred_at,
            source=stated.source,
            subject=stated.subject,
            version=stated.version,
            identifiers=_identifiers(resource, reading),
            patient=of_patient(resource.subject, reading),
            status=_status(resource, reading),
            statuses=statuses,
            classes=_classes(resource, reading),
            locations=tuple(_locations(resource, reading)),
            milestones=tuple(_milestones(resource, statuses, reading)),
            visit=_visit(resource, reading, span),
            part_of=reading.reference(resource.part_of, "partOf"),
        ),
    )


def _identifiers(resource: Encounter | EncounterR5, reading: Reading) -> tuple[Identifier, ...]:
    """The encounter's own numbers. An account may have several visits, so it names one only where
    nothing else does (as PID-18 stands in for PV1-19)."""
    found = reading.connecting(resource.identifier)
    return tuple(one for one in found if one.type != codes.ACCOUNT) or found


def _status(resource: Encounter | EncounterR5, reading: Reading) -> str:
    reading.require(resource.status, "status")
    table = codes.ENCOUNTER_STATUS[reading.scope.release]
    status = table.get(reading.known(resource.status, table, "status"), "unknown")
    if isinstance(resource, EncounterR5) and status in ("in-progress", "onleave"):
        return codes.SUBJECT_STATUS.get(code_of(resource.subject_status), status)
    return status


def _statuses(resource: Encounter | EncounterR5, reading: Reading) -> tuple[StatedPeriod, ...]:
    table = codes.ENCOUNTER_STATUS[Release.R4]
    found = []
    for position, past in enumerate(_past_statuses(resource)):
        where = f"statusHistory[{position}]"
        reading.require(past.status, f"{where}.status")
        reading.require(past.period, f"{where}.period")
        status = reading.known(past.status, table, f"{where}.status")
        start, end = reading.span(past.period, f"{where}.period")
        if status:
            found.append(StatedPeriod(value=table[status], start=start, end=end))
    return tuple(found)


def _past_statuses(resource: Encounter | EncounterR5) -> Iterable[StatusPeriod]:
    """Past statuses, which R5 has in the extension that stands for the element of R4."""
    if isinstance(resource, Encounter):
        yield from resource.status_history
        return
    for one in resource.extension:
        if one.url == STATUS_HISTORY:
            yield StatusPeriod(one.part("status").value_code, one.part("period").value_period)


def _milestones(
    resource: Encounter | EncounterR5, statuses: Iterable[StatedPeriod], reading: Reading
) -> Iterable[StatedPeriod]:
    """Triage is a status of its own in R4, and a milestone to the twin; another twin tells more."""
    for past in statuses:
        if past.value == "triaged" and past.start is not None:
            yield StatedPeriod(value="triaged", start=past.start)
    for one in resource.extension:
        if one.url == MILESTONE and not one.part("elsewhere").value_boolean:
            at = reading.moment(one.part("at").value_date_time, "extension")
            kind = one.part("kind").value_code
            if at is not None and kind:
                yield StatedPeriod(value=kind, start=at.at)


def _classes(resource: Encounter | EncounterR5, reading: Reading) -> tuple[StatedPeriod, ...]:
    found = []
    for position, past in enumerate(_past_classes(resource)):
        where = f"classHistory[{position}]"
        reading.require(past.class_, f"{where}.class")
        reading.require(past.period, f"{where}.period")
        start, end = reading.span(past.period, f"{where}.period")
        if past.class_ is not None and past.class_.code:
            found.append(StatedPeriod(value=past.class_.code, start=start, end=end))
    return tuple(found)


def _past_classes(resource: Encounter | EncounterR5) -> Iterable[ClassPeriod]:
    if isinstance(resource, Encounter):
        yield from resource.class_history
        return
    for one in resource.extension:
        if one.url == CLASS_HISTORY:
            yield ClassPeriod(one.part("class").value_coding, one.part("period").value_period)


def _class(stated: Coding | tuple[CodeableConcept, ...] | None, reading: Reading) -> Text:
    if isinstance(stated, tuple):
        code = next((code for code in (code_of(one, codes.ACT_CODE) for one in stated) if code), "")
    else:
        reading.require(stated, "class")
        code = stated.code if stated is not None else ""
    if not code:
        return UNSET
    if code not in codes.ENCOUNTER_CLASSES:
        reading.note("unknown_code", f"{reading.kind}.class is no v3 ActCode class in use")
    return code


def _locations(resource: Encounter | EncounterR5, reading: Reading) -> Iterable[StatedPeriod]:
    for position, one in enumerate(resource.location):
        where = f"location[{position}]"
        reading.require(one.location, f"{where}.location")
        if one.status and one.status not in codes.LOCATION_USE:
            reading.known(one.status, codes.LOCATION_USE, f"{where}.status")
            continue
        start, end = reading.span(one.period, f"{where}.period")
        if one.status not in codes.OCCUPIED:
            continue
        place = _place(one.location, reading, where)
        if place:
            yield StatedPeriod(place=place, start=start, end=end)


def _place(stated: Reference | None, reading: Reading, where: str) -> Place:
    target = reading.reference(stated, f"{where}.location")
    if target is None:
        reading.note(
            "missing_identifier", f"{reading.kind}.{where}.location names no Location resource"
        )
        return NOWHERE
    return place_in(target, reading) or Place(reference=target)


def _visit(resource: Encounter | EncounterR5, reading: Reading, span: Span) -> Visit:
    hospital = resource.hospitalization
    return Visit(
        class_=_class(resource.class_, reading),
        service=_service(resource.service_type) or UNSET,
        admit_source=(words_of(hospital.admit_source) if hospital else "") or UNSET,
        disposition=(words_of(hospital.discharge_disposition) if hospital else "") or UNSET,
        admitted_at=span.start or UNSET,
        discharged_at=span.end or UNSET,
        attending=_attending(resource, reading) or UNSET,
        facility=facility_of(resource.service_provider, reading, "serviceProvider") or UNSET,
    )


def _service(stated: CodeableConcept | tuple[CodeableReference, ...] | None) -> str:
    if isinstance(stated, tuple):
        return next((words_of(one.concept) for one in stated if one.concept), "")
    return words_of(stated)


def _attending(resource: Encounter | EncounterR5, reading: Reading) -> str:
    several: tuple[Participant | ParticipantR5, ...] = resource.participant
    for position, one in enumerate(several):
        coded = any(coding.code == codes.ATTENDER for kind in one.type for coding in kind.coding)
        if coded:
            who = reading.reference(one.individual, f"participant[{position}]")
            return who.value if who is not None else ""
    return ""
