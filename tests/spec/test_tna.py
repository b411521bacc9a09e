"""In how many days the third free appointment is: slots as they were known on each day."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from drawn import Hospital
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_courses_oracle import drawing
from test_oracle import row


def test_the_third_slot_that_is_free_counts_by_clinician_and_type(draw):
    hospital = draw(known="11-03 00:00")
    hospital.schedules("""
        schedule | performer | unit | code
        S1       | ann       | EYE  | -
        S2       | bob       | EYE  | -
        S3       | -         | EYE  | -
    """)
    # At the start of 11-02, ann's third free slot is that of 11-09: one was over, one is held. Of
    # bob two are free: more than anybody can book. The schedule of a room is nobody's.
    hospital.slots("""
        slot | schedule | status           | starts
        A1   | S1       | free             | 11-01 23:30
        A2   | S1       | free             | 11-02 09:00
        A3   | S1       | busy-tentative   | 11-03 09:00
        A4   | S1       | busy-unavailable | 11-04 09:00
        A5   | S1       | free             | 11-05 09:00
        A6   | S1       | free             | 11-09 09:00
        A7   | S1       | free             | 11-20 09:00
        B1   | S2       | free             | 11-02 09:00
        B2   | S2       | free             | 11-02 10:00
        C1   | S3       | free             | 11-02 09:00
        C2   | S3       | free             | 11-02 10:00
        C3   | S3       | free             | 11-02 11:00
    """)
    hospital.shows(
        "tna",
        "11-02",
        "11-03",
        """
        unit | numerator | denominator | value | coverage
        EYE  | 7         | 1           | 7     | 0.5
        """,
        only="mean",
    )


def test_what_was_booked_since_was_free_when_the_day_began(draw):
    hospital = draw(known="11-04 00:00")
    hospital.schedules("""
        schedule | performer | unit
        S1       | ann       | EYE
    """)
    hospital.slots("""
        slot | schedule | status | starts      | known_from  | known_to
        A1   | S1       | free   | 11-04 09:00 | 11-01 00:00 | 11-02 12:00
        A1   | S1       | busy   | 11-04 09:00 | 11-02 12:00 | -
        A2   | S1       | free   | 11-05 09:00 | 11-01 00:00 | -
        A3   | S1       | free   | 11-06 09:00 | 11-01 00:00 | -
        A4   | S1       | free   | 11-08 09:00 | 11-01 00:00 | -
    """)
    hospital.shows(
        "tna",
        "11-02",
        "11-04",
        """
        period_start | unit | numerator | denominator | value | coverage
        11-02 00:00  | EYE  | 4         | 1           | 4     | 1
        11-03 00:00  | EYE  | 5         | 1           | 5     | 1
        """,
        only="mean",
    )


def test_the_first_day_is_asked_about_when_its_slots_became_known(draw):
    hospital = draw(known="11-02 18:00")
    hospital.schedules("""
        schedule | performer | unit
        S1       | ann       | EYE
    """)
    hospital.slots("""
        slot | schedule | status | starts      | known_from
        A0   | S1       | free   | 11-02 09:00 | 11-02 12:00
        A1   | S1       | free   | 11-02 15:00 | 11-02 12:00
        A2   | S1       | free   | 11-03 09:00 | 11-02 12:00
        A3   | S1       | free   | 11-06 09:00 | 11-02 12:00
    """)
    hospital.shows(
        "tna",
        "11-01",
        "11-03",
        """
        period_start | unit | numerator | denominator | value | coverage
        11-01 00:00  | EYE  | 0         | 0           | -     | 1
        11-02 00:00  | EYE  | 4         | 1           | 4     | 0.75
        """,
        only="mean",
    )


ZONE = ZoneInfo("Europe/Berlin")
ORIGIN = datetime(2026, 3, 28, tzinfo=ZONE).astimezone(UTC)
"""Clocks change in the second night."""
STEP = timedelta(hours=3)


@st.composite
def slots(draw):
    """Slots as they were stated: free, and perhaps taken later, and perhaps free again."""
    found = []
    for number in range(draw(st.integers(0, 8))):
        starts = ORIGIN + draw(st.integers(0, 40)) * STEP
        at = draw(st.integers(-10, 20))
        times = [at, *sorted(draw(st.sets(st.integers(at + 1, 30), max_size=2)))]
        statuses = draw(
            st.lists(st.sampled_from(["free", "busy"]), min_size=len(times), max_size=len(times))
        )
        found.append(
            (
                f"S{number}",
                draw(st.sampled_from(["ann", "bob"])),
                starts,
                [ORIGIN + time * STEP for time in times],
                statuses,
            )
        )
    return found


def counted(stated, as_of):
    """By local day, days to the third free slot of whoever has three, naively."""
    first = min((times[0] for *_, times, _ in stated), default=as_of)
    found = {}
    for day in range(4):
        midnight = datetime(2026, 3, 28 + day, tzinfo=ZONE).astimezone(UTC)
        after = (datetime(2026, 3, 28, 12, tzinfo=ZONE) + timedelta(days=day + 1)).replace(hour=0)
        asked = max(midnight, first)
        if not first < after or not asked < as_of:
            continue
        for clinician in ("ann", "bob"):
            free = sorted(
                starts
                for _, whose, starts, times, statuses in stated
                if whose == clinician and starts >= asked
                and (known := [s for t, s in zip(times, statuses, strict=True) if t <= asked])
                and known[-1] == "free"
            )  # fmt: skip
            if len(free) >= 3:
                days = (free[2].astimezone(ZONE).date() - asked.astimezone(ZONE).date()).days
                above, below = found.get(midnight, (0, 0))
                found[midnight] = (above + days, below + 1)
    return found


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(stated=slots(), until=st.integers(1, 31))
def test_the_sql_agrees_with_a_naive_count(database, stated, until):
    as_of = ORIGIN + until * STEP
    hospital = Hospital(database, ZONE.key, as_of.isoformat())
    people = [row(who, who, "EYE") for who in ("ann", "bob")]
    hospital.schedules(drawing("schedule | performer | unit", people))
    hospital.slots(
        drawing(
            "slot | schedule | status | starts | known_from | known_to",
            [
                row(name, whose, status, starts, since, until_)
                for name, whose, starts, times, statuses in stated
                for status, since, until_ in zip(statuses, times, [*times[1:], None], strict=True)
            ],
        )
    )
    ends = datetime(2026, 4, 1, tzinfo=ZONE).astimezone(UTC)
    rows = hospital.kpi("tna", ORIGIN.isoformat(), ends.isoformat(), by="hospital")
    found = {
        r.period_start: (r.numerator, r.denominator)
        for r in rows
        if r.statistic == "mean" and r.denominator
    }
    assert found == counted(stated, as_of)
