"""The kept figures of the board are those of the macros exactly at the limits, too.

One hospital in which visits, beds and plans begin and end just at each other's instants; every
window begins or ends at such an instant, and what is known ends there, too.
"""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from drawn import Hospital, instant
from test_kept import Follower

from twin_core.kpi.kept import COUNTED
from twin_core.kpi.measuring import Window
from twin_core.store.database import Database


def paint(hospital: Hospital) -> None:
    """Emergencies E, inpatients I, beds of A, B, C and the ED."""
    hospital.encounters("""
        encounter | patient | class  | admitted    | discharged  | status    | part_of | history
        E1        | P1      | EMER   | 11-01 02:00 | 11-01 06:00 | -         | -       | yes
        E2        | P2      | EMER   | 11-01 02:00 | 11-01 06:01 | -         | -       | yes
        E3        | P3      | EMER   | 11-01 06:00 | -           | -         | -       | no
        E4        | P4      | IMP    | 11-01 03:00 | -           | -         | -       | no
        E6        | P6      | EMER   | 11-01 04:00 | 11-01 08:00 | -         | -       | yes
        I6        | P6      | IMP    | 11-01 09:00 | -           | -         | -       | yes
        E7        | P7      | EMER   | 11-01 04:00 | 11-01 08:00 | -         | -       | yes
        I7        | P7      | IMP    | 11-01 09:01 | -           | -         | -       | yes
        E8        | P8      | EMER   | 11-01 04:00 | 11-01 08:00 | -         | I8      | yes
        I8        | P9      | IMP    | 11-01 11:00 | -           | -         | -       | yes
        EA        | PA      | OBSENC | 11-01 05:00 | -           | -         | -       | no
        EB        | PB      | EMER   | 11-01 05:00 | -           | cancelled | -       | yes
        EC        | PC      | EMER   | 11-01 05:00 | 11-01 10:00 | -         | -       | yes
        ED        | PD      | IMP    | 11-01 04:30 | -           | -         | -       | no
        I1        | PI1     | IMP    | 10-25 12:00 | -           | -         | -       | yes
        I2        | PI2     | IMP    | 10-25 12:01 | -           | -         | -       | yes
        I3        | PI3     | IMP    | 11-01 00:00 | 11-01 12:00 | -         | -       | yes
        I4        | PI4     | IMP    | 10-31 23:59 | 11-01 12:00 | -         | -       | yes
        I5        | PI5     | IMP    | 10-30 00:00 | 11-01 06:00 | -         | I1      | yes
        I9        | PI9     | IMP    | 10-30 00:00 | 11-02 00:00 | -         | -       | no
        IA        | PIA     | IMP    | 10-29 00:00 | 11-01 06:00 | -         | -       | yes
    """)
    hospital.encounters("""
        encounter | patient | class | admitted    | discharged | service | history
        E5        | P5      | IMP   | 11-01 03:00 | -          | PSY     | no
    """)
    hospital.classes("""
        encounter | class  | from        | to
        E3        | EMER   | 11-01 06:00 | -
        E4        | EMER   | 11-01 03:00 | 11-01 05:00
        E4        | IMP    | 11-01 05:00 | -
        E5        | EMER   | 11-01 03:00 | 11-01 05:00
        E5        | IMP    | 11-01 05:00 | -
        EA        | EMER   | 11-01 05:00 | 11-01 06:00
        EA        | OBSENC | 11-01 06:00 | -
        ED        | EMER   | 11-01 04:30 | 11-01 10:00
        ED        | IMP    | 11-01 10:00 | -
        I9        | IMP    | 10-30 00:00 | -
    """)
    hospital.statuses("""
        encounter | status      | from        | to
        E3        | triaged     | 11-01 06:00 | -
        E4        | triaged     | 11-01 03:00 | 11-01 04:00
        E4        | in-progress | 11-01 04:00 | -
        E5        | in-progress | 11-01 03:00 | -
        EA        | in-progress | 11-01 05:00 | -
        ED        | in-progress | 11-01 04:30 | -
        I9        | in-progress | 10-30 00:00 | 11-01 03:00
        I9        | onleave     | 11-01 03:00 | 11-01 09:00
        I9        | in-progress | 11-01 09:00 | 11-02 00:00
    """)
    hospital.stays("""
        encounter | patient | unit | bed | from        | to
        E1        | P1      | ED   | 1   | 11-01 02:00 | 11-01 06:00
        E2        | P2      | ED   | 2   | 11-01 02:00 | 11-01 06:01
        E3        | P3      | ED   | 1   | 11-01 06:00 | -
        E2        | P2      | A    | -   | 11-01 02:00 | 11-01 02:10
        E1        | P1      | D    | -   | 11-01 02:00 | 11-01 02:10
        I4        | PI4     | D    | -   | 10-31 23:59 | 11-01 00:10
        E4        | P4      | ED   | 3   | 11-01 03:00 | 11-01 07:00
        E4        | P4      | A    | 1   | 11-01 07:00 | -
        E5        | P5      | ED   | -   | 11-01 03:00 | 11-01 08:00
        E5        | P5      | A    | 2   | 11-01 08:00 | -
        E6        | P6      | ED   | -   | 11-01 04:00 | 11-01 08:00
        I6        | P6      | A    | 3   | 11-01 09:00 | -
        E7        | P7      | ED   | -   | 11-01 04:00 | 11-01 08:00
        I7        | P7      | B    | 1   | 11-01 09:01 | -
        E8        | P8      | ED   | -   | 11-01 04:00 | 11-01 08:00
        I8        | P9      | B    | 2   | 11-01 11:00 | -
        EA        | PA      | ED   | 4   | 11-01 05:00 | -
        EC        | PC      | ED   | 2   | 11-01 06:01 | 11-01 10:00
        I1        | PI1     | B    | 3   | 10-25 12:00 | -
        I2        | PI2     | B    | 4   | 10-25 12:01 | -
        I3        | PI3     | C    | 1   | 11-01 00:00 | 11-01 12:00
        I4        | PI4     | C    | 2   | 10-31 23:59 | 11-01 12:00
        I5        | PI5     | C    | 3   | 10-30 00:00 | 11-01 06:00
        I9        | PI9     | C    | 3   | 10-30 00:00 | 11-02 00:00
        IA        | PIA     | C    | 4   | 10-29 00:00 | 11-01 03:00
        IA        | PIA     | C    | 4   | 11-01 03:00 | 11-01 06:00
        IA        | PIA     | C    | 1   | 11-01 06:00 | 11-01 06:00
    """)
    hospital.milestones("""
        encounter | kind              | at
        E4        | decision_to_admit | 11-01 03:30
        E4        | decision_to_admit | 11-01 06:30
        E5        | decision_to_admit | 11-01 04:00
        E6        | bed_requested     | 11-01 05:00
        E6        | decision_to_admit | 11-01 07:00
        E8        | bed_requested     | 11-01 08:30
        E7        | decision_to_admit | 11-01 06:00
        EA        | decision_to_admit | 11-01 05:30
        EC        | bed_requested     | 11-01 09:00
        EC        | decision_to_admit | 11-01 09:30
        ED        | bed_requested     | 11-01 04:00
    """)
    hospital.beds("""
        unit | bed | staffed | status | from        | to
        ED   | 1   | yes     | U      | 10-01 00:00 | -
        ED   | 2   | yes     | U      | 11-01 06:00 | -
        ED   | 3   | no      | U      | 10-01 00:00 | 11-01 06:00
        ED   | 5   | yes     | C      | 10-01 00:00 | 11-01 12:00
        A    | 1   | yes     | U      | 10-01 00:00 | 11-01 06:00
        A    | 1   | yes     | K      | 11-01 06:00 | 11-01 12:00
        A    | 2   | yes     | H      | 10-01 00:00 | 11-01 06:00
        A    | 4   | yes     | U      | 11-01 06:00 | 11-01 12:00
        A    | 4   | yes     | I      | 11-01 12:00 | -
        A    | 5   | yes     | U      | 10-01 00:00 | -
        A    | 6   | yes     | U      | 10-01 00:00 | 11-01 06:00
        A    | 6   | no      | U      | 11-01 06:00 | -
        C    | 3   | yes     | U      | 10-01 00:00 | -
        C    | 4   | -       | U      | 10-01 00:00 | -
        C    | 5   | yes     | -      | 11-01 12:00 | -
    """)
    hospital.plans("""
        encounter | kind      | status | stated      | ended       | unit | bed
        E4        | transfer  | active | 11-01 06:00 | 11-01 12:00 | A    | 5
        E3        | discharge | active | 11-01 02:00 | -           | A    | 4
    """)


