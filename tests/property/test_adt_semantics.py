"""The twin's reading of ADT events against a slow one, over sensible and silly histories.

The oracle (`adt_oracle.py`) searches the record backwards where the twin follows it forwards.
"""

import hashlib
import random
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, note, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import adt_oracle
import adt_plans_oracle
from adt_histories import (
    BEDS,
    MRN,
    VISIT,
    drawn,
    fact,
    folded,
    histories,
    hours,
    twin_course,
    twin_plans,
    twin_tracks,
)
from adt_histories import messages as encounter_messages
from adt_oracle import Message, Stay

from twin_core import Twin
from twin_core.events import (
    Admitted,
    Cancelled,
    EncounterEvent,
    Envelope,
    Event,
    EventCancelled,
    PatientDescribed,
    PatientsMerged,
    Registered,
    Translation,
)
from twin_core.identifiers import NOWHERE, Identifier, Place
from twin_core.inbox import Receipt
from twin_core.store.fold.patient import fold_people
from twin_core.store.tables import BY_NAME

UNDONE_BY = {kind: cancel for cancel, kinds in adt_oracle.UNDOES.items() for kind in kinds}
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]
MRNS = [Identifier("urn:mrn", str(n), "MR") for n in range(5)]
VISITS = [Identifier("urn:visit", f"V{n}", "VN") for n in range(4)]


# --- one encounter -----------------------------------------------------------------------------


@settings(max_examples=250, deadline=None, suppress_health_check=QUIET)
@given(histories())
def test_a_history_of_one_encounter_reads_as_the_standard_has_it(said: list[Message]) -> None:
    note(drawn(said))
    assert twin_course(said) == adt_oracle.course(said)


@settings(max_examples=250, deadline=None, suppress_health_check=QUIET)
@given(histories())
def test_plans_end_as_the_history_has_it(said: list[Message]) -> None:
    note(drawn(said))
    assert twin_plans(said) == adt_plans_oracle.plans(said)
    reached = {(row["kind"], row["at"]) for row in folded(said).get("encounter_milestone", [])}
    assert sorted(reached) == adt_plans_oracle.milestones(said)


@settings(max_examples=250, deadline=None, suppress_health_check=QUIET)
@given(histories())
def test_a_patient_is_tracked_where_the_last_word_of_it_was(said: list[Message]) -> None:
    note(drawn(said))
    assert twin_tracks(said) == adt_plans_oracle.tracks(said)


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(histories())
def test_a_patient_is_in_one_place_at_a_time(said: list[Message]) -> None:
    note(drawn(said))
    told = twin_course(said)
    for stay, following in pairwise(told.stays):
        assert stay.to_at is not None
        assert stay.from_at < stay.to_at <= following.from_at
        assert stay.to_at < following.from_at or stay.place != following.place
    if told.stays and told.stays[-1].to_at is None:
        assert told.status in {"in-progress", "onleave"}
        assert told.discharged_at is None
    if told.status in {"planned", "cancelled"}:
        assert not told.stays


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(histories())
def test_statuses_follow_one_another_and_nobody_is_in_a_bed_after_the_end(
    said: list[Message],
) -> None:
    note(drawn(said))
    rows = folded(said)
    periods = sorted(rows.get("encounter_status", []), key=lambda row: row["from_at"])
    for period, following in pairwise(periods):
        assert period["to_at"] == following["from_at"]
        assert period["status"] != following["status"]
    if periods:
        assert periods[-1]["to_at"] is None
        assert periods[-1]["status"] == rows["encounter"][0]["status"]
    for period in periods:
        if period["status"] in {"finished", "planned", "cancelled"}:
            for stay in rows.get("stay", []):
                assert not _overlap(stay, period)


