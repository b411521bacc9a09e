"""How long to wait before asking a server again: what it asks for, else longer and longer.

Retry-After is a number of seconds or an HTTP date (RFC 9110, 10.2.3). Servers also send epoch
seconds or milliseconds there, fractions, and nonsense; and some say only how many requests remain
(RateLimit, in the shapes of three drafts, and the X- headers before them).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

_NUMBER = re.compile(r"\+?(\d{1,18})(?:\.\d*)?")
_PARAMETER = re.compile(r"(?:^|[;,\s])(r|t|remaining|reset)\s*=\s*(\d{1,18})")
_EPOCH_S, _EPOCH_MS = 10**8, 10**11
"""A pause of three years is no pause: such a number is an instant in seconds, or milliseconds."""

_LEGACY = (
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-rate-limit-remaining", "x-rate-limit-reset"),
)


def asked_pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a server asks to be left alone; None where it does not say, or says nonsense.

    `headers` are found by lower-case names. Nothing is capped here.
    """
    stated = retry_after(headers.get("retry-after", ""), now)
    return stated if stated is not None else rate_limit_pause(headers, now)


def retry_after(text: str, now: datetime) -> float | None:
    """The pause that Retry-After states, in seconds; None for what is neither number nor date."""
    text = text.strip()
    number = _NUMBER.fullmatch(text)
    if number is not None:
        return _pause(float(number[1]), now)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - now).total_seconds(), 0.0)


def rate_limit_pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until more requests are allowed, where the headers say that none is left."""
    stated = {"r": "remaining", "t": "reset"}
    found: dict[str, float] = {}
    for name, number in _PARAMETER.findall(headers.get("ratelimit", "")):
        # Of several policies the one that waits longest decides.
        key = stated.get(name, name)
        found[key] = (min if key == "remaining" else max)(
            found.get(key, float(number)), float(number)
        )
    if not found:
        for remaining, reset in _LEGACY:
            numbers = [
                _NUMBER.fullmatch(headers.get(name, "").strip()) for name in (remaining, reset)
            ]
            if numbers[0] and numbers[1]:
                found = {"remaining": float(numbers[0][1]), "reset": float(numbers[1][1])}
                break
    if found.get("remaining", 1.0) > 0 or "reset" not in found:
        return None
    return _pause(found["reset"], now)


def backoff(
    attempt: int, chance: Random, *, first_s: float = 0.5, longest_s: float = 60.0
) -> float:
    """A pause before attempt `attempt` (from 1): doubled each time, of which half is by chance, so
    that many who failed together do not come back together."""
    whole = min(first_s * 2.0 ** min(attempt - 1, 30), longest_s)
    return whole * (0.5 + 0.5 * chance.random())


def _pause(number: float, now: datetime) -> float:
    if number < _EPOCH_S:
        return number
    at = number / 1000 if number >= _EPOCH_MS else number
    return max(at - now.timestamp(), 0.0)
