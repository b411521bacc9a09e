"""The end of a stay: on to another unit, or out of the hospital at an hour when people leave."""

import math

from twin_core.simulation.kernel.agenda import NOW, plan
from twin_core.simulation.kernel.chance import HOUR, drawn
from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.holding import free_bed, free_staff
from twin_core.simulation.kernel.layout import (
    BY_HOUR,
    IDLE,
    LEAVE,
    LEAVING,
    MOVED,
    WENT,
    WINDOWS,
    Plan,
    Work,
)
from twin_core.simulation.kernel.moves import ask, end_stay, leave
from twin_core.simulation.kernel.serving import settle

WEEK_HOURS = 168.0
_DIED, _LEFT = 2, 4
"""Exits for which nobody waits until the hour of discharge."""


@compiled
def stay_over(m: Plan, w: Work, i: int) -> None:
    """What a patient needed here is done: ask for the next bed, or leave."""
    p, now = w.patients[i], w.now[NOW]
    of = w.steps[p.held]
    of.stays += 1
    of.stay_hours += now - p.began
    p.over = now
    free_staff(m, w, p.held, 0)
    step, exit_ = p.next, p.exit
    if step < 0 and exit_ < 0:
        step, exit_ = m.edges[p.edge].step, m.edges[p.edge].exit
    p.next = p.exit = -1
    go_on(m, w, i, step, exit_)


@compiled
def go_on(m: Plan, w: Work, i: int, step: int, exit_: int) -> None:
    """Ask for the bed of a step, or leave by an exit as soon as people may."""
    p, now = w.patients[i], w.now[NOW]
    unit = m.steps[p.held].unit
    if step < 0:
        at = leaving_at(m, w, i, unit, now) if waits_to_leave(exit_) else now
        if at > now:
            leave_later(w, i, exit_, at)
        else:
            leave(m, w, i, WENT, exit_)
    elif m.units[unit].boards:
        ask(m, w, i, step, now)
    else:
        end_stay(m, w, i, MOVED, m.steps[step].unit)
        free_staff(m, w, p.held, 1)
        free_bed(m, w, i, True)
        p.state = IDLE
        # Those who wait for this bed come before one who leaves it and might ask for it again.
        settle(m, w)
        ask(m, w, i, step, now)


@inlined
def waits_to_leave(exit_: int) -> bool:
    """Whether patients leave by an exit only when they are let go."""
    return exit_ != _DIED and exit_ != _LEFT


@compiled
def leave_later(w: Work, i: int, exit_: int, at: float) -> None:
    """Lie on until the hour at which a patient leaves by an exit."""
    p = w.patients[i]
    p.state, p.exit = LEAVING, exit_
    p.stamp += 1
    plan(w, at, LEAVE, i, p.stamp)


@inlined
def leaving_at(m: Plan, w: Work, i: int, unit: int, over: float) -> float:
    """When a patient leaves whose stay is over at `over`.

    That is earlier than the unit's rule says by what the unit has won, and never before the stay is
    over: so nobody leaves later than usual.
    """
    return max(over, let_go_at(m, w, i, unit, over) - m.units[unit].leave_earlier)


@compiled
def let_go_at(m: Plan, w: Work, i: int, unit: int, over: float) -> float:
    """When the rule of a unit lets a patient go whose stay is over at `over`."""
    of = m.units[unit]
    clock = over + m.whole[0].offset
    if of.leave_rule == WINDOWS:
        hour = clock % WEEK_HOURS
        best = math.inf
        for n in range(of.leaves):
            opens, closes = m.leaves[of.first_leave + 2 * n], m.leaves[of.first_leave + 2 * n + 1]
            for week in (-WEEK_HOURS, 0.0, WEEK_HOURS):
                if opens + week <= hour < closes + week:
                    return over
                if opens + week >= hour:
                    best = min(best, opens + week - hour)
        return over + best
    if of.leave_rule == BY_HOUR:
        u, hour = drawn(w.patients[i], HOUR), 0
        while hour < 23 and u > m.leaves[of.first_leave + hour]:
            hour += 1
        below = m.leaves[of.first_leave + hour - 1] if hour > 0 else 0.0
        share = (u - below) / (m.leaves[of.first_leave + hour] - below)
        at = math.floor(clock / 24.0) * 24.0 + hour + share - m.whole[0].offset
        return at if at > over else at + 24.0
    return over
