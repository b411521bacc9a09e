"""Announced discharges: what they are worth is learned, and forecasts are better for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from twin_core.simulation import Run, flow_from, simulate
from twin_core.simulation.backtest import MODEL, Plan, backtest
from twin_core.simulation.calibrate import calibrated, standing
from twin_core.simulation.calibrate.announced import announced_fit
from twin_core.simulation.calibrate.courses import Leg
from twin_core.simulation.calibrate.history import (
    DISCHARGE,
    History,
    Lay,
    Planned,
    Spot,
    Visit,
    hour_of,
)

SPOT = Spot("W", "", "1")


def leg(key: str, begun: float, left: float | None, exit_: str = "home") -> Leg:
    """A patient's only time in a unit."""
    return Leg(key, "", "a", "W", SPOT, begun, begun, left, exit_ if left else None, True, False)


def told(key: str, stated: float, at: float | None) -> Planned:
    """An announcement."""
    return Planned(key, stated, None, at, "", DISCHARGE)


def test_who_is_still_there_is_not_on_time() -> None:
    # 30 leave an hour late, 10 three hours late; ten more are still there, two hours late.
    legs = [leg(f"A{n}", 0, 11) for n in range(30)] + [leg(f"B{n}", 0, 13) for n in range(10)]
    legs += [leg(f"C{n}", 0, None) for n in range(10)]
    found = announced_fit([told(of.encounter_id, 5, 10) for of in legs], legs, 12)
    assert found.near is not None
    # Of 50, 30 left after an hour: 0.6. Of ten of the 20 left no more is seen: 0.4.
    assert found.near.hours.tolist() == [1.0] * 30 + [3.0] * 10
    assert found.near.shares[:30].sum() == pytest.approx(0.6)
    assert found.near.shares[30:].sum() == pytest.approx(0.4)
    assert (found.far, found.untimed, found.share) == (None, None, {"W": 1.0})
    # Who has not left an hour and a half after the time is one of those who are three hours late.
    assert found.rest(told("X", 5, 10), 11.5, None) == pytest.approx(1.5)
    assert found.rest(told("X", 5, 10), 8.0, None) == pytest.approx(3.0)
    assert found.rest(told("X", 5, 10), 20.0, None) is None
    drawn = [found.rest(told("X", 5, 10), 10.0, np.random.default_rng(n)) for n in range(200)]
    assert set(drawn) == {1.0, 3.0}
    assert 0.5 < drawn.count(1.0) / 200 < 0.7


def test_times_far_ahead_and_no_times_are_worth_what_they_were() -> None:
    legs = [leg(f"V{n}", 0, 100.0 + n % 5) for n in range(60)]
    plans = [told(f"V{n}", 0, 90) for n in range(20)]
    plans += [told(f"V{n}", 95, 100) for n in range(20, 40)] + [
        told(f"V{n}", 98, None) for n in range(40, 60)
    ]
    found = announced_fit(plans, legs, 200)
    assert None not in (found.near, found.far, found.untimed)
    assert [of.hours.min() for of in (found.near, found.far, found.untimed)] == [0, 10, 2]
    assert found.rest(told("X", 120, None), 121, None) == pytest.approx(3)
    # Few announcements are worth nothing, and so are those of a hospital that makes none.
    few = announced_fit(plans[:19], legs, 200)
    assert (few.far, few.rest(plans[0], 80, None)) == (None, None)
    assert announced_fit([], legs, 200).share == {}
    assert not announced_fit([], legs, 200).tells("W", None)
    dead = [leg(f"V{n}", 0, 100, "died") for n in range(60)]
    assert announced_fit(plans, dead, 200).share == {}


ENDS = datetime(2026, 3, 23, 6, tzinfo=UTC)
"""A Monday."""
DAYS = 42
WARD = {
    "units": [
        {"code": "W", "beds": 40, "stay": {"median": 80, "p90": 200}, "then": {"home": 1.0},
         "discharge": {"by_hour": [0] * 9 + [1, 3, 4, 3, 2, 2, 2, 1, 1] + [0] * 6}},
    ],
    "classes": [{"code": "a"}],
    "arrivals": [{"class": "a", "unit": "W", "per_day": 8}],
}  # fmt: skip


@pytest.fixture(scope="module")
def history() -> History:
    """Six weeks of a ward that says when a stay is over at what time the patient is to leave."""
    start, chance = ENDS - timedelta(days=DAYS), np.random.default_rng(5)
    run = Run(hours=24 * (DAYS + 21), replications=1, seed=3, stays=True)
    begins = hour_of(start) - 24 * 21
    lays, visits, plans = [], {}, []
    for row in simulate(flow_from(WARD, "ward"), run).stays().to_pylist():
        key, gone = row["encounter_id"], row["to_hours"]
        left = None if gone is None else begins + gone
        if left is not None and left < hour_of(start):
            continue
        lays.append(Lay(key, Spot("W", "", row["bed"]), begins + row["from_hours"], left, False))
        visits[key] = Visit(key, "direct", lays[-1].from_hour, left, left and "home")
        if left is not None:
            over = left - row["blocked_hours"]
            plans.append(Planned(key, over, left, left + chance.normal(0, 0.5), "", DISCHARGE))
    beds = {"W": tuple(Spot("W", "", str(n)) for n in range(1, 41))}
    return History(
        "H", ZoneInfo("UTC"), start, ENDS, None, tuple(lays), visits, beds, (), tuple(plans)
    )


def test_forecasts_are_better_for_announcements(history: History) -> None:
    plan = Plan(horizons=(6, 12, 24), apart_hours=31, learnt_days=21, replications=48, draws=6)
    with_, without = (backtest(of, plan) for of in (history, replace(history, plans=())))
    for horizon, gain in ((6, 0.2), (12, 0.1), (24, 0.05)):
        better = 1 - with_.mean("crps", MODEL, horizon) / without.mean("crps", MODEL, horizon)
        assert better > gain
        assert abs(with_.bias(MODEL, horizon)) < 1.5


def test_who_is_not_announced_to_leave_is_not_about_to(history: History) -> None:
    at = ENDS - timedelta(hours=20)  # Sunday, 10:00
    found = calibrated(history.until(at))
    present = standing(found, found.model).present
    announced = {plan.encounter_id for plan in history.until(at).plans if plan.ended is None}
    assert announced
    for here in present:
        assert here.goes_on != (here.patient in announced)
        assert here.stay_over == (here.patient in announced)
    silent = calibrated(replace(history, plans=()).until(at))
    assert not any(h.goes_on or h.stay_over for h in standing(silent, silent.model).present)
