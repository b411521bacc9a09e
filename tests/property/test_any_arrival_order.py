"""Any arrival order, split into any batches, with duplicates and restarts, gives the same twin."""

import hashlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin_core import Twin
from twin_core.events import (
    AdmissionPending,
    Admitted,
    AppointmentBooked,
    AppointmentCancelled,
    AppointmentModified,
    AppointmentRescheduled,
    Arrived,
    Attendance,
    BedStatusChanged,
    Booking,
    Cancelled,
    ClassChanged,
    Demographics,
    Departed,
    Discharged,
    DischargePending,
    EncounterStated,
    EncounterUpdated,
    Envelope,
    Event,
    EventCancelled,
    LeaveEnded,
    LeaveStarted,
    LocationStated,
    Movement,
    PatientDescribed,
    PatientsMerged,
    PatientStated,
    Planned,
    Registered,
    ResourceBooked,
    StatedPeriod,
    TransferPending,
    Transferred,
    Translation,
    Visit,
    VisitPurged,
)
from twin_core.identifiers import Identifier, Place
from twin_core.inbox import Receipt

START = datetime(2026, 3, 28, 20, tzinfo=UTC)
MRNS = [Identifier("urn:mrn", str(n), "MR") for n in range(3)]
VISITS = [Identifier("urn:visit", f"V{n}", "VN") for n in range(3)]
PLACES = [Place("H", "ICU", "1", "A"), Place("H", "ICU", "1", "B"), Place("H", "MED", "7", "")]
LOCATION = Identifier("ehr", "Location/icu-1-a", "reference")
VIEWS = (
    "patient",
    "patient_identifier",
    "encounter",
    "encounter_identifier",
    "encounter_status",
    "encounter_class",
    "encounter_milestone",
    "encounter_plan",
    "encounter_tracking",
    "stay",
    "location",
    "location_status",
    "location_identifier",
    "appointment",
    "appointment_identifier",
    "appointment_patient",
    "appointment_resource",
)

minutes = st.integers(0, 40).map(lambda n: START + timedelta(minutes=30 * n))


@st.composite
def messages(draw: st.DrawFn) -> tuple[Event, ...]:
    """The events of one message about one of three patients and visits."""
    at, n = draw(minutes), draw(st.integers(0, 2))
    entered = at + timedelta(minutes=draw(st.sampled_from([0, 0, 5, 600])))
    patient, visit = (MRNS[n],), (VISITS[draw(st.sampled_from([n, n, n, 0]))],)
    class_ = draw(st.sampled_from(["IMP", "EMER", "IMP", "AMB"]))
    common = {
        "occurred_at": at,
        "entered_at": entered,
        "encounter": visit,
        "patient": patient,
        "visit": Visit(class_=class_, admitted_at=START),
        "place": draw(st.sampled_from([*PLACES, Place()])),
    }
    described = PatientDescribed(
        occurred_at=entered,
        patient=patient,
        demographics=Demographics(sex=draw(st.sampled_from(["female", "male", None]))),
    )
    simple = [Admitted, Registered, Planned, Discharged, ClassChanged, LeaveStarted, LeaveEnded]
    simple += [AdmissionPending, DischargePending, VisitPurged]
    tracked = [TransferPending, Departed, Arrived]
    names = draw(st.sampled_from([None, None, None, ("M1",), ("M2",)]))
    if names is not None:
        common["movement"] = Movement(identifiers=names, corrects=draw(st.booleans()))
    others = ["move", "cancel", "merge", "bed", "fhir", "appointment"]
    kind = draw(st.sampled_from([*simple, *tracked, EncounterUpdated, *others]))
    if kind == "appointment":
        return (described, draw(appointments(entered, patient, visit[0])))
    if kind == "move":
        origin = draw(st.sampled_from([*PLACES, Place()]))
        return (described, Transferred(**common, origin=origin))
    if kind == "cancel":
        common["occurred_at"] = entered
        cancelled_at = draw(st.sampled_from([None, at]))
        cancels = draw(st.sampled_from(list(Cancelled)))
        return (described, EventCancelled(**common, cancels=cancels, cancelled_at=cancelled_at))
    if kind == "merge":
        other = MRNS[draw(st.sampled_from([m for m in range(3) if m != n]))]
        return (described, PatientsMerged(occurred_at=entered, source=other, target=MRNS[n]))
    if kind == "bed":
        code = draw(st.sampled_from(["H", "U", "C"]))
        return (BedStatusChanged(occurred_at=at, place=PLACES[0], operational_status=code),)
    if kind == "fhir":
        return (draw(resources(at, n)),)
    if kind in tracked:
        common["destination"] = draw(st.sampled_from(PLACES))
    return (described, kind(**common))


