"""The KPI catalogue on simulated stays: the same SQL, one figure for every replication.

    from twin_core.simulated_kpis import kpis_of

    results = simulate(model, Run(hours=28 * 24, replications=20, stays=True))
    kpis_of(results, ["occ_hourly", "alos", "boarding"])      # an Arrow table: mean and interval

Replications are facilities of a store in memory, so that one question answers for all of them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from twin_core.errors import UsageError
from twin_core.kpi import catalogue
from twin_core.kpi.catalogue import Definition
from twin_core.kpi.measuring import KpiRow, measure
from twin_core.settings import KpiSettings
from twin_core.simulation.as_twin import Simulated, as_twin
from twin_core.simulation.results import Results, estimate
from twin_core.store.scratch import Scratch

PLACES = {"unit": "unit", "hospital": "facility"}
"""By what figures are told, and by what a store of replications tells them apart."""


class Figure(NamedTuple):
    """What a figure is of: where, when, which part of a KPI."""

    kpi: str
    unit: str | None
    period_start: datetime
    period_end: datetime
    stratum: str | None
    statistic: str


def kpis_of(
    results: Results,
    kpi_ids: Sequence[str],
    *,
    grain: str = "all",
    by: str = "unit",
    start: datetime | None = None,
    kpis: Mapping[str, Definition] | None = None,
    settings: KpiSettings | None = None,
) -> pa.Table:
    """KPIs of a run, counted from the end of its warm-up to the horizon.

    One row for every figure: its mean over the replications that have a value, and the 95% interval
    of that mean. Raises UsageError for a KPI, grain or `by` that does not exist, and for a run that
    kept no stays.
    """
    found = replicated(
        results, kpi_ids, grain=grain, by=by, start=start, kpis=kpis, settings=settings
    )
    rows = []
    for figure, rows_of in found.items():
        values = [np.nan if row.value is None else row.value for row in rows_of.values()]
        of = estimate(np.array(values))
        low, high = of.interval
        rows.append({**figure._asdict(), "mean": of.mean, "low": low, "high": high, "n": of.n})
    return pa.Table.from_pylist(rows)


def replicated(
    results: Results,
    kpi_ids: Sequence[str],
    *,
    grain: str = "all",
    by: str = "unit",
    start: datetime | None = None,
    kpis: Mapping[str, Definition] | None = None,
    settings: KpiSettings | None = None,
) -> dict[Figure, dict[int, KpiRow]]:
    """The same, one row of the KPI for every replication that has the figure."""
    if by not in PLACES:
        raise UsageError(f"KPIs of a simulation are not told by {by}.", do="Use unit or hospital.")
    every = catalogue.catalogue() if kpis is None else kpis
    for kpi_id in kpi_ids:
        if kpi_id not in every:
            raise UsageError(f"There is no KPI {kpi_id!r}.", do="`wardtwin kpi` lists them.")
    # Macros take their time to be installed: only those that are asked.
    known = {kpi_id: every[kpi_id] for kpi_id in kpi_ids}
    simulated = as_twin(results, start)
    first = results.run.first
    number = {code: at for at, code in enumerate(simulated.facilities, first)}
    found: dict[Figure, dict[int, KpiRow]] = {}
    with _filled(simulated, known, settings or KpiSettings()) as scratch:
        window = simulated.counted_from, simulated.end
        for kpi_id in kpi_ids:
            for row in measure(scratch.query, known[kpi_id], *window, grain=grain, by=PLACES[by]):
                figure = Figure(
                    kpi_id, row.unit, row.period_start, row.period_end, row.stratum, row.statistic
                )
                found.setdefault(figure, {})[number[row.facility or ""]] = row
    return found


def _filled(
    simulated: Simulated, known: Mapping[str, Definition], settings: KpiSettings
) -> Scratch:
    scratch = Scratch(catalogue.statements(known, settings.buildings), settings.rows())
    facilities = [(code, simulated.time_zone, "") for code in simulated.facilities]
    scratch.fill(simulated.tables, facilities, simulated.end)
    return scratch
