"""What PID, PV1, EVN and MSH say, read into the words of the twin.

Field names of the standard stand beside each position. A field that a message leaves empty is
UNSET; one that holds two double quotes is None (cleared).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from adapters.hl7v2.codes import ACT_CODES, CLASSES, GENDERS, YES_NO
from adapters.hl7v2.codings import Vocabulary
from adapters.hl7v2.conventions import Conventions, Lately, Sender, remembered
from adapters.hl7v2.er7 import Message
from adapters.hl7v2.refusal import REQUIRED_FIELD, SEGMENT_SEQUENCE, Refused, content_fault
from adapters.hl7v2.timestamps import (
    NO_TIME_ZONE,
    WHOLE,
    Moment,
    Notes,
    iso_date,
    within_unit,
)
from twin_core.events import Demographics, Instant, Movement, NotedFinding, Text, Visit
from twin_core.identifiers import UNIDENTIFYING_TYPES, Identifier

CLEARED = '""'
SKEW = timedelta(minutes=5)
"""By how much a sender's clock may be ahead."""
_YEARS_AHEAD = 10
"""How far ahead anything is planned."""
_BIRTHS = 40_000
"""How many dates of birth are remembered: about as many as there are."""

Segment = list[str]
Read = TypeVar("Read")


class Person(msgspec.Struct, frozen=True, gc=False):
    """Who a PID is about: connecting identifiers (the primary one first), others, description."""

    identifiers: tuple[Identifier, ...]
    others: tuple[Identifier, ...]
    demographics: Demographics


class Patient(msgspec.Struct, frozen=True, gc=False):
    """What a PID says of who the message is about, and under which account."""

    person: Person
    account: str
    """PID-18 as sent."""
    sender: Sender | None = None
    """Whose words these are, where the same line means the same in the sender's next message."""
    born: int = 0
    """Year of birth, 0 where none is told."""


_PATIENTS: Lately[str, Patient] = Lately(2_000)
"""Patients by their PID as sent: messages of one visit mostly repeat it letter for letter. Of all
feeds together, or a hospital with many feeds would need a lot of memory."""


