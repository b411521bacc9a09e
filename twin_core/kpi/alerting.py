"""When an alert opens and closes: a threshold with hysteresis, patience and quiet hours.

A figure that is not known changes nothing: it neither opens an alert nor closes one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from hashlib import sha256
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from twin_core.errors import ConfigurationError, UsageError
from twin_core.kpi.catalogue import Definition
from twin_core.kpi.measuring import KpiRow
from twin_core.settings import AlertSettings

Place = tuple[str | None, str | None]
"""Facility and unit; None where the figure is of more than one."""
State = Literal["open", "acknowledged", "closed"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert: what it is about, and when it opened, was acknowledged and closed."""

    alert_id: str
    name: str
    state: State
    kpi: str
    statistic: str
    facility: str | None
    unit: str | None
    threshold: float
    opened_at: datetime
    opened_value: float
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    closed_at: datetime | None = None
    closed_value: float | None = None


class Standing(NamedTuple):
    """How a place stands with an alert: whether one is open, and since when it is beyond."""

    is_open: bool = False
    beyond_since: datetime | None = None


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it would have been: when it would have opened and closed (None: not yet)."""

    name: str
    facility: str | None
    unit: str | None
    opened_at: datetime
    opened_value: float
    closed_at: datetime | None = None


Judgement = Literal["opened", "closed"] | None


def judged(
    rule: AlertSettings, before: Standing, value: float | None, at: datetime, zone: ZoneInfo
) -> tuple[Standing, Judgement]:
    """How a place stands with a rule at an instant, and whether its alert opens or closes then."""
    if value is None:
        return before, None
    if before.is_open:
        return (Standing(), "closed") if is_back(rule, value) else (before, None)
    if not is_beyond(rule, value):
        return Standing(), None
    since = before.beyond_since or at
    if at - since < timedelta(minutes=rule.hold_minutes) or is_quiet(rule, at, zone):
        return Standing(False, since), None
    return Standing(True, since), "opened"


def is_beyond(rule: AlertSettings, value: float) -> bool:
    """Whether a figure is a reason for an alert."""
    if rule.above is not None:
        return value > rule.above
    return rule.below is not None and value < rule.below


def is_back(rule: AlertSettings, value: float) -> bool:
    """Whether a figure ends an alert: back at `clear`, or within the threshold where unset."""
    if rule.clear is None:
        return not is_beyond(rule, value)
    return value <= rule.clear if rule.above is not None else value >= rule.clear


def is_quiet(rule: AlertSettings, at: datetime, zone: ZoneInfo) -> bool:
    """Whether an instant lies in the quiet hours, which may go over midnight."""
    if rule.quiet_hours is None:
        return False
    begins, ends = (time.fromisoformat(word) for word in rule.quiet_hours)
    local = at.astimezone(zone).time()
    return begins <= local < ends if begins <= ends else local >= begins or local < ends


def values(rule: AlertSettings, kpi: Definition, rows: Iterable[KpiRow]) -> dict[Place, float]:
    """The known headline figures of a rule by place, out of a KPI's rows over its window."""
    statistic = rule.statistic or next(iter(kpi.statistics))
    return {
        (row.facility, row.unit): row.value
        for row in rows
        if row.statistic == statistic
        and row.stratum is None
        and row.value is not None
        and (not rule.units or row.unit in rule.units)
    }


def replayed(
    name: str,
    rule: AlertSettings,
    figures_at: Callable[[datetime], Mapping[Place, float]],
    instants: Sequence[datetime],
    zone: ZoneInfo,
) -> list[Firing]:
    """The alerts of a rule, had it looked at these instants; figures are asked for once each."""
    standing: dict[Place, Standing] = {}
    firing: dict[Place, Firing] = {}
    ended: list[Firing] = []
    for at in instants:
        for place, value in figures_at(at).items():
            standing[place], judgement = judged(
                rule, standing.get(place, Standing()), value, at, zone
            )
            if judgement == "opened":
                firing[place] = Firing(
                    name=name,
                    facility=place[0],
                    unit=place[1],
                    opened_at=at,
                    opened_value=value,
                )
            elif judgement == "closed":
                ended.append(msgspec.structs.replace(firing.pop(place), closed_at=at))
    found = [*ended, *firing.values()]
    return sorted(found, key=lambda one: (one.opened_at, one.facility or "", one.unit or ""))


def stepped(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    """Instants from a step after the start to the end, as a rule looks at them."""
    at = start + step
    while at <= end:
        yield at
        at += step


def checked(rules: Mapping[str, AlertSettings], kpis: Mapping[str, Definition]) -> None:
    """Raise ConfigurationError for a rule about what the catalogue does not have."""
    for name, rule in rules.items():
        kpi = kpis.get(rule.kpi)
        if kpi is None:
            raise ConfigurationError(
                f"alerts.{name}.kpi: there is no KPI {rule.kpi!r}.", do="List them: wardtwin kpi."
            )
        if rule.statistic and rule.statistic not in kpi.statistics:
            raise ConfigurationError(
                f"alerts.{name}.statistic: {rule.kpi} has no statistic {rule.statistic!r}.",
                do=f"Use {', '.join(kpi.statistics)}.",
            )
        if rule.by not in kpi.by or "all" not in kpi.grain:
            raise ConfigurationError(
                f"alerts.{name}.by: {rule.kpi} is not told apart by {rule.by}.",
                do=f"Use {', '.join(word for word in kpi.by if word in _BY)}.",
            )


_BY = ("hospital", "facility", "unit")


def rule_named(rules: Mapping[str, AlertSettings], name: str) -> AlertSettings:
    """The rule of a name; UsageError lists those there are."""
    try:
        return rules[name]
    except KeyError:
        raise UsageError(
            f"There is no [alerts.{name}] in the settings.",
            do=f"Configured are {', '.join(sorted(rules)) or 'none'}.",
        ) from None


def alert_id(name: str, place: Place, opened_at: datetime) -> str:
    """A stable id: the same alert of the same instant has the same one."""
    words = "|".join((name, place[0] or "", place[1] or "", opened_at.isoformat()))
    return "a" + sha256(words.encode()).hexdigest()[:15]


def alert_of(row: Mapping[str, object]) -> Alert:
    """An alert as the store has it."""
    state = "closed" if row["closed_at"] else "acknowledged" if row["acknowledged_at"] else "open"
    told = {name: row[name] for name in Alert.__struct_fields__ if name != "state"}
    return msgspec.convert({**told, "state": state}, Alert)
