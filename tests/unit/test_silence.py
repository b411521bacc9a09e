"""When silence is too long: busy feeds, quiet nights, weekends, batches, outages, new feeds."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.silence import HeardHour, learned

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
UTC_ZONE = ZoneInfo("UTC")


def heard(instants):
    """The hours of a feed whose messages came at these instants."""
    hours = {}
    for at in sorted(instants):
        hours.setdefault(at.replace(minute=0, second=0, microsecond=0), []).append(at)
    return [HeardHour(hour, len(ats), ats[0], ats[-1]) for hour, ats in hours.items()]


def every(minutes, days, when=lambda at: True, start=MONDAY):
    instants = (start + n * minutes * MINUTE for n in range(int(days * 24 * 60 / minutes)))
    return [at for at in instants if when(at)]


def minutes_until_warned(instants, last_at, zone=UTC_ZONE):
    due_by = learned(heard(instants), zone).due_by(last_at)
    return None if due_by is None else (due_by - last_at) / MINUTE


def test_a_busy_feed_is_missed_after_a_quarter_of_an_hour():
    instants = every(0.5, 14)
    assert minutes_until_warned(instants, instants[-1]) == 15


def test_a_slow_feed_is_given_the_time_of_seven_messages():
    instants = every(20, 14)
    assert minutes_until_warned(instants, instants[-1]) == pytest.approx(6.9 * 20, abs=3)


def test_a_quiet_night_and_a_quiet_weekend_are_usual():
    instants = every(1, 28, when=lambda at: 7 <= at.hour < 19 and at.weekday() < 5)
    friday = MONDAY + timedelta(days=25)
    evening = friday + 18 * HOUR + 59 * MINUTE
    # Silence begins to count on Monday at seven; Friday's usual pause lasts until just then too.
    assert minutes_until_warned(instants, evening) >= (60 + 1) * 60
    noon = friday + 12 * HOUR
    assert minutes_until_warned(instants, noon) == 15
    tuesday_evening = MONDAY + timedelta(days=22) + 18 * HOUR + 59 * MINUTE
    until_morning = 12 * 60 + 1
    assert until_morning < minutes_until_warned(instants, tuesday_evening) < until_morning * 2


def test_a_sender_of_nightly_batches_is_not_missed_until_the_next_night():
    nights = [MONDAY + timedelta(days=n, hours=2) for n in range(21)]
    instants = [night + n * timedelta(seconds=1) for night in nights for n in range(300)]
    warned = minutes_until_warned(instants, instants[-1])
    assert 24 * 60 < warned < 40 * 60


def test_one_outage_does_not_become_usual():
    def works(at):
        return not (MONDAY + timedelta(days=9, hours=10) < at < MONDAY + timedelta(days=10))

    instants = every(2, 28, when=works)
    # The lost hours lower the rate of their hour by a quarter, and no more.
    assert 15 <= minutes_until_warned(instants, MONDAY + timedelta(days=23, hours=10)) < 20


def test_a_feed_that_stays_silent_does_not_get_used_to_it():
    instants = every(5, 14)
    rhythm = learned(heard(instants), UTC_ZONE)
    assert rhythm.due_by(instants[-1]) - instants[-1] < 2 * HOUR


def test_hours_are_those_of_the_feed_through_a_change_to_summer_time():
    berlin = ZoneInfo("Europe/Berlin")

    def works(at):
        return 7 <= at.astimezone(berlin).hour < 19

    start = datetime(2026, 3, 9, tzinfo=UTC)
    instants = every(1, 21, when=works, start=start)  # the clocks change on 29 March
    evening = datetime(2026, 3, 30, 16, 59, tzinfo=UTC)
    due = learned(heard(instants), berlin).due_by(evening)
    assert due >= datetime(2026, 3, 31, 5, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "instants", [[], [MONDAY], every(1, 0.5), every(24 * 60, 10)], ids=["none", "one", "half a day",
    "ten messages"])  # fmt: skip
def test_too_little_is_known_of_a_new_feed(instants):
    assert learned(heard(instants), UTC_ZONE) is None


@given(
    st.lists(st.integers(0, 40 * 24 * 60), min_size=20, max_size=200, unique=True),
    st.integers(0, 7 * 24 * 60),
)
def test_a_warning_is_never_early_and_never_before_the_message(offsets, later):
    instants = [MONDAY + n * MINUTE for n in offsets]
    rhythm = learned(heard(instants), UTC_ZONE)
    if rhythm is None:
        return
    last_at = max(instants) + later * MINUTE
    due_by = rhythm.due_by(last_at)
    assert due_by is None or due_by >= last_at + timedelta(minutes=15)
    # The later a message, the later the warning, but for what is usual after its own hour.
    again = rhythm.due_by(last_at + timedelta(seconds=1))
    same_hour = (last_at + timedelta(seconds=1)).hour == last_at.hour
    if due_by is not None and again is not None and same_hour:
        assert again >= due_by - timedelta(milliseconds=1)
