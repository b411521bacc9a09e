"""What SCH, TQ1, RGS and the AIS, AIG, AIL and AIP segments say of an appointment."""

import re
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from adapters.hl7v2.codes import APPOINTMENT_STATUSES, MINUTES, NO_VISIT, SEGMENT_ACTIONS
from adapters.hl7v2.conventions import remembered
from adapters.hl7v2.fields import CLEARED, Reading, Segment, encounter_class
from adapters.hl7v2.refusal import REQUIRED_FIELD, content_fault
from adapters.hl7v2.visits import numbered
from twin_core.events import Booking, Instant, Minutes, ResourceBooked, Text
from twin_core.identifiers import NOWHERE, Identifier, Place

PLACER, FILLER = "PLAC", "FILL"
"""Types of appointment identifiers (table 0203): who asked for it, whose schedule it is in."""

_NUMBER = re.compile(r"[+-]?\d{1,7}(\.\d{1,4})?", re.ASCII)
_TQ_DURATION = re.compile(r"([SMHDW]?)(\d{1,7})", re.ASCII)
_DISPLACED_TIMING = re.compile(r"[^0-9]*(?:\d{1,5}[^0-9])?[^0-9]*(?:19|20)\d{6}", re.ASCII)
_LONGEST_MINUTES = 366 * 24 * 60
_SITS_IN_A_BED = frozenset({"IMP", "ACUTE", "NONAC", "OBSENC", "EMER"})


class Layout(NamedTuple):
    """Where a resource segment keeps what all of them say; the code is in field 3."""

    kind: str
    role: int
    start: int
    """Start date/time; offset, offset units, duration and duration units follow it."""
    status: int


LAYOUTS = {
    "AIS": Layout("service", 0, 4, 10),
    "AIG": Layout("general", 4, 8, 14),
    "AIL": Layout("location", 4, 6, 12),
    "AIP": Layout("personnel", 4, 6, 12),
}


class Change(NamedTuple):
    """How a trigger event reads the resources of its message.

    `action` stands in where neither segment nor group names one; `status` is what becomes of every
    resource that is named, unless it is said to be unchanged.
    """

    action: str = ""
    status: str = ""


def aligned(reading: Reading, sch: Segment) -> Segment:
    """The SCH; one whose sender left out a field before SCH-9 is put right, with a finding.

    Such a SCH has its times in SCH-10, where units belong, and the duration's unit in SCH-9.
    """
    if sch[11] or not _DISPLACED_TIMING.match(sch[10]):
        return sch
    reading.note("displaced_field", "SCH-10 holds times and SCH-11 nothing; read one field later.")
    return [*sch[:8], "", *sch[8:]]


def appointment_identifiers(reading: Reading, sch: Segment) -> tuple[Identifier, ...]:
    """SCH-1 and SCH-2, of a series with the occurrence (SCH-3); refused where there is neither."""
    suffix = ""
    if sch[3] and (occurrence := _occurrence(reading, sch)):
        suffix = f"#{occurrence}"
    placer = _entity(reading, sch[1], PLACER, suffix)
    filler = _entity(reading, sch[2], FILLER, suffix)
    if placer is not None and filler is not None:
        return placer, filler
    found = placer or filler
    if found is None:
        reason = "The appointment is not named; send its placer or filler id in SCH-1 or SCH-2."
        raise content_fault("SCH^1^1", REQUIRED_FIELD, reason)
    return (found,)


def _occurrence(reading: Reading, sch: Segment) -> str:
    if not sch[3]:
        return ""
    occurrence = reading.message.code(sch[3])
    return "" if occurrence == CLEARED else occurrence


def _entity(reading: Reading, field: str, kind: str, suffix: str) -> Identifier | None:
    """An EI as an identifier: its authority is the second to fourth component."""
    if not field:
        return None
    message = reading.message
    if message.delimiters.repetition in field:
        field = message.first_repetition(field)
    value, _, rest = field.partition(message.delimiters.component)
    if not value.isalnum():
        value = message.text(value).strip()
        if not value or value == CLEARED:
            return None
    known = reading.sender.entities.get((kind, rest))
    return Identifier(known or _issuer(reading, rest, kind), value + suffix, kind)


def _issuer(reading: Reading, rest: str, kind: str) -> str:
    """The system of an appointment's number, by what follows it in an EI."""
    message = reading.message
    parts = rest.split(message.delimiters.component, 3)[:3]
    authority = message.delimiters.subcomponent.join(parts) if any(parts) else ""
    system = reading.conventions.system(message, authority, kind)
    if reading.is_remembered(rest):
        remembered(reading.sender.entities, (kind, rest), system)
    return system


class Said(NamedTuple):
    """What codes and texts say of an appointment as a whole."""

    status: Text
    kind: Text
    urgency: Text
    reason: Text
    event_reason: Text
    duration: Minutes


