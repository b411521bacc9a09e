"""Rings of patients who wait for each other's beds, and how they change places."""

from twin_core.simulation.kernel.compiled import compiled
from twin_core.simulation.kernel.layout import ON_DEADLOCK, Plan, Work

MEMBERS = 2
"""Where in `seen`, in numbers of units, the members of a ring are kept."""


@compiled
def find_ring(m: Plan, w: Work, start: int, end: int) -> bool:
    """Search the way from unit to unit along which boarders wait, until it comes to `end`.

    `seen` keeps from where each unit was reached, and `order` in which order, behind it.
    """
    units = m.whole[0].units
    for u in range(units):
        w.seen[u] = -2
    w.seen[start] = -1
    w.seen[units] = start
    reached, at, found = 1, 0, start == end
    while at < reached:
        here = w.seen[units + at]
        at += 1
        for there in range(units):
            if w.seen[there] == -2 and w.waits[here * units + there] > 0:
                w.seen[there] = here
                w.seen[units + reached] = there
                reached += 1
                found = found or there == end
    if not found:
        return False
    if m.whole[0].swaps == ON_DEADLOCK:
        for n in range(reached):
            ward = w.wards[w.seen[units + n]]
            if ward.boarding < ward.occupied or ward.cleaning > 0:
                return False
    return True


@compiled
def first_from(m: Plan, w: Work, unit: int, lying: int) -> int:
    """The first in a unit's queue who lies in another unit."""
    levels = m.whole[0].levels
    for level in range(levels):
        i = w.queues[unit * levels + level].first
        while i >= 0:
            if w.patients[i].at == lying:
                return i
            i = w.patients[i].after
    return -1


@compiled
def ring_of(m: Plan, w: Work, start: int, end: int) -> int:
    """Write down who of every unit of the ring goes to the next; how many they are."""
    first, members, here = MEMBERS * m.whole[0].units, 0, end
    while here != start:
        before = w.seen[here]
        w.seen[first + members] = first_from(m, w, here, before)
        members += 1
        here = before
    w.seen[first + members] = first_from(m, w, start, end)
    return members + 1


@compiled
def ring_has_staff(m: Plan, w: Work, members: int) -> bool:
    """Whether there is staff for all of a ring once all have given theirs up."""
    first, enough = MEMBERS * m.whole[0].units, True
    for sign in (1, -1):
        for n in range(members):
            p = w.patients[w.seen[first + n]]
            _shift_staff(m, w, p.held, -sign, True)
            _shift_staff(m, w, p.step, sign, False)
        if sign == 1:
            for resource in range(m.whole[0].units, m.whole[0].resources):
                of = w.resources[resource]
                enough = enough and (of.used <= of.capacity or not _wanted(m, w, members, resource))
    return enough


@compiled
def _shift_staff(m: Plan, w: Work, step: int, sign: int, staying: bool) -> None:
    of = m.steps[step]
    for n in range(of.first_need, of.first_need + of.needs):
        if m.needs[n].stays or not staying:
            w.resources[m.needs[n].pool].used += sign * m.needs[n].amount


@compiled
def _wanted(m: Plan, w: Work, members: int, resource: int) -> bool:
    first = MEMBERS * m.whole[0].units
    for k in range(members):
        of = m.steps[w.patients[w.seen[first + k]].step]
        for n in range(of.first_need, of.first_need + of.needs):
            if m.needs[n].pool == resource:
                return True
    return False
