"""The demonstration, in plain Python, is the oracle of the kernel: the same hospital in both.

The demonstration lives through `riverside.toml` second by second; the kernel runs the flow of the
same file. They share no code, no chance and no state. Left out is what a flow has no word for:
mistakes of the staff, closures of single free beds at random, and that outliers become patients of
the unit that took them in.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

from twin_core.simulation import Run, simulate
from twin_core.simulation import facts as f
from twin_core.simulation.demonstration import Demonstration
from twin_core.simulation.flow.from_demo import flow_of
from twin_core.simulation.model import Hospital, load_hospital

DAYS, WARM_UP_DAYS, LIVES = 24, 10, 5
CALLED = 8 / 60
"""Hours from the waiting room to a bay, which is kept meanwhile, on average."""
NEVER = 1e-9


def quiet() -> Hospital:
    """Riverside without what only the demonstration knows."""
    said = load_hospital("riverside").model_dump()
    said["slips"] |= dict.fromkeys(
        ("wrong_admissions_per_day", "wrong_registrations_per_day"), NEVER
    ) | {"wrong_transfers": 0, "wrong_discharges": 0}
    said["habits"] |= dict.fromkeys(("swaps", "visit_updates", "person_updates"), 0)
    # Fewer come, for nobody is helped out.
    said["emergency"]["arrivals_per_day"] = 112
    for unit in said["units"]:
        unit |= {"closures_per_week": 0, "overflow": ()}
    return Hospital.model_validate(said)


HOSPITAL = quiet()
STARTS = datetime(2026, 4, 13, tzinfo=HOSPITAL.zone)
"""A Monday; no clock changes in the weeks that follow."""
FROM, UNTIL = STARTS + timedelta(days=WARM_UP_DAYS), STARTS + timedelta(days=DAYS)


def lived(seed: int) -> dict[str, dict[str, float]]:
    """What one life of the demonstration shows of every unit."""
    demonstration = Demonstration(HOSPITAL, Random(seed), STARTS, UNTIL)
    facts = list(demonstration.facts())
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    ended: dict[str, list[float]] = defaultdict(list)
    for unit, begun, until in in_beds(demonstration):
        found[unit]["census"] += within(begun, until)
        if until is not None and FROM <= until < UNTIL:
            ended[unit].append(hours(max(begun, STARTS), until))
    for unit, begun, until in boarding(facts):
        found[unit]["boarding"] += within(begun, until)
    for unit, of in found.items():
        of["stay"] = float(np.mean(ended[unit]))
    return found


def in_beds(demonstration: Demonstration) -> Any:
    """Unit, begin and end of every time in a unit's bed, which is kept during operations."""
    visits: dict[str, list[Any]] = defaultdict(list)
    for stay in demonstration.truth.stays():
        if stay.unit not in (HOSPITAL.theatre.unit, HOSPITAL.departures.lounge):
            visits[stay.visit].append(stay)
        elif stay.unit == HOSPITAL.theatre.unit:
            visits[stay.visit].append(stay._replace(unit=visits[stay.visit][-1].unit))
    for stays in visits.values():
        runs: list[list[Any]] = []
        for stay in stays:
            if runs and runs[-1][0] == stay.unit:
                runs[-1][2] = stay.to_at
            else:
                runs.append([stay.unit, stay.from_at, stay.to_at])
        yield from runs


def boarding(facts: list[f.Fact]) -> Any:
    """Unit, begin and end of every wait for a bed elsewhere: from asking until one is kept."""
    asked: dict[str, tuple[str, datetime]] = {}
    for fact in facts:
        if isinstance(fact, f.TransferExpected):
            visit = fact.visit.number
            if not fact.destination.bed:
                asked.setdefault(visit, (fact.visit.place.unit, fact.occurred_at))
            elif visit in asked:
                unit, begun = asked.pop(visit)
                yield unit, begun, fact.occurred_at
    for unit, begun in asked.values():
        yield unit, begun, None


def hours(begun: datetime, until: datetime) -> float:
    return (until - begun).total_seconds() / 3600


def within(begun: datetime, until: datetime | None) -> float:
    """The share of the time counted that lies between two instants."""
    until = UNTIL if until is None else min(until, UNTIL)
    return max(0.0, hours(max(begun, FROM), until)) / hours(FROM, UNTIL)


@pytest.fixture(scope="module")
def oracle() -> list[dict[str, dict[str, float]]]:
    return [lived(seed) for seed in range(LIVES)]


@pytest.fixture(scope="module")
def kernel() -> Any:
    run = Run(hours=24 * DAYS, replications=40, seed=1, warm_up_hours=24 * WARM_UP_DAYS)
    return simulate(flow_of(HOSPITAL), run)


def of_kernel(kernel: Any, unit: str, quantity: str) -> Any:
    """The same quantity, replication by replication."""
    at = kernel.units.index(unit)
    values = {name: of[:, at] for name, of in kernel.unit_values.items()}
    called = CALLED * (1 - HOSPITAL.emergency.straight_to_bay) if unit == "ED" else 0.0
    return {
        "census": values["census_mean"] - called * values["throughput"],
        "stay": values["stay_mean"] + values["blocked_mean"] - called,
        "boarding": values["boarding_mean"],
    }[quantity]


UNITS = [unit.code for unit in HOSPITAL.units if unit.kind not in ("theatre", "lounge")]


def test_the_demonstration_and_the_kernel_agree(oracle: Any, kernel: Any) -> None:
    away = {
        (unit, quantity): compared(oracle, kernel, [unit], quantity)
        for unit in UNITS
        for quantity in ("census", "stay")
    }
    # Of so many quantities the squares of differences in standard errors are 2 on average, for
    # the standard errors are those of five lives (Student's t); none is 5.
    assert max(map(abs, away.values())) < 5, away
    assert float(np.mean(np.square([*away.values()]))) < 3.5, away


def test_the_demonstration_and_the_kernel_board_alike(oracle: Any, kernel: Any) -> None:
    assert abs(compared(oracle, kernel, ["ED"], "boarding")) < 4
    assert abs(compared(oracle, kernel, UNITS, "boarding")) < 4


def compared(oracle: Any, kernel: Any, units: list[str], quantity: str) -> float:
    """The difference of means of a sum over units, in its standard errors."""
    theirs = np.array([sum(life[unit][quantity] for unit in units) for life in oracle])
    ours = sum(of_kernel(kernel, unit, quantity) for unit in units)
    se = np.hypot(theirs.std(ddof=1) / len(theirs) ** 0.5, ours.std(ddof=1) / len(ours) ** 0.5)
    return float((ours.mean() - theirs.mean()) / se)
