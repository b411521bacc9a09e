"""Alerts kept up to date: the rules of a site, what they look at, and what they wrote down."""

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from twin_core.kpi.alerting import (
    Alert,
    Place,
    Standing,
    alert_id,
    alert_of,
    judged,
    values,
)
from twin_core.kpi.catalogue import Definition
from twin_core.kpi.measuring import KpiRow
from twin_core.settings import AlertSettings
from twin_core.store.alerts import alert_rows
from twin_core.store.database import Database, Row

Measure = Callable[[str, datetime, datetime, str], list[KpiRow]]
"""A KPI's rows over a window as one period, by id, start, end and grouping."""
Write = Callable[[list[Row], list[tuple[str, Row]]], None]
"""Writes alerts that open, and changes of others."""


class Watch:
    """Looks at the figures that a site wants to be warned about, and opens and closes alerts."""

    def __init__(
        self, rules: Mapping[str, AlertSettings], kpis: Mapping[str, Definition], measure: Measure
    ) -> None:
        self._rules, self._kpis, self._measure = rules, kpis, measure
        self._standing: dict[tuple[str, Place], Standing] = {}
        self._turn = threading.Lock()

    def look(self, database: Database, at: datetime, zone: ZoneInfo, write: Write) -> list[Alert]:
        """Judge every rule at an instant; the alerts that opened or closed by it."""
        with self._turn:
            open_now = {
                (str(row["name"]), (row["facility"], row["unit"])): row
                for row in alert_rows(database, clause="closed_at IS NULL")
            }
            opened: list[Row] = []
            closed: list[tuple[str, Row]] = []
            for name, rule in self._rules.items():
                self._judge(name, rule, at, zone, open_now, opened, closed)
            for (name, _), row in open_now.items():
                if name not in self._rules:
                    # Nobody looks at it any more, so nothing else would ever close it.
                    closed.append(("closed", _closing(row, at, None)))
            if opened or closed:
                write(opened, closed)
            ids = [str(row["alert_id"]) for row in opened] + [str(r["id"]) for _, r in closed]
            return found(database, ids)

    def _judge(
        self,
        name: str,
        rule: AlertSettings,
        at: datetime,
        zone: ZoneInfo,
        open_now: dict[tuple[str, tuple[object, object]], Row],
        opened: list[Row],
        closed: list[tuple[str, Row]],
    ) -> None:
        rows = self._measure(rule.kpi, at - timedelta(hours=rule.hours), at, rule.by)
        for key, alert in list(open_now.items()):
            if key[0] == name and not self._is_watched(rule, alert, rows):
                # A rule that was changed looks elsewhere, so nothing else would ever close it.
                closed.append(("closed", _closing(alert, at, None)))
                del open_now[key]
        for place, value in values(rule, self._kpis[rule.kpi], rows).items():
            row = open_now.get((name, place))
            before = Standing(True) if row else self._standing.get((name, place), Standing())
            if before.is_open and row is None:
                # Closed by somebody else, as in a store that was restored.
                before = Standing()
            after, judgement = judged(rule, before, value, at, zone)
            self._standing[name, place] = after
            if judgement == "opened":
                opened.append(self._opening(name, rule, place, at, value))
            elif judgement == "closed" and row is not None:
                closed.append(("closed", _closing(row, at, value)))

    def _is_watched(self, rule: AlertSettings, row: Row, rows: Iterable[KpiRow]) -> bool:
        if (row["kpi"], row["statistic"]) != (rule.kpi, self._statistic(rule)):
            return False
        if rule.units and row["unit"] not in rule.units:
            return False
        groupings = {(found.facility is None, found.unit is None) for found in rows}
        return not groupings or (row["facility"] is None, row["unit"] is None) in groupings

    def _statistic(self, rule: AlertSettings) -> str:
        return rule.statistic or next(iter(self._kpis[rule.kpi].statistics))

    def _opening(
        self, name: str, rule: AlertSettings, place: Place, at: datetime, value: float
    ) -> Row:
        return {
            "alert_id": alert_id(name, place, at),
            "name": name,
            "kpi": rule.kpi,
            "statistic": self._statistic(rule),
            "facility": place[0],
            "unit": place[1],
            "threshold": rule.above if rule.above is not None else rule.below,
            "opened_at": at,
            "opened_value": value,
        }


def found(database: Database, ids: list[str]) -> list[Alert]:
    """Alerts by their ids."""
    if not ids:
        return []
    clause = "alert_id IN (SELECT unnest($ids::VARCHAR[]))"
    return [alert_of(row) for row in alert_rows(database, clause=clause, asked={"ids": ids})]


def _closing(row: Row, at: datetime, value: float | None) -> Row:
    return {"id": row["alert_id"], "at": at, "value": value}