def booking(
    reading: Reading, sch: Segment, resources: tuple[ResourceBooked, ...], pv1: Segment | None
) -> Booking:
    """What SCH and TQ1 say of the appointment as a whole."""
    tq1 = reading.message.segment("TQ1")
    said = _said_again(reading, sch, tq1)
    starts_at, ends_at, duration, urgency = _timing(reading, sch, tq1, said)
    if starts_at and ends_at and ends_at < starts_at:
        detail = "The appointment ends before it starts; its end is ignored."
        reading.note("reversed_period", detail)
        ends_at = UNSET
    place = NOWHERE
    if pv1 is not None and not [one for one in resources if one.place is not NOWHERE]:
        place = _visited(reading, pv1)
    return Booking(
        status=said.status,
        starts_at=starts_at,
        ends_at=ends_at,
        duration_minutes=duration,
        occurrence=_occurrence(reading, sch) or UNSET if sch[3] else UNSET,
        kind=said.kind,
        urgency=urgency,
        reason=said.reason,
        event_reason=said.event_reason,
        facility=reading.sender.facility or UNSET,
        place=place,
    )


def _said_again(reading: Reading, sch: Segment, tq1: Segment | None) -> Said:
    """What is said of an appointment: the same few codes come together in most of a feed."""
    key = (sch[6], sch[7], sch[8], sch[9], sch[10], sch[25], tq1[9] if tq1 else "")
    known: Said | None = reading.conventions.appointments.get(key)
    if known is not None and reading.message.is_standard:
        return known
    said, is_odd = reading.unnoted(lambda: _said_of_it(reading, sch, tq1))
    if not is_odd and reading.is_remembered("".join(key)):
        remembered(reading.conventions.appointments, key, said)
    return said


def _said_of_it(reading: Reading, sch: Segment, tq1: Segment | None) -> Said:
    status, kind = _status(reading, sch[25], "SCH^1", 25), _worded(reading, sch[8])
    if status is UNSET and isinstance(kind, str) and kind.upper() == "TENTATIVE":  # table 0277
        status = "pending"
    return Said(
        status=status,
        kind=kind,
        urgency=reading.stated_code(tq1[9]) if tq1 else UNSET,
        reason=_worded(reading, sch[7]),
        event_reason=_worded(reading, sch[6]),
        duration=minutes(reading, sch[9], sch[10], "SCH^1", 9),
    )


def _timing(
    reading: Reading, sch: Segment, tq1: Segment | None, said: Said
) -> tuple[Instant, Instant, Minutes, Text]:
    """Start, end, duration and priority: TQ1 (from v2.5 on) before SCH-11 (TQ, up to v2.4)."""
    message = reading.message
    duration, urgency = said.duration, said.urgency
    starts_at: Instant = UNSET
    ends_at: Instant = UNSET
    if tq1 is not None:
        starts_at = instant(reading, tq1[7], "TQ1^1", 7)
        ends_at = instant(reading, tq1[8], "TQ1^1", 8)
        if duration is UNSET and tq1[6]:
            amount, units = message.components(message.first_repetition(tq1[6]))[:2]
            duration = minutes(reading, amount, units, "TQ1^1", 6)
    timed = starts_at is not UNSET and urgency is not UNSET and duration is not UNSET
    if sch[11] and not timed:
        quantity = message.components(message.first_repetition(sch[11]))
        if starts_at is UNSET and ends_at is UNSET:
            starts_at = instant(reading, quantity[3], "SCH^1", 11)
            ends_at = instant(reading, quantity[4], "SCH^1", 11)
        if urgency is UNSET:
            urgency = reading.stated_code(quantity[5])
        if duration is UNSET and (found := _TQ_DURATION.fullmatch(quantity[2])):
            duration = minutes(reading, found[2], found[1], "SCH^1", 11)
    return starts_at, ends_at, duration, urgency


def _visited(reading: Reading, pv1: Segment) -> Place:
    """PV1-3 as where an appointment is: of an outpatient the clinic, of others their bed."""
    place = reading.conventions.place(reading.message, pv1[3])
    if not place or encounter_class(reading, pv1[2]) in _SITS_IN_A_BED:
        return NOWHERE
    return place


def visit_named(reading: Reading, pid: Segment, pv1: Segment | None) -> Identifier | None:
    """The visit that an appointment is part of: PV1-19, else the account in PID-18."""
    if pv1 is None:
        return numbered(reading, pid[18], "AN")
    if reading.message.code(pv1[2]) == NO_VISIT:
        return None
    return numbered(reading, pv1[19], "VN") or numbered(reading, pid[18], "AN")


