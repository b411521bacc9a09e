"""Run charts with control limits: what of a figure's course is a signal, and what is only noise.

Formulas and the four rules are those of Montgomery, Introduction to Statistical Quality Control
(7th edition, 2012), chapters 5 to 7: XmR (individuals and moving ranges) for any figure, p for
shares of counted events, u for counts per exposure. Values in, limits and signals out: nothing here
knows a KPI or a store.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec

Kind = Literal["XmR", "p", "u"]
Rule = Literal["beyond_limits", "shift", "trend", "two_of_three"]

RULES: dict[Rule, str] = {
    "beyond_limits": "one point beyond a control limit (3 sigma)",
    "shift": "eight points in a row on the same side of the centre line",
    "trend": "six points in a row, each higher than the one before, or each lower",
    "two_of_three": "two of three points in a row beyond 2 sigma on the same side",
}
"""The rules by name. Eight in a row is Montgomery's table 5.1 and the Western Electric handbook
(1956); NHS England's Making Data Count takes seven, which warns earlier and errs more often."""

BASELINE = 20
"""Known points that limits are computed from where nobody says otherwise (Montgomery: 20 to 25)."""
LEAST = 12
"""Fewer known points give no limits: Provost and Murray, The Health Care Data Guide (2011), compute
trial limits from 12 on."""

_LIMITS, _RANGES, _SHIFT, _TREND = 2.66, 3.267, 8, 6

_SAME = 1e-9
"""In sigmas: what lies no further apart is equal but for rounding."""


