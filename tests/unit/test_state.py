"""The hospital at an instant, against a store filled by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from twin_core.state import Bed, HospitalState, UnitState, bed_status, hospital_state, natural_key
from twin_core.store.database import Database, install_views, migrate
from twin_core.store.tables import BY_NAME

DAY = "2026-03-02"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

# Ward A: six beds by resources, the ward itself, a room. A7 is known from a message only.
# Known from the start of the day unless a row says otherwise; `-` is NULL.
LOCATIONS = """
id | kind | facility | unit | room | bed | name    | code | staffed
w  | wa   | H        | A    | -    | -   | Ward A  | -    | -
n  | wa   | H        | NEW  | -    | -   | Ward N  | -    | -
c  | wa   | H        | EYE  | -    | -   | -       | -    | -
r  | ro   | H        | A    | 1    | -   | Room 1  | U    | true
l1 | bd   | H        | A    | 1    | 1   | -       | U    | true
l2 | bd   | H        | A    | 1    | 2   | -       | -    | -
l3 | bd   | H        | A    | 1    | 3   | -       | -    | true
l4 | bd   | H        | A    | 1    | 4   | -       | C    | true
l5 | bd   | H        | A    | 1    | 5   | -       | U    | false
l6 | bd   | H        | A    | 1    | 10  | -       | I    | true
"""
STATUSES = """
id | code | staffed | from  | to
l2 | U    | true    | 06:00 | 11:00
l2 | H    | true    | 11:00 | 13:00
l2 | U    | true    | 13:00 | -
l3 | O    | true    | 06:00 | -
"""
STAYS = """
stay | encounter | patient | facility | unit | room | bed | location | from  | to
s1   | e1        | p1      | H        | A    | 1    | 1   | l1       | 08:00 | -
s2   | e2        | p2      | H        | A    | 1    | 2   | l2       | 08:00 | 11:00
s3   | e3        | p3      | H        | A    | 1    | 3   | l3       | 09:00 | -
s4   | e4        | p4      | H        | A    | 1    | 3   | l3       | 10:00 | -
s5   | e5        | p5      | H        | A    | 1    | 7   | l7       | 10:30 | 14:00
s6   | e6        | p6      | H        | A    | -    | -   | w        | 11:30 | -
s7   | e7        | p7      | H        | ED   | 2    | B   | l8       | 11:40 | -
s8   | e9        | p9      | H        | ED   | 2    | C   | l9       | 10:00 | -
"""
ENCOUNTERS = """
encounter | patient | facility | class | status      | service | admitted
e1        | p1      | H        | IMP   | onleave     | MED     | 08:00
e2        | p2      | H        | IMP   | finished    | MED     | 08:00
e3        | p3      | H        | IMP   | in-progress | SUR     | 09:00
e4        | p4      | H        | IMP   | in-progress | SUR     | 10:00
e5        | p5      | H        | IMP   | finished    | MED     | 10:30
e6        | p6      | H        | IMP   | in-progress | MED     | 11:30
e7        | p7      | H        | EMER  | in-progress | -       | 10:15
e8        | p8      | H        | EMER  | arrived     | -       | 11:55
e9        | p9      | H        | IMP   | in-progress | MED     | 10:00
e10       | p10     | H        | IMP   | planned     | MED     | -
"""
STATUS_HISTORY = """
encounter | value       | from  | to
e1        | in-progress | 08:00 | 11:00
e1        | onleave     | 11:00 | -
e7        | arrived     | 10:15 | 11:40
e7        | in-progress | 11:40 | -
e8        | arrived     | 11:55 | -
e9        | in-progress | 10:00 | -
"""
CLASS_HISTORY = """
encounter | value | from  | to
e7        | EMER  | 10:15 | -
e8        | EMER  | 11:55 | -
e9        | EMER  | 10:00 | 11:00
e9        | IMP   | 11:00 | -
"""
MILESTONES = """
encounter | kind              | at
e7        | triaged           | 10:20
e7        | bed_requested     | 11:10
e7        | decision_to_admit | 11:20
e8        | seen_by_provider  | 12:30
"""
# e10 is on nobody's ward yet. e3 is to go home, e6 to be given bed 1-2, e7 bed 1-10.
PLANS = """
plan | enc | kind      | status    | stated | expected | ended | fac | unit | room | bed | location
t1   | e3  | discharge | active    | 10:00  | 16:00    | -     | -   | -    | -    | -   | -
t2   | e6  | transfer  | active    | 11:45  | -        | -     | H   | A    | 1    | 2   | l2
t3   | e7  | admission | active    | 11:20  | -        | -     | H   | A    | 1    | 10  | l6
t4   | e10 | admission | cancelled | 09:00  | 15:00    | 13:00 | H   | A    | 1    | 10  | l6
t5   | e9  | transfer  | active    | 11:30  | 12:30    | -     | H   | A    | -    | -   | -
"""
TRACKED = "c0, c1, c2::BOOLEAN, c3, c4, c5, c6, c7, c8, c9"
TRACKING = """
encounter | status   | temporary | facility | unit | room | bed | location | from  | to
e3        | departed | true      | H        | RAD  | -    | -   | -        | 11:00 | 11:10
e3        | arrived  | true      | H        | RAD  | 2    | -   | -        | 11:10 | 12:10
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.duckdb")
    migrate(database.connection)
    install_views(database.connection)
    fill(database, "location", LOCATIONS, "c0, c1, c2, c3, c4, c5, c6, NULL, c7, c8::BOOLEAN")
    fill(database, "location_status", STATUSES, "c0, c1, c2::BOOLEAN, c3, c4")
    fill(database, "stay", STAYS, "c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, false")
    fill(
        database,
        "encounter",
        ENCOUNTERS,
        "c0, c1, c2, c3, c4, c6, NULL, c5, NULL, NULL, NULL, NULL, false",
    )
    fill(database, "encounter_status", STATUS_HISTORY, "c0, c1, c2, c3")
    fill(database, "encounter_class", CLASS_HISTORY, "c0, c1, c2, c3")
    fill(database, "encounter_milestone", MILESTONES, "c0, c1, c2")
    fill(database, "encounter_plan", PLANS, ", ".join(f"c{n}" for n in range(12)))
    fill(
        database, "encounter_tracking", TRACKING, "c0, c1, c2::BOOLEAN, c3, c4, c5, c6, c7, c8, c9"
    )
    yield database
    database.close()


