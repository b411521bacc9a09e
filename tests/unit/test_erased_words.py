"""Whose number stands in bytes that nobody can read, and what is left of an event without them."""

from datetime import UTC, datetime

import pytest

from twin_core.erased import Marks, name_words, names_of, telling, without, words_in
from twin_core.events import (
    Admitted,
    AppointmentBooked,
    Attendance,
    Event,
    ObservationsReported,
    PatientDescribed,
    PatientsLinked,
)
from twin_core.identifiers import Identifier

AT = datetime(2026, 3, 2, tzinfo=UTC)
HER, HIM = (Identifier("urn:mrn", n) for n in ("7", "8"))
VISIT, OTHER = (Identifier("urn:visit", n) for n in ("V7", "V8"))


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"PID|1||P12345^^^GEN^MR||X^Y", True),
        (b"PID|1||9^^^A~P12345^^^GEN^MR", True),
        (b"NK1|1|X^Y|MTH||||||||||||||||||||||||||P12345", True),
        ("PID|1||P12345".encode("utf-16-le"), True),
        (b'{"subject": {"reference": "http://x/fhir/Patient/P12345/_history/2"}}', False),
        (b'{"identifier": [{"value": "P12345"}]}', True),
        (b'{"identifier": [{"value": "\\u005012345"}]}', True),
        (b"PID|1||XP12345^^^GEN^MR", False),
        (b"PID|1||P123456^^^GEN^MR", False),
        (b"", False),
        (b"\xff\xfe\x00", False),
    ],
)
def test_a_long_number_is_known_wherever_it_stands_alone(raw: bytes, named: bool) -> None:
    assert bool(words_in(raw) & telling(["P12345"])) is named


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"MSH|^~\\&|A\rPID|1||12^^^GEN^MR||X", True),
        (b"MSH|^~\\&|A\rPID|1|12||X", True),
        (b"MSH|^~\\&|A\nMRG|3~12^^^GEN", True),
        (b"MSH|^~\\&|A\rPID|1||13^^^GEN^MR" + b"|" * 18 + b"12^^^GEN^MR", True),
        (b"MSH|^~\\&|A\rNK1|1|X^Y" + b"|" * 31 + b"12^^^GEN^MR", True),
        (b"MSH|^~\\&|A\rPID|12||13^^^GEN^MR||12^12", False),
        (b"MSH|^~\\&|A\rOBX|12|NM|12||12", False),
        (b'{"identifier": [{"system": "urn:x", "value": "12"}]}', True),
        (b'{"valueString": "12", "id": "12"}', False),
    ],
)
def test_a_short_number_is_known_only_where_people_have_theirs(raw: bytes, named: bool) -> None:
    assert bool(words_in(raw) & telling(["12"])) is named


def test_a_reference_is_known_by_its_end() -> None:
    told = words_in(b'{"reference": "https://x/fhir/Patient/7/_history/2"}')
    assert "Patient/7" in told & telling(["Patient/7"])


def described(*people: Identifier) -> PatientDescribed:
    return PatientDescribed(occurred_at=AT, patient=people)


def admitted(visit: Identifier, *people: Identifier) -> Admitted:
    return Admitted(occurred_at=AT, entered_at=AT, encounter=(visit,), patient=people)


def reported(visit: Identifier | None, *people: Identifier) -> ObservationsReported:
    order = Identifier("urn:order", "1")
    return ObservationsReported(
        occurred_at=AT,
        order=order,
        source="LAB",
        patient=people,
        encounter=visit,
        effective_at=AT,
        observations=(),
    )


def booked(*people: Identifier) -> AppointmentBooked:
    return AppointmentBooked(
        occurred_at=AT,
        appointment=(Identifier("urn:appointment", "1"),),
        patients=tuple(Attendance((one,)) for one in people),
    )


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (described(HER), None),
        (described(HIM), described(HIM)),
        (PatientsLinked(occurred_at=AT, one=HIM, other=HER), None),
        (admitted(VISIT, HER), None),
        (admitted(VISIT), None),
        (admitted(OTHER, HER), None),
        (admitted(OTHER, HIM), admitted(OTHER, HIM)),
        (reported(None, HER), None),
        (reported(VISIT), None),
        (reported(VISIT, HIM), reported(None, HIM)),
        (booked(HER), None),
        (booked(HER, HIM), booked(HIM)),
        (booked(), booked()),
    ],
)
def test_what_remains_of_an_event(event: Event, left: Event | None) -> None:
    gone = {HER, VISIT}.__contains__
    assert without(event, gone) == left


def test_a_record_of_somebody_else_stays_without_her() -> None:
    gone = {HER, VISIT}.__contains__
    assert without(admitted(OTHER, HER), gone, keep_record=True) == admitted(OTHER)
    assert without(admitted(VISIT, HIM), gone, keep_record=True) is None


def test_marks_name_nobody_and_need_their_key() -> None:
    marks = Marks(b"k" * 32)
    known = Marks(b"k" * 32, {marks.mark(HER)})
    assert known.covers(HER)
    assert not known.covers(HIM)
    assert not Marks(b"l" * 32, {marks.mark(HER)}).covers(HER)
    assert marks.mark(HER) != marks.mark_word(HER.value)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("GET /fhir/R4/Patient?family=Ångström-Wu", True),
        ("GET /fhir/R4/Patient?family=%C3%85ngstr%C3%B6m", True),
        ('{"text":"SELECT 1\\nANGSTROM"}', True),
        ('{"text":"\\u00c5ngstr\\u00f6m"}', True),
        ("Ångströmer", False),
        # Others are called that, or it is short: it names her only beside the rest.
        ("Maria in resus", False),
        ("Wu in resus", False),
        ("Maria Wu of the ward", False),
        ("GET /fhir/R4/Patient?family=smith&given=Jo", True),
        ("Smith, John", False),
        ("", False),
    ],
)
def test_a_text_names_somebody_by_a_name_of_theirs_alone_or_by_the_whole(
    said: str, named: bool
) -> None:
    told = [("Ångström-Wu", "Maria"), ("Smith", "Jo"), (None, "Li"), ("Order", None)]
    names = names_of(told, name_words("SMITH", "Maria", "order"))
    assert names.stand_in(said) is named
