"""Pages for who keeps an eye on the server: the ledger of accesses, and the settings in force."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.audit.verifying import Verification
from api.exporting import MEDIA_TYPES, csv_of
from api.routes.asked import AskedTwin
from api.routes.pages import common
from api.settings_shown import STARS, flattened
from api.web.reader import READER
from api.web.rendering import page
from twin_core.audit import Entry, Ledger, LedgerReader, Sought
from twin_core.errors import UsageError
from twin_core.kpi import hospital_zone

router = APIRouter(include_in_schema=False)

PAGE = 100
MOST_IN_CSV = 10_000
CSV_COLUMNS = (
    "seq",
    "at",
    "who",
    "kind",
    "act",
    "what",
    "outcome",
    "status",
    "why",
    "address",
    "patients",
    "beside",
)

Words = Annotated[str, Query(max_length=200)]
Day = Annotated[str, Query(pattern=r"^(\d{4}-\d\d-\d\d)?$")]
Below = Annotated[int | None, Query(ge=1)]


class Shown(NamedTuple):
    """An entry and the pseudonyms of the patients it touched."""

    entry: Entry
    patients: tuple[str, ...]


@router.get("/audit")
def audit(
    request: Request,
    twin: AskedTwin,
    who: Words = "",
    patient: Words = "",
    what: Words = "",
    since: Day = "",
    until: Day = "",
    outcome: Annotated[str, Query(pattern="^(success|refused|failed)?$")] = "",
    before: Below = None,
    form: Annotated[str, Query(alias="format", pattern="^(csv)?$")] = "",
) -> Response:
    """Who saw what, the latest first, and whether the ledger is what was written."""
    zone = hospital_zone(twin.query)
    sought = Sought(
        who.strip(),
        patient.strip(),
        what.strip(),
        since=_midnight(since, zone, days=0),
        until=_midnight(until, zone, days=1),
    )
    ledger: Ledger = request.app.state.ledger
    rows = MOST_IN_CSV if form == "csv" else PAGE + 1
    found = _found(ledger, sought, outcome, before, rows)
    if form == "csv":
        return _as_csv(found)
    verification: Verification = request.app.state.verification
    last = found[PAGE - 1].entry.seq if len(found) > PAGE else None
    return page(
        "audit.html",
        **common(twin),
        here="audit",
        asked={"who": who, "patient": patient, "what": what, "since": since, "until": until},
        outcome=outcome,
        shown=found[:PAGE],
        older=READER.get().link(before=str(last)) if last is not None else None,
        as_csv=READER.get().link(format="csv", before=""),
        verified=verification.state(),
        verifying=verification.is_running(),
    )


@router.post("/audit/verify")
def verify(request: Request) -> Response:
    """Verify the ledger once more, then show it again."""
    verification: Verification = request.app.state.verification
    verification.state(again=True)
    return RedirectResponse("/audit", status_code=303)


@router.get("/settings")
def settings(request: Request, twin: AskedTwin) -> Response:
    """Every setting in force with where it came from; nothing can be changed here."""
    rows = list(flattened(twin.settings, request.app.state.origins))
    sections: dict[str, list[tuple[str, str, str]]] = {}
    for key, value, origin in rows:
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append((name, _as_text(value), origin))
    return page("settings.html", **common(twin), here="settings", sections=sections, stars=STARS)


def _found(
    ledger: Ledger, sought: Sought, outcome: str, before: int | None, rows: int
) -> list[Shown]:
    reader = LedgerReader(ledger.path, ledger.key)
    try:
        entries = _chosen(reader.sought(sought, ledger.keys), outcome, before)
        return [
            Shown(entry, reader.patients(entry))
            for entry, _ in zip(entries, range(rows), strict=False)
        ]
    finally:
        reader.close()


def _chosen(entries: Iterator[Entry], outcome: str, before: int | None) -> Iterator[Entry]:
    for entry in entries:
        if (not outcome or entry.outcome == outcome) and (before is None or entry.seq < before):
            yield entry


def _as_csv(found: list[Shown]) -> Response:
    rows = (
        (
            shown.entry.seq,
            shown.entry.at,
            shown.entry.who.name or shown.entry.who.id,
            shown.entry.who.kind,
            shown.entry.act,
            shown.entry.what,
            shown.entry.outcome,
            shown.entry.status,
            shown.entry.why,
            shown.entry.address,
            " ".join(shown.patients),
            shown.entry.beside,
        )
        for shown in found
    )
    headers = {
        "Content-Disposition": 'attachment; filename="accesses.csv"',
        "Cache-Control": "no-store",
    }
    return Response(csv_of(CSV_COLUMNS, rows), media_type=MEDIA_TYPES["csv"], headers=headers)


def _midnight(day: str, zone: ZoneInfo, *, days: int) -> datetime | None:
    """The midnight of the hospital that begins a day, or one so many days later."""
    if not day:
        return None
    try:
        chosen = date.fromisoformat(day) + timedelta(days=days)
        return datetime.combine(chosen, time(), zone)
    except (ValueError, OverflowError):
        raise UsageError("The date is not one.", do="Write it like 2026-11-01.") from None


def _as_text(value: object) -> str:
    match value:
        case None | "" | [] | {}:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
