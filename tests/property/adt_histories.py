"""Histories of one encounter, from textbook courses to nonsense, and the twin's fold of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from adt_oracle import Course, Message, Stay
from adt_plans_oracle import Plan, Track
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import asdict

from twin_core.events import (
    AdmissionPending,
    Admitted,
    Arrived,
    AttendingChanged,
    Cancelled,
    ClassChanged,
    ConsultantsChanged,
    Departed,
    Discharged,
    DischargePending,
    EncounterEvent,
    EncounterUpdated,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    Movement,
    Planned,
    Registered,
    TransferPending,
    Transferred,
    Visit,
    VisitPurged,
)
from twin_core.identifiers import NOWHERE, Identifier, Place
from twin_core.settings import PrecedenceSettings
from twin_core.store.facts import Fact, natural, order_of
from twin_core.store.fold.encounter import fold_encounter
from twin_core.store.fold.rows import ResolvedPlace, Resolver
from twin_core.store.tables import BY_NAME

START = datetime(2026, 3, 28, 20, tzinfo=UTC)
MRN, VISIT = Identifier("urn:mrn", "1", "MR"), Identifier("urn:visit", "V1", "VN")
BEDS = (Place("H", "ICU", "1", "A"), Place("H", "ICU", "1", "B"), Place("H", "MED", "7", "1"))
UNIT_ONLY = Place("H", "MED")
PLACES = (*BEDS, *BEDS, UNIT_ONLY, NOWHERE)
KINDS = (
    Admitted,
    Registered,
    Planned,
    Transferred,
    Transferred,
    Discharged,
    ClassChanged,
    LeaveStarted,
    LeaveEnded,
    EncounterUpdated,
    EventCancelled,
    EventCancelled,
    EventCancelled,
    "plan",
    "plan",
    "track",
    "doctor",
)
FURTHER = {
    "plan": (Planned, AdmissionPending, TransferPending, DischargePending, LeaveStarted),
    "track": (Departed, Arrived),
    "doctor": (AttendingChanged, ConsultantsChanged),
}
BASIC = (Cancelled.ADMISSION, Cancelled.TRANSFER, Cancelled.DISCHARGE)
CANCELS = (*BASIC, *BASIC, *Cancelled)


def hours(n: float) -> datetime:
    return START + timedelta(hours=n)


@st.composite
def messages(
    draw: st.DrawFn, control: int, encounter: Identifier = VISIT, patient: Identifier = MRN
) -> Message:
    """One message of an encounter, sensible or not."""
    at = hours(draw(st.integers(0, 12)))
    entered = at + timedelta(minutes=draw(st.sampled_from([0, 0, 0, 5, 150])))
    sent = entered + timedelta(seconds=draw(st.sampled_from([0, 0, 20])))
    kind = draw(st.sampled_from(KINDS))
    kind = draw(st.sampled_from(FURTHER[kind])) if isinstance(kind, str) else kind
    stated = draw(st.sampled_from([UNSET, UNSET, hours(0), hours(3)]))
    common = {
        "occurred_at": at,
        "entered_at": entered,
        "encounter": (encounter,),
        "patient": (patient,),
        "visit": Visit(
            class_=draw(st.sampled_from([UNSET, "IMP", "EMER"])),
            admitted_at=stated,
            attending=draw(st.sampled_from([UNSET, UNSET, "D1", "D2", None])),
            consulting=draw(st.sampled_from([UNSET, UNSET, UNSET, ("D3", "D4"), None])),
        ),
        "place": draw(st.sampled_from(PLACES)),
    }
    if draw(st.integers(0, 40)) == 40:
        purge = {**common, "occurred_at": entered, "visit": Visit(), "place": NOWHERE}
        return Message(VisitPurged(**purge), sent, control)
    if draw(st.integers(0, 5)) == 5:
        names = draw(st.sampled_from([("M1",), ("M2",), ("M1", "M3"), ("M3",)]))
        common["movement"] = Movement(identifiers=names, corrects=draw(st.booleans()))
    if kind is EventCancelled:
        common["occurred_at"] = entered
        event: EncounterEvent = EventCancelled(
            **common,
            cancels=draw(st.sampled_from(CANCELS)),
            cancelled_at=draw(st.sampled_from([None, None, hours(draw(st.integers(0, 12)))])),
            destination=draw(st.sampled_from((NOWHERE, NOWHERE, *PLACES))),
        )
    elif kind is Transferred:
        event = Transferred(
            **common, origin=draw(st.sampled_from(PLACES)), swapped=draw(st.booleans())
        )
    else:
        event = kind(**common, **draw(further_fields(kind)))
    return Message(event, sent, control)


def further_fields(kind: type[EncounterEvent]) -> st.SearchStrategy[dict[str, object]]:
    """Fields that only some kinds of events have."""
    expected = {"expected_at": st.sampled_from([None, hours(5), hours(9)])}
    of = {
        **dict.fromkeys((Planned, AdmissionPending, DischargePending), expected),
        TransferPending: {"destination": st.sampled_from(PLACES), **expected},
        Departed: {"destination": st.sampled_from(PLACES), "temporary": st.booleans()},
        Arrived: {"destination": st.sampled_from(PLACES), "temporary": st.booleans()},
        LeaveStarted: {"expected_return_at": st.sampled_from([None, hours(9)])},
    }
    return st.fixed_dictionaries(of.get(kind, {}))


@st.composite
def histories(draw: st.DrawFn, longest: int = 20) -> list[Message]:
    """What several messages said of one encounter, in no particular order."""
    count = draw(st.integers(1, longest))
    return [draw(messages(n)) for n in range(count)]


def fact(message: Message) -> Fact:
    order = order_of(
        message.event,
        sent_at=message.sent_at,
        sequence=0,
        control=natural(str(message.control)),
        digest=message.control.to_bytes(16, "big"),
        ordinal=message.ordinal,
    )
    return Fact(order, message.event, message.control, message.sent_at, "hl7v2")


RESOLVER = Resolver(
    place=lambda p: ResolvedPlace(p.facility, p.unit, p.room, p.bed, f"{p.unit}/{p.room}/{p.bed}"),
    patient=lambda identifiers: (identifiers[0].value, True) if identifiers else (None, True),
    encounter=lambda identifier: (identifier.value, True),
    location=lambda identifier: (identifier.value, True),
    device=lambda identifier: identifier.value,
)


def folded(said: Sequence[Message]) -> dict[str, list[dict[str, object]]]:
    """What the twin's fold makes of the messages, by entity."""
    facts = sorted(map(fact, said))
    identifiers = sorted({i for m in said for i in m.event.encounter}, key=lambda i: i.key)
    rows = fold_encounter(facts, identifiers, RESOLVER, PrecedenceSettings())
    found: dict[str, list[dict[str, object]]] = {}
    for entity, cells in rows:
        names = [column.name for column in BY_NAME[entity].columns]
        found.setdefault(entity, []).append(dict(zip(names, cells, strict=True)))
    return found


