"""The whole catalogue over the last 24 hours of a demo hospital: in one refresh, and one by one.

`wardtwin demo --check --days 10 --db demo.duckdb` makes a store to measure, then
`python tests/bench/kpi_live.py demo.duckdb`. CPU seconds of this process, the best of three; every
figure of the refresh is held against the one that was asked for alone.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from math import isclose
from pathlib import Path
from time import process_time

from twin_core.kpi.catalogue import By, catalogue, statements
from twin_core.kpi.live import LiveKpis
from twin_core.kpi.measuring import KpiRow, Window, measure
from twin_core.store.database import Database, install_views


def main(path: Path) -> None:
    """Measure both ways, by hospital and by unit, and print them side by side."""
    database = Database(path)
    install_views(database.connection, statements())
    [latest] = database.query("SELECT max(known_at) AS at FROM core.batch")
    end = latest["at"]
    window = Window(end - timedelta(hours=24), end)
    groupings: tuple[By, ...] = ("hospital", "unit")
    for by in groupings:
        live = LiveKpis(catalogue(), by=by)
        figures = live.measure(database, window)
        refresh_s = best(lambda live=live: live.measure(database, window))
        began = process_time()
        for kpi_id, rows in figures.items():
            asked = measure(database.query, kpi_id, *window, grain="all", by=by)
            assert len(asked) == len(rows), kpi_id
            assert all(same(*pair) for pair in zip(asked, rows, strict=True)), kpi_id
        alone_s = process_time() - began
        print(
            f"by {by}: {len(figures)} KPIs refreshed in {refresh_s:.2f} CPU-s,"
            f" one by one in {alone_s:.2f} CPU-s, {alone_s / refresh_s:.1f} times"
        )
        live.close()


def same(one: KpiRow, other: KpiRow) -> bool:
    """Whether two rows say the same, but for the last digits of sums."""
    return all(
        a == b or (isinstance(a, float) and isinstance(b, float) and isclose(a, b, abs_tol=1e-9))
        for a, b in ((getattr(one, n), getattr(other, n)) for n in one.__struct_fields__)
    )


def best(asked: Callable[[], object]) -> float:
    """The least of three times, in CPU seconds."""
    times = []
    for _ in range(3):
        began = process_time()
        asked()
        times.append(process_time() - began)
    return min(times)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
