"""Journalled events told again: the inverse of `translate`, one ADT message per message received.

What is told is what the twin understood, in the names that the receiving system expects: its
assigning authorities, its unit codes, its time zone and character set. Translated again, the
message gives the same events. A message whose events have no row in the tables below, or state a
field that the tables do not know, is refused with the reason (`Untellable`): nothing that the twin
knows is left out without a word.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

from adapters.hl7v2.charsets import CODECS
from adapters.hl7v2.codes import CLASSES
from adapters.hl7v2.encode import SEGMENT_END, Segment, escape, location
from twin_core.events import (
    Admitted,
    BedStatusChanged,
    ClassChanged,
    Demographics,
    Discharged,
    EncounterEvent,
    EncounterUpdated,
    Event,
    EventCancelled,
    Instant,
    LeaveEnded,
    LeaveStarted,
    PatientDescribed,
    PatientsMerged,
    Planned,
    Registered,
    Text,
    Transferred,
    Visit,
)
from twin_core.identifiers import Identifier, Place

_CLEARED = '""'
_OWN_AUTHORITY = "urn:wardtwin:authority:"
_OID = "urn:oid:"
_CLASS_CODES = {meant: code for code, meant in reversed(CLASSES.items()) if meant}
"""v3 ActCode -> table 0004; a class without a code is sent as the ActCode it is."""
_SEXES = {"male": "M", "female": "F", "other": "O", "unknown": "U"}
_INDICATORS = {True: "Y", False: "N", None: _CLEARED, UNSET: ""}
_STRUCTURED_FROM = "2.3.1"
"""The first version whose MSH-9 names the message structure."""


class Untellable(Exception):
    """A message that cannot be told in HL7 v2, and why. The reason holds no patient's details."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A journalled message: what was received, and the events it became."""

    trigger_event: str
    """As received: `ADT^A01`."""
    sender: str
    """MSH-3|MSH-4 as received."""
    sent_at: datetime
    sequence: int = 0
    events: tuple[Event, ...] = ()


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How one receiving system is spoken to; the maps turn the twin's codes into that system's."""

    application: str = "WARDTWIN"
    facility: str = ""
    """MSH-4; where empty, the facility that the message is about."""
    receiving_application: str = ""
    receiving_facility: str = ""
    zone: ZoneInfo = ZoneInfo("UTC")
    version: str = "2.5.1"
    processing_id: str = "P"
    charset: str = "UNICODE UTF-8"
    accept_ack: str = ""
    """MSH-15, table 0155; empty for original mode."""
    application_ack: str = ""
    """MSH-16."""
    authorities: Mapping[str, str] = {}
    """Identifier system URI -> assigning authority, `NAME` or `NAME&OID&ISO`."""
    facilities: Mapping[str, str] = {}
    units: Mapping[str, str] = {}
    classes: Mapping[str, str] = {}
    """v3 ActCode -> PV1-2."""
    services: Mapping[str, str] = {}


def retell(said: Said, dialect: Dialect, control_id: str) -> bytes:
    """The ADT message that says what `said` meant, unframed, with `control_id` in MSH-10.

    Raises Untellable where HL7 v2, this module or the character set cannot say it.
    """
    _refuse_unknown_fields(said.events)
    described = tuple(e for e in said.events if isinstance(e, PatientDescribed))
    rest = said.events[len(described) :]
    if said.events[: len(described)] != described:
        raise Untellable("A patient is described behind another event.")
    trigger, body = _told(described, rest, said, dialect)
    recorded_at = described[0].occurred_at if described else rest[0].occurred_at
    text = SEGMENT_END.join(
        [_header(said, dialect, trigger, control_id), _evn(rest, trigger, recorded_at, dialect)]
        + [str(segment) for segment in body]
    )
    try:
        return (text + SEGMENT_END).encode(CODECS[dialect.charset])
    except UnicodeEncodeError:
        reason = f"The text has characters that {dialect.charset} does not have."
        raise Untellable(reason) from None


def trigger_of(said: Said) -> str:
    """The trigger event under which a message is told again, such as A01; Untellable if none."""
    described = tuple(e for e in said.events if isinstance(e, PatientDescribed))
    return _trigger(described, said.events[len(described) :], said)


def _trigger(described: Sequence[PatientDescribed], rest: Sequence[Event], said: Said) -> str:
    kinds = tuple(dict.fromkeys(_kind(event) for event in rest))
    triggers = TRIGGERS.get(kinds[0] if kinds else "", ()) if len(kinds) < 2 else ()
    if not said.events or not triggers:
        named = ", ".join(kinds) or said.trigger_event
        raise Untellable(f"No ADT message of ours says this: {named}.")
    received = said.trigger_event.partition("^")[2]
    return received if received in triggers else triggers[0]


def _kind(event: Event) -> str:
    """The name by which `TRIGGERS` knows an event: its type, and what it cancels or swaps."""
    if isinstance(event, EventCancelled):
        return f"EventCancelled {event.cancels}"
    if isinstance(event, Transferred) and event.swapped:
        return "Transferred swapped"
    return type(event).__name__


def _told(
    described: Sequence[PatientDescribed], rest: Sequence[Event], said: Said, dialect: Dialect
) -> tuple[str, list[Segment]]:
    trigger = _trigger(described, rest, said)
    if not rest:
        people = [_pid(who, dialect) for who in described]
        return trigger, [*people, Segment("PV1").put(1, "1").put(2, "N")]
    if isinstance(rest[0], BedStatusChanged):
        return trigger, [_npu(event, dialect) for event in rest if isinstance(event, type(rest[0]))]
    if isinstance(rest[0], PatientsMerged):
        return trigger, _merge_sets(described, rest, dialect)
    if len(described) != len(rest):
        raise Untellable("A visit's event comes without its patient.")
    segments: list[Segment] = []
    for number, (who, event) in enumerate(zip(described, rest, strict=True), 1):
        segments += _patient_and_visit(who, event, dialect, number)
    if trigger == "A31" and any(isinstance(e, EncounterEvent) and e.place for e in rest):
        trigger = "A08"  # an A31 says nothing of places
    return trigger, segments


def _patient_and_visit(
    who: PatientDescribed, event: Event, dialect: Dialect, number: int
) -> list[Segment]:
    if not isinstance(event, EncounterEvent) or event.patient != who.patient:
        raise Untellable("A visit's event is about another patient than the one described.")
    named, *prior = event.encounter
    pid, pv1 = _pid(who, dialect, number), _pv1(event, dialect, number)
    by_account = named == event.account
    if event.account is not None:
        pid.put(18, _cx(event.account, dialect))
    if not by_account:
        pv1.put(19, _cx(named, dialect))
    if not prior:
        return [pid, pv1]
    mrg = Segment("MRG").put(1, _cx(who.patient[0], dialect))
    for identifier in prior:
        mrg.put(3 if by_account and identifier.type == "AN" else 5, _cx(identifier, dialect))
    return [pid, mrg, pv1]


def _merge_sets(
    described: Sequence[PatientDescribed], merges: Sequence[Event], dialect: Dialect
) -> list[Segment]:
    """PID and MRG by turns: each survivor with the identifiers that were merged into it."""
    segments: list[Segment] = []
    told = 0
    for number, who in enumerate(described, 1):
        given_up = [
            merge.source
            for merge in merges
            if isinstance(merge, PatientsMerged) and merge.target in who.patient
        ]
        told += len(given_up)
        sources = "~".join(_cx(source, dialect) for source in given_up)
        segments += [_pid(who, dialect, number), Segment("MRG").put(1, sources)]
    if told != len(merges):
        raise Untellable("A merge names a patient whom the message does not describe.")
    return segments


# --- segments --------------------------------------------------------------------------------


def _header(said: Said, dialect: Dialect, trigger: str, control_id: str) -> str:
    kind = f"ADT^{trigger}"
    if _numbers(dialect.version) >= _numbers(_STRUCTURED_FROM):
        kind += f"^{STRUCTURES[trigger]}"
    facility = dialect.facility or _facility(said, dialect)
    msh = Segment("MSH").put(1, "^~\\&").text(2, dialect.application).text(3, facility)
    msh.text(4, dialect.receiving_application).text(5, dialect.receiving_facility)
    msh.put(6, dtm(said.sent_at, dialect.zone)).put(8, kind).text(9, control_id)
    msh.put(10, dialect.processing_id).put(11, dialect.version)
    if said.sequence:
        msh.put(12, str(said.sequence))
    msh.put(14, dialect.accept_ack).put(15, dialect.application_ack).put(17, dialect.charset)
    return str(msh)  # numbered one lower than the standard does: MSH-1 is the separator itself


def _facility(said: Said, dialect: Dialect) -> str:
    """The facility that the message is about, else the one that it came from."""
    for event in said.events:
        if isinstance(event, EncounterEvent):
            stated = event.visit.facility
            return _mapped(stated, dialect.facilities) if isinstance(stated, str) else ""
        if isinstance(event, BedStatusChanged):
            return _mapped(event.place.facility, dialect.facilities)
    return said.sender.partition("|")[2]


def _evn(rest: Sequence[Event], trigger: str, recorded_at: datetime, dialect: Dialect) -> str:
    """EVN-2 when it was recorded, EVN-6 when it happened; in a cancel when the cancelled event did
    (3.4.1.6)."""
    evn = Segment("EVN").put(1, trigger).put(2, dtm(recorded_at, dialect.zone))
    if rest:
        event = rest[0]
        at = event.cancelled_at if isinstance(event, EventCancelled) else event.occurred_at
        evn.put(6, "" if at is None else dtm(at, dialect.zone))
    return str(evn)


def _pid(who: PatientDescribed, dialect: Dialect, number: int = 1) -> Segment:
    known: Demographics = who.demographics
    identifiers = (*who.patient, *who.other_identifiers)
    pid = Segment("PID").put(1, str(number))
    pid.put(3, "~".join(_cx(identifier, dialect) for identifier in identifiers))
    pid.put(5, _name(known.family_name, known.given_name))
    birth_date = known.birth_date
    pid.put(7, _text(birth_date.replace("-", "") if isinstance(birth_date, str) else birth_date))
    pid.put(8, _coded(known.sex, _SEXES))
    if known.postal_code is not UNSET:
        pid.put(11, "^^^^" + _text(known.postal_code))
    return pid.put(29, _at(known.deceased_at, dialect)).put(30, _INDICATORS[known.deceased])


def _pv1(event: EncounterEvent, dialect: Dialect, number: int) -> Segment:
    visit: Visit = event.visit
    pv1 = Segment("PV1").put(1, str(number))
    own = dialect.classes
    pv1.put(2, _coded(visit.class_, own if visit.class_ in own else _CLASS_CODES))
    pv1.put(3, _pl(event.place, dialect))
    if isinstance(event, Transferred):
        pv1.put(6, _pl(event.origin, dialect))
    pv1.put(7, _text(visit.attending)).put(10, _coded(visit.service, dialect.services))
    pv1.put(14, _text(visit.admit_source)).put(36, _text(visit.disposition))
    pv1.put(44, _at(visit.admitted_at, dialect)).put(45, _at(visit.discharged_at, dialect))
    return pv1


def _npu(event: BedStatusChanged, dialect: Dialect) -> Segment:
    return Segment("NPU").put(1, _pl(event.place, dialect)).put(2, event.operational_status)


# --- fields ----------------------------------------------------------------------------------


def _text(stated: Text) -> str:
    """A text field: empty where nothing was said, two double quotes where it was cleared."""
    if isinstance(stated, UnsetType):
        return ""
    if stated is None:
        return _CLEARED
    return '\\X22\\"' if stated == _CLEARED else escape(stated)


def _coded(stated: Text, codes: Mapping[str, str]) -> str:
    return _text(_mapped(stated, codes) if isinstance(stated, str) else stated)


def _mapped(code: str, codes: Mapping[str, str]) -> str:
    return codes.get(code, code)


def _name(family: Text, given: Text) -> str:
    if family is UNSET and given is UNSET:
        return ""
    if family is None and given is None:
        return _CLEARED
    return f"{_text(family)}^{_text(given)}"


def _at(stated: Instant, dialect: Dialect) -> str:
    if isinstance(stated, UnsetType):
        return ""
    return _CLEARED if stated is None else dtm(stated, dialect.zone)


def _pl(place: Place, dialect: Dialect) -> str:
    if place.reference is not None:
        raise Untellable("A place is known by a FHIR reference only.")
    if not place:
        return ""
    unit, facility = dialect.units.get(place.unit), dialect.facilities.get(place.facility)
    return location(
        msgspec.structs.replace(
            place,
            unit=place.unit if unit is None else unit,
            facility=place.facility if facility is None else facility,
        )
    )


def _cx(identifier: Identifier, dialect: Dialect) -> str:
    authority = _authority(identifier.system, dialect)
    return f"{escape(identifier.value)}^^^{authority}^{escape(identifier.type)}".rstrip("^")


def _authority(system: str, dialect: Dialect) -> str:
    """An identifier system as an HD: by the receiver's own name for it, else by one that any
    system understands: the name it had in HL7, its OID, or its URI."""
    own = dialect.authorities.get(system)
    if own is not None:
        return "&".join(escape(part) for part in own.split("&"))
    if system.startswith(_OWN_AUTHORITY):
        return escape(system.removeprefix(_OWN_AUTHORITY))
    if system.startswith(_OID):
        return f"&{escape(system.removeprefix(_OID))}&ISO"
    return f"&{escape(system)}&URI"


@lru_cache(maxsize=20_000)
def dtm(at: datetime, zone: ZoneInfo) -> str:
    """An instant as DTM, exact to what it has of a second, with the offset of its local time."""
    local = at.astimezone(zone)
    fraction = f".{local.microsecond:06}".rstrip("0") if local.microsecond else ""
    return f"{local:%Y%m%d%H%M%S}{fraction}{local:%z}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


# --- what can be told ------------------------------------------------------------------------

TRIGGERS: dict[str, tuple[str, ...]] = {
    # what happened: the trigger events that say so, the usual one first
    "": ("A31", "A28"),
    "Admitted": ("A01",),
    "Transferred": ("A02",),
    "Discharged": ("A03",),
    "Registered": ("A04",),
    "Planned": ("A05",),
    "ClassChanged": ("A06", "A07"),
    "EncounterUpdated": ("A08", "A31"),
    "EventCancelled admission": ("A11",),
    "EventCancelled transfer": ("A12",),
    "EventCancelled discharge": ("A13",),
    "Transferred swapped": ("A17",),
    "BedStatusChanged": ("A20",),
    "LeaveStarted": ("A21",),
    "LeaveEnded": ("A22",),
    "PatientsMerged": ("A40",),
}
STRUCTURES: dict[str, str] = {
    # trigger event: message structure (MSH-9.3)
    **dict.fromkeys(("A01", "A04", "A08", "A13"), "ADT_A01"),
    "A02": "ADT_A02",
    "A03": "ADT_A03",
    **dict.fromkeys(("A05", "A28", "A31"), "ADT_A05"),
    **dict.fromkeys(("A06", "A07"), "ADT_A06"),
    "A11": "ADT_A09",
    "A12": "ADT_A12",
    "A17": "ADT_A17",
    "A20": "ADT_A20",
    **dict.fromkeys(("A21", "A22"), "ADT_A21"),
    "A40": "ADT_A39",
}

_OF_A_VISIT = frozenset(
    {"occurred_at", "encounter", "patient", "account", "entered_at", "visit", "place"}
)
TOLD_FIELDS: dict[type[Event], frozenset[str]] = {
    PatientDescribed: frozenset({"occurred_at", "patient", "demographics", "other_identifiers"}),
    PatientsMerged: frozenset({"occurred_at", "source", "target"}),
    BedStatusChanged: frozenset({"occurred_at", "place", "operational_status"}),
    **dict.fromkeys(
        (Admitted, Registered, Planned, Discharged, ClassChanged, LeaveStarted, LeaveEnded),
        _OF_A_VISIT,
    ),
    EncounterUpdated: _OF_A_VISIT,
    Transferred: _OF_A_VISIT | {"origin", "swapped"},
    EventCancelled: _OF_A_VISIT | {"cancels", "cancelled_at"},
}
"""The fields of each event that its message carries."""
_TOLD_PARTS: dict[type[msgspec.Struct], frozenset[str]] = {
    Demographics: frozenset(
        "birth_date sex deceased_at deceased family_name given_name postal_code".split()
    ),
    Visit: frozenset(
        "class_ service admit_source disposition admitted_at discharged_at attending"
        " facility".split()
    ),
}


@lru_cache(maxsize=200)
def _untold(kind: type[msgspec.Struct]) -> tuple[tuple[str, object], ...]:
    """The fields of an event or a part of one that no message carries, with their defaults."""
    told = TOLD_FIELDS.get(kind) if issubclass(kind, Event) else _TOLD_PARTS[kind]
    if told is None:
        raise Untellable(f"No ADT message of ours says this: {kind.__name__}.")
    return tuple(
        (field.name, field.default)
        for field in msgspec.structs.fields(kind)
        if field.name not in told
    )


def _refuse_unknown_fields(events: Sequence[Event]) -> None:
    for event in events:
        parts: list[msgspec.Struct] = [event]
        if isinstance(event, PatientDescribed):
            parts.append(event.demographics)
        elif isinstance(event, EncounterEvent):
            parts.append(event.visit)
        for part in parts:
            for name, default in _untold(type(part)):
                if getattr(part, name) != default:
                    raise Untellable(f"No ADT message of ours carries {name} of {_kind(event)}.")
