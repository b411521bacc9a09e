"""Key figures that may be published: whole weeks, fixed groupings, small cells hidden, once.

What shifted rows cannot answer is counted in the identified store and published here. A figure is
of a whole week and of a unit or the whole hospital; there is no other window and no other grouping.
It is hidden where fewer than `least` people stand behind it, behind its numerator, or behind the
rest of its denominator, and so is whatever would let a hidden one be computed from its hospital
(complementary suppression). Counts are rounded to fives, and shares and ratios are those of the
rounded counts, so that no value tells a count more exactly and two KPIs that differ by an exclusion
do not tell who was excluded. A week is published a day after its end
and stays as it was published, so that two askings do not differ by who was heard of in between.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from twin_core.kpi.catalogue import Definition
from twin_core.kpi.measuring import KpiRow, Query, Window, hospital_zone, last_midnight, measure

SETTLED = timedelta(days=1)
"""How long after its end a week is published: late messages are heard by then."""
MOST_WEEKS = 26
"""How many weeks back the first figures go."""
COUNTS = 5
"""What counts are rounded to."""
_LEAST_STEP = {"min": 1.0, "days": 0.1}
"""Units of amounts, and how fine a mean or a quantile of them is told: finer ones tell how many
there were, as the mean of whole nights does or the quantile between two whole minutes."""
_OF_THE_CALENDAR = frozenset({"adc"})
"""KPIs over the midnights of the week, which everybody knows."""
Place = tuple[str | None, str | None]
Cell = tuple[datetime, str, Place]
"""Week, statistic, place; the place of the hospital is (None, None)."""
HOSPITAL: Place = (None, None)
Numbers = tuple[float | None, float | None, float | None, float | None]


class Behind(NamedTuple):
    """How many stand behind a figure."""

    people: int
    counted: int
    """People, and beds and the like, that add to the numerator."""
    rest: int
    """People who do not."""

    def plus(self, other: "Behind") -> "Behind":
        """Both together."""
        return Behind(*(one + more for one, more in zip(self, other, strict=True)))

    def is_small(self, least: int) -> bool:
        """Whether one of the groups that the figure tells of is too small to be told of."""
        return any(0 < group < least for group in self)


NOBODY = Behind(0, 0, 0)


def due(query: Query, now: datetime, until: datetime | None) -> Window | None:
    """The weeks that have ended, have settled and were not published; None where there are none."""
    zone = hospital_zone(query)
    end = _monday(now - SETTLED, zone)
    start = until or _first_week(query, end, zone)
    return Window(start, end) if start is not None and start < end else None


def weekly(
    query: Query, kpis: Iterable[Definition], weeks: Window, least: int, known: Iterable[str]
) -> Iterator[tuple[object, ...]]:
    """Rows of `twin_core.store.figures.COLUMNS` for every KPI, hidden ones without numbers."""
    named = frozenset(known)
    for kpi in kpis:
        if kpi.behind and "week" in kpi.grain and {"unit", "hospital"} <= set(kpi.by):
            yield from _of_kpi(query, kpi, weeks, least, named)


def hidden_places(
    people: Mapping[Place, int],
    small: Iterable[Place],
    least: int,
    together: Callable[[Iterable[Place]], int] | None = None,
) -> set[Place]:
    """Which figures of one week to hide: small ones, and those by which they could be computed.

    `people` are those behind each figure; units add up to the hospital. `together` counts those
    behind several units, where that is known better than by adding them.
    """
    behind = together or (lambda places: sum(people[place] for place in places))
    hidden = {place for place in small if place in people}
    units = sorted(
        ((n, place) for place, n in people.items() if place != HOSPITAL and n > 0),
        key=lambda unit: (unit[0], unit[1][0] or "", unit[1][1] or ""),
    )
    while HOSPITAL not in hidden:
        within = [place for _, place in units if place in hidden]
        if not within or (len(within) > 1 and behind(within) >= least):
            return hidden
        rest = [place for _, place in units if place not in hidden]
        hidden.add(rest[0] if rest else HOSPITAL)
    if len([place for place in people if place in hidden]) == 1 and units:
        # Without its sum, the hospital's own figure could be computed from its units.
        hidden.add(units[0][1])
    return hidden


def _of_kpi(
    query: Query, kpi: Definition, weeks: Window, least: int, known: frozenset[str]
) -> Iterator[tuple[object, ...]]:
    rows = [
        (by, row)
        for by in ("unit", "hospital")
        for row in measure(query, kpi, *weeks, grain="week", by=by)
        if row.stratum is None and _is_whole(row)
    ]
    behind: dict[Cell, Behind] = {}
    for by in ("unit", "hospital"):
        for cell, told in _behind(query, kpi, weeks, by):
            behind[cell] = behind.get(cell, NOBODY).plus(told)
    cells = {_cell(row): behind.get(_cell(row), NOBODY) for _, row in rows}
    hidden = _hidden(cells, least)
    for by, row in rows:
        place = (row.facility, row.unit)
        if place == HOSPITAL or _may_be_named(place, cells, least, known):
            yield _published(kpi, by, row, _cell(row) in hidden)


def _hidden(cells: Mapping[Cell, Behind], least: int) -> set[Cell]:
    weeks: dict[tuple[datetime, str], dict[Place, Behind]] = {}
    for (week, statistic, place), told in cells.items():
        weeks.setdefault((week, statistic), {})[place] = told
    hidden = set()
    for (week, statistic), places in weeks.items():
        people = {place: max(told.people, told.counted) for place, told in places.items()}
        small = [place for place, told in places.items() if told.is_small(least)]
        hidden |= {(week, statistic, place) for place in hidden_places(people, small, least)}
    return hidden


def _may_be_named(
    place: Place, cells: Mapping[Cell, Behind], least: int, known: frozenset[str]
) -> bool:
    """Whether a unit is vouched for, or enough people were in it in one of the weeks."""
    if place[1] in known:
        return True
    return any(told.people >= least for (_, _, at), told in cells.items() if at == place)


def _published(kpi: Definition, by: str, row: KpiRow, hidden: bool) -> tuple[object, ...]:
    shown = (None, None, None, None) if hidden else numbers_shown(kpi, row)
    period = (row.period_start, row.period_end)
    return (kpi.id, by, row.facility, row.unit, *period, row.statistic, *shown, hidden)


def _behind(query: Query, kpi: Definition, weeks: Window, by: str) -> Iterator[tuple[Cell, Behind]]:
    found = query(_BEHIND.format(kpi=kpi.id, by=by), (*weeks,))
    for row in found:
        named = (row["facility"], row["unit"])
        told = Behind(row["people"], row["counted"], row["rest"])
        # A row that names no statistic counts for all of them.
        statistics = [row["statistic"]] if row["statistic"] else kpi.statistics or ("value",)
        for statistic in statistics:
            yield (row["period_start"], statistic, named), told


# Who is behind a figure: patients where they are known, else their visits, else beds and counts.
_BEHIND = """
WITH behind AS (
    SELECT b.*, CASE subject_type
               WHEN 'encounter' THEN coalesce(e.patient_id, subject_id)
               WHEN 'appointment' THEN coalesce(a.patient_id, subject_id) END AS person
    FROM kpi_rows.{kpi}(?, ?, grain := 'week', "by" := '{by}') b
    LEFT JOIN twin.encounter e ON subject_type = 'encounter' AND e.encounter_id = subject_id
    LEFT JOIN twin.appointment a ON subject_type = 'appointment' AND a.appointment_id = subject_id
    WHERE stratum IS NULL
), each AS (
    SELECT facility, unit, period_start, statistic, person IS NOT NULL AS is_person,
           coalesce(person, subject_type || '/' || subject_id) AS who,
           bool_or(numerator <> 0) IS TRUE AS counts
    FROM behind WHERE subject_id IS NOT NULL GROUP BY ALL
)
SELECT facility, unit, period_start, statistic, count(*) FILTER (is_person) AS people,
       count(*) FILTER (counts) AS counted, count(*) FILTER (is_person AND NOT counts) AS rest