def twin_course(said: Sequence[Message]) -> Course:
    """The fold's answer in the oracle's words."""
    rows = folded(said)
    (encounter,) = rows["encounter"]
    stays = [
        Stay(
            Place(*(str(s[name] or "") for name in ("facility", "unit", "room", "bed"))),
            s["from_at"],
            s["to_at"],
        )
        for s in rows.get("stay", [])
    ]
    return Course(
        attending=encounter["attending"],
        consulting=tuple(row["practitioner"] for row in rows.get("encounter_consultant", [])),
        stays=tuple(sorted(stays, key=lambda s: s.from_at)),
        status=encounter["status"],
        class_=encounter["class"],
        admitted_at=encounter["admitted_at"],
        discharged_at=encounter["discharged_at"],
    )


def place_of(row: dict[str, object]) -> Place:
    """Where a row is, as a place."""
    return Place(*(str(row[name] or "") for name in ("facility", "unit", "room", "bed")))


def twin_plans(said: Sequence[Message]) -> list[Plan]:
    """The fold's plans in the oracle's words."""
    found = [
        Plan(
            row["kind"],
            row["stated_at"],
            place_of(row),
            row["status"],
            None if row["status"] == "lapsed" else row["ended_at"],
        )
        for row in folded(said).get("encounter_plan", [])
    ]
    return sorted(found, key=repr)


def twin_tracks(said: Sequence[Message]) -> list[Track]:
    """The fold's tracking in the oracle's words."""
    return [
        Track(row["status"], row["temporary"], place_of(row), row["from_at"], row["to_at"])
        for row in folded(said).get("encounter_tracking", [])
    ]


def drawn(said: Sequence[Message]) -> str:
    """The messages in order, one line each, to read a failing example by."""
    lines = []
    for order, event, number, *_ in sorted(map(fact, said)):
        what = type(event).__name__ + str(getattr(event, "cancels", ""))
        of = getattr(event, "cancelled_at", None)
        said_of_visit = {name: value for name, value in asdict(event.visit).items() if value}
        lines.append(
            f"{order[0]:%d %H:%M} entered {event.entered_at:%d %H:%M} #{number} {what} "
            f"{_spot(event.place)} from {_spot(getattr(event, 'origin', NOWHERE))} "
            f"to {_spot(getattr(event, 'destination', NOWHERE))} "
            f"{f'EVN-6 {of:%d %H:%M}' if of else ''} {event.movement or ''} {said_of_visit}"
        )
    return "\n".join(lines)


def _spot(place: Place) -> str:
    return "/".join((place.unit, place.room, place.bed))
