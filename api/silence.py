"""When a feed has been silent for too long: by its own weeks, or by what a site says.

A feed has a rhythm: how many messages each hour of the week brings, and how long it usually pauses
after each. A silence is too long when all three hold, so that neither a quiet night nor a sender of
batches is called broken:

- by its hourly rates it should have brought 6.9 messages (a chance of 1 in 1,000, were they
  independent);
- it is half as long again as the pause that usually follows the hour of its last message;
- it has lasted 15 minutes.

Hours are those of the feed's own time zone, over the 28 days before its last message, so a feed
that stays silent does not get used to it.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

LEARNED_FROM = timedelta(days=28)
LEAST_HISTORY = timedelta(hours=24)
LEAST_MESSAGES = 20
EXPECTED = math.log(1_000)
PATIENCE = 1.5
SHORTEST = timedelta(minutes=15)

_HOUR = timedelta(hours=1)
_OUTLIERS_FROM = 3
"""Pauses after the same hour from which on the longest is taken for an outage of its own."""


class HeardHour(NamedTuple):
    """Messages of a feed within one hour, which `hour` begins."""

    hour: datetime
    messages: int
    first_at: datetime
    last_at: datetime


class Rhythm:
    """What a feed usually does in each hour of the week."""

    def __init__(self, heard: Sequence[HeardHour], zone: ZoneInfo) -> None:
        self._zone = zone
        self._rates = _rates(heard, zone)
        self._pauses = _pauses(heard, zone)

    def due_by(self, last_at: datetime) -> datetime | None:
        """The instant from which silence since `last_at` is too long; None where it never is."""
        missed_at = self._missed_at(last_at)
        if missed_at is None:
            return None
        pause = self._pauses.get(_cell(last_at, self._zone), timedelta())
        return max(missed_at, last_at + PATIENCE * pause, last_at + SHORTEST)

    def _missed_at(self, last_at: datetime) -> datetime | None:
        missed, at = 0.0, last_at
        while at < last_at + LEARNED_FROM:
            hour_ends = _hour_of(at) + _HOUR
            rate = self._rates[_cell(at, self._zone)]
            more = rate * ((hour_ends - at) / _HOUR)
            if missed + more >= EXPECTED:
                return at + (EXPECTED - missed) / rate * _HOUR
            missed, at = missed + more, hour_ends
        return None


def learned(heard: Sequence[HeardHour], zone: ZoneInfo) -> Rhythm | None:
    """The rhythm of a feed from its hours, in order; None where too little is known of it."""
    if not heard or heard[-1].last_at - heard[0].first_at < LEAST_HISTORY:
        return None
    recent = [hour for hour in heard if hour.last_at > heard[-1].last_at - LEARNED_FROM]
    if sum(hour.messages for hour in recent) < LEAST_MESSAGES:
        return None
    return Rhythm(recent, zone)


def _rates(heard: Sequence[HeardHour], zone: ZoneInfo) -> tuple[float, ...]:
    """Messages per hour by hour of the week; as on other days where an hour was not seen yet."""
    by_cell: dict[int, list[int]] = defaultdict(list)
    by_clock: dict[int, list[int]] = defaultdict(list)
    counted = {_hour_of(hour.hour): hour.messages for hour in heard}
    for hour in _hours(heard[0].hour, heard[-1].hour):
        cell = _cell(hour, zone)
        by_cell[cell].append(counted.get(hour, 0))
        by_clock[cell % 24].append(counted.get(hour, 0))
    overall = [n for cell in by_cell.values() for n in cell]
    seen = (by_cell.get(cell) or by_clock.get(cell % 24) or overall for cell in range(7 * 24))
    return tuple(sum(counts) / len(counts) for counts in seen)


def _pauses(heard: Sequence[HeardHour], zone: ZoneInfo) -> dict[int, timedelta]:
    """How long the feed usually pauses after the messages of an hour of the week."""
    pauses: dict[int, list[timedelta]] = defaultdict(list)
    for hour, following in pairwise(heard):
        pauses[_cell(hour.hour, zone)].append(following.first_at - hour.last_at)
    return {cell: _usual(found) for cell, found in pauses.items()}


def _usual(pauses: list[timedelta]) -> timedelta:
    longest = sorted(pauses, reverse=True)
    return longest[1] if len(longest) >= _OUTLIERS_FROM else longest[0]


def _hours(first: datetime, last: datetime) -> Iterator[datetime]:
    hour = _hour_of(first)
    while hour <= last:
        yield hour
        hour += _HOUR


def _hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _cell(at: datetime, zone: ZoneInfo) -> int:
    local = at.astimezone(zone)
    return local.weekday() * 24 + local.hour
