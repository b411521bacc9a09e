"""Whoever may have what has come free gets it.

A bed goes to the first of the unit's own queue, then home to one of its outliers, then to the
first of those who may lie here as outliers. Staff and theatres go to the first, over all units
that use them, who can have everything at once: nobody reserves, and who cannot start yet is
passed over.
"""

from twin_core.simulation.kernel.agenda import NOW
from twin_core.simulation.kernel.compiled import compiled
from twin_core.simulation.kernel.holding import free_bed, has_bed, has_staff, take_bed
from twin_core.simulation.kernel.layout import DIRTY, HOMEWARD, IN_STAY, Plan, Work
from twin_core.simulation.kernel.moves import end_stay, find_place, start


@compiled
def settle(m: Plan, w: Work) -> None:
    """Go on until nobody who waits could start."""
    while w.counts[DIRTY] > 0:
        resource = _next_dirty(m, w)
        w.resources[resource].dirty = 0
        if resource < m.whole[0].units:
            _serve_bed(m, w, resource)
        else:
            _serve_pool(m, w, resource)


@compiled
def _next_dirty(m: Plan, w: Work) -> int:
    """Staff before beds: they are shared by units, and the most urgent of all units comes first."""
    last = w.counts[DIRTY] - 1
    at = last
    while at > 0 and w.dirty[at] < m.whole[0].units:
        at -= 1
    if w.dirty[at] < m.whole[0].units:
        at = last
    resource = w.dirty[at]
    w.dirty[at] = w.dirty[last]
    w.counts[DIRTY] = last
    return resource


@compiled
def _serve_bed(m: Plan, w: Work, unit: int) -> None:
    of, here = m.units[unit], w.resources[unit]
    while here.used < here.capacity:
        i = -1
        if w.wards[unit].waiting > 0:
            i = _first(m, w, unit, unit)
        if i < 0 and of.repatriates and _bring_home(m, w, unit):
            continue
        if i < 0 and of.helped > 0:
            i = _first_to_help(m, w, unit)
        if i < 0:
            return
        start(m, w, i, unit)


@compiled
def _first(m: Plan, w: Work, queue: int, place: int) -> int:
    """The first of a unit's queue who can start in a place."""
    levels, needy = m.whole[0].levels, m.units[queue].needy
    for level in range(levels):
        i = w.queues[queue * levels + level].first
        while i >= 0:
            if (queue == place or w.patients[i].away) and has_bed(m, w, i, place):
                if not needy or has_staff(m, w, i, -1):
                    return i
            i = w.patients[i].after
    return -1


@compiled
def _first_to_help(m: Plan, w: Work, unit: int) -> int:
    of, best = m.units[unit], -1
    for n in range(of.first_helped, of.first_helped + of.helped):
        if w.wards[m.others[n]].waiting > 0:
            best = _sooner(w, best, _first(m, w, m.others[n], unit))
    return best


@compiled
def _sooner(w: Work, i: int, j: int) -> int:
    """Of two who wait (-1: nobody), the more urgent, then who has waited longer."""
    if i < 0 or j < 0:
        return max(i, j)
    p, q = w.patients[i], w.patients[j]
    if p.level != q.level:
        return i if p.level < q.level else j
    if p.asked != q.asked:
        return i if p.asked < q.asked else j
    return i if p.number < q.number else j


@compiled
def _bring_home(m: Plan, w: Work, unit: int) -> bool:
    """Move the outlier who has been away longest into a bed of the unit of care."""
    i = w.wards[unit].away_first
    while i >= 0 and w.patients[i].state != IN_STAY:
        i = w.patients[i].away_after
    if i < 0:
        return False
    p = w.patients[i]
    end_stay(m, w, i, HOMEWARD, unit)
    free_bed(m, w, i, True)
    take_bed(m, w, i, unit)
    p.since, p.wait = w.now[NOW], 0.0
    w.units[unit].repatriated += 1
    return True


@compiled
def _serve_pool(m: Plan, w: Work, pool: int) -> None:
    users = m.pools[pool]
    while w.resources[pool].used < w.resources[pool].capacity:
        best, place = -1, -1
        for n in range(users.first, users.first + users.count):
            i = _first_anywhere(m, w, m.others[n])
            if i >= 0 and _sooner(w, best, i) == i:
                best, place = i, find_place(m, w, i)
        if best < 0:
            return
        start(m, w, best, place)


@compiled
def _first_anywhere(m: Plan, w: Work, queue: int) -> int:
    if w.wards[queue].waiting == 0:
        return -1
    levels = m.whole[0].levels
    for level in range(levels):
        i = w.queues[queue * levels + level].first
        while i >= 0:
            if find_place(m, w, i) >= 0:
                return i
            i = w.patients[i].after
    return -1
