"""How patients move: they ask for a bed, wait, get it, are overtaken, swap, and leave."""

import math

from twin_core.simulation.kernel.agenda import NOW, plan
from twin_core.simulation.kernel.chance import (
    BALK,
    DRAWS_PER_VISIT,
    IMPATIENT,
    LENGTH_OF_STAY,
    PATIENCE,
    ROUTE,
    drawn,
)
from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.holding import (
    free_bed,
    free_staff,
    has_bed,
    has_staff,
    take_bed,
    take_staff,
)
from twin_core.simulation.kernel.layout import (
    ARRIVE,
    AWAY,
    DONE,
    FREE,
    IDLE,
    IN_STAY,
    MOVED,
    NEVER,
    NO_PREEMPTION,
    OVERFLOW,
    QUEUED,
    RENEGE,
    RESUME,
    TAKEN,
    WENT,
    Plan,
    Work,
)
from twin_core.simulation.kernel.ledger import touch, waited, write_stay
from twin_core.simulation.kernel.lengths import length, rest
from twin_core.simulation.kernel.standing import (
    end_outlying,
    go_outlying,
    join,
    quit_queue,
)
from twin_core.simulation.kernel.swapping import MEMBERS, find_ring, ring_has_staff, ring_of


@compiled
def ask(m: Plan, w: Work, i: int, step: int, since: float) -> None:
    """A patient asks for a bed in the unit of a step, and has asked since an instant."""
    p = w.patients[i]
    p.step, p.unit, p.level = step, m.steps[step].unit, m.steps[step].level
    p.asked, p.fresh = since, 1
    p.visit += 1
    p.stamp += 1
    p.away = m.units[p.unit].overs > 0 and m.units[p.unit].overflow_after <= 0.0
    w.steps[step].asked += 1
    place = find_place(m, w, i)
    if place < 0 and m.units[p.unit].preemption != NO_PREEMPTION and _overtake(m, w, i):
        place = p.unit
    if place >= 0:
        start(m, w, i, place)
    elif p.at < 0 and since >= w.now[NOW] and _turns_away(m, w, i):
        w.steps[step].turned_away += 1
        leave(m, w, i, AWAY, -1)
    else:
        _wait(m, w, i)


@inlined
def stays_in_care(m: Plan, w: Work, i: int) -> bool:
    """Whether one in bed asks for a next step of the same unit: it needs no other bed."""
    p = w.patients[i]
    return p.at >= 0 and m.steps[p.held].unit == p.unit


@inlined
def find_place(m: Plan, w: Work, i: int) -> int:
    """The unit where a patient may have a bed and all else now; -1 for none."""
    p = w.patients[i]
    if m.units[p.unit].needy and not has_staff(m, w, i, -1):
        return -1
    if stays_in_care(m, w, i):
        return p.at
    if has_bed(m, w, i, p.unit):
        return p.unit
    if p.away:
        of = m.units[p.unit]
        for n in range(of.first_over, of.first_over + of.overs):
            if has_bed(m, w, i, m.others[n]):
                return m.others[n]
    return -1


@compiled
def _turns_away(m: Plan, w: Work, i: int) -> bool:
    p = w.patients[i]
    of, waiting, share = m.units[p.unit], w.wards[p.unit].waiting, 0.0
    if of.waiting_places >= 0 and waiting >= of.waiting_places:
        return True
    for n in range(of.first_balk, of.first_balk + of.balks):
        if waiting >= m.balks[n].waiting:
            share = m.balks[n].share
    return share > 0.0 and drawn(p, BALK) < share


