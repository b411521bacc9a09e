"""What one visit adds to the state of a hospital at an instant, from its rows alone.

The rules are those of `twin_core.state.questions`, which asks them of every visit at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from twin_core.state.words import Rows
from twin_core.store.tables import BY_NAME

Columns = tuple[object, ...]
Kept = Mapping[str, list[Columns]]
"""The rows of a visit, by table."""
PRESENT = frozenset({"arrived", "triaged", "in-progress"})
AHEAD = timedelta(hours=24)
_TICK = timedelta(microseconds=1)
_EARLIEST, _LATEST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
"""Some systems send the first or the last date that there is for one that they do not know."""
_NAMES = {name: tuple(c.name for c in entity.columns) for name, entity in BY_NAME.items()}


class Share(NamedTuple):
    """What a visit adds: rows as the questions give them, its row of the ED's if it has one."""

    stays: Rows
    plans: Rows
    away: Rows
    emergency: dict[str, Any] | None
    until: datetime | None
    """When something of this changes by itself; None where it does not."""


def share(kept: Kept, at: datetime) -> Share:
    """What the rows of one visit say of an instant."""
    rows = {name: named(name, found) for name, found in kept.items()}
    visit = next(iter(rows.get("encounter", ())), None)
    return Share(
        _stays(rows, visit, at),
        _plans(rows, visit, at) if visit is not None else [],
        sorted(_in_force(rows.get("encounter_tracking", ()), at), key=tracking_order),
        _emergency(rows, visit, at) if visit is not None else None,
        min((edge for edge in _edges(rows) if edge > at), default=None),
    )


def named(table: str, rows: Iterable[Columns]) -> Rows:
    """Rows of a table by the names of its columns, instants in UTC as the store gives them."""
    return [dict(zip(_NAMES[table], map(_in_utc, row), strict=True)) for row in rows]


def stay_order(stay: Mapping[str, Any]) -> tuple[datetime, str]:
    """Who came first comes first."""
    return stay["from_at"], stay["stay_id"]


def plan_order(plan: Mapping[str, Any]) -> tuple[datetime, str]:
    """What is expected next comes first."""
    return plan["expected_at"] or plan["stated_at"], plan["plan_id"]


def tracking_order(row: Mapping[str, Any]) -> tuple[datetime, str]:
    """Where somebody was sent last comes last, and counts."""
    return row["from_at"], row["status"] or ""


def holds(row: Mapping[str, Any], at: datetime) -> bool:
    """Whether a half-open period holds at an instant; one without a start never does."""
    begun, ended = row["from_at"], row["to_at"]
    return begun is not None and begun <= at and (ended is None or ended > at)


def _in_force(rows: Iterable[dict[str, Any]], at: datetime) -> Iterator[dict[str, Any]]:
    return (row for row in rows if holds(row, at))


def _stays(rows: Mapping[str, Rows], visit: Mapping[str, Any] | None, at: datetime) -> Rows:
    here = sorted(_in_force(rows.get("stay", ()), at), key=stay_order)
    if not here:
        return []
    classes = _in_force(rows.get("encounter_class", ()), at)
    class_ = _latest(classes, "class") or (visit["class"] if visit else None)
    statuses = _in_force(rows.get("encounter_status", ()), at)
    on_leave = any(row["status"] == "onleave" for row in statuses)
    service = visit["service"] if visit else None
    return [{**stay, "class": class_, "service": service, "on_leave": on_leave} for stay in here]


def _plans(rows: Mapping[str, Rows], visit: Mapping[str, Any], at: datetime) -> Rows:
    found = [
        {**plan, "patient_id": visit["patient_id"], "class": visit["class"]}
        for plan in rows.get("encounter_plan", ())
        if plan["stated_at"] is not None
        and plan["stated_at"] <= at
        and (plan["ended_at"] is None or plan["ended_at"] > at)
        and abs(plan_order(plan)[0] - at) <= AHEAD
    ]
    return sorted(found, key=plan_order)


def _emergency(
    rows: Mapping[str, Rows], visit: Mapping[str, Any], at: datetime
) -> dict[str, Any] | None:
    statuses = [row for row in rows.get("encounter_status", ()) if row["status"] in PRESENT]
    status = _latest(_in_force(statuses, at), "status")
    if status is None:
        return None
    begun = [row for row in rows.get("encounter_class", ()) if _begun(row["from_at"], at)]
    last = _latest(begun, "class")
    boards = last not in (None, "EMER") and _boards(rows, begun, at)
    if (last or visit["class"]) != "EMER" and not boards:
        return None
    reached = [row for row in rows.get("encounter_milestone", ()) if _begun(row["at"], at)]
    decided_at = _first(reached, "decision_to_admit") or _first(reached, "bed_requested")
    class_from = max(row["from_at"] for row in begun) if boards else None
    return {
        "encounter_id": visit["encounter_id"],
        "patient_id": visit["patient_id"],
        "facility": visit["facility"],
        "status": status,
        "class": last or visit["class"],
        "arrived_at": visit["admitted_at"],
        "triaged_at": _first(reached, "triaged"),
        "seen_at": _first(reached, "seen_by_provider"),
        "boards_from": min((t for t in (decided_at, class_from) if t is not None), default=None),
    }


def _boards(rows: Mapping[str, Rows], begun: Rows, at: datetime) -> bool:
    """Whether an inpatient is still in the unit where the visit was an emergency."""
    ends = [row["to_at"] for row in begun if row["class"] == "EMER" and row["to_at"] is not None]
    if not ends:
        return False
    before = {
        (stay["facility"], stay["unit"])
        for stay in rows.get("stay", ())
        if stay["unit"] is not None and _begun(stay["from_at"], max(ends) - _TICK)
    }
    here = _in_force(rows.get("stay", ()), at)
    return any((stay["facility"], stay["unit"]) in before for stay in here)


def _edges(rows: Mapping[str, Rows]) -> Iterator[datetime]:
    for name in ("stay", "encounter_class", "encounter_status", "encounter_tracking"):
        for row in rows.get(name, ()):
            yield from (edge for edge in (row["from_at"], row["to_at"]) if edge is not None)
    yield from (r["at"] for r in rows.get("encounter_milestone", ()) if r["at"] is not None)
    for plan in rows.get("encounter_plan", ()):
        yield from (plan[name] for name in ("stated_at", "ended_at") if plan[name] is not None)
        expected = plan["expected_at"] or plan["stated_at"]
        if expected is not None and _EARLIEST < expected < _LATEST:
            yield expected - AHEAD
            # Seen up to this very instant, and no longer.
            yield expected + AHEAD + _TICK


def _latest(rows: Iterable[Mapping[str, Any]], word: str) -> str | None:
    """The word of the row that began last, as SQL's max_by."""
    known = [row for row in rows if row[word] is not None and row["from_at"] is not None]
    return max(known, key=lambda row: row["from_at"])[word] if known else None


def _first(rows: Iterable[Mapping[str, Any]], kind: str) -> datetime | None:
    return min((row["at"] for row in rows if row["kind"] == kind), default=None)


def _begun(start: datetime | None, at: datetime) -> bool:
    return start is not None and start <= at


def _in_utc(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
