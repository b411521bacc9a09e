"""What is refused before any route sees it, and what every answer carries.

A web page elsewhere can make a browser here send requests; so the Host must be a name of this
server (against DNS rebinding), loopback ones unless the settings name others, and a request that
changes something must not come from another origin.
"""

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, answered, problem

HEAVIEST_HEADERS = 64 * 1024
A_YEAR_S = 365 * 24 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSED_METHODS = frozenset({"TRACE", "TRACK", "CONNECT"})
ALLOWED_METHODS = "GET, HEAD, POST, PUT, DELETE, PATCH"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it a browser sends its own forms with `Origin: null`, as if another
    # site had made them. Other sites are told nothing either way.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

log = logging.getLogger(__name__)


class Guard:
    """Refuses what must not reach the twin, and never lets a failure show its inside."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] = (),
        as_page: Callable[[Problem], Response] | None = None,
        refused: Callable[[Scope, int], Awaitable[None]] | None = None,
    ) -> None:
        self.app, self.as_page, self.refused = app, as_page, refused
        self.hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or pass the request on and watch its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        watched = _Watched(send, secure=scope.get("scheme") == "https")
        refusal = self.refusal(scope)
        if refusal is not None:
            if self.refused is not None:
                await self.refused(scope, refusal.status_code)
            await refusal(scope, receive, watched)
            return
        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            # The message and the local variables of an unforeseen error may hold a patient's
            # details, so the log gets its kind and its place only.
            log.error("unforeseen %s at %s", type(error).__name__, _place(error))
            if watched.started:
                raise ConnectionAbortedError("The answer broke off.") from None
            answer = problem(500, "See the log of the server.")
            if self.as_page is not None:
                answer = answered(Request(scope), answer, self.as_page)
            await answer(scope, receive, watched)

    def refusal(self, scope: Scope) -> Response | None:
        """Why a request goes no further, or None where it may."""
        method = scope["method"]
        headers = Headers(scope=scope)
        if method in REFUSED_METHODS:
            answer = problem(405, f"{method} is not answered here.")
            answer.headers["Allow"] = ALLOWED_METHODS
            return answer
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > HEAVIEST_HEADERS:
            return problem(431, f"Headers may weigh {HEAVIEST_HEADERS} bytes together.")
        if ".." in scope["path"].split("/"):
            return problem(404, "There is nothing here: no address leads upwards.")
        host = headers.get("host", "")
        if not self.is_ours(host):
            return problem(
                421, "Only names of this server are served: localhost, and those in access.hosts."
            )
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        if method not in SAFE_METHODS and (
            foreign or headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        ):
            return problem(403, "Another web site may not change anything here.")
        return None

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine's loopback, or a configured name."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self.hosts or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class _Watched:
    """A `send` that adds the security headers and knows whether an answer has begun."""

    def __init__(self, send: Send, *, secure: bool) -> None:
        self.send, self.secure = send, secure
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if self.secure:
                headers.setdefault("Strict-Transport-Security", f"max-age={A_YEAR_S}")
        await self.send(message)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
