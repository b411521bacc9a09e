"""Emergency visits that met at least one failure of access (CMS1244)."""


def test_each_criterion_by_itself_and_all_of_them_together(draw):
    hospital = draw()
    hospital.patients("""
        patient | birth_date
        P1      | 2008-11-02
        P2      | 2008-11-01
        P4      | 1980-05-05
    """)
    hospital.encounters("""
        encounter | patient | class | admitted    | discharged  | disposition | service | history
        E1        | P1      | EMER  | 11-01 08:00 | 11-01 10:00 | 01          | MED     | yes
        E2        | P2      | EMER  | 11-01 08:00 | 11-01 09:00 | LWBS        | MED     | yes
        E3        | P3      | IMP   | 11-01 08:00 | 11-05 08:00 | 01          | MED     | no
        E4        | P4      | EMER  | 11-01 08:00 | 11-01 16:01 | 01          | PSY     | yes
        E5        | P5      | EMER  | 11-01 08:00 | 11-01 16:00 | 01          | MED     | yes
    """)
    hospital.classes("""
        encounter | class | from        | to
        E3        | EMER  | 11-01 08:00 | 11-01 13:00
        E3        | IMP   | 11-01 13:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | -   | 11-01 08:00 | 11-01 09:01
        E1        | ED   | 1   | 11-01 09:01 | 11-01 10:00
        E2        | ED   | -   | 11-01 08:00 | 11-01 09:00
        E3        | ED   | 3   | 11-01 08:00 | 11-01 14:00
        E3        | A    | 1   | 11-01 14:00 | 11-05 08:00
        E4        | ED   | 4   | 11-01 08:00 | 11-01 16:01
        E5        | ED   | 5   | 11-01 09:00 | 11-01 16:00
    """)
    hospital.milestones("""
        encounter | kind              | at
        E3        | decision_to_admit | 11-01 09:59
    """)
    # E1 reached a room after 61 minutes, E2 left, E3 boarded for 241 minutes, E4 stayed for 481;
    # E5 did nothing of it: 60 minutes to a room, 480 in the department.
    hospital.shows(
        "ecat",
        "11-01",
        "11-02",
        """
        unit | stratum          | numerator | denominator | value
        ED   | -                | 4         | 5           | 80
        ED   | over_60_to_room  | 1         | 5           | 20
        ED   | left_unseen      | 1         | 5           | 20
        ED   | boarded_over_240 | 1         | 5           | 20
        ED   | over_480_in_ed   | 1         | 5           | 20
        ED   | child            | 1         | 1           | 100
        ED   | adult            | 1         | 1           | 100
        ED   | adult_mental_health | 1      | 1           | 100
        """,
        only="share",
    )


def test_observation_patients_cannot_fail_by_boarding_or_by_staying(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class  | admitted    | discharged  | history
        E1        | OBSENC | 11-01 08:00 | 11-01 23:00 | no
    """)
    hospital.classes("""
        encounter | class  | from        | to
        E1        | EMER   | 11-01 08:00 | 11-01 09:00
        E1        | OBSENC | 11-01 09:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 23:00
    """)
    rows = hospital.kpi("ecat", "11-01", "11-02")
    assert {(r.stratum, r.numerator, r.denominator) for r in rows if r.statistic == "share"} >= {
        (None, 0.0, 1.0)
    }
    assert all(not r.numerator for r in rows)


def test_minutes_are_whole_and_an_inpatient_in_the_department_boards(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | EMER  | 11-01 08:00 | 11-01 10:00 | yes
        E2        | IMP   | 11-01 08:00 | 11-05 08:00 | no
        E3        | IMP   | 11-01 08:00 | 11-05 08:00 | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E2        | EMER  | 11-01 08:00 | 11-01 09:59
        E2        | IMP   | 11-01 09:59 | -
        E3        | EMER  | 11-01 08:00 | 11-01 10:00
        E3        | IMP   | 11-01 10:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from           | to
        E1        | ED   | -   | 11-01 08:00    | 11-01 09:00:30
        E1        | ED   | 1   | 11-01 09:00:30 | 11-01 10:00
        E2        | ED   | 2   | 11-01 08:00    | 11-01 14:00
        E2        | A    | 1   | 11-01 14:00    | -
        E3        | ED   | 3   | 11-01 08:00    | 11-01 14:00
        E3        | A    | 2   | 11-01 14:00    | -
    """)
    # Nobody recorded a decision: E2 had been an inpatient for 241 minutes, E3 for 240.
    rows = hospital.kpi("ecat", "11-01", "11-02", by="hospital")
    counted = {r.stratum: r.numerator for r in rows if r.statistic == "share"}
    assert (counted[None], counted["boarded_over_240"], counted["over_60_to_room"]) == (1, 1, 0)


def test_of_several_decisions_the_last_of_the_visit_counts(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 08:00 | 11-05 08:00 | no
        E2        | IMP   | 11-01 08:00 | 11-05 08:00 | no
        E3        | IMP   | 11-01 08:00 | 11-05 08:00 | no
        E4        | IMP   | 11-01 08:00 | 11-05 08:00 | no
    """)
    hospital.classes("""
        encounter | class | from        | to
        E1        | EMER  | 11-01 08:00 | 11-01 14:00
        E1        | IMP   | 11-01 14:00 | -
        E2        | EMER  | 11-01 08:00 | 11-01 14:00
        E2        | IMP   | 11-01 14:00 | -
        E3        | EMER  | 11-01 08:00 | 11-01 14:00
        E3        | IMP   | 11-01 14:00 | -
        E4        | EMER  | 11-01 08:00 | 11-01 14:00
        E4        | IMP   | 11-01 14:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | ED   | 1   | 11-01 08:00 | 11-01 14:00
        E1        | A    | 1   | 11-01 14:00 | -
        E2        | ED   | 2   | 11-01 08:00 | 11-01 14:00
        E2        | A    | 2   | 11-01 14:00 | -
        E3        | ED   | 3   | 11-01 08:00 | 11-01 14:00
        E3        | A    | 3   | 11-01 14:00 | -
        E4        | ED   | 4   | 11-01 08:00 | 11-01 14:00
        E4        | A    | 4   | 11-01 14:00 | -
    """)
    # E1 was decided on twice, and waited 4 hours from the last time. E2 was decided on late, but a
    # bed had been asked for early. E3 was decided on before it came, E4 again after it had left.
    hospital.milestones("""
        encounter | kind              | at
        E1        | decision_to_admit | 11-01 09:00
        E1        | decision_to_admit | 11-01 10:00
        E2        | decision_to_admit | 11-01 13:00
        E2        | bed_requested     | 11-01 09:59
        E3        | decision_to_admit | 11-01 07:59
        E4        | decision_to_admit | 11-01 09:00
        E4        | decision_to_admit | 11-01 14:01
    """)
    rows = hospital.rows("ecat", "11-01", "11-02")
    late = {r.subject_id for r in rows if r.stratum == "boarded_over_240" and r.numerator}
    assert late == {"E2", "E4"}
