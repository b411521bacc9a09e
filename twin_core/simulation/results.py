"""What a run gives: statistics by step, unit and class, the census in time, and the stays."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.flow.parts import EXITS
from twin_core.simulation.flow.steps import inner_steps, steps_of
from twin_core.simulation.kernel import layout as lay
from twin_core.simulation.kernel.layout import Books, Plan, Records
from twin_core.simulation.statistics import CLASS, STEP, UNIT, Values

if TYPE_CHECKING:
    import pyarrow as pa

    from twin_core.simulation.replicate import Run

_OF_WHOLE_STAYS = frozenset(
    {"asked", "started", "waited", "wait_hours", "wait_squares", "outliers"}
)
"""What is counted where a stay in a unit begins, not at its later steps."""
ENDS = ("moved", "discharged", "preempted", "left_unseen", "turned_away", "repatriated", "open")


@dataclass(frozen=True)
class Estimate:
    """A mean over replications with its standard error; `n` replications had a value."""

    mean: float
    se: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval of the mean (Student's t)."""
        half = student_95(self.n - 1) * self.se
        return self.mean - half, self.mean + half


def estimate(values: NDArray[np.float64]) -> Estimate:
    """The mean of one value for every replication; those without one are left out."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Estimate(float("nan"), float("nan"), 0)
    se = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
    return Estimate(float(known.mean()), se, len(known))


def student_95(freedom: int) -> float:
    """The two-sided 95% quantile of Student's t, to three digits (Cornish-Fisher, from 3 on)."""
    if freedom < 1:
        return float("nan")
    if freedom < 3:
        return (12.706, 4.303)[freedom - 1]
    return student(0.975, freedom)


def student(share: float, freedom: int) -> float:
    """The quantile of Student's t (Cornish-Fisher); NaN below 3 degrees of freedom.

    To three digits at 97.5%, and from 10 degrees on to 1% at 99.9%.
    """
    if freedom < 3:
        return float("nan")
    z, n = NormalDist().inv_cdf(share), float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


