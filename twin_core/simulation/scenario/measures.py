"""What scenarios are compared by: each measure with its unit, what is better, and its rule.

A rule makes one number for every replication and unit of what was counted there; for the whole
hospital it is given the sums over its units, so that ratios are sums over sums.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from twin_core.errors import UsageError
from twin_core.simulation.flow.capacity import pool_steps
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.parts import EXITS
from twin_core.simulation.flow.weekly import WEEK
from twin_core.simulation.results import Results
from twin_core.simulation.scenario.edits import Prices
from twin_core.simulation.statistics import Array, Rule, Values, divided

Better = Literal["less", "more", "neither"]


class Measure(NamedTuple):
    """One measure; `None` as its rule for a unit or for the hospital where it makes no sense."""

    name: str
    unit: str
    better: Better
    definition: str
    rule: Rule
    of_units: bool = True
    of_hospital: bool = True


def _mean(name: str) -> Rule:
    return lambda counted, hours: counted[name] / hours


def _daily(name: str) -> Rule:
    return lambda counted, hours: 24 * counted[name] / hours


def _count(name: str) -> Rule:
    return lambda counted, _: counted[name]


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("occupancy", "share", "neither", "Patient hours over open bed hours, in units "
                "whose beds are limited.",
                lambda counted, _: divided(counted["bedded_hours"], counted["bed_hours"])),
        Measure("census", "patients", "neither", "Patients in beds, averaged over time.",
                _mean("occupied_hours")),
        Measure("boarding", "patients", "less", "Patients in a unit's beds who wait for a bed "
                "elsewhere, averaged over time.", _mean("boarding_hours")),
        Measure("wait", "hours", "less", "Mean time from request to bed over those who got one.",
                lambda counted, _: divided(counted["wait_hours"], counted["started"])),
        Measure("wait_p90", "hours", "less", "The wait that 90% of those who got a bed did not "
                "exceed.", _count("wait_p90"), of_hospital=False),
        Measure("left_unseen", "patients a day", "less", "Left an emergency department or clinic "
                "while waiting, without having been seen.", _daily("unseen")),
        Measure("diverted", "patients a day", "less", "Turned away from an emergency department "
                "or clinic that was full.", _daily("diverted")),
        Measure("cancelled", "patients a day", "less", "Had no bed in another unit than those: "
                "turned away, or gone while waiting for it.", _daily("cancelled")),
        Measure("outliers", "patients", "less", "Patients in beds of another unit than theirs, "
                "averaged over time.", _mean("outlier_hours")),
        Measure("throughput", "patients a day", "more", "Stays that ended; for the hospital, "
                "patients who were treated and left it.", _daily("treated")),
        Measure("cost", "currency a day", "less", "What the scenario's prices make of it.",
                _daily("cost"), of_units=False),
    )
}  # fmt: skip


def known(measure: str) -> Measure:
    """A measure by name; UsageError for one that does not exist."""
    if measure not in MEASURES:
        raise UsageError(f"There is no measure {measure!r}.", do=f"There is {', '.join(MEASURES)}.")
    return MEASURES[measure]


_SEEN_THERE = ("emergency", "clinic")


def values(results: Results, prices: Prices | None = None) -> dict[tuple[str, str | None], Array]:
    """One number for every replication, by measure and unit; None is the whole hospital.

    Left out is what has no value: what is not counted in a unit, and cost without prices.
    """
    counted = _counted(results)
    hours = results.run.hours - results.run.warm_up_hours
    whole = _whole(results, counted, prices)
    found: dict[tuple[str, str | None], Array] = {}
    for measure in MEASURES.values():
        if measure.of_hospital and not np.isnan(total := measure.rule(whole, hours)).all():
            found[measure.name, None] = total
        if measure.of_units:
            by_unit = measure.rule(counted, hours)
            for at, code in enumerate(results.units):
                if not np.isnan(by_unit[:, at]).all():
                    found[measure.name, code] = by_unit[:, at]
    return found


def _counted(results: Results) -> dict[str, Array]:
    counted = dict(results.unit_counts)
    lost = counted["reneged"] + counted["turned_away"]
    seen_there = np.array([unit.kind in _SEEN_THERE for unit in results.model.units])
    counted["bedded_hours"] = np.where(
        np.isnan(counted["bed_hours"]), np.nan, counted["occupied_hours"]
    )
    counted["unseen"] = np.where(seen_there, counted["reneged"], np.nan)
    counted["diverted"] = np.where(seen_there, counted["turned_away"], np.nan)
    counted["cancelled"] = np.where(seen_there, np.nan, lost)
    counted["treated"] = counted["stays"]
    counted["cost"] = np.full(lost.shape, np.nan)
    return counted


def _whole(results: Results, counted: Values, prices: Prices | None) -> dict[str, Array]:
    """The same of the hospital: sums over the units that have a value."""
    whole = {
        name: np.where(np.isnan(by_unit).all(axis=1), np.nan, np.nansum(by_unit, axis=1))
        for name, by_unit in counted.items()
    }
    whole["treated"] = np.sum([results.class_values[f"left_{way}"] for way in EXITS], (0, 2))
    if prices is not None:
        whole["cost"] = _cost(results, counted, whole, prices)
    return whole


def _cost(results: Results, counted: Values, whole: Values, prices: Prices) -> Array:
    by_bed = [prices.open_bed_day_in.get(code, prices.open_bed_day) / 24 for code in results.units]
    return np.asarray(
        np.nansum(counted["bed_hours"] * by_bed, axis=1)
        + whole["occupied_hours"] * prices.patient_day / 24
        + whole["outlier_hours"] * prices.outlier_day / 24
        + whole["boarding_hours"] * prices.boarding_hour
        + np.nan_to_num(whole["unseen"]) * prices.left_unseen
        + np.nan_to_num(whole["cancelled"]) * prices.cancelled
        + _staff_cost(results, prices)
    )


def _staff_cost(results: Results, prices: Prices) -> float:
    hours = results.run.hours - results.run.warm_up_hours
    return sum(
        price * hours * _on_duty(results.model, pool) for pool, price in prices.staff_hour.items()
    )


def _on_duty(model: FlowModel, code: str) -> float:
    """How many of a pool are on duty on average over a week."""
    steps = pool_steps(model, code, "")
    ends = [begin for begin, _ in steps[1:]] + [WEEK]
    each = next(pool.patients_each for pool in model.staff if pool.code == code)
    patients = sum((end - begin) * c for (begin, c), end in zip(steps, ends, strict=True))
    return patients / WEEK / each
