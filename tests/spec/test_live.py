"""The catalogue refreshed in one go gives what each KPI gives when it is asked for alone."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_oracle import hospitals, paint

from twin_core.kpi.catalogue import catalogue
from twin_core.kpi.live import LiveKpis
from twin_core.kpi.measuring import Window, measure

LIVE = {by: LiveKpis(catalogue(), by=by) for by in ("hospital", "unit", "class", "age_band")}
CHOSEN = st.sets(st.sampled_from(sorted(catalogue())), min_size=5, max_size=5)


def told(rows):
    """Rows without the last digits, which depend on the order in which sums are taken."""
    return [
        tuple(round(cell, 9) if isinstance(cell, float) else cell for cell in astuple(row))
        for row in rows
    ]


def astuple(row):
    return [getattr(row, name) for name in row.__struct_fields__]


@pytest.mark.slow
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(h=hospitals(), by=st.sampled_from(sorted(LIVE)), chosen=CHOSEN)
def test_a_refresh_equals_the_macros(database, h, by, chosen):
    paint(database, h)
    window = Window(h.start, h.end)
    figures = LIVE[by].measure(database, window)
    for kpi_id in chosen:
        if by not in catalogue()[kpi_id].by:
            assert kpi_id not in figures
            continue
        asked = measure(database.query, kpi_id, *window, grain="all", by=by)
        assert told(figures.get(kpi_id, [])) == told(asked), kpi_id


def test_a_second_refresh_forgets_the_first(draw):
    hospital = draw(known="2026-11-02 12:00")
    hospital.stays(
        """
        encounter | unit | bed | from        | to
        V1        | A    | 1   | 11-01 08:00 | -
        V2        | A    | 2   | 11-01 08:00 | 11-02 06:00
        """
    )
    live = LiveKpis(catalogue())
    at = hospital.connection.execute("SELECT max(known_at) FROM core.batch").fetchone()[0]

    def present(until):
        rows = live.measure(hospital.database, Window(until - timedelta(hours=1), until))
        return [r.value for r in rows["adm_dis_balance"] if r.statistic == "census_after"]

    assert present(at - timedelta(hours=8)) == [2]
    assert present(at) == [1]
    hospital.connection.execute("DELETE FROM core.stay_version")
    assert present(at) == []
    live.close()


def test_what_makes_a_unit_an_emergency_department_may_be_long_ago(draw):
    hospital = draw(known="2026-11-02")
    hospital.encounters(
        """
        encounter | class | patient | admitted    | discharged  | history
        OLD1      | EMER  | P1      | 03-01 08:00 | 03-01 12:00 | yes
        OLD2      | EMER  | P2      | 03-01 08:00 | 03-01 12:00 | yes
        NOW1      | IMP   | P3      | 11-01 08:00 | -           | yes
        NOW2      | EMER  | P4      | 11-01 08:00 | -           | yes
        """
    )
    hospital.stays(
        """
        encounter | patient | unit | bed | from        | to
        OLD1      | P1      | A    | 1   | 03-01 08:00 | 03-01 12:00
        OLD2      | P2      | A    | 1   | 03-01 09:00 | 03-01 12:00
        NOW1      | P3      | A    | 1   | 11-01 08:00 | -
        NOW2      | P4      | B    | 1   | 11-01 08:00 | -
        """
    )
    at = hospital.connection.execute("SELECT max(known_at) FROM core.batch").fetchone()[0]
    window = Window(at - timedelta(days=1), at)
    live = LiveKpis(catalogue(), by="unit")
    rows = live.measure(hospital.database, window)["ed_census"]
    assert {row.unit for row in rows} == {"A", "B"}
    asked = measure(hospital.database.query, "ed_census", *window, grain="all", by="unit")
    assert told(rows) == told(asked)
    live.close()


def test_slots_that_were_known_long_ago_are_free_still(draw):
    hospital = draw(known="2026-11-02")
    hospital.schedules(
        """
        schedule | performer | unit
        S1       | ann       | EYE
        """
    )
    hospital.slots(
        """
        slot | schedule | status | starts      | known_from
        OLD  | S1       | free   | 03-05 08:00 | 03-01 08:00
        A1   | S1       | free   | 11-03 08:00 | 03-02 08:00
        A2   | S1       | free   | 11-04 08:00 | 11-01 08:00
        A3   | S1       | free   | 11-05 08:00 | 03-02 08:00
        A4   | S1       | free   | 11-06 08:00 | 03-02 08:00
        """
    )
    at = hospital.connection.execute("SELECT max(known_at) FROM core.batch").fetchone()[0]
    window = Window(at - timedelta(days=1), at)
    live = LiveKpis(catalogue(), by="unit")
    rows = live.measure(hospital.database, window)["tna"]
    assert [(row.unit, row.statistic, row.value) for row in rows] == [
        ("EYE", "mean", 5.0),
        ("EYE", "median", 5.0),
    ]
    assert told(rows) == told(
        measure(hospital.database.query, "tna", *window, grain="all", by="unit")
    )
    live.close()
