"""How every feed is doing: who listens, what was counted, how fast it is answered, who is silent.

Counts of messages are those of the store since it was made; what a listener counts begins when the
server starts.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from adapters.files.watch import FolderStatus
from adapters.hl7v2 import DELAY_BOUNDS_S, ListenerStatus
from api.silence import HeardHour, Rhythm, learned
from twin_core.settings import Settings
from twin_core.twin import Twin

FeedState = Literal["ok", "silent", "learning", "never"]

LEARN_AGAIN = timedelta(minutes=10)
LITTLE_VALIDITY = timedelta(days=30)
"""A certificate that ends sooner is a warning."""

HOURS = """
WITH last AS (SELECT feed, max(received_at) AS last_at FROM core.message GROUP BY feed)
SELECT m.feed, to_timestamp((epoch_us(m.received_at) // 3600000000) * 3600) AS hour,
       count(*) AS messages, min(m.received_at) AS first_at, max(m.received_at) AS last_at,
       bool_or(m.format = 'hl7v2') AS continuous
FROM core.message m JOIN last l ON l.feed = m.feed
WHERE m.received_at > l.last_at - INTERVAL 29 DAY
GROUP BY m.feed, hour ORDER BY m.feed, hour
"""
SINCE = """
SELECT feed, max(received_at) AS last_at FROM core.message
WHERE received_at >= $since GROUP BY feed
"""


QUARANTINED = """
SELECT feed, count(*) AS messages FROM core.message WHERE status = 'quarantined' GROUP BY feed
"""


class FeedReport(msgspec.Struct, frozen=True, kw_only=True):
    """One feed: what came, what became of it, and how its listener is doing."""

    feed: str
    state: FeedState
    """`silent` is a warning; `learning` means that its usual gaps are not known yet; `never` that
    nothing came and no limit has passed since the server started."""
    warnings: tuple[str, ...] = ()
    last_message_at: datetime | None = None
    due_by: datetime | None = None
    """From here on its silence is too long; null where that is not known."""
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    quarantined: int = 0
    """Messages of it that are in quarantine now."""
    lag_seconds: float = 0.0
    """Age of its oldest message that is not applied yet."""
    address: str | None = None
    """Where it is listened to; null for a feed without a listener."""
    tls: bool = False
    answered_within_p50_s: float | None = None
    """Half of the first answers took no longer; one of the bounds of `delays`."""
    answered_within_p99_s: float | None = None
    listener: ListenerStatus | None = None
    folder: FolderStatus | None = None
    """The folder that is watched for it, if one is."""


class Feeds:
    """Reports on every feed that is configured, is listened to, or was ever heard."""

    def __init__(
        self,
        twin: Twin,
        statuses: Callable[[], Mapping[str, ListenerStatus]] = dict,
        ports: Callable[[], Mapping[str, int]] = dict,
        folders: Callable[[], Mapping[str, FolderStatus]] = dict,
    ) -> None:
        self._twin, self._statuses, self._ports = twin, statuses, ports
        self._folders = folders
        self._started_at = twin.clock.now()
        self._learning = threading.Lock()
        self._learned_at: datetime | None = None
        self._rhythms: dict[str, Rhythm | None] = {}
        self._last: dict[str, datetime] = {}

    def reports(self) -> list[FeedReport]:
        """Every feed, by name."""
        now = self._twin.clock.now()
        statuses, last = self._statuses(), self._heard_last(now)
        tallies: dict[str, Counter[str]] = defaultdict(Counter)
        for tally in self._twin.tallies():
            tallies[tally.feed][tally.outcome] += tally.messages
        rows: list[dict[str, Any]] = self._twin.query(QUARANTINED)
        held = {row["feed"]: row["messages"] for row in rows}
        for feed, at in self._twin.heard().items():
            last[feed] = max(at, last.get(feed, at))
        lags = self._twin.lags()
        names = {*self._twin.settings.feeds, *statuses, *last, *tallies} - {""}
        return [
            self._report(
                name,
                now,
                statuses.get(name),
                last.get(name),
                tallies[name],
                held.get(name, 0),
                lags.get(name, 0.0),
            )
            for name in sorted(names)
        ]

    def _report(
        self,
        feed: str,
        now: datetime,
        status: ListenerStatus | None,
        last_at: datetime | None,
        tally: "Counter[str]",
        quarantined: int,
        lag: float,
    ) -> FeedReport:
        settings = self._twin.settings
        heard = [at for at in (last_at, status and status.last_message_at) if at]
        last_at = max(heard, default=None)
        due_by = self._due_by(feed, last_at)
        listens = settings.listeners().get(feed) if status else None
        state = feed_state(now, last_at, due_by)
        folder = self._folders().get(feed)
        return FeedReport(
            feed=feed,
            state=state,
            warnings=tuple(
                _warnings(now, self._silence(feed, now, state, last_at), status, folder)
            ),
            last_message_at=last_at,
            due_by=due_by,
            accepted=tally["accepted"],
            duplicates=tally["duplicate"],
            rejected=tally["rejected"],
            quarantined=quarantined,
            lag_seconds=lag,
            address=f"{listens.host}:{self._ports().get(feed, listens.port)}" if listens else None,
            tls=listens is not None and listens.tls is not None,
            answered_within_p50_s=quantile(status, 0.5),
            answered_within_p99_s=quantile(status, 0.99),
            listener=status,
            folder=folder,
        )

    def _due_by(self, feed: str, last_at: datetime | None) -> datetime | None:
        told = self._twin.settings.feed(feed).silent_after_minutes
        if told is not None:
            return (last_at or self._started_at) + timedelta(minutes=told)
        if last_at is None:
            return None
        rhythm = self._rhythms.get(feed)
        return rhythm.due_by(last_at) if rhythm else None

    def _silence(self, feed: str, now: datetime, state: FeedState, last_at: datetime | None) -> str:
        """What to say of a feed that is silent for too long; empty for any other."""
        if state != "silent":
            return ""
        told = self._twin.settings.feed(feed).silent_after_minutes
        since = last_at or self._started_at
        usual = "is usual" if told is None else f"the {told:g} minutes that its settings allow"
        said = "silent" if last_at else "never heard, and silent since the start of the server"
        return f"{said} for {_lasting(now - since)}, longer than {usual}"

    def _heard_last(self, now: datetime) -> dict[str, datetime]:
        with self._learning:
            if self._learned_at is None or now - self._learned_at > LEARN_AGAIN:
                self._learn(now)
            fresh: list[dict[str, Any]] = self._twin.query(SINCE, {"since": self._learned_at})
            return self._last | {row["feed"]: row["last_at"] for row in fresh}

    def _learn(self, now: datetime) -> None:
        heard: dict[str, list[HeardHour]] = defaultdict(list)
        continuous: set[str] = set()
        rows: list[dict[str, Any]] = self._twin.query(HOURS)
        for row in rows:
            hour = HeardHour(row["hour"], row["messages"], row["first_at"], row["last_at"])
            heard[row["feed"]].append(hour)
            continuous |= {row["feed"]} if row["continuous"] else set()
        self._rhythms = {
            feed: learned(hours, zone_of(self._twin.settings, feed))
            for feed, hours in heard.items()
            # Resources and counts are posted when there is reason to: their silence is no fault.
            if feed in continuous
        }
        self._last = {feed: hours[-1].last_at for feed, hours in heard.items()}
        self._learned_at = now


def zone_of(settings: Settings, feed: str) -> ZoneInfo:
    """The time zone by which a feed's hours are told apart."""
    return ZoneInfo(settings.feed(feed).time_zone or "UTC")


def feed_state(now: datetime, last_at: datetime | None, due_by: datetime | None) -> FeedState:
    """Whether a feed is silent for too long, as far as that is known."""
    if due_by is not None and now > due_by:
        return "silent"
    if last_at is None:
        return "never"
    return "learning" if due_by is None else "ok"


def quantile(status: ListenerStatus | None, share: float) -> float | None:
    """The bound within which a share of the first answers went out, or the last one where they
    took longer; None without answers."""
    if status is None or not (total := sum(status.delays)):
        return None
    so_far = 0
    for bound, count in zip(DELAY_BOUNDS_S, status.delays, strict=False):
        so_far += count
        if so_far >= share * total:
            return bound
    return DELAY_BOUNDS_S[-1]


def certificate_warning(now: datetime, expires_at: datetime) -> str:
    """What to say of a certificate that ends then; empty while there is time."""
    if expires_at <= now:
        return f"its certificate ended {expires_at:%Y-%m-%d %H:%M}Z: senders are turned away"
    if expires_at - now < LITTLE_VALIDITY:
        return f"its certificate ends {expires_at:%Y-%m-%d %H:%M}Z: renew it"
    return ""


def _lasting(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{int(seconds // 60):,} minutes"


def _warnings(
    now: datetime,
    silence: str,
    status: ListenerStatus | None,
    folder: FolderStatus | None,
) -> list[str]:
    told = [silence]
    if status is not None and status.certificate_expires_at is not None:
        told.append(certificate_warning(now, status.certificate_expires_at))
    if folder is not None:
        told.append(folder.trouble)
    return [text for text in told if text]
