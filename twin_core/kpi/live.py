"""The whole catalogue over the recent past, refreshed again and again at little cost.

A refresh copies what the recent past is made of out of the store into a mirror in memory, makes
every building block that the KPIs share once, and then measures each KPI from them. The figures
equal those of the table macros over the same window; a test holds that.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from time import monotonic
from typing import NamedTuple

from twin_core.kpi.catalogue import RESULT_COLUMNS, Buildings, Definition
from twin_core.kpi.measuring import KpiRow, Window
from twin_core.kpi.unfolding import HISTORY, MADE, Plan, scalar_macros, unfold
from twin_core.store.database import Database
from twin_core.store.mirror import Mirror

RECENT = timedelta(days=60)
"""How long before the window a visit may have ended, and still be copied. What a KPI counts in a
window of a day depends on nothing older, but for what is taken from the store as it is."""

Figures = dict[str, list[KpiRow]]


class Lately(NamedTuple):
    """The catalogue over a window that ends now, and the last batch it counts."""

    window: Window
    sequence: int
    figures: Figures


_RECENT = (
    "SELECT encounter_id, patient_id FROM history.encounter(NULL)"
    " WHERE discharged_at IS NULL OR discharged_at >= {horizon}"
)
_OF_RECENT = "SEMI JOIN chosen USING (encounter_id)"
_SINCE = {
    "appointment": "WHERE starts_at IS NULL OR starts_at >= {horizon}",
    "location_status": "WHERE to_at IS NULL OR to_at >= {horizon}",
    "source_census": 'WHERE "at" >= {horizon}',
    "location": "",
    "schedule": "",
    "patient": "SEMI JOIN chosen USING (patient_id)",
}
"""By table what of it is recent, where it is not what belongs to a recent visit."""
_CORE = {
    "facility": "FROM core.facility",
    "kpi_setting": "FROM core.kpi_setting",
    "batch": "FROM core.batch ORDER BY batch_no DESC LIMIT 1",
    "message": "SELECT feed, received_at FROM core.message WHERE received_at >= {horizon} UNION ALL"
    " SELECT feed, unnest([min(received_at), max(received_at)]) FROM core.message"
    " WHERE received_at < {horizon} GROUP BY feed",
    "slot_version": "FROM core.slot_version WHERE starts_at >= {horizon}"
    " UNION (FROM core.slot_version ORDER BY known_from LIMIT 1)",
}
"""Tables of schema `core` that KPIs read."""
# What depends on more than the recent past: every unit's stays, every facility that was ever named.
_WHOLE = ("ed_units", "zones")


class LiveKpis:
    """The catalogue by one grouping, one row per place and statistic over the whole window."""

    def __init__(
        self,
        kpis: Mapping[str, Definition],
        *,
        by: str = "hospital",
        buildings: Buildings | None = None,
    ) -> None:
        self._kpis, self._by = kpis, by
        self._buildings = buildings or {}
        self._turn = threading.Lock()
        self._plan: Plan | None = None
        self._mirror: Mirror | None = None

    def close(self) -> None:
        """Let go of the mirror."""
        with self._turn:
            if self._mirror is not None:
                self._mirror.close()
                self._mirror = None

    def measure(
        self, database: Database, window: Window, rest: Callable[[float], None] = lambda took: None
    ) -> Figures:
        """Every KPI of the catalogue that has inputs and knows the grouping, over one window.

        The rows are those of `kpi.<id>(start, end, grain := 'all', by := ...)` as known now.
        Between its steps it calls `rest` with the seconds that the last one took.
        Raises QueryFailed where the store cannot be read.
        """
        with self._turn:
            plan, mirror = self._prepared()
            mirror.between(*window)
            horizon = f"TIMESTAMPTZ '{(window.start - RECENT).isoformat()}'"
            mirror.copy(database, _RECENT.format(horizon=horizon), _copied(plan, horizon))
            rested, figures = _Rested(rest), {}
            for table, sql in plan.steps:
                if not table.startswith(_TAKEN):
                    mirror.make(table, sql)
                    rested.step()
            for kpi, sql in plan.figures.items():
                figures[kpi] = _rows(mirror, sql)
                rested.step()
            return figures

    def _prepared(self) -> tuple[Plan, Mirror]:
        if self._plan is None:
            self._plan = unfold(self._kpis, grain="all", by=self._by)
        if self._mirror is None:
            self._mirror = Mirror((HISTORY, MADE), scalar_macros(self._buildings))
        return self._plan, self._mirror


class _Rested:
    """Steps of long work with a rest after each, as long as somebody makes of its seconds."""

    def __init__(self, rest: Callable[[float], None]) -> None:
        self._rest, self._began = rest, monotonic()

    def step(self) -> None:
        self._rest(monotonic() - self._began)
        self._began = monotonic()


_TAKEN = tuple(f"{MADE}.{part}_" for part in _WHOLE)


def _copied(plan: Plan, horizon: str) -> dict[str, str]:
    """What to copy from the store: by table of the mirror a SELECT on the store."""
    tables = {f"core.{name}": sql.format(horizon=horizon) for name, sql in _CORE.items()}
    for name in plan.history:
        recent = _SINCE.get(name, _OF_RECENT).format(horizon=horizon)
        tables[f"{HISTORY}.{name}"] = f"FROM history.{name}(NULL) {recent}"
    for part in _WHOLE:
        for table, _ in plan.steps:
            if table.startswith(f"{MADE}.{part}_"):
                tables[table] = f"FROM kpi_part.{part}(NULL)"
    return tables


def _rows(mirror: Mirror, sql: str) -> list[KpiRow]:
    columns = ", ".join(f"{name}::{kind} AS {name}" for name, kind in RESULT_COLUMNS.items())
    found = mirror.rows(f"SELECT {columns} FROM ({sql})")  # noqa: S608 - the catalogue's own SQL
    return sorted((KpiRow(**row) for row in found), key=_as_printed)  # type: ignore[arg-type]


def _as_printed(row: KpiRow) -> tuple[object, ...]:
    return (
        row.facility or "",
        row.unit or "",
        row.period_start,
        row.stratum or "",
        row.statistic,
    )
