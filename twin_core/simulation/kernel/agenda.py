"""The agenda: what happens next, as a binary heap by time and then by order of planning."""

import math
from typing import Any

from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.layout import FULL, HEAP, KINDS, ORDER, Work

NOW, END, NEXT_SAMPLE = range(3)
"""Where `Work.now` keeps the clock, the horizon, and when the next sample is due."""


@compiled
def plan(w: Work, at: float, kind: int, who: int, stamp: int) -> None:
    """Let something happen at an instant; what would happen after the horizon is left out."""
    if at > w.now[END]:
        return
    hole = w.counts[HEAP]
    # One place is left for the end of the heap, which `next_up` writes there.
    if hole + 1 >= len(w.heap):
        w.counts[FULL] = 1
        return
    w.counts[HEAP] = hole + 1
    order = w.counts[ORDER]
    w.counts[ORDER] = order + KINDS
    _rise(w, hole, at, order + kind, who, stamp)


@compiled
def next_up(w: Work) -> tuple[int, int, int]:
    """Take the next event off the agenda and set the clock to it: what, to whom, and its stamp.

    The hole that it leaves sinks to the bottom, along the earlier of two, without a look at the
    event that fills it, the last: that one mostly belongs there.
    """
    heap, last = w.heap, w.counts[HEAP] - 1
    top, end = heap[0], heap[last]
    order, who, stamp = top.order, top.who, top.stamp
    w.now[NOW] = top.at
    w.counts[HEAP] = last
    at, end_order, end_who, end_stamp = end.at, end.order, end.who, end.stamp
    end.at = math.inf
    hole, child = 0, 1
    while child < last:
        child += _before(heap[child + 1], heap[child])
        _copy(heap[hole], heap[child])
        hole, child = child, 2 * child + 1
    if last > 0:
        _rise(w, hole, at, end_order, end_who, end_stamp)
    return order % KINDS, who, stamp


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