class Group(NamedTuple):
    """What stands before the segments of services and resources: an RGS, and the trigger event."""

    change: Change
    number: str = "1"
    action: str = ""

    @property
    def key(self) -> str:
        """What the meaning of a segment depends on besides the segment itself."""
        return f"{self.number}|{self.action}|{self.change.action}|{self.change.status}|"


def resource(
    reading: Reading, line: str, layout: Layout, group: Group, key: str
) -> ResourceBooked | None:
    """One AIS, AIG, AIL or AIP; None, with a finding, where it names nothing.

    `key` is the key of the group. Most segments of a feed name what others have named before, and
    those of one message have one time: both are read once.
    """
    start = layout.start
    fields = line.split(reading.message.delimiters.field, start)
    times = fields.pop() if len(fields) > start else ""
    key += line.removesuffix(times)
    wanted: ResourceBooked | None = reading.sender.resources.get(key)
    if wanted is None:
        fields += [""] * (start - len(fields))
        wanted, is_odd = reading.unnoted(lambda: _wanted(reading, fields, layout, group))
        if wanted is not None and not is_odd and reading.is_remembered(key):
            remembered(reading.sender.resources, key, wanted)
    timing: _Timed | None = reading.conventions.timings.get(times)
    if timing is None or not reading.message.is_standard:
        timing = _timed_anew(reading, fields, times, layout)
    if wanted is None:
        reading.note("missing_element", f"A segment {line[:3]} names no resource; it is left out.")
        return None
    starts_at, offset, duration, status = timing
    return replace(
        wanted,
        starts_at=starts_at,
        offset_minutes=offset,
        duration_minutes=duration,
        status=status if wanted.status is UNSET else wanted.status,
    )


_Timed = tuple[Instant, Minutes, Minutes, Text]
"""Start, offset, duration and status of a resource."""


def _timed_anew(reading: Reading, fields: Segment, times: str, layout: Layout) -> _Timed:
    """What the fields from the start on say; remembered, if there is nothing odd about it."""
    timing, is_odd = reading.unnoted(lambda: _timed(reading, fields, times, layout))
    # Times are read as UTC with a finding, where the feed has no time zone: every time.
    assumes_utc = reading.conventions.calendar.assumes_utc
    if not (is_odd or assumes_utc) and reading.is_remembered(times):
        remembered(reading.conventions.timings, times, timing)
    return timing


def _wanted(
    reading: Reading, fields: Segment, layout: Layout, group: Group
) -> ResourceBooked | None:
    """What the fields before the start say: which resource; None where they name none."""
    name, sent = fields[0][:3], fields[3]
    system, code, text, place = reading.conventions.meanings.get((name, sent)) or _NAMED[name](
        reading, sent
    )
    if not (code or text):
        return None
    change = group.change
    action = _action(reading, fields[2] or group.action, _where(fields)) or change.action
    role = fields[layout.role] if layout.role else ""
    changes = bool(change.status) and action != "X"
    return ResourceBooked(
        kind=layout.kind,
        action="U" if changes else action,
        position=f"{group.number.lstrip('0')}.{fields[1].lstrip('0')}",
        system=system,
        code=code,
        name=text or UNSET,
        role=_worded(reading, role) if role else UNSET,
        place=place,
        status=change.status if changes else UNSET,
    )


def _timed(reading: Reading, fields: Segment, times: str, layout: Layout) -> _Timed:
    """What the fields from the start on say: when, for how long, and what became of it."""
    where, start = _where(fields), layout.start
    tail = reading.message.fields(times)
    return (
        instant(reading, tail[0], where, start),
        minutes(reading, tail[1], tail[2], where, start + 1, signed=True),
        minutes(reading, tail[3], tail[4], where, start + 3),
        _status(reading, tail[6], where, layout.status),
    )


def _where(fields: Segment) -> str:
    return f"{fields[0][:3]}^{fields[1] if fields[1].isdecimal() else 1}"


_Named = tuple[str, str, str, Place]
"""System, code, name and place of a resource."""


def _service(reading: Reading, field: str) -> _Named:
    """A service (CWE): coding system, code, text."""
    return reading.conventions.remember(reading.message, "AIS", field, _coded(reading, field))


def _equipment(reading: Reading, field: str) -> _Named:
    """A general resource (CWE): coding system, code, text."""
    return reading.conventions.remember(reading.message, "AIG", field, _coded(reading, field))


def _coded(reading: Reading, field: str) -> _Named:
    if field.isalnum():
        return "", field, "", NOWHERE
    message = reading.message
    code, text, system = message.components(message.first_repetition(field))[:3]
    return _said(reading, system), _said(reading, code), _said(reading, text), NOWHERE