@compiled
def _wait(m: Plan, w: Work, i: int) -> None:
    p, now = w.patients[i], w.now[NOW]
    step, of = m.steps[p.step], m.units[p.unit]
    touch(w, p.unit)
    join(m, w, i, False)
    p.state = QUEUED
    if step.patience >= 0 and drawn(p, IMPATIENT) < step.impatient:
        chance = p.visit * DRAWS_PER_VISIT + PATIENCE
        if p.asked < now:
            hours = rest(m, step.patience, now - p.asked, p.key, chance)
        else:
            hours = length(m, step.patience, p.key, chance)
        plan(w, now + hours, RENEGE, i, p.stamp)
    if of.overs > 0 and of.overflow_after > 0.0:
        plan(w, max(now, p.asked + of.overflow_after), OVERFLOW, i, p.stamp)
    if p.at >= 0 and not stays_in_care(m, w, i):
        touch(w, p.at)
        w.wards[p.at].boarding += 1
        w.waits[p.at * m.whole[0].units + p.unit] += 1
        if m.whole[0].swaps != NEVER:
            while p.state == QUEUED and swap(m, w, i):
                pass


@compiled
def stop_waiting(m: Plan, w: Work, i: int) -> None:
    """Stand in no queue any more, and board no more if one did."""
    p = w.patients[i]
    touch(w, p.unit)
    quit_queue(m, w, i)
    if p.at >= 0 and not stays_in_care(m, w, i):
        touch(w, p.at)
        w.wards[p.at].boarding -= 1
        w.waits[p.at * m.whole[0].units + p.unit] -= 1


@compiled
def start(m: Plan, w: Work, i: int, place: int) -> None:
    """A patient gets a bed in a unit and all else at once, and gives up what was held before."""
    p = w.patients[i]
    if p.state == QUEUED:
        stop_waiting(m, w, i)
    _count_wait(m, w, i, place)
    before, held = p.at, p.held
    if before >= 0:
        end_stay(m, w, i, MOVED, p.unit)
        free_staff(m, w, held, 1)
        if before != place:
            free_bed(m, w, i, True)
    settle_in(m, w, i, place)
    # The wait for this bed, which belongs to the stay that now begins; of a stay that was
    # interrupted the waits add up.
    hours = max(0.0, w.now[NOW] - p.asked)
    p.wait = hours if p.fresh else p.wait + hours
    if p.fresh:
        draw_stay(m, w, i)
    run_stay(w, i)
    if p.stream >= 0:
        plan(w, w.now[NOW], ARRIVE, p.stream, 0)
        p.stream = -1


@inlined
def settle_in(m: Plan, w: Work, i: int, place: int) -> None:
    """Hold a bed in a unit, unless it is held already, and what the step needs."""
    p = w.patients[i]
    if p.at != place:
        p.held = p.step
        take_bed(m, w, i, place)
    elif m.steps[p.held].unit != p.unit:
        touch(w, place)
        if m.steps[p.held].unit != place:
            end_outlying(w, i, m.steps[p.held].unit)
        if p.unit != place:
            go_outlying(w, i, p.unit)
    p.held = p.step
    take_staff(m, w, p.step)
    p.since = w.now[NOW]


@inlined
def _count_wait(m: Plan, w: Work, i: int, place: int) -> None:
    p = w.patients[i]
    hours = max(0.0, w.now[NOW] - p.asked)
    if p.fresh:
        waited(w, p.step, -1 if stays_in_care(m, w, i) else p.unit, hours)
        if place != p.unit:
            w.steps[p.step].outliers += 1
    else:
        w.steps[p.step].wait_hours += hours


@inlined
def draw_stay(m: Plan, w: Work, i: int) -> None:
    """Where a stay will lead, and how long it takes."""
    p = w.patients[i]
    step = m.steps[p.step]
    edge, last = step.first_edge, step.first_edge + step.edges - 1
    u = drawn(p, ROUTE)
    while edge < last and u > m.edges[edge].upto:
        edge += 1
    p.edge = edge
    stay = m.edges[edge].stay if m.edges[edge].stay >= 0 else step.stay
    p.rest = length(m, stay, p.key, p.visit * DRAWS_PER_VISIT + LENGTH_OF_STAY)


@inlined
def run_stay(w: Work, i: int) -> None:
    """Let the rest of a stay begin now."""
    p, now = w.patients[i], w.now[NOW]
    p.state, p.began, p.over = IN_STAY, now, now + max(0.0, p.rest)
    p.stamp += 1
    plan(w, p.over, DONE, i, p.stamp)


