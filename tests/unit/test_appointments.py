"""Appointments from SIU messages: what the analysts' tables show after they were heard."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from adapters.hl7v2 import translate
from twin_core import Twin
from twin_core.events import (
    AppointmentBooked,
    AppointmentStated,
    Attendance,
    Booking,
    Rejection,
    Translation,
)
from twin_core.identifiers import Identifier
from twin_core.inbox import Receipt
from twin_core.kpi.measuring import measure
from twin_core.kpi.tracing import rows_behind
from twin_core.settings import FeedSettings, LimitSettings

RECEIVED_AT = datetime(2026, 11, 20, tzinfo=UTC)
HALF_A_MINUTE = timedelta(seconds=30)
LAST_MINUTE = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
FEED = FeedSettings(time_zone="UTC")
PID = "PID|1||900001^^^HOSP^MR||TESTER^ADA"


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def message(trigger: str, sent: str, *lines: str, kind: str = "SIU") -> bytes:
    """A message sent at a time of 1 November (`0805`), or at a whole time stamp."""
    stamp = sent if len(sent) > 4 else f"20261101{sent}00"
    header = rf"MSH|^~\&|SCHED|HOSP|TWIN|LAB|{stamp}||{kind}^{trigger}|{trigger}-{sent}|P|2.5.1"
    return "\r".join((header, *lines, "")).encode()


def sch(placer: str = "P1", filler: str = "F1", **said: str) -> str:
    """An SCH; fields by number, as in `f25="Booked"`."""
    fields = ["SCH", placer, filler, *[""] * 25]
    for name, value in said.items():
        fields[int(name[1:])] = value
    return "|".join(fields)


def timed(start: str, end: str = "", **said: str) -> str:
    """An SCH with start and end as times of 2 November."""
    ends = f"20261102{end}00" if end else ""
    return sch(f11=f"^^^20261102{start}00^{ends}", **said)


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Twin]:
    with Twin.open(tmp_path / "x.duckdb") as twin:
        yield twin


def hear(twin: Twin, *raws: bytes) -> None:
    twin.receive([received(raw) for raw in raws])
    twin.wait_applied()
    assert twin.quarantined() == []


def received(raw: bytes) -> Receipt:
    outcome = translate(
        raw, feed="f", settings=FEED, limits=LimitSettings(), received_at=RECEIVED_AT
    )
    assert not isinstance(outcome, Rejection), outcome
    return Receipt(format="hl7v2", feed="f", raw=raw, outcome=outcome, origin="test")


def shown(twin: Twin, columns: str, table: str = "appointment") -> list[tuple[object, ...]]:
    rows = twin.query(f"SELECT {columns} FROM twin.{table} ORDER BY ALL")
    return [tuple(row.values()) for row in rows]


def test_an_appointment_is_booked_moved_and_kept(twin: Twin) -> None:
    hear(twin, message("S12", "0800", timed("0900", "0930", f7="HIP", f25="Booked"), PID))
    hear(twin, message("S13", "0805", timed("1100"), PID))
    hear(twin, message("S14", "0810", sch(f25="Complete")))
    columns = "status, starts_at, ends_at, duration_minutes, reason, booked_at, cancelled_at"
    assert shown(twin, columns) == [
        ("fulfilled", at(2, 11), at(2, 11, 30), 30, "HIP", at(1, 8), None)
    ]
    assert shown(twin, "family_name", "patient") == [("TESTER",)]


@pytest.mark.parametrize(
    ("trigger", "code", "status"),
    [
        ("S15", "", "cancelled"),
        ("S15", "Booked", "cancelled"),
        ("S15", "Noshow", "noshow"),
        ("S16", "Dc", "cancelled"),
        ("S17", "Cancelled", "entered-in-error"),
        ("S26", "Booked", "noshow"),
        ("S14", "Cancelled", "cancelled"),
        ("S14", "Started", "checked-in"),
        ("S14", "", "booked"),
    ],
)
def test_the_event_and_the_status_code_say_what_became_of_it(
    twin: Twin, trigger: str, code: str, status: str
) -> None:
    hear(twin, message("S12", "0800", timed("0900"), PID))
    hear(twin, message(trigger, "0810", sch(f6="ILL", f25=code)))
    ended = status in {"cancelled", "noshow", "entered-in-error"}
    expected = (status, "ILL", at(1, 8, 10)) if ended else (status, None, None)
    assert shown(twin, "status, cancel_reason, cancelled_at") == [expected]


def test_what_was_cancelled_can_be_booked_again(twin: Twin) -> None:
    ais = "AIS|1||XR|||||||Cancelled"
    hear(twin, message("S12", "0800", timed("0900"), PID, "AIS|1||XR|||||||Booked"))
    hear(twin, message("S15", "0810", sch(f6="ILL"), ais), message("S13", "0820", timed("1000")))
    assert shown(twin, "status, cancel_reason, cancelled_at") == [("booked", None, None)]
    assert shown(twin, "code, status, starts_at", "appointment_resource") == [
        ("XR", "booked", at(2, 10))
    ]


def test_an_older_message_that_comes_later_undoes_nothing(twin: Twin) -> None:
    hear(twin, message("S13", "0810", timed("1100", "1130", f7="KNEE"), PID))
    hear(twin, message("S12", "0800", timed("0900", "0945", f7="HIP", f8="Normal"), PID))
    columns = "status, starts_at, ends_at, reason, appointment_type, booked_at"
    assert shown(twin, columns) == [
        ("booked", at(2, 11), at(2, 11, 30), "KNEE", "Normal", at(1, 8))
    ]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_booking_under_a_placer_number_in_use_replaces_it_with_a_finding(
    twin: Twin, backwards: bool
) -> None:
    said = [
        message("S12", "0800", sch("P1", "F1", f11="^^^20261102090000"), PID),
        message("S12", "0810", sch("P1", "F2", f11="^^^20261102100000"), PID),
    ]
    hear(twin, *(said[::-1] if backwards else said))
    assert shown(twin, "status, starts_at") == [("booked", at(2, 10))]
    assert [row["kind"] for row in twin.query("FROM twin.finding")] == ["reused_appointment_number"]


@pytest.mark.parametrize("trigger", ["S13", "S15"])
def test_a_number_given_anew_after_a_move_or_a_cancel_is_no_finding(
    twin: Twin, trigger: str
) -> None:
    hear(
        twin,
        message("S12", "0800", sch("P1", "F1", f11="^^^20261102090000"), PID),
        message(trigger, "0805", sch("P1", "F2" if trigger == "S13" else "F1"), PID),
        message("S12", "0810", sch("P1", "F2", f11="^^^20261102100000"), PID),
    )
    assert twin.query("FROM twin.finding") == []


def test_a_cancel_of_the_same_second_comes_after_the_change(twin: Twin) -> None:
    hear(twin, message("S15", "0810", sch(), PID), message("S14", "0810", timed("0900"), PID))
    assert shown(twin, "status, starts_at") == [("cancelled", at(2, 9))]


def test_empty_keeps_and_two_quotes_clear(twin: Twin) -> None:
    hear(twin, message("S12", "0800", timed("0900", "0930", f7="HIP", f8="Normal"), PID))
    hear(twin, message("S14", "0805", sch(f7='""')))
    assert shown(twin, "reason, appointment_type, starts_at") == [(None, "Normal", at(2, 9))]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (timed("0900", "0930", f9="60", f10="min"), (at(2, 9), at(2, 9, 30), 30)),
        (timed("0900", f9="2", f10="hr"), (at(2, 9), at(2, 11), 120)),
        (timed("0900", f9="90", f10="s"), (at(2, 9), at(2, 9, 1) + HALF_A_MINUTE, 2)),
        (timed("0900"), (at(2, 9), None, None)),
        (sch(f9="20"), (None, None, 20)),
        (sch(f11="^^M15^20261102090000"), (at(2, 9), at(2, 9, 15), 15)),
        (timed("0930", "0900"), (at(2, 9, 30), None, None)),
        (sch(f11="^^^99991231235900", f9="10"), (LAST_MINUTE, None, 10)),
    ],
)
def test_start_end_and_duration_follow_from_what_is_stated(
    twin: Twin, said: str, expected: tuple[object, ...]
) -> None:
    hear(twin, message("S12", "0800", said, PID))
    assert shown(twin, "starts_at, ends_at, duration_minutes") == [expected]


def test_without_own_times_an_appointment_lasts_as_its_resources_do(twin: Twin) -> None:
    lines = ("RGS|1", "AIS|1||XR|20261102100000|||10|min", "AIP|1||77|||20261102095000|||30|min")
    hear(twin, message("S12", "0800", sch(), PID, *lines))
    assert shown(twin, "starts_at, ends_at, duration_minutes") == [
        (at(2, 9, 50), at(2, 10, 20), 30)
    ]


def test_resources_start_at_their_offset_and_move_with_the_appointment(twin: Twin) -> None:
    lines = ("AIG|1||PUMP|||||20261102091000", "AIP|1||77||||-15|min|20|min", "AIS|1||XR||1|hr")
    hear(twin, message("S12", "0800", timed("0900", "1000"), PID, "RGS|1", *lines))
    columns, table = "code, starts_at, ends_at", "appointment_resource"
    assert shown(twin, columns, table) == [
        ("77", at(2, 8, 45), at(2, 9, 5)),
        ("PUMP", at(2, 9, 10), at(2, 10)),
        ("XR", at(2, 10), at(2, 10)),
    ]
    hear(twin, message("S13", "0805", timed("1200"), PID))
    assert shown(twin, columns, table) == [
        ("77", at(2, 11, 45), at(2, 12, 5)),
        ("PUMP", at(2, 12), at(2, 13)),
        ("XR", at(2, 13), at(2, 13)),
    ]


BOOKED = ("RGS|1", "AIS|1||XR", "AIL|1||ORTHO^1", "AIP|1||77^SMITH", "AIP|2||78^JONES")


@pytest.mark.parametrize(
    ("trigger", "lines", "expected"),
    [
        # Without an action the message lists all resources of the kinds that it has.
        ("S14", ["AIP|1||78"], {"XR", "ORTHO-1", "78"}),
        # With one it says what to do with each.
        ("S14", ["AIP|1|D|77"], {"XR", "ORTHO-1", "78"}),
        ("S14", ["AIP|1|A|79"], {"XR", "ORTHO-1", "77", "78", "79"}),
        ("S14", ["AIP|1|X|77", "AIP|2|U|79"], {"XR", "ORTHO-1", "77", "79"}),
        ("S14", ["RGS|1|U", "AIL|1||ORTHO^2"], {"XR", "ORTHO-2", "77", "78"}),
        ("S18", ["RGS|1", "AIG|1||PUMP"], {"XR", "ORTHO-1", "77", "78", "PUMP"}),
        ("S19", ["RGS|1", "AIP|1||79"], {"XR", "ORTHO-1", "79", "78"}),
        ("S20", ["RGS|1", "AIP|1||77"], {"XR", "ORTHO-1", "77 cancelled", "78"}),
        ("S21", ["RGS|1", "AIP|1|X|77", "AIP|2||78"], {"XR", "ORTHO-1", "77", "78 cancelled"}),
        ("S22", ["RGS|1", "AIP|1|D|77"], {"XR", "ORTHO-1", "77 entered-in-error", "78"}),
        ("S12", ["RGS|1", "AIS|1|A|CT"], {"CT"}),
        ("S13", [], {"XR", "ORTHO-1", "77", "78"}),
    ],
)
def test_resources_follow_their_action_codes(
    twin: Twin, trigger: str, lines: Sequence[str], expected: set[str]
) -> None:
    hear(twin, message("S12", "0800", timed("0900"), PID, *BOOKED))
    hear(twin, message(trigger, "0810", sch(), *lines))
    found = shown(twin, "code, status", "appointment_resource")
    assert {" ".join(row).removesuffix(" booked") for row in found} == expected


def test_an_appointment_is_where_its_first_live_location_is(twin: Twin) -> None:
    lines = ("RGS|1", "AIL|1||ORTHO^1^^NORTH", "AIL|2||ORTHO^2^BAY3^NORTH")
    hear(twin, message("S12", "0800", timed("0900"), PID, *lines))
    assert shown(twin, "facility, unit, room") == [("NORTH", "ORTHO", "1")]
    hear(twin, message("S20", "0805", sch(), "RGS|1", "AIL|1||ORTHO^1^^NORTH"))
    assert shown(twin, "facility, unit, room") == [("NORTH", "ORTHO", "2")]
    [(location_id,)] = shown(twin, "location_id")
    locations = shown(twin, "kind, unit, room, location_id", "location")
    assert ("ro", "ORTHO", "2", location_id) in locations
    assert "bd" not in {kind for kind, *_ in locations}


def test_an_appointment_moves_nobody_and_opens_no_visit(twin: Twin) -> None:
    pv1 = "PV1|1|I|MED^1^A^HOSP||||||||||||||||V1^^^HOSP^VN" + "|" * 25 + "20261101070000"
    hear(twin, message("A01", "0700", "EVN|A01|20261101070000", PID, pv1, kind="ADT"))
    before = shown(twin, "*", "stay"), shown(twin, "*", "encounter")
    elsewhere = pv1.replace("MED^1^A", "ICU^9^Z")
    hear(twin, message("S12", "0800", timed("0900"), PID, elsewhere))
    hear(twin, message("S12", "0801", sch("P2", "F2"), PID, elsewhere.replace("V1^", "V2^")))
    assert (shown(twin, "*", "stay"), shown(twin, "*", "encounter")) == before
    assert shown(twin, "unit, facility") == [(None, "HOSP")] * 2
    [(encounter_id,)] = shown(twin, "encounter_id", "encounter")
    assert shown(twin, "visit_number, encounter_id", "appointment_patient") == [
        ("V1", encounter_id),
        ("V2", None),
    ]


def test_a_visit_that_begins_later_is_linked_and_a_merge_is_followed(twin: Twin) -> None:
    pv1 = "PV1|1|O|ORTHO^1||||||||||||||||V1^^^HOSP^VN"
    hear(twin, message("S12", "0800", timed("0900"), PID, pv1))
    assert shown(twin, "encounter_id, unit") == [(None, "ORTHO")]
    hear(twin, message("A04", "0900", "EVN|A04|20261101090000", PID, pv1, kind="ADT"))
    assert shown(twin, "encounter_id") == shown(twin, "encounter_id", "encounter")
    survivor = PID.replace("900001", "900002")
    hear(twin, message("A40", "1000", survivor, "MRG|900001^^^HOSP^MR", kind="ADT"))
    patients = shown(twin, "patient_id, merged_into", "patient")
    assert shown(twin, "patient_id") == [(one,) for one, into in patients if into is None]


def test_ids_of_placer_and_filler_meet_and_occurrences_stay_apart(twin: Twin) -> None:
    hear(twin, message("S12", "0800", sch("P1", ""), PID))
    hear(twin, message("S12", "0801", sch("", "F1"), PID))
    assert len(shown(twin, "appointment_id")) == 2
    hear(twin, message("S13", "0802", timed("1000"), PID))
    hear(twin, message("S13", "0803", sch("P1", "F9"), PID))
    assert shown(twin, "starts_at") == [(at(2, 10),)]
    known_as = shown(twin, "type, value, occurrence", "appointment_identifier")
    assert known_as == [("FILL", "F1", None), ("FILL", "F9", None), ("PLAC", "P1", None)]
    hear(twin, message("S12", "0804", sch(f3="1"), PID), message("S12", "0805", sch(f3="2"), PID))
    assert len(shown(twin, "appointment_id")) == 3
    series = shown(twin, "value, occurrence", "appointment_identifier")
    assert {(value, n) for value, n in series if n} == {
        ("P1", "1"),
        ("F1", "1"),
        ("P1", "2"),
        ("F1", "2"),
    }


def test_every_patient_of_a_group_is_listed(twin: Twin) -> None:
    other = PID.replace("900001", "900002").replace("ADA", "BEN")
    hear(twin, message("S12", "0800", timed("0900"), PID, other))
    listed = shown(twin, "patient_id", "appointment_patient")
    assert listed == shown(twin, "patient_id", "patient")
    hear(twin, message("S14", "0805", sch(), other))
    assert len(shown(twin, "patient_id", "appointment_patient")) == 1


def test_a_thousand_people_may_be_booked_and_replaced(twin: Twin) -> None:
    booked = [f"AIP|{n}||S{n}" for n in range(1000)]
    replaced = [f"AIP|{n}|U|T{n}" for n in range(1000)]
    hear(twin, message("S12", "0800", timed("0900"), PID, "RGS|1", *booked))
    hear(twin, message("S14", "0805", sch(), "RGS|1", *replaced))
    codes = {code for (code,) in shown(twin, "code", "appointment_resource")}
    assert codes == {f"T{n}" for n in range(1000)}


def test_what_was_known_of_an_appointment_stays_known(twin: Twin) -> None:
    hear(twin, message("S12", "0800", timed("0900"), PID))
    hear(twin, message("S17", "0805", sch()))
    versions = twin.query(
        "SELECT status FROM core.appointment_version ORDER BY known_from, version_no"
    )
    assert [row["status"] for row in versions] == ["booked", "entered-in-error"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_blocked_time_slots_are_of_a_schedule_until_they_are_opened(twin: Twin, order) -> None:
    room, doctor = "AIL|1||GYM^1^^HOSP", "AIP|2||77^DOC^ANN|||20261102140000|||1|h"
    vacation = sch(f9="90", f11="^^^20261102130000", f25="Blocked")
    said = [
        message("S23", "0800", vacation, "RGS|1", room, doctor),
        message("S23", "0801", sch(filler="F2", f11="^^^20261103080000^20261103090000"), room),
        message("S24", "0900", sch(), "RGS|1", room),
    ]
    for number in order:
        hear(twin, said[number])
    rows = twin.query(
        "SELECT l.room, c.performer, s.status, s.starts_at, s.ends_at FROM twin.slot s"
        " JOIN twin.schedule c USING (schedule_id) LEFT JOIN twin.location l USING (location_id)"
        " ORDER BY s.starts_at, c.performer NULLS FIRST"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("1", None, "free", at(2, 13), at(2, 14, 30)),
        (None, "77", "busy-unavailable", at(2, 14), at(2, 15)),
        ("1", None, "busy-unavailable", at(3, 8), at(3, 9)),
    ]
    assert shown(twin, "count(*)") == [(0,)]
    assert shown(twin, "count(*)", "finding") == [(0,)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_what_opens_part_of_a_block_leaves_the_rest_blocked(twin: Twin, order) -> None:
    room = "AIL|1||GYM^1^^HOSP"
    said = [
        message("S23", "0800", sch(f11="^^^20261102090000^20261102120000"), "RGS|1", room),
        message("S24", "0801", sch(f11="^^^20261102100000^20261102110000"), "RGS|1", room),
        message("S23", "0802", sch(f11="^^^20261102103000^20261102110000"), "RGS|1", room),
    ]
    for number in order:
        hear(twin, said[number])
    rows = twin.query("SELECT status, starts_at, ends_at FROM twin.slot ORDER BY starts_at")
    assert [tuple(row.values()) for row in rows] == [
        ("busy-unavailable", at(2, 9), at(2, 10)),
        ("free", at(2, 10), at(2, 10, 30)),
        ("busy-unavailable", at(2, 10, 30), at(2, 12)),
    ]
    assert len({row["slot_id"] for row in twin.query("SELECT slot_id FROM twin.slot")}) == 3
    assert twin.query("SELECT count(*) AS n FROM twin.schedule") == [{"n": 1}]


def test_opened_slots_of_a_person_make_a_third_next_available_appointment(tmp_path: Path) -> None:
    class Afternoon:
        """A clock that is a second later whenever it is looked at."""

        seconds = 0

        def now(self) -> datetime:
            self.seconds += 1
            return at(1, 12) + timedelta(seconds=self.seconds)

    opened = [f"^^^202611{day:02}090000^202611{day:02}093000" for day in (3, 5, 9, 30)]
    with Twin.open(tmp_path / "x.duckdb", clock=Afternoon()) as twin:
        whose = ("RGS|1", "AIP|1||77^DOC^ANN", "AIL|2||GYM^1^^HOSP")
        slots = [
            message(trigger, f"08{number}{late}", sch(filler=f"F{number}", f11=when), *whose)
            for number, when in enumerate(opened)
            for late, trigger in enumerate(("S23", "S24"))
        ]
        hear(twin, *slots)
        hear(twin, message("S12", "0900", timed("0900"), PID))
        window = (at(1, 0), at(2, 0))
        [mean, _] = measure(twin.query, "tna", *window, by="hospital", known_at=at(1, 13))
        assert (mean.statistic, mean.value, mean.denominator) == ("mean", 8.0, 1.0)
        [behind] = rows_behind(twin.query, "tna", *window, by="hospital", known_at=at(1, 13))
        assert (behind.subject_type, behind.numerator) == ("schedule", 8.0)
        assert {said.kind for said in behind.events} == {"CareStated"}


def test_numbers_of_a_block_are_known_once_after_a_restart(tmp_path: Path) -> None:
    room, path = "AIL|1||GYM^1^^HOSP", tmp_path / "again.duckdb"
    times = ("^^^20261102090000^20261102120000", "^^^20261102110000^20261102120000")
    for sent, trigger, told in zip(("0800", "0900"), ("S23", "S24"), times, strict=True):
        with Twin.open(path) as twin:
            hear(twin, message(trigger, sent, sch(f11=told), "RGS|1", room))
            known = twin.query(
                "SELECT care_id, value, count(*) AS n FROM core.care_identifier_version"
                " WHERE known_to = 'infinity' GROUP BY ALL"
            )
    assert {row["n"] for row in known} == {1}
    assert len(known) == 3, "a schedule and two slots"


def test_a_patient_whom_only_a_server_names_is_known_after_a_restart(tmp_path: Path) -> None:
    path, of_the_server = tmp_path / "again.duckdb", Identifier("ehr", "Patient/7", "reference")
    booked = received(message("S12", "0800", timed("0900"), PID))
    assert isinstance(booked.outcome, Translation)
    [heard] = [e for e in booked.outcome.events if isinstance(e, AppointmentBooked)]
    stated = AppointmentStated(
        occurred_at=at(1, 7),
        source="ehr",
        subject=Identifier("ehr", "Appointment/1", "reference"),
        identifiers=heard.appointment,
        patients=(Attendance((of_the_server,)),),
        booking=Booking(starts_at=at(2, 9)),
    )
    of_it = msgspec.structs.replace(booked.outcome.envelope, control_id="1", digest=b"1" * 16)
    told = msgspec.structs.replace(
        booked, format="fhir", raw=b"", outcome=Translation(envelope=of_it, events=(stated,))
    )
    with Twin.open(path) as twin:
        twin.receive([told, booked])
        twin.wait_applied()
        found = shown(twin, "kind, subject", "finding")
    with Twin.open(path) as twin:
        hear(twin, message("S14", "0900", timed("1000")))
        assert shown(twin, "starts_at") == [(at(2, 10),)]
        assert shown(twin, "kind, subject", "finding") == found
