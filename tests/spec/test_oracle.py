"""The SQL and a naive Python oracle agree on hospitals drawn at random.

Everything happens on the quarter hour around a change of the clocks: stays that overlap, move, lack
a bed or have no duration, leave, changes of class, merged patients, beds that close, open or are
unknown, and an instant beyond which nothing is known.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import oracle
import pytest
from drawn import Hospital
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import TICK, BedStatus, Drawn, Encounter, Stay

DAYS = {
    "UTC": ("2026-06-01",),
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
}
KPIS = {  # the statistic the oracle counts, and the scale of its value
    "occ_hourly": ("ratio", 100),
    "occ_midnight": ("ratio", 100),
    "occ_peak": ("max", 100),
    "adc": ("mean", 1),
    "alos": ("mean", 1),
    "btr": ("ratio", 1),
    "bti": ("ratio", 1),
    "ed_census": ("ratio", 100),
    "transfers_per_stay": ("mean", 1),
    "adm_dis_balance": ("net", 1),
}
# Stays that begin up to a day before the window, and last up to two days.
beginnings, durations = st.integers(-96, 180), st.integers(0, 190)


@st.composite
def encounters(draw, origin: datetime, number: int) -> tuple[Encounter, list[Stay]]:
    name = f"E{number}"
    start = origin + draw(beginnings) * TICK
    stays, at = [], start
    for n in range(draw(st.integers(1, 3))):
        end = at + draw(durations.filter(bool) if n == 0 else durations) * TICK
        place = draw(st.sampled_from(["A", "B", "ED"])), draw(st.sampled_from(["1", "2", None]))
        stays.append(Stay(name, *place, at, end))
        # The next stay begins when this one ends, or a little before or after.
        at = max(at + TICK, end + draw(st.sampled_from([0, 0, 0, -3, 5])) * TICK)
    if draw(st.booleans()):
        stays[-1] = stays[-1]._replace(end=None)
    ends = [stay.end for stay in stays]
    classes = [(start, draw(st.sampled_from(["IMP", "EMER", "OBSENC"])))]
    if classes[0][1] == "EMER" and draw(st.booleans()):
        classes.append((start + draw(st.integers(1, 60)) * TICK, "IMP"))
    discharged = None if None in ends else max(ends)
    if discharged is not None:
        classes = [change for change in classes if change[0] < discharged]
    leave = ()
    if draw(st.booleans()):
        away = start + draw(st.integers(1, 60)) * TICK
        back = away + draw(st.integers(1, 60)) * TICK
        if discharged is None or back < discharged:
            leave = ((away, back),)
    patient = draw(st.sampled_from([f"P{number}", f"P{number}", "P0"]))
    return Encounter(name, patient, tuple(classes), discharged, leave), stays


@st.composite
def bed_histories(draw, origin: datetime) -> list[BedStatus]:
    found = []
    for unit, bed in draw(
        st.sets(
            st.sampled_from(["A1", "A2", "B1", "ED1", "ED2"]).map(
                lambda place: (place[:-1], place[-1])
            )
        )
    ):
        at = (
            origin - timedelta(days=30) if draw(st.booleans()) else origin + draw(beginnings) * TICK
        )
        for last in (*[False] * draw(st.integers(0, 2)), True):
            end = None if last else at + draw(durations.filter(bool)) * TICK
            staffed = draw(st.sampled_from([True, True, False, None]))
            found.append(BedStatus(unit, bed, staffed, draw(st.sampled_from("UOHCK")), at, end))
            at = end
    return found


@st.composite
def hospitals(draw, zone: str = "", day: str = "") -> Drawn:
    """A hospital around a change of the clocks, or around a day of a zone that is given."""
    zone = zone or draw(st.sampled_from(sorted(DAYS)))
    first_day = datetime.fromisoformat(day or draw(st.sampled_from(DAYS[zone])))
    origin = first_day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    start = origin + draw(st.sampled_from([0, 0, -5, 30])) * TICK
    end = start + draw(st.sampled_from([100, 192, 200])) * TICK
    people, stays = {}, []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        encounter, own = draw(encounters(origin, number))
        people[encounter.name] = encounter
        stays += own
    return Drawn(
        zone=ZoneInfo(zone),
        start=start,
        end=end,
        as_of=draw(
            st.sampled_from([end, end + timedelta(days=9), start + 50 * TICK, start + 130 * TICK])
        ),
        grain=draw(st.sampled_from(["hour", "day", "all"])),
        by=draw(st.sampled_from(["unit", "hospital"])),
        encounters=people,
        stays=tuple(stays),
        beds=tuple(draw(bed_histories(origin))),
    )


def row(*cells: object) -> str:
    return " | ".join("-" if cell is None else str(cell) for cell in cells)


def paint(database, h: Drawn) -> Hospital:
    """Put a drawn hospital into the store, by the tables a person would draw."""
    hospital = Hospital(database, h.zone.key, h.as_of.isoformat())
    hospital.encounters(
        "\n".join(
            (
                "encounter | class | patient | admitted | discharged | history",
                *(
                    row(e.name, e.classes[-1][1], e.patient, e.classes[0][0], e.discharged, "no")
                    for e in h.encounters.values()
                ),
            )
        )
    )
    hospital.classes(
        "\n".join(
            (
                "encounter | class | from | to",
                *(
                    row(e.name, code, at, None if n == len(e.classes) - 1 else e.classes[n + 1][0])
                    for e in h.encounters.values()
                    for n, (at, code) in enumerate(e.classes)
                ),
            )
        )
    )
    statuses = []
    for e in h.encounters.values():
        at = e.classes[0][0]
        for away, back in e.leave:
            statuses += [row(e.name, "in-progress", at, away), row(e.name, "onleave", away, back)]
            at = back
        statuses.append(row(e.name, "in-progress", at, e.discharged))
        if e.discharged:
            statuses.append(row(e.name, "finished", e.discharged, None))
    hospital.statuses("\n".join(("encounter | status | from | to", *statuses)))
    hospital.stays(
        "\n".join(
            (
                "encounter | patient | unit | bed | from | to",
                *(
                    row(
                        s.encounter,
                        h.encounters[s.encounter].patient,
                        s.unit,
                        s.bed,
                        s.start,
                        s.end,
                    )
                    for s in h.stays
                ),
            )
        )
    )
    hospital.beds(
        "\n".join(
            (
                "unit | bed | staffed | status | from | to",
                *(
                    row(
                        b.unit,
                        b.bed,
                        {True: "yes", False: "no", None: None}[b.staffed],
                        b.status,
                        b.start,
                        b.end,
                    )
                    for b in h.beds
                ),
            )
        )
    )
    return hospital


def rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 9)


@pytest.mark.slow
@pytest.mark.parametrize("kpi_id", KPIS)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(h=hospitals())
def test_the_sql_agrees_with_the_oracle(database, kpi_id, h):
    statistic, scale = KPIS[kpi_id]
    rows = paint(database, h).kpi(
        kpi_id, h.start.isoformat(), h.end.isoformat(), grain=h.grain, by=h.by
    )
    rows = [r for r in rows if r.statistic == statistic and r.stratum != "no_bay"]
    figures = getattr(oracle, kpi_id)(h)
    expected = {
        key: (
            rounded(above),
            rounded(below),
            rounded(scale * above / below) if below and above is not None else None,
        )
        for key, (above, below) in figures.items()
    }
    assert {
        (r.unit, r.stratum, r.period_start): (
            rounded(r.numerator),
            rounded(r.denominator),
            rounded(r.value),
        )
        for r in rows
    } == expected
    assert len(rows) == len(expected)
    assert all(r.coverage is not None and 0 <= r.coverage <= 1 for r in rows)
