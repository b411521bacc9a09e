"""How often somebody may ask: a bucket of tokens for each, which fills again with time."""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil

MOST_KNOWN = 20_000
"""Buckets remembered; the one longest unused is forgotten, which is as good as full."""


class RateLimit:
    """So many a minute for each name; all of a minute's at once, if they were saved up."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._size, self._rate, self._monotonic = float(per_minute), per_minute / 60.0, monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str, cost: float = 1.0) -> int:
        """0 where another is allowed, which is then counted; else the seconds to wait."""
        left, now = self._left(name)
        if left < cost:
            return max(1, ceil((cost - left) / self._rate))
        self._buckets[name] = (left - cost, now)
        self._buckets.move_to_end(name)
        while len(self._buckets) > MOST_KNOWN:
            self._buckets.popitem(last=False)
        return 0

    def is_spent(self, name: str) -> int:
        """The seconds to wait, without counting anything."""
        left, _ = self._left(name)
        return 0 if left >= 1.0 else max(1, ceil((1.0 - left) / self._rate))

    def _left(self, name: str) -> tuple[float, float]:
        now = self._monotonic()
        had, at = self._buckets.get(name, (self._size, now))
        return min(self._size, had + (now - at) * self._rate), now