class Reading:
    """One message in the middle of being translated, with what was noted on the way."""

    __slots__ = (
        "_pv1",
        "conventions",
        "event_at",
        "furthest_year",
        "latest",
        "message",
        "movement",
        "notes",
        "recorded_at",
        "sender",
        "sent_at",
    )

    def __init__(self, message: Message, conventions: Conventions, received_at: datetime) -> None:
        self.message = message
        self.conventions = conventions
        self.sender = conventions.sender(message)
        self._pv1: Segment | None = None
        self.notes: Notes = {}
        self.furthest_year = received_at.year + _YEARS_AHEAD
        sent = self.moment(message.header[6], "MSH^1^7")  # date and time of message
        self.sent_at = received_at if sent is None else sent.at
        self.latest = max(received_at, self.sent_at) + SKEW
        """What is later than this has not happened yet."""
        if self.sent_at - received_at > SKEW:
            detail = "MSH-7 is more than 5 minutes ahead of the time of receipt."
            self.note("clock_skew", detail)
        if message.guessed_codec:
            self.note(
                "guessed_charset", "MSH-18 is empty and the text is not in the feed's charset."
            )
        for kind, detail in message.oddities:
            self.note(kind, detail)
        evn = message.segment("EVN")
        recorded = occurred = None
        if evn is not None:
            recorded = self.moment(evn[2], "EVN^1^2")  # recorded date/time
            occurred = self.moment(evn[6], "EVN^1^6")  # event occurred
        self.recorded_at = self.sent_at
        """EVN-2, else MSH-7."""
        if recorded is not None:
            self.recorded_at = within_unit(recorded, self.sent_at)
        self.event_at = None if occurred is None else within_unit(occurred, self.recorded_at)
        """EVN-6 where the message has one; ZBE-2 where it states a movement."""
        self.movement: Movement | None = None
        """The movement that the message states by name, if it does."""

    def vocabulary(self) -> Vocabulary:
        """The codes, units and devices of who sent the message."""
        known = self.sender.vocabulary
        if known is not None:
            return known.of(self.message)
        found = self.sender.vocabulary = self.conventions.terms.of(self.message)
        return found

    def is_remembered(self, part: str) -> bool:
        """Whether a part of the message means the same in any other message of its sender."""
        return self.message.is_standard and "\\" not in part

    def unnoted(self, read: Callable[[], Read]) -> tuple[Read, bool]:
        """What is read, and whether anything was odd about it, so that it must be read anew."""
        before, self.notes = self.notes, {}
        try:
            found = read()
        finally:
            noted, self.notes = self.notes, before
            before.update(noted)
        return found, bool(noted)

    def note(self, kind: str, detail: str) -> None:
        """Note a finding once."""
        self.notes[kind + detail] = NotedFinding(kind=kind, detail=detail)

    def moment(self, field: str, where: str) -> Moment | None:
        """The instant of a timestamp field; None where it is empty or cleared."""
        if not field:
            return None
        calendar = self.conventions.calendar
        # Most times of a message and its neighbours are the same: sent, recorded, admitted.
        recent = calendar.recent.get(field)
        if recent is not None:
            if calendar.assumes_utc:
                self.notes["no_time_zone"] = NO_TIME_ZONE
            return recent
        exact = calendar.exact.get(field)
        if exact is not None:
            return exact
        is_whole = WHOLE.fullmatch(field)
        if not is_whole and not field.isalnum():
            field = self.message.first_repetition(field)
            field = field.partition(self.message.delimiters.component)[0].strip()
            if not field or field == CLEARED:
                return None
        try:
            if is_whole:
                moment = calendar.whole(field, where)
            else:
                moment = calendar.moment(field, where, self.notes)
        except Refused:
            if not self.conventions.lenient:
                raise
            self.note("invalid_time", f"{where} is not a possible date and time; read as empty.")
            return None
        if moment.at.year > self.furthest_year:
            calendar.forget(field)  # or the next message that has it would not be noted
            self.note("future_time", f"{where} is more than {_YEARS_AHEAD} years ahead.")
        return moment

    def note_future(self, what: str) -> None:
        """Note that something which is said to have happened is still to come."""
        detail = f"{what} is dated more than 5 minutes ahead of message and receipt."
        self.note("future_time", detail)

    def segment(self, name: str) -> Segment:
        """The first segment of that name; a message without it is refused."""
        fields = self.message.segment(name)
        if fields is None:
            raise content_fault(
                f"{name}^1", SEGMENT_SEQUENCE, f"The message has no {name} segment; send one."
            )
        return fields

    def pid(self) -> Segment:
        """The PID of a message about one patient; without one it is refused.

        A second one is not read, with a finding: events of two patients have translators that ask
        for all of them.
        """
        if "PID" in self.message.shape.repeated:
            detail = "The event is about one patient; every PID after the first is left out."
            self.note("unexpected_repetition", detail)
        return self.segment("PID")

    def patient(self) -> Patient:
        """Who the message is about; without a PID it is refused, and so it is without PID-3."""
        shape = self.message.shape
        at = shape.first.get("PID")
        line = "" if at is None or "PID" in shape.repeated else self.message.lines[at]
        known = _PATIENTS.get(line)
        # A birth of this year may be one that is yet to come, which is noted.
        if known is not None and known.sender is self.sender and known.born < self.latest.year:
            return known
        pid = self.pid()
        who, is_odd = self.unnoted(lambda: person(self, pid))
        patient = Patient(who, pid[18])
        if line and not (is_odd or pid[29] or pid[30]) and self.is_remembered(line):
            date = who.demographics.birth_date
            born = int(date[:4]) if isinstance(date, str) else 0
            _PATIENTS.put(line, Patient(who, pid[18], self.sender, born))
        return patient

    def pv1(self) -> Segment | None:
        """The first PV1, if there is one; what asks for it leaves it as it is."""
        if self._pv1 is None:
            self._pv1 = self.message.segment("PV1")
        return self._pv1

    def split(self, line: str) -> Segment:
        """Any segment of the message, split into fields."""
        return self.message.fields(line)

    def stated(self, part: str) -> Text:
        """A component's text: UNSET where empty, None where cleared."""
        if not part:
            return UNSET
        if part == CLEARED:
            return None
        return self.message.text(part)

    def stated_code(self, field: str) -> Text:
        """A coded field's first component, without blanks around it."""
        if field.isalnum():
            return field
        if not field:
            return UNSET
        code = self.message.code(field)
        return None if code == CLEARED else code or UNSET


