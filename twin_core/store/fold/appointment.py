"""One appointment, from everything that was said of it, in the order in which it was said.

An empty field keeps what was known, a cleared one empties it. How long an appointment lasts moves
with it: whoever states a new start without an end keeps the duration.
"""

from collections.abc import Iterator, Sequence, Set
from datetime import datetime, timedelta

from msgspec import UNSET

from twin_core.events import (
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentDeleted,
    AppointmentEvent,
    AppointmentMissed,
    AppointmentRescheduled,
    AppointmentStated,
    Attendance,
    Booking,
    ResourceBooked,
)
from twin_core.identifiers import NOWHERE, Identifier, Place, content_id
from twin_core.store.facts import Fact, natural
from twin_core.store.fold.rows import (
    EntityRow,
    Note,
    ResolvedPlace,
    Resolver,
    canonical,
    finding_row,
    text,
    unresolved,
)
from twin_core.store.fold.stated import latest_statements

Told = AppointmentEvent | AppointmentStated
"""What is heard of an appointment: what happened to it, or all that a FHIR server has of it."""
ENDED = frozenset({"cancelled", "noshow", "entered-in-error"})
"""Statuses of appointments that will not take place."""

_MINUTE = timedelta(minutes=1)
_BECOMES: dict[type[Told], str] = {
    AppointmentBooked: "booked",
    AppointmentRescheduled: "booked",
    AppointmentCancelled: "cancelled",
    AppointmentMissed: "noshow",
    AppointmentDeleted: "entered-in-error",
}
_MAY_SAY: dict[type[Told], frozenset[str]] = {
    # What a status code may say against the event itself: only what is more exact than it.
    AppointmentCancelled: frozenset({"cancelled", "noshow", "entered-in-error"}),
    AppointmentMissed: frozenset({"noshow"}),
    AppointmentDeleted: frozenset({"entered-in-error"}),
}
_TIMES = ("starts_at", "offset_minutes", "duration_minutes")
_LASTING = ("occurrence", "kind", "urgency", "reason", "facility")


class Resource:
    """A service or resource of an appointment as it stands."""

    __slots__ = ("code", "kind", "place", "position", "said", "system")

    def __init__(self, stated: ResourceBooked) -> None:
        self.kind = stated.kind
        self.said: dict[str, object] = {}
        self.take(stated)

    def take(self, stated: ResourceBooked) -> None:
        """Another statement about it: what it leaves out stays."""
        self.system, self.code, self.position = stated.system, stated.code, stated.position
        self.place = stated.place
        for name in ("name", "role", "status", *_TIMES):
            value = getattr(stated, name)
            if value is not UNSET:
                self.said[name] = value

    def replaced_by(self, stated: ResourceBooked) -> "Resource":
        """Another resource in the place of this one: at its time, where it says no other."""
        other = Resource(stated)
        for name in _TIMES:
            if name in self.said:
                other.said.setdefault(name, self.said[name])
        return other


class Appointment:
    """An appointment as it stands after the facts heard so far."""

    def __init__(self) -> None:
        self.status = "booked"
        self.starts_at: datetime | None = None
        self.ends_at: datetime | None = None
        self.minutes: float | None = None
        self.said: dict[str, object] = {}
        self.place = NOWHERE
        self.patients: tuple[Attendance, ...] = ()
        self.resources: dict[tuple[str, str, int], Resource] = {}
        self.booked_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.end_reason: object = None
        self.attended: Fact | None = None
        """What named the patients."""
        self.filler: Identifier | None = None
        self.notes: list[Note] = []

    def hear(self, fact: Fact, event: Told) -> None:
        """Take in the next event."""
        self._compare(fact, event)
        if event.patients:
            self.patients, self.attended = event.patients, fact
        if self.booked_at is None and isinstance(event, AppointmentBooked):
            self.booked_at = event.occurred_at
        elif self.booked_at is None and isinstance(event, AppointmentStated):
            self.booked_at = event.booked_at
        for name in _LASTING:
            value = getattr(event.booking, name)
            if value is not UNSET:
                self.said[name] = value
        self.place = event.booking.place or self.place
        was = self.status
        self._settle(event)
        if self.status != was:
            self._outdate("status", {was} if was in ENDED else None)
        if self._time(event.booking) or isinstance(event, AppointmentRescheduled):
            self._outdate("starts_at")
        if event.resources:
            self.resources = _booked(self.resources, event)

    def _compare(self, fact: Fact, event: Told) -> None:
        """Note a booking whose placer's number stands for an appointment of another filler."""
        named = event.identifiers if isinstance(event, AppointmentStated) else event.appointment
        filler = next((i for i in named if i.type == "FILL"), None)
        if filler is None:
            return
        known = self.filler is not None and self.filler.key != filler.key
        if known and isinstance(event, AppointmentBooked) and self.status not in ENDED:
            detail = "its placer number stands for a booking with another filler number; replaced"
            self.notes.append(Note("reused_appointment_number", fact, detail))
        self.filler = filler

    def _outdate(self, name: str, values: Set[str] | None = None) -> None:
        """Forget what resources said before: it was about another time, or another status."""
        for held in self.resources.values():
            value = held.said.get(name)
            if value not in ENDED if values is None else value in values:
                held.said.pop(name, None)

    def _settle(self, event: Told) -> None:
        kind, stated = type(event), event.booking.status
        becomes = _BECOMES.get(kind, self.status)
        if isinstance(stated, str) and (kind not in _MAY_SAY or stated in _MAY_SAY[kind]):
            becomes = stated
        if becomes not in ENDED:
            self.ended_at = self.end_reason = None
        elif becomes != self.status or self.ended_at is None:
            self.ended_at = event.occurred_at
            reason = event.booking.event_reason
            self.end_reason = None if reason is UNSET else reason
        self.status = becomes

    def _time(self, said: Booking) -> bool:
        """Take in start, end and duration; whether the appointment starts at another time now."""
        before = self.starts_at
        if said.duration_minutes is not UNSET:
            self.minutes, self.ends_at = said.duration_minutes, None
        if said.starts_at is not UNSET:
            if before and self.ends_at:
                self.minutes = (self.ends_at - before) / _MINUTE
            self.starts_at, self.ends_at = said.starts_at, None
        if said.ends_at is not UNSET:
            self.ends_at = said.ends_at
        return before is not None and self.starts_at != before


