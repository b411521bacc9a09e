"""Deletions and statements of several sources in any order of arrival give the same twin."""

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
    Admitted,
    Demographics,
    DeviceStated,
    DirectoryStated,
    EncounterStated,
    Envelope,
    Event,
    LocationStated,
    PatientDescribed,
    PatientStated,
    StatedPeriod,
    Statement,
    Translation,
    Visit,
    Withdrawn,
)
from twin_core.identifiers import Identifier, Place
from twin_core.inbox import Receipt

START = datetime(2026, 3, 28, 20, tzinfo=UTC)
SOURCES = ("ehr", "lab")
VISIT = Identifier("urn:visit", "V1", "VN")
MRN = Identifier("urn:mrn", "1", "MR")
BEDS = [Place("H", "ICU", "1", "A"), Place("H", "ICU", "1", "B")]
VIEWS = """
patient patient_identifier encounter encounter_identifier encounter_status stay location
location_identifier location_status device device_identifier directory
""".split()


def reference(source: str, value: str) -> Identifier:
    return Identifier(source, value, "reference")


def frame(source: str, at: int, value: str) -> dict[str, object]:
    return {
        "occurred_at": START + timedelta(minutes=at),
        "source": source,
        "subject": reference(source, value),
        "version": str(at),
    }


def an_encounter(source: str, at: int, status: str, numbered: bool) -> Event:
    bed = Place(reference=reference(source, "Location/1"))
    return EncounterStated(
        **frame(source, at, "Encounter/1"),
        identifiers=(VISIT,) if numbered else (),
        patient=(reference(source, "Patient/1"),),
        status=status,
        locations=(StatedPeriod(place=bed, start=START),),
        visit=Visit(class_="IMP", admitted_at=START),
    )


def a_patient(source: str, at: int, other: bool) -> Event:
    replaced = reference(source, "Patient/2") if other else None
    return PatientStated(
        **frame(source, at, "Patient/1"),
        identifiers=(MRN,),
        demographics=Demographics(birth_date=f"19{at + 10}-04-01"),
        replaced_by=replaced,
    )


def a_location(source: str, at: int, place: Place) -> Event:
    return LocationStated(
        **frame(source, at, "Location/1"), kind="bd", status="active", place=place
    )


def a_device(source: str, at: int, numbered: bool) -> Event:
    known = (Identifier("urn:serial", "9"),) if numbered else ()
    at_bed = reference(source, "Location/1")
    return DeviceStated(**frame(source, at, "Device/1"), identifiers=known, location=at_bed)


def an_organization(source: str, at: int) -> Event:
    named = f"Ward {at}"
    return DirectoryStated(
        **frame(source, at, "Organization/1"), resource_type="Organization", name=named
    )


def a_deletion(source: str, at: int, value: str) -> Event:
    return Withdrawn(**frame(source, at, value))


def an_admission(at: int) -> Event:
    instant = START + timedelta(minutes=at)
    return Admitted(
        occurred_at=instant,
        entered_at=instant,
        encounter=(VISIT,),
        patient=(MRN,),
        place=BEDS[0],
        visit=Visit(class_="IMP"),
    )


sources, minutes, booleans = st.sampled_from(SOURCES), st.integers(1, 60), st.booleans()
subjects = st.sampled_from(["Encounter/1", "Patient/1", "Location/1", "Device/1", "Organization/1"])
statuses = st.sampled_from(["in-progress", "finished", "arrived"])
statements = st.one_of(
    st.builds(an_encounter, sources, minutes, statuses, booleans),
    st.builds(a_patient, sources, minutes, booleans),
    st.builds(a_location, sources, minutes, st.sampled_from(BEDS)),
    st.builds(a_device, sources, minutes, booleans),
    st.builds(an_organization, sources, minutes),
)
deletions = st.builds(a_deletion, sources, minutes, subjects)
histories = st.lists(
    st.one_of(statements, statements, deletions, deletions, st.builds(an_admission, minutes)),
    min_size=3,
    max_size=14,
    unique_by=lambda event: (getattr(event, "subject", None), event.occurred_at),
)


def receipt(number: int, event: Event) -> Receipt:
    digest = hashlib.sha256(repr((number, event)).encode()).digest()[:16]
    envelope = Envelope(
        feed="f",
        sender="s",
        control_id=str(number),
        trigger_event="FHIR",
        sent_at=event.occurred_at,
        digest=digest,
    )
    events: tuple[Event, ...] = (event,)
    if isinstance(event, Admitted):
        events = (PatientDescribed(occurred_at=event.occurred_at, patient=event.patient), event)
    return Receipt(
        format="hl7v2" if isinstance(event, Admitted) else "fhir",
        feed="f",
        raw=b"",
        origin="test",
        outcome=Translation(envelope=envelope, events=events),
    )


def twin_after(path: Path, receipts: Sequence[Receipt], batches: random.Random) -> dict[str, list]:
    left = list(receipts)
    while left:
        with Twin.open(path) as twin:
            for _ in range(batches.randint(2, 5)):
                count = batches.randint(1, 6)
                group, left = left[:count], left[count:]
                if group:
                    twin.receive(group)
                    twin.wait_applied()
    with Twin.open(path) as twin:
        found = {view: sorted(map(repr, twin.query(f"FROM twin.{view}"))) for view in VIEWS}
        asked = "SELECT kind, subject, detail FROM twin.finding"
        return {**found, "finding": sorted(map(repr, twin.query(asked)))}


def counting(history: Sequence[Event], source: str, subject: str) -> Statement | None:
    """What a source last stated of a resource and has not deleted since, told naively."""
    of_it = [
        event
        for event in history
        if isinstance(event, Statement) and event.subject == reference(source, subject)
    ]
    last = max(of_it, key=lambda event: event.occurred_at, default=None)
    return None if isinstance(last, Withdrawn) else last


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories, st.integers(0, 10_000))
def test_deletions_in_any_order_give_what_still_counts(
    tmp_path_factory: pytest.TempPathFactory, history: list[Event], seed: int
) -> None:
    folder, chance = tmp_path_factory.mktemp("deleted"), random.Random(seed)
    receipts = [receipt(n, event) for n, event in enumerate(history)]
    shuffled = [*receipts, *chance.sample(receipts, k=len(receipts) // 3)]
    chance.shuffle(shuffled)
    told = twin_after(folder / "one.duckdb", receipts, random.Random(1))
    assert twin_after(folder / "two.duckdb", shuffled, chance) == told
    live = {
        subject: [one for source in SOURCES if (one := counting(history, source, subject))]
        for subject in ("Organization/1", "Device/1")
    }
    assert len(told["directory"]) == len(live["Organization/1"])
    assert bool(told["device"]) == bool(live["Device/1"])
    alone = [e for e in history if isinstance(e, EncounterStated | Admitted)]
    if alone and all(getattr(e, "source", "") == "ehr" for e in alone):
        counts = counting(history, "ehr", "Encounter/1")
        status = counts.status if isinstance(counts, EncounterStated) else "entered-in-error"
        assert f"'status': '{status}'" in told["encounter"][0]