def person(reading: Reading, pid: Segment, sequence: int = 1) -> Person:
    """Who the PID is about. Refused where PID-3 names nobody."""
    identifiers, others = patient_identifiers(reading, pid[3])
    if not identifiers:
        raise content_fault(
            f"PID^{sequence}^3",
            REQUIRED_FIELD,
            "The patient has no identifier that could connect records; send one in PID-3.",
        )
    return Person(identifiers, others, demographics(reading, pid, sequence))


def patient_identifiers(
    reading: Reading, field: str, untyped: str = "MR"
) -> tuple[tuple[Identifier, ...], tuple[Identifier, ...]]:
    """The identifiers of a CX field that connect records, the primary one first; and the others.

    `untyped` is the type of those that the field gives none.
    """
    if not field or field == CLEARED:
        return (), ()
    message, known = reading.message, reading.sender.patients
    component = message.delimiters.component
    connecting: list[Identifier] = []
    others: list[Identifier] = []
    for sent in field.split(message.delimiters.repetition):
        value, _, rest = sent.partition(component)
        if not value.isalnum():
            value = message.text(value).strip()
            if not value or value == CLEARED:
                continue
        system, kind = known.get(rest) or _issued(reading, rest, untyped)
        identifier = Identifier(system, value, kind)
        (others if kind in UNIDENTIFYING_TYPES else connecting).append(identifier)
    if len(connecting) > 1 and connecting[0].type != "MR":
        primary = _primary(connecting)
        connecting = [primary, *(i for i in connecting if i is not primary)]
    return tuple(connecting), tuple(others)


def _issued(reading: Reading, rest: str, untyped: str) -> tuple[str, str]:
    """System and type of an identifier, by what follows its number in a CX field."""
    message = reading.message
    _, _, authority, kind = [*rest.split(message.delimiters.component, 4), "", "", "", ""][:4]
    stated = message.text(kind).strip()
    kind = stated or untyped
    issued = reading.conventions.system(message, authority, kind), kind
    if stated and reading.is_remembered(rest):  # where none is stated it is the field that says
        remembered(reading.sender.patients, rest, issued)
    return issued


def _primary(identifiers: list[Identifier]) -> Identifier:
    for kind in ("MR", "PI"):
        for identifier in identifiers:
            if identifier.type == kind:
                return identifier
    return identifiers[0]


def demographics(reading: Reading, pid: Segment, sequence: int) -> Demographics:
    """What the PID says of the person besides identifiers."""
    family, given = _name(reading, pid[5])  # patient name
    birth_date = reading.stated_code(pid[7])  # date/time of birth
    if isinstance(birth_date, str):
        birth_date = _birth_date(reading, birth_date, f"PID^{sequence}^7")
    postal_code = _postal_code(reading, pid[11])  # patient address
    sex: Text = GENDERS.get(pid[8], UNSET)  # administrative sex
    if sex is UNSET and pid[8]:
        sex = _coded(reading, pid[8], GENDERS, f"PID^{sequence}^8")
    if not (pid[29] or pid[30]):
        return Demographics(
            birth_date=birth_date,
            sex=sex,
            family_name=family,
            given_name=given,
            postal_code=postal_code,
        )
    deceased, deceased_at = _death(reading, pid, sequence)
    return Demographics(
        birth_date=birth_date,
        sex=sex,
        family_name=family,
        given_name=given,
        postal_code=postal_code,
        deceased=deceased,
        deceased_at=deceased_at,
    )


def _birth_date(reading: Reading, text: str, where: str) -> Text:
    try:
        births = reading.conventions.births
        date = births.get(text) or remembered(births, text, iso_date(text, where), _BIRTHS)
        # Hardly anybody was born this year: the rest of the day is compared only then.
        if date[:4] >= str(reading.latest.year):
            if date > reading.latest.date().isoformat()[: len(date)]:
                reading.note_future(where)
        return date
    except Refused:
        if not reading.conventions.lenient:
            raise
    reading.note("invalid_time", f"{where} is not a possible date; read as empty.")
    return UNSET


def _name(reading: Reading, field: str) -> tuple[Text, Text]:
    if not field:
        return UNSET, UNSET
    if field == CLEARED:
        return None, None
    marks = reading.message.delimiters
    if marks.repetition in field:
        field = field.partition(marks.repetition)[0]
    family, _, rest = field.partition(marks.component)
    given = rest.partition(marks.component)[0]
    if marks.subcomponent in family:
        family = family.partition(marks.subcomponent)[0]
    return (
        family if family.isalnum() else reading.stated(family),
        given if given.isalnum() else reading.stated(given),
    )


