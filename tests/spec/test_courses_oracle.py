"""Emergency and discharge KPIs agree with a naive count over courses drawn at random.

Instants lie ten minutes apart around a change of the clocks, and often exactly at a limit: four and
twelve hours, a day, thirty days. Visits that are open, patients who come back, marks that are
missing or out of order, and everything that is not known yet at the instant asked about.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from courses import BORN, MEASURED, Course, Question
from drawn import Hospital
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_oracle import rounded, row

STEP, DAY = timedelta(minutes=10), timedelta(days=1)
DAYS = {"UTC": "2026-06-01", "Europe/Berlin": "2026-03-29", "America/New_York": "2026-11-01"}
waits = st.sampled_from([5, 22, 23, 24, 70, 71, 72, 142, 143, 144])
returns = st.sampled_from([0, 1, 144, 30 * 144, 30 * 144, 30 * 144 + 1])
maybe = st.one_of(st.none(), st.sampled_from([-1, 0, 2, 6, 24, 72]))


@st.composite
def courses(draw, origin: datetime, number: int) -> Course:
    began = origin + draw(st.integers(-40 * 144, 280)) * STEP
    if draw(st.booleans()):
        began = origin + draw(st.integers(-144, 280)) * STEP
    patient = draw(st.sampled_from([f"P{number}", "P0", "P0"]))
    course = Course(f"E{number}", patient, None, None, None, None, None)
    disposition = draw(st.sampled_from([None, None, "01", "20", "02", "LWBS", "07"]))

    def later(at: datetime) -> datetime:
        return at + draw(waits) * STEP

    def mark(at: datetime) -> datetime | None:
        steps = draw(maybe)
        return None if steps is None else at + steps * STEP

    if draw(st.booleans()):
        left = later(began) + STEP
        course = course._replace(
            arrived=began,
            left_ed=left,
            discharged=left,
            triaged=mark(began),
            seen=mark(began),
            decided=mark(began),
            ambulance=mark(began),
            handover=mark(began),
            service=draw(st.sampled_from([None, None, "PSY"])),
        )
        if course.decided is not None and draw(st.booleans()):
            steps = st.sampled_from([0, 1, 6, 24])
            course = course._replace(
                redecided=course.decided + draw(steps) * STEP,
                requested=began + draw(steps) * STEP,
            )
        waited = draw(st.sampled_from([None, 0, 0, 6, 7]))
        if waited is not None and began + waited * STEP < left:
            course = course._replace(roomed=began + waited * STEP)
        if draw(st.booleans()):
            admitted = draw(st.sampled_from([left, left, began + STEP]))
            course = course._replace(admitted=admitted)
    else:
        course = course._replace(admitted=began)
    if course.admitted is not None:
        gone = later(course.left_ed or began) + STEP
        if draw(st.booleans()):
            # The noon that is next, or just before it.
            noon = gone - (gone - origin) % DAY + 72 * STEP - draw(st.integers(0, 1)) * STEP
            gone = noon if noon > gone else noon + DAY
        course = course._replace(
            ward=draw(st.sampled_from("AB")), discharged=gone, ready=mark(gone - 100 * STEP)
        )
    return course._replace(disposition=disposition)


@st.composite
def questions(draw, named: str = "") -> Question:
    """Courses around a change of the clocks in some zone, or in the one that is given."""
    zone = ZoneInfo(named or draw(st.sampled_from(sorted(DAYS))))
    origin = datetime.fromisoformat(DAYS[zone.key]).replace(tzinfo=zone).astimezone(UTC)
    start = origin + draw(st.sampled_from([0, 0, -144, 37])) * STEP
    end = start + draw(st.sampled_from([144, 288, 200])) * STEP
    as_of = draw(st.sampled_from([end, start + 100 * STEP, end + timedelta(days=40)]))
    drawn = [draw(courses(origin, n)) for n in range(1, draw(st.integers(1, 6)) + 1)]
    for c in drawn[: draw(st.integers(0, 2))]:
        if c.discharged is not None:
            back = c.discharged + draw(returns) * STEP
            gone = back + 50 * STEP
            again = Course(f"{c.name}R", c.patient, None, None, back, "A", gone)
            drawn.append(again._replace(planned=draw(st.sampled_from([False, False, True]))))
            if draw(st.booleans()):
                # Just when the thirty days are over, or are not yet.
                as_of = max(start, c.discharged + draw(st.integers(-1, 1)) * STEP + 30 * DAY)
    known = [c.known(as_of) for c in drawn if (c.arrived or c.admitted) <= as_of]
    return Question(
        zone=zone,
        start=start,
        end=end,
        as_of=as_of,
        grain=draw(st.sampled_from(["day", "all"])),
        by=draw(st.sampled_from(["unit", "hospital"])),
        courses=tuple(known),
    )


def drawing(head: str, rows: list[str]) -> str:
    return "\n".join((head, *rows))


def paint(database, q: Question) -> Hospital:
    """Put the courses into a store, as the tables that messages about them would give."""
    hospital = Hospital(database, q.zone.key, q.as_of.isoformat())
    encounters, classes, statuses, stays, marks = [], [], [], [], []
    for c in q.courses:
        began = c.arrived or c.admitted
        code = "EMER" if c.admitted is None else "IMP"
        encounters.append(
            row(c.name, code, c.patient, c.disposition if c.discharged else None, began,
                c.discharged, c.service, "no")
        )  # fmt: skip
        if c.arrived is not None:
            # A visit that became an inpatient one at once was an emergency before.
            classes.append(row(c.name, "EMER", c.arrived, c.admitted or c.discharged))
            waited = c.roomed or c.left_ed
            stays.append(row(c.name, c.patient, "ED", None, c.arrived, waited))
            if c.roomed is not None:
                stays.append(row(c.name, c.patient, "ED", "1", c.roomed, c.left_ed))
        if c.admitted is not None:
            classes.append(row(c.name, "IMP", c.admitted, c.discharged))
            if c.arrived is None or c.left_ed is not None:
                since = c.left_ed or c.admitted
                stays.append(row(c.name, c.patient, c.ward, "1", since, c.discharged))
        if c.planned:
            statuses.append(row(c.name, "planned", began - DAY, began))
        statuses.append(row(c.name, "in-progress", began, c.discharged))
        kinds = {"triaged": c.triaged, "seen_by_provider": c.seen, "decision_to_admit": c.decided,
                 "ambulance_arrived": c.ambulance, "ambulance_handover": c.handover,
                 "discharge_ready": c.ready}  # fmt: skip
        marks += [row(c.name, kind, at) for kind, at in kinds.items() if at is not None]
        again = {"decision_to_admit": c.redecided, "bed_requested": c.requested}
        marks += [row(c.name, kind, at) for kind, at in again.items() if at is not None]
    hospital.encounters(
        drawing(
            "encounter | class | patient | disposition | admitted | discharged | service | history",
            encounters,
        )
    )
    born = [row(name, day) for name, day in BORN.items()]
    hospital.patients(drawing("patient | birth_date", born))
    hospital.classes(drawing("encounter | class | from | to", classes))
    hospital.statuses(drawing("encounter | status | from | to", statuses))
    hospital.stays(drawing("encounter | patient | unit | bed | from | to", stays))
    hospital.milestones(drawing("encounter | kind | at", marks))
    return hospital


def assert_counted(hospital, q, measured, chosen) -> None:
    """The SQL gives what was counted, for each of the KPIs that were chosen."""
    for kpi_id in sorted(chosen):
        statistic, counted = measured[kpi_id]
        rows = hospital.kpi(kpi_id, q.start.isoformat(), q.end.isoformat(), grain=q.grain, by=q.by)
        found = {
            (r.unit, r.stratum, r.period_start): (rounded(r.numerator), rounded(r.denominator))
            for r in rows
            if r.statistic == statistic and r.denominator
        }
        expected = {
            key: (rounded(above), rounded(below)) for key, (above, below) in counted(q).items()
        }
        assert found == expected, kpi_id


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(q=questions(), chosen=st.sets(st.sampled_from(sorted(MEASURED)), min_size=3, max_size=3))
def test_the_sql_agrees_with_a_naive_count(database, q, chosen):
    assert_counted(paint(database, q), q, MEASURED, chosen)
