"""What later messages changed: a report as known at an instant, beside the same as known now."""

from collections.abc import Iterable
from datetime import datetime
from math import isclose

import msgspec

from twin_core.kpi.measuring import KpiRow

_Key = tuple[object, ...]


class KpiChange(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that is not what it was: as known then, and as known now.

    All three of one side are None where the figure was not known, or not there at all.
    """

    facility: str | None
    unit: str | None
    period_start: datetime
    period_end: datetime
    stratum: str | None
    statistic: str
    value_then: float | None
    value_now: float | None
    numerator_then: float | None
    numerator_now: float | None
    denominator_then: float | None
    denominator_now: float | None


def changes(then: Iterable[KpiRow], now: Iterable[KpiRow]) -> list[KpiChange]:
    """The figures that differ between two reports of one question, in the order of a report."""
    before, after = {_key(row): row for row in then}, {_key(row): row for row in now}
    found = [
        _change(before.get(key), after.get(key))
        for key in {**after, **before}
        if _differ(before.get(key), after.get(key))
    ]
    return sorted(found, key=_as_printed)


def _key(row: KpiRow) -> _Key:
    return (row.facility, row.unit, row.period_start, row.stratum, row.statistic)


def _parts(row: KpiRow | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if row is None else (row.value, row.numerator, row.denominator)


def _differ(one: KpiRow | None, other: KpiRow | None) -> bool:
    # Sums of the same times may differ in their last digits, in whatever order they were added.
    return not all(
        a == b or (a is not None and b is not None and isclose(a, b, rel_tol=1e-9, abs_tol=1e-9))
        for a, b in zip(_parts(one), _parts(other), strict=True)
    )


def _change(then: KpiRow | None, now: KpiRow | None) -> KpiChange:
    row = now or then
    assert row is not None  # noqa: S101  (a key is of one report at least)
    (value, above, below), (value_now, above_now, below_now) = _parts(then), _parts(now)
    return KpiChange(
        facility=row.facility,
        unit=row.unit,
        period_start=row.period_start,
        period_end=row.period_end,
        stratum=row.stratum,
        statistic=row.statistic,
        value_then=value,
        value_now=value_now,
        numerator_then=above,
        numerator_now=above_now,
        denominator_then=below,
        denominator_now=below_now,
    )


def _as_printed(row: KpiChange) -> tuple[object, ...]:
    return (
        row.facility or "",
        row.unit or "",
        row.period_start,
        row.stratum or "",
        row.statistic,
    )