def _postal_code(reading: Reading, field: str) -> Text:
    if not field:
        return UNSET
    if field == CLEARED:
        return None
    marks = reading.message.delimiters
    if marks.repetition in field:
        field = field.partition(marks.repetition)[0]
    parts = field.split(marks.component, 5)
    return reading.stated(parts[4].strip()) if len(parts) > 4 else UNSET


def _death(
    reading: Reading, pid: Segment, sequence: int
) -> tuple[bool | UnsetType | None, Instant]:
    """Whether and when the patient died (PID-30 death indicator, PID-29 date and time)."""
    died = reading.moment(pid[29], f"PID^{sequence}^29")
    indicator = reading.message.code(pid[30]).upper()
    deceased: bool | UnsetType | None = UNSET
    if indicator == CLEARED:
        deceased = None
    elif indicator in YES_NO:
        deceased = YES_NO[indicator]
    elif indicator:
        reading.note("unknown_code", f"PID^{sequence}^30 is no code of table 0136.")
    if died is not None:
        if died.at > reading.latest:
            reading.note_future(f"PID^{sequence}^29")
        return (True if deceased is UNSET else deceased), died.at
    return deceased, None if pid[29] == CLEARED else UNSET


def _coded(reading: Reading, field: str, table: dict[str, str], where: str) -> Text:
    code = reading.stated_code(field)
    if not isinstance(code, str):
        return code
    meant = table.get(code) or table.get(code.upper())
    if meant is None:
        reading.note("unknown_code", f"{where} is no code of its HL7 table.")
        return UNSET
    return meant


def encounter_class(reading: Reading, field: str, sequence: int = 1) -> Text:
    """PV1-2 as a v3 ActCode: the feed's own codes first, then table 0004, then ActCodes as sent."""
    code = reading.stated_code(field)
    if not isinstance(code, str):
        return code
    own = reading.conventions.settings.classes
    if code in own:
        return own[code]
    if code in CLASSES:
        return CLASSES[code] or UNSET
    if code in ACT_CODES:
        return code
    reading.note("unknown_code", f"PV1^{sequence}^2 is no code of table 0004.")
    return UNSET


def visit(
    reading: Reading,
    pv1: Segment,
    *,
    admitted_at: Instant = UNSET,
    discharged_at: Instant = UNSET,
    facility: Text = UNSET,
    sequence: int = 1,
) -> Visit:
    """What the PV1 says of the visit besides where the patient is."""
    # The same few doctors, services and classes come together in most visits of a feed.
    key = (pv1[2], pv1[7], pv1[9], pv1[10], pv1[14], pv1[36])
    known: dict[tuple[str, ...], Visit] = reading.conventions.visits
    said = known.get(key) if reading.message.is_standard else None
    if said is None:
        read, is_odd = reading.unnoted(lambda: _said_of_visit(reading, pv1, sequence))
        if not is_odd and reading.is_remembered("".join(key)):
            remembered(known, key, read)
        said = read
    return replace(said, admitted_at=admitted_at, discharged_at=discharged_at, facility=facility)


def _said_of_visit(reading: Reading, pv1: Segment, sequence: int) -> Visit:
    service = reading.stated_code(pv1[10])  # hospital service
    if isinstance(service, str):
        service = reading.conventions.settings.services.get(service, service)
    return Visit(
        class_=encounter_class(reading, pv1[2], sequence),  # patient class
        service=service,
        admit_source=reading.stated_code(pv1[14]),
        disposition=reading.stated_code(pv1[36]),  # discharge disposition
        attending=reading.stated_code(pv1[7]),  # attending doctor
        consulting=_doctors(reading, pv1[9]) if pv1[9] else UNSET,  # consulting doctors
    )


def _doctors(reading: Reading, field: str) -> tuple[str, ...] | UnsetType | None:
    """The identifiers of the doctors that a repeating field names."""
    if field == CLEARED:
        return None
    message = reading.message
    sent = field.split(message.delimiters.repetition)
    named = tuple(dict.fromkeys(code for one in sent if (code := message.code(one))))
    return named or UNSET
