"""What the board shows of a state, and what it tells of a change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from api.board import (
    BedTile,
    Board,
    HospitalTime,
    Totals,
    UnitTile,
    decided,
    difference,
    now_cards,
    unit_key,
    unit_tile,
    unit_tiles,
)
from api.figures import shown
from api.pulse import freshness
from api.web.rendering import bed_words, mark, plan_words, span, tally_words
from twin_core.kpi import last_midnight
from twin_core.state import Bed, BedCounts, HospitalState, Occupant, Plan, UnitState

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def unit(key: str, occupied: int) -> UnitTile:
    facility, code = key.split("/")
    beds = tuple(
        BedTile(key=f"{key}/{n}", label=str(n), status="occupied" if n < occupied else "free")
        for n in range(3)
    )
    counts = BedCounts(beds=3, occupied=occupied, free=3 - occupied)
    return UnitTile(
        key=key,
        facility=facility,
        unit=code,
        name="",
        census=occupied,
        counts=counts,
        without_bed=0,
        beds=beds,
    )


def board(sequence: int, *units: UnitTile) -> Board:
    return Board(
        instance="one",
        version="1",
        sequence=sequence,
        demo=False,
        hospital="General",
        clock=HospitalTime(now=NOON, speed=1.0, time_zone="UTC"),
        totals=Totals(
            census=sum(u.census for u in units),
            beds=BedCounts(),
            ed=0,
            ed_waiting=0,
            ed_boarding=0,
            quarantined=0,
            rejected=0,
            lag_seconds=0.0,
        ),
        kpis=(),
        feeds=(),
        units=units,
        ed=(),
    )


def test_a_delta_names_what_it_applies_to_and_holds_only_the_changed_units() -> None:
    old = board(7, unit("H/A", 1), unit("H/B", 2))
    new = board(9, unit("H/A", 1), unit("H/B", 3))
    delta = difference(old, new)
    assert (delta.previous, delta.sequence) == (7, 9)
    assert [u.key for u in delta.units] == ["H/B"]
    assert delta.ed is None
    assert delta.totals is not None


def test_a_delta_tells_of_units_that_are_gone_and_of_new_ones() -> None:
    delta = difference(board(1, unit("H/A", 1)), board(2, unit("H/B", 1)))
    assert delta.removed == ("H/A",)
    assert [u.key for u in delta.units] == ["H/B"]


def test_nothing_changed_is_only_the_clock() -> None:
    delta = difference(board(3, unit("H/A", 1)), board(3, unit("H/A", 1)))
    assert (delta.units, delta.removed, delta.totals, delta.kpis) == ((), (), None, None)


@pytest.mark.parametrize(
    ("silent_minutes", "continuous", "expected"),
    [
        (0, True, "fresh"),
        (4.9, True, "fresh"),
        (5, True, "quiet"),
        (30, True, "silent"),
        (4.9, False, "fresh"),
        (5, False, "idle"),
        (60 * 24, False, "idle"),
    ],
)
def test_silence_is_a_fault_only_where_messages_should_keep_coming(
    silent_minutes: float, continuous: bool, expected: str
) -> None:
    last_at = NOON - timedelta(minutes=silent_minutes)
    assert freshness(NOON, last_at, continuous=continuous) == expected


def test_a_feed_never_heard() -> None:
    assert freshness(NOON, None) == "never"


def occupant(encounter: str, *, on_leave: bool = False) -> Occupant:
    return Occupant(
        stay_id="s" + encounter,
        encounter_id=encounter,
        patient_id="p" + encounter,
        class_="IMP",
        service=None,
        since=NOON,
        on_leave=on_leave,
    )


def bed(label: str, *occupants: Occupant, status: str = "free", conflict: bool = False) -> Bed:
    return Bed(
        location_id=None,
        room="1",
        bed=label,
        status="occupied" if occupants else status,
        isolated=False,
        conflict=conflict,
        operational_status=None,
        staffed=None,
        occupants=occupants,
    )


def test_a_bed_says_in_words_what_its_colour_says() -> None:
    shown_unit = unit_tile(
        UnitState(
            facility="",
            unit="MED",
            kind="wa",
            name="Medicine",
            census=3,
            counts=BedCounts(beds=3, occupied=2, dirty=1, on_leave=1, conflicts=1),
            beds=(
                bed("A", occupant("e1234567890", on_leave=True)),
                bed("B", occupant("e2"), occupant("e3"), conflict=True),
                bed("C", status="dirty"),
            ),
            without_bed=(),
        )
    )
    assert [bed_words(tile) for tile in shown_unit.beds] == [
        "occupied, on leave, e123456",
        "occupied, two patients, e2, e3",
        "dirty",
    ]
    assert shown_unit.key == "-/MED"
    assert (
        tally_words(shown_unit)
        == "3 patients \u00b7 1 dirty \u00b7 1 on leave \u00b7 1 in conflict"
    )


def test_a_unit_says_who_is_to_come_and_to_leave() -> None:
    home = Plan(
        encounter_id="e1",
        patient_id=None,
        kind="discharge",
        stated_at=NOON,
        expected_at=NOON,
        facility="",
        unit="",
        room="",
        bed="",
    )
    coming = msgspec.structs.replace(home, encounter_id="e2", kind="transfer", unit="MED", bed="B")
    leaving = msgspec.structs.replace(occupant("e1"), leaving=home)
    reserved = msgspec.structs.replace(bed("B"), reserved_for=(coming,))
    shown_unit = unit_tile(
        UnitState(
            facility="",
            unit="MED",
            kind="wa",
            name="",
            census=1,
            counts=BedCounts(beds=2, occupied=1, free=1),
            beds=(bed("A", leaving), reserved),
            without_bed=(),
            expected_in=(coming, coming),
            expected_out=(home,),
            census_expected=2,
        )
    )
    assert [bed_words(tile) for tile in shown_unit.beds] == [
        "occupied, expected out, e1",
        "free, reserved",
    ]
    assert [mark(tile) for tile in shown_unit.beds] == ["\u2197", "R"]
    assert tally_words(shown_unit).endswith("2 to come, 1 to leave, then 2")
    assert plan_words(home, "Europe/Berlin") == "discharge 13:00"
    assert plan_words(coming, "Europe/Berlin") == "transfer to MED B 13:00"


def test_occupancy_leaves_out_beds_held_on_leave_and_closed_ones() -> None:
    state = HospitalState(
        at=NOON,
        known_at=None,
        sequence=1,
        census=18,
        counts=BedCounts(beds=24, occupied=18, free=2, closed=4, staffed=None, on_leave=2),
        units=(),
        ed=(),
    )
    occupancy, ed = now_cards(state)
    assert (occupancy.value, occupancy.note) == ("80", "16 of 20 open beds, 2 on leave")
    assert ed.value == "0"


def test_an_empty_hospital_has_no_occupancy_rather_than_zero() -> None:
    nothing = HospitalState(
        at=NOON, known_at=None, sequence=0, census=0, counts=BedCounts(), units=(), ed=()
    )
    assert now_cards(nothing)[0].value == "\u2013"


@pytest.mark.parametrize(
    ("now", "zone", "expected"),
    [
        ("2026-03-02T12:00:00+00:00", "UTC", "2026-03-02T00:00:00+00:00"),
        ("2026-03-02T23:30:00+00:00", "Europe/Berlin", "2026-03-02T23:00:00+00:00"),
        ("2026-03-29T12:00:00+00:00", "Europe/Berlin", "2026-03-28T23:00:00+00:00"),
    ],
)
def test_the_day_begins_at_local_midnight(now: str, zone: str, expected: str) -> None:
    began = last_midnight(datetime.fromisoformat(now), ZoneInfo(zone))
    assert began == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("value", "signed", "expected"),
    [
        (None, False, "\u2013"),
        (86.73, False, "86.7"),
        (1234.5, False, "1,234"),
        (4.0, True, "+4"),
        (-4.0, True, "\u22124"),
        (0.0, True, "0"),
    ],
)
def test_figures_are_shown_as_people_read_them(
    value: float | None, signed: bool, expected: str
) -> None:
    assert shown(value, signed=signed) == expected


@pytest.mark.parametrize(
    ("minutes", "expected"), [(0, "0 min"), (59, "59 min"), (65, "1 h 05"), (4 * 1440, "4 d 0 h")]
)
def test_durations_are_shown_as_people_say_them(minutes: int, expected: str) -> None:
    assert span(timedelta(minutes=minutes)) == expected


def test_a_unit_without_a_facility_still_has_an_address() -> None:
    assert (unit_key("", "A"), unit_key("H", "")) == ("-/A", "H/-")


def test_a_hospital_counts_who_comes_and_goes_once_and_names_its_sites() -> None:
    def plan(visit: str, kind: str, unit: str) -> Plan:
        return Plan(
            encounter_id=visit, patient_id=visit, kind=kind, stated_at=NOON, expected_at=NOON,
            facility="H", unit=unit, room="", bed="",
        )  # fmt: skip

    def lies(visit: str) -> Occupant:
        return Occupant(
            stay_id=visit, encounter_id=visit, patient_id=visit, class_="IMP", service=None,
            since=NOON, on_leave=False,
        )  # fmt: skip

    def ward(facility: str, code: str, *patients: str, **expected: tuple[Plan, ...]) -> UnitState:
        return UnitState(
            facility=facility, unit=code, kind="wa", name="", census=len(patients),
            counts=BedCounts(), beds=(), without_bed=tuple(lies(one) for one in patients),
            **expected,
        )  # fmt: skip

    moved, left, came = (
        plan("a", "transfer", "B"),
        plan("b", "discharge", ""),
        plan("c", "admission", "A"),
    )
    units = (
        ward("H", "A", "a", "b", expected_in=(came,), expected_out=(moved, left)),
        ward("H", "B", expected_in=(moved,)),
    )
    state = HospitalState(
        at=NOON, known_at=None, sequence=1, census=2, counts=BedCounts(), units=units, ed=()
    )
    assert decided(state) == (1, 1), "who is moved neither comes nor goes"
    assert [tile.site for tile in unit_tiles(state)] == ["", ""]
    both = msgspec.structs.replace(state, units=(*units, ward("K", "A")))
    assert [tile.site for tile in unit_tiles(both)] == ["H", "H", "K"]
