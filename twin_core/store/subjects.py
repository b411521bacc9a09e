"""What each kind of event is about, and which identifiers it ties together.

This table is the only place that knows how an event is filed: under which node its fact is kept,
which identifiers it unites into one family, and which further ones its fold will ask for.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twin_core.events import (
    AccountMoved,
    AccountRenumbered,
    AccountsMerged,
    AppointmentEvent,
    AppointmentStated,
    Arrived,
    BedStatusChanged,
    CareStated,
    CensusReported,
    Departed,
    DeviceEventReported,
    DeviceStated,
    DirectoryStated,
    EncounterContinued,
    EncounterEvent,
    EncounterStated,
    Event,
    LocationStated,
    ObservationsReported,
    ObservationStated,
    PatientDescribed,
    PatientIdentifiersMoved,
    PatientRenumbered,
    PatientsLinked,
    PatientsMerged,
    PatientStated,
    PatientsUnlinked,
    TransferPending,
    Transferred,
    Withdrawn,
)
from twin_core.identifiers import Identifier, Place
from twin_core.store.fold.appointment import without_bed
from twin_core.store.fold.care import linked_kind
from twin_core.store.fold.locations import Path, path_identifier
from twin_core.store.fold.patient import identifiers_of

PATIENT, ENCOUNTER, LOCATION, DEVICE, DIRECTORY, CENSUS = "p", "e", "l", "d", "o", "c"
APPOINTMENT, ACCOUNT = "a", "b"
RESULT, DEVICE_EVENT = "r", "v"
CARE = "q"


_FURTHER_PLACE: dict[type[Event], str] = {
    Transferred: "origin",
    TransferPending: "destination",
    Departed: "destination",
    Arrived: "destination",
}
"""Which field of an event names a second place."""


_KIND_OF: dict[str, str] = {
    "Patient": PATIENT,
    "Encounter": ENCOUNTER,
    "Location": LOCATION,
    "Device": DEVICE,
    "Observation": RESULT,
    "Appointment": APPOINTMENT,
    **dict.fromkeys(
        ("Procedure", "ServiceRequest", "Task", "Schedule", "Slot", "DeviceMetric"), CARE
    ),
}
"""Which kind of entity a FHIR resource type describes; any other is an entry of the directory."""


class Subject(NamedTuple):
    """Where an event is filed.

    `united` are identifiers of `kind`, the first naming the node; `asked` are (kind, identifier)
    pairs that the fold will resolve; `places` are paths that the event shows to exist.
    """

    kind: str
    united: tuple[Identifier, ...]
    asked: tuple[tuple[str, Identifier], ...] = ()
    places: tuple[Path, ...] = ()


def subject_of(event: Event) -> Subject:
    """How an event is filed."""
    return _FILING[type(event)](event)


def path_of(place: Place) -> Path | None:
    """The path of a place that a message names itself; None for a reference or nowhere."""
    if not (place.unit or place.room or place.bed):
        return None
    return (place.facility, place.unit, place.room, place.bed)


def _person(event: Event) -> Subject:
    return Subject(PATIENT, identifiers_of(event))


def _accounts(event: AccountsMerged | AccountRenumbered) -> Subject:
    return Subject(ACCOUNT, (event.target, event.source))


def _moved_account(event: AccountMoved) -> Subject:
    return Subject(ACCOUNT, (event.account,), ((PATIENT, event.patient[0]),))


def _visit(event: EncounterEvent) -> Subject:
    path, further = path_of(event.place), _FURTHER_PLACE.get(type(event))
    places: tuple[Path, ...] = (path,) if path else ()
    if further and (other := path_of(getattr(event, further))):
        places += (other,)
    asked = ((PATIENT, event.patient[0]),) if event.patient else ()
    return Subject(ENCOUNTER, event.encounter, asked, places)


def _continued(event: EncounterContinued) -> Subject:
    filed = _visit(event)
    return filed._replace(asked=(*filed.asked, (ENCOUNTER, event.successor)))


def _stated_visit(event: EncounterStated) -> Subject:
    asked: list[tuple[str, Identifier]] = []
    if event.patient:
        asked.append((PATIENT, event.patient[0]))
    if event.part_of is not None:
        asked.append((ENCOUNTER, event.part_of))
    places = tuple(p for period in event.locations if (p := path_of(period.place)))
    return Subject(ENCOUNTER, (event.subject, *event.identifiers), tuple(asked), places)


def _bed(event: BedStatusChanged) -> Subject:
    path = path_of(event.place) or ("", "", "", "")
    return Subject(LOCATION, (path_identifier(path),), (), (path,))


def _location(event: LocationStated) -> Subject:
    return Subject(LOCATION, (event.subject,))


def _device(event: DeviceStated) -> Subject:
    asked = ((PATIENT, event.patient),) if event.patient else ()
    return Subject(DEVICE, (event.subject, *event.identifiers), asked)


def _directory(event: DirectoryStated) -> Subject:
    return Subject(DIRECTORY, (event.subject,))


def _withdrawn(event: Withdrawn) -> Subject:
    type_ = event.subject.value.partition("/")[0]
    return Subject(_KIND_OF.get(type_, DIRECTORY), (event.subject,))


def _census(event: CensusReported) -> Subject:
    counted = "|".join((event.source, event.facility, event.unit))
    return Subject(CENSUS, (Identifier("urn:wardtwin:census", counted),))


def _appointment(event: AppointmentEvent) -> Subject:
    return _meeting(event, event.appointment)


def _stated_appointment(event: AppointmentStated) -> Subject:
    return _meeting(event, (event.subject, *event.identifiers))


def _meeting(event: AppointmentEvent | AppointmentStated, named: tuple[Identifier, ...]) -> Subject:
    asked: list[tuple[str, Identifier]] = []
    for one in event.patients:
        asked.append((PATIENT, one.patient[0]))
        if one.visit is not None:
            asked.append((ENCOUNTER, one.visit))
    at = (event.booking.place, *(resource.place for resource in event.resources))
    places = tuple(p for place in at if (p := path_of(without_bed(place))))
    return Subject(APPOINTMENT, named, tuple(asked), places)


def _results(event: ObservationsReported) -> Subject:
    devices = dict.fromkeys([event.device, *(one.device for one in event.observations)])
    named: tuple[Identifier, ...] = (result_identifier(event),)
    if event.placer is not None and not event.standalone:
        named += (event.placer,)
    return Subject(RESULT, named, _asked(event, devices))


def _stated_results(event: ObservationStated) -> Subject:
    return Subject(RESULT, (event.subject,), _asked(event, (event.device,)))


def result_identifier(event: ObservationsReported) -> Identifier:
    """Under what results are filed: their order, or the subject and the instant of them."""
    if event.order is not None and not event.standalone:
        return event.order
    whose: str | Identifier | None = event.patient[0] if event.patient else event.device
    if whose is None:
        whose = next((one.device for one in event.observations if one.device), event.source)
    named = whose if isinstance(whose, str) else f"{whose.system}|{whose.value}"
    return Identifier(
        "urn:wardtwin:results", f"{named}|{event.effective_at.isoformat()}", "results"
    )


def _care(event: CareStated) -> Subject:
    asked = list(_asked(event, (event.device,)))
    if event.of is not None and linked_kind(event.of):
        asked.append((CARE, event.of))
    path = path_of(event.place)
    return Subject(CARE, (event.subject,), tuple(asked), (path,) if path else ())


def _device_event(event: DeviceEventReported) -> Subject:
    return Subject(DEVICE_EVENT, (event.alarm,), _asked(event, (event.device,)))


def _asked(
    event: ObservationsReported | ObservationStated | CareStated | DeviceEventReported,
    devices: Iterable[Identifier | None],
) -> tuple[tuple[str, Identifier], ...]:
    asked = [(PATIENT, event.patient[0])] if event.patient else []
    if event.encounter is not None:
        asked.append((ENCOUNTER, event.encounter))
    asked += [(DEVICE, device) for device in devices if device is not None]
    return tuple(asked)


_FILING: dict[type, Callable[[Any], Subject]] = {
    PatientDescribed: _person,
    PatientStated: _person,
    PatientsMerged: _person,
    PatientRenumbered: _person,
    PatientIdentifiersMoved: _person,
    PatientsLinked: _person,
    PatientsUnlinked: _person,
    AccountsMerged: _accounts,
    AccountRenumbered: _accounts,
    AccountMoved: _moved_account,
    **dict.fromkeys(EncounterEvent.__subclasses__(), _visit),
    **dict.fromkeys(AppointmentEvent.__subclasses__(), _appointment),
    EncounterContinued: _continued,
    AppointmentStated: _stated_appointment,
    CareStated: _care,
    EncounterStated: _stated_visit,
    ObservationStated: _stated_results,
    BedStatusChanged: _bed,
    LocationStated: _location,
    DeviceStated: _device,
    DirectoryStated: _directory,
    CensusReported: _census,
    Withdrawn: _withdrawn,
    ObservationsReported: _results,
    DeviceEventReported: _device_event,
}
