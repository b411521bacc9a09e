"""The course of a visit: unbroken periods of one class and status (as `kpi_part.course`)."""

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from twin_core.kpi.kept.records import FOREVER, LONG_AGO, Instant, Visit

Interval = tuple[Instant, Instant]
"""A half-open period."""


class Piece(NamedTuple):
    """A period of a visit in one class and status."""

    from_at: Instant
    to_at: Instant
    class_: str | None
    status: str


def course(visit: Visit) -> list[Piece]:
    """The course from the beginning of time to its end.

    A period that ends without a successor leaves the status 'unknown'; a class holds until the next
    one; before its first class a visit has that class.
    """
    classes: dict[Instant, list[str]] = defaultdict(list)
    for began_at, began in visit.classes:
        classes[began_at].append(began)
    status: dict[Instant, str] = {s.to_at: "unknown" for s in visit.statuses if s.to_at < FOREVER}
    status |= {s.from_at: s.status for s in visit.statuses}
    changes = sorted({LONG_AGO, *classes, *status})
    code: str | None = max(classes[min(classes)]) if classes else visit.class_
    word, found = "unknown", []
    for at, until in pairwise((*changes, FOREVER)):
        code = max(classes[at]) if at in classes else code
        word = status.get(at, word)
        found.append(Piece(at, until, code, word))
    return found


def united(intervals: list[Interval]) -> list[Interval]:
    """Intervals that touch or overlap as one each, in order."""
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def overlaps(one: Interval, pieces: list[Interval]) -> list[Interval]:
    """What an interval has in common with each of some others."""
    cut = ((max(one[0], start), min(one[1], end)) for start, end in pieces)
    return [(start, end) for start, end in cut if start < end]