def _located(reading: Reading, field: str) -> _Named:
    """A location (PL), known by its place; as a code the way it was sent."""
    # The sender's facility is where a location is that names none.
    sender = f"AIL {reading.message.header[3]}"
    known: _Named | None = reading.conventions.meanings.get((sender, field))
    if known is not None:
        return known
    place = reading.conventions.place(reading.message, field)
    if not place:
        return "", "", "", NOWHERE
    code = "-".join(part for part in (place.unit, place.room, place.bed) if part)
    return reading.conventions.remember(reading.message, sender, field, ("", code, "", place))


def _employed(reading: Reading, field: str) -> _Named:
    """A person of the staff (XCN): id, family name, given name, and who gave the id."""
    if not field:
        return "", "", "", NOWHERE
    message = reading.message
    parts = message.components(message.first_repetition(field))
    family = _said(reading, parts[1].partition(message.delimiters.subcomponent)[0])
    given = _said(reading, parts[2])
    code, authority = _said(reading, parts[0]), parts[8]
    system = reading.conventions.system(message, authority, "EI") if code and authority else ""
    name = f"{family}, {given}" if family and given else family or given
    named = (system, code, name, NOWHERE)
    return reading.conventions.remember(message, "AIP", field, named)


_NAMED = {"AIS": _service, "AIG": _equipment, "AIL": _located, "AIP": _employed}


def _action(reading: Reading, field: str, where: str) -> str:
    if not field or field in SEGMENT_ACTIONS:
        return field
    action = reading.message.code(field).upper()
    if action in SEGMENT_ACTIONS:
        return action
    if action and action != CLEARED:
        reading.note("unknown_code", f"{where}^2 is no code of table 0206.")
    return ""


def _status(reading: Reading, field: str, where: str, number: int) -> Text:
    """A filler status code as FHIR Appointment.status; UNSET where it says nothing of that."""
    if not field:
        return UNSET
    known: str | None = reading.conventions.meanings.get(("status", field))
    if known is not None:
        return known
    code = reading.message.code(field)
    own = reading.conventions.settings.appointment_statuses
    if code in own:
        return own[code]
    if code == CLEARED or not code:
        return UNSET
    plain = code.upper().replace(" ", "").replace("-", "").replace("_", "")
    if plain not in APPOINTMENT_STATUSES:
        reading.note("unknown_code", f"{where}^{number} is no code of table 0278.")
    status = APPOINTMENT_STATUSES.get(plain)
    if status is None:
        return UNSET
    return reading.conventions.remember(reading.message, "status", field, status)


def instant(reading: Reading, field: str, where: str, number: int) -> Instant:
    """A date and time as an attribute; a coarse one is the start of the unit it names."""
    if not field:
        return UNSET
    calendar = reading.conventions.calendar
    recent = None if calendar.assumes_utc else calendar.recent.get(field)
    if recent is not None:  # most times of a message are the same
        return recent.at
    moment = reading.moment(field, f"{where}^{number}")
    if moment is None:
        return None if field.strip() == CLEARED else UNSET
    return moment.at


def minutes(
    reading: Reading, amount: str, units: str, where: str, number: int, *, signed: bool = False
) -> Minutes:
    """A duration in minutes; UNSET, with a finding, where it is none or longer than a year."""
    if not amount:
        return UNSET
    known: float | None = reading.conventions.meanings.get((amount, units))
    if known is not None:
        return known
    return _minutes(reading, amount, units, f"{where}^{number}", signed=signed)


def _minutes(reading: Reading, field: str, units: str, where: str, *, signed: bool) -> Minutes:
    amount = reading.message.code(field)
    if amount == CLEARED or not amount:
        return None if amount else UNSET
    unit = MINUTES.get(reading.message.code(units).upper())
    if unit is None:
        reading.note("unknown_code", f"The unit of {where} is no unit of time.")
        return UNSET
    length = float(amount) * unit if _NUMBER.fullmatch(amount) else _LONGEST_MINUTES + 1
    if abs(length) > _LONGEST_MINUTES or (length < 0 and not signed):
        reading.note("invalid_duration", f"{where} is no possible duration.")
        return UNSET
    if length < 0:  # as an offset this may be, as a duration never
        return length
    return reading.conventions.remember(reading.message, field, units, length)


def _worded(reading: Reading, field: str) -> Text:
    """A coded field's code, else its text."""
    if field.isalnum():
        return field
    if not field:
        return UNSET
    known: str | None = reading.conventions.meanings.get(("words", field))
    if known is not None:
        return known
    message = reading.message
    code, text = message.components(message.first_repetition(field))[:2]
    if code == CLEARED:
        return None
    words = _said(reading, code) or _said(reading, text)
    return reading.conventions.remember(message, "words", field, words) if words else UNSET


def _said(reading: Reading, part: str) -> str:
    return "" if part == CLEARED else reading.message.text(part).strip()
