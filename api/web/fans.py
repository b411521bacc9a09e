"""An answer about what comes next, as pages show it: fans, their rows, and differences."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from api.web.chart import Spread
from api.web.reader import t
from api.web.rendering import instant


class Fan(NamedTuple):
    """A unit's census to come, and beside it that of a changed hospital where there is one."""

    unit: str
    hours: list[Spread]
    other: list[float] | None
    changed: list[Spread] | None


def fans(answered: Mapping[str, Any], zone: str) -> Iterator[Fan]:
    """A fan for every unit in which anybody may be, with the first scenario's beside it."""
    as_it_is, *changed = answered["hospitals"]
    labels = hour_labels(answered, zone)
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


def _hours(answered: Mapping[str, Any]) -> list[float]:
    hours: list[float] = answered["hours"]
    return hours


def told_differences(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All differences of the hospital, and those of units whose interval leaves out nought."""
    told = [{**row, "is_clear": _is_clear(row)} for row in rows]
    kept = [row for row in told if row["unit"] is None or row["is_clear"]]
    return sorted(kept, key=lambda row: row["unit"] is not None)


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
