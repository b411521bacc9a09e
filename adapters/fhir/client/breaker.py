"""A circuit breaker: a server that keeps failing is left alone, then tried with one request."""

from typing import Literal

State = Literal["closed", "open", "half-open"]

LONGEST_REST_S = 900.0


class Breaker:
    """Counts failures in a row; times are monotonic seconds that are passed in."""

    def __init__(self, failures: int, rest_s: float) -> None:
        self._most, self._first_rest_s = failures, rest_s
        self.failures = 0
        self._opened = 0
        """How often it opened without a success in between."""
        self._until = 0.0
        self._is_trying = False

    def state(self, now: float) -> State:
        """Closed while all is well; open while nobody may ask; half-open when one may."""
        if not self._opened:
            return "closed"
        return "open" if now < self._until or self._is_trying else "half-open"

    def wait_s(self, now: float) -> float:
        """Seconds until somebody may ask; 0 where one may ask now."""
        if self.state(now) != "open":
            return 0.0
        return max(self._until - now, 0.1)

    def admit(self, now: float) -> bool:
        """Whether a request may be sent; of a half-open breaker only one may."""
        state = self.state(now)
        if state == "half-open":
            self._is_trying = True
        return state != "open"

    def succeed(self) -> None:
        """The server answered as a server does that is well."""
        self.failures = self._opened = 0
        self._is_trying = False

    def fail(self, now: float) -> None:
        """The server did not answer, or said that something is wrong with itself."""
        self.failures += 1
        # Whoever fails once the rest is over was the one that tried.
        if now >= self._until if self._opened else self.failures >= self._most:
            rest_s = min(self._first_rest_s * 2.0 ** min(self._opened, 10), LONGEST_REST_S)
            self._opened += 1
            self._until = now + rest_s
        self._is_trying = False

    def abandon(self) -> None:
        """A request ended without telling anything about the server."""
        self._is_trying = False
