"""Visits that came into each unit and week, as a figure that may be published.

It is published by the rules of `twin_core.kpi.disclosure`: whole weeks, once, rounded to fives, and
hidden where fewer than `least` people stand behind it or where a hidden one could be computed from
the hospital's. People are patients, by the survivor of a merge; a visit without one counts as
somebody. A unit is named where a site vouches for it or enough people were ever in it; the others
are one unit, "(rare)". There is no total over weeks, which would grow by what is hidden in them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from twin_core.kpi.disclosure import HOSPITAL, Place, hidden_places, rounded
from twin_core.kpi.measuring import Query, Window, hospital_zone
from twin_core.store.figures import VISITS

RARE: Place = (None, "(rare)")
"""The units that are not named, together."""
Came = Mapping[Place, Mapping[str, int]]
"""Visits into each place, by whose they are."""


def visits_until(query: Query) -> datetime | None:
    """The end of the last week whose visits were published; None where none were."""
    [row] = query(_UNTIL, (VISITS,))
    until = row["until"]
    return until if isinstance(until, datetime) else None


def weekly_visits(
    query: Query, weeks: Window, least: int, known: Iterable[str]
) -> Iterator[tuple[object, ...]]:
    """Rows of `twin_core.store.figures.COLUMNS` for every week and unit, quiet ones too."""
    zone = hospital_zone(query)
    named = _named(query, weeks, least, frozenset(known))
    came: dict[datetime, dict[Place, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in query(_CAME, (str(zone), *weeks)):
        place = (str(row["facility"]), str(row["unit"]))
        people = came[row["week"]][place if place in named else RARE]
        people[str(row["person"])] = people.get(str(row["person"]), 0) + int(row["visits"])
    for start, end in _weeks(weeks, zone):
        units = came.get(start.replace(tzinfo=None), {})
        yield from _of_week(start, end, {**{place: {} for place in named}, **units}, least)


def _of_week(
    start: datetime, end: datetime, units: Came, least: int
) -> Iterator[tuple[object, ...]]:
    whose = {place: frozenset(people) for place, people in units.items()}
    everybody = frozenset[str]().union(*whose.values())
    people = {place: len(who) for place, who in whose.items()} | {HOSPITAL: len(everybody)}
    small = [place for place, n in people.items() if 0 < n < least]

    def together(places: Iterable[Place]) -> int:
        # Whoever was in two hidden units is one person behind what is left of the hospital.
        return len(frozenset[str]().union(*(whose[place] for place in places)))

    hidden = hidden_places(people, small, least, together)
    visits = {place: sum(came.values()) for place, came in units.items()}
    visits[HOSPITAL] = sum(visits.values())
    for place, n in visits.items():
        by = "hospital" if place == HOSPITAL else "unit"
        shown = None if place in hidden else rounded(n)
        yield (
            *(VISITS, by, *place, start, end, "count"),
            *(shown, None, shown, None, place in hidden),
        )


def _named(query: Query, weeks: Window, least: int, known: frozenset[str]) -> set[Place]:
    """The units that enough people were in before the weeks end, and those that are vouched for."""
    return {
        (str(row["facility"]), str(row["unit"]))
        for row in query(_PEOPLE, (weeks.end,))
        if int(row["people"]) >= least or row["unit"] in known
    }


def _weeks(weeks: Window, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """Each week from one local Monday midnight to the next."""
    monday = weeks.start.astimezone(zone)
    while monday < weeks.end:
        # Arithmetic within a zone is that of its wall clock.
        following = monday + timedelta(weeks=1)
        yield monday, following
        monday = following


_STAY = """
WITH RECURSIVE path AS (
    SELECT patient_id, patient_id AS reached, merged_into, 0 AS step FROM twin.patient
    WHERE merged_into IS NOT NULL
    UNION ALL
    SELECT p.patient_id, m.patient_id, m.merged_into, p.step + 1
    FROM path p JOIN twin.patient m ON m.patient_id = p.merged_into WHERE p.step < 100
), survivor AS (
    SELECT patient_id, arg_max(reached, step) AS reached FROM path GROUP BY patient_id
), stay AS (
    SELECT coalesce(s.facility, '') AS facility, coalesce(s.unit, '') AS unit, s.from_at,
           s.encounter_id, coalesce(v.reached, s.patient_id, s.encounter_id) AS person
    FROM twin.stay s LEFT JOIN survivor v USING (patient_id)
)"""

_CAME = f"""{_STAY}
SELECT date_trunc('week', timezone(?, from_at))::TIMESTAMP AS week, facility, unit, person,
       count(DISTINCT encounter_id) AS visits
FROM stay WHERE from_at >= ? AND from_at < ? GROUP BY ALL"""  # noqa: S608 - our own words

_PEOPLE = f"""{_STAY}
SELECT facility, unit, count(DISTINCT person) AS people FROM stay WHERE from_at < ?
GROUP BY ALL ORDER BY ALL"""  # noqa: S608 - our own words

_UNTIL = "SELECT max(period_end) AS until FROM core.published_figure WHERE kpi = ?"
