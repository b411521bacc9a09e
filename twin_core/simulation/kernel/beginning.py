"""The first moment: empty books, capacities of the hour, and whoever is there already."""

import math

from twin_core.simulation.kernel.agenda import END, NOW, no_plans, plan
from twin_core.simulation.kernel.arriving import newcomer
from twin_core.simulation.kernel.chance import (
    CLEANING,
    DRAWS_PER_VISIT,
    LENGTH_OF_STAY,
    ROUTE,
    drawn,
    mixed,
)
from twin_core.simulation.kernel.compiled import compiled
from twin_core.simulation.kernel.holding import free_staff, mark, put_back, take_bed, take_staff
from twin_core.simulation.kernel.layout import (
    BY_HOUR,
    CHANGE_AT,
    CHANGES,
    CLEAN,
    COUNTERS,
    FREE,
    FULL,
    GOES_ON,
    STAY_OVER,
    STAYS,
    WAITS,
    Plan,
    Work,
)
from twin_core.simulation.kernel.leaving import go_on, leave_later, let_go_at, waits_to_leave
from twin_core.simulation.kernel.ledger import touch
from twin_core.simulation.kernel.lengths import length, rest, surviving
from twin_core.simulation.kernel.moves import ask, run_stay
from twin_core.simulation.kernel.serving import settle

_HARDLY = 1e-12
"""So that somebody has somewhere to go whom no length of stay foresees."""
_DAY, _TRIES = 24.0, 64


@compiled
def empty(m: Plan, w: Work, hours: float) -> None:
    """Nobody there, nothing planned, every bed clean."""
    stays = w.counts[STAYS]
    for n in range(COUNTERS):
        w.counts[n] = 0
    w.counts[STAYS], w.counts[FREE] = stays, -1
    w.now[NOW], w.now[END] = 0.0, hours
    no_plans(w)
    for r in range(m.whole[0].resources):
        w.resources[r].used = w.resources[r].capacity = w.resources[r].dirty = 0
    for n in range(m.whole[0].units * m.whole[0].levels):
        w.queues[n].first = w.queues[n].last = -1
    for n in range(m.whole[0].units * m.whole[0].units):
        w.waits[n] = 0
    for u in range(m.whole[0].units):
        ward, of = w.wards[u], m.units[u]
        ward.waiting = ward.occupied = ward.boarding = ward.cleaning = ward.outliers = 0
        ward.away_first = ward.away_last = ward.lying_first = ward.lying_last = -1
        ward.free, ward.touched = of.beds, 0.0
        for n in range(of.beds):
            w.free_beds[of.first_bed + n] = of.beds - 1 - n
    clear(m, w)


@compiled
def clear(m: Plan, w: Work) -> None:
    """Forget every statistic so far, and count hours from now on."""
    for n in range(len(w.step_floats)):
        w.step_floats[n] = 0.0
    for n in range(len(w.unit_floats)):
        w.unit_floats[n] = 0.0
    for n in range(len(w.class_floats)):
        w.class_floats[n] = 0.0
    for n in range(len(w.bins)):
        w.bins[n] = 0
    for u in range(m.whole[0].units):
        w.wards[u].touched = w.now[NOW]
        w.units[u].most_occupied = w.wards[u].occupied
        w.units[u].most_waiting = w.wards[u].waiting


@compiled
def change(m: Plan, w: Work) -> None:
    """Set the capacities that change now; a smaller one is reached as beds and staff come free."""
    from_ = w.counts[CHANGE_AT]
    at = from_
    while at < len(m.changes) and m.changes[at].at <= w.now[NOW]:
        of = m.changes[at]
        if of.resource < m.whole[0].units:
            touch(w, of.resource)
        w.resources[of.resource].capacity = of.capacity
        mark(w, of.resource)
        at += 1
    w.counts[CHANGE_AT] = at
    if at < len(m.changes):
        plan(w, m.changes[at].at, CHANGES, 0, 0)


@compiled
def fill(m: Plan, w: Work, key: int) -> None:
    """Put everybody where they are: first those in beds, then those who wait, longest first."""
    for i in range(len(m.present)):
        here = m.present[i]
        newcomer(m, w, mixed(key, here.key), here.step)
        if w.counts[FULL]:
            return
        p = w.patients[i]
        p.source, p.arrived, p.visit = i, -here.for_hours, 1
        if here.state != WAITS:
            _lie(m, w, i)
    _clean(m, w, key)
    for i in range(len(m.present)):
        here = m.present[i]
        if here.state == WAITS:
            ask(m, w, i, here.step, -here.for_hours)
        elif here.state == STAY_OVER and here.next >= 0:
            ask(m, w, i, here.next, -here.for_hours)
        elif here.state == STAY_OVER and math.isnan(here.rest):
            go_on(m, w, i, -1, here.exit)
        elif here.state == STAY_OVER:
            w.patients[i].over = 0.0
            leave_later(w, i, here.exit, max(0.0, here.rest - m.units[here.in_unit].leave_earlier))
    settle(m, w)


