"""What the twin understood, told again in HL7 v2, is understood in the same way."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from adapters.hl7v2 import translate
from adapters.hl7v2.retell import Dialect, Said, Untellable, identities, retell
from adapters.hl7v2.retell.fields import dtm
from adapters.hl7v2.retell.tables import RESTATED, STRUCTURES, TOLD_FIELDS, TRIGGERS, untold_fields
from adapters.hl7v2.triggers import TRANSLATORS
from twin_core.events import (
    AdmissionPending,
    Admitted,
    Arrived,
    AttendingChanged,
    BedStatusChanged,
    Cancelled,
    ClassChanged,
    ConsultantsChanged,
    Demographics,
    Departed,
    Discharged,
    DischargePending,
    EncounterUpdated,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    MilestoneReached,
    Movement,
    ObservationsReported,
    PatientDescribed,
    PatientsMerged,
    Planned,
    Registered,
    Rejection,
    TransferPending,
    Transferred,
    Translation,
    Visit,
    VisitPurged,
)
from twin_core.identifiers import NOWHERE, Identifier, Place
from twin_core.settings import FeedSettings, LimitSettings

PAIRS = Path(__file__).parents[2] / "fixtures" / "hl7v2"
NAMES = sorted(path.stem for path in PAIRS.glob("*.hl7"))
RECEIVED_AT = datetime(2026, 11, 1, 8, 5, 2, tzinfo=UTC)
MRN, VISIT = "urn:wardtwin:authority:GENERAL", "https://general.example/visits"

CANNOT_BE_TOLD = {
    "r01_device_observations": "waveform",
    "r01_narrative_and_attachment": "narrative",
    "r40_alarm_ends": "besides results",
    "r40_alarm_starts": "besides results",
    "r40_flags_of_obx_8": "DeviceEventReported",
    "r41_alarm_delivered": "DeviceEventReported",
    "r42_pump_started": "besides results",
    "s23_blocked": "CareStated",
    "s24_opened": "CareStated",
}
"""Pairs that change the twin and that no encoder tells, and why: a destination parks such messages,
with the reason, or relays the bytes (`untold`). Every trigger event of ADT and SIU that changes the
twin has a pair that is told, but for time slots, which are about nobody."""


def understood(
    raw: bytes, feed: FeedSettings | None = None, name: str = "there"
) -> Translation | Rejection:
    return translate(
        raw,
        feed=name,
        settings=feed or FeedSettings(),
        limits=LimitSettings(),
        received_at=RECEIVED_AT,
    )


def said(heard: Translation) -> Said:
    envelope = heard.envelope
    return Said(
        trigger_event=envelope.trigger_event,
        sender=envelope.sender,
        sent_at=envelope.sent_at,
        sequence=envelope.sequence,
        events=heard.events,
    )


def pair(name: str) -> Translation | Rejection:
    expected = json.loads((PAIRS / f"{name}.events.json").read_text("utf-8"))
    feed = FeedSettings.model_validate(expected.get("feed", {}))
    return understood((PAIRS / f"{name}.hl7").read_bytes(), feed, "here")


def without_source(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """The events; of results without who reported them, which is the teller's own name again."""
    return tuple(
        msgspec.structs.replace(one, source="") if isinstance(one, ObservationsReported) else one
        for one in events
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_every_pair_told_again_means_the_same(name: str, zone: str) -> None:
    heard = pair(name)
    if isinstance(heard, Rejection):
        return
    if not heard.events or name in CANNOT_BE_TOLD:
        with pytest.raises(Untellable, match=CANNOT_BE_TOLD.get(name)):
            retell(said(heard), Dialect(), "7")
        return
    raw = retell(said(heard), Dialect(zone=ZoneInfo(zone)), "7")
    again = understood(raw)
    assert isinstance(again, Translation), again
    assert without_source(again.events) == without_source(heard.events)
    assert set(again.findings) <= set(heard.findings)
    assert again.envelope.sent_at == heard.envelope.sent_at
    assert again.envelope.sequence == heard.envelope.sequence
    assert again.envelope.control_id == "7"


def told_pairs() -> dict[str, str]:
    """The trigger events of the pairs that are told, as received, and as they are told."""
    told = {}
    for name in NAMES:
        heard = pair(name)
        if isinstance(heard, Translation) and heard.events:
            try:
                raw = retell(said(heard), Dialect(), "7")
            except Untellable:
                continue
            told[heard.envelope.trigger_event] = raw.split(b"|")[8].split(b"^")[1].decode()
    return told


def test_every_trigger_that_changes_the_twin_is_told() -> None:
    told = told_pairs()
    events = {event for event in TRANSLATORS if event.startswith(("ADT^", "SIU^"))}
    assert events - {"SIU^S23", "SIU^S24"} <= set(told)
    assert {"ORU^R01", "ORU^R30", "ORU^R31", "ORU^R32"} <= set(told)
    assert {trigger for event, trigger in told.items() if event[:3] == "ADT"} <= set(STRUCTURES)
    assert {trigger for event, trigger in told.items() if event[:3] == "ORU"} == {"R01"}


def test_every_trigger_that_can_be_told_has_its_structure() -> None:
    names = {name for triggers in TRIGGERS.values() for name in triggers}
    names |= {name for triggers in identities.TRIGGERS.values() for name in triggers}
    assert names | {RESTATED} == set(STRUCTURES)


# --- any event -------------------------------------------------------------------------------

words = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1
).filter(lambda text: text == text.strip() and text.strip())
named = words.filter(lambda text: text != '""')
instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.one_of(st.just(UNSET), st.none(), words)
times = st.one_of(st.just(UNSET), st.none(), instants)
classes = st.sampled_from([UNSET, None, "IMP", "EMER", "AMB", "PRENC", "OBSENC", "SS", "ACUTE"])
places = st.builds(
    Place, named, named, st.one_of(st.just(""), named), st.one_of(st.just(""), named)
)
systems = st.one_of(
    st.just("urn:oid:1.2.276.0.76"),
    named.map(lambda name: f"https://general.example/{name}"),
    named.map(lambda name: f"urn:wardtwin:authority:{name}"),
)
patient_numbers = st.builds(Identifier, systems, named, st.sampled_from(["MR", "PI", "PT"]))
visit_numbers = st.builds(Identifier, systems, named, st.sampled_from(["VN", "AN", "start"]))
birth_dates = st.one_of(
    st.just(UNSET), st.none(), st.sampled_from(["1950", "1950-02", "1950-02-03"])
)


