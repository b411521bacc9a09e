"""Feed freshness agrees with a naive count: every silence weighed hour by hour, as it is defined.

The feeds chatter at a rate of their own by day and by night and fall silent now and then, around a
change of the clocks; what is known ends before, at or after the window.
"""

import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from drawn import Hospital
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_oracle import rounded

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVER_SILENT = math.log(1_000)
"""So many messages expected and none heard happens once in a thousand times."""
SHORTEST = timedelta(minutes=15)


class Heard(NamedTuple):
    """What a hospital with some feeds has heard, and the window that is asked about."""

    zone: ZoneInfo
    start: datetime
    end: datetime
    as_of: datetime
    grain: str
    feeds: dict[str, list[datetime]]

    @property
    def seen_to(self) -> datetime:
        return min(self.end, self.as_of)

    def periods(self) -> Iterator[tuple[datetime, datetime]]:
        """Hours, or days of the hospital's own."""
        at = self.start
        while at < self.end:
            local = at.astimezone(self.zone)
            after = at + HOUR if self.grain == "hour" else (local + DAY).astimezone(UTC)
            yield at, after
            at = after


class Feed:
    """One feed's messages up to what is known, and how many were to be expected when."""

    def __init__(self, heard: Heard, received: list[datetime]) -> None:
        self.messages = sorted(at for at in received if at <= heard.seen_to)
        self._zone = heard.zone
        since = heard.seen_to - 28 * DAY
        first = self.messages[0] if self.messages else heard.seen_to
        hours = [heard.start - 28 * DAY + n * HOUR for n in range((28 + 4) * 24)]
        typical = [at for at in hours if since <= at < heard.seen_to and at + HOUR > first]
        lasted = Counter(self._clock(at) for at in typical)
        within = set(typical)
        came = Counter(
            self._clock(at) for at in self.messages if at.replace(minute=0, second=0) in within
        )
        self._rate = {clock: came[clock] / n for clock, n in lasted.items()}
        self._begin = hours[0]

    def _clock(self, at: datetime) -> int:
        return at.astimezone(self._zone).hour

    def is_too_long(self, since: datetime, until: datetime) -> bool:
        """Whether nothing between two instants is more than chance."""
        expected, at = 0.0, max(since, self._begin)
        while at < until:
            after = min(at.replace(minute=0, second=0) + HOUR, until)
            expected += self._rate.get(self._clock(at), 0.0) * ((after - at) / HOUR)
            at = after
        return until - since > SHORTEST and expected > EVER_SILENT

    def is_gap(self, begin: datetime, end: datetime) -> bool:
        """Whether a silence that is too long was broken in an hour, or lasts at its end."""
        for since, until in zip(self.messages, self.messages[1:], strict=False):
            if begin < until <= end and self.is_too_long(since, until):
                return True
        last = max(at for at in self.messages if at < end)
        return self.is_too_long(last, end)


Figures = dict[tuple[str, str, datetime], tuple[float | None, float | None]]


def counted(heard: Heard) -> Figures:
    """Numerator and denominator by feed, statistic and period; None where nothing is owed."""
    found: Figures = {}
    for name, received in heard.feeds.items():
        feed = Feed(heard, received)
        if not feed.messages:
            continue
        for begin, end in heard.periods():
            until = min(end, heard.as_of)
            before = [at for at in feed.messages if at <= until]
            known = begin < heard.as_of and bool(before)
            age = (until - before[-1]).total_seconds() if known else None
            found[name, "seconds_since_last", begin] = age, None
            gaps = [
                feed.is_gap(at, min(at + HOUR, until))
                for at in (begin + n * HOUR for n in range(int((end - begin) / HOUR)))
                if at < heard.as_of and feed.messages[0] < min(at + HOUR, until)
            ]
            found[name, "gap_hours", begin] = (sum(gaps), len(gaps)) if gaps else (None, None)
    return found


@st.composite
def chatter(draw, start: datetime) -> list[datetime]:
    """Days of messages, more by day than by night, with silences."""
    by_day, by_night = draw(st.sampled_from([(2, 5), (7, 20), (20, 50), (50, 240)]))
    at = start + draw(st.integers(-48, 30)) * HOUR
    end, found = start + 2 * DAY, []
    lasting = st.sampled_from([15, 20, 30, 60, 120, 540])
    silences = draw(st.lists(st.tuples(st.integers(-24, 40), lasting), min_size=1, max_size=3))
    while at < end:
        minute = (at - start) / timedelta(minutes=1)
        if not any(begin * 60 <= minute < begin * 60 + lasts for begin, lasts in silences):
            found.append(at)
        at += timedelta(minutes=by_day if 7 <= at.hour < 20 else by_night)
    return found


@st.composite
def hospitals(draw) -> Heard:
    zone = ZoneInfo(draw(st.sampled_from(["UTC", "Europe/Berlin"])))
    start = datetime(2026, 10, 24, tzinfo=zone)
    end = start + draw(st.integers(1, 2)) * DAY
    minutes = draw(st.sampled_from([-60, 25, 600, 1_440, 2_000, 5_000]))
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    feeds = {name: draw(chatter(start)) for name in draw(st.sampled_from(["a", "ab"]))}
    return Heard(
        zone=zone,
        start=start,
        end=end,
        as_of=start + timedelta(minutes=minutes),
        grain=draw(st.sampled_from(["hour", "day"])),
        feeds=feeds,
    )


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(heard=hospitals())
def test_the_sql_agrees_with_a_naive_count(database, heard):
    hospital = Hospital(database, heard.zone.key, heard.as_of.isoformat())
    for name, received in heard.feeds.items():
        hospital.messages(name, received)
    rows = hospital.kpi(
        "feed_fresh", heard.start.isoformat(), heard.end.isoformat(), grain=heard.grain
    )
    found = {
        (row.stratum, row.statistic, row.period_start): (
            rounded(row.numerator),
            rounded(row.denominator),
        )
        for row in rows
    }
    assert found == {
        key: (rounded(above), rounded(below)) for key, (above, below) in counted(heard).items()
    }