def fold_appointment(
    facts: Sequence[Fact], identifiers: Sequence[Identifier], resolver: Resolver
) -> list[EntityRow]:
    """The rows of one appointment, given its facts in order and the identifiers it is known by."""
    if not facts:
        return []
    appointment = Appointment()
    for fact in facts:
        if isinstance(fact.event, AppointmentEvent | AppointmentStated):
            appointment.hear(fact, fact.event)
    appointment_id = appointment_id_of(identifiers)
    starts_at, ends_at, minutes = _period(appointment)
    patients = list(_patients(appointment, resolver, starts_at))
    live = _live(appointment)
    located = next((r.place for r in live if r.place), appointment.place)
    place = _located(located, resolver)
    said = appointment.said
    spot = (place.unit, place.room, place.location_id) if place else ("", "", "")
    row = (
        *(appointment_id, *(patients[0][:2] if patients else (None, None)), appointment.status),
        *(starts_at, ends_at, minutes),
        text((place.facility if place else "") or said.get("facility")),
        *map(text, spot),
        next((_called(r) for r in live if r.kind == "service"), None),
        *(said.get("kind"), said.get("urgency"), said.get("reason"), appointment.end_reason),
        *(appointment.booked_at, appointment.ended_at),
    )
    rows: list[EntityRow] = [("appointment", row)]
    rows += [("appointment_patient", (appointment_id, *patient)) for patient in patients]
    rows += _resource_rows(appointment_id, appointment, resolver, starts_at, ends_at)
    for i in sorted(identifiers, key=lambda i: (i.system, i.value)):
        occurrence = said.get("occurrence")
        value = i.value.removesuffix(f"#{occurrence}") if occurrence else i.value
        known_as = (i.system, value, text(i.type), occurrence)
        rows.append(("appointment_identifier", (appointment_id, *known_as)))
    notes = [*appointment.notes, *_unresolved(facts, resolver)]
    rows += [finding_row(n, appointment_id, facts[-1].recorded_at) for n in notes]
    return list(dict.fromkeys(rows))


def appointment_id_of(identifiers: Sequence[Identifier]) -> str:
    """The stable id of an appointment known by these identifiers."""
    named = canonical(identifiers)
    return content_id("a", named.system, named.value)


def attending(facts: Sequence[Fact]) -> list[Attendance]:
    """The patients and visits that the fold of these facts will resolve."""
    told = [f.event for f in facts if isinstance(f.event, Told) and f.event.patients]
    # Of every source it is told which of its references nobody has described.
    asked = [event for event in told[:-1] if isinstance(event, AppointmentStated)] + told[-1:]
    return [one for event in asked for one in event.patients]


def without_bed(place: Place) -> Place:
    """The room or unit of a place: an appointment takes place there, and occupies no bed."""
    return Place(place.facility, place.unit, place.room, "", place.reference)


def _booked(
    held: dict[tuple[str, str, int], Resource], event: Told
) -> dict[tuple[str, str, int], Resource]:
    """The resources after an event that names some.

    A kind whose resources come without an action is listed whole; a new booking lists all kinds.
    One with an action is found by its code, or else, if it is updated or removed, by its position.
    """
    told = {stated.kind for stated in event.resources if stated.action}
    listed = {stated.kind for stated in event.resources} - told
    whole = isinstance(event, AppointmentBooked)
    after = {k: r for k, r in held.items() if not whole and r.kind not in listed}
    at = {(r.kind, r.position): key for key, r in after.items()}
    seen: dict[tuple[str, str], int] = {}
    for stated in event.resources:
        key = _key(stated, seen)
        if key not in after and stated.action in ("U", "D"):
            there = at.get((stated.kind, stated.position), key)
            if stated.action == "D":
                key = there
            elif there in after:
                after[key] = after.pop(there).replaced_by(stated)
                continue
        if stated.action == "D":
            after.pop(key, None)
        elif key in after:
            if stated.action != "X":
                after[key].take(stated)
        elif key in held and not whole:
            after[key] = held[key]
            after[key].take(stated)
        else:
            after[key] = Resource(stated)
    return after