class Results:
    """One run's books, and statistics over them."""

    def __init__(
        self, model: FlowModel, run: "Run", plan: Plan, books: Books, stays: Records
    ) -> None:
        self.model, self.run, self.plan, self.books, self.rows = model, run, plan, books, stays
        self.units = tuple(unit.code for unit in model.units)
        self.classes = tuple(of.code for of in model.classes)
        self.steps = tuple(steps_of(model))

    @property
    def events(self) -> int:
        """Events handled in all replications."""
        return int(self.books.events.sum())

    @cached_property
    def step_values(self) -> Values:
        """Statistics by class and unit: arrays of replications by step."""
        return STEP.values(self.books.steps, lay.STEP_STATISTICS, self.run)

    @cached_property
    def unit_values(self) -> Values:
        """Statistics by unit: arrays of replications by unit, with those of its steps summed."""
        return UNIT.of(self.unit_counts, self.run)

    @cached_property
    def unit_counts(self) -> Values:
        """What was counted by unit, before any ratio: hours and patients, not means.

        Steps that follow each other in one bed, such as before, in and after theatre, are one stay
        of the unit.
        """
        raw = dict(zip(lay.UNIT_STATISTICS, np.moveaxis(self.books.units, 2, 0), strict=True))
        endless = [unit.beds == "unlimited" for unit in self.model.units]
        raw["bed_hours"] = np.where(endless, np.nan, raw["bed_hours"])
        of_unit, by_step = self.plan.steps["unit"], self.books.steps
        inner = inner_steps(self.model)
        outer = np.array([key not in inner for key in self.steps])
        for at, name in enumerate(lay.STEP_STATISTICS):
            total = np.zeros(self.books.units.shape[:2])
            for unit in range(len(self.units)):
                whose = (of_unit == unit) & (outer if name in _OF_WHOLE_STAYS else True)
                total[:, unit] = by_step[:, whose, at].sum(axis=1)
            raw[name] = total
        went_on = by_step[:, :, lay.STEP_STATISTICS.index("asked")] * ~outer
        for unit in range(len(self.units)):
            raw["stays"][:, unit] -= went_on[:, of_unit == unit].sum(axis=1)
        return raw

    @cached_property
    def class_values(self) -> Values:
        """Statistics by the class patients came as: arrays of replications by class."""
        return CLASS.values(self.books.classes, lay.CLASS_STATISTICS, self.run)

    def unit(self, code: str, statistic: str) -> Estimate:
        """One statistic of a unit."""
        return estimate(self.unit_values[statistic][:, self.units.index(code)])

    def step(self, class_: str, unit: str, statistic: str) -> Estimate:
        """One statistic of a class in a unit."""
        return estimate(self.step_values[statistic][:, self.steps.index((class_, unit))])

    def of_class(self, code: str, statistic: str) -> Estimate:
        """One statistic of a patient class."""
        return estimate(self.class_values[statistic][:, self.classes.index(code)])

    def census(self, what: str = "census") -> NDArray[np.int32]:
        """`census`, `waiting` or `boarding`: replications by sample time by unit."""
        sampled: NDArray[np.int32] = self.books.samples[what]
        return sampled

    def sample_times(self) -> NDArray[np.float64]:
        """Hours after the start at which the census was sampled."""
        return np.arange(self.run.samples, dtype=np.float64) * self.run.sample_hours

    def table(self) -> "pa.Table":
        """Every statistic with its mean, standard error and interval, as an Arrow table."""
        import pyarrow as pa  # Here and below: who wants no table does not wait for it.

        rows = [
            {"subject": subject, "class": class_, "unit": unit, "statistic": name, **_parts(values)}
            for subject, class_, unit, name, values in self._all()
        ]
        return pa.Table.from_pylist(rows)

    def _all(self) -> Any:
        for at, code in enumerate(self.units):
            for name, values in self.unit_values.items():
                yield "unit", None, code, name, values[:, at]
        for at, (class_, unit) in enumerate(self.steps):
            for name, values in self.step_values.items():
                yield "step", class_, unit, name, values[:, at]
        for at, code in enumerate(self.classes):
            for name, values in self.class_values.items():
                yield "class", code, None, name, values[:, at]

    def stays(self, start: datetime | None = None) -> "pa.Table":
        """One row for every uninterrupted stay at one place, in the shape of `twin.stay`.

        With `start` the instants are given as `from_at` and `to_at`, otherwise as hours. A stay
        that goes on at the horizon has no end. A patient on the way through several steps in one
        bed has several rows, which `same_place` marks from the second on.
        """
        import pyarrow as pa

        rows = self.rows[np.lexsort((self.rows["from_hours"], self.rows["number"]))]
        rows = rows[np.argsort(rows["replication"], kind="stable")]
        columns: dict[str, Any] = {
            "replication": rows["replication"],
            "stay_id": _joined(rows["replication"], rows["number"], _turns(rows)),
            "encounter_id": _joined(rows["replication"], rows["number"]),
            "patient_id": self._patients(rows),
            "facility": np.full(len(rows), self.model.facility, object),
            "unit": self._named(self.units, rows["in_unit"]),
            "room": self._bed(rows, 0),
            "bed": self._bed(rows, 1),
            "unit_of_care": self._named(self.units, rows["unit"]),
            "class": self._named(self.classes, rows["class_"]),
            "wait_hours": rows["wait_hours"],
            "blocked_hours": rows["blocked_hours"],
            "ended": self._named(ENDS, rows["end"]),
            "next": self._next(rows),
            "same_place": _same_place(rows),
        }
        ends = np.where(rows["end"] == lay.OPEN, np.nan, rows["to_hours"])
        if start is None:
            columns |= {
                "from_hours": rows["from_hours"],
                "to_hours": pa.array(ends, from_pandas=True),
            }
        else:
            columns |= {"from_at": _at(start, rows["from_hours"]), "to_at": _at(start, ends)}
        return pa.table(columns)

    @staticmethod
    def _named(names: tuple[str, ...], which: Records) -> NDArray[Any]:
        return np.array([*names, None], object)[which]

    def _patients(self, rows: Records) -> NDArray[Any]:
        """The identifier of who was there at the start; a number within the run for others."""
        known = np.array([here.patient or None for here in self.model.present] + [None], object)
        named = known[rows["present"]]
        return np.where(named == None, _joined(rows["replication"], rows["number"]), named)  # noqa: E711

    def _bed(self, rows: Records, part: int) -> NDArray[Any]:
        most = max((len(unit.bed_names) for unit in self.model.units), default=0)
        most = max(most, int(rows["bed"].max(initial=-1)) + 1)
        names = np.full((len(self.units) + 1, most + 1), None, object)
        for at, unit in enumerate(self.model.units):
            for bed in range(most):
                named = unit.bed_names[bed] if bed < len(unit.bed_names) else str(bed + 1)
                room, _, own = named.rpartition("-")
                names[at, bed] = (room or None, own)[part]
        named_beds: NDArray[Any] = names[rows["in_unit"], rows["bed"]]
        return named_beds

    def _next(self, rows: Records) -> NDArray[Any]:
        exits = np.isin(rows["end"], (lay.WENT, lay.UNSEEN, lay.AWAY))
        left = np.array([*EXITS, None], object)[np.where(exits, rows["next"], -1)]
        on = np.array([*self.units, None], object)[np.where(exits, -1, rows["next"])]
        return np.where(exits, left, on)


def _parts(values: NDArray[np.float64]) -> dict[str, Any]:
    of = estimate(values)
    low, high = of.interval
    return {"mean": of.mean, "se": of.se, "low": low, "high": high, "n": of.n}


def _turns(rows: Records) -> NDArray[np.int64]:
    """Which stay of its patient each row is, from 1 on."""
    new = np.ones(len(rows), bool)
    new[1:] = _differs(rows)
    starts = np.flatnonzero(new)
    return np.arange(len(rows)) - np.repeat(starts, np.diff([*starts, len(rows)])) + 1


def _differs(rows: Records) -> NDArray[np.bool_]:
    """Whether each row but the first is of another patient than the one before."""
    patients = rows[["replication", "number"]]
    differs: NDArray[np.bool_] = (patients["replication"][1:] != patients["replication"][:-1]) | (
        patients["number"][1:] != patients["number"][:-1]
    )
    return differs


def _same_place(rows: Records) -> NDArray[np.bool_]:
    same = np.zeros(len(rows), bool)
    here, before = rows[1:], rows[:-1]
    same[1:] = (
        ~_differs(rows)
        & (here["in_unit"] >= 0)
        & (here["in_unit"] == before["in_unit"])
        & (here["bed"] == before["bed"])
        & (here["from_hours"] == before["to_hours"])
    )
    return same


def _joined(*numbers: NDArray[Any]) -> NDArray[Any]:
    parts = [number.astype(str) for number in numbers]
    joined = parts[0]
    for part in parts[1:]:
        joined = np.char.add(np.char.add(joined, "-"), part)
    return joined.astype(object)


def _at(start: datetime, hours: NDArray[np.float64]) -> "pa.Array":
    import pyarrow as pa

    instants = [
        start + timedelta(hours=hour) if np.isfinite(hour) else None for hour in hours.tolist()
    ]
    return pa.array(instants, pa.timestamp("us", "UTC"))
