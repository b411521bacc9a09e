"""How long the state of a 600-bed hospital takes on a store with 100,000 stays.

    python tests/bench/state_query.py

Prints the median and the worst of 20 states: now, at an earlier instant, and as known earlier.
"""

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from twin_core.state import hospital_state
from twin_core.store.database import Database, install_views, migrate

ROUNDS = 20
NOW = datetime(2026, 6, 16, tzinfo=UTC)
EARLIER = datetime(2026, 3, 1, 12, tzinfo=UTC)

# 600 beds, each with one stay a day from 1 January on; the last 600 stays are open. Every stay and
# encounter has one older version that is no longer true.
STORE = """
SET VARIABLE began = TIMESTAMPTZ '2026-01-01 00:00:00+00';
SET VARIABLE known = TIMESTAMPTZ '2025-12-31 00:00:00+00';
INSERT INTO core.location_version
SELECT 'l' || i, 'bd', 'H', 'W' || (i // 25), i % 25 // 2, i % 25, NULL, NULL, 'U', true,
       1, 1, getvariable('known'), 'infinity' FROM range(600) t(i);
INSERT INTO core.location_status_version
SELECT 'l' || (i % 600), if(i % 2 = 0, 'U', 'H'), true,
       getvariable('began') + INTERVAL 1 DAY * (i // 600),
       getvariable('began') + INTERVAL 1 DAY * (i // 600 + 1),
       1, 1, getvariable('known'), 'infinity' FROM range(100000) t(i);
CREATE TEMP TABLE visit AS
SELECT i, i % 600 AS place, getvariable('began') + INTERVAL 1 DAY * (i // 600) AS from_at,
       if(i < 99400, getvariable('began') + INTERVAL 1 DAY * (i // 600 + 1), NULL) AS to_at,
       if(i % 6 = 0, 'EMER', 'IMP') AS class FROM range(100000) t(i);
INSERT INTO core.encounter_version
SELECT 'e' || i, 'p' || i, 'H', class, if(to_at IS NULL, 'in-progress', 'finished'), from_at, to_at,
       'MED', NULL, NULL, NULL, NULL, false, 1, 1, getvariable('known'), 'infinity' FROM visit;
INSERT INTO core.stay_version
SELECT 's' || i, 'e' || i, 'p' || i, 'H', 'W' || (place // 25), place % 25 // 2, place % 25,
       'l' || place, from_at, to_at, false, 1, 1, getvariable('known'), 'infinity' FROM visit;
INSERT INTO core.encounter_version SELECT * REPLACE (known_from AS known_to)
FROM core.encounter_version;
INSERT INTO core.stay_version SELECT * REPLACE (known_from AS known_to) FROM core.stay_version;
INSERT INTO core.encounter_status_version
SELECT 'e' || i, 'in-progress', from_at, to_at, 1, 1, getvariable('known'), 'infinity' FROM visit
UNION ALL
SELECT 'e' || i, 'finished', to_at, NULL, 1, 1, getvariable('known'), 'infinity' FROM visit
WHERE to_at IS NOT NULL;
INSERT INTO core.encounter_class_version
SELECT 'e' || i, class, from_at, NULL, 1, 1, getvariable('known'), 'infinity' FROM visit;
"""


def main() -> None:
    """Fill a store and time the states."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "bench.duckdb")
        migrate(database.connection)
        install_views(database.connection)
        database.connection.execute(STORE)
        for title, at, known_at in (
            ("now", NOW, None),
            ("earlier", EARLIER, None),
            ("as known earlier", EARLIER, EARLIER),
        ):
            print(f"{title:18} {timed(database, at, known_at)}")
        database.close()


def timed(database: Database, at: datetime, known_at: datetime | None) -> str:
    """Median and worst of the rounds, in words."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        state = hospital_state(database.query, at=at, known_at=known_at)
        taken.append(1000 * (time.perf_counter() - began))
    return (
        f"median {statistics.median(taken):.0f} ms, worst {max(taken):.0f} ms, "
        f"{state.counts.beds} beds, {state.census} patients, {len(state.ed)} in the ED"
    )


if __name__ == "__main__":
    main()
