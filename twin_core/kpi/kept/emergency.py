"""What a visit to an emergency department is to the KPIs (as `kpi_part.ed_visits`)."""

from collections.abc import Iterable
from typing import NamedTuple

from twin_core.kpi.kept.course import Interval, Piece
from twin_core.kpi.kept.records import (
    FOREVER,
    HOUR_US,
    INPATIENT,
    LONG_AGO,
    VOID,
    Instant,
    Visit,
    first_known,
)

EMERGENCY = frozenset({"EMER"})
PRESENT = frozenset({"arrived", "triaged", "in-progress"})
LINKED_WITHIN = HOUR_US
"""An admission of the patient this long after the departure belongs to the visit (CMS55)."""
LONGEST_SPELL = 120 * 24 * HOUR_US
"""Longer inpatient spells are no admissions from an ED (CMS55, CMS111)."""

Unit = tuple[str, str]
"""Facility and unit."""


class EdVisit(NamedTuple):
    """One visit to an ED. departed_at is when the patient physically left it."""

    arrived_at: Instant
    departed_at: Instant | None
    discharged_at: Instant | None
    boards_at: Instant | None
    """From when the patient waits for a bed; None for who is observed or not to be admitted."""
    decided_at: Instant | None
    admitted: bool
    """Left the ED for a bed, in a spell of at most 120 days."""
    psychiatric: bool


def ed_visit(
    visit: Visit, related: Iterable[Visit], ed_units: frozenset[Unit], psychiatric: frozenset[str]
) -> EdVisit | None:
    """The ED visit in an encounter, whichever shape the admission after it has, or None.

    `related` are the other visits of the patient, and those that one is part of.
    """
    emergency_at = visit.began(EMERGENCY)
    arrived_at = first_known(emergency_at, visit.admitted_at)
    is_one = emergency_at is not None or visit.class_ == "EMER"
    if not is_one or arrived_at is None or visit.status in VOID:
        return None
    own = visit.began(INPATIENT)
    if own is None or emergency_at is None or own < emergency_at:
        own = None
    departed_at = _departed(visit, arrived_at, own, ed_units)
    inpatient_at = own
    if inpatient_at is None:
        inpatient_at = _followed(visit, related, arrived_at, departed_at)
    decided_at = first_known(
        visit.first_mark("decision_to_admit"), visit.first_mark("bed_requested")
    )
    return EdVisit(
        arrived_at,
        departed_at,
        visit.discharged_at,
        _boards(visit, arrived_at, decided_at, inpatient_at),
        decided_at,
        departed_at is not None and inpatient_at is not None and not _too_long(visit, inpatient_at),
        visit.service in psychiatric,
    )


def in_emergency(pieces: Iterable[Piece]) -> list[Interval]:
    """When a visit was one of the ED's patients: arrived, triaged or in progress, and EMER."""
    return [(p.from_at, p.to_at) for p in pieces if p.class_ == "EMER" and p.status in PRESENT]


def began_as_emergency(visit: Visit) -> list[tuple[Unit, bool]]:
    """Each stay of a visit in a unit, and whether it began as EMER (as `kpi_part.ed_units`)."""
    found = []
    for stay in visit.stays:
        if stay.unit is not None:
            begun = [c for c in visit.classes if LONG_AGO < c[0] <= stay.from_at]
            code = max(begun, key=lambda change: change[0])[1] if begun else visit.class_
            found.append(((stay.facility, stay.unit), code == "EMER"))
    return found


def _departed(
    visit: Visit, arrived_at: Instant, inpatient_at: Instant | None, eds: frozenset[Unit]
) -> Instant | None:
    since = [s for s in visit.stays if s.lasted and s.from_at >= arrived_at]
    onward = [s.from_at for s in since if s.unit is not None and (s.facility, s.unit) not in eds]
    if onward:
        return min(onward)
    in_ed = any(s.unit is not None and (s.facility, s.unit) in eds for s in since)
    return inpatient_at if inpatient_at is not None and not in_ed else visit.discharged_at


def _followed(
    visit: Visit, related: Iterable[Visit], arrived_at: Instant, departed_at: Instant | None
) -> Instant | None:
    found = []
    for other in related:
        at = first_known(other.began(INPATIENT), other.admitted_at)
        if other.class_ not in INPATIENT or other.status in VOID or at is None or at < arrived_at:
            continue
        linked = visit.encounter_id == other.part_of or other.encounter_id == visit.part_of
        soon = departed_at is not None and at <= departed_at + LINKED_WITHIN
        if linked or (soon and other.patient == visit.patient):
            found.append(at)
    return min(found, default=None)


def _boards(
    visit: Visit, arrived_at: Instant, decided_at: Instant | None, inpatient_at: Instant | None
) -> Instant | None:
    observed = visit.class_ == "OBSENC" or any(code == "OBSENC" for _, code in visit.classes)
    waits_from = min((at for at in (decided_at, inpatient_at) if at is not None), default=FOREVER)
    return None if observed or waits_from == FOREVER else max(arrived_at, waits_from)


def _too_long(visit: Visit, inpatient_at: Instant) -> bool:
    return visit.discharged_at is not None and visit.discharged_at > inpatient_at + LONGEST_SPELL
