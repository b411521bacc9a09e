"""The hospital at an instant, as of and as known at: `twin.census_at` and its sisters."""

from datetime import timedelta
from random import Random

from drawn import instant


def rows(hospital, sql):
    return [tuple(row.values()) for row in hospital.database.query(sql)]


def test_a_census_counts_from_the_first_instant_of_a_stay_until_before_its_last(draw):
    hospital = draw()
    hospital.encounters("""
        encounter | class | admitted    | discharged  | history
        E1        | IMP   | 11-01 08:00 | 11-01 12:00 | no
        E2        | IMP   | 11-01 08:00 | -           | no
    """)
    hospital.statuses("""
        encounter | status  | from        | to
        E2        | onleave | 11-01 09:00 | 11-01 11:00
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | 11-01 12:00
        E2        | A    | 2   | 11-01 08:00 | -
    """)
    asked = "SELECT unit, patients, beds_taken, on_leave FROM twin.census_at('2026-11-01 {}')"
    assert rows(hospital, asked.format("07:59")) == []
    assert rows(hospital, asked.format("08:00")) == [("A", 2, 2, 0)]
    assert rows(hospital, asked.format("10:00")) == [("A", 2, 2, 1)]
    assert rows(hospital, asked.format("12:00")) == [("A", 1, 1, 0)]


def test_a_late_message_changes_the_past_but_not_what_was_known_of_it(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to          | known_from  | known_to
        E1        | A    | 1   | 11-01 08:00 | -           | 11-01 08:00 | 11-03 00:00
        E1        | A    | 1   | 11-01 08:00 | 11-02 08:00 | 11-03 00:00 | -
    """)
    asked = "SELECT patients FROM twin.census_at('2026-11-02 12:00', known_at := {})"
    assert rows(hospital, asked.format("NULL")) == []
    assert rows(hospital, asked.format("'2026-11-02 12:00'")) == [(1,)]
    known = "SELECT to_at FROM twin.stays_as_known('2026-11-0{}')"
    assert rows(hospital, known.format("2")) == [(None,)]
    assert rows(hospital, known.format("4")) == [(instant("11-02 08:00"),)]


def test_the_bed_board_says_what_a_bed_was_at_an_instant(draw):
    hospital = draw()
    hospital.beds("""
        unit | bed | staffed | status | from        | to
        A    | 1   | yes     | -      | -           | -
        A    | 2   | yes     | H      | 11-01 09:00 | 11-01 10:00
        A    | 2   | yes     | U      | 11-01 10:00 | -
        A    | 3   | no      | U      | -           | -
        A    | 4   | yes     | U      | -           | -
    """)
    hospital.encounters("""
        encounter | class | admitted    | discharged
        E1        | IMP   | 11-01 08:00 | -
        E2        | EMER  | 11-01 08:00 | -
    """)
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-01 08:00 | -
    """)
    hospital.plans("""
        encounter | kind     | status | stated      | ended | unit | bed
        E2        | transfer | active | 11-01 09:30 | -     | A    | 4
    """)
    asked = "SELECT bed, bed_status FROM twin.bed_board('2026-11-01 {}') ORDER BY bed"
    before = [("1", "occupied"), ("2", "not clean"), ("3", "closed"), ("4", "free")]
    after = [("1", "occupied"), ("2", "free"), ("3", "closed"), ("4", "reserved")]
    assert rows(hospital, asked.format("09:00")) == before
    assert rows(hospital, asked.format("10:00")) == after


def test_the_census_of_every_hour_is_that_of_its_instant(draw):
    hospital = draw()
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 10-31 08:00 | 11-01 03:00
        E2        | A    | 2   | 11-01 01:00 | 11-01 01:30
        E3        | A    | 3   | 11-01 01:20 | -
        E4        | B    | 1   | 11-01 02:00 | 11-01 04:00
        E5        | B    | 2   | 11-01 05:59 | 11-01 06:30
        E6        | C    | 1   | 10-30 00:00 | 10-31 23:30
        E7        | C    | 2   | 11-01 06:00 | -
    """)
    asked = "SELECT unit, hour_start, patients FROM twin.hourly_census('2026-11-01', '{}')"
    counted = rows(hospital, asked.format("2026-11-01 06:00"))
    hours = sorted({hour for _, hour, _ in counted})
    assert hours == [instant(f"11-01 0{n}:00") for n in range(6)]
    for hour in hours:
        at = f"SELECT unit, patients FROM twin.census_at('{hour}')"
        there = dict(rows(hospital, at))
        found = {unit: patients for unit, when, patients in counted if when == hour}
        assert found.keys() == {"A", "B"}
        assert {unit: n for unit, n in found.items() if n} == there
    # A window that begins between two hours begins with the next one.
    assert rows(hospital, asked.format("2026-11-01 00:30").replace("11-01'", "11-01 00:10'")) == []


def test_every_hour_of_any_window_is_counted_naively_too(draw):
    hospital = draw()
    chance = Random(5)
    first = instant("11-01 00:00")
    drawn = []
    for number in range(60):
        from_at = first + timedelta(minutes=30 * chance.randrange(96))
        # Some end where they begin, or by a slip before; some are still there.
        to_at = from_at + timedelta(minutes=30 * chance.choice([-3, 0, 1, 2, 9, 40]))
        drawn.append((f"E{number}", chance.choice("ABC"), from_at, chance.choice([to_at, None])))
    lines = (
        f"{name} | {unit} | - | {a.isoformat()} | {b.isoformat() if b else '-'}"
        for name, unit, a, b in drawn
    )
    hospital.stays("\n".join(("encounter | unit | bed | from | to", *lines)))
    for start, hours in ((0, 48), (7.5, 1), (12, 0.5), (30.25, 40)):
        window = (first + timedelta(hours=start), first + timedelta(hours=start + hours))
        found = rows(
            hospital,
            "SELECT unit, hour_start, patients FROM"
            f" twin.hourly_census('{window[0].isoformat()}', '{window[1].isoformat()}')",
        )
        units = {u for _, u, a, b in drawn if a < window[1] and (b is None or b > window[0])}
        full = [first + timedelta(hours=n) for n in range(96)]
        expected = {
            (unit, at): sum(u == unit and a <= at and (b is None or b > at) for _, u, a, b in drawn)
            for unit in units
            for at in full
            if window[0] <= at < window[1]
        }
        assert {(unit, at): n for unit, at, n in found} == expected


def test_what_no_batch_had_brought_by_then_was_not_known_and_is_not_nothing(draw):
    hospital = draw(known="2026-11-05")
    hospital.batch("11-02 12:00")
    hospital.stays("""
        encounter | unit | bed | from        | to
        E1        | A    | 1   | 11-02 08:00 | 11-04 08:00
    """)
    found = {
        known_at: [
            (row.value, row.coverage)
            for row in hospital.kpi(
                "adm_dis_balance", "11-02", "11-04", by="hospital", known_at=known_at
            )
            if row.statistic == "admissions"
        ]
        for known_at in ("11-04", None)
    }
    assert found["11-04"] == [(1, 0.5), (None, 0)]
    assert found[None] == [(1, 1), (0, 1)]
