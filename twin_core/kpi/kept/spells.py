"""What an inpatient spell, and a patient's time in units, is to the KPIs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from twin_core.kpi.kept.course import Interval, Piece, united
from twin_core.kpi.kept.records import (
    FOREVER,
    HOUR_US,
    INPATIENT,
    VOID,
    Instant,
    Stay,
    Visit,
    first_known,
    moment,
)

UTC = ZoneInfo("UTC")
DAY_US = 24 * HOUR_US


class Spell(NamedTuple):
    """An inpatient's discharge; days is None where the spell has no known start before it."""

    discharged_at: Instant
    days: float | None


class Lying(NamedTuple):
    """An inpatient's time at one place; began_at: the spell's start, None where unknown."""

    from_at: Instant
    to_at: Instant
    began_at: Instant | None


def spell(visit: Visit, whole: Visit | None, zones: Mapping[str, ZoneInfo]) -> Spell | None:
    """The spell that a discharge ended, as `alos` counts it; None for what is none.

    `whole` is what the visit is part of. Discharged on the local day of admission is a day case.
    """
    is_part = whole is not None and whole.class_ in INPATIENT
    if visit.discharged_at is None or visit.status in VOID or is_part:
        return None
    if visit.class_ not in INPATIENT:
        return None
    begun = first_known(visit.began(INPATIENT), visit.admitted_at)
    if begun is None:
        return Spell(visit.discharged_at, None)
    zone = zones.get(_left_from(visit), UTC)
    days = [moment(at).astimezone(zone).date() for at in (begun, visit.discharged_at)]
    if days[0] == days[1]:
        return None
    timed = begun <= visit.discharged_at
    return Spell(visit.discharged_at, (visit.discharged_at - begun) / DAY_US if timed else None)


def lying(visit: Visit, pieces: Sequence[Piece]) -> list[Lying]:
    """Where and when a visit lay as an inpatient, as `los_elapsed_long` counts it."""
    if not any(code in INPATIENT for _, code in visit.classes):
        return []
    begun = visit.began(INPATIENT)
    return [
        Lying(max(stay.from_at, piece.from_at), min(stay.to_at, piece.to_at), begun)
        for stay in visit.stays
        for piece in pieces
        if stay.lasted
        and piece.class_ in INPATIENT
        and piece.from_at < stay.to_at
        and piece.to_at > stay.from_at
    ]


def presences(stays: Iterable[Stay]) -> list[Interval]:
    """A patient's uninterrupted times in units, over all their visits, as `kpi_part.presences`."""
    by_unit: dict[tuple[str, str], list[Interval]] = defaultdict(list)
    for stay in stays:
        if stay.lasted:
            by_unit[stay.facility, stay.unit or ""].append((stay.from_at, stay.to_at))
    return [one for intervals in by_unit.values() for one in united(intervals)]


def in_bed(visit: Visit, bed_key: str, pieces: Sequence[Piece]) -> list[Interval]:
    """When a visit's patient lay in a bed: not while on leave."""
    return [
        (max(stay.from_at, piece.from_at), min(stay.to_at, piece.to_at))
        for stay in visit.stays
        for piece in pieces
        if stay.bed_key == bed_key
        and stay.lasted
        and piece.status != "onleave"
        and piece.from_at < stay.to_at
        and piece.to_at > stay.from_at
    ]


def _left_from(visit: Visit) -> str:
    real = [stay for stay in visit.stays if stay.lasted]
    if not real:
        return visit.facility
    return max(real, key=lambda stay: (stay.from_at, stay.stay_id)).facility or visit.facility


def lasts(interval: Interval, since: Instant) -> bool:
    """Whether something ends after an instant, or lasts."""
    return interval[1] == FOREVER or interval[1] >= since