@st.composite
def people(draw: st.DrawFn) -> Demographics:
    deceased_at = draw(times)
    deceased = draw(st.sampled_from([UNSET, None, True, False]))
    if isinstance(deceased_at, datetime) and deceased is UNSET:
        deceased = True  # whoever has died at an instant has died
    return Demographics(
        birth_date=draw(birth_dates),
        sex=draw(st.sampled_from([UNSET, None, "male", "female", "other", "unknown"])),
        deceased=deceased,
        deceased_at=deceased_at,
        family_name=draw(texts),
        given_name=draw(texts),
        postal_code=draw(texts),
    )


OWN_TIMES = {Admitted: "admitted_at", Registered: "admitted_at", Discharged: "discharged_at"}
SAME_AS_RECORDED = (EventCancelled, VisitPurged)
KINDS = (
    *(Admitted, Registered, Planned, Transferred, Discharged, ClassChanged),
    *(AdmissionPending, TransferPending, DischargePending, Departed, Arrived),
    *(LeaveStarted, LeaveEnded, AttendingChanged, ConsultantsChanged),
    *(EncounterUpdated, VisitPurged, EventCancelled, EventCancelled, EventCancelled),
)
NO_MOVEMENTS = (EncounterUpdated, VisitPurged)
BY_ZBE_ONLY = (Cancelled.CLASS_CHANGE,)
DATED_BY_THEMSELVES = (Cancelled.LEAVE, Cancelled.RETURN)
movements = st.builds(
    Movement,
    identifiers=st.lists(
        st.tuples(systems, named).map("|".join), min_size=1, max_size=3, unique=True
    ).map(tuple),
    corrects=st.booleans(),
)
somewhere = st.one_of(st.just(NOWHERE), places)
sometime = st.one_of(st.none(), instants)
PLANS = (Planned, AdmissionPending, DischargePending, TransferPending)


@st.composite
def visits(
    draw: st.DrawFn, kind: type[Event], occurred_at: datetime, facility: str, moved: bool
) -> Visit:
    if kind is VisitPurged:
        return Visit(facility=facility)
    stated = {name: draw(times) for name in ("admitted_at", "discharged_at")}
    own = OWN_TIMES.get(kind)
    if own and isinstance(stated[own], datetime) and not moved:
        stated[own] = occurred_at
    visit_class = draw(classes)
    if kind is ClassChanged and visit_class is UNSET:
        visit_class = "IMP"
    doctors = st.lists(named, min_size=1, max_size=3, unique=True).map(tuple)
    return Visit(
        class_=visit_class,
        service=draw(texts),
        admit_source=draw(texts),
        disposition=draw(texts),
        attending=draw(texts),
        consulting=draw(st.one_of(st.just(UNSET), st.none(), doctors)),
        facility=facility,
        **stated,
    )


