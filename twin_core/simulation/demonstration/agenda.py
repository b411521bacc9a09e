"""What is going to happen next: the simulation's own time, in whole seconds since 1970."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

MINUTE, HOUR, DAY = 60, 3600, 86400


class Agenda:
    """Actions in order of time; those of the same second keep the order they were entered."""

    def __init__(self, start: int, zone: ZoneInfo) -> None:
        self.now = start
        self.zone = zone
        self._entries: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entered = 0

    def at(self, when: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do something at an instant, or now if that is past."""
        self._entered += 1
        entry = (max(when, self.now), self._entered, action, arguments)
        heapq.heappush(self._entries, entry)

    def after(self, seconds: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do something some seconds from now."""
        self.at(self.now + seconds, action, *arguments)

    def next_at(self) -> int | None:
        """When the next thing happens."""
        return self._entries[0][0] if self._entries else None

    def step(self) -> None:
        """Let the next thing happen."""
        self.now, _, action, arguments = heapq.heappop(self._entries)
        action(*arguments)

    def local(self, at: int | None = None) -> datetime:
        """The hospital's wall clock, now or at an instant."""
        return datetime.fromtimestamp(self.now if at is None else at, self.zone)

    def midnight(self, days_ahead: int = 0) -> int:
        """The beginning of a local day: today, or some days from now."""
        day = self.local().date() + timedelta(days=days_ahead)
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp())


def utc(at: int) -> datetime:
    """An instant of the simulation as an aware datetime."""
    return datetime.fromtimestamp(at, UTC)


def poisson(chance: Random, mean: float) -> int:
    """How many of something rare happen, where `mean` is expected (for means below some 50)."""
    count, waited = 0, chance.expovariate(1.0)
    while waited < mean:
        count += 1
        waited += chance.expovariate(1.0)
    return count


def weighted(chance: Random, shares: dict[str, float]) -> str:
    """One key, each as likely as its share of the whole."""
    drawn = chance.random() * sum(shares.values())
    for key, share in shares.items():
        drawn -= share
        if drawn < 0:
            return key
    return key