@inlined
def end_stay(m: Plan, w: Work, i: int, end: int, next_: int) -> None:
    """Count what a stay was when its bed is left."""
    p, now = w.patients[i], w.now[NOW]
    of = w.steps[p.held]
    of.held_hours += now - p.since
    if end != TAKEN and now > p.over:
        of.blocked += 1
        of.blocked_hours += now - p.over
    write_stay(m, w, i, end, next_)


@compiled
def leave(m: Plan, w: Work, i: int, end: int, exit_: int) -> None:
    """A patient leaves the hospital: by an exit, or without having been seen."""
    p = w.patients[i]
    if p.state == QUEUED:
        stop_waiting(m, w, i)
    if p.at >= 0:
        end_stay(m, w, i, end, exit_)
        free_staff(m, w, p.held, 1)
        free_bed(m, w, i, True)
    else:
        write_stay(m, w, i, end, exit_)
    of = w.classes[p.class_]
    if end != WENT:
        if end == AWAY:
            of.turned_away += 1
        else:
            of.unseen += 1
    of.left_home += exit_ == 0
    of.left_care_home += exit_ == 1
    of.left_died += exit_ == 2
    of.left_transferred += exit_ == 3
    of.left_left += exit_ == 4
    of.finished += 1
    of.hours_in_hospital += w.now[NOW] - p.arrived
    if p.stream >= 0:
        plan(w, w.now[NOW], ARRIVE, p.stream, 0)
    p.state = IDLE
    p.stamp += 1
    p.after = w.counts[FREE]
    w.counts[FREE] = i


@compiled
def _overtake(m: Plan, w: Work, i: int) -> bool:
    """Make room for a patient by sending the least urgent, of those the last to begin, to wait."""
    p = w.patients[i]
    victim, least, began = -1, p.level, -math.inf
    j = w.wards[p.unit].lying_first
    while j >= 0:
        of = w.patients[j]
        level = m.steps[of.held].level
        later = level > least or (level == least > p.level and of.began > began)
        if of.state == IN_STAY and later:
            victim, least, began = j, level, of.began
        j = of.later
    if victim < 0 or w.resources[p.unit].used > w.resources[p.unit].capacity:
        return False
    if m.units[p.unit].needy and not has_staff(m, w, i, victim):
        return False
    _send_back(m, w, victim)
    return True


@compiled
def _send_back(m: Plan, w: Work, j: int) -> None:
    v, now = w.patients[j], w.now[NOW]
    of = w.steps[v.held]
    of.preempted += 1
    of.stay_hours += now - v.began
    if m.units[v.at].preemption == RESUME:
        v.rest = v.over - now
    end_stay(m, w, j, TAKEN, v.at)
    free_staff(m, w, v.held, 0)
    free_staff(m, w, v.held, 1)
    free_bed(m, w, j, False)
    v.stamp += 1
    v.asked, v.fresh, v.state = now, 0, QUEUED
    touch(w, v.unit)
    join(m, w, j, True)


@compiled
def swap(m: Plan, w: Work, i: int) -> bool:
    """Let a ring of boarders that a newly waiting one closes change places, if the rule says so.

    Each gets the bed another gives up, uncleaned; nobody who waits outside is passed over, for no
    bed comes free.
    """
    p = w.patients[i]
    if p.at == p.unit or not find_ring(m, w, p.unit, p.at):
        return False
    members = ring_of(m, w, p.unit, p.at)
    if not ring_has_staff(m, w, members):
        return False
    first = MEMBERS * m.whole[0].units
    for n in range(members):
        j = w.seen[first + n]
        of = w.patients[j]
        stop_waiting(m, w, j)
        end_stay(m, w, j, MOVED, of.unit)
        free_staff(m, w, of.held, 1)
        free_bed(m, w, j, False)
        of.state = IDLE
    for n in range(members):
        j = w.seen[first + n]
        w.units[w.patients[j].unit].swaps += 1
        start(m, w, j, w.patients[j].unit)
    return True
