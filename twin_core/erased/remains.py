"""What remains of an event when a patient is taken out of it.

The table says of each event which identifiers it is about, which people it belongs to, and which
it merely mentions. An event about an erased record goes; one that mentions it is told without it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from twin_core.events import (
    AccountMoved,
    AccountRenumbered,
    AccountsMerged,
    AppointmentEvent,
    AppointmentStated,
    Attendance,
    CareStated,
    DeviceEventReported,
    DeviceStated,
    EncounterContinued,
    EncounterEvent,
    EncounterStated,
    Event,
    ObservationsReported,
    ObservationStated,
    PatientEvent,
    PatientIdentifiersMoved,
    PatientRenumbered,
    PatientsLinked,
    PatientsMerged,
    PatientStated,
    PatientsUnlinked,
    Statement,
)
from twin_core.identifiers import Identifier

Gone = Callable[[Identifier], bool]
"""Whether an identifier is an erased one."""


class Named(NamedTuple):
    """Which fields of an event hold identifiers, by what they mean to it."""

    own: tuple[str, ...]
    """What it is about: one of them erased, the event goes."""
    whose: tuple[str, ...] = ()
    """Whom it belongs to: erased, the event goes, unless the record is somebody else's by now."""
    mentioned: tuple[str, ...] = ()
    """What it refers to: erased, it is told without it."""
    reused: tuple[str, ...] = ()
    """Numbers that a source may use again: they count as `own` where nobody is named."""


_ABOUT: tuple[tuple[type[Event] | tuple[type[Event], ...], Named], ...] = (
    (PatientEvent, Named(("patient",))),
    ((PatientsMerged, PatientRenumbered), Named(("source", "target"))),
    (PatientIdentifiersMoved, Named(("identifiers", "target", "source"))),
    ((PatientsLinked, PatientsUnlinked), Named(("one", "other"))),
    (PatientStated, Named(("subject", "identifiers", "replaced_by"))),
    ((AccountsMerged, AccountRenumbered), Named(("source", "target"))),
    (AccountMoved, Named(("account", "patient"), (), ("source",))),
    (EncounterContinued, Named(("encounter", "successor"), ("patient",), ("account",))),
    (EncounterEvent, Named(("encounter",), ("patient",), ("account",))),
    (EncounterStated, Named(("subject", "identifiers"), ("patient",), ("part_of",))),
    (AppointmentEvent, Named(("appointment",), ("patients",))),
    (AppointmentStated, Named(("subject", "identifiers"), ("patients",))),
    (
        ObservationsReported,
        Named((), ("patient",), ("encounter",), reused=("order", "placer", "encounter")),
    ),
    (
        DeviceEventReported,
        Named((), ("patient",), ("encounter",), reused=("alarm", "encounter")),
    ),
    (
        ObservationStated,
        Named(("subject", "identifiers"), ("patient",), ("encounter",), reused=("encounter",)),
    ),
    (
        CareStated,
        Named(("subject", "identifiers"), ("patient",), ("encounter", "of"), reused=("encounter",)),
    ),
    (DeviceStated, Named((), (), ("patient",))),
    (Statement, Named(("subject",))),
)
_NOTHING = Named(())
_OF_PATIENTS = (
    PatientEvent,
    PatientsMerged,
    PatientRenumbered,
    PatientIdentifiersMoved,
    PatientsLinked,
    PatientsUnlinked,
    PatientStated,
)
_OF_TYPE: dict[type[Event], Named] = {}


def about(event: Event) -> Named:
    """Which fields of an event hold identifiers."""
    kind = type(event)
    found = _OF_TYPE.get(kind)
    if found is None:
        found = next((named for types, named in _ABOUT if isinstance(event, types)), _NOTHING)
        _OF_TYPE[kind] = found
    return found


def identifiers_in(event: Event, fields: tuple[str, ...]) -> Iterator[Identifier]:
    """The identifiers in fields of an event."""
    for field in fields:
        yield from _identifiers(getattr(event, field))


def people_in(event: Event) -> tuple[Identifier, ...]:
    """The people to whom an event says it belongs; none where it names none."""
    return tuple(
        found
        for field in about(event).whose
        for found in (
            (one for attendance in getattr(event, field) for one in attendance.patient)
            if field == "patients"
            else _identifiers(getattr(event, field))
        )
    )


def patients_in(event: Event) -> tuple[Identifier, ...]:
    """The identifiers of patients in an event: whom it is about, or to whom it belongs."""
    if isinstance(event, _OF_PATIENTS):
        return tuple(identifiers_in(event, about(event).own))
    return people_in(event)


def without(event: Event, gone: Gone, *, keep_record: bool = False) -> Event | None:
    """What an event says without erased people; None where nothing is left.

    With `keep_record` an event that is about a record of somebody else stays, though it once said
    that the record was the erased patient's.
    """
    named = about(event)
    if any(map(gone, identifiers_in(event, named.own))):
        return None
    changed: dict[str, Any] = {}
    for field in named.whose:
        held = getattr(event, field)
        left = _left(held, gone)
        if left == held:
            continue
        if not left and not keep_record:
            return None
        if field == "patient":
            # Its other identifiers are the same person's.
            if not keep_record:
                return None
            left = ()
        changed[field] = left
    if named.reused and not people_in(event):
        if any(map(gone, identifiers_in(event, named.reused))):
            return None
    for field in named.mentioned:
        held = getattr(event, field)
        if any(map(gone, _identifiers(held))):
            changed[field] = None if isinstance(held, Identifier) else _left(held, gone)
    return msgspec.structs.replace(event, **changed) if changed else event


def _left(held: tuple[Any, ...], gone: Gone) -> tuple[Any, ...]:
    return tuple(one for one in held if not any(map(gone, _identifiers(one))))


def _identifiers(held: object) -> Iterator[Identifier]:
    if isinstance(held, Identifier):
        yield held
    elif isinstance(held, Attendance):
        yield from held.patient
        if held.visit is not None:
            yield held.visit
    elif isinstance(held, tuple):
        for one in held:
            yield from _identifiers(one)