def _overlap(one: dict[str, object], other: dict[str, object]) -> bool:
    far = hours(1000)
    starts = max(one["from_at"], other["from_at"])
    return starts < min(one["to_at"] or far, other["to_at"] or far)


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(
    histories(12),
    st.sampled_from(list(UNDONE_BY)),
    st.sampled_from([*BEDS, NOWHERE]),
    st.booleans(),
)
def test_an_event_and_its_cancel_leave_occupancy_as_it_was(
    said: list[Message], kind: type[EncounterEvent], place: Place, names_it: bool
) -> None:
    at, undone_at = hours(30), hours(31)
    common = {"encounter": (VISIT,), "patient": (MRN,)}
    done = kind(occurred_at=at, entered_at=at, place=place, **common)
    undone = EventCancelled(
        occurred_at=undone_at,
        entered_at=undone_at,
        cancels=UNDONE_BY[kind],
        cancelled_at=at if names_it else None,
        **common,
    )
    more = [*said, Message(done, at, 100), Message(undone, undone_at, 101)]
    note(drawn(more))
    before, after = twin_course(said), twin_course(more)
    if any(_opens_or_cancels(m.event) for m in said):
        assert after.stays == before.stays
    if any(isinstance(m.event, Admitted | Registered) for m in said) and before.status != "unknown":
        assert after.status in {before.status, "cancelled"}


def _opens_or_cancels(event: Event) -> bool:
    # Of an encounter never seen before, a discharge and its cancel are a first sight.
    cancelled = isinstance(event, EventCancelled) and event.cancels is Cancelled.ADMISSION
    return cancelled or isinstance(event, Admitted | Registered)


# --- people ------------------------------------------------------------------------------------


@st.composite
def families(draw: st.DrawFn) -> list[Message]:
    """Who is known by which identifiers, and merges in any direction, cycles included."""
    known = draw(st.lists(st.permutations(MRNS).map(lambda ids: tuple(ids[:2])), max_size=2))
    said: list[Event] = [PatientDescribed(occurred_at=hours(0), patient=pair) for pair in known]
    for _ in range(draw(st.integers(0, 8))):
        source, target = draw(st.permutations(MRNS).map(lambda ids: ids[:2]))
        at = hours(draw(st.integers(1, 6)))
        said.append(PatientsMerged(occurred_at=at, source=source, target=target))
    return [Message(event, event.occurred_at, n) for n, event in enumerate(said)]


def _merges(*pairs: tuple[int, int]) -> list[Message]:
    return [
        Message(
            PatientsMerged(occurred_at=hours(n), source=MRNS[one], target=MRNS[other]), hours(n), n
        )
        for n, (one, other) in enumerate(pairs, start=1)
    ]


@settings(max_examples=200, deadline=None)
@given(families())
@example(_merges((0, 1), (1, 2), (1, 0)))
@example(_merges((0, 1), (1, 0)))
@example(_merges((0, 1), (1, 2), (2, 0), (3, 1)))
def test_every_identifier_leads_to_the_record_that_survived(said: list[Message]) -> None:
    people = fold_people(sorted(map(fact, said)), MRNS)
    names = [column.name for column in BY_NAME["patient_identifier"].columns]
    owner: dict[tuple[str, str], str] = {}
    for entity, cells in people.rows:
        if entity == "patient_identifier":
            row = dict(zip(names, cells, strict=True))
            owner[row["system"], row["value"]] = row["patient_id"]
    expected = adt_oracle.survivors(said, MRNS)
    assert people.survivors == {one.key: owner[other.key] for one, other in expected.items()}


# --- a hospital on disk ------------------------------------------------------------------------


@st.composite
def hospitals(draw: st.DrawFn) -> list[Message]:
    """Messages of several encounters of several patients, with merges among the patients."""
    said: list[Message] = []
    for n in range(draw(st.integers(6, 24))):
        visit = draw(st.integers(0, len(VISITS) - 1))
        message = draw(encounter_messages(n, VISITS[visit], MRNS[visit]))
        said.append(message)
    for n in range(draw(st.integers(0, 3))):
        one, other = draw(st.permutations(range(4)).map(lambda ids: ids[:2]))
        at = hours(draw(st.integers(1, 6)))
        merge = PatientsMerged(occurred_at=at, source=MRNS[one], target=MRNS[other])
        said.append(Message(merge, at, 100 + n))
    return said


