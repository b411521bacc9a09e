"""The pages people look at: the board, units, KPIs, messages, quarantine, and the API's words."""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.background import BackgroundTask
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from api.board import unit_tile
from api.exporting import MEDIA_TYPES
from api.figures import figure_words, headline
from api.lately import LatelyKept
from api.operations import quarantine_replay
from api.routes import kpis, messages
from api.routes.asked import AskedReach, AskedTwin, At, Edge, KnownAt, ShowsPhi
from api.routes.state import find_unit
from api.web.called import called
from api.web.chart import Band, Control, Point, Target
from api.web.reader import t
from api.web.rendering import MONTHS, clock, may, page
from api.web.rendering import figure as numbered
from twin_core.errors import UsageError
from twin_core.kpi import Figure, KpiRow, hospital_zone
from twin_core.kpi.catalogue import By, Definition, Grain
from twin_core.kpi.charting import KpiChart
from twin_core.kpi.control import RULES
from twin_core.twin import Twin

router = APIRouter(include_in_schema=False)

PAGE = 100
STATUSES = ("applied", "journalled", "quarantined")
CHARTS = 60
SPANS = (7, 28, 91)
"""The days that a KPI's page leads to; control limits of daily figures need the longer ones."""
PAGE_PARTS = 4_000


@router.get("/")
async def board(request: Request, reach: AskedReach) -> Response:
    """The board, complete before any script runs."""
    shown = await request.app.state.live.board(reach)
    # Thousands of beds are not put into words where every stream of changes would wait for it.
    return await asyncio.to_thread(page, "board.html", board=shown, here="board")


@router.get("/units/{facility}/{unit:path}")
def unit(
    facility: str, unit: str, twin: AskedTwin, at: At = None, known_at: KnownAt = None
) -> Response:
    """One unit as a table."""
    # Whoever watches a unit asks after each of its changes.
    is_now = at is None and known_at is None
    state = twin.present() if is_now else twin.state(at, known_at)
    found = find_unit(state, facility, unit)
    return page(
        "unit.html",
        **common(twin),
        here="board",
        unit=found,
        tile=unit_tile(found),
        state=state,
        past=at is not None or known_at is not None,
    )


@router.get("/kpis")
def kpi_list(twin: AskedTwin, request: Request) -> Response:
    """The catalogue, with the headline figure of the last 24 hours."""
    kept: LatelyKept = request.app.state.lately
    lately, renew = kept.at_hand()
    figures = lately.figures
    headlines = {
        kpi.id: figure_words(headline(figures.get(kpi.id, []), next(iter(kpi.statistics))))
        for kpi in twin.kpis.values()
    }
    answer = page(
        "kpis.html",
        **common(twin),
        here="kpis",
        definitions=twin.kpis.values(),
        headlines=headlines,
    )
    if renew:
        # The next reader's figures, once this one has theirs.
        answer.background = BackgroundTask(kept.figures)
    return answer


