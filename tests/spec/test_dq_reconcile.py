"""Census reconciliation: the twin's patients against those the source counted."""

import pytest

from twin_core.errors import QueryFailed

STAYS = """
encounter | unit | bed | from        | to
E1        | A    | 1   | 11-01 06:00 | 11-01 12:00
E1        | B    | 1   | 11-01 12:00 | -
E2        | A    | -   | 11-01 06:00 | -
E3        | A    | 2   | 11-01 06:00 | 11-01 12:00
"""


def test_errors_of_units_and_snapshots_add_up_and_never_cancel_out(draw):
    hospital = draw()
    hospital.stays(STAYS)
    hospital.counts("""
        source | unit | at          | census
        pas    | A    | 11-01 11:59 | 3
        pas    | A    | 11-01 12:00 | 2
        pas    | B    | 11-01 12:00 | 0
    """)
    # The twin has 3, 1 and 1: one too few in A at noon, one too many in B.
    hospital.shows(
        "dq_reconcile",
        "11-01",
        "11-02",
        """
        unit | stratum | statistic  | numerator | denominator | value
        A    | pas     | ratio      | 1         | 5           | 20
        A    | pas     | difference | -1        | 2           | -1
        B    | pas     | ratio      | 1         | 0           | -
        B    | pas     | difference | 1         | 1           | 1
        """,
    )
    hospital.shows(
        "dq_reconcile",
        "11-01",
        "11-02",
        "unit | numerator | denominator | value\n - | 2 | 5 | 40",
        only="ratio",
        by="hospital",
    )


def test_leave_counts_cancelled_does_not_and_a_merged_patient_counts_once(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | status    | admitted    | discharged | history | patient
        E1        | IMP   | -         | 11-01 06:00 | -          | no      | P1
        E2        | IMP   | cancelled | 11-01 06:00 | -          | no      | P2
        E3        | IMP   | -         | 11-01 06:00 | -          | no      | P1
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E1        | onleave | 11-01 08:00 | -
    """)
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | A    | 1   | 11-01 06:00 | -
        E3        | P1      | A    | 2   | 11-01 07:00 | -
    """)
    hospital.counts("source | unit | at | census\n pas | A | 11-01 12:00 | 1")
    hospital.shows("dq_reconcile", "11-01", "11-02", "value\n 0", only="ratio")


def test_a_unit_the_twin_has_never_heard_of_is_a_whole_error(draw):
    hospital = draw()
    hospital.counts("source | unit | at | census\n pas | Z | 11-01 12:00 | 4")
    hospital.shows(
        "dq_reconcile",
        "11-01",
        "11-02",
        "unit | numerator | denominator | value\n Z | 4 | 4 | 100",
        only="ratio",
    )


def test_sources_are_apart_and_an_empty_unit_seen_empty_has_no_ratio(draw):
    hospital = draw()
    hospital.stays(STAYS)
    hospital.counts("""
        source | unit | at          | census
        pas    | A    | 11-01 10:00 | 3
        nurse  | A    | 11-01 10:00 | 2
        pas    | C    | 11-01 10:00 | 0
    """)
    hospital.shows(
        "dq_reconcile",
        "11-01",
        "11-02",
        """
        unit | stratum | numerator | denominator | value
        A    | nurse   | 1         | 2           | 50
        A    | pas     | 0         | 3           | 0
        C    | pas     | 0         | 0           | -
        """,
        only="ratio",
    )


def test_a_snapshot_at_midnight_is_the_new_days_and_days_are_local(draw):
    hospital = draw(zone="America/New_York")
    hospital.stays(STAYS)
    hospital.counts("""
        source | unit | at                     | census
        pas    | A    | 2026-11-01T00:00-04:00 | 1
        pas    | A    | 2026-11-01T23:59-05:00 | 1
        pas    | A    | 2026-11-02T00:00-05:00 | 1
    """)
    hospital.shows(
        "dq_reconcile",
        "2026-11-01T00:00-04:00",
        "2026-11-03T00:00-05:00",
        """
        period_start           | denominator
        2026-11-01T00:00-04:00 | 2
        2026-11-02T00:00-05:00 | 1
        """,
        only="ratio",
    )


def test_known_at_compares_what_was_known_then_and_the_future_has_no_row(draw):
    hospital = draw(known="11-02")
    hospital.stays("""
        encounter | unit | bed | from        | to | known_from
        E1        | A    | 1   | 11-01 06:00 | -  | 11-01 20:00
    """)
    hospital.counts("""
        source | unit | at          | census
        pas    | A    | 11-01 12:00 | 1
        pas    | A    | 11-02 12:00 | 1
    """)
    window = ("dq_reconcile", "11-01", "11-03")
    hospital.shows(*window, "period_start | value\n 11-01 | 0", only="ratio")
    hospital.shows(
        *window, "period_start | value\n 11-01 | 100", only="ratio", known_at="11-01 18:00"
    )


def test_sources_count_by_unit_never_by_class(draw):
    with pytest.raises(QueryFailed, match="by unit"):
        draw().database.query(
            "FROM kpi.dq_reconcile('2026-11-01', '2026-11-02', \"by\" := 'class')"
        )