def receipt(message: Message) -> Receipt:
    event = message.event
    described: tuple[Event, ...] = ()
    if isinstance(event, EncounterEvent):
        described = (PatientDescribed(occurred_at=event.entered_at, patient=event.patient),)
    envelope = Envelope(
        feed="adt",
        sender="ADT",
        control_id=str(message.control),
        trigger_event="ADT",
        sent_at=message.sent_at,
        digest=hashlib.sha256(repr(message).encode()).digest()[:16],
    )
    outcome = Translation(envelope=envelope, events=(*described, event))
    return Receipt(format="hl7v2", feed="adt", raw=b"", outcome=outcome, origin="test")


def _place(row: dict[str, object]) -> Place:
    return Place(*(str(row[name] or "") for name in ("facility", "unit", "room", "bed")))


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=QUIET,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink whole hospitals takes long
)
@given(hospitals(), st.integers(0, 10_000))
def test_a_hospital_on_disk_holds_what_the_messages_meant(
    tmp_path_factory: pytest.TempPathFactory, said: list[Message], seed: int
) -> None:
    chance = random.Random(seed)
    sent = [receipt(message) for message in said]
    sent += chance.sample(sent, k=len(sent) // 3)
    chance.shuffle(sent)
    with Twin.open(tmp_path_factory.mktemp("hospital") / "one.duckdb") as twin:
        for start in range(0, len(sent), 7):
            twin.receive(sent[start : start + 7])
            twin.wait_applied()
        stays = twin.query("FROM twin.stay JOIN twin.encounter_identifier USING (encounter_id)")
        _compare_encounters(twin, said, stays)
        _compare_census(twin, stays)
        before = twin.query("FROM twin.stay ORDER BY ALL")
        twin.receive(sent)
        twin.wait_applied()
        assert twin.query("FROM twin.stay ORDER BY ALL") == before


def _compare_encounters(
    twin: Twin, said: Sequence[Message], stays: Sequence[dict[str, object]]
) -> None:
    named = "JOIN twin.encounter_identifier USING (encounter_id)"
    encounters = {row["value"]: row for row in twin.query(f"FROM twin.encounter {named}")}
    owner = {row["value"]: row["patient_id"] for row in twin.query("FROM twin.patient_identifier")}
    survivors = adt_oracle.survivors(said, MRNS)
    for n, visit in enumerate(VISITS):
        its = [m for m in said if getattr(m.event, "encounter", None) == (visit,)]
        if not its:
            assert visit.value not in encounters
            continue
        told, row = adt_oracle.course(its), encounters[visit.value]
        found = [
            Stay(_place(s), s["from_at"], s["to_at"]) for s in stays if s["value"] == visit.value
        ]
        assert tuple(sorted(found, key=lambda stay: stay.from_at)) == told.stays
        assert (row["status"], row["class"]) == (told.status, told.class_)
        assert (row["admitted_at"], row["discharged_at"]) == (told.admitted_at, told.discharged_at)
        assert row["patient_id"] == owner[survivors[MRNS[n]].value]


def _compare_census(twin: Twin, stays: Sequence[dict[str, object]]) -> None:
    # census(t + 1) = census(t) + arrivals - departures, per unit, every hour
    previous: Counter[str] | None = None
    for hour in range(-1, 17):
        at = hours(hour)
        rows = twin.query(
            "SELECT unit, count(*) AS census FROM twin.stay"
            " WHERE from_at <= $at AND (to_at IS NULL OR to_at > $at) GROUP BY unit",
            {"at": at},
        )
        census = Counter({str(row["unit"]): int(str(row["census"])) for row in rows})
        if previous is not None:
            arrived = _counted(stays, "from_at", at)
            left = _counted(stays, "to_at", at)
            for unit in census | previous:
                assert census[unit] == previous[unit] + arrived[unit] - left[unit]
        previous = census


def _counted(stays: Sequence[dict[str, object]], when: str, at: datetime) -> Counter[str]:
    since = at - timedelta(hours=1)
    return Counter(str(s["unit"]) for s in stays if s[when] and since < s[when] <= at)
