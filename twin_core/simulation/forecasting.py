"""A forecast: the hospital from how it stands at an instant, with all that is uncertain about it.

Chance is in every replication; what the history leaves open about the model's numbers is in the
draws: every group of replications runs a model drawn as uncertain as the estimates are.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twin_core.simulation.calibrate import Calibration, standing
from twin_core.simulation.drawn import seed_of_draw
from twin_core.simulation.flow.model import FlowModel
from twin_core.simulation.replicate import Advance, Run, simulate
from twin_core.simulation.results import Results

Edit = Callable[[FlowModel], FlowModel]
"""A change of the model, such as a closed ward: the same in every draw."""
USUAL_HOURS, USUAL_REPLICATIONS, USUAL_DRAWS = 72.0, 400, 20
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Forecast:
    """What may come after an instant: the runs of every drawn model, and the census in time."""

    calibration: Calibration
    at: datetime
    hours: float
    seed: int
    results: tuple[Results, ...]

    @property
    def units(self) -> tuple[str, ...]:
        """The units forecast."""
        return self.results[0].units

    @property
    def replications(self) -> int:
        """How many replications there are, of all draws together."""
        return sum(result.run.replications for result in self.results)

    def quantiles(self, unit: str, hour: int, shares: tuple[float, ...] = QUANTILES) -> list[float]:
        """Quantiles of the census of a unit, some hours ahead."""
        census = self.census()[:, hour, self.units.index(unit)]
        return [float(q) for q in np.quantile(census, shares)]

    def stays(self) -> pa.Table:
        """The stays of all draws, in the shape of `twin.stay`, by draw and replication."""
        tables = [
            table.append_column("draw", pa.array([number] * len(table), pa.int32()))
            for number, result in enumerate(self.results)
            for table in [result.stays(self.at)]
        ]
        return pa.concat_tables(tables, promote_options="permissive")

    def times(self) -> list[datetime]:
        """The instants of the census, hour by hour, the first being now."""
        return [self.at + timedelta(hours=h) for h in self.results[0].sample_times().tolist()]

    def census(self, what: str = "census") -> NDArray[np.int32]:
        """`census`, `waiting` or `boarding`: replications by hour by unit."""
        return np.concatenate([result.census(what) for result in self.results])

    def table(self, shares: tuple[float, ...] = QUANTILES) -> pa.Table:
        """One row for every unit and hour: mean and quantiles of patients in bed and boarding."""
        census, boarding = self.census(), self.census("boarding")
        bands = np.quantile(census, shares, axis=0)
        rows = [
            {
                "unit": unit,
                "at": at,
                "census_mean": float(census[:, h, u].mean()),
                **{
                    f"census_p{round(100 * s)}": float(bands[q, h, u]) for q, s in enumerate(shares)
                },
                "boarding_mean": float(boarding[:, h, u].mean()),
            }
            for u, unit in enumerate(self.units)
            for h, at in enumerate(self.times())
        ]
        return pa.Table.from_pylist(rows)


def warm_models(
    calibration: Calibration, draws: int = USUAL_DRAWS, seed: int = 0
) -> tuple[FlowModel, ...]:
    """The models of a forecast: each drawn as uncertain as the estimates, standing as it stands.

    With `draws` 0 there is one: that of the estimates themselves.
    """
    if draws < 1:
        return (standing(calibration, calibration.model),)
    chances = [np.random.default_rng([seed, number]) for number in range(draws)]
    return tuple(standing(calibration, calibration.drawn(c), c) for c in chances)


def drawn_models(calibration: Calibration, draws: int, seed: int) -> tuple[FlowModel, ...]:
    """Models drawn as uncertain as the estimates, with nobody in them; one estimated for 0."""
    if draws < 1:
        return (calibration.model,)
    chances = [np.random.default_rng([seed, number]) for number in range(draws)]
    return tuple(calibration.drawn(chance) for chance in chances)


def standing_models(
    calibration: Calibration, model: FlowModel | None, draws: int, replications: int, seed: int
) -> tuple[FlowModel, ...]:
    """What is run from now: a model of one's own as it is, else draws of the calibrated one."""
    if model is not None:
        return (standing(calibration, model),)
    return warm_models(calibration, min(draws, replications), seed)


def hour_of_week(calibration: Calibration) -> float:
    """The local hours since Monday 00:00 at which a forecast begins."""
    at = calibration.history.end.astimezone(calibration.history.zone)
    return 24.0 * at.weekday() + at.hour + at.minute / 60 + at.second / 3600


def forecast(
    calibration: Calibration,
    *,
    hours: float = USUAL_HOURS,
    replications: int = USUAL_REPLICATIONS,
    draws: int = USUAL_DRAWS,
    seed: int = 0,
    stays: bool = False,
    model: FlowModel | None = None,
    edit: Edit | None = None,
    executor: Executor | None = None,
    advance: Advance | None = None,
) -> Forecast:
    """The hours after the end of a calibration's history.

    Replications are shared out evenly over the draws. A `model` of one's own, such as a reviewed
    one, is run as it is, from how the hospital stands. The same seed with another `edit` meets the
    same patients: the difference is the edit's (common random numbers).
    """
    models = standing_models(calibration, model, draws, replications, seed)
    each, done = -(-replications // len(models)), 0
    results = []
    for number, warm in enumerate(models):
        run = Run(
            hours=hours,
            replications=each,
            seed=seed_of_draw(seed, number),
            hour_of_week=hour_of_week(calibration),
            stays=stays,
        )
        results.append(simulate(edit(warm) if edit else warm, run, executor=executor))
        done += each
        if advance is not None:
            advance(done)
    return Forecast(calibration, calibration.history.end, hours, seed, tuple(results))
