"""Appointments and results told again: as golden pairs, and whatever they say."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from adapters.hl7v2 import translate
from adapters.hl7v2.retell import Dialect, Said, Untellable, retell, schedules
from twin_core.events import (
    AppointmentEvent,
    Attendance,
    Booking,
    Demographics,
    Observation,
    ObservationsReported,
    OrderedService,
    PatientDescribed,
    ResourceBooked,
    Translation,
)
from twin_core.identifiers import NOWHERE, Identifier, Place
from twin_core.settings import FeedSettings, LimitSettings

FIXTURES = Path(__file__).parents[2] / "fixtures"
SENT_AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
GOLDEN = {
    # a message as received: the version in which it is told, to bytes that were written by hand
    "s12_group_of_two": "2.5.1",
    "s12_inpatient_and_tentative": "2.3",
    "s20_resource_cancelled": "2.5.1",
    "r01_blood_count": "2.5.1",
    "r01_corrected_and_deleted": "2.4",
    "r30_point_of_care": "2.7",
}


def understood(raw: bytes) -> Translation:
    heard = translate(
        raw, feed="f", settings=FeedSettings(), limits=LimitSettings(), received_at=SENT_AT
    )
    assert isinstance(heard, Translation), heard
    return heard


def said(heard: Translation) -> Said:
    kept = heard.envelope
    return Said(
        trigger_event=kept.trigger_event,
        sender=kept.sender,
        sent_at=kept.sent_at,
        events=heard.events,
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_a_message_is_told_to_the_letter(name: str) -> None:
    heard = understood((FIXTURES / "hl7v2" / f"{name}.hl7").read_bytes())
    raw = retell(said(heard), Dialect(version=GOLDEN[name]), "7")
    golden = FIXTURES / "outbound" / f"{name}.hl7"
    assert raw.decode().split("\r") == golden.read_text("utf-8").replace("\n", "\r").split("\r")


def test_the_receivers_names_are_used_for_authorities_units_and_codes() -> None:
    heard = understood((FIXTURES / "hl7v2" / "r01_blood_count.hl7").read_bytes())
    dialect = Dialect(
        facility="SOUTH",
        authorities={
            "urn:wardtwin:authority:LAB": "LABOR&1.2.3&ISO",
            "urn:wardtwin:sender:NORTH:code:L": "99NORTH",
        },
    )
    told = retell(said(heard), dialect, "7").decode()
    assert "|F900^LABOR^1.2.3^ISO|" in told
    assert "|6690-2^Leukocytes^LN^WBC^^99NORTH|" in told
    assert told.split("|")[3] == "SOUTH"


def test_a_value_that_is_not_kept_is_never_left_out_in_silence() -> None:
    heard = understood((FIXTURES / "hl7v2" / "r01_narrative_and_attachment.hl7").read_bytes())
    with pytest.raises(Untellable, match="narrative"):
        retell(said(heard), Dialect(), "7")


# --- any of them -----------------------------------------------------------------------------

words = st.sampled_from(
    # Whatever the delimiters, escapes and other syntax of a message could be mistaken for.
    (
        *("A", "7", "X-1", "a b", "a^b&c~d|e", "\\E\\", "\\", "Łąka", "#4", "x.y", "a/b"),
        *("=", "<5", "1-2", "urn:x", "\\X0D\\", "'", "LN", "min", "''", "0", "\uff10\uff10"),
    )
)
instants = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
times = st.one_of(st.just(UNSET), st.none(), instants)
texts = st.one_of(st.just(UNSET), st.none(), words)
systems = st.one_of(
    words.map(lambda name: f"urn:wardtwin:authority:{name}"),
    st.just("urn:oid:1.2.276.0.76"),
    words.map(lambda name: f"https://general.example/{name}"),
)
patients = st.builds(Identifier, systems, words, st.just("MR"))
visits = st.one_of(st.none(), st.builds(Identifier, systems, words, st.sampled_from(["VN", "AN"])))
statuses = st.sampled_from(
    (
        *("proposed", "pending", "booked", "arrived", "fulfilled", "cancelled", "noshow"),
        *("entered-in-error", "checked-in", "waitlist"),
    )
)
lengths = st.one_of(st.just(UNSET), st.none(), st.integers(0, 500_000).map(float))
places = st.builds(Place, st.just("GENERAL"), words, words, st.one_of(st.just(""), words))


@st.composite
def resources(draw: st.DrawFn, number: int) -> ResourceBooked:
    kind = draw(st.sampled_from(["service", "general", "location", "personnel"]))
    code, system, place = draw(words), "", NOWHERE
    name = draw(st.one_of(st.just(UNSET), words))
    if kind == "location":
        place, name = draw(places), UNSET
        code = "-".join(part for part in place.parts[1:] if part)
    elif kind == "personnel":
        system = draw(systems)
    return ResourceBooked(
        kind=kind,
        action=draw(st.sampled_from(["", "A", "D", "U", "X"])),
        position=f"{draw(st.sampled_from(['1', '2', '10']))}.{number}",
        system=system,
        code=code,
        name=name,
        role=UNSET if kind == "service" else draw(texts),
        place=place,
        starts_at=draw(times),
        offset_minutes=draw(st.one_of(lengths, st.just(-15.0))),
        duration_minutes=draw(lengths),
        status=draw(st.one_of(st.just(UNSET), statuses)),
    )


@st.composite
def appointments(draw: st.DrawFn) -> Said:
    kind = draw(st.sampled_from(sorted(schedules.TRIGGERS, key=lambda kind: kind.__name__)))
    booked = tuple(draw(resources(number)) for number in range(1, draw(st.integers(0, 4)) + 1))
    who = draw(st.lists(st.tuples(patients, visits), max_size=3))
    located = not who or any(resource.place for resource in booked)
    starts_at, ends_at = draw(times), draw(times)
    if isinstance(starts_at, datetime) and isinstance(ends_at, datetime) and ends_at < starts_at:
        ends_at = UNSET
    occurrence = draw(st.one_of(st.just(UNSET), words))
    numbers = [
        Identifier(draw(systems), draw(words) + (f"#{occurrence}" if occurrence else ""), of)
        for of in draw(st.sampled_from([("PLAC",), ("FILL",), ("PLAC", "FILL")]))
    ]
    event = kind(
        occurred_at=SENT_AT,
        appointment=tuple(numbers),
        patients=tuple(Attendance((patient,), visit) for patient, visit in who),
        booking=Booking(
            status=draw(statuses),
            starts_at=starts_at,
            ends_at=ends_at,
            duration_minutes=draw(lengths),
            occurrence=occurrence,
            kind=draw(texts),
            urgency=draw(texts),
            reason=draw(texts),
            event_reason=draw(texts),
            facility="GENERAL",
            place=NOWHERE if located else draw(st.one_of(st.just(NOWHERE), places)),
        ),
        resources=booked,
    )
    described = (
        PatientDescribed(
            occurred_at=SENT_AT, patient=(patient,), demographics=Demographics(family_name="Łąka")
        )
        for patient, _ in who
    )
    usual = schedules.TRIGGERS[kind][0]
    return Said(
        trigger_event=f"SIU^{usual}",
        sender="SCHED|GENERAL",
        sent_at=SENT_AT,
        events=(*described, event),
    )


@given(appointments(), st.sampled_from(["2.3", "2.5.1", "2.8"]))
@settings(max_examples=30)
def test_any_appointment_told_again_means_the_same(meant: Said, version: str) -> None:
    raw = retell(meant, Dialect(version=version), "7")
    assert understood(raw).events == meant.events
    assert isinstance(meant.events[-1], AppointmentEvent)


numbers = st.decimals(-1000, 1000, places=2).map(str)
# A device numbered by a URI is known by that alone, whatever its authority.
devices = st.builds(
    Identifier, systems, words.filter(lambda text: text != "urn:x"), st.just("device")
)
codings = st.one_of(
    st.tuples(st.just(LOINC), words), st.tuples(words.map("urn:example:{}".format), words)
)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    system, code = draw(codings)
    value: dict[str, Any] = {"value_type": draw(st.sampled_from(["Quantity", "string", ""]))}
    if value["value_type"] == "Quantity":
        comparator, number = draw(st.sampled_from(["", "", "<", ">="])), draw(numbers)
        value |= {"value": comparator + number, "value_number": float(number)}
        value["comparator"] = comparator
    elif value["value_type"]:
        value["value"] = draw(words)
    elif draw(st.booleans()):
        value = {"value_type": "CodeableConcept", "value_system": LOINC}
        value |= {"value_code": draw(words), "value": draw(words)}
    unit = draw(st.sampled_from([("", ""), ("mg/dL", UCUM), ("10*3/uL", UCUM)]))
    return Observation(
        system=system,
        code=code,
        display=draw(st.one_of(st.just(""), words)),
        sub_id=draw(st.one_of(st.just(""), words)),
        status=draw(st.sampled_from(["final", "corrected", "preliminary", "registered"])),
        effective_at=draw(st.one_of(st.none(), instants)),
        unit=unit[0],
        unit_system=unit[1],
        reference_range=draw(st.one_of(st.just(""), words)),
        interpretation=draw(st.sampled_from(["", "H", "A HH"])),
        device=draw(st.one_of(st.none(), devices)),
        **value,
    )


panels = st.builds(
    OrderedService,
    system=st.sampled_from([LOINC, "http://snomed.info/sct", "urn:wardtwin:sender:GENERAL:code:L"]),
    code=words.filter(lambda text: text[0] != "#" and "/" not in text),
    display=st.one_of(st.just(""), words),
)


@st.composite
def reports(draw: st.DrawFn) -> Said:
    who = draw(st.one_of(st.none(), patients))
    visit = draw(visits)
    found = [
        ObservationsReported(
            occurred_at=min(SENT_AT, draw(instants)),
            order=Identifier(draw(systems), f"{draw(words)}-{number}", "FILL"),
            source="LAB|GENERAL",
            patient=(who,) if who else (),
            encounter=visit,
            effective_at=draw(instants),
            panel=(ordered.code,),
            ordered=(ordered,),
            observations=tuple(
                draw(
                    st.lists(
                        observations(),
                        min_size=1,
                        max_size=4,
                        unique_by=lambda one: (one.system, one.code),
                    )
                )
            ),
        )
        for number, ordered in enumerate(draw(st.lists(panels, min_size=1, max_size=3)))
    ]
    told = [msgspec.structs.replace(one, observations=_by_report(one)) for one in found]
    named = [PatientDescribed(occurred_at=SENT_AT, patient=(who,))] if who else []
    return Said(
        trigger_event="ORU^R01",
        sender="LAB|GENERAL",
        sent_at=SENT_AT,
        events=(*named, *told),
    )


def _by_report(report: ObservationsReported) -> tuple[Observation, ...]:
    """A result of the report's own instant states none."""
    return tuple(
        msgspec.structs.replace(
            one, effective_at=None if one.effective_at == report.effective_at else one.effective_at
        )
        for one in report.observations
    )


def test_what_was_ordered_is_told_by_a_code_alone_where_nobody_kept_its_system() -> None:
    heard = understood((FIXTURES / "hl7v2" / "r01_blood_count.hl7").read_bytes())
    *people, report = heard.events
    older = msgspec.structs.replace(report, ordered=())
    raw = retell(msgspec.structs.replace(said(heard), events=(*people, older)), Dialect(), "7")
    assert b"|F900^LAB|58410-2|" in raw


@given(reports(), st.sampled_from(["2.3", "2.5.1", "2.8"]))
@settings(max_examples=30)
def test_any_results_told_again_mean_the_same(meant: Said, version: str) -> None:
    raw = retell(meant, Dialect(application="LAB", version=version), "7")
    assert understood(raw).events == meant.events
