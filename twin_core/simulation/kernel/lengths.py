"""Lengths of time: drawn anew, and the rest of one of which some has passed."""

import math

from twin_core.simulation.kernel.chance import SUB, mixed, normal_quantile, uniform
from twin_core.simulation.kernel.compiled import compiled, inlined
from twin_core.simulation.kernel.layout import (
    EXPONENTIAL,
    FIXED,
    GAMMA,
    LOGNORMAL,
    MIX,
    NORMAL,
    OBSERVED,
    QUANTILES,
    TRIANGLE,
    UNIFORM,
    WEIBULL,
    Plan,
)

_TRIES = 4096
OVERDUE = 0.1
"""Who has stayed longer than was ever observed has, on average, a tenth of it still to stay."""
_SQRT2 = 1.4142135623730951


@inlined
def length(m: Plan, which: int, key: int, number: int) -> float:
    """One duration; `key` and `number` name the chance it is drawn with."""
    if m.lengths[which].kind == MIX:
        which = _ingredient(m, which, uniform(key, number))
        key = mixed(key, number)
        number = SUB
    if m.lengths[which].kind == GAMMA:
        of = m.lengths[which]
        return of.plus + of.b * gamma(of.a, mixed(key, number))
    return beyond(m, which, uniform(key, number))


@compiled
def _ingredient(m: Plan, which: int, u: float) -> int:
    first = m.lengths[which].first
    last = first + m.lengths[which].count - 1
    while first < last and u > m.points[first].upto:
        first += 1
    return int(m.points[first].value)


@compiled
def gamma(shape: float, key: int) -> float:
    """A gamma of scale 1 (Marsaglia and Tsang 2000)."""
    boost, k = 1.0, shape
    if k < 1.0:
        boost, k = uniform(key, 0) ** (1.0 / k), k + 1.0
    d = k - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    number = 1
    while True:
        x = normal_quantile(uniform(key, number))
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(uniform(key, number + 1)) < 0.5 * x * x + d - d * v + d * math.log(
            v
        ):
            return boost * d * v
        number += 2


@inlined
def beyond(m: Plan, which: int, s: float) -> float:
    """The duration that a share `s` exceeds (the inverse of `surviving`)."""
    return m.lengths[which].plus + _plain_beyond(m, which, s)


@inlined
def _plain_beyond(m: Plan, which: int, s: float) -> float:
    of = m.lengths[which]
    kind, a, b, c = of.kind, of.a, of.b, of.c
    if kind == FIXED:
        return a
    if kind == EXPONENTIAL:
        return -a * math.log(s)
    if kind == LOGNORMAL:
        return math.exp(a - b * normal_quantile(s))
    if kind == WEIBULL:
        return b * (-math.log(s)) ** (1.0 / a)
    if kind == NORMAL:
        return a - b * normal_quantile(s)
    if kind == UNIFORM:
        return b - s * (b - a)
    if kind == TRIANGLE:
        if s >= (b - c) / (b - a):
            return a + math.sqrt((1.0 - s) * (b - a) * (c - a))
        return b - math.sqrt(s * (b - a) * (b - c))
    if kind == GAMMA:
        return _bisected(m, which, s)
    return _from_points(m, which, s)


@compiled
def _bisected(m: Plan, which: int, s: float) -> float:
    a, low, high = m.lengths[which].a, 0.0, m.lengths[which].a
    while _gamma_surviving(a, high) > s:
        low, high = high, 2.0 * high
    for _ in range(80):
        middle = 0.5 * (low + high)
        if _gamma_surviving(a, middle) > s:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high) * m.lengths[which].b


@compiled
def _from_points(m: Plan, which: int, s: float) -> float:
    kind, first, count = m.lengths[which].kind, m.lengths[which].first, m.lengths[which].count
    low, high, u = first, first + count - 1, 1.0 - s
    if u > m.points[high].upto:
        end = m.points[high]
        return end.value - m.lengths[which].a * math.log(s / (1.0 - end.upto))
    while low < high:
        middle = (low + high) // 2
        if m.points[middle].upto < u:
            low = middle + 1
        else:
            high = middle
    if kind == OBSERVED or low == first:
        return m.points[low].value
    under, over = m.points[low - 1], m.points[low]
    share = (u - under.upto) / (over.upto - under.upto)
    return under.value + share * (over.value - under.value)


