"""Capacities that repeat every week, as steps from Monday 00:00 on."""

from collections.abc import Sequence

WEEK = 168.0
Steps = list[tuple[float, int]]
"""(hours since Monday 00:00, capacity from then on), beginning at 0."""


def weekly_steps(otherwise: int, periods: Sequence[tuple[float, float, int]]) -> Steps:
    """The capacity of a week: that of the periods where there are any, the sum where they overlap.

    A period that goes past Sunday midnight goes on on Monday.
    """
    parts = [part for period in periods for part in _within_week(*period)]
    cuts = sorted({0.0, *(p[0] for p in parts), *(p[1] for p in parts if p[1] < WEEK)})
    steps: Steps = []
    for cut in cuts:
        covering = [amount for begin, end, amount in parts if begin <= cut < end]
        capacity = sum(covering) if covering else otherwise
        if not steps or steps[-1][1] != capacity:
            steps.append((cut, capacity))
    return steps


def _within_week(begin: float, end: float, amount: int) -> list[tuple[float, float, int]]:
    if end <= WEEK:
        return [(begin, end, amount)]
    return [(begin, WEEK, amount), (0.0, end - WEEK, amount)]
