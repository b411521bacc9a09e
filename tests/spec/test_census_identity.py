"""census(t+1) = census(t) + arrivals - departures, per unit and hour, on hospitals drawn at random.

The censuses here are counted from the stays in Python, the flows come from the KPI.
"""

from hypothesis import HealthCheck, given, settings
from oracle import census_before
from test_oracle import hospitals, paint


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=hospitals())
def test_every_hour_balances_in_every_unit(database, drawn):
    drawn = drawn._replace(grain="hour", by="unit")
    rows = paint(database, drawn).kpi(
        "adm_dis_balance", drawn.start.isoformat(), drawn.end.isoformat(), grain="hour"
    )
    hours: dict[tuple, dict[str, float | None]] = {}
    for row in rows:
        hours.setdefault((row.unit, row.period_start, row.period_end), {})[row.statistic] = (
            row.value
        )
    assert {unit for unit, _, _ in hours} == drawn.groups()
    for (unit, start, end), figures in hours.items():
        if start >= drawn.as_of:
            assert set(figures.values()) == {None}
            continue
        before = census_before(drawn, unit, start)
        after = census_before(drawn, unit, min(end, drawn.as_of))
        came = figures["admissions"] + figures["transfers_in"]
        went = figures["discharges"] + figures["deaths"] + figures["transfers_out"]
        assert (figures["census_before"], figures["census_after"]) == (before, after)
        assert before + came - went == after
        assert figures["unreconciled"] == 0


def test_the_wards_of_a_hospital_add_up_to_it(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 06:00 | 11-01 08:30
        E1        | B    | 1   | 11-01 08:30 | -
        E2        | B    | 2   | 11-01 07:00 | 11-01 08:10
    """)
    window = ("adm_dis_balance", "11-01 06:00", "11-01 10:00")
    of_wards: dict = {}
    for row in hospital.kpi(*window, grain="hour"):
        key = (row.period_start, row.statistic)
        of_wards[key] = of_wards.get(key, 0) + row.value
    of_all = {
        (row.period_start, row.statistic): row.value
        for row in hospital.kpi(*window, grain="hour", by="hospital")
    }
    assert of_wards == of_all
