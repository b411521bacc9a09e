"""Plans for beds, theatre lists and clinics as they went, and their KPIs counted from them naively.

A diary is what people wrote down, in their order: who asked for a bed and what came of it, which
operation was booked for when and who was in which theatre, who came to a clinic. Nothing here
shares anything with the SQL; figures are as in `courses`.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from courses import DAY, HOUR, Event, Figures, Question, midnight, summed

MINUTE = timedelta(minutes=1)
OPENS, CLOSES, CAP = time(8), time(17), 90 * MINUTE
BORN = {"P1": date(1950, 1, 1), "P2": date(2012, 6, 1), "P3": date(2008, 6, 2), "P0": None}
"""The patients of a diary, one of whom turns 18 on its days."""


class Plan(NamedTuple):
    """One statement about a bed that is wanted; the next one of its visit may replace it."""

    stated: datetime
    ended: datetime | None
    status: str
    unit: str
    bed: str | None


class Case(NamedTuple):
    """A patient in a theatre."""

    encounter: str
    patient: str
    room: str
    came: datetime
    left: datetime | None


class Booking(NamedTuple):
    """An appointment, in a theatre where it has a room, and the visit it became."""

    name: str
    patient: str
    room: str | None
    starts: datetime
    booked: datetime | None
    status: str
    cancelled: datetime | None = None
    visited: bool = False
    admitted: datetime | None = None
    arrived: datetime | None = None
    began: datetime | None = None
    """When the visit was in progress."""
    seen: datetime | None = None
    """By a provider."""


class Diary(NamedTuple):
    """What was written down, and what is asked of it."""

    zone: ZoneInfo
    start: datetime
    end: datetime
    as_of: datetime
    grain: str
    by: str
    plans: dict[str, tuple[Plan, ...]]
    cases: tuple[Case, ...]
    bookings: tuple[Booking, ...]

    period_of = Question.period_of

    @property
    def seen_to(self) -> datetime:
        return min(self.end, self.as_of)


# --- beds that are wanted --------------------------------------------------------------------


class Wish(NamedTuple):
    """Plans that replaced each other."""

    unit: str
    first: datetime
    asked: datetime
    given: datetime | None
    arrived: datetime | None
    cancelled: datetime | None
    named: datetime | None


def wishes(d: Diary) -> list[Wish]:
    found = []
    for plans in d.plans.values():
        chain: list[Plan] = []
        known = [plan for plan in plans if plan.stated < d.seen_to]
        for n, plan in enumerate(known):
            chain.append(plan)
            if plan.status != "replaced" or n == len(known) - 1:
                found.append(_wish(chain))
                chain = []
    return found


def _wish(chain: list[Plan]) -> Wish:
    first, last = chain[0].stated, chain[-1]
    asked = ([plan.stated for plan in chain if plan.bed is None] or [first])[-1]
    named = next((plan.stated for plan in chain if plan.bed and plan.stated >= asked), None)
    arrived = last.ended if last.status == "done" else None
    given = min((at for at in (named, arrived) if at is not None), default=None)
    cancelled = last.ended if last.status == "cancelled" else None
    return Wish(last.unit, first, asked, given, arrived, cancelled, named)


def req_to_assign(d: Diary) -> Figures:
    events: list[Event] = []
    for w in wishes(d):
        if w.cancelled is not None:
            events.append((w.cancelled, w.unit, "cancelled", (w.cancelled - w.asked) / MINUTE))
        elif w.given is not None:
            events.append((w.given, w.unit, None, (w.given - w.asked) / MINUTE))
            if w.first < w.asked:
                events.append((w.given, w.unit, "first_request", (w.given - w.first) / MINUTE))
    return summed(d, events)


def assign_to_occupied(d: Diary) -> Figures:
    events: list[Event] = []
    for w in wishes(d):
        if w.arrived is not None:
            waited = None if w.named is None else (w.arrived - w.named) / MINUTE
            events.append((w.arrived, w.unit, None, None if waited is None else max(0, waited)))
            if waited is not None and waited < 0:
                events.append((w.arrived, w.unit, "late_charting", 0))
    return summed(d, events)


def req_to_occupied(d: Diary) -> Figures:
    events: list[Event] = []
    for w in wishes(d):
        if w.arrived is not None:
            events.append((w.arrived, w.unit, None, (w.arrived - w.asked) / MINUTE))
            if w.first < w.asked:
                events.append((w.arrived, w.unit, "first_request", (w.arrived - w.first) / MINUTE))
    return summed(d, events)


# --- theatres --------------------------------------------------------------------------------


def local_day(d: Diary, at: datetime) -> date:
    return at.astimezone(d.zone).date()


def or_tot(d: Diary) -> Figures:
    events: list[Event] = []
    for case in d.cases:
        before = [
            other
            for other in d.cases
            if (other.room, local_day(d, other.came)) == (case.room, local_day(d, case.came))
            and (other.came, other.encounter) < (case.came, case.encounter)
        ]
        if before:
            left = max(before, key=lambda c: (c.came, c.encounter)).left
            if left is not None and timedelta(0) <= case.came - left <= CAP:
                events.append((case.came, "OR", None, (case.came - left) / MINUTE))
    return summed(d, events)


def or_raw(d: Diary) -> Figures:
    """Minute by minute: is the theatre open, and is somebody in it?"""
    found: Figures = {}
    day = midnight(d.start, d.zone)
    while day < d.end:
        after = midnight(day + 30 * HOUR, d.zone)
        seen = min(after, d.seen_to)
        opens, closes = (datetime.combine(day.date(), t, tzinfo=d.zone) for t in (OPENS, CLOSES))
        period = d.period_of(opens)
        if day.weekday() < 5 and period is not None and opens < seen:
            for room in {case.room for case in d.cases}:
                _open_day(d, found, period, room, opens, closes, seen)
        day = after
    return found


def _open_day(
    d: Diary,
    found: Figures,
    period: datetime,
    room: str,
    opens: datetime,
    closes: datetime,
    seen: datetime,
) -> None:
    cases = [c for c in d.cases if c.room == room and local_day(d, c.came) == opens.date()]
    open_for = (min(closes, seen) - opens) / MINUTE
    for stratum, first, last in ((None, opens, min(closes, seen)), ("over_run", closes, seen)):
        taken = sum(
            max(0.0, (min(c.left or last, last) - max(c.came, first)) / MINUTE) for c in cases
        )
        key = ("OR" if d.by == "unit" else None, stratum, period)
        above, below = found.get(key, (0, 0))
        found[key] = (above + taken, below + open_for)


def _listed(d: Diary) -> list[Booking]:
    """Operations that were on the list when their day began."""
    return [
        b
        for b in d.bookings
        if b.room is not None and (b.booked is None or b.booked < midnight(b.starts, d.zone))
    ]


def fcots(d: Diary) -> Figures:
    events: list[Event] = []
    for b in _listed(d):
        day = local_day(d, b.starts)
        earlier = [
            o
            for o in _listed(d)
            if (o.room, local_day(d, o.starts)) == (b.room, day)
            and (o.starts, o.name) < (b.starts, b.name)
        ]
        if not earlier and b.status != "cancelled":
            own = [
                c.came for c in d.cases if c.patient == b.patient and local_day(d, c.came) == day
            ]
            events.append((b.starts, "OR", None, min(own) <= b.starts if own else None))
    return summed(d, events)


def or_cancel(d: Diary) -> Figures:
    return summed(
        d,
        (
            (b.starts, "OR", None, b.status == "cancelled")
            for b in _listed(d)
            if b.cancelled is None or b.cancelled >= midnight(b.starts, d.zone)
        ),
    )


# --- clinics ---------------------------------------------------------------------------------


def _clinic(d: Diary) -> list[Booking]:
    return [b for b in d.bookings if b.room is None]


def lead_time(d: Diary) -> Figures:
    return summed(
        d,
        (
            (
                b.starts,
                "CL",
                None,
                None if b.booked is None else max(0, (b.starts - b.booked) / DAY),
            )
            for b in _clinic(d)
            if b.status != "cancelled"
        ),
    )


def noshow(d: Diary) -> Figures:
    events: list[Event] = []
    for b in _clinic(d):
        missed = {"noshow": True, "arrived": False, "fulfilled": False}.get(b.status)
        late = b.status == "cancelled" and b.cancelled is not None
        late = late and local_day(d, b.cancelled) == local_day(d, b.starts)
        events += [
            (b.starts, "CL", "of_all_booked", bool(missed)),
            (b.starts, "CL", "late_cancel", late),
        ]
        if b.status != "cancelled":
            events.append((b.starts, "CL", None, missed))
            if _is_child(BORN[b.patient], local_day(d, b.starts)):
                events.append((b.starts, "CL", "child", missed))
    return summed(d, events)


def _is_child(born: date | None, on: date) -> bool:
    return born is not None and on < born.replace(year=born.year + 18)


def op_wait(d: Diary) -> Figures:
    events: list[Event] = []
    for b in _clinic(d):
        came = b.arrived or b.admitted
        if b.status not in ("booked", "arrived", "fulfilled") or not b.visited or came is None:
            continue
        began = b.began if b.began is not None and b.began >= came else None
        seen = b.seen or began
        waited = None if seen is None else max(0, (seen - max(b.starts, came)) / MINUTE)
        events.append((b.starts, "CL", None, waited))
    return summed(d, events)


MEASURED: dict[str, tuple[str, Callable[[Diary], Figures]]] = {
    "req_to_assign": ("mean", req_to_assign),
    "assign_to_occupied": ("mean", assign_to_occupied),
    "req_to_occupied": ("mean", req_to_occupied),
    "or_tot": ("mean", or_tot),
    "or_raw": ("share", or_raw),
    "fcots": ("share", fcots),
    "or_cancel": ("share", or_cancel),
    "lead_time": ("mean", lead_time),
    "noshow": ("share", noshow),
    "op_wait": ("mean", op_wait),
}
"""By KPI the statistic that is counted, and how."""