def fill(database: Database, entity: str, drawing: str, columns: str) -> None:
    """Insert a drawn table as versions known from the start of the day on."""
    heading, *lines = [line for line in drawing.splitlines() if line.strip()]
    width = len(heading.split("|"))
    named = [column.name for column in BY_NAME[entity].columns][: len(columns.split(","))]
    targets = ", ".join(f'"{name}"' for name in named)
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        values = [None if c == "-" else f"{DAY} {c}:00+00" if ":" in c else c for c in cells]
        names = ", ".join(f"c{n}" for n in range(width))
        marks = ", ".join("?" for _ in values)
        database.connection.execute(
            f"INSERT INTO core.{entity}_version"
            f" ({targets}, version_no, owner, known_from, known_to) SELECT {columns},"
            f" 1, 1, TIMESTAMPTZ '{DAY} 00:00:00+00', 'infinity'"
            f" FROM (VALUES ({marks})) t({names})",
            values,
        )


def at(store: Database, clock: str, known: str | None = None) -> HospitalState:
    return hospital_state(
        store.query, at=instant(clock), known_at=instant(known) if known else None
    )


def instant(clock: str) -> datetime:
    return datetime.fromisoformat(f"{DAY}T{clock}+00:00")


def ward(state: HospitalState, code: str = "A") -> UnitState:
    return next(unit for unit in state.units if unit.unit == code)


def bed(state: HospitalState, label: str) -> Bed:
    return next(bed for bed in ward(state).beds if bed.bed == label)


@pytest.mark.parametrize(
    ("code", "staffed", "occupied", "expected"),
    [
        ("U", True, False, "free"),
        (None, None, False, "free"),
        ("H", True, False, "dirty"),
        ("K", None, False, "dirty"),
        ("C", True, False, "closed"),
        ("U", False, False, "closed"),
        ("H", False, False, "closed"),
        ("I", True, False, "isolated"),
        ("H", True, True, "occupied"),
        ("C", False, True, "occupied"),
    ],
)
def test_bed_status(code: str | None, staffed: bool | None, occupied: bool, expected: str) -> None:
    assert bed_status(code, staffed, occupied=occupied) == expected


