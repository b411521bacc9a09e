"""The recent past as rows: what a count that is kept up to date begins with, all of one instant."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import duckdb

from twin_core.errors import QueryFailed
from twin_core.store.database import Database
from twin_core.store.fold.rows import EntityRow
from twin_core.store.tables import BY_NAME

VISITS = ("encounter", "stay", "encounter_class", "encounter_status", "encounter_milestone")
_RECENT = """
CREATE OR REPLACE TEMP TABLE recent_encounter AS
WITH ended_late AS (
    SELECT encounter_id, part_of FROM history.encounter(NULL)
    WHERE discharged_at IS NULL OR discharged_at >= $since
    UNION
    SELECT encounter_id, part_of FROM history.encounter(NULL) WHERE encounter_id IN (
        SELECT encounter_id FROM history.stay(NULL) WHERE to_at IS NULL OR to_at >= $since)
)
SELECT encounter_id FROM ended_late
UNION SELECT part_of FROM ended_late WHERE part_of IS NOT NULL
UNION SELECT e.encounter_id FROM history.encounter(NULL) e
JOIN ended_late l ON e.part_of = l.encounter_id
"""
_BEDS = {
    "location": "kind = 'bd'",
    "location_status": "to_at IS NULL OR to_at >= $since",
    "encounter_plan": "location_id IS NOT NULL AND (ended_at IS NULL OR ended_at >= $since)",
}
# As `kpi_part.ed_units` finds them, before it judges.
_STAYS = """
WITH first_class AS (
    SELECT s.facility, s.unit, coalesce(arg_max(c.class, c.from_at), any_value(e.class)) AS class
    FROM history.stay(NULL) s
    JOIN history.encounter(NULL) e ON e.encounter_id = s.encounter_id
    LEFT JOIN history.encounter_class(NULL) c
      ON c.encounter_id = s.encounter_id AND c.from_at <= s.from_at
    WHERE s.unit IS NOT NULL
    GROUP BY s.stay_id, s.facility, s.unit
)
SELECT coalesce(facility, '') AS facility, unit, count(*), count(*) FILTER (WHERE class = 'EMER')
FROM first_class GROUP BY ALL
"""


class Latest(NamedTuple):
    """The last batch: its number, and when what it said was known; None in an empty store."""

    sequence: int
    known_at: datetime | None


class Recent(NamedTuple):
    """Rows of the recent past, and of each unit all its stays ever and how many began as EMER."""

    latest: Latest
    rows: list[EntityRow]
    stays: dict[tuple[str, str], int]
    emergencies: dict[tuple[str, str], int]


def recent(database: Database, since: datetime) -> Recent:
    """The visits that had not ended by an instant, those they are part of, and the beds.

    Raises QueryFailed where the store cannot be read.
    """
    with reading(database) as cursor:
        cursor.execute(_RECENT, {"since": since})
        wanted = "encounter_id IN (FROM recent_encounter)"
        rows = [row for name in VISITS for row in rows_of(cursor, name, wanted, {})]
        for name, condition in _BEDS.items():
            asked: dict[str, object] = {"since": since} if "$" in condition else {}
            rows += rows_of(cursor, name, condition, asked)
        cursor.execute("DROP TABLE recent_encounter")
        units = cursor.execute(_STAYS).fetchall()
        return Recent(
            latest_of(cursor),
            rows,
            {(facility, unit): stays for facility, unit, stays, _ in units},
            {(facility, unit): emergencies for facility, unit, _, emergencies in units},
        )


def of_encounters(
    database: Database, encounters: Iterable[str], known_at: datetime
) -> list[EntityRow]:
    """The rows of some encounters as known at an instant; QueryFailed as `recent`."""
    asked: dict[str, object] = {"ids": sorted(encounters), "known": known_at}
    wanted = "encounter_id IN (SELECT unnest($ids::VARCHAR[]))"
    with reading(database) as cursor:
        return [row for name in VISITS for row in rows_of(cursor, name, wanted, asked, "$known")]


@contextmanager
def reading(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    cursor = database.cursor()
    try:
        cursor.execute("BEGIN")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK")
    except duckdb.Error as error:
        raise QueryFailed("The recent past could not be read.", why=str(error)) from error


def rows_of(
    cursor: duckdb.DuckDBPyConnection,
    name: str,
    condition: str,
    asked: dict[str, object],
    known: str = "NULL",
) -> list[EntityRow]:
    columns = ", ".join(f'"{column.name}"' for column in BY_NAME[name].columns)
    sql = f"SELECT {columns} FROM history.{name}({known}) WHERE {condition}"
    return [(name, row) for row in cursor.execute(sql, asked or None).fetchall()]


def latest_of(cursor: duckdb.DuckDBPyConnection) -> Latest:
    found = cursor.execute("SELECT max(batch_no), max(known_at) FROM core.batch").fetchone()
    number, known_at = found or (None, None)
    return Latest(int(number or 0), known_at)