@st.composite
def said_of_a_visit(draw: st.DrawFn) -> Said:
    kind = draw(st.sampled_from(KINDS))
    recorded_at, occurred_at = draw(instants), draw(instants)
    if kind in SAME_AS_RECORDED:
        occurred_at = recorded_at
    elif kind in PLANS:
        occurred_at = min(occurred_at, recorded_at)  # what is still to come is what is planned
    who = (draw(patient_numbers),)
    movement = None if kind in NO_MOVEMENTS else draw(st.one_of(st.none(), movements))
    place = NOWHERE if kind is VisitPurged else draw(somewhere)
    facility = place.facility or draw(named)
    visit = draw(visits(kind, occurred_at, facility, movement is not None))
    more: dict[str, object] = {}
    if kind is Transferred:
        more["origin"] = draw(somewhere)
    elif kind in PLANS:
        more["expected_at"] = draw(sometime)
    elif kind is LeaveStarted:
        more["expected_return_at"] = draw(sometime)
    if kind is TransferPending:
        more["destination"] = draw(somewhere)
    elif kind in (Departed, Arrived):
        more["temporary"] = draw(st.booleans())
        elsewhere = draw(places)
        on_the_way = place if kind is Arrived else draw(st.sampled_from([place, elsewhere]))
        more["destination"] = elsewhere if more["temporary"] else on_the_way
    elif kind is EventCancelled:
        cancels = more["cancels"] = draw(st.sampled_from(list(Cancelled)))
        if cancels in BY_ZBE_ONLY:
            movement = msgspec.structs.replace(movement or draw(movements), corrects=False)
        more["cancelled_at"] = draw(sometime)
        if cancels in DATED_BY_THEMSELVES and movement is None:
            more["cancelled_at"], occurred_at = None, draw(instants)
        if cancels is Cancelled.DISCHARGE:
            visit = msgspec.structs.replace(visit, discharged_at=UNSET)
    visit_number = draw(visit_numbers)
    event = kind(
        occurred_at=occurred_at,
        encounter=(visit_number,),
        patient=who,
        account=draw(st.one_of(st.none(), st.just(visit_number), visit_numbers)),
        entered_at=recorded_at,
        visit=visit,
        place=place,
        movement=movement,
        **more,
    )
    described = PatientDescribed(occurred_at=recorded_at, patient=who, demographics=draw(people()))
    return Said(
        trigger_event=draw(st.sampled_from(["ADT^A01", "ADT^A07", "ADT^A31", "ADT^A08"])),
        sender="A|B",
        sent_at=draw(instants),
        events=(described, event),
    )


@given(said_of_a_visit(), st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]))
def test_any_event_of_a_visit_told_again_means_the_same(meant: Said, zone: str) -> None:
    raw = retell(meant, Dialect(zone=ZoneInfo(zone)), "W-1")
    assert not set(raw[:-1]) & {0x00, 0x0B, 0x1C, 0x0A}
    again = understood(raw)
    assert isinstance(again, Translation), again
    assert again.events == meant.events
    assert again.envelope.sent_at == meant.sent_at


@given(
    st.lists(patient_numbers, min_size=2, max_size=6, unique_by=lambda i: i.key), instants, instants
)
def test_any_merge_told_again_means_the_same(numbers, recorded_at, occurred_at) -> None:
    target, *sources = sorted(numbers, key=lambda i: (i.type != "MR", i.type != "PI"))
    described = PatientDescribed(occurred_at=recorded_at, patient=(target,))
    meant = Said(
        trigger_event="ADT^A40",
        sender="A|B",
        sent_at=recorded_at,
        events=(
            described,
            *(PatientsMerged(occurred_at=occurred_at, source=s, target=target) for s in sources),
        ),
    )
    again = understood(retell(meant, Dialect(), "W-1"))
    assert isinstance(again, Translation), again
    assert again.events == meant.events


