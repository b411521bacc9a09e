"""How the feeds are doing, as the board shows it beside its beds: looked at now and then.

A message changes beds at once; what is counted of all messages is counted on from where it was,
however many there have been.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from twin_core.twin import Twin

FRESH = timedelta(minutes=5)
QUIET = timedelta(minutes=30)

HEARD_SINCE = """
SELECT feed, max(received_at) AS last_at, bool_or(format = 'hl7v2') AS continuous,
       max(message_id) AS last_id
FROM twin.message WHERE message_id > $after GROUP BY feed
"""
QUARANTINED = """
SELECT count(*) AS waiting FROM twin.message WHERE status = 'quarantined' AND replayed_at IS NULL
"""


class FeedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A feed and how fresh it is: fresh, quiet, silent, idle, or never heard."""

    feed: str
    state: str
    last_at: datetime | None
    accepted: int
    duplicates: int
    rejected: int
    address: str = ""
    connections: int | None = None


class Pulse:
    """The feeds and the quarantine as they were when `take` looked last."""

    def __init__(self, twin: Twin, listeners: Callable[[], list[dict[str, Any]]]) -> None:
        self._twin, self._listeners = twin, listeners
        self._heard: dict[str, tuple[datetime, bool]] = {}
        self._last_id = 0
        self.feeds: tuple[FeedRow, ...] = ()
        self.quarantined = 0

    def take(self, at: datetime) -> None:
        """Look again. Raises QueryFailed where the store cannot be read."""
        counted: list[dict[str, Any]] = self._twin.query(QUARANTINED)
        self.quarantined = counted[0]["waiting"]
        self._listen()
        tallies: dict[str, Counter[str]] = defaultdict(Counter)
        for tally in self._twin.tallies():
            tallies[tally.feed][tally.outcome] += tally.messages
        listening = {str(one.get("feed", "")): one for one in self._listeners()}
        self.feeds = tuple(
            self._row(name, at, tallies[name], listening.get(name, {}))
            for name in sorted({*self._heard, *tallies, *listening} - {""})
        )

    def _listen(self) -> None:
        """Messages have ever larger numbers: what was heard before need not be asked again."""
        rows: list[dict[str, Any]] = self._twin.query(HEARD_SINCE, {"after": self._last_id})
        for row in rows:
            last_at, continuous = self._heard.get(row["feed"], (row["last_at"], False))
            heard = max(last_at, row["last_at"]), continuous or row["continuous"]
            self._heard[row["feed"]] = heard
            self._last_id = max(self._last_id, row["last_id"])

    def _row(
        self, name: str, at: datetime, outcomes: Counter[str], listening: Mapping[str, Any]
    ) -> FeedRow:
        last_at, continuous = self._heard.get(name, (None, True))
        return FeedRow(
            feed=name,
            state=freshness(at, last_at, continuous=continuous),
            last_at=last_at,
            accepted=outcomes["accepted"],
            duplicates=outcomes["duplicate"],
            rejected=outcomes["rejected"],
            address=str(listening.get("address", "")),
            connections=listening.get("connections"),
        )


def freshness(at: datetime, last_at: datetime | None, *, continuous: bool = True) -> str:
    """How long a feed has been silent, in one word.

    Silence is a fault only where messages should keep coming, as on an ADT feed; resources and
    counts are posted when there is reason to, and their source is idle in between.
    """
    if last_at is None:
        return "never"
    silent_for = at - last_at
    if silent_for < FRESH:
        return "fresh"
    if not continuous:
        return "idle"
    return "quiet" if silent_for < QUIET else "silent"
