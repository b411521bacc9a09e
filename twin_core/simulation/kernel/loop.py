"""The loop: one event after another until the horizon, and the books closed there."""

import math
from typing import Any

from twin_core.simulation.kernel.agenda import END, NEXT_SAMPLE, NOW, looked_ahead, next_up
from twin_core.simulation.kernel.arriving import arrive, book, come, open_streams
from twin_core.simulation.kernel.beginning import change, cleaned, clear, empty, fill
from twin_core.simulation.kernel.chance import mixed
from twin_core.simulation.kernel.compiled import compiled
from twin_core.simulation.kernel.layout import (
    ARRIVE,
    CHANGES,
    CLEAN,
    COME,
    DONE,
    EVENTS,
    FULL,
    IDLE,
    LEAVE,
    OPEN,
    OVERFLOW,
    PATIENTS,
    QUEUED,
    RECORD,
    RENEGE,
    SLOTS,
    STAYS,
    UNSEEN,
    WARM,
    WENT,
    Books,
    Plan,
    Records,
    Work,
)
from twin_core.simulation.kernel.leaving import stay_over
from twin_core.simulation.kernel.ledger import touch, wait_quantile, write_stay
from twin_core.simulation.kernel.moves import find_place, leave, start
from twin_core.simulation.kernel.serving import settle


@compiled
def replicate(m: Plan, w: Work, books: Books, run: Any, row: int, replication: int) -> None:
    """Run one replication and write its books into a row of `books`.

    `w.counts[FULL]` tells when there was no room: then nothing was written, and it has to be run
    again with more.
    """
    key = mixed(run.seed, replication)
    before = w.counts[STAYS]
    empty(m, w, run.hours)
    w.counts[RECORD] = run.record
    change(m, w)
    clear(m, w)
    fill(m, w, key)
    open_streams(m, w, key)
    sampled = 0
    w.now[NEXT_SAMPLE] = 0.0 if run.samples > 0 else math.inf
    while looked_ahead(w):
        at = w.heap[0].at
        while w.now[NEXT_SAMPLE] <= at and sampled < run.samples:
            _sample(m, w, books, row * run.samples + sampled)
            sampled += 1
            w.now[NEXT_SAMPLE] = sampled * run.sample_hours
        if at >= run.warm_up and w.counts[WARM] == 0:
            _warm(m, w, run.warm_up)
        _happen(m, w)
        settle(m, w)
        w.counts[EVENTS] += 1
    while sampled < run.samples:
        _sample(m, w, books, row * run.samples + sampled)
        sampled += 1
    if w.counts[WARM] == 0 and w.counts[FULL] == 0:
        _warm(m, w, run.warm_up)
    if w.counts[FULL] == 0:
        _close(m, w)
    # Who is there at the end has a row, too: room may be short only then.
    if w.counts[FULL] != 0:
        w.counts[STAYS] = before
        return
    for n in range(before, w.counts[STAYS]):
        w.stays[n].replication = replication
    _copy(w.step_floats, books.steps, row)
    _copy(w.unit_floats, books.units, row)
    _copy(w.class_floats, books.classes, row)
    books.events[row] = w.counts[EVENTS]


@compiled
def _copy(table: Records, book: Records, row: int) -> None:
    for n in range(len(table)):
        book[row * len(table) + n] = table[n]


@compiled
def _happen(m: Plan, w: Work) -> None:
    """What is next on the agenda, unless it has been overtaken."""
    kind, who, stamp = next_up(w)
    if kind == DONE:
        if w.patients[who].stamp == stamp:
            stay_over(m, w, who)
    elif kind == ARRIVE:
        arrive(m, w, who)
    elif kind == CLEAN:
        cleaned(m, w, who, stamp)
    elif kind == CHANGES:
        change(m, w)
    elif kind == SLOTS:
        book(m, w)
    elif kind == COME:
        come(m, w, who, stamp)
    elif w.patients[who].stamp == stamp:
        if kind == LEAVE:
            leave(m, w, who, WENT, w.patients[who].exit)
        elif kind == RENEGE:
            w.steps[w.patients[who].step].reneged += 1
            leave(m, w, who, UNSEEN, -1)
        elif kind == OVERFLOW:
            w.patients[who].away = 1
            place = find_place(m, w, who)
            if place >= 0:
                start(m, w, who, place)


@compiled
def _sample(m: Plan, w: Work, books: Books, at: int) -> None:
    units = m.whole[0].units
    for u in range(units):
        ward, sample = w.wards[u], books.samples[at * units + u]
        sample.census = ward.occupied
        sample.waiting = ward.waiting
        sample.boarding = ward.boarding


@compiled
def _warm(m: Plan, w: Work, at: float) -> None:
    """Begin to count."""
    w.counts[WARM] = 1
    if at > 0.0:
        w.now[NOW] = at
        for u in range(m.whole[0].units):
            touch(w, u)
        clear(m, w)


@compiled
def _close(m: Plan, w: Work) -> None:
    """Count everything up to the horizon, and write down the stays that go on beyond it."""
    w.now[NOW] = w.now[END]
    for u in range(m.whole[0].units):
        touch(w, u)
        w.units[u].wait_p50 = wait_quantile(w, u, 0.5)
        w.units[u].wait_p90 = wait_quantile(w, u, 0.9)
        w.units[u].wait_p95 = wait_quantile(w, u, 0.95)
    for i in range(w.counts[PATIENTS]):
        p = w.patients[i]
        if p.state == IDLE:
            continue
        if p.state == QUEUED or p.at >= 0:
            write_stay(m, w, i, OPEN, -1)
