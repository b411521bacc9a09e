"""Everything access control needs, put together once: keys, tokens, sessions, limits, aliases."""

import time
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import msgspec

from api.access.aliases import Aliases
from api.access.limits import RateLimit
from api.access.principal import Principal
from api.access.sessions import Sessions
from api.access.store import AccessStore, access_path, looks_like_a_key
from api.access.tokens import Fetch, Published, Refused, TokenVerifier
from twin_core.clock import Clock, SystemClock
from twin_core.encryption import StoreKey
from twin_core.settings import AccessSettings

HEAVIEST_DOCUMENT = 1024 * 1024
FETCH_TIMEOUT_S = 5.0
Exchange = Callable[[str, dict[str, str]], bytes]
"""The answer to a form that is posted to a URL. Raises OSError."""
_BROKEN = frozenset({"patients:read", "fhir:read", "every:unit"})
"""What broken glass opens: reading, of every unit; nothing is changed in an emergency."""


def fetched(url: str) -> bytes:
    """A small document over HTTP, following no redirect. Raises ConnectionError."""
    return _asked("GET", url)


def exchanged(url: str, form: dict[str, str]) -> bytes:
    """The answer to a posted form. Raises ConnectionError."""
    return _asked("POST", url, data=form)


class AccessControl:
    """Who may come in, by the settings of a site."""

    def __init__(
        self,
        settings: AccessSettings,
        store: Path,
        *,
        key: StoreKey | None = None,
        clock: Clock | None = None,
        fetch: Fetch = fetched,
        exchange: Exchange = exchanged,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.clock, self.exchange = settings, clock or SystemClock(), exchange
        self.store = AccessStore(access_path(store), self.clock, key)
        self.published = Published(settings, fetch, self.clock)
        self.verifier = (
            TokenVerifier(settings, self.published, self.clock) if settings.issuer else None
        )
        self.sessions = Sessions(self.clock, timedelta(minutes=settings.session_minutes))
        self.requests = RateLimit(settings.requests_per_minute, monotonic)
        self.failures = RateLimit(settings.failures_per_minute, monotonic)
        self.aliases = Aliases()
        self._proxies = [ip_network(proxy, strict=False) for proxy in settings.proxies]

    def bearer(self, token: str) -> Principal:
        """Whom a bearer token stands for. Raises Refused, or Unreachable."""
        if looks_like_a_key(token):
            principal = self.store.principal(token)
            if principal is None:
                raise Refused("no key that opens anything")
            return principal
        if self.verifier is None:
            raise Refused("no provider is configured")
        return self.verifier.principal(token)

    def still(self, principal: Principal) -> Principal | None:
        """Who somebody is who signed in before: a key counts only as long as it opens something."""
        return self.store.standing(principal.id) if principal.kind == "key" else principal

    def with_broken_glass(self, principal: Principal) -> tuple[Principal, str]:
        """The principal with what an emergency gives them, and why they read."""
        if self.store.glass_broken_until(principal.id) is None:
            return principal, ""
        granted = principal.granted | _BROKEN
        return msgspec.structs.replace(principal, granted=granted, fhir_by_scope=False), "BTG"

    def is_proxy(self, address: str) -> bool:
        """Whether an address is one whose word about others is believed."""
        try:
            known = ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in self._proxies)


def _asked(method: str, url: str, **sent: Any) -> bytes:
    try:
        with httpx.stream(
            method, url, timeout=FETCH_TIMEOUT_S, trust_env=False, **sent
        ) as response:
            if response.status_code != httpx.codes.OK:
                raise ConnectionError(f"status {response.status_code}")
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > HEAVIEST_DOCUMENT:
                    raise ConnectionError("the document is too large")
            return body
    except httpx.HTTPError as error:
        raise ConnectionError(type(error).__name__) from error
