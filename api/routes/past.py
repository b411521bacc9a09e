"""The hospital at any instant, as a page: as of then, as known then, and two instants compared."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from api.board import ed_rows, now_cards, unit_key, unit_tile
from api.routes.asked import AskedReach, AskedTwin, Instant
from api.web.rendering import page
from twin_core.errors import UsageError
from twin_core.kpi import hospital_zone
from twin_core.state import HospitalState, UnitState, narrowed
from twin_core.twin import Twin

router = APIRouter(include_in_schema=False)

FIRST = "SELECT min(from_at) AS at FROM twin.stay"
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)

Moment = Annotated[str, Query(max_length=40)]


class UnitChange(NamedTuple):
    """A unit at two instants: patients and beds in use then and at the other."""

    key: str
    unit: str
    then: UnitState | None
    other: UnitState | None
    came: int
    """Encounters that are in the unit at the other instant and were not then."""
    went: int


@router.get("/past")
def past(
    twin: AskedTwin,
    reach: AskedReach,
    at: Moment = "",
    known_at: Moment = "",
    against: Moment = "",
) -> Response:
    """Every unit and the ED at an instant, with a slider over all history."""
    zone = hospital_zone(twin.query).key
    now = twin.clock.now()
    when, known = _moment(at, zone) or now, _moment(known_at, zone)
    state = narrowed(twin.state(when, known), reach.reaches)
    other = narrowed(twin.state(_moment(against, zone), known), reach.reaches) if against else None
    return page(
        "past.html",
        now=now,
        zone=zone,
        demo=twin.is_demo(),
        here="past",
        state=state,
        first=_first(twin, now),
        units=[unit_tile(unit) for unit in state.units],
        ed=ed_rows(state),
        cards=now_cards(state),
        other=other,
        changes=[] if other is None else unit_changes(state, other),
        link=_link,
        local=lambda instant: _local(instant, zone),
    )


def unit_changes(then: HospitalState, other: HospitalState) -> list[UnitChange]:
    """What differs between two instants, unit by unit, in the order of the board."""
    before = {unit_key(unit.facility, unit.unit): unit for unit in then.units}
    after = {unit_key(unit.facility, unit.unit): unit for unit in other.units}
    return [
        _change(key, before.get(key), after.get(key)) for key in dict.fromkeys([*before, *after])
    ]


def _change(key: str, then: UnitState | None, other: UnitState | None) -> UnitChange:
    here, there = _encounters(then), _encounters(other)
    shown = then or other
    name = shown.unit if shown is not None else ""
    return UnitChange(key, name, then, other, len(there - here), len(here - there))


def _encounters(unit: UnitState | None) -> set[str]:
    if unit is None:
        return set()
    placed = [patient for bed in unit.beds for patient in bed.occupants]
    return {patient.encounter_id for patient in [*placed, *unit.without_bed]}


def _first(twin: Twin, now: datetime) -> datetime:
    """Where history begins: with the first stay that is known, else a day ago."""
    [row] = twin.query(FIRST)
    first: Any = row["at"]
    return now - timedelta(days=1) if first is None else min(now, first).astimezone(UTC)


def _moment(text: str, zone: str) -> datetime | None:
    """An instant with its offset, or a time of the hospital without one.

    Raises UsageError for any other text.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        local = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
        return _INSTANT.validate_python(local)
    except (ValueError, OverflowError, ValidationError):
        raise UsageError(
            "The time is not one.", do="Write it like 2026-11-01T14:30 (hospital time)."
        ) from None


def _local(instant: datetime | None, zone: str) -> str:
    """An instant as a form's field wants it, in the hospital's time."""
    return "" if instant is None else f"{instant.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M}"


def _link(path: str, moments: Mapping[str, datetime | None]) -> str:
    """An address that shows the same instants."""
    asked = {name: at.isoformat() for name, at in moments.items() if at is not None}
    return f"{path}?{urlencode(asked)}" if asked else path
