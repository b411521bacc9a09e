"""Browser sessions: a random cookie, what it stands for, and a token against forged forms."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import NamedTuple

from api.access.principal import Principal
from twin_core.clock import Clock

SECURE_COOKIE, PLAIN_COOKIE = "__Host-wardtwin", "wardtwin"
"""The cookie's name; `__Host-` binds it to TLS and to this very host."""
MOST_SESSIONS = 10_000
CSRF: ContextVar[str] = ContextVar("csrf", default="")
"""The token that forms of the page being rendered must send back."""
MAY: ContextVar[frozenset[str]] = ContextVar("may", default=frozenset())
"""The permissions of whoever the page being rendered is for; it leads nowhere that is shut."""


class Session(NamedTuple):
    """Somebody who has signed in."""

    principal: Principal
    csrf: str
    until: datetime


class Sessions:
    """Sessions of this server; they end with it. Cookies are known by their digests only."""

    def __init__(self, clock: Clock, lasts: timedelta) -> None:
        self._clock, self._lasts = clock, lasts
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, principal: Principal) -> tuple[str, Session]:
        """A new session: its cookie, which was never anything before, and the session."""
        cookie = secrets.token_urlsafe(32)
        session = Session(principal, secrets.token_urlsafe(32), self._clock.now() + self._lasts)
        self._open[_digest(cookie)] = session
        while len(self._open) > MOST_SESSIONS:
            self._open.popitem(last=False)
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, while it lasts."""
        session = self._open.get(_digest(cookie))
        if session is not None and self._clock.now() >= session.until:
            self.end(cookie)
            return None
        return session

    def end(self, cookie: str) -> None:
        """Sign out."""
        self._open.pop(_digest(cookie), None)


def is_csrf(session: Session, told: str) -> bool:
    """Whether a request sent the session's own token back."""
    return hmac.compare_digest(session.csrf.encode(), told.encode("utf-8", "replace"))


def cookie_header(name: str, cookie: str, *, secure: bool, seconds: int) -> str:
    """A Set-Cookie that scripts, other sites and plain HTTP do not get at."""
    flags = "; Secure" if secure else ""
    return f"{name}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{flags}"


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()