FROM each GROUP BY ALL"""

_FIRST = "SELECT min(from_at) AS at FROM twin.stay"


def _cell(row: KpiRow) -> Cell:
    return (row.period_start, row.statistic, (row.facility, row.unit))


def _is_whole(row: KpiRow) -> bool:
    return timedelta(days=6.9) < row.period_end - row.period_start < timedelta(days=7.1)


def rounded(number: float) -> float:
    """A count as it is published."""
    return COUNTS * round(number / COUNTS)


def numbers_shown(kpi: Definition, row: KpiRow) -> Numbers:
    """Numerator, denominator, value and coverage as they are published.

    They are the same for every exact count that rounds to the published one: a count is rounded,
    a share or ratio is that of the rounded counts, and the sum of amounts is the rounded mean
    times the rounded count.
    """
    above, below = _count(row.numerator), _count(row.denominator)
    if row.value is None:
        value = None
    elif kpi.unit in _LEAST_STEP:
        value = _digits(row.value, _LEAST_STEP[kpi.unit])
        above = None if above is None or below is None else _digits(value * below)
    elif above is None or row.denominator is None:
        value = above
    else:
        below = row.denominator if kpi.id in _OF_THE_CALENDAR else below
        value = _digits((100 if kpi.unit == "%" else 1) * above / below) if below else None
    # Of ten and more, a tenth more or less may be any number of them.
    coverage = None if row.coverage is None else round(row.coverage, 1)
    return above, below, value, coverage


def _count(number: float | None) -> float | None:
    return None if number is None else rounded(number)


def _digits(number: float, least_step: float = 0) -> float:
    """Two digits, and no finer than a step."""
    told = float(f"{number:.2g}")
    return round(least_step * round(told / least_step), 6) if least_step else told


def _first_week(query: Query, end: datetime, zone: ZoneInfo) -> datetime | None:
    [row] = query(_FIRST, ())
    first = row["at"]
    if first is None or first >= end:
        return None
    earliest = (end.astimezone(zone).replace(tzinfo=None) - timedelta(weeks=MOST_WEEKS)).replace(
        tzinfo=zone
    )
    return max(_monday(first, zone), earliest.astimezone(end.tzinfo))


def _monday(at: datetime, zone: ZoneInfo) -> datetime:
    """The local Monday midnight with which the week of an instant began."""
    midnight = last_midnight(at, zone).astimezone(zone)
    local = midnight.replace(tzinfo=None) - timedelta(days=midnight.weekday())
    return local.replace(tzinfo=zone).astimezone(at.tzinfo)
