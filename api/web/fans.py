"""An answer about what comes next, as pages show it: fans, their rows, and differences."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from api.web.chart import Mark, Spread
from api.web.reader import t
from api.web.rendering import instant, short_day


class Fan(NamedTuple):
    """A unit's census to come, and beside it that of a changed hospital where there is one."""

    unit: str
    hours: list[Spread]
    other: list[float] | None
    changed: list[Spread] | None
    days: list[Mark]


def fans(answered: Mapping[str, Any], zone: str) -> Iterator[Fan]:
    """A fan for every unit in which anybody may be, with the first scenario's beside it."""
    as_it_is, *changed = answered["hospitals"]
    labels, days = hour_labels(answered, zone), day_marks(answered, zone)
    other = changed[0]["census"] if changed else {}
    codes = [*as_it_is["census"], *(code for code in other if code not in as_it_is["census"])]
    for code in codes:
        spread = as_it_is["census"].get(code) or _nobody(len(labels))
        beside = other.get(code)
        if any(spread["p95"]) or (beside is not None and any(beside["p95"])):
            yield Fan(
                code,
                spreads(labels, spread),
                beside["p50"] if beside is not None else None,
                spreads(labels, beside) if beside is not None else None,
                days,
            )


def _nobody(hours: int) -> dict[str, list[float]]:
    return {name: [0.0] * hours for name in ("p05", "p25", "p50", "p75", "p95")}


def spreads(labels: Sequence[str], told: Mapping[str, Sequence[float]]) -> list[Spread]:
    """The hours of a unit as an answer tells them."""
    columns = (told["p05"], told["p25"], told["p50"], told["p75"], told["p95"])
    return [Spread(*hour) for hour in zip(labels, *columns, strict=True)]


def hour_labels(answered: Mapping[str, Any], zone: str) -> list[str]:
    """The hours of an answer: instants where the hospital begins as it stands, else counted."""
    start = answered.get("start")
    if not start:
        split = [divmod(int(hour), 24) for hour in _hours(answered)]
        return [t("day {day}, {hour} h", day=day, hour=hour) for day, hour in split]
    began = datetime.fromisoformat(start)
    return [instant(began + timedelta(hours=hour), zone) for hour in _hours(answered)]


def day_marks(answered: Mapping[str, Any], zone: str) -> list[Mark]:
    """Where the days of an answer begin: at the hospital's midnights, else every 24 hours."""
    first, last = (_hours(answered)[at] for at in (0, -1))
    if last <= first:
        return []
    periods = (len(_hours(answered)) - 1) / (last - first)
    start = answered.get("start")
    if not start:
        days = range(int(first // 24), int(last // 24) + 1)
        return [Mark((24 * d - first) * periods, t("day {day}", day=d)) for d in days]
    began = datetime.fromisoformat(start) + timedelta(hours=first)
    ends = began + timedelta(hours=last - first)
    return [
        Mark((midnight - began) / timedelta(hours=1) * periods, short_day(midnight, zone))
        for midnight in _midnights(began, ends, ZoneInfo(zone))
    ]


def _midnights(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    date = start.astimezone(zone).date() + timedelta(days=1)
    while (midnight := datetime.combine(date, time(), zone).astimezone(UTC)) <= end:
        yield midnight
        date += timedelta(days=1)


def _hours(answered: Mapping[str, Any]) -> list[float]:
    hours: list[float] = answered["hours"]
    return hours


def told_differences(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All differences of the hospital, and those of units whose interval leaves out nought.

    Shares are told in percent, as people say them.
    """
    told = [{**_in_percent(row), "is_clear": _is_clear(row)} for row in rows]
    kept = [row for row in told if row["unit"] is None or row["is_clear"]]
    return sorted(kept, key=lambda row: row["unit"] is not None)


def _in_percent(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if row["in"] != "share":
        return row
    told = {name: row[name] for name in ("baseline", "changed", "difference", "low", "high")}
    return {
        **row,
        "in": "%",
        **{name: None if value is None else 100 * value for name, value in told.items()},
    }


def _is_clear(row: Mapping[str, Any]) -> bool:
    low, high = row["low"], row["high"]
    return low is not None and high is not None and (low > 0 or high < 0)


def census_rows(answered: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for every hospital, unit and hour: what the fans are drawn from."""
    start = answered.get("start")
    began = datetime.fromisoformat(start) if start else None
    for hospital in answered["hospitals"]:
        for what in ("census", "waiting", "boarding"):
            for unit, told in hospital[what].items():
                for at, hour in enumerate(answered["hours"]):
                    yield {
                        "scenario": hospital["scenario"] or "",
                        "what": what,
                        "unit": unit,
                        "hour": hour,
                        "at": began + timedelta(hours=hour) if began else "",
                        **{name: values[at] for name, values in told.items()},
                    }
