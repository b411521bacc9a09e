"""How patients come: at rates that change in time, one after another, or by appointment.

A rate that is constant in pieces is inverted exactly: an exponential amount of expected arrivals
is used up piece by piece, and where it ends is the next arrival (Cinlar 1975).
"""

import math

from twin_core.simulation.kernel.agenda import END, NOW, plan
from twin_core.simulation.kernel.chance import KEPT, LATENESS, SHOWS, mixed, uniform
from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.layout import (
    ARRIVE,
    COME,
    FREE,
    FULL,
    IDLE,
    NUMBER,
    PATIENTS,
    RENEWED,
    SATURATED,
    SLOT_AT,
    SLOTS,
    Plan,
    Work,
)
from twin_core.simulation.kernel.lengths import gamma, length
from twin_core.simulation.kernel.moves import ask

_GAPS, _DAYS, _BOOKED = 0x5851F42D4C957F2D, 0x14057B7EF767814F, 0x2545F4914F6CDD1D
"""Keys apart: of gaps, of days and of appointments."""


@inlined
def next_arrival(m: Plan, w: Work, s: int) -> None:
    """Plan the next arrival of a stream, if there is one before the end."""
    stream, source = m.streams[s], w.sources[s]
    key = mixed(source.key, _GAPS)
    if stream.kind == RENEWED:
        at = source.at + length(m, stream.length, key, source.number)
    else:
        at = _inverted(m, w, s, -math.log(uniform(key, source.number)))
    source.at = at
    if at < stream.ends:
        plan(w, at, ARRIVE, s, 0)


@compiled
def _inverted(m: Plan, w: Work, s: int, due: float) -> float:
    """When so many arrivals will have been expected since the last one."""
    stream, at = m.streams[s], w.sources[s].at
    offset, width = m.whole[0].offset, stream.step_hours
    if stream.rates == 1 and stream.day_cv == 0.0:
        rate = m.rates[stream.first_rate]
        return at + due / rate if rate > 0.0 else math.inf
    segment = math.floor((at + offset) / width)
    while at <= w.now[END] and at < stream.ends:
        upto = (segment + 1) * width - offset
        rate = m.rates[stream.first_rate + segment % stream.rates]
        if stream.day_cv > 0.0:
            rate *= _factor(m, w, s, math.floor((segment + 0.5) * width / 24.0))
        expected = rate * (upto - at)
        if expected >= due and upto > at:
            return at + due / rate
        if upto > at:
            due -= expected
            at = upto
        segment += 1
    return math.inf


@compiled
def _factor(m: Plan, w: Work, s: int, day: int) -> float:
    """How busy a day is: a gamma of mean 1, one for all of the day."""
    source = w.sources[s]
    if source.day != day:
        variance = m.streams[s].day_cv ** 2
        chance = mixed(mixed(source.key, _DAYS), day)
        source.day, source.factor = day, variance * gamma(1.0 / variance, chance)
    return source.factor


@compiled
def open_streams(m: Plan, w: Work, key: int) -> None:
    """Let every stream begin; `key` is the replication's."""
    for s in range(len(m.streams)):
        stream, source = m.streams[s], w.sources[s]
        source.number, source.day = 0, -1
        source.at, source.key = stream.begins, mixed(key, stream.key)
        if stream.kind == SATURATED:
            plan(w, stream.begins, ARRIVE, s, 0)
        elif stream.rates > 0 or stream.kind == RENEWED:
            next_arrival(m, w, s)
    if len(m.slots) > 0:
        plan(w, m.slots[0].at, SLOTS, 0, 0)


@compiled
def arrive(m: Plan, w: Work, s: int) -> None:
    """The next of a stream comes, and the one after is planned."""
    stream, source = m.streams[s], w.sources[s]
    if stream.kind == SATURATED and w.now[NOW] >= stream.ends:
        return
    n = source.number
    source.number += 1
    if stream.kind != SATURATED:
        next_arrival(m, w, s)
    key = mixed(source.key, n)
    if _kept(m, s, key, w.now[NOW]):
        _enter(m, w, s, key)


@inlined
def _kept(m: Plan, s: int, key: int, at: float) -> bool:
    """Whether a patient comes although fewer do."""
    stream = m.streams[s]
    for n in range(stream.first_thin, stream.first_thin + stream.thins):
        thin = m.thins[n]
        if (
            thin.begins <= at < thin.ends
            and uniform(mixed(key, n - stream.first_thin), KEPT) >= thin.kept
        ):
            return False
    return True


@inlined
def _enter(m: Plan, w: Work, s: int, key: int) -> None:
    stream = m.streams[s]
    i = newcomer(m, w, key, stream.step)
    if w.counts[FULL]:
        return
    if stream.kind == SATURATED:
        w.patients[i].stream = s
    ask(m, w, i, stream.step, w.now[NOW])


@inlined
def newcomer(m: Plan, w: Work, key: int, step: int) -> int:
    """A patient who was not there before; the books are full where there is no room."""
    i = w.counts[FREE]
    if i >= 0:
        w.counts[FREE] = w.patients[i].after
    else:
        i = w.counts[PATIENTS]
        if i >= len(w.patients):
            w.counts[FULL] = 1
            return 0
        w.counts[PATIENTS] = i + 1
        w.patients[i].stamp = 0
    p, now = w.patients[i], w.now[NOW]
    p.key, p.number, p.class_ = key, w.counts[NUMBER], m.steps[step].class_
    w.counts[NUMBER] += 1
    p.at = p.bed = p.held = p.stream = p.source = p.next = p.exit = -1
    p.state, p.visit = IDLE, 0
    p.arrived = p.since = p.over = p.began = now
    w.classes[p.class_].arrived += 1
    return i


@compiled
def book(m: Plan, w: Work) -> None:
    """Look at the appointments that are due to be looked at: who will come, and how late."""
    at = w.counts[SLOT_AT]
    while at < len(m.slots) and m.slots[at].at <= w.now[NOW]:
        slot = m.slots[at]
        stream = m.streams[slot.stream]
        key = _booked_key(w, slot.stream, slot.number)
        if _kept(m, slot.stream, key, slot.due):
            if uniform(key, SHOWS) < stream.no_show:
                w.classes[m.steps[stream.step].class_].no_shows += 1
            else:
                late = length(m, stream.length, key, LATENESS) if stream.length >= 0 else 0.0
                plan(w, max(slot.at, slot.due + late), COME, slot.stream, slot.number)
        at += 1
    w.counts[SLOT_AT] = at
    if at < len(m.slots):
        plan(w, m.slots[at].at, SLOTS, 0, 0)


@compiled
def _booked_key(w: Work, s: int, number: int) -> int:
    return mixed(mixed(w.sources[s].key, _BOOKED), number)


@compiled
def come(m: Plan, w: Work, s: int, number: int) -> None:
    """One with an appointment comes."""
    _enter(m, w, s, _booked_key(w, s, number))
