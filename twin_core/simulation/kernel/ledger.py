"""The books of a replication: hours by unit, waits by length, and one row for every stay."""

import math

from twin_core.simulation.kernel.agenda import NOW
from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.layout import (
    BIN_LOW,
    BIN_WIDTH,
    BINS,
    FULL,
    RECORD,
    STAYS,
    Plan,
    Work,
)


@inlined
def touch(w: Work, unit: int) -> None:
    """Count the hours since a unit last changed, before it changes."""
    ward, of = w.wards[unit], w.units[unit]
    hours = w.now[NOW] - ward.touched
    if hours > 0.0:
        ward.touched = w.now[NOW]
        of.occupied_hours += hours * ward.occupied
        of.waiting_hours += hours * ward.waiting
        of.boarding_hours += hours * ward.boarding
        of.cleaning_hours += hours * ward.cleaning
        of.outlier_hours += hours * ward.outliers
        of.bed_hours += hours * w.resources[unit].capacity
        if ward.occupied > of.most_occupied:
            of.most_occupied = ward.occupied
        if ward.waiting > of.most_waiting:
            of.most_waiting = ward.waiting


@inlined
def waited(w: Work, step: int, unit: int, hours: float) -> None:
    """Somebody has a bed after waiting so many hours; of no unit (-1) where it is the same bed."""
    of = w.steps[step]
    of.started += 1
    if hours > 0.0:
        of.waited += 1
        of.wait_hours += hours
        of.wait_squares += hours * hours
        at = 1 + int((math.log(hours) - BIN_LOW) / BIN_WIDTH)
        at = min(max(at, 1), BINS - 1)
    else:
        at = 0
    if unit >= 0:
        w.bins[unit * BINS + at] += 1


@compiled
def wait_quantile(w: Work, unit: int, share: float) -> float:
    """The wait that a share of those who got a bed in a unit did not exceed, in hours.

    To within half a percent: waits are counted in bins of 1%, evenly spread within one.
    """
    total = 0
    for at in range(BINS):
        total += w.bins[unit * BINS + at]
    aim = share * total
    if total == 0:
        return math.nan
    below = float(w.bins[unit * BINS])
    if aim <= below:
        return 0.0
    for at in range(1, BINS):
        here = w.bins[unit * BINS + at]
        if below + here >= aim:
            return math.exp(BIN_LOW + BIN_WIDTH * (at - 1 + (aim - below) / here))
        below += here
    return math.exp(BIN_LOW + BIN_WIDTH * (BINS - 1))


@compiled
def write_stay(m: Plan, w: Work, i: int, end: int, next_: int) -> None:
    """One row for the stay a patient now ends, or for a wait that led to none."""
    p = w.patients[i]
    if w.counts[RECORD] == 0:
        return
    at = w.counts[STAYS]
    if at >= len(w.stays):
        w.counts[FULL] = 2
        return
    w.counts[STAYS] = at + 1
    now, step, row = w.now[NOW], p.held if p.at >= 0 else p.step, w.stays[at]
    row.number = p.number
    row.class_ = m.steps[step].class_
    row.unit = m.steps[step].unit
    row.in_unit, row.bed, row.end, row.next = p.at, p.bed, end, next_
    row.present = m.present[p.source].row if p.source >= 0 else -1
    row.from_hours = p.since if p.at >= 0 else p.asked
    row.to_hours = now
    row.wait_hours = p.wait if p.at >= 0 else now - p.asked
    row.blocked_hours = max(0.0, now - p.over) if p.at >= 0 else 0.0