@st.composite
def appointments(
    draw: st.DrawFn, at: datetime, patient: tuple[Identifier, ...], visit: Identifier
) -> Event:
    """What is said of one of two appointments, or of one nobody had connected with it yet."""
    placer, filler = (Identifier(f"urn:{kind}", str(draw(st.integers(0, 1)))) for kind in "pf")
    kinds = [AppointmentBooked, AppointmentRescheduled, AppointmentModified, AppointmentCancelled]
    return draw(st.sampled_from(kinds))(
        occurred_at=at,
        appointment=draw(st.sampled_from([(placer,), (filler,), (placer, filler)])),
        patients=draw(st.sampled_from([(), (Attendance(patient, visit),), (Attendance(patient),)])),
        booking=Booking(
            starts_at=draw(st.sampled_from([START, START + timedelta(hours=1), None])),
            duration_minutes=draw(st.sampled_from([15.0, 30.0])),
            reason=draw(st.sampled_from(["HIP", "KNEE", None])),
        ),
        resources=draw(st.lists(booked_resources, max_size=3).map(tuple)),
    )


booked_resources = st.builds(
    ResourceBooked,
    kind=st.just("location"),
    action=st.sampled_from(["", "A", "U", "D"]),
    position=st.sampled_from(["1.1", "1.2"]),
    code=st.sampled_from(["A", "B"]),
    place=st.sampled_from(PLACES),
)


def resources(at: datetime, n: int) -> st.SearchStrategy[Event]:
    """A FHIR statement about the same people, visits and beds."""
    reference = Identifier("ehr", f"Encounter/{n}", "reference")
    person = Identifier("ehr", f"Patient/{n}", "reference")
    statuses = st.sampled_from(["in-progress", "finished", "cancelled"])
    encounter = st.builds(
        lambda status: EncounterStated(
            occurred_at=at,
            source="ehr",
            subject=reference,
            version="1",
            identifiers=(VISITS[n],),
            patient=(person,),
            status=status,
            locations=(StatedPeriod(place=Place(reference=LOCATION), start=START),),
            visit=Visit(class_="IMP", admitted_at=START),
        ),
        statuses,
    )
    patient = st.just(
        PatientStated(
            occurred_at=at,
            source="ehr",
            subject=person,
            identifiers=(MRNS[n],),
            demographics=Demographics(birth_date="1950-04-01"),
        )
    )
    location = st.sampled_from([PLACES[0], PLACES[1]]).map(
        lambda place: LocationStated(
            occurred_at=at, source="ehr", subject=LOCATION, kind="bd", status="active", place=place
        )
    )
    return st.one_of(encounter, patient, location)


def receipt(number: int, events: tuple[Event, ...]) -> Receipt:
    digest = hashlib.sha256(repr((number, events)).encode()).digest()[:16]
    sent_at = max(getattr(event, "entered_at", event.occurred_at) for event in events)
    envelope = Envelope(
        feed="f",
        sender="s",
        control_id=str(number),
        trigger_event="ADT",
        sent_at=sent_at,
        digest=digest,
    )
    fhir = any(isinstance(e, PatientStated | EncounterStated | LocationStated) for e in events)
    return Receipt(
        format="fhir" if fhir else "hl7v2",
        feed="f",
        raw=b"",
        origin="test",
        outcome=Translation(envelope=envelope, events=events),
    )


def twin_after(path: Path, receipts: Sequence[Receipt], batches: random.Random) -> dict[str, list]:
    """The analysts' tables after receiving messages in random batches, with some restarts."""
    left = list(receipts)
    while left:
        with Twin.open(path) as twin:
            for _ in range(batches.randint(1, 4)):
                count = batches.randint(1, 8)
                group, left = left[:count], left[count:]
                if group:
                    twin.receive(group)
                    twin.wait_applied()
    with Twin.open(path) as twin:
        return {view: sorted(map(repr, twin.query(f"FROM twin.{view}"))) for view in VIEWS}


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(messages(), min_size=2, max_size=14), st.integers(0, 10_000))
def test_any_order_any_batches_and_duplicates_give_the_same_twin(
    tmp_path_factory: pytest.TempPathFactory, histories: list[tuple[Event, ...]], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("order")
    chance = random.Random(seed)
    receipts = [receipt(n, events) for n, events in enumerate(histories)]
    shuffled = receipts + chance.sample(receipts, k=len(receipts) // 2)
    chance.shuffle(shuffled)
    in_order = twin_after(folder / "one.duckdb", receipts, random.Random(1))
    any_order = twin_after(folder / "two.duckdb", shuffled, chance)
    assert any_order == in_order
