"""Visits as they went, and the figures of emergency and discharge KPIs counted from them naively.

A course is the raw events of one visit in a person's order: arrival, marks, leaving the ED, the
ward, the discharge. Nothing here shares anything with the SQL; a figure is (numerator, denominator)
under (unit or None, stratum, start of the period), and groups to which nothing happened have none.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

Figures = dict[tuple[str | None, str | None, datetime], tuple[float, float]]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BORN = {"P0": date(2008, 6, 1), "P1": date(2008, 11, 2), "P2": date(1950, 1, 1)}
"""The patients whose birth date is known; two of them turn 18 on a day that is asked about."""


class Course(NamedTuple):
    """One visit; instants that did not come are None."""

    name: str
    patient: str
    arrived: datetime | None
    """In the emergency department; None for who came to a ward directly."""
    left_ed: datetime | None
    admitted: datetime | None
    """When the visit became an inpatient one."""
    ward: str | None
    discharged: datetime | None
    disposition: str | None = None
    triaged: datetime | None = None
    seen: datetime | None = None
    decided: datetime | None = None
    redecided: datetime | None = None
    """A second decision to admit, after the first."""
    requested: datetime | None = None
    """A bed, where a decision was recorded too."""
    ambulance: datetime | None = None
    handover: datetime | None = None
    ready: datetime | None = None
    roomed: datetime | None = None
    """In a treatment room of the ED."""
    service: str | None = None
    planned: bool = False
    """The admission was planned before."""

    def known(self, as_of: datetime) -> "Course":
        """The course as far as it has come at an instant."""
        return self._make(
            None if isinstance(cell, datetime) and cell > as_of else cell for cell in self
        )


class Question(NamedTuple):
    """Who came when, and what is asked of it."""

    zone: ZoneInfo
    start: datetime
    end: datetime
    as_of: datetime
    grain: str
    by: str
    courses: tuple[Course, ...]

    def period_of(self, at: datetime) -> datetime | None:
        """The start of the period that an instant belongs to."""
        if not self.start <= at < min(self.end, self.as_of):
            return None
        return max(self.start, midnight(at, self.zone)) if self.grain == "day" else self.start

    def snapshots(self) -> list[tuple[datetime, datetime]]:
        """Each period with the last instant of it that is known."""
        found, start = [], self.start
        while start < min(self.end, self.as_of):
            after = midnight(midnight(start, self.zone) + 30 * HOUR, self.zone)
            end = min(after, self.end) if self.grain == "day" else self.end
            found.append((start, min(end, self.as_of)))
            start = end
        return found

    def visits(self) -> list[Course]:
        """Those who came to the ED before the window had passed, and had not left it long ago."""
        return [c for c in self.courses if c.arrived is not None]


def midnight(at: datetime, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone)
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def inpatient_at(q: Question, c: Course) -> datetime | None:
    """When a patient of the ED became an inpatient, in this visit or in one within an hour."""
    if c.admitted is not None:
        return c.admitted
    departed = c.left_ed
    others = [
        o.admitted
        for o in q.courses
        if o.name != c.name
        and o.patient == c.patient
        and o.admitted is not None
        and departed is not None
        and c.arrived <= o.admitted <= departed + HOUR
    ]
    return min(others, default=None)


def outcome(q: Question, c: Course) -> str:
    if inpatient_at(q, c) is not None:
        return "admitted"
    if c.left_ed is None:
        return "open"
    words = {"20": "died", "02": "transferred", "LWBS": "left_unseen", "07": "against_advice"}
    return words.get(c.disposition or "", "discharged")


Event = tuple[datetime | None, str | None, str | None, float | bool | None]
"""When it happened, where, its stratum, and what it counts (None: not known)."""


def summed(q: Question, events: Iterable[Event]) -> Figures:
    found: Figures = {}
    for at, unit, stratum, counts in events:
        period = None if at is None else q.period_of(at)
        if period is None or counts is None:
            continue
        key = (unit if q.by == "unit" else None, stratum, period)
        above, below = found.get(key, (0, 0))
        found[key] = (above + counts, below + 1)
    return found


def minutes(first: datetime | None, last: datetime | None) -> float | None:
    if first is None or last is None:
        return None
    return max(0.0, (last - first) / timedelta(minutes=1))


def d2p(q: Question) -> Figures:
    seen = [c for c in q.visits() if outcome(q, c) != "left_unseen" and (c.seen or c.left_ed)]
    early = [(c.arrived, "ED", "before_arrival", 0) for c in seen if c.seen and c.seen < c.arrived]
    return summed(q, [*((c.arrived, "ED", None, minutes(c.arrived, c.seen)) for c in seen), *early])


def triage_time(q: Question) -> Figures:
    return summed(q, ((c.arrived, "ED", None, minutes(c.arrived, c.triaged)) for c in q.visits()))


def op18(q: Question) -> Figures:
    ended = {"discharged": None, "against_advice": None, "transferred": "transferred"}
    return summed(
        q,
        (
            (
                c.left_ed,
                "ED",
                ended[outcome(q, c)] or psychiatric(c),
                minutes(c.arrived, c.left_ed),
            )
            for c in q.visits()
            if outcome(q, c) in ended
        ),
    )


def op22(q: Question) -> Figures:
    return summed(
        q,
        (
            (c.left_ed, "ED", stratum, outcome(q, c) == word)
            for c in q.visits()
            for stratum, word in ((None, "left_unseen"), ("against_advice", "against_advice"))
        ),
    )


def nhs4h(q: Question) -> Figures:
    events: list[Event] = []
    for c in q.visits():
        if c.left_ed is not None:
            within = c.left_ed - c.arrived <= 4 * HOUR
            kind = "admitted" if outcome(q, c) == "admitted" else "not_admitted"
            events += [(c.left_ed, "ED", None, within), (c.left_ed, "ED", kind, within)]
        elif q.as_of - c.arrived > 4 * HOUR:
            events.append((c.arrived + 4 * HOUR, "ED", None, False))
    return summed(q, events)


def arr12(q: Question) -> Figures:
    events: list[Event] = []
    for c in q.visits():
        if c.left_ed is not None:
            events.append((c.left_ed, "ED", None, c.left_ed - c.arrived > 12 * HOUR))
        elif q.as_of - c.arrived > 12 * HOUR:
            events += [(c.arrived + 12 * HOUR, "ED", kind, True) for kind in (None, "open")]
    return summed(q, events)


def _admitted(q: Question) -> list[Course]:
    return [c for c in q.visits() if outcome(q, c) == "admitted" and c.left_ed is not None]


def dta12(q: Question) -> Figures:
    events: list[Event] = []
    for c in _admitted(q):
        waited = None if c.decided is None else c.left_ed - c.decided
        for kind, least, most in ((None, 12 * HOUR, 400 * DAY), ("4_to_12", 4 * HOUR, 12 * HOUR)):
            counts = None if waited is None else least < waited <= most
            events.append((c.left_ed, "ED", kind, counts))
    return summed(q, events)


def psychiatric(c: Course) -> str | None:
    return "psychiatric" if c.service == "PSY" else None


def boarding(q: Question) -> Figures:
    return summed(
        q,
        ((c.left_ed, "ED", psychiatric(c), minutes(c.decided, c.left_ed)) for c in _admitted(q)),
    )


def ed1(q: Question) -> Figures:
    return summed(
        q,
        ((c.left_ed, "ED", psychiatric(c), minutes(c.arrived, c.left_ed)) for c in _admitted(q)),
    )


def ed_boarders(q: Question) -> Figures:
    found: Figures = {}
    for period, at in q.snapshots():
        here = [c for c in q.visits() if c.arrived < at and (c.left_ed is None or at <= c.left_ed)]
        if here:
            waiting = sum(
                any(since is not None and since < at for since in (c.decided, inpatient_at(q, c)))
                and _waits_before(c.left_ed, c.arrived, c.decided, inpatient_at(q, c))
                for c in here
            )
            found["ED" if q.by == "unit" else None, None, period] = (waiting, len(here))
    return found


def _waits_before(left: datetime | None, arrived: datetime, *since: datetime | None) -> bool:
    """Whether a decision or an admission came before the departure."""
    first = min(at for at in since if at is not None)
    return left is None or max(first, arrived) < left


def ecat(q: Question) -> Figures:
    events: list[Event] = []
    for c in q.visits():
        if c.left_ed is None:
            continue
        # The last decision and the last request of the visit, each by itself.
        there = [
            [at for at in kind if at is not None and c.arrived <= at <= c.left_ed]
            for kind in ((c.decided, c.redecided), (c.requested,))
        ]
        since = [max(kind) for kind in there if kind]
        since += [at for at in (inpatient_at(q, c),) if at is not None]
        to_go = outcome(q, c) in ("admitted", "transferred") and bool(since)
        failures = {
            "over_60_to_room": c.roomed is not None and c.roomed - c.arrived > HOUR,
            "left_unseen": outcome(q, c) == "left_unseen",
            "boarded_over_240": to_go and c.left_ed - min(since) > 4 * HOUR,
            "over_480_in_ed": c.left_ed - c.arrived > 8 * HOUR,
        }
        failed = any(failures.values())
        born = BORN.get(c.patient)
        strata = {None: failed, **failures}
        if born is not None:
            day = c.arrived.astimezone(q.zone).date()
            grown = day >= born.replace(year=born.year + 18)
            kind = "_mental_health" if c.service == "PSY" else ""
            strata[("adult" if grown else "child") + kind] = failed
        events += [(c.left_ed, "ED", stratum, counts) for stratum, counts in strata.items()]
    return summed(q, events)


def amb_offload(q: Question) -> Figures:
    return summed(
        q, ((c.ambulance, "ED", None, minutes(c.ambulance, c.handover)) for c in q.visits())
    )


def _discharged(q: Question) -> list[tuple[Course, str]]:
    """Inpatients who left, each with the unit of the last stay."""
    return [
        (c, c.ward or "ED")
        for c in q.courses
        if c.admitted is not None and c.discharged is not None
    ]


def dbn(q: Question) -> Figures:
    return summed(
        q,
        (
            (c.discharged, unit, None, c.discharged.astimezone(q.zone).hour < 12)
            for c, unit in _discharged(q)
            if c.disposition != "20" and c.discharged - c.admitted >= DAY
        ),
    )


def drd_delay(q: Question) -> Figures:
    events: list[Event] = []
    for c, unit in _discharged(q):
        days = [
            None if at is None else at.astimezone(q.zone).date()
            for at in (c.admitted, c.ready, c.discharged)
        ]
        if c.disposition == "20" or days[0] == days[2]:
            continue
        late = None if days[1] is None else max(0, (days[2] - days[1]).days)
        events.append((c.discharged, unit, None, late))
    return summed(q, events)


def readm30(q: Question) -> Figures:
    events: list[Event] = []
    for c, unit in _discharged(q):
        if c.disposition in ("20", "02", "07"):
            continue
        back = any(
            o.admitted is not None and c.discharged < o.admitted <= c.discharged + 30 * DAY
            for o in q.courses
            if o.patient == c.patient and o.name != c.name and not o.planned
        )
        kind = "provisional" if c.discharged + 30 * DAY > q.as_of else None
        events.append((c.discharged, unit, kind, back))
    return summed(q, events)


MEASURED: dict[str, tuple[str, Callable[[Question], Figures]]] = {
    "d2p": ("mean", d2p),
    "triage_time": ("mean", triage_time),
    "op18": ("mean", op18),
    "op22": ("share", op22),
    "nhs4h": ("share", nhs4h),
    "arr12": ("share", arr12),
    "dta12": ("share", dta12),
    "boarding": ("mean", boarding),
    "ed1": ("mean", ed1),
    "ed_boarders": ("share", ed_boarders),
    "ecat": ("share", ecat),
    "amb_offload": ("mean", amb_offload),
    "dbn": ("share", dbn),
    "drd_delay": ("mean", drd_delay),
    "readm30": ("share", readm30),
}
"""By KPI the statistic that is counted, and how."""
