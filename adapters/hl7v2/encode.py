"""Hospital facts as ER7: one HL7 v2.5.1 ADT message per fact.

`encode` looks the trigger event up in a table; `Segment` builds one segment field by field, and
is of use to anybody who writes ER7. Timestamps carry seconds and the offset of the sender's zone.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from twin_core.identifiers import Place
from twin_core.simulation import facts as f

SEGMENT_END = "\r"
_ESCAPES = str.maketrans(
    {
        # Control characters end segments and frames; a text that holds one must not.
        **{chr(code): f"\\X{code:02X}\\" for code in (*range(0x20), 0x7F)},
        "\\": "\\E\\",
        "|": "\\F\\",
        "^": "\\S\\",
        "&": "\\T\\",
        "~": "\\R\\",
    }
)
_CLASSES = {"IMP": "I", "EMER": "E", "AMB": "O", "PRENC": "P"}
"""v3 ActCode -> table 0004."""
_SEXES = {"male": "M", "female": "F", "other": "O", "unknown": "U"}


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """The system that sends, as MSH and the assigning authorities name it."""

    application: str
    facility: str
    receiving_application: str = "WARDTWIN"
    receiving_facility: str = ""
    zone: ZoneInfo = ZoneInfo("UTC")
    patient_authority: str
    visit_authority: str
    version: str = "2.5.1"
    processing_id: str = "P"


def escape(text: str) -> str:
    """Text with every delimiter, and every control character, escaped."""
    return text if text.isalnum() else text.translate(_ESCAPES)


def components(*parts: str) -> str:
    """Components of one field, escaped, without empty ones at the end."""
    return "^".join(escape(part) for part in parts).rstrip("^")


class Segment:
    """One segment under construction. Fields are numbered as in the standard."""

    __slots__ = ("_fields",)

    def __init__(self, name: str) -> None:
        self._fields = [name]

    def put(self, number: int, field: str) -> "Segment":
        """Set a field that is encoded already: components joined, text escaped."""
        if field:
            missing = number - len(self._fields) + 1
            if missing > 0:
                self._fields.extend([""] * missing)
            self._fields[number] = field
        return self

    def text(self, number: int, text: str) -> "Segment":
        """Set a field to plain text."""
        return self.put(number, escape(text))

    def __str__(self) -> str:
        return "|".join(self._fields)


@lru_cache(maxsize=20_000)
def timestamp(at: datetime, zone: ZoneInfo) -> str:
    """An instant as DTM with seconds and offset, in local time."""
    local = at.astimezone(zone).isoformat(timespec="seconds").replace(":", "")
    return local[:10].replace("-", "") + local[11:]  # several times as fast as strftime


@lru_cache(maxsize=4_000)
def location(place: Place) -> str:
    """A PL: point of care, room, bed and facility."""
    return components(place.unit, place.room, place.bed, place.facility) if place else ""


def message_header(
    sender: Sender, trigger: str, structure: str, control_id: str, at: datetime
) -> str:
    """The MSH segment."""
    before, between, after = _header_parts(sender, trigger, structure)
    return f"{before}{timestamp(at, sender.zone)}{between}{escape(control_id)}{after}"


@lru_cache(maxsize=200)
def _header_parts(sender: Sender, trigger: str, structure: str) -> tuple[str, str, str]:
    """What comes before MSH-7, between it and MSH-10, and after that."""
    systems = (
        sender.application,
        sender.facility,
        sender.receiving_application,
        sender.receiving_facility,
    )
    before = "|".join(["MSH", "^~\\&", *map(escape, systems), ""])
    after = f"|{sender.processing_id}|{sender.version}||||||UNICODE UTF-8"
    return before, f"||ADT^{trigger}^{structure}|", after


def encode(
    fact: f.Fact, *, sender: Sender, control_id: str, states_occurrence: bool = True
) -> bytes:
    """The ADT message for a fact, unframed, in UTF-8.

    Without `states_occurrence` EVN-6 is left out, as many systems do in cancels.
    """
    trigger, structure, body = _MESSAGES[type(fact)]
    if isinstance(fact, f.PersonUpdated | f.BedStatusChanged):
        states_occurrence = False
    segments = [
        message_header(sender, trigger, structure, control_id, fact.sent_at),
        _event_type(fact, sender, trigger, states_occurrence),
        *body(fact, sender),
    ]
    return (SEGMENT_END.join(segments) + SEGMENT_END).encode()


def _event_type(fact: f.Fact, sender: Sender, trigger: str, states_occurrence: bool) -> str:
    event = Segment("EVN").put(1, trigger).put(2, timestamp(fact.recorded_at, sender.zone))
    if states_occurrence:
        # In a cancel EVN-6 is when the cancelled event occurred (3.4.1.6).
        occurred_at = getattr(fact, "cancelled_at", fact.occurred_at)
        event.put(6, timestamp(occurred_at, sender.zone))
    return str(event)


@lru_cache(maxsize=20_000)
def _patient(person: f.Person, sender: Sender, set_id: str = "1") -> str:
    segment = Segment("PID").put(1, set_id)
    segment.put(3, components(person.record_number, "", "", sender.patient_authority, "MR"))
    segment.put(5, components(person.family_name, person.given_name, "", "", "", "", "L"))
    segment.put(7, _day(person.birth_date)).put(8, _SEXES[person.sex])
    segment.put(11, components(person.street, "", "Sampletown", "", person.postal_code, "", "H"))
    if person.deceased_at is not None:
        segment.put(29, timestamp(person.deceased_at, sender.zone)).put(30, "Y")
    return str(segment)


@lru_cache(maxsize=20_000)
def _visit(
    visit: f.VisitState, sender: Sender, origin: Place | None = None, set_id: str = "1"
) -> str:
    segment = Segment("PV1").put(1, set_id).put(2, _CLASSES[visit.class_])
    segment.put(3, location(visit.place))
    if origin is not None:
        segment.put(6, location(origin))
    segment.put(7, components(visit.attending, "Doctor", visit.attending))
    segment.text(10, visit.service).text(14, visit.admit_source)
    segment.put(19, components(visit.number, "", "", sender.visit_authority, "VN"))
    segment.text(36, visit.disposition)
    if visit.admitted_at is not None:
        segment.put(44, timestamp(visit.admitted_at, sender.zone))
    if visit.discharged_at is not None:
        segment.put(45, timestamp(visit.discharged_at, sender.zone))
    return str(segment)


def _day(day: date) -> str:
    return day.strftime("%Y%m%d")


def _of_visit(fact: f.VisitFact, sender: Sender) -> Sequence[str]:
    return (_patient(fact.person, sender), _visit(fact.visit, sender))


def _preadmitted(fact: f.Preadmitted, sender: Sender) -> Sequence[str]:
    # PV1-3 of a pre-admission is where the patient is to come; nobody is there yet.
    visit = _visit(msgspec.structs.replace(fact.visit, place=fact.destination), sender)
    return (_patient(fact.person, sender), visit, _expected(8, fact.expected_at, sender))


def _moved(fact: f.Transferred | f.ClassChanged, sender: Sender) -> Sequence[str]:
    origin = fact.origin if fact.origin != fact.visit.place else None
    return (_patient(fact.person, sender), _visit(fact.visit, sender, origin))


def _transfer_expected(fact: f.TransferExpected, sender: Sender) -> Sequence[str]:
    patient, visit = _of_visit(fact, sender)
    # PV1-42 is where the patient is to go; nobody has moved.
    fields = visit.split("|") + [""] * 43
    fields[42] = location(fact.destination)
    return (patient, "|".join(fields).rstrip("|"))


def _discharge_expected(fact: f.DischargeExpected, sender: Sender) -> Sequence[str]:
    return (*_of_visit(fact, sender), _expected(9, fact.expected_at, sender))


def _transfer_cancelled(fact: f.TransferCancelled, sender: Sender) -> Sequence[str]:
    # PV1-3 is where the patient is after all, PV1-6 where they were said to have gone (3.5.6).
    return (_patient(fact.person, sender), _visit(fact.visit, sender, fact.destination))


def _leave_started(fact: f.LeaveStarted, sender: Sender) -> Sequence[str]:
    return (*_of_visit(fact, sender), _expected(47, fact.expected_at, sender))


def _expected(number: int, at: datetime, sender: Sender) -> str:
    return str(Segment("PV2").put(number, timestamp(at, sender.zone)))


def _swapped(fact: f.Swapped, sender: Sender) -> Sequence[str]:
    segments = []
    for number, (person, visit, origin) in enumerate(
        zip(fact.persons, fact.visits, fact.origins, strict=True), 1
    ):
        segments.append(_patient(person, sender, str(number)))
        segments.append(_visit(visit, sender, origin, str(number)))
    return segments


def _person_updated(fact: f.PersonUpdated, sender: Sender) -> Sequence[str]:
    return (_patient(fact.person, sender), "PV1|1|N")


def _merged(fact: f.PersonsMerged, sender: Sender) -> Sequence[str]:
    given_up = components(fact.source, "", "", sender.patient_authority, "MR")
    return (_patient(fact.person, sender), str(Segment("MRG").put(1, given_up)))


def _bed_status(fact: f.BedStatusChanged, sender: Sender) -> Sequence[str]:
    return (str(Segment("NPU").put(1, location(fact.place)).put(2, fact.status)),)


_Body = Callable[..., Sequence[str]]
_MESSAGES: dict[type[f.Fact], tuple[str, str, _Body]] = {
    # fact: trigger event, message structure, segments after EVN
    f.Admitted: ("A01", "ADT_A01", _of_visit),
    f.Transferred: ("A02", "ADT_A02", _moved),
    f.Discharged: ("A03", "ADT_A03", _of_visit),
    f.Registered: ("A04", "ADT_A01", _of_visit),
    f.Preadmitted: ("A05", "ADT_A05", _preadmitted),
    f.ClassChanged: ("A06", "ADT_A06", _moved),
    f.VisitUpdated: ("A08", "ADT_A01", _of_visit),
    f.AdmissionCancelled: ("A11", "ADT_A09", _of_visit),
    f.TransferCancelled: ("A12", "ADT_A12", _transfer_cancelled),
    f.DischargeCancelled: ("A13", "ADT_A01", _of_visit),
    f.TransferExpected: ("A15", "ADT_A15", _transfer_expected),
    f.DischargeExpected: ("A16", "ADT_A16", _discharge_expected),
    f.Swapped: ("A17", "ADT_A17", _swapped),
    f.BedStatusChanged: ("A20", "ADT_A20", _bed_status),
    f.LeaveStarted: ("A21", "ADT_A21", _leave_started),
    f.LeaveEnded: ("A22", "ADT_A21", _of_visit),
    f.PersonUpdated: ("A31", "ADT_A05", _person_updated),
    f.PersonsMerged: ("A40", "ADT_A39", _merged),
}

CANCELS = (f.AdmissionCancelled, f.TransferCancelled, f.DischargeCancelled)
"""Facts that undo an earlier one."""


def trigger_of(fact: f.Fact) -> str:
    """The HL7 trigger event of a fact, such as A01."""
    return _MESSAGES[type(fact)][0]