def test_each_bed_of_the_ward_at_noon(store: Database) -> None:
    beds = {bed.bed: bed.status for bed in ward(at(store, "12:00")).beds}
    assert beds == {
        "1": "occupied",
        "2": "dirty",
        "3": "occupied",
        "4": "closed",
        "5": "closed",
        "7": "occupied",
        "10": "isolated",
    }


def test_beds_are_in_the_order_in_which_a_ward_numbers_them(store: Database) -> None:
    labels = [bed.bed for bed in ward(at(store, "12:00")).beds]
    assert labels == ["1", "2", "3", "4", "5", "7", "10"]


def test_counts_add_up_and_leave_conflict_and_staffing_are_apart(store: Database) -> None:
    unit = ward(at(store, "12:00"))
    counts = unit.counts
    assert (counts.occupied, counts.free, counts.dirty) == (3, 0, 1)
    assert (counts.closed, counts.isolated, counts.beds) == (2, 1, 7)
    assert (counts.on_leave, counts.conflicts) == (1, 1)
    assert counts.staffed == 4  # beds 1, 2, 3 and 10; 4 and 5 are closed, 7 says nothing
    assert unit.census == 5  # two share bed 3, one has no bed
    assert unit.name == "Ward A"


def test_two_patients_in_one_bed_are_a_conflict_and_both_are_shown(store: Database) -> None:
    shared = bed(at(store, "12:00"), "3")
    assert shared.conflict
    assert [p.encounter_id for p in shared.occupants] == ["e3", "e4"]
    assert not bed(at(store, "09:30"), "3").conflict


def test_a_patient_on_leave_holds_the_bed(store: Database) -> None:
    assert bed(at(store, "12:00"), "1").occupants[0].on_leave
    assert not bed(at(store, "10:00"), "1").occupants[0].on_leave


def test_a_patient_without_a_bed_counts_in_the_unit_only(store: Database) -> None:
    assert [p.encounter_id for p in ward(at(store, "12:00")).without_bed] == ["e6"]


def test_a_ward_or_a_room_is_never_a_bed(store: Database) -> None:
    beds = [bed.location_id for unit in at(store, "12:00").units for bed in unit.beds]
    assert not {"w", "r"} & set(beds)


def test_a_bed_known_only_from_a_message_is_a_bed(store: Database) -> None:
    assert bed(at(store, "12:00"), "7").status == "occupied"
    assert bed(at(store, "15:00"), "7").status == "free"


def test_periods_are_half_open(store: Database) -> None:
    assert bed(at(store, "10:59"), "2").status == "occupied"
    assert bed(at(store, "11:00"), "2").status == "dirty"
    assert bed(at(store, "13:00"), "2").status == "free"
    assert bed(at(store, "08:00"), "1").status == "occupied"


def test_the_ed_lists_who_has_arrived_longest_wait_first(store: Database) -> None:
    listed = [(p.encounter_id, p.bay, p.waited_minutes, p.status) for p in at(store, "12:00").ed]
    assert listed == [
        ("e9", "2-C", 120, "in-progress"),
        ("e7", "2-B", 105, "in-progress"),
        ("e8", "", 5, "arrived"),
    ]


def test_an_ed_patient_waits_for_a_bay_until_given_one(store: Database) -> None:
    [waiting] = [p for p in at(store, "11:30").ed if p.encounter_id == "e7"]
    assert (waiting.bay, waiting.status, waiting.waited_minutes) == ("", "arrived", 75)


def test_who_is_to_be_admitted_boards_from_the_decision_else_from_the_inpatient_class(
    store: Database,
) -> None:
    boarding = {
        clock: {p.encounter_id: p.boarding_minutes for p in at(store, clock).ed}
        for clock in ("10:30", "11:15", "12:00")
    }
    assert boarding == {
        "10:30": {"e7": None, "e9": None},
        # A bed was requested at 11:10; once the decision itself is known, it counts.
        "11:15": {"e7": 5, "e9": 15},
        "12:00": {"e7": 40, "e8": None, "e9": 60},
    }
    [seen] = [p for p in at(store, "12:30").ed if p.encounter_id == "e7"]
    assert seen.triaged_at == datetime(2026, 3, 2, 10, 20, tzinfo=UTC)


