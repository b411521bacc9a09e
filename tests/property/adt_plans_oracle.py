"""What a careful reader makes of plans and tracking: one question at a time to the record.

Like `adt_oracle`, written from the rules and not from the twin.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from adt_oracle import BEDDED, OPENING, PLANNING, Found, Message, Record, _agree, record_of

from twin_core.events import (
    AdmissionPending,
    Admitted,
    Arrived,
    ClassChanged,
    Departed,
    Discharged,
    DischargePending,
    EncounterEvent,
    LeaveEnded,
    LeaveStarted,
    TransferPending,
    Transferred,
)
from twin_core.identifiers import NOWHERE, Place

HERE = {"arrived", "in-progress", "onleave"}
PLACING = (*OPENING, Transferred, ClassChanged, Found)


class Plan(NamedTuple):
    """A plan and what became of it; `ended_at` is left out where the end of all things ended it."""

    kind: str
    stated_at: datetime
    place: Place
    status: str
    ended_at: datetime | None


class Track(NamedTuple):
    """Where a patient was tracked."""

    status: str
    temporary: bool
    place: Place
    from_at: datetime
    to_at: datetime | None


def plans(messages: Iterable[Message]) -> list[Plan]:
    """Every plan of one encounter."""
    record = record_of(messages)
    if record is None:
        return []
    standing = [n for n in range(len(record.lines)) if _kind(record.lines[n]) and record.counts(n)]
    told = [_fate(record, n, standing) for n in standing]
    for target, cancel in record.undone.items():
        event, at = record.whole[target], record.whole[cancel].occurred_at
        if _kind(event):
            ended_at = max(at, event.occurred_at)
            told.append(Plan(_kind(event), event.occurred_at, _to(event), "cancelled", ended_at))
    return sorted(told, key=repr)


def _fate(record: Record, n: int, standing: list[int]) -> Plan:
    line = record.lines[n]
    later = range(n + 1, len(record.lines))
    fates = [(at, 0, "done") for at in _happened(record, n)]
    same = [m for m in later if m in standing and _kind(record.lines[m]) == _kind(line)]
    fates += [(record.lines[m].occurred_at, 1, "replaced") for m in same]
    gone = [m for m in later if isinstance(record.lines[m], Discharged) and record.counts(m)]
    fates += [(record.lines[m].occurred_at, 2, "lapsed") for m in gone]
    at, _, status = min(fates, default=(None, 0, "active"))
    if status in {"active", "replaced"} and _over_before(record, line.occurred_at, at):
        at, status = None, "lapsed"
    return Plan(
        _kind(line), line.occurred_at, _to(line), status, None if status == "lapsed" else at
    )


def _over_before(record: Record, planned_at: datetime, at: datetime | None) -> bool:
    """Whether all was over for good, and no later than a plan had another fate."""
    last = len(record.lines) - 1
    final = record.status(last)
    if final not in {"finished", "cancelled"}:
        return False
    since = last
    while since and record.status(since - 1) == final:
        since -= 1
    over_at = max(record.lines[since].occurred_at, planned_at)
    return at is None or over_at < at


def _happened(record: Record, n: int) -> Iterator[datetime]:
    """Whenever, from line n on, what it plans came about."""
    line = record.lines[n]
    at = line.occurred_at
    before = max((m for m in range(len(record.lines)) if _at(record, m) < at), default=-1)
    was_here = before >= 0 and record.status(before) in HERE
    if isinstance(line, PLANNING) and not was_here:
        for m in range(len(record.lines)):
            if _at(record, m) >= at and record.status(m) in HERE:
                yield _at(record, m)
        return
    unit = _unit(record.where(before)) if before >= 0 else None
    for m in range(n + 1, len(record.lines)):
        reported = record.lines[m] is not record.implied
        if reported and record.counts(m) and _brings_about(record.lines[m], line, unit):
            yield _at(record, m)


def _brings_about(event: EncounterEvent, plan: EncounterEvent, unit: object) -> bool:
    wanted = _to(plan)
    arrives = _unit(event.place) == _unit(wanted) if wanted.unit else _unit(event.place) != unit
    arrives = arrives and bool(event.place.unit)
    if isinstance(plan, PLANNING):
        bedded = isinstance(event, ClassChanged) and event.visit.class_ in BEDDED
        moved = isinstance(event, Transferred) and arrives
        return bedded or moved or isinstance(event, Admitted)
    if isinstance(plan, TransferPending):
        return isinstance(event, PLACING) and arrives
    return isinstance(event, Discharged if isinstance(plan, DischargePending) else LeaveEnded)


def _kind(event: EncounterEvent) -> str:
    if isinstance(event, LeaveStarted):
        return "return" if event.expected_return_at else ""
    kinds = {TransferPending: "transfer", DischargePending: "discharge"}
    kinds |= dict.fromkeys(PLANNING, "admission")
    return kinds.get(type(event), "")


def _to(event: EncounterEvent) -> Place:
    if isinstance(event, TransferPending):
        return event.destination
    return event.place if isinstance(event, PLANNING) else NOWHERE


def _unit(place: Place) -> tuple[str, str] | None:
    return (place.facility, place.unit) if place else None


def _at(record: Record, n: int) -> datetime:
    return record.lines[n].occurred_at


def milestones(messages: Iterable[Message]) -> list[tuple[str, datetime]]:
    """What was reached by plans that stand."""
    record = record_of(messages)
    reached = set()
    for event in record.said if record else ():
        at = event.occurred_at
        if isinstance(event, AdmissionPending):
            reached |= {("decision_to_admit", at), ("bed_requested", at)}
        elif isinstance(event, TransferPending):
            reached.add(("bed_requested", at))
        elif isinstance(event, DischargePending):
            reached.add(("discharge_planned", at))
        if isinstance(event, AdmissionPending | TransferPending) and _to(event).bed:
            reached.add(("bed_assigned", at))
    return sorted(reached)


# --- tracking ----------------------------------------------------------------------------------


def tracks(messages: Iterable[Message]) -> list[Track]:
    """Where the patient was tracked, by asking after every instant of the record."""
    record = record_of(messages)
    if record is None or record.status(len(record.lines) - 1) in {"planned", "cancelled"}:
        return []
    instants = sorted({line.occurred_at for line in record.lines})
    told = []
    for at in instants:
        n = _tracked_by(record, at)
        if n is not None and _at(record, n) == at:
            ends = (later for later in instants if later > at and _tracked_by(record, later) != n)
            event = record.lines[n]
            status = "arrived" if isinstance(event, Arrived) else "departed"
            place = event.destination
            told.append(Track(status, event.temporary, place, at, next(ends, None)))
    return told


def _tracked_by(record: Record, at: datetime) -> int | None:
    """The line that says where the patient is tracked after an instant; None where none does."""
    for n in range(len(record.lines) - 1, -1, -1):
        line = record.lines[n]
        if line.occurred_at > at or not record.counts(n):
            continue
        if isinstance(line, Departed | Arrived):
            return None if not line.destination or _is_home(record, line) else n
        placed = isinstance(line, PLACING) and line.place and line is not record.implied
        if placed or isinstance(line, Discharged | LeaveStarted):
            return None
    return None


def _is_home(record: Record, line: EncounterEvent) -> bool:
    if not isinstance(line, Arrived) or line.temporary:
        return False
    last = max(n for n in range(len(record.lines)) if _at(record, n) <= line.occurred_at)
    return _agree(line.destination, record.where(last))