class Observed(NamedTuple):
    """One period of a figure; a value of None is not known and breaks every run.

    numerator and denominator are what a p or u chart counts; an XmR chart needs only the value.
    """

    value: float | None
    numerator: float | None = None
    denominator: float | None = None


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What the chart says of one period: its limits, and the rules by which it is a signal."""

    lower: float | None
    upper: float | None
    moving_range: float | None
    """Distance to the value of the period before; XmR charts only, None after a gap."""
    in_baseline: bool
    signals: tuple[Rule, ...]


class ControlChart(msgspec.Struct, frozen=True, kw_only=True):
    """A centre line, what it was computed from, and the judgement on each period.

    Without limits (centre is None) `why_not` says what is missing; then nothing is a signal.
    """

    kind: Kind
    centre: float | None
    moving_range: float | None
    """Mean moving range of the baseline; XmR charts only."""
    moving_range_upper: float | None
    baseline: int
    """Known points that the limits were computed from."""
    why_not: str
    points: tuple[Judged, ...]


class _Limits(NamedTuple):
    centre: float
    sigmas: list[float | None]
    """Per period; None where it has no exposure of its own."""
    moving_range: float | None = None


def control_chart(
    observed: Sequence[Observed],
    kind: Kind,
    *,
    baseline: Sequence[bool] | int = BASELINE,
    scale: float = 1.0,
    least: int = LEAST,
) -> ControlChart:
    """The chart of a figure's periods, in order of time.

    `baseline` says which periods the limits are computed from: one truth value per period, or the
    first N known ones. `scale` is what a p or u value is multiplied with: 100 for percent.
    """
    points = [_usable(point, kind) for point in observed]
    chosen = _baseline(points, baseline)
    known = sum(chosen)
    limits: _Limits | str = f"{known} known points are too few for limits: {least} are needed."
    if known >= least:
        limits = _COMPUTE[kind](points, chosen, scale)
    ranges = _moving_ranges(points) if kind == "XmR" else [None] * len(points)
    if isinstance(limits, str):
        return _without_limits(kind, limits, chosen, ranges)
    return _with_limits(kind, limits, points, chosen, ranges, scale)


def signals(
    values: Sequence[float | None], centre: float, sigmas: Sequence[float | None]
) -> list[tuple[Rule, ...]]:
    """Per period the rules that it is part of a signal by, in the order of `RULES`.

    A period that is not known ends every run; one on the centre line is on no side of it.
    """
    found: list[set[Rule]] = [set() for _ in values]
    for stretch in _stretches(values):
        course = [_value(values[at]) for at in stretch]
        distances = [_distance(values[at], centre, sigmas[at]) for at in stretch]
        hits: dict[Rule, Iterable[int]] = {
            "beyond_limits": [at for at, z in enumerate(distances) if abs(z) > 3 + _SAME],
            "shift": _runs([_sign(z) for z in distances], _SHIFT),
            "trend": _trends(course),
            "two_of_three": _two_of_three(distances),
        }
        for rule, places in hits.items():
            for at in places:
                found[stretch[at]].add(rule)
    return [tuple(rule for rule in RULES if rule in named) for named in found]


# --- limits ----------------------------------------------------------------------------------


def _xmr(points: Sequence[Observed], chosen: Sequence[bool], scale: float) -> _Limits | str:
    values = [point.value for point, used in zip(points, chosen, strict=True) if used]
    ranges = [
        moved
        for moved, used, before in zip(
            _moving_ranges(points)[1:], chosen[1:], chosen[:-1], strict=True
        )
        if moved is not None and used and before
    ]
    if not ranges:
        return "No two periods of the baseline follow on each other."
    mean_range = sum(ranges) / len(ranges)
    if mean_range == 0:
        return "The baseline does not vary."
    centre = sum(value for value in values if value is not None) / len(values)
    return _Limits(centre, [_LIMITS * mean_range / 3] * len(points), mean_range)


def _p(points: Sequence[Observed], chosen: Sequence[bool], scale: float) -> _Limits | str:
    share = _pooled(points, chosen)
    if not 0 < share < 1:
        return "The baseline does not vary."
    sigma = scale * math.sqrt(share * (1 - share))
    return _Limits(scale * share, _per_exposure(points, sigma))


def _u(points: Sequence[Observed], chosen: Sequence[bool], scale: float) -> _Limits | str:
    rate = _pooled(points, chosen)
    if rate <= 0:
        return "The baseline does not vary."
    return _Limits(scale * rate, _per_exposure(points, scale * math.sqrt(rate)))


_COMPUTE: dict[Kind, Callable[[Sequence[Observed], Sequence[bool], float], _Limits | str]] = {
    "XmR": _xmr,
    "p": _p,
    "u": _u,
}


def _pooled(points: Sequence[Observed], chosen: Sequence[bool]) -> float:
    """A ratio of sums, never a mean of ratios."""
    used = [point for point, counts in zip(points, chosen, strict=True) if counts]
    above = math.fsum(point.numerator or 0 for point in used)
    return above / math.fsum(point.denominator or 0 for point in used)


def _per_exposure(points: Sequence[Observed], sigma: float) -> list[float | None]:
    return [sigma / math.sqrt(point.denominator) if point.denominator else None for point in points]


def _with_limits(
    kind: Kind,
    limits: _Limits,
    points: Sequence[Observed],
    chosen: Sequence[bool],
    ranges: Sequence[float | None],
    scale: float,
) -> ControlChart:
    # A share is never below 0 or above 1, a rate never below 0, and neither are their limits.
    floor = -math.inf if kind == "XmR" else 0.0
    ceiling = scale if kind == "p" else math.inf
    found = signals([point.value for point in points], limits.centre, limits.sigmas)
    return ControlChart(
        kind=kind,
        centre=limits.centre,
        moving_range=limits.moving_range,
        moving_range_upper=None if limits.moving_range is None else _RANGES * limits.moving_range,
        baseline=sum(chosen),
        why_not="",
        points=tuple(
            Judged(
                lower=None if sigma is None else max(floor, limits.centre - 3 * sigma),
                upper=None if sigma is None else min(ceiling, limits.centre + 3 * sigma),
                moving_range=moved,
                in_baseline=used,
                signals=named,
            )
            for sigma, moved, used, named in zip(limits.sigmas, ranges, chosen, found, strict=True)
        ),
    )


def _without_limits(
    kind: Kind, why_not: str, chosen: Sequence[bool], ranges: Sequence[float | None]
) -> ControlChart:
    return ControlChart(
        kind=kind,
        centre=None,
        moving_range=None,
        moving_range_upper=None,
        baseline=sum(chosen),
        why_not=why_not,
        points=tuple(
            Judged(lower=None, upper=None, moving_range=moved, in_baseline=used, signals=())
            for moved, used in zip(ranges, chosen, strict=True)
        ),
    )


def _usable(point: Observed, kind: Kind) -> Observed:
    """The point, or an unknown one where a count has no exposure to be judged by."""
    if kind != "XmR" and (point.numerator is None or not point.denominator):
        return Observed(None)
    return point


def _baseline(points: Sequence[Observed], wanted: Sequence[bool] | int) -> list[bool]:
    if not isinstance(wanted, int):
        return [
            used and point.value is not None for point, used in zip(points, wanted, strict=True)
        ]
    chosen, left = [], wanted
    for point in points:
        used = left > 0 and point.value is not None
        left -= used
        chosen.append(used)
    return chosen


def _moving_ranges(points: Sequence[Observed]) -> list[float | None]:
    return [None] * bool(points) + [
        None if before.value is None or point.value is None else abs(point.value - before.value)
        for before, point in pairwise(points)
    ]


# --- rules -----------------------------------------------------------------------------------


def _stretches(values: Sequence[float | None]) -> list[list[int]]:
    """The places of known values, split where one is not known."""
    found: list[list[int]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            found[-1].append(at)
    return [stretch for stretch in found if stretch]


def _runs(sides: Sequence[int], length: int) -> Iterable[int]:
    """The places in runs of at least this length on one side (+1 or -1; 0 is on none)."""
    start = 0
    for end in range(1, len(sides) + 1):
        if end == len(sides) or sides[end] != sides[start]:
            if sides[start] and end - start >= length:
                yield from range(start, end)
            start = end


def _trends(course: Sequence[float]) -> set[int]:
    # Five steps in one direction are six points; a step's place is that of its later point.
    steps = [(after > before) - (after < before) for before, after in pairwise(course)]
    rising = set(_runs(steps, _TREND - 1))
    return rising | {at + 1 for at in rising}


def _two_of_three(distances: Sequence[float]) -> set[int]:
    found = set()
    for side in (1, -1):
        far = [at for at, z in enumerate(distances) if side * z > 2 + _SAME]
        for first, second in pairwise(far):
            if second - first <= 2:
                found |= {first, second}
    return found


def _distance(value: float | None, centre: float, sigma: float | None) -> float:
    """From the centre line, in sigmas."""
    return 0.0 if value is None or not sigma else (value - centre) / sigma


def _value(value: float | None) -> float:
    assert value is not None  # noqa: S101  (a stretch holds known values only)
    return value


def _sign(difference: float) -> int:
    return (difference > _SAME) - (difference < -_SAME)
