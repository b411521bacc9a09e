"""The present as rows: what a state that is kept up to date begins with, all of one instant."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from twin_core.store.database import Database
from twin_core.store.fold.rows import EntityRow
from twin_core.store.recent import Latest, latest_of, reading, rows_of

VISITS = (
    "encounter",
    "stay",
    "encounter_class",
    "encounter_status",
    "encounter_milestone",
    "encounter_plan",
    "encounter_tracking",
)
"""The tables that say where a visit is and what is planned for it."""
_GOING_ON = """
SELECT encounter_id FROM history.stay(NULL) WHERE to_at IS NULL OR to_at > $at
UNION
SELECT encounter_id FROM history.encounter_plan(NULL)
WHERE (ended_at IS NULL OR ended_at > $at)
  AND coalesce(expected_at, stated_at) >= $at - INTERVAL 24 HOURS
UNION
SELECT encounter_id FROM history.encounter_status(NULL)
WHERE status IN ('arrived', 'triaged', 'in-progress') AND (to_at IS NULL OR to_at > $at)
"""
_PLACES = """
SELECT location_id, facility, unit, room, bed, count(*) FROM history.stay(NULL) GROUP BY ALL
"""
_LATER_STATUS = "to_at IS NULL OR to_at > $at"
_PAST_STATUSES = """
SELECT location_id, count(*) FROM history.location_status(NULL)
WHERE to_at <= $at GROUP BY location_id
"""

PlaceOfStays = tuple[str | None, str | None, str | None, str | None, str | None]
"""location_id, facility, unit, room and bed as stays name them."""


class Present(NamedTuple):
    """Rows of the visits that go on, of every location, and the places of all stays ever."""

    latest: Latest
    rows: list[EntityRow]
    places: Counter[PlaceOfStays]
    past_statuses: Counter[str]
    """By location, how many periods of its history are over and not among the rows."""


def present(database: Database, at: datetime) -> Present:
    """What goes on at an instant or is to come. Raises QueryFailed where nothing can be read."""
    asked: dict[str, object] = {"at": at}
    with reading(database) as cursor:
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE going_on AS {_GOING_ON}", asked)
        wanted = "encounter_id IN (FROM going_on)"
        rows = [row for name in VISITS for row in rows_of(cursor, name, wanted, {})]
        cursor.execute("DROP TABLE going_on")
        rows += rows_of(cursor, "location", "true", {})
        rows += rows_of(cursor, "location_status", _LATER_STATUS, asked)
        places = cursor.execute(_PLACES).fetchall()
        past = cursor.execute(_PAST_STATUSES, asked).fetchall()
        return Present(
            latest_of(cursor),
            rows,
            Counter({tuple(place): number for *place, number in places}),
            Counter(dict(past)),
        )


def of_visits(database: Database, encounters: Iterable[str], known_at: datetime) -> list[EntityRow]:
    """The rows of some encounters as known at an instant; QueryFailed as `present`."""
    asked: dict[str, object] = {"ids": sorted(encounters), "known": known_at}
    wanted = "encounter_id IN (SELECT unnest($ids::VARCHAR[]))"
    with reading(database) as cursor:
        return [row for name in VISITS for row in rows_of(cursor, name, wanted, asked, "$known")]
