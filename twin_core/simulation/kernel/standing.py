"""Who stands in which order: the waiting by urgency and time, outliers, and who lies where."""

from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.layout import Plan, Work


@inlined
def join(m: Plan, w: Work, i: int, ahead: bool) -> None:
    """Join the queue of one's unit at one's level, at its end or ahead of all."""
    p = w.patients[i]
    q = w.queues[p.unit * m.whole[0].levels + p.level]
    if q.first < 0:
        q.first = q.last = i
        p.before = p.after = -1
    elif ahead:
        p.before, p.after = -1, q.first
        w.patients[q.first].before = i
        q.first = i
    else:
        p.before, p.after = q.last, -1
        w.patients[q.last].after = i
        q.last = i
    w.wards[p.unit].waiting += 1


@inlined
def quit_queue(m: Plan, w: Work, i: int) -> None:
    """Leave the queue, wherever in it one stands."""
    p = w.patients[i]
    q = w.queues[p.unit * m.whole[0].levels + p.level]
    if p.before >= 0:
        w.patients[p.before].after = p.after
    else:
        q.first = p.after
    if p.after >= 0:
        w.patients[p.after].before = p.before
    else:
        q.last = p.before
    w.wards[p.unit].waiting -= 1


@compiled
def lie_down(w: Work, i: int) -> None:
    """Be the last to have come to lie in one's unit."""
    p = w.patients[i]
    ward = w.wards[p.at]
    p.earlier, p.later = ward.lying_last, -1
    if ward.lying_last >= 0:
        w.patients[ward.lying_last].later = i
    else:
        ward.lying_first = i
    ward.lying_last = i


@compiled
def get_up(w: Work, i: int) -> None:
    """Lie no more in one's unit."""
    p = w.patients[i]
    ward = w.wards[p.at]
    if p.earlier >= 0:
        w.patients[p.earlier].later = p.later
    else:
        ward.lying_first = p.later
    if p.later >= 0:
        w.patients[p.later].earlier = p.earlier
    else:
        ward.lying_last = p.earlier


@compiled
def go_outlying(w: Work, i: int, home: int) -> None:
    """Be the last of a unit's patients to lie elsewhere."""
    p, ward = w.patients[i], w.wards[home]
    p.away_before, p.away_after = ward.away_last, -1
    if ward.away_last >= 0:
        w.patients[ward.away_last].away_after = i
    else:
        ward.away_first = i
    ward.away_last = i
    w.wards[p.at].outliers += 1


@compiled
def end_outlying(w: Work, i: int, home: int) -> None:
    """Lie elsewhere no more."""
    p, ward = w.patients[i], w.wards[home]
    if p.away_before >= 0:
        w.patients[p.away_before].away_after = p.away_after
    else:
        ward.away_first = p.away_after
    if p.away_after >= 0:
        w.patients[p.away_after].away_before = p.away_before
    else:
        ward.away_last = p.away_before
    w.wards[p.at].outliers -= 1
