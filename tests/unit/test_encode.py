"""What the demo hospital says is what the translator hears."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import msgspec
import pytest

from adapters.hl7v2.encode import Segment, Sender, components, encode, escape, timestamp, trigger_of
from adapters.hl7v2.translate import translate
from twin_core import events as e
from twin_core.events import Translation
from twin_core.identifiers import NOWHERE, Identifier, Place
from twin_core.settings import FeedSettings, LimitSettings
from twin_core.simulation import facts as f
from twin_core.simulation.demonstration import Demonstration
from twin_core.simulation.model import load_hospital

BERLIN = ZoneInfo("Europe/Berlin")
SENDER = Sender(
    application="PAS",
    facility="RIVERSIDE",
    zone=BERLIN,
    patient_authority="RIVERSIDE-MRN",
    visit_authority="RIVERSIDE-VISIT",
)
AT = datetime(2026, 3, 20, 9, 0, 5, tzinfo=UTC)
LATER = datetime(2026, 12, 31, tzinfo=UTC)
MRN, VISIT = "urn:wardtwin:authority:RIVERSIDE-MRN", "urn:wardtwin:authority:RIVERSIDE-VISIT"


def understood(raw: bytes) -> Translation:
    outcome = translate(
        raw, feed="adt", settings=FeedSettings(), limits=LimitSettings(), received_at=LATER
    )
    assert isinstance(outcome, Translation), outcome
    return outcome


def person(**changes) -> f.Person:
    known = f.Person(
        record_number="R1",
        family_name="Thistle",
        given_name="Lake",
        birth_date=date(1950, 2, 3),
        sex="female",
        street="A&B Alley 3",
        postal_code="01234",
    )
    return msgspec.structs.replace(known, **changes)


def visit(**changes) -> f.VisitState:
    known = f.VisitState(
        number="V1",
        class_="IMP",
        place=Place("RIVERSIDE", "MED", "101", "A"),
        service="MED",
        attending="D100",
        admit_source="1",
        admitted_at=AT,
    )
    return msgspec.structs.replace(known, **changes)


def stamped(kind, **fields):
    return kind(
        occurred_at=AT,
        recorded_at=AT + timedelta(minutes=4),
        sent_at=AT + timedelta(minutes=5),
        **fields,
    )


def test_a_segment_numbers_its_fields_as_the_standard_does():
    segment = Segment("PV1").put(3, components("MED", "101", "A")).text(10, "A|B").put(7, "")
    assert str(segment) == r"PV1|||MED^101^A|||||||A\F\B"


def test_delimiters_and_line_ends_are_escaped():
    assert escape("a|b^c&d~e\\f\rg") == r"a\F\b\S\c\T\d\R\e\E\f\X0D\g"


def test_timestamps_have_seconds_and_the_offset_of_the_day():
    assert timestamp(AT, BERLIN) == "20260320100005+0100"
    assert timestamp(AT + timedelta(days=30), BERLIN) == "20260419110005+0200"


def test_an_admission_is_heard_as_it_was_said():
    heard = understood(
        encode(stamped(f.Admitted, person=person(), visit=visit()), sender=SENDER, control_id="7")
    )
    described, admitted = heard.events
    assert heard.envelope.control_id == "7"
    assert heard.envelope.sent_at == AT + timedelta(minutes=5)
    assert isinstance(described, e.PatientDescribed)
    assert described.patient == (Identifier(MRN, "R1", "MR"),)
    assert described.demographics.family_name == "Thistle"
    assert described.demographics.birth_date == "1950-02-03"
    assert described.demographics.postal_code == "01234"
    assert isinstance(admitted, e.Admitted)
    assert (admitted.occurred_at, admitted.entered_at) == (AT, AT + timedelta(minutes=4))
    assert admitted.encounter == (Identifier(VISIT, "V1", "VN"),)
    assert admitted.place == Place("RIVERSIDE", "MED", "101", "A")
    assert (admitted.visit.class_, admitted.visit.admitted_at) == ("IMP", AT)


def test_names_with_delimiters_survive():
    nasty = person(family_name="O'Oak|^~\\&", given_name="X\rPV1")
    heard = understood(
        encode(stamped(f.PersonUpdated, person=nasty), sender=SENDER, control_id="1")
    )
    assert len(heard.events) == 1
    assert heard.events[0].demographics.family_name == nasty.family_name
    assert heard.events[0].demographics.given_name == nasty.given_name


@pytest.mark.parametrize("states", [True, False])
def test_a_cancel_names_the_instant_of_the_cancelled_event_only_where_it_says_so(states):
    wrong_at = AT - timedelta(minutes=20)
    fact = stamped(
        f.TransferCancelled,
        person=person(),
        visit=visit(),
        cancelled_at=wrong_at,
        destination=Place("RIVERSIDE", "SURG", "201", "A"),
    )
    raw = encode(fact, sender=SENDER, control_id="1", states_occurrence=states)
    cancel = understood(raw).events[1]
    assert isinstance(cancel, e.EventCancelled)
    assert cancel.cancels is e.Cancelled.TRANSFER
    assert cancel.cancelled_at == (wrong_at if states else None)
    assert cancel.place == Place("RIVERSIDE", "MED", "101", "A")
    assert cancel.entered_at == AT + timedelta(minutes=4)


HEARD_AS = {
    f.Admitted: e.Admitted,
    f.Registered: e.Registered,
    f.Preadmitted: e.Planned,
    f.TransferExpected: e.TransferPending,
    f.DischargeExpected: e.DischargePending,
    f.Transferred: e.Transferred,
    f.Discharged: e.Discharged,
    f.ClassChanged: e.ClassChanged,
    f.LeaveStarted: e.LeaveStarted,
    f.LeaveEnded: e.LeaveEnded,
    f.VisitUpdated: e.EncounterUpdated,
    f.AdmissionCancelled: e.EventCancelled,
    f.TransferCancelled: e.EventCancelled,
    f.DischargeCancelled: e.EventCancelled,
}


def test_a_week_of_facts_is_heard_as_it_happened():
    start = datetime(2026, 3, 26, tzinfo=UTC)
    week = Demonstration(load_hospital("riverside"), Random(3), start, start + timedelta(days=7))
    kinds = set()
    for number, fact in enumerate(week.facts()):
        heard = understood(encode(fact, sender=SENDER, control_id=str(number)))
        assert heard.envelope.trigger_event == f"ADT^{trigger_of(fact)}"
        assert not heard.findings
        kinds.add(type(fact))
        match fact:
            case f.VisitFact():
                _agrees(fact, heard.events[-1])
            case f.Swapped():
                first, second = heard.events[-2:]
                assert (first.place, second.place) == tuple(v.place for v in fact.visits)
                assert (first.origin, second.origin) == fact.origins
                assert first.occurred_at == second.occurred_at == fact.occurred_at
            case f.PersonsMerged():
                assert heard.events[-1].source.value == fact.source
                assert heard.events[-1].target.value == fact.person.record_number
            case f.BedStatusChanged():
                (status,) = heard.events
                assert (status.place, status.operational_status) == (fact.place, fact.status)
                assert status.occurred_at == fact.occurred_at
    assert set(HEARD_AS) <= kinds


def _agrees(fact: f.VisitFact, event: e.EncounterEvent) -> None:
    assert type(event) is HEARD_AS[type(fact)]
    assert event.encounter[0].value == fact.visit.number
    assert event.patient[0].value == fact.person.record_number
    to = fact.destination if isinstance(fact, f.Preadmitted) else fact.visit.place
    assert event.place == (to or NOWHERE)
    assert event.visit.class_ == fact.visit.class_
    assert event.entered_at == fact.recorded_at
    assert event.occurred_at == fact.occurred_at
    if isinstance(fact, f.DischargeExpected | f.Preadmitted):
        assert event.expected_at == fact.expected_at
    if isinstance(fact, f.TransferExpected):
        assert event.destination == fact.destination
    if isinstance(event, e.EventCancelled):
        assert event.cancelled_at == fact.cancelled_at
