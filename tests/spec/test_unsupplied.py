"""KPIs whose inputs no feed of the twin supplies yet: no rows, never a zero, and a word why."""

import pytest

from twin_core.kpi.catalogue import catalogue

UNSUPPLIED = sorted(k.id for k in catalogue().values() if "kpi_part.no_figures" in k.sql)


def test_they_are_those_of_rosters_maintenance_and_blocks():
    assert UNSUPPLIED == [
        "dev_avail",
        "dev_util",
        "hppd",
        "mtbf",
        "mttr",
        "or_adj",
        "ratio_now",
    ]


@pytest.mark.parametrize("kpi_id", UNSUPPLIED)
def test_no_rows_and_the_feed_that_would_give_them(draw, kpi_id):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 12:00
    """)
    for grain in ("hour", "day", "all"):
        assert hospital.kpi(kpi_id, "11-01", "11-02", grain=grain) == []
    assert len(catalogue()[kpi_id].supplied_by) > 20


def test_a_kpi_that_movements_alone_cannot_tell_says_what_else_it_needs(draw):
    """A hospital of which admissions, transfers and discharges are known, and nothing else."""
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | IMP   | 11-01 08:00 | 11-02 20:00
        E2        | EMER  | 11-01 09:00 | 11-01 11:00
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 08:00 | 11-01 12:00
        E1        | IMP   | 11-01 12:00 | 11-02 20:00
        E2        | EMER  | 11-01 09:00 | 11-01 11:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | -   | 11-01 08:00 | 11-01 12:00
        E1        | A    | 1   | 11-01 12:00 | 11-02 20:00
        E2        | ED   | -   | 11-01 09:00 | 11-01 11:00
    """)
    # Whatever says nothing of other inputs has a figure here, but for the age of messages.
    told = [kpi for kpi in catalogue().values() if len(kpi.supplied_by) <= 20]
    silent = {
        kpi.id
        for kpi in told
        if not any(
            row.value is not None
            for row in hospital.kpi(kpi.id, "11-01", "11-03", by="hospital", grain="all")
        )
    }
    assert silent == {"feed_fresh"}