def test_a_boarder_who_has_left_the_unit_is_not_in_the_ed(store: Database) -> None:
    store.connection.execute(
        f"UPDATE core.stay_version SET to_at = TIMESTAMPTZ '{DAY} 11:50:00+00' WHERE stay_id = 's8'"
    )
    assert "e9" in [p.encounter_id for p in at(store, "11:45").ed]
    assert "e9" not in [p.encounter_id for p in at(store, "12:00").ed]


def test_a_bed_is_reserved_for_who_is_planned_into_it(store: Database) -> None:
    state = at(store, "12:00")
    reserved = {b.bed: [p.encounter_id for p in b.reserved_for] for b in ward(state).beds}
    assert {label: who for label, who in reserved.items() if who} == {
        "2": ["e6"],
        # The cancelled plan was still a plan at noon.
        "10": ["e7", "e10"],
    }
    assert ward(state).counts.reserved == 2
    [ten] = [b for b in ward(at(store, "13:00")).beds if b.bed == "10"]
    assert [p.encounter_id for p in ten.reserved_for] == ["e7"]


def test_the_expected_census_counts_who_comes_and_goes_within_a_day(store: Database) -> None:
    ward_a, ed = ward(at(store, "12:00")), ward(at(store, "12:00"), "ED")
    # Patient e6 only changes beds inside the ward.
    assert [p.encounter_id for p in ward_a.expected_in] == ["e7", "e9", "e10"]
    assert [p.encounter_id for p in ward_a.expected_out] == ["e3"]
    assert ward_a.census_expected == ward_a.census + 2
    assert [p.encounter_id for p in ed.expected_out] == ["e9"]
    later = hospital_state(store.query, at=NOON + timedelta(days=3))
    assert ward(later).expected_in == ward(later).expected_out == ()


def test_a_patient_who_is_elsewhere_keeps_the_bed(store: Database) -> None:
    def whereabouts(clock: str) -> list[tuple[str, str]]:
        patients = bed(at(store, clock), "3").occupants
        return [(p.away.unit, p.away.status) for p in patients if p.away is not None]

    assert whereabouts("11:05") == [("RAD", "departed")]
    assert whereabouts("12:00") == [("RAD", "arrived")]
    assert whereabouts("12:10") == []


def test_what_was_known_earlier_is_shown_as_it_was_known(store: Database) -> None:
    # At 12:30 a late message said that patient e1 had left bed 1 at 11:45.
    store.connection.execute(
        f"UPDATE core.stay_version SET known_to = TIMESTAMPTZ '{DAY} 12:30:00+00'"
        " WHERE stay_id = 's1'"
    )
    store.connection.execute(
        "INSERT INTO core.stay_version SELECT * REPLACE"
        " (known_to AS known_from, 'infinity' AS known_to,"
        f" TIMESTAMPTZ '{DAY} 11:45:00+00' AS to_at) FROM core.stay_version WHERE stay_id = 's1'"
    )
    assert bed(at(store, "12:00"), "1").status == "free"
    assert bed(at(store, "12:00", known="12:29"), "1").status == "occupied"
    assert bed(at(store, "12:00", known="12:30"), "1").status == "free"
    assert bed(at(store, "11:00"), "1").status == "occupied"


def test_nothing_was_known_before_the_first_message(store: Database) -> None:
    state = at(store, "12:00", known="00:00")
    assert state.census == ward(state).census + ward(state, "ED").census
    before = hospital_state(store.query, at=NOON, known_at=NOON - timedelta(days=1))
    assert (before.units, before.ed, before.census, before.counts.staffed) == ((), (), 0, None)


def test_the_hospital_is_the_sum_of_its_units(store: Database) -> None:
    state = at(store, "12:00")
    assert state.counts.beds == 9
    assert state.counts.occupied == 5
    assert state.census == 7


def test_natural_order() -> None:
    assert sorted(["10", "2", "B1", "A10", "A2"], key=natural_key) == ["2", "10", "A2", "A10", "B1"]


def test_a_clinic_that_only_appointments_name_is_no_unit_and_an_empty_new_ward_is(
    store: Database,
) -> None:
    units = {unit.unit: unit.census for unit in at(store, "12:00").units}
    assert units["NEW"] == 0
    assert "EYE" not in units
