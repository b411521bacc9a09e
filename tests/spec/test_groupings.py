"""Figures by building, and by how patients arrived."""

import pytest
from drawn import instant

from twin_core.errors import ConfigurationError
from twin_core.kpi.catalogue import building_macro, catalogue
from twin_core.kpi.charting import charts
from twin_core.kpi.measuring import Window
from twin_core.settings import KpiSettings, load

DAYS = ("2026-11-01", "2026-11-02")


@pytest.fixture
def hospital(draw):
    drawn = draw()
    drawn.connection.execute(building_macro({"North": ("A", "B"), "South": ("C",)}))
    drawn.encounters("""
        encounter | class | admit_source | admitted    | discharged
        E1        | IMP   | emd          | 10-30 08:00 | 11-01 10:00
        E2        | IMP   | emd          | 10-31 08:00 | 11-01 14:00
        E3        | IMP   | -            | 10-31 08:00 | 11-01 09:00
        E4        | IMP   | outp         | 10-31 20:00 | 11-01 13:00
    """)
    drawn.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 10-30 08:00 | 11-01 10:00
        E2        | B    | 1   | 10-31 08:00 | 11-01 14:00
        E3        | C    | 1   | 10-31 08:00 | 11-01 09:00
        E4        | D    | 1   | 10-31 20:00 | 11-01 13:00
    """)
    drawn.milestones("""
        encounter | kind              | at
        E2        | ambulance_arrived | 10-31 07:50
    """)
    yield drawn
    drawn.connection.execute(building_macro({}))


def test_a_building_is_its_units_and_stands_in_their_column(hospital):
    hospital.shows(
        "dbn",
        *DAYS,
        """
        facility | unit  | period_start | stratum | numerator | denominator | value
        H        | North | 11-01        | -       | 1         | 2           | 50
        H        | South | 11-01        | -       | 1         | 1           | 100
        H        | -     | 11-01        | -       | 0         | 0           | -
        """,
        by="building",
        only="share",
    )


def test_units_add_up_to_their_building(hospital):
    for kpi_id, statistic in (("occ_hourly", "ratio"), ("adc", "mean"), ("alos", "mean")):
        units = hospital.kpi(kpi_id, *DAYS, by="unit", grain="all")
        whole = hospital.kpi(kpi_id, *DAYS, by="building", grain="all")
        [north] = [
            r for r in whole if (r.unit, r.statistic, r.stratum) == ("North", statistic, None)
        ]
        parts = [
            r for r in units if r.unit in "AB" and (r.statistic, r.stratum) == (statistic, None)
        ]
        assert north.numerator == pytest.approx(sum(r.numerator for r in parts))
        assert len(parts) == 2


def test_without_buildings_every_unit_is_in_none(hospital):
    hospital.connection.execute(building_macro({}))
    rows = hospital.kpi("adc", *DAYS, by="building", grain="all")
    assert {row.unit for row in rows} == {None}


def test_who_came_by_ambulance_and_from_where_the_others_did(hospital):
    hospital.shows(
        "alos",
        *DAYS,
        """
        facility | unit | period_start | stratum   | numerator | denominator | value
        -        | -    | 11-01        | ambulance | 1.25      | 1           | 1.25
        -        | -    | 11-01        | emd       | 25/12  | 1           | 25/12
        -        | -    | 11-01        | outp      | 17/24  | 1           | 17/24
        -        | -    | 11-01        | unknown   | 25/24  | 1           | 25/24
        """,
        by="arrival_mode",
        only="mean",
    )


def test_moves_and_census_are_told_apart_by_arrival_too(hospital):
    moves = hospital.kpi("transfers_per_stay", *DAYS, by="arrival_mode", grain="all")
    assert {r.stratum: r.denominator for r in moves if r.statistic == "mean"} == {
        "ambulance": 1, "emd": 1, "outp": 1, "unknown": 1,
    }  # fmt: skip
    census = hospital.kpi("adc", *DAYS, by="arrival_mode", grain="all")
    assert {r.stratum: r.numerator for r in census} == {
        "ambulance": 1, "emd": 1, "outp": 1, "unknown": 1,
    }  # fmt: skip


def test_every_kpi_that_knows_units_knows_buildings_and_every_visit_its_arrival():
    for kpi in catalogue().values():
        assert ("unit" in kpi.by) == ("building" in kpi.by), kpi.id
        if kpi.shape != "rows" and kpi.subject == "encounter":
            assert "arrival_mode" in kpi.by, kpi.id


def test_a_unit_stands_in_one_building(tmp_path):
    config = tmp_path / "site.toml"
    config.write_text('[kpi.buildings]\nNorth = ["A"]\nSouth = ["A", "B"]\n')
    with pytest.raises(ConfigurationError, match="the unit A is in more than one building"):
        load(config, {}, {})
    assert ("buildings", "North", "A") in KpiSettings(buildings={"North": ("A",)}).rows()


def test_a_building_has_control_limits_of_its_own(hospital):
    window = Window(instant("11-01"), instant("11-15"))
    found = charts(hospital.database.query, "occ_hourly", window, by="building")
    assert {chart.unit for chart in found} >= {"North", "South"}
    assert all(point.complete for chart in found for point in chart.points)
