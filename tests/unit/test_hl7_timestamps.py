"""HL7 timestamps: precision, offsets, local time, and what is no time at all."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2.refusal import Refused
from adapters.hl7v2.timestamps import Calendar, Moment, iso_date, within_unit

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"


def instant(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text", "at", "findings"),
    [
        (None, "20261101080000", "2026-11-01 08:00", ["no_time_zone"]),
        (None, "202611010800", "2026-11-01 08:00", ["no_time_zone"]),
        (None, "20261101080000+0100", "2026-11-01 07:00", []),
        (None, "20261101080000-0530", "2026-11-01 13:30", []),
        (None, "20261101080000.1234+0000", "2026-11-01 08:00:00.123400", []),
        # Milliseconds without their point, as some interface engines write them.
        (None, "20261101080000123+0000", "2026-11-01 08:00:00.123", []),
        ("UTC", "20261101080000123", "2026-11-01 08:00:00.123", []),
        (BERLIN, "20260701080000", "2026-07-01 06:00", []),
        (BERLIN, "20261101080000", "2026-11-01 07:00", []),
        (BERLIN, "20260701080000-0400", "2026-07-01 12:00", []),
        # 29 March 2026: 02:00 to 03:00 does not exist; 25 October: it occurs twice.
        (BERLIN, "20260329015959", "2026-03-29 00:59:59", []),
        (BERLIN, "20260329020000", "2026-03-29 01:00", ["ambiguous_local_time"]),
        (BERLIN, "20260329030000", "2026-03-29 01:00", []),
        (BERLIN, "20261025015959", "2026-10-24 23:59:59", []),
        (BERLIN, "20261025020000", "2026-10-25 00:00", ["ambiguous_local_time"]),
        (BERLIN, "20261025025959", "2026-10-25 00:59:59", ["ambiguous_local_time"]),
        (BERLIN, "20261025030000", "2026-10-25 02:00", []),
        # Half an hour of change: 5 April 2026, 01:30 to 02:00 occurs twice.
        (LORD_HOWE, "20260405012959", "2026-04-04 14:29:59", []),
        (LORD_HOWE, "20260405013000", "2026-04-04 14:30", ["ambiguous_local_time"]),
        # Some senders mean "never" by it.
        ("UTC", "99991231235959", "9999-12-31 23:59:59", []),
    ],
)
def test_a_timestamp_is_one_instant(zone, text, at, findings):
    calendar = Calendar(zone)
    for _ in range(2):  # the second reading comes from what the calendar remembers
        notes = {}
        assert calendar.moment(text, "PV1^1^44", notes) == Moment(instant(at))
        assert [note.kind for note in notes.values()] == findings


@pytest.mark.parametrize(
    ("text", "starts", "ends"),
    [
        ("2026110108+0000", "2026-11-01 08:00", "2026-11-01 09:00"),
        ("20261101+0000", "2026-11-01", "2026-11-02"),
        ("202612+0000", "2026-12-01", "2027-01-01"),
        ("2026+0000", "2026-01-01", "2027-01-01"),
        ("20240229+0000", "2024-02-29", "2024-03-01"),
    ],
)
def test_a_coarse_timestamp_is_a_unit_of_time(text, starts, ends):
    notes = {}
    moment = Calendar(None).moment(text, "PV1^1^44", notes)
    assert moment == Moment(instant(starts), instant(ends))
    assert [note.kind for note in notes.values()] == ["reduced_precision"]


def test_a_local_day_of_the_clock_change_has_its_own_length():
    moment = Calendar(BERLIN).moment("20261025", "PV1^1^44", {})
    assert moment == Moment(instant("2026-10-24 22:00"), instant("2026-10-25 23:00"))


@pytest.mark.parametrize(
    ("recorded", "placed"),
    [
        ("2026-11-01 14:00", "2026-11-01 14:00"),
        ("2026-10-30 14:00", "2026-11-01 00:00"),
        ("2026-11-03 14:00", "2026-11-01 23:59:59.999999"),
    ],
)
def test_a_coarse_timestamp_is_placed_by_its_recording_within_its_unit(recorded, placed):
    day = Calendar(None).moment("20261101+0000", "PV1^1^44", {})
    assert within_unit(day, instant(recorded)) == instant(placed)


@pytest.mark.parametrize(
    ("zone", "text"), [("America/New_York", "99991231235959"), ("Asia/Tokyo", "00010101000000")]
)
def test_an_instant_beyond_the_calendar_is_refused(zone, text):
    with pytest.raises(Refused):
        Calendar(zone).moment(text, "PV1^1^45", {})


@given(
    st.from_regex(
        r"(19|20|00)\d\d[01]\d[0-3]\d[0-2]\d[0-6]\d[0-6]\d[+-][01]\d[0-6]\d", fullmatch=True
    )
)
def test_a_whole_timestamp_means_the_same_with_and_without_a_fraction(text):
    # Times with a fraction are read by the rules for any timestamp, whole ones by a shorter way.
    longer = text[:14] + ".0" + text[14:]
    assert read_or_refused(text) == read_or_refused(longer)


def read_or_refused(text):
    try:
        return Calendar(BERLIN).moment(text, "PV1^1^44", {})
    except Refused as refusal:
        return refusal.faults


def test_an_exact_timestamp_is_not_moved_by_its_recording():
    exact = Moment(instant("2026-11-01 08:00"))
    assert within_unit(exact, instant("2026-11-03 14:00")) == exact.at


@pytest.mark.parametrize(
    "text",
    ["20260230", "20260230080000", "20261301", "20261101250000", "20261101240000", "20261101086000",
     "20261101080060", "2026110108000", "tomorrow", "2026-11-01", "20261101080000Z", "0000",
     "00000000000000", "20261101080000+9900", "20261101080000+0160", "20261101080000+1500",
     "0001010100+1400", "99991231235959-1200", "\u0662\u0660\u0662\u0666", "\u00b20261101080000",
     "20261101080000\u00b9", "99991231", "9999", "20261101080000.", "1", "20261101080000+01"],
)  # fmt: skip
@pytest.mark.parametrize("zone", [None, BERLIN])
def test_what_is_no_time_is_refused_by_the_name_of_its_field(text, zone):
    with pytest.raises(Refused) as caught:
        Calendar(zone).moment(text, "PV1^1^44", {})
    assert caught.value.answer == "AE"
    [fault] = caught.value.faults
    assert (fault.where, fault.code) == ("PV1^1^44", "102")
    assert text not in fault.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19440229", "1944-02-29"),
        ("194402", "1944-02"),
        ("1944", "1944"),
        ("19440229103000", "1944-02-29"),
        ("194402291030+0215", "1944-02-29"),
    ],
)
def test_a_birth_date_keeps_its_precision(text, expected):
    assert iso_date(text, "PID^1^7") == expected


@pytest.mark.parametrize(
    "text", ["19430229", "00000000", "1944022", "19441", "1944-2-9", "unknown"]
)
def test_an_impossible_birth_date_is_refused(text):
    with pytest.raises(Refused) as caught:
        iso_date(text, "PID^1^7")
    assert caught.value.faults[0].where == "PID^1^7"
