"""The agenda: what happens next, as a binary heap by time and then by order of planning."""

from typing import Any

from twin_core.simulation.kernel.compiled import compiled
from twin_core.simulation.kernel.layout import FULL, HEAP, ORDER, Work

NOW, END, NEXT_SAMPLE = range(3)
"""Where `Work.now` keeps the clock, the horizon, and when the next sample is due."""


@compiled
def plan(w: Work, at: float, kind: int, who: int, stamp: int) -> None:
    """Let something happen at an instant; what would happen after the horizon is left out."""
    if at > w.now[END]:
        return
    heap, hole = w.heap, w.counts[HEAP]
    if hole >= len(heap):
        w.counts[FULL] = 1
        return
    w.counts[HEAP] = hole + 1
    while hole > 0:
        parent = (hole - 1) >> 1
        if heap[parent].at <= at:
            break
        heap[hole] = heap[parent]
        hole = parent
    event = heap[hole]
    event.at = at
    event.order = w.counts[ORDER]
    event.kind = kind
    event.who = who
    event.stamp = stamp
    w.counts[ORDER] += 1


@compiled
def next_up(w: Work) -> tuple[int, int, int]:
    """Take the next event off the agenda and set the clock to it: what, to whom, and its stamp."""
    heap, last = w.heap, w.counts[HEAP] - 1
    top = heap[0]
    kind, who, stamp = top.kind, top.who, top.stamp
    w.now[NOW] = top.at
    w.counts[HEAP] = last
    at, order = heap[last].at, heap[last].order
    hole, child = 0, 1
    while child < last:
        other = child + 1
        if other < last and _before(heap[other], heap[child].at, heap[child].order):
            child = other
        if not _before(heap[child], at, order):
            break
        heap[hole] = heap[child]
        hole, child = child, 2 * child + 1
    heap[hole] = heap[last]
    return kind, who, stamp


@compiled
def _before(event: Any, at: float, order: int) -> bool:
    return event.at < at or (event.at == at and event.order < order)