@given(places, instants, st.sampled_from("CHOUKI"))
def test_any_bed_status_told_again_means_the_same(place, occurred_at, status) -> None:
    event = BedStatusChanged(occurred_at=occurred_at, place=place, operational_status=status)
    meant = Said(trigger_event="ADT^A20", sender="A|B", sent_at=occurred_at, events=(event,))
    again = understood(retell(meant, Dialect(), "W-1"))
    assert isinstance(again, Translation), again
    assert again.events == meant.events


# --- as the receiver expects it --------------------------------------------------------------


def admission(**changes: object) -> Said:
    who = (Identifier(MRN, "P1", "MR"),)
    described = PatientDescribed(
        occurred_at=RECEIVED_AT, patient=who, demographics=Demographics(family_name="Łąka")
    )
    event = Admitted(
        occurred_at=RECEIVED_AT,
        encounter=(Identifier(VISIT, "V1", "VN"),),
        patient=who,
        entered_at=RECEIVED_AT,
        visit=Visit(class_="IMP", service="MED", facility="GENERAL"),
        place=Place("GENERAL", "W1", "1", "A"),
    )
    meant = Said(
        trigger_event="ADT^A01", sender="PAS|G", sent_at=RECEIVED_AT, events=(described, event)
    )
    return msgspec.structs.replace(meant, **changes)


def fields(raw: bytes, name: str) -> list[str]:
    [line] = [line for line in raw.decode().split("\r") if line.startswith(name)]
    return line.split("|")


def test_the_receivers_own_names_take_the_place_of_ours() -> None:
    dialect = Dialect(
        application="TWIN",
        receiving_application="LAB",
        receiving_facility="SOUTH",
        version="2.4",
        authorities={MRN: "SOUTH-MRN&1.2.3&ISO", VISIT: "SOUTH-VISIT"},
        facilities={"GENERAL": "SOUTH"},
        units={"W1": "STATION 1"},
        classes={"IMP": "STAT"},
        services={"MED": "INN"},
        accept_ack="AL",
        application_ack="NE",
    )
    raw = retell(admission(), dialect, "W-1")
    msh = fields(raw, "MSH")
    assert msh[2:6] == ["TWIN", "SOUTH", "LAB", "SOUTH"]
    assert (msh[8], msh[9], msh[11]) == ("ADT^A01^ADT_A01", "W-1", "2.4")
    assert msh[14:18] == ["AL", "NE", "", "UNICODE UTF-8"]
    assert fields(raw, "PID")[3] == "P1^^^SOUTH-MRN&1.2.3&ISO^MR"
    pv1 = fields(raw, "PV1")
    assert (pv1[2], pv1[3], pv1[10]) == ("STAT", "STATION 1^1^A^SOUTH", "INN")
    assert pv1[19] == "V1^^^SOUTH-VISIT^VN"


def test_old_versions_name_no_structure() -> None:
    assert fields(retell(admission(), Dialect(version="2.3"), "1"), "MSH")[8] == "ADT^A01"


def test_text_that_the_character_set_lacks_is_never_replaced() -> None:
    with pytest.raises(Untellable, match="8859/1"):
        retell(admission(), Dialect(charset="8859/1"), "1")
    raw = retell(admission(), Dialect(charset="8859/2"), "1")
    assert understood(raw).events == admission().events


def test_what_has_no_message_is_refused_with_the_reason() -> None:
    with pytest.raises(Untellable, match="ADT\\^A54"):
        retell(admission(trigger_event="ADT^A54", events=()), Dialect(), "1")
    described, admitted = admission().events
    milestone = MilestoneReached(
        occurred_at=RECEIVED_AT,
        encounter=admitted.encounter,
        entered_at=RECEIVED_AT,
        milestone="triaged",
    )
    with pytest.raises(Untellable, match="MilestoneReached"):
        retell(admission(events=(described, milestone)), Dialect(), "1")


def test_a_field_that_no_message_carries_is_never_left_out_in_silence(monkeypatch) -> None:
    monkeypatch.setitem(TOLD_FIELDS, Admitted, TOLD_FIELDS[Admitted] - {"place"})
    untold_fields.cache_clear()
    try:
        with pytest.raises(Untellable, match="carries place of Admitted"):
            retell(admission(), Dialect(), "1")
    finally:
        untold_fields.cache_clear()


def test_times_keep_what_they_have_of_a_second() -> None:
    at = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    assert dtm(at, berlin) == "20261025023000+0200"
    assert dtm(at + timedelta(hours=1, microseconds=1500), berlin) == "20261025023000.0015+0100"