AT = ["11-01 00:00", "11-01 06:00", "11-01 08:00", "11-01 12:00", "11-02 00:00"]
ASKED = [
    *((start, end, "11-03 00:00") for start, end in pairwise(AT)),
    ("11-01 00:00", "11-02 00:00", "11-01 12:00"),
    ("11-01 06:00", "11-01 12:00", "11-01 10:00"),
    ("11-01 06:00", "11-01 12:00", "11-01 06:00"),
    ("11-01 06:00", "11-01 12:00", "11-01 06:01"),
]


@pytest.mark.parametrize(("start", "end", "known_at"), ASKED)
def test_at_the_limits(database: Database, start: str, end: str, known_at: str) -> None:
    known: datetime = instant(known_at)
    hospital = Hospital(database, "UTC", known.isoformat())
    follower = Follower(database, ZoneInfo("UTC"))
    paint(hospital)
    follower.hears(known)
    window = Window(instant(start), instant(end))
    kpis = set(COUNTED) if start == AT[0] else set(COUNTED) - {"occ_midnight"}
    follower.agrees(window, kpis)
    whole = follower.kept.measure(database, dict.fromkeys(kpis, window)).figures
    # Once more, after a batch in which everybody went and one in which all was as before.
    hospital = Hospital(database, "UTC", known.isoformat())
    follower.hears(known)
    emptied = follower.kept.measure(database, dict.fromkeys(kpis, window)).figures
    assert emptied["nhs4h"] is None
    paint(hospital)
    follower.hears(known)
    assert follower.kept.measure(database, dict.fromkeys(kpis, window)).figures == whole
