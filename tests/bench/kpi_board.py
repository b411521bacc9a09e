"""The board's ten KPIs after a batch: kept up to date, beside the table macros asked again.

`python tests/bench/kpi_board.py [DAYS]` hears the demonstration hospital for so many days (10 where
nothing is given), the last messages of it in small batches. CPU milliseconds of this process; after
the last batch every figure is held against its macro, and against the refresh in one go.
"""

import sys
import tempfile
from datetime import timedelta
from math import isclose
from pathlib import Path
from statistics import median
from time import process_time
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from simulated_store import StoppedClock, hear

from adapters.hl7v2.encode import encode
from api.demo import demo_settings, plan_check
from twin_core import Twin
from twin_core.kpi.catalogue import catalogue
from twin_core.kpi.kept import COUNTED
from twin_core.kpi.live import LiveKpis
from twin_core.kpi.measuring import Window, last_midnight
from twin_core.settings import Settings

BATCHES, MESSAGES = 60, 10


def main(days: float) -> None:
    """Hear the hospital, then count after each of the last batches."""
    plan = plan_check(days=days, seed=7)
    facts = enumerate(plan.demonstration.facts())
    sent = [encode(fact, sender=plan.sender, control_id=str(n)) for n, fact in facts]
    before, after = sent[: -BATCHES * MESSAGES], sent[-BATCHES * MESSAGES :]
    midnight = last_midnight(plan.ends - timedelta(minutes=1), ZoneInfo(plan.model.time_zone))
    windows = {kpi_id: Window(plan.ends - timedelta(days=1), plan.ends) for kpi_id in COUNTED}
    windows["occ_midnight"] = Window(midnight, midnight + timedelta(hours=1))
    windows["alos"] = Window(midnight - timedelta(days=7), midnight)
    windows["adm_dis_balance"] = Window(midnight, plan.ends)
    with tempfile.TemporaryDirectory() as folder:
        settings, clock = demo_settings(plan.model, Settings()), StoppedClock(plan.ends)
        with Twin.open(Path(folder) / "demo.duckdb", settings=settings, clock=clock) as twin:
            for some in parts(before, 4_000):
                hear(twin, some)
            measure(twin, windows, after, len(sent))


def measure(twin: Twin, windows: dict[str, Window], after: list[bytes], messages: int) -> None:
    """Count after each batch, then ask the macros, and print them side by side."""
    began = process_time()
    twin.kpis_kept(windows)
    first = process_time() - began
    kept_s = []
    for some in parts(after, MESSAGES):
        hear(twin, some)
        began = process_time()
        found = twin.kpis_kept(windows)
        kept_s.append(process_time() - began)
    began = process_time()
    for kpi_id, window in windows.items():
        rows = twin.kpi(kpi_id, *window, grain="all", by="hospital")
        kept = found.figures[kpi_id]
        [row] = [r for r in rows if r.statistic == kept.statistic and r.stratum is None]
        for name in ("numerator", "denominator", "value"):
            assert same(getattr(row, name), getattr(kept, name)), (kpi_id, name)
    asked_s = process_time() - began
    whole = LiveKpis({kpi_id: catalogue()[kpi_id] for kpi_id in COUNTED})
    whole.measure(twin._database, windows["nhs4h"])
    began = process_time()
    whole.measure(twin._database, windows["nhs4h"])
    whole_s = process_time() - began
    [visits] = twin.query("SELECT count(*) AS n FROM twin.encounter")
    kept_ms = 1000 * median(kept_s)
    print(
        f"{messages} messages, {visits['n']} visits; ten KPIs after a batch of {MESSAGES}:"
        f" kept {kept_ms:.1f} ms (longest {1000 * max(kept_s):.1f}, read first {1000 * first:.0f}),"
        f" in one refresh {1000 * whole_s:.0f} ms ({1000 * whole_s / kept_ms:.0f} times),"
        f" one by one {1000 * asked_s:.0f} ms ({1000 * asked_s / kept_ms:.0f} times)"
    )


def parts(messages: list[bytes], size: int) -> list[list[bytes]]:
    """Messages in batches of a size."""
    return [messages[n : n + size] for n in range(0, len(messages), size)]


def same(one: float | None, other: float | None) -> bool:
    """Whether two figures are equal, but for the last digits of sums."""
    return one == other or (one is not None and other is not None and isclose(one, other))


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 10)
