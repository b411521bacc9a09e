"""Forecasts of the demonstration hospital, tested on its past: CRPS, coverage, and time.

    python tests/bench/backtest.py [days, default 70] [hours between origins, default 54]

A modest run is `36 60`: a minute of CPU time, and four origins, which say little of any one unit.

The demonstration is sent through the translator into a store, and `Twin.history` is all that the
backtest sees. The peers are persistence and the mean of the hour of the week, each with the spread
of its own past errors.
"""

import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from simulated_store import StoppedClock, hear

from adapters.hl7v2.encode import encode
from api.demo import demo_settings, plan_check
from twin_core import Twin
from twin_core.settings import Settings
from twin_core.simulation.backtest import (
    HOUR_OF_WEEK,
    MODEL,
    PERSISTENCE,
    Plan,
    backtest,
    document,
)
from twin_core.simulation.calibrate import calibrated
from twin_core.simulation.calibrate.history import DISCHARGE
from twin_core.simulation.forecasting import forecast


def measure(days: float, apart_hours: float) -> None:
    """Send the demonstration, calibrate, forecast, and test forecasts on its past."""
    plan = plan_check(days=days, seed=7)
    with tempfile.TemporaryDirectory() as folder:
        clock = StoppedClock(plan.ends)
        settings = demo_settings(plan.model, Settings())
        with Twin.open(Path(folder) / "demo.duckdb", settings=settings, clock=clock) as twin:
            facts = enumerate(plan.demonstration.facts())
            while part := list(islice(facts, 5000)):
                hear(twin, [encode(f, sender=plan.sender, control_id=str(n)) for n, f in part])
            history = _timed("read the history", lambda: twin.history(plan.ends))
    found = _timed("calibrate", lambda: calibrated(history))
    _timed("forecast 72 h, 400 replications of 20 draws", lambda: forecast(found))
    asked = Plan(apart_hours=apart_hours, learnt_days=21)
    tested = _timed("backtest", lambda: backtest(history, asked))
    for line in document(tested)["verdict"]:
        print(line)
    print(f"{'hours':>6} {'CRPS':>7} {'vs persist.':>11} {'vs week':>8} {'90%':>6} {'50%':>6} bias")
    for h in tested.plan.horizons:
        print(
            f"{h:>6} {tested.mean('crps', MODEL, h):>7.3f} {tested.skill(h, PERSISTENCE):>11.1%}"
            f" {tested.skill(h, HOUR_OF_WEEK):>8.1%} {tested.mean('covered_90', MODEL, h):>6.1%}"
            f" {tested.mean('covered_50', MODEL, h):>6.1%} {tested.bias(MODEL, h):+.2f}"
        )

    silent = replace(history, plans=tuple(p for p in history.plans if p.kind != DISCHARGE))
    without = _timed("the same without announced discharges", lambda: backtest(silent, asked))
    for h in tested.plan.horizons[:3]:
        less = 1 - tested.mean("crps", MODEL, h) / without.mean("crps", MODEL, h)
        print(f"{h:>6} h ahead announced discharges make the CRPS {less:.1%} smaller")


def _timed(what: str, act):
    begun = time.process_time()
    answer = act()
    print(f"{what}: {time.process_time() - begun:.1f} CPU-s")
    return answer


if __name__ == "__main__":
    numbers = [float(word) for word in sys.argv[1:]]
    measure(*(numbers or [70.0]), *([54.0] if len(numbers) < 2 else []))
