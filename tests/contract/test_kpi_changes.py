"""What later messages changed in yesterday's report: in Python, over HTTP, and in the terminal."""

import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from api.app import create_app
from api.cli import main
from tests.contract.conftest import NOON, SETTINGS, adt
from twin_core.kpi.changing import changes
from twin_core.kpi.measuring import KpiRow
from twin_core.twin import Twin

DAY = ("2026-03-02", "2026-03-03")


class Clock:
    def __init__(self) -> None:
        self.at = NOON + timedelta(days=1)

    def now(self) -> datetime:
        return self.at


def row(unit: str, value: float | None, statistic: str = "mean") -> KpiRow:
    return KpiRow(
        facility="H", unit=unit, period_start=NOON, period_end=NOON + timedelta(days=1),
        stratum=None, statistic=statistic, numerator=value, denominator=1, value=value, coverage=1,
    )  # fmt: skip


def test_only_what_differs_is_a_change() -> None:
    then = [row("A", 1.0), row("B", 2.0), row("C", 3.0), row("E", 0.1 + 0.2)]
    now = [row("A", 1.0), row("B", 5.0), row("D", None), row("E", 0.3)]
    found = [(c.unit, c.value_then, c.value_now, c.denominator_now) for c in changes(then, now)]
    assert found == [("B", 2.0, 5.0, 1), ("C", 3.0, None, None), ("D", None, None, 1)]
    assert changes(then, then) == []


def receive(caller: Any, twin: Twin, raw: bytes) -> None:
    assert caller.post("/v1/hl7v2", content=raw).status_code == 200
    twin.wait_applied()


def test_a_late_discharge_is_told_by_everyone_alike(tmp_path: Path, serve: Any) -> None:
    clock = Clock()
    path = tmp_path / "late.duckdb"
    with Twin.open(path, settings=SETTINGS, clock=clock) as twin:
        caller = serve(create_app(twin))
        receive(caller, twin, adt("A01", "1", "08:00", "V1", "MED^1^1^GEN"))
        receive(caller, twin, adt("A01", "2", "09:00", "V2", "ICU^1^1^GEN"))
        report_at = clock.at + timedelta(hours=1)
        clock.at += timedelta(hours=2)
        receive(caller, twin, adt("A03", "3", "20:00", "V1", "MED^1^1^GEN"))
        before = twin.kpi("adm_dis_balance", *DAY, known_at=report_at)
        assert twin.kpi_changes("adm_dis_balance", *DAY, known_at=clock.at) == []
        found = twin.kpi_changes("adm_dis_balance", *DAY, known_at=report_at)
        assert {change.unit for change in found} == {"MED"}
        by_statistic = {c.statistic: (c.value_then, c.value_now) for c in found}
        assert by_statistic["discharges"] == (0, 1)
        assert by_statistic["census_after"] == (1, 0)
        assert "admissions" not in by_statistic
        # What was then is yesterday's report, figure by figure.
        told = {(r.unit, r.statistic): r.value for r in before}
        assert all(told[c.unit, c.statistic] == c.value_then for c in found)
        asked = {"start": DAY[0], "end": DAY[1], "known_at": report_at.isoformat()}
        answer = caller.get("/v1/kpis/adm_dis_balance/changes", params=asked).json()
        assert caller.get("/v1/kpis/happiness/changes", params=asked).status_code == 404
        assert caller.get("/v1/kpis/alos/changes").status_code == 422
    out, err = io.StringIO(), io.StringIO()
    words = ("kpi", "adm_dis_balance", "--from", DAY[0], "--to", DAY[1], "--json")
    since = ("--changed-since", report_at.isoformat(), "--db", str(path))
    assert main([*words, *since], environ={}, out=out, err=err) == 0, err.getvalue()
    names = ("unit", "statistic", "value_then", "value_now")
    shown = [tuple(change[name] for name in names) for change in answer["changes"]]
    assert shown == [tuple(getattr(change, name) for name in names) for change in found]
    assert [tuple(c[name] for name in names) for c in json.loads(out.getvalue())] == shown
