"""One figure, one number: Python, SQL, the API, the page and the command line agree on it."""

import io
import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.fhir import Release, judge
from api.app import create_app
from api.cli import main
from api.web.rendering import figure
from tests.contract.conftest import HEARD, StoppedClock
from twin_core.kpi import KpiRow
from twin_core.settings import FacilitySettings, FeedSettings, Settings
from twin_core.twin import Twin

SITE = """\
[feeds.adt]
time_zone = "UTC"
[facilities.GEN]
time_zone = "Europe/Berlin"
"""
SETTINGS = Settings(
    feeds={"adt": FeedSettings(time_zone="UTC")},
    facilities={"GEN": FacilitySettings(time_zone="Europe/Berlin")},
)
ASKED = (
    ("alos", "2026-03-02", "2026-03-03", "day", "unit"),
    ("occ_hourly", "2026-03-02", "2026-03-03", "hour", "hospital"),
    ("adm_dis_balance", "2026-03-02", "2026-03-03", "all", "unit"),
    ("ed_census", "2026-03-01", "2026-03-03", "day", "hospital"),
    ("adc", "2026-03-01", "2026-03-03", "day", "class"),
)
BERLIN = "+01:00"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that heard a few messages, and a site in Berlin."""
    folder = tmp_path_factory.mktemp("truth")
    (folder / "site.toml").write_text(SITE)
    (folder / "feed.hl7").write_bytes(b"\r".join(HEARD))
    told = wardtwin(folder, "ingest", str(folder / "feed.hl7"), "--json")
    assert told["accepted"] == len(HEARD)
    return folder


def wardtwin(folder: Path, *words: str) -> Any:
    """The answer of a command as JSON."""
    out, err = io.StringIO(), io.StringIO()
    store = ("--db", str(folder / "truth.duckdb"), "--config", str(folder / "site.toml"))
    assert main([*words, *store], environ={}, out=out, err=err) == 0, err.getvalue()
    return json.loads(out.getvalue())


def told(rows: list[Any]) -> list[tuple[object, ...]]:
    """Figures in one form, whoever gave them."""
    found = [row if isinstance(row, dict) else to_dict(row) for row in rows]
    return [
        tuple(at(row[name]) for name in KpiRow.__struct_fields__)
        for row in sorted(found, key=lambda row: [str(row[name]) for name in NAMES])
    ]


NAMES = ("facility", "unit", "stratum", "statistic")


def reported(
    caller: Any, kpi_id: str, start: str, end: str, grain: str, by: str
) -> list[dict[str, object]]:
    """The figures of a KPI as its MeasureReports tell them."""
    question = {"measure": f"urn:wardtwin:kpi:{kpi_id}", "grain": grain, "by": by}
    asked = [*question.items(), ("period", f"ge{start}"), ("period", f"lt{end}")]
    bundle = caller.get("/fhir/R4/MeasureReport", params=asked).json()
    found = []
    for report in (entry["resource"] for entry in bundle["entry"]):
        assert judge(report, Release.R4B) == []
        for group in report["group"]:
            whole = [group] if "measureScore" in group else []
            strata = [one for each in group.get("stratifier", ()) for one in each["stratum"]]
            found += [figure_of(report, group, one) for one in whole + strata]
    return found


def figure_of(report: Any, group: Any, told: Any) -> dict[str, object]:
    """One figure of a MeasureReport as a row."""
    parts = {one["code"]["text"]: one["value"]["text"] for one in told.get("component", ())}
    sums = {
        one["code"]["coding"][0]["code"]: one["extension"][0]["valueDecimal"]
        for one in told.get("population", ())
    }
    coverage = [one["valueDecimal"] for one in told.get("extension", ())]
    return {
        **{name: parts.get(name) for name in ("facility", "unit", "stratum")},
        "period_start": report["period"]["start"],
        "period_end": report["period"]["end"],
        "statistic": group["code"]["coding"][0]["code"],
        "numerator": sums.get("numerator"),
        "denominator": sums.get("denominator"),
        "value": told["measureScore"].get("value"),
        "coverage": coverage[0] if coverage else None,
    }


def to_dict(row: KpiRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in KpiRow.__struct_fields__}


def at(cell: Any) -> Any:
    """A cell; an instant as one whether it came as text or not."""
    if isinstance(cell, str) and re.match(r"\d{4}-\d\d-\d\d[T ]", cell):
        return datetime.fromisoformat(cell)
    return round(cell, 9) if isinstance(cell, float) else cell


@pytest.mark.parametrize(("kpi_id", "start", "end", "grain", "by"), ASKED)
def test_everybody_gives_the_same_figures(
    store: Path, serve: Any, kpi_id: str, start: str, end: str, grain: str, by: str
) -> None:
    macro = (
        f"FROM kpi.{kpi_id}('{start}T00:00:00{BERLIN}', '{end}T00:00:00{BERLIN}',"
        f" grain := '{grain}', \"by\" := '{by}') ORDER BY facility, unit, period_start, statistic"
    )
    with Twin.open(store / "truth.duckdb", settings=SETTINGS, clock=StoppedClock()) as twin:
        rows = twin.kpi(
            kpi_id, date.fromisoformat(start), date.fromisoformat(end), grain=grain, by=by
        )
        python, sql = told(rows), told(twin.query(macro))
        caller = serve(create_app(twin))
        asked = {"start": start, "end": end, "grain": grain, "by": by}
        api = told(caller.get(f"/v1/kpis/{kpi_id}", params=asked).json()["rows"])
        page = caller.get(f"/kpis/{kpi_id}", params=asked).text
        fhir = told(reported(caller, kpi_id, start, end, grain, by))
    words = ("--from", start, "--to", end, "--grain", grain, "--by", by, "--json")
    command = told(wardtwin(store, "kpi", kpi_id, *words))
    assert python
    assert python == sql == api == command == fhir
    assert told(wardtwin(store, "sql", macro, "--json")) == python
    shown = re.findall(r'aria-label="([^"]*), the rows behind it"', page)
    assert shown == [figure(row.value) for row in rows]


def test_a_date_is_the_hospitals_midnight_everywhere_but_in_plain_sql(store: Path) -> None:
    days = ("2026-03-02", "2026-03-03")
    asked = wardtwin(store, "kpi", "occ_hourly", "--from", days[0], "--to", days[1], "--json")
    plain = wardtwin(store, "sql", f"FROM kpi.occ_hourly('{days[0]}', '{days[1]}')", "--json")
    first = [min(at(row["period_start"]) for row in rows) for rows in (asked, plain)]
    assert first[0] == datetime.fromisoformat("2026-03-02T00:00+01:00")
    assert first[1] == datetime.fromisoformat("2026-03-02T00:00+00:00")


def test_every_row_behind_every_figure_leads_to_a_message(store: Path) -> None:
    """From end to end: real messages in, and each row of each KPI out again with its messages."""
    with Twin.open(store / "truth.duckdb", settings=SETTINGS, clock=StoppedClock()) as twin:
        known = {row["message_id"] for row in twin.query("SELECT message_id FROM twin.message")}
        followed = 0
        for kpi in twin.kpis.values():
            if not kpi.behind:
                continue
            rows = twin.kpi_rows(kpi.id, "2026-03-01", "2026-03-03", by=kpi.by[0], limit=1000)
            for row in rows:
                assert row.events, row
                assert {event.message_id for event in row.events} <= known
            followed += bool(rows)
    assert followed > 12


def test_the_refresh_of_the_whole_catalogue_says_the_same(store: Path, serve: Any) -> None:
    with Twin.open(store / "truth.duckdb", settings=SETTINGS, clock=StoppedClock()) as twin:
        lately = twin.kpis_lately(by="unit")
        caller = serve(create_app(twin))
        api = caller.get("/v1/lately", params={"by": "unit"}).json()
        for kpi_id in ("alos", "adm_dis_balance", "occ_hourly", "ed_census", "dbn"):
            asked = twin.kpi(kpi_id, *lately.window, grain="all", by="unit")
            assert told(asked) == told(lately.figures[kpi_id]) == told(api["figures"][kpi_id])
        assert told(lately.figures["adm_dis_balance"])
