"""The agenda: what happens next, by time and then by order of planning.

Time is cut into slices. Events of the present slice are a binary heap; those of later ones are
only put on the list of their slice, and taken up when it is opened (a calendar queue, Brown 1988,
with a heap for a day). The width of a slice follows the events, of which some two or three should
be in each; it changes how long an event takes, and nothing else.
"""

import math
from typing import Any

from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.layout import (
    FAR_FREE,
    FAR_OFF,
    FAR_USED,
    FULL,
    HEAP,
    KINDS,
    OPENED,
    ORDER,
    SLICE,
    SLICES,
    TAKEN_OFF,
    Work,
)

NOW, END, NEXT_SAMPLE, AN_HOUR = range(4)
"""Where `Work.now` keeps the clock, the horizon, when the next sample is due, and how many slices
there are to an hour."""
_FEW, _AIM, _MANY, _MOST_CHANGE = 1.0, 2.5, 6.0, 16.0
"""Events in a slice; and how many times wider or narrower slices become at once."""
_ENOUGH_SLICES, _ENOUGH_EVENTS = 256, 1024
"""After so many of either, the width is looked at."""


@compiled
def no_plans(w: Work) -> None:
    """Nothing is going to happen; the clock stands at 0."""
    w.counts[SLICE] = w.counts[FAR_FREE] = -1
    for n in range(SLICES):
        w.slices[n] = -1


@compiled
def plan(w: Work, at: float, kind: int, who: int, stamp: int) -> None:
    """Let something happen at an instant; what would happen after the horizon is left out."""
    if not at <= w.now[END]:
        return
    order = w.counts[ORDER] + kind
    w.counts[ORDER] += KINDS
    slice_ = int(at * w.now[AN_HOUR])
    if slice_ <= w.counts[SLICE]:
        _push(w, at, order, who, stamp)
        return
    place = w.counts[FAR_FREE]
    if place >= 0:
        w.counts[FAR_FREE] = w.far[place].next
    else:
        place = w.counts[FAR_USED]
        if place >= len(w.far):
            w.counts[FULL] = 1
            return
        w.counts[FAR_USED] = place + 1
    w.counts[FAR_OFF] += 1
    event = w.far[place]
    event.at, event.order, event.who, event.stamp = at, order, who, stamp
    event.next = w.slices[slice_ & (SLICES - 1)]
    w.slices[slice_ & (SLICES - 1)] = place


@inlined
def looked_ahead(w: Work) -> bool:
    """See what is next, so that it is the first of the heap; whether there is anything."""
    while w.counts[HEAP] == 0:
        if w.counts[FAR_OFF] == 0:
            return False
        if w.counts[OPENED] >= _ENOUGH_SLICES or w.counts[TAKEN_OFF] >= _ENOUGH_EVENTS:
            _look_at_width(w)
        _open_next(w)
    return w.counts[FULL] == 0


@inlined
def _open_next(w: Work) -> None:
    """Take up the events of the next slice; others of its list are those of much later ones."""
    slice_ = w.counts[SLICE] + 1
    w.counts[SLICE] = slice_
    w.counts[OPENED] += 1
    here = w.slices[slice_ & (SLICES - 1)]
    if here >= 0:
        w.slices[slice_ & (SLICES - 1)] = -1
        while here >= 0:
            event = w.far[here]
            next_ = event.next
            if int(event.at * w.now[AN_HOUR]) == slice_:
                _push(w, event.at, event.order, event.who, event.stamp)
                w.counts[FAR_OFF] -= 1
                event.next = w.counts[FAR_FREE]
                w.counts[FAR_FREE] = here
            else:
                event.next = w.slices[slice_ & (SLICES - 1)]
                w.slices[slice_ & (SLICES - 1)] = here
            here = next_


@compiled
def _look_at_width(w: Work) -> None:
    """Make slices wider or narrower if too few or too many events are in them; none is open."""
    opened = max(1, w.counts[OPENED])
    each = w.counts[TAKEN_OFF] / opened
    w.counts[OPENED] = w.counts[TAKEN_OFF] = 0
    if _FEW <= each <= _MANY:
        return
    times = max(1.0 / _MOST_CHANGE, min(_MOST_CHANGE, each / _AIM))
    gathered = -1
    for n in range(SLICES):
        here = w.slices[n]
        w.slices[n] = -1
        while here >= 0:
            next_ = w.far[here].next
            w.far[here].next = gathered
            gathered = here
            here = next_
    w.now[AN_HOUR] *= times
    w.counts[SLICE] = int(w.now[NOW] * w.now[AN_HOUR]) - 1
    while gathered >= 0:
        event = w.far[gathered]
        next_ = event.next
        slice_ = int(event.at * w.now[AN_HOUR])
        event.next = w.slices[slice_ & (SLICES - 1)]
        w.slices[slice_ & (SLICES - 1)] = gathered
        gathered = next_


@inlined
def next_up(w: Work) -> tuple[int, int, int]:
    """Take the first of the heap off and set the clock to it: what, to whom, and its stamp.

    The hole that it leaves sinks to the bottom, along the earlier of two, without a look at the
    event that fills it, the last: that one mostly belongs there.
    """
    heap, last = w.heap, w.counts[HEAP] - 1
    top, end = heap[0], heap[last]
    order, who, stamp = top.order, top.who, top.stamp
    w.now[NOW] = top.at
    w.counts[HEAP] = last
    w.counts[TAKEN_OFF] += 1
    if last > 0:
        at, end_order, end_who, end_stamp = end.at, end.order, end.who, end.stamp
        end.at = math.inf
        hole, child = 0, 1
        while child < last:
            child += _before(heap[child + 1], heap[child])
            _copy(heap[hole], heap[child])
            hole, child = child, 2 * child + 1
        _rise(w, hole, at, end_order, end_who, end_stamp)
    return order & (KINDS - 1), who, stamp


@inlined
def _push(w: Work, at: float, order: int, who: int, stamp: int) -> None:
    hole = w.counts[HEAP]
    # One place is left for the end of the heap, which `next_up` writes there.
    if hole + 1 >= len(w.heap):
        w.counts[FULL] = 1
        return
    w.counts[HEAP] = hole + 1
    _rise(w, hole, at, order, who, stamp)


@inlined
def _rise(w: Work, hole: int, at: float, order: int, who: int, stamp: int) -> None:
    """Let a hole rise until nothing above it is later than an event, and put the event there."""
    heap = w.heap
    while hole > 0:
        parent = heap[(hole - 1) >> 1]
        if parent.at < at or (parent.at == at and parent.order < order):
            break
        _copy(heap[hole], parent)
        hole = (hole - 1) >> 1
    event = heap[hole]
    event.at, event.order, event.who, event.stamp = at, order, who, stamp


@inlined
def _before(one: Any, other: Any) -> int:
    """1 where one event comes before the other: a number, so that nothing is to be guessed."""
    sooner, same = one.at < other.at, one.at == other.at
    return int(sooner | (same & (one.order < other.order)))


@inlined
def _copy(to: Any, event: Any) -> None:
    to.at, to.order, to.who, to.stamp = event.at, event.order, event.who, event.stamp
