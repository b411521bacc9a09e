"""What a bed is to the KPIs: where it stands, when it was open and staffed, what is planned."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from twin_core.kpi.kept.course import Interval, united
from twin_core.kpi.kept.emergency import Unit
from twin_core.kpi.kept.records import LONG_AGO, Columns, Instant, since, until

CLOSED = frozenset({"C", "K"})
"""Bed statuses (HL7 table 0116) of beds that nobody can be put into: closed, contaminated."""
NOT_CLEAN = frozenset({"H", "K", "I"})


class BedStatus(NamedTuple):
    """A period of a bed; staffed is None where nobody said."""

    status: str
    staffed: bool | None
    from_at: Instant
    to_at: Instant


class Capacity(NamedTuple):
    """A period in which somebody said whether a bed is staffed, and whether it was to be had."""

    from_at: Instant
    to_at: Instant
    available: bool


class Bed(NamedTuple):
    """A bed that is known as one."""

    unit: Unit
    statuses: tuple[BedStatus, ...]
    reserved: tuple[Interval, ...]
    """When a plan named it for a patient."""
    capacity: tuple[Capacity, ...]


def bed_of(rows: Mapping[str, Iterable[Columns]]) -> Bed | None:
    """The bed that the rows of one location tell, by table; None for rooms and units."""
    found = next(iter(rows.get("location", ())), None)
    if found is None or found[1] != "bd":
        return None
    statuses = tuple(
        BedStatus(str(word or ""), staffed, since(start), until(end))  # type: ignore[arg-type]
        for _, word, staffed, start, end in rows.get("location_status", ())
    )
    plans = [
        (since(stated), until(ended))
        for _, kind, stated, ended in rows.get("encounter_plan", ())
        if kind in ("admission", "transfer") and stated is not None
    ]
    unit = (str(found[2] or ""), str(found[3] or ""))
    return Bed(unit, statuses, tuple(plans), capacity(statuses))


def capacity(statuses: Iterable[BedStatus]) -> tuple[Capacity, ...]:
    """As few periods as possible of a bed with known staffing (as `kpi_part.bed_statuses`)."""
    stated = [
        Capacity(s.from_at, s.to_at, s.staffed and s.status not in CLOSED)
        for s in statuses
        if s.staffed is not None and s.from_at < s.to_at
    ]
    found: list[Capacity] = []
    latest = LONG_AGO
    for one in sorted(stated):
        if found and one.available == found[-1].available and one.from_at <= latest:
            found[-1] = found[-1]._replace(to_at=max(found[-1].to_at, one.to_at))
        else:
            found.append(one)
        latest = one.to_at
    return tuple(found)


def staffing_known(beds: Iterable[Bed]) -> list[Interval]:
    """When the staffing of some of these beds was known."""
    return united([(c.from_at, c.to_at) for bed in beds for c in bed.capacity])
