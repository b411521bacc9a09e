"""Requests to one server, with manners: in turn, again after what passes, never when it needs rest.

An answer of 429 or 5xx is waited for as long as the server asks (at most `longest_pause_s`), else
longer each time. Redirects are followed by hand, so that credentials never follow to elsewhere.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx

from adapters.fhir.client.breaker import Breaker
from adapters.fhir.client.faults import (
    Declined,
    Lost,
    Resting,
    Unauthorized,
    Unreachable,
    Untrustworthy,
)
from adapters.fhir.client.outcome import issue_codes
from adapters.fhir.client.pace import Pace
from adapters.fhir.client.patience import asked_pause, backoff, rate_limit_pause
from adapters.fhir.client.world import World
from twin_core.settings import SourceSettings

LOG = logging.getLogger("wardtwin.sources")

USER_AGENT = "wardtwin/{version} (hospital twin; FHIR client)"
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of trouble that may pass."""
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_ENOUGH_OF_A_REFUSAL = 64 * 1024


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    """Where it came from, after redirects."""


class Manners:
    """How one server is treated: what was counted, when it may be asked again."""

    def __init__(self, name: str, settings: SourceSettings, http: httpx.AsyncClient, world: World):
        self.name, self.settings, self.world = name, settings, world
        self._http = http
        named = settings.tls.name if settings.tls is not None else ""
        self._extensions = {"sni_hostname": named} if named else {}
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_rest_s)
        self._pace = Pace(
            settings.requests_per_second, settings.concurrency, world.monotonic, world.sleep
        )
        self.requests = 0
        self.waited_s = 0.0

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        most_bytes: int,
    ) -> Reply:
        """One answer that is not trouble of a kind that passes: any other status is the caller's.

        Raises Unreachable after the last attempt, Resting while the server is left alone, and
        Untrustworthy for an answer that is too large.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self.answering(method, url, headers=headers, content=content) as got:
                    if got.status_code not in PASSING:
                        body = await self._body(got, most_bytes)
                        self.breaker.succeed()
                        self._heed(got.headers)
                        return Reply(got.status_code, got.headers, body, str(got.url))
                    trouble = f"It answered with status {got.status_code}."
                    pause_s = self.troubled(got)
            except httpx.HTTPError as error:
                trouble, pause_s = self.broken(error), None
            if attempt >= self.settings.attempts:
                raise self.unreachable(trouble)
            await self.pause(attempt, pause_s)

    @asynccontextmanager
    async def answering(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """One request and its answer, whose body is still to be read; redirects are not followed.

        Raises Resting while the server is left alone, httpx.HTTPError where there is no answer.
        """
        async with self._pace.turn():
            self._admit()
            self.requests += 1
            try:
                async with self._http.stream(
                    method,
                    url,
                    headers=dict(headers or {}),
                    content=content,
                    extensions=self._extensions,
                ) as response:
                    yield response
            finally:
                self.breaker.abandon()

    def troubled(self, response: httpx.Response) -> float | None:
        """Note trouble that passes; the pause that the server asks for, if it does."""
        asked = asked_pause(response.headers, self.world.clock.now())
        # A server that says how long to wait is at work: it is not broken, only busy.
        if response.status_code != 429 and (asked is None or response.status_code != 503):
            self.breaker.fail(self.world.monotonic())
        if asked is None:
            return None
        pause_s = min(asked, self.settings.longest_pause_s)
        self._pace.hold(pause_s)
        return pause_s

    def broken(self, error: httpx.HTTPError) -> str:
        """Note that there was no answer, or not a whole one; what to say of it."""
        self.breaker.fail(self.world.monotonic())
        return f"{type(error).__name__}."

    async def pause(self, attempt: int, asked_s: float | None) -> None:
        """Wait before the next attempt; a bit longer than asked, so that not all come at once."""
        chance, longest_s = self.world.chance, min(60.0, self.settings.longest_pause_s)
        if asked_s is None:
            wait_s = backoff(attempt, chance, longest_s=longest_s)
        else:
            wait_s = asked_s + min(1.0, 0.1 * asked_s + 0.05) * chance.random()
        self.waited_s += wait_s
        if wait_s > 5:
            LOG.info("source %s: waiting %.0f s before the next attempt", self.name, wait_s)
        await self.world.sleep(wait_s)

    def unreachable(self, trouble: str) -> Unreachable:
        """What to raise after the last attempt."""
        return Unreachable(
            f"The server of source {self.name} cannot be read now.",
            why=trouble,
            do="It is tried again; nothing that was taken is lost.",
        )

    def _admit(self) -> None:
        now = self.world.monotonic()
        if not self.breaker.admit(now):
            rest_s = self.breaker.wait_s(now)
            raise Resting(
                f"The server of source {self.name} is left alone for {rest_s:.0f} s.",
                why=f"It failed {self.breaker.failures} times in a row.",
                do="See its own log; `wardtwin fhir check` tries it again.",
                rest_s=rest_s,
            )

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Keep still until the server's limit is renewed, where this was the last request of it."""
        pause_s = rate_limit_pause(headers, self.world.clock.now())
        if pause_s:
            self._pace.hold(min(pause_s, self.settings.longest_pause_s))

    async def _body(self, response: httpx.Response, most_bytes: int) -> bytes:
        received = bytearray()
        async for chunk in response.aiter_bytes():
            received += chunk
            if len(received) > most_bytes:
                raise Untrustworthy(
                    f"An answer of source {self.name} is larger than {most_bytes} bytes.",
                    do=f"Lower sources.{self.name}.page_size, or raise limits.body_bytes.",
                )
        return bytes(received)


def refused(name: str, reply: Reply, what: str) -> Declined | Unauthorized:
    """Why an answer is a refusal, in its own codes; `what` was asked for."""
    codes = issue_codes(reply.body[:_ENOUGH_OF_A_REFUSAL])
    why = f"It answered with status {reply.status}{f' ({codes})' if codes else ''}."
    if reply.status in (401, 403):
        return Unauthorized(
            f"The server of source {name} refuses {what}.",
            why=why,
            do=f"See sources.{name}.auth, and what its client may read at the server.",
        )
    kind = Lost if reply.status in (404, 410) else Declined
    return kind(f"The server of source {name} refuses {what}.", why=why, status=reply.status)


def clock_of(reply: Reply) -> datetime | None:
    """What the server's clock showed, in whole seconds, by its Date header."""
    return http_date(reply.headers.get("date", ""))


def http_date(text: str) -> datetime | None:
    """An HTTP date; None for anything else."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def moved_to(reply: Reply) -> str | None:
    """Where an answer sends the reader instead; None where it does not."""
    target = reply.headers.get("location", "")
    return resolved(reply.url, target) if reply.status in _MOVED and target else None


def resolved(base: str, link: str) -> str:
    """A server's link as an absolute address; Untrustworthy for what is none."""
    try:
        address = urljoin(base, link)
        parts, url = urlsplit(address), httpx.URL(address)
        if parts.scheme in ("http", "https") and url.host and parts.port != 0:
            return address
    except (ValueError, httpx.InvalidURL):
        # What it says is the server's word, and may be about anything.
        pass
    raise Untrustworthy("A link of the server is no address that can be asked.")


def origin(url: str) -> str:
    """Scheme, host and port of an address, the port always said."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"