@router.get("/kpis/{kpi_id}")
def kpi(
    kpi_id: str,
    twin: AskedTwin,
    start: Annotated[str, Query(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = "",
    end: Annotated[str, Query(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = "",
    grain: Grain = "day",
    by: By = "hospital",
) -> Response:
    """One KPI: what it means, its course as a chart, and the same as a table."""
    definition = kpis.found_kpi(twin, kpi_id)
    zone = hospital_zone(twin.query).key
    measured = kpis.measured(
        twin,
        kpi_id,
        _local_midnight(start, zone),
        _local_midnight(end, zone),
        grain=grain,
        by=by,
        known_at=None,
    )
    shown = next(iter(definition.statistics))
    target = target_of(definition)
    return page(
        "kpi.html",
        **common(twin),
        here="kpis",
        definition=definition,
        measured=measured,
        statistic=shown,
        series=_series(twin, measured, definition, zone)[:CHARTS],
        place=_place_names(measured.rows),
        rows_of=_rows_of(measured) if definition.behind and may("patients:read") else None,
        target=target,
        target_words=target_words(target, t(definition.unit)) if target else "",
        rules=RULES,
        alerts=twin.alerts(kpi_id=kpi_id, limit=20),
        file_links=_file_links(measured),
        longer=_longer(measured, zone),
    )


@router.get("/kpis/{kpi_id}/rows")
def kpi_rows(
    kpi_id: str,
    twin: AskedTwin,
    start: Edge,
    end: Edge,
    grain: Grain = "day",
    by: By = "hospital",
    facility: kpis.Chosen = None,
    unit: kpis.Chosen = None,
    stratum: kpis.Chosen = None,
    statistic: kpis.Chosen = None,
    period: Edge | None = None,
    after: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """What one figure was counted from, row by row, down to the messages."""
    definition = kpis.found_kpi(twin, kpi_id)
    window = kpis.bounded_window(twin, start, end, grain)
    figure = Figure(
        facility=facility, unit=unit, period=period, stratum=stratum, statistic=statistic
    )
    found = kpis.behind(
        twin,
        kpi_id,
        window,
        grain=grain,
        by=by,
        known_at=None,
        figure=figure,
        limit=PAGE,
        after=after,
    )
    return page(
        "kpi_rows.html",
        **common(twin),
        here="kpis",
        definition=definition,
        found=found,
        figure=figure,
        older=rows_link(found, figure, found.next) if found.next is not None else None,
    )


def rows_link(found: kpis.KpiRows | kpis.KpiFigures, figure: Figure, after: int = 0) -> str:
    """The address of the rows behind a figure of what was asked."""
    asked = {"start": found.start, "end": found.end, "grain": found.grain, "by": found.by}
    chosen = msgspec.structs.asdict(figure) | {"after": after or None}
    words = {
        name: word.isoformat() if isinstance(word, date) else word
        for name, word in {**asked, **chosen}.items()
        if word is not None
    }
    return f"/kpis/{found.id}/rows?{urlencode(words)}"


def _longer(measured: kpis.KpiFigures, zone: str) -> list[tuple[int, str]]:
    """How many of the last days may be shown, and the address of each: limits need many periods."""
    end = measured.end.astimezone(ZoneInfo(zone)).date()
    asked = {"grain": measured.grain, "by": measured.by}
    spans = {days: {"start": end - timedelta(days=days), "end": end, **asked} for days in SPANS}
    return [(days, f"/kpis/{measured.id}?{urlencode(span)}") for days, span in spans.items()]


def _file_links(measured: kpis.KpiFigures) -> dict[str, str]:
    """The addresses of the same figures as files, by format."""
    asked = {
        "start": measured.start.isoformat(),
        "end": measured.end.isoformat(),
        "grain": measured.grain,
        "by": measured.by,
    }
    return {
        form: f"/v1/kpis/{measured.id}?{urlencode({**asked, 'format': form})}"
        for form in MEDIA_TYPES
    }


def _rows_of(found: kpis.KpiFigures) -> Callable[[KpiRow], str]:
    """The address of the rows behind one of the figures."""

    def link(row: KpiRow) -> str:
        figure = Figure(
            facility=row.facility or "-",
            unit=row.unit or "-",
            period=row.period_start,
            stratum=row.stratum or "-",
            statistic=row.statistic,
        )
        return rows_link(found, figure)

    return link


Asked = Annotated[str, Query(max_length=255)]


@router.get("/messages")
def message_list(
    twin: AskedTwin,
    feed: Asked = "",
    status: Asked = "",
    trigger_event: Asked = "",
    control_id: Asked = "",
    before: messages.Before = None,
) -> Response:
    """What was received, newest first."""
    asked = {
        "feed": feed,
        "status": status,
        "trigger_event": trigger_event.strip().upper(),
        "control_id": control_id.strip(),
    }
    wanted = {name: text or None for name, text in asked.items()}
    found = messages.message_page(twin, messages.MESSAGES, wanted, limit=PAGE, before=before)
    return page(
        "messages.html",
        **common(twin),
        here="messages",
        found=found,
        asked=asked,
        feeds=sorted({tally.feed for tally in twin.tallies()}),
        statuses=STATUSES,
        older=_older(asked, found.next),
    )


@router.get("/messages/{message_id}")
def one_message(message_id: messages.MessageId, twin: AskedTwin, phi: ShowsPhi) -> Response:
    """One message field by field: what it said had happened, or why it could not be applied."""
    return _explained(twin, message_id, phi=phi, here="messages")


@router.get("/quarantine/{message_id}")
def one_quarantined(message_id: messages.MessageId, twin: AskedTwin, phi: ShowsPhi) -> Response:
    """The same page, on the way through what waits for a fix."""
    return _explained(twin, message_id, phi=phi, here="quarantine")


@router.get("/quarantine")
def quarantine(twin: AskedTwin, before: messages.Before = None) -> Response:
    """What waits for a fix, with its reason."""
    asked = {"feed": None}
    found = messages.message_page(twin, messages.QUARANTINE, asked, limit=PAGE, before=before)
    return page(
        "quarantine.html",
        **common(twin),
        here="quarantine",
        found=found,
        older=_older({}, found.next),
    )


@router.post("/quarantine/{message_id}/replay")
def replay(message_id: messages.MessageId, twin: AskedTwin) -> Response:
    """Try a message again, then show what became of it."""
    messages.message_detail(twin, message_id)
    quarantine_replay(twin, {"message_ids": [message_id]})
    return RedirectResponse(f"/messages/{message_id}", status_code=303)


@router.get("/docs")
def docs(request: Request, twin: AskedTwin) -> Response:
    """The operations of the OpenAPI document, listed without anything from elsewhere."""
    document = request.app.openapi()
    operations = [
        {"path": path, "method": method.upper()}
        | {"summary": "", "description": "", "parameters": [], "responses": {}}
        | operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for operation in operations:
        groups.setdefault(operation.get("tags", ["other"])[0], []).append(operation)
    return page("docs.html", **common(twin), here="docs", document=document, groups=groups)


def _explained(twin: Twin, message_id: int, *, phi: bool, here: str) -> Response:
    explained = messages.explanation(twin, message_id, phi=phi, most=PAGE_PARTS)
    return page("message.html", **common(twin), here=here, explained=explained)


def static_files() -> StaticFiles:
    """The style sheet, the scripts and the icon."""
    return StaticFiles(directory=Path(str(files("api.web") / "static")))


def common(twin: Twin) -> dict[str, Any]:
    """What every page shows: whose clock, and whether the patients are invented."""
    return {"now": twin.clock.now(), "zone": hospital_zone(twin.query).key, "demo": twin.is_demo()}


NUMBER = r"(\d+(?:\.\d+)?)"
TARGETS: tuple[tuple[str, Callable[..., Target]], ...] = (
    (rf"(?:\(|target ){NUMBER}\s*-\s*{NUMBER}", Target),
    (rf"\bat most {NUMBER}", lambda high: Target(None, high)),
    (rf"\bat least {NUMBER}", lambda low: Target(low, None)),
    (rf"^higher \({NUMBER} is the standard\)", lambda low: Target(low, None)),
    (rf"^lower \(\w+ > {NUMBER}\)", lambda high: Target(None, high)),
    (r"^(0)$", lambda high: Target(None, high)),
)
"""How the catalogue states targets: as a range, or with one side only."""


def target_of(definition: Definition) -> Target | None:
    """The target of a KPI's headline, or None where it has none or states one of another figure."""
    text = definition.direction
    headline, *others = definition.statistics
    if any(re.search(rf"\b{name}\b", text) for name in others if name != headline):
        return None
    for pattern, target in TARGETS:
        if found := re.search(pattern, text):
            return target(*map(float, found.groups()))
    return None


def target_words(target: Target, unit: str) -> str:
    """A target in words: which side of a single limit is the good one."""
    low, high = numbered(target.low), numbered(target.high)
    if target.low is None:
        return t("target at most {high} {unit}", high=high, unit=unit)
    if target.high is None:
        return t("target at least {low} {unit}", low=low, unit=unit)
    return t("target {low} to {high} {unit}", low=low, high=high, unit=unit)


class Course(NamedTuple):
    """One place's course on the page: the line, its control limits, and the chart behind them."""

    name: str
    points: list[Point]
    control: Control | None
    chart: KpiChart


def _series(
    twin: Twin, measured: kpis.KpiFigures, definition: Definition, zone: str
) -> list[Course]:
    """The headline's statistic as one course per place or class; parts shown apart have none."""
    if measured.grain == "all":
        return []
    charts = twin.kpi_charts(
        definition.id,
        measured.start,
        measured.end,
        grain=measured.grain,
        by=measured.by,
        rows=measured.rows,
    )
    place = _place_names(measured.rows)
    return [
        Course(
            " ".join(part for part in (place(chart), called(chart.stratum)) if part)
            or t("Hospital"),
            [Point(_period(p.period_start, measured.grain, zone), p.value) for p in chart.points],
            _control(chart),
            chart,
        )
        for chart in charts
    ]


def _control(chart: KpiChart) -> Control | None:
    if chart.centre is None:
        return None
    return Control(
        chart.centre,
        [
            None if p.lower is None or p.upper is None else Band(p.lower, p.upper)
            for p in chart.points
        ],
        [[t(RULES[rule]) for rule in p.signals] for p in chart.points],
    )


def _place_names(rows: Sequence[KpiRow]) -> Callable[[KpiRow | KpiChart], str]:
    """How a row's place is called: the facility goes without saying where there is only one."""
    several = len({row.facility for row in rows}) > 1

    def name(row: KpiRow | KpiChart) -> str:
        named = (row.facility if several or not row.unit else None, row.unit)
        return " ".join(part for part in named if part)

    return name


def _period(start: datetime, grain: str, zone: str) -> str:
    local = start.astimezone(ZoneInfo(zone))
    date = f"{local.day} {t(MONTHS[local.month - 1])}"
    return f"{date} {clock(start, zone)}" if grain in {"hour", "shift"} else date


def _local_midnight(date: str, zone: str) -> datetime | None:
    if not date:
        return None
    try:
        return datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError("The date is not one.", do="Write it like 2026-11-01.") from None


def _older(asked: dict[str, str], cursor: int | None) -> str | None:
    if cursor is None:
        return None
    return "?" + urlencode({**{k: v for k, v in asked.items() if v}, "before": cursor})