@compiled
def _lie(m: Plan, w: Work, i: int) -> None:
    """Lie in bed since some time, with what the step needs, and draw the rest of the stay."""
    p, here = w.patients[i], m.present[i]
    p.step = p.held = here.step
    p.unit, p.level = m.steps[here.step].unit, m.steps[here.step].level
    take_bed(m, w, i, here.in_unit)
    _lie_in(m, w, i, here.bed)
    take_staff(m, w, p.step)
    p.since = p.asked = -here.for_hours
    p.wait = 0.0
    if here.state == STAY_OVER:
        p.over = -here.for_hours
        free_staff(m, w, p.step, 0)
        return
    p.next, p.exit = here.next, here.exit
    if not math.isnan(here.rest):
        p.edge = _edge_given(m, w, i, here.for_hours)
        p.rest = here.rest
    elif m.units[p.unit].leave_rule == BY_HOUR and here.state != GOES_ON:
        _draw_not_gone(m, w, i, here.for_hours)
        if p.rest < 0.0:
            p.over = p.rest
            free_staff(m, w, p.step, 0)
            go_on(m, w, i, -1, p.exit if p.exit >= 0 else m.edges[p.edge].exit)
            return
    else:
        _draw_rest(m, w, i, here.for_hours, here.for_hours)
    run_stay(w, i)


@compiled
def _draw_rest(m: Plan, w: Work, i: int, passed: float, for_hours: float) -> None:
    """Draw where a stay leads and what is left of it, knowing that it lasted beyond `passed`."""
    p = w.patients[i]
    p.edge = _edge_given(m, w, i, passed)
    chance = p.visit * DRAWS_PER_VISIT + LENGTH_OF_STAY
    p.rest = passed - for_hours + rest(m, _stay_of(m, p.step, p.edge), passed, p.key, chance)


@compiled
def _draw_not_gone(m: Plan, w: Work, i: int, for_hours: float) -> None:
    """Draw a stay whose patient may have been ready to leave, but has not left yet.

    Where patients leave by the hour of the day, that of somebody still here may have been over for
    up to a day. Stays are drawn with their hour of leaving until one has not led away already.
    """
    p = w.patients[i]
    key = p.key
    for attempt in range(_TRIES):
        p.key = mixed(key, attempt)
        _draw_rest(m, w, i, max(0.0, for_hours - _DAY), for_hours)
        exit_ = p.exit
        if exit_ < 0 and p.next < 0:
            exit_ = m.edges[p.edge].exit
        waits = exit_ >= 0 and waits_to_leave(exit_)
        if p.rest >= 0.0 or (waits and let_go_at(m, w, i, p.unit, p.rest) > 0.0):
            return
    p.rest = 0.0


@compiled
def _stay_of(m: Plan, step: int, edge: int) -> int:
    return m.edges[edge].stay if m.edges[edge].stay >= 0 else m.steps[step].stay


@compiled
def _edge_given(m: Plan, w: Work, i: int, passed: float) -> int:
    """Where a stay will lead of which some has passed: what leads away early grows unlikely."""
    p = w.patients[i]
    first = m.steps[p.step].first_edge
    last = first + m.steps[p.step].edges - 1
    total = 0.0
    for edge in range(first, last + 1):
        if p.next >= 0 or p.exit >= 0:
            if m.edges[edge].step == p.next and m.edges[edge].exit == p.exit:
                return edge
        total += _weight(m, p.step, first, edge, passed)
    aim = drawn(p, ROUTE) * total
    for edge in range(first, last):
        aim -= _weight(m, p.step, first, edge, passed)
        if aim <= 0.0:
            return edge
    return last


@compiled
def _weight(m: Plan, step: int, first: int, edge: int, passed: float) -> float:
    below = m.edges[edge - 1].upto if edge > first else 0.0
    left = surviving(m, _stay_of(m, step, edge), passed)
    return (m.edges[edge].upto - below) * (left + _HARDLY)


@compiled
def _lie_in(m: Plan, w: Work, i: int, bed: int) -> None:
    """Lie in the bed that is known, if nobody else does."""
    p = w.patients[i]
    ward, first = w.wards[p.at], m.units[p.at].first_bed
    for n in range(ward.free):
        if bed >= 0 and w.free_beds[first + n] == bed:
            w.free_beds[first + n] = p.bed
            p.bed = bed
            return


@compiled
def _clean(m: Plan, w: Work, key: int) -> None:
    """Beds that are being cleaned: the cleaning has just begun."""
    for unit in range(m.whole[0].units):
        of, ward = m.units[unit], w.wards[unit]
        for n in range(m.cleaned[unit]):
            if of.cleaning < 0 or ward.free == 0:
                break
            ward.free -= 1
            ward.cleaning += 1
            w.resources[unit].used += 1
            hours = length(m, of.cleaning, mixed(mixed(key, unit), n), CLEANING)
            plan(w, hours, CLEAN, unit, w.free_beds[of.first_bed + ward.free])


@compiled
def cleaned(m: Plan, w: Work, unit: int, bed: int) -> None:
    """A bed is clean."""
    touch(w, unit)
    w.wards[unit].cleaning -= 1
    put_back(m, w, unit, bed)