def _key(stated: ResourceBooked, seen: dict[tuple[str, str], int]) -> tuple[str, str, int]:
    # The same service may be booked twice; the second one of a message is another one.
    name = stated.code or (stated.name if isinstance(stated.name, str) else "")
    named = (stated.kind, f"{stated.system}|{stated.place.facility}|{name}")
    seen[named] = seen.get(named, 0) + 1
    return (*named, seen[named])


def _live(appointment: Appointment) -> list[Resource]:
    resources = sorted(appointment.resources.values(), key=lambda r: natural(r.position))
    live = [r for r in resources if r.said.get("status") not in ENDED]
    return live or resources


def _called(resource: Resource) -> object:
    return resource.code or resource.said.get("name")


def _period(appointment: Appointment) -> tuple[datetime | None, datetime | None, int | None]:
    """Start, end and whole minutes; what nobody stated follows from the resources."""
    starts_at, ends_at, minutes = appointment.starts_at, appointment.ends_at, appointment.minutes
    if starts_at is None:
        own = [r.said.get("starts_at") for r in _live(appointment)]
        starts_at = min((at for at in own if isinstance(at, datetime)), default=None)
    if ends_at is not None and starts_at is not None and ends_at < starts_at:
        ends_at = None
    if ends_at is None and starts_at is not None and minutes is not None:
        ends_at = _after(starts_at, minutes)
    elif ends_at is None and starts_at is not None:
        ends = [_own_period(r, starts_at, None)[1] for r in _live(appointment)]
        ends_at = max((at for at in ends if at is not None), default=None)
    if ends_at is not None and starts_at is not None:
        minutes = (ends_at - starts_at) / _MINUTE
    return starts_at, ends_at, None if minutes is None else round(minutes)


def _own_period(
    resource: Resource, starts_at: datetime | None, ends_at: datetime | None
) -> tuple[datetime | None, datetime | None]:
    said = resource.said
    own, offset, length = (said.get(k) for k in ("starts_at", "offset_minutes", "duration_minutes"))
    begins = starts_at
    if isinstance(own, datetime):
        begins = own
    elif isinstance(offset, float | int) and starts_at is not None:
        begins = _after(starts_at, offset)
    if begins is not None and isinstance(length, float | int):
        return begins, _after(begins, length)
    return begins, ends_at if begins is None or ends_at is None or ends_at >= begins else None


def _after(at: datetime, minutes: float) -> datetime | None:
    """An instant some minutes later; None where the calendar ends before that."""
    try:
        return at + timedelta(minutes=minutes)
    except OverflowError:
        return None


def _patients(
    appointment: Appointment, resolver: Resolver, starts_at: datetime | None
) -> Iterator[tuple[str | None, str | None, str | None, str | None]]:
    for one in appointment.patients:
        patient_id, _ = resolver.patient(one.patient)
        visit = one.visit
        if visit is None:
            yield patient_id, None, None, None
            continue
        encounter_id, described, ambiguous = resolver.visit(visit, patient_id, starts_at)
        if ambiguous:
            detail = "several visits of the account that it names may be meant"
            appointment.notes.append(Note("ambiguous_account", appointment.attended, detail))
        yield patient_id, encounter_id if described else None, visit.system, visit.value


def _unresolved(facts: Sequence[Fact], resolver: Resolver) -> Iterator[Note]:
    """What the latest version of each FHIR Appointment refers to and nobody has described."""
    if not any(isinstance(fact.event, AppointmentStated) for fact in facts):
        return
    for fact in latest_statements(facts):
        event = fact.event
        if not isinstance(event, AppointmentStated):
            continue
        for one in event.patients:
            patient_id, known = resolver.patient(one.patient)
            if not known:
                yield unresolved(fact, "Patient", patient_id)
        for resource in event.resources:
            at = resolver.place(resource.place) if resource.place else None
            if at is not None and not at.known:
                yield unresolved(fact, "Location", at.location_id)


def _located(place: Place, resolver: Resolver) -> ResolvedPlace | None:
    return resolver.place(without_bed(place)) if without_bed(place) else None


def _resource_rows(
    appointment_id: str,
    appointment: Appointment,
    resolver: Resolver,
    starts_at: datetime | None,
    ends_at: datetime | None,
) -> Iterator[EntityRow]:
    for resource in appointment.resources.values():
        said = resource.said
        status = said.get("status") or appointment.status
        if status not in ENDED and appointment.status in ENDED:
            status = appointment.status
        place = _located(resource.place, resolver)
        named = (resource.kind, resource.position, text(resource.system), text(resource.code))
        yield (
            "appointment_resource",
            (
                *(appointment_id, *named, said.get("name"), said.get("role")),
                text(place.location_id) if place else None,
                *_own_period(resource, starts_at, ends_at),
                status,
            ),
        )
