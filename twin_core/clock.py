"""What time it is, passed in: the wall clock in a hospital, an accelerated one in a demo."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol


class Clock(Protocol):
    """Anything that knows the hospital's current instant."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The machine's current instant in UTC."""
        return datetime.now(UTC)


class HospitalClock:
    """An accelerated clock shared by the demo's generator and the server it feeds.

    While it is being driven (`advance_to`), it shows the latest instant it was told and never goes
    back. Once `run` is called it moves at `speed` hospital seconds per real second.
    """

    def __init__(self, start: datetime, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._instant = start
        self._since = 0.0
        self._speed = 0.0
        self._lock = Lock()

    def advance_to(self, instant: datetime) -> None:
        """Move forward to `instant`; an instant in the past leaves the clock where it is."""
        with self._lock:
            if instant > self._current():
                self._instant, self._since = instant, self._monotonic()

    def run(self, speed: float) -> None:
        """Let the clock move by itself from here on, `speed` times as fast as real time."""
        with self._lock:
            self._instant, self._since, self._speed = self._current(), self._monotonic(), speed

    @property
    def speed(self) -> float:
        """Hospital seconds per real second; 0 while the clock is only driven."""
        return self._speed

    def now(self) -> datetime:
        """The hospital's current instant in UTC."""
        with self._lock:
            return self._current()

    def _current(self) -> datetime:
        if self._speed == 0.0:
            return self._instant
        return self._instant + timedelta(seconds=(self._monotonic() - self._since) * self._speed)
