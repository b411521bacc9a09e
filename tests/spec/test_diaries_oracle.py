"""KPIs of bed requests, theatres and clinics agree with a naive count over diaries drawn at random.

Instants lie half an hour apart around a change of the clocks, and often exactly at a limit: opening
and closing time, midnight, ninety minutes, the instant that is asked about.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from diaries import BORN, MEASURED, Booking, Case, Diary, Plan
from drawn import Hospital
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_courses_oracle import assert_counted, drawing
from test_oracle import row

from twin_core.settings import KpiSettings

STEP, DAY = timedelta(minutes=30), 48
# Mondays to Wednesdays, and nights in which clocks change.
DAYS = {"UTC": "2026-06-01", "Europe/Berlin": "2026-03-29", "America/New_York": "2026-11-01"}
steps = st.integers(0, 2 * DAY)
patients = st.sampled_from(sorted(BORN))


@st.composite
def plans(draw, origin: datetime) -> tuple[Plan, ...]:
    found, at = [], origin + draw(st.integers(-20, 60)) * STEP
    for _ in range(draw(st.integers(1, 4))):
        status = draw(st.sampled_from(["replaced", "replaced", "done", "cancelled", "active"]))
        after = at + draw(st.integers(1, 12)) * STEP
        ended = None if status == "active" else after
        bed = draw(st.sampled_from([None, "1"]))
        found.append(Plan(at, ended, status, draw(st.sampled_from("AB")), bed))
        at = after + (0 if status == "replaced" else draw(st.integers(0, 3))) * STEP
    return tuple(found)


@st.composite
def cases(draw, origin: datetime, number: int) -> Case:
    came = origin + draw(st.one_of(st.integers(12, 40), steps)) * STEP
    lasted = draw(st.sampled_from([1, 2, 3, 6, 12, None]))
    left = None if lasted is None else came + lasted * STEP
    return Case(f"T{number}", draw(patients), draw(st.sampled_from(["R1", "R1", "R2"])), came, left)


@st.composite
def bookings(draw, origin: datetime, number: int) -> Booking:
    starts = origin + draw(steps) * STEP
    room = draw(st.sampled_from([None, "R1", "R2"]))
    booked = draw(st.sampled_from([None, -400, -DAY, -2, 0, 2]))
    found = Booking(
        f"A{number}",
        draw(patients),
        room,
        starts,
        None if booked is None else starts + booked * STEP,
        draw(st.sampled_from(["booked", "noshow", "fulfilled", "arrived", "cancelled"])),
    )
    if found.status == "cancelled":
        found = found._replace(cancelled=starts + draw(st.sampled_from([-60, -2, 0, 1])) * STEP)
    if room is None and draw(st.booleans()):
        came = starts + draw(st.integers(-3, 3)) * STEP

        def mark() -> datetime | None:
            return draw(st.sampled_from([None, came - STEP, came, came + 3 * STEP]))

        found = found._replace(visited=True, admitted=came)
        found = found._replace(arrived=mark(), began=mark(), seen=mark())
    return found


@st.composite
def diaries(draw) -> Diary:
    zone = ZoneInfo(draw(st.sampled_from(sorted(DAYS))))
    origin = datetime.fromisoformat(DAYS[zone.key]).replace(tzinfo=zone).astimezone(UTC)
    start = origin + draw(st.sampled_from([0, 0, 20, -10])) * STEP
    end = start + draw(st.sampled_from([DAY, 2 * DAY, 38, 86])) * STEP
    booked = tuple(draw(bookings(origin, n)) for n in range(draw(st.integers(0, 5))))
    operated = [draw(cases(origin, n)) for n in range(draw(st.integers(0, 4)))]
    for b in booked:
        if b.room is not None and draw(st.booleans()):
            came = b.starts + draw(st.integers(-1, 1)) * STEP
            operated.append(Case(f"T{b.name}", b.patient, b.room, came, came + 2 * STEP))
    return Diary(
        zone=zone,
        start=start,
        end=end,
        as_of=draw(st.sampled_from([end, start + 35 * STEP, end + timedelta(days=9)])),
        grain=draw(st.sampled_from(["day", "all"])),
        by=draw(st.sampled_from(["unit", "hospital"])),
        plans={f"E{n}": draw(plans(origin)) for n in range(draw(st.integers(0, 3)))},
        cases=tuple(operated),
        bookings=booked,
    )


def paint(database, d: Diary) -> Hospital:
    """Put a diary into a store, as the tables that messages about it would give."""
    hospital = Hospital(database, d.zone.key, d.as_of.isoformat())
    hospital.set(KpiSettings(theatres=("OR",)))
    hospital.patients(
        drawing("patient | birth_date", [row(name, born) for name, born in BORN.items() if born])
    )
    visits = [b for b in d.bookings if b.visited]
    hospital.encounters(
        drawing(
            "encounter | class | patient | admitted | discharged | history",
            [
                *(
                    row(name, "IMP", name, own[0].stated, None, "no")
                    for name, own in d.plans.items()
                ),
                *(row(c.encounter, "IMP", c.patient, c.came, None, "no") for c in d.cases),
                *(row(f"V{b.name}", "AMB", b.patient, b.admitted, None, "no") for b in visits),
            ],
        )
    )
    hospital.plans(
        drawing(
            "encounter | kind | status | stated | ended | unit | bed",
            [
                row(name, "transfer", p.status, p.stated, p.ended, p.unit, p.bed)
                for name, own in d.plans.items()
                for p in own
            ],
        )
    )
    in_theatre = [row(c.encounter, "OR", c.room, c.came, c.left) for c in d.cases]
    hospital.tracked(drawing("encounter | unit | room | from | to", in_theatre))
    hospital.appointments(
        drawing(
            "appointment | status | starts | booked | cancelled | unit | room | patient"
            " | encounter",
            [
                row(b.name, b.status, b.starts, b.booked, b.cancelled, "OR" if b.room else "CL",
                    b.room, b.patient, f"V{b.name}" if b.visited else None)
                for b in d.bookings
            ],
        )
    )  # fmt: skip
    statuses = [
        row(f"V{b.name}", status, at, None)
        for b in visits
        for status, at in (("arrived", b.arrived), ("in-progress", b.began))
        if at is not None
    ]
    hospital.statuses(drawing("encounter | status | from | to", statuses))
    seen = [row(f"V{b.name}", "seen_by_provider", b.seen) for b in visits if b.seen]
    hospital.milestones(drawing("encounter | kind | at", seen))
    return hospital


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(d=diaries(), chosen=st.sets(st.sampled_from(sorted(MEASURED)), min_size=3, max_size=3))
def test_the_sql_agrees_with_a_naive_count(database, d, chosen):
    assert_counted(paint(database, d), d, MEASURED, chosen)
