"""KPIs of beds, long stays, assessments and other censuses agree with a naive count.

The hospitals are those of `test_oracle`, on the quarter hour around a change of the clocks, with
what else is known of their patients and beds.
"""

from datetime import timedelta

import pytest
import test_oracle
from drawn import Hospital
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import TICK, BedStatus, Drawn
from rounds import MEASURED, TREATED, Round
from test_courses_oracle import drawing
from test_oracle import hospitals, rounded, row

from twin_core.settings import KpiSettings

SETTINGS = KpiSettings(specialties=TREATED, reside_code="CTR")


@st.composite
def cleaned(draw, h: Drawn) -> list[BedStatus]:
    """What is said of beds after somebody has left them, where nothing else is said of them."""
    told = {(b.unit, b.bed) for b in h.beds}
    found = []
    for stay in h.real_stays():
        if stay.bed is None or stay.end is None or (stay.unit, stay.bed) in told:
            continue
        told.add((stay.unit, stay.bed))
        at = stay.end + draw(st.integers(0, 2)) * TICK
        words = draw(st.sampled_from(["U", "HU", "HCU", "KHU"]))
        for n, word in enumerate(words):
            end = None if n == len(words) - 1 else at + draw(st.integers(1, 4)) * TICK
            found.append(BedStatus(stay.unit, stay.bed, True, word, at, end))
            at = end or at
    return found


@st.composite
def rounds(draw) -> Round:
    h = draw(hospitals())
    instants = st.integers(-40, 200).map(lambda n: h.start + n * TICK)
    # Some have been inpatients for exactly so many days at the end of the window.
    end = min(h.end, h.as_of)
    people = {}
    for name, e in h.encounters.items():
        days = draw(st.sampled_from([0, 7, 14, 21]))
        since = end - timedelta(days=days) + draw(st.integers(-1, 1)) * TICK
        longer = days and e.classes[0][1] == "IMP" and since < e.classes[0][0]
        people[name] = e._replace(classes=((since, "IMP"),)) if longer else e
    h = h._replace(beds=(*h.beds, *draw(cleaned(h))))
    beds = [(b.unit, b.bed) for b in h.beds] or [("A", "1")]
    names = st.sampled_from(sorted(people))
    promised = st.tuples(st.sampled_from(beds), instants, st.one_of(st.none(), instants))
    drawn = {
        (name, at): draw(st.booleans())
        for name, at in draw(st.lists(st.tuples(names, instants), max_size=4))
    }
    counts = {
        (unit, at): draw(st.integers(0, 3))
        for unit, at in draw(st.lists(st.tuples(st.sampled_from("AB"), instants), max_size=4))
    }
    return Round(
        hospital=h._replace(encounters=people),
        services={n: draw(st.sampled_from([None, "MED", "SUR", "ORT"])) for n in people},
        assessed=tuple((name, at, no) for (name, at), no in drawn.items()),
        promised=tuple(
            (*bed, min(since, end or since), end and max(since, end))
            for bed, since, end in draw(st.lists(promised, max_size=3))
        ),
        counts=tuple((unit, at, census) for (unit, at), census in counts.items()),
    )


def paint(database, r: Round) -> Hospital:
    """Put a hospital into a store with what else is known of it."""
    hospital = test_oracle.paint(database, r.hospital)
    hospital.set(SETTINGS)
    for name, service in r.services.items():
        served = "UPDATE core.encounter_version SET service = ? WHERE encounter_id = ?"
        hospital.connection.execute(served, [service, name])
    hospital.observations(
        drawing(
            "encounter | code | value | at",
            [row(name, "CTR", "N" if no else "Y", at) for name, at, no in r.assessed],
        )
    )
    who = next(iter(r.services))
    hospital.plans(
        drawing(
            "encounter | kind | status | stated | ended | unit | bed",
            [row(who, "transfer", "active", since, end, unit, bed)
             for unit, bed, since, end in r.promised],
        )
    )  # fmt: skip
    hospital.counts(
        drawing(
            "source | unit | at | census",
            [row("HIS", unit, at, census) for unit, at, census in r.counts],
        )
    )
    return hospital


def assert_counted(hospital, r: Round, measured, chosen) -> None:
    """The SQL gives what was counted, for each of the KPIs that were chosen."""
    h = r.hospital
    for kpi_id in sorted(chosen):
        statistic, counted = measured[kpi_id]
        rows = hospital.kpi(kpi_id, h.start.isoformat(), h.end.isoformat(), grain=h.grain, by=h.by)
        found = {
            (row.unit, row.stratum, row.period_start): (
                rounded(row.numerator),
                rounded(row.denominator),
            )
            for row in rows
            if row.statistic == statistic and row.denominator
        }
        expected = {
            key: (rounded(above), rounded(below))
            for key, (above, below) in counted(r).items()
            if below
        }
        assert found == expected, kpi_id


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(r=rounds(), chosen=st.sets(st.sampled_from(sorted(MEASURED)), min_size=2, max_size=2))
def test_the_sql_agrees_with_a_naive_count(database, r, chosen):
    assert_counted(paint(database, r), r, MEASURED, chosen)