@compiled
def _plain_surviving(m: Plan, which: int, x: float) -> float:
    """The share of durations of one family that exceed `x`."""
    of = m.lengths[which]
    kind, a, b, c = of.kind, of.a, of.b, of.c
    x -= of.plus
    if kind == NORMAL:
        return 0.5 * math.erfc((x - a) / (b * _SQRT2))
    if x <= 0.0:
        return 1.0
    if kind == FIXED:
        return 1.0 if x < a else 0.0
    if kind == EXPONENTIAL:
        return math.exp(-x / a)
    if kind == LOGNORMAL:
        return 0.5 * math.erfc((math.log(x) - a) / (b * _SQRT2))
    if kind == WEIBULL:
        return math.exp(-((x / b) ** a))
    if kind == GAMMA:
        return _gamma_surviving(a, x / b)
    if kind == UNIFORM:
        return min(1.0, max(0.0, (b - x) / (b - a)))
    if kind == TRIANGLE:
        return _triangle_surviving(a, b, c, x)
    return _points_surviving(m, which, x)


@compiled
def _triangle_surviving(a: float, b: float, c: float, x: float) -> float:
    if x <= a:
        return 1.0
    if x >= b:
        return 0.0
    if x < c:
        return 1.0 - (x - a) ** 2 / ((b - a) * (c - a))
    return (b - x) ** 2 / ((b - a) * (b - c))


@compiled
def _points_surviving(m: Plan, which: int, x: float) -> float:
    kind, first = m.lengths[which].kind, m.lengths[which].first
    last = first + m.lengths[which].count - 1
    if x >= m.points[last].value:
        tail, mean = 1.0 - m.points[last].upto, m.lengths[which].a
        return tail * math.exp((m.points[last].value - x) / mean) if tail > 0.0 else 0.0
    under = 0.0
    for at in range(first, last + 1):
        if m.points[at].value > x:
            if kind == OBSERVED or at == first:
                return 1.0 - under
            before, after = m.points[at - 1], m.points[at]
            share = (x - before.value) / (after.value - before.value)
            return 1.0 - before.upto - share * (after.upto - before.upto)
        under = m.points[at].upto
    return 0.0


@compiled
def _gamma_surviving(shape: float, x: float) -> float:
    """The upper incomplete gamma function, regularised: a series below, a fraction above."""
    front = math.exp(-x + shape * math.log(x) - math.lgamma(shape))
    if x < shape + 1.0:
        term = total = 1.0 / shape
        for n in range(1, _TRIES):
            term *= x / (shape + n)
            total += term
            if term < total * 1e-16:
                break
        return max(0.0, 1.0 - front * total)
    b = x + 1.0 - shape
    c, d = 1e300, 1.0 / b
    h = d
    for n in range(1, _TRIES):
        b += 2.0
        an = -n * (n - shape)
        d = 1.0 / (an * d + b)
        c = b + an / c
        h *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front * h


@compiled
def surviving(m: Plan, which: int, x: float) -> float:
    """The share of durations that exceed `x`."""
    if m.lengths[which].kind != MIX:
        return _plain_surviving(m, which, x)
    first, total, before = m.lengths[which].first, 0.0, 0.0
    for at in range(first, first + m.lengths[which].count):
        total += (m.points[at].upto - before) * _plain_surviving(m, int(m.points[at].value), x)
        before = m.points[at].upto
    return total


@compiled
def rest(m: Plan, which: int, passed: float, key: int, number: int) -> float:
    """What is left of a duration of which `passed` hours have gone by.

    Drawn from what is known to last longer. Bounded families that are overdue end at once; who has
    stayed longer than was ever observed has an exponential rest.
    """
    if m.lengths[which].kind == MIX:
        which = _surviving_ingredient(m, which, passed, uniform(key, number))
        key = mixed(key, number)
        number = SUB
    left = _plain_surviving(m, which, passed)
    u = uniform(key, number)
    if left > 1e-300:
        return max(0.0, beyond(m, which, u * left) - passed)
    kind = m.lengths[which].kind
    if kind in (OBSERVED, QUANTILES):
        return -OVERDUE * passed * math.log(u)
    return 0.0


@compiled
def _surviving_ingredient(m: Plan, which: int, passed: float, u: float) -> int:
    first = m.lengths[which].first
    last = first + m.lengths[which].count - 1
    aim, before = u * surviving(m, which, passed), 0.0
    for at in range(first, last):
        one = int(m.points[at].value)
        aim -= (m.points[at].upto - before) * _plain_surviving(m, one, passed)
        before = m.points[at].upto
        if aim <= 0.0:
            return one
    return int(m.points[last].value)
