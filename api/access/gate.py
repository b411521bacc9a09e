"""The gate in front of every route: who comes, what the door wants, and a refusal where it is shut.

Refusals do not say why: a key that is unknown, revoked or late, and a token that is forged, expired
or another's, all get the same answer. Why stands in the server's log, without what was sent.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.fhir import encode
from api.access.control import AccessControl
from api.access.doors import KNOWN, OPEN, Door, found_door
from api.access.principal import LOCAL, Principal
from api.access.rows import why_refused, within
from api.access.scopes import allows, interaction_of
from api.access.sessions import CSRF, MAY, PLAIN_COOKIE, SECURE_COOKIE, Session, is_csrf
from api.access.standing import answered_while
from api.access.tokens import Refused, Unreachable
from api.audit.recording import asked_for, called, caller, nobody
from api.problems import answered, problem
from api.web.rendering import error_page
from twin_core.audit import Access, Actor, Outcome
from twin_core.audit.access import Act
from twin_core.errors import AuditFailed

REALM = "wardtwin"
HEAVIEST_FORM = 64 * 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM = "application/x-www-form-urlencoded"
_ALIASED = frozenset({"hospital:read", "messages:read"})
"""What somebody without `patients:read` may see with aliases; FHIR and research rows are theirs as
they are, by a scope or without identities."""
_SECRETS = frozenset({"access_token", "token", "id_token", "api_key", "apikey"})
_ISSUES = {401: "login", 403: "forbidden", 404: "not-found", 429: "throttled", 503: "transient"}

log = logging.getLogger(__name__)


class Shut(Exception):
    """A request that goes no further: its status, what the caller is told, and headers."""

    def __init__(
        self, status: int, said: str, *, error: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(said)
        self.status, self.said, self.error = status, said, error
        self.headers = dict(headers or {})


class Caller(NamedTuple):
    """Who stands at the gate."""

    principal: Principal | None
    session: Session | None = None
    why: str = ""


_HOP = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+):\d+")


class Gate:
    """Middleware; `app.state.access` is the AccessControl, or None where none is configured."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why it stays outside."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        control: AccessControl | None = scope["app"].state.access
        if control is None:
            scope["wardtwin.principal"], scope["wardtwin.actor"] = LOCAL, nobody()
            MAY.set(LOCAL.permissions())
            await self.app(scope, receive, send)
            return
        visit = _Visit(scope, receive, control)
        try:
            await visit.enter()
        except Shut as shut:
            await visit.record(shut)
            await visit.refusal(shut)(scope, receive, send)
            return
        await answered_while(visit.still, self.app, scope, visit.receive, visit.masking(send))


class _Visit:
    """One request at the gate."""

    def __init__(self, scope: Scope, receive: Receive, control: AccessControl) -> None:
        self.scope, self.receive, self.control = scope, receive, control
        self.headers = Headers(scope=scope)
        self.query = _query_of(scope)
        self.address, self.secure = _origin(scope, self.headers, control)
        found = found_door(scope["method"], scope["path"])
        self.door: Door | None = found[0] if found else None
        self.params: Mapping[str, str] = found[1] if found else {}
        self.caller = Caller(None)

    async def enter(self) -> None:
        """Find out who comes and whether the door opens. Raises Shut."""
        CSRF.set("")
        MAY.set(frozenset())
        self.scope["wardtwin.address"] = self.address
        self.scope["wardtwin.secure"] = self.secure
        self._not_too_often(self.control.failures.is_spent(self.address))
        door = self.door
        if door is not None and door.permission == OPEN:
            self._not_too_often(self.control.requests.wait_s(self.address))
            return
        self.caller = await self._known()
        principal = self.caller.principal
        if principal is None:
            # Counted, because every refusal is an entry of the ledger.
            self._not_too_often(self.control.requests.wait_s(self.address))
            raise Shut(401, "Sign in, or send a valid token.")
        self._not_too_often(self.control.requests.wait_s(f"who {principal.id}"))
        # Before any refusal: its page leads to what is open, and signs out.
        MAY.set(principal.permissions())
        CSRF.set(self.caller.session.csrf if self.caller.session else "")
        if door is None:
            raise Shut(404, "There is nothing here.")
        await self._permitted(principal, door)
        await self._in_their_rows(principal, door)
        await self._not_forged()
        self.scope["wardtwin.principal"] = principal
        self.scope["wardtwin.actor"] = principal.actor()
        self.scope["wardtwin.why"] = self.caller.why

    async def still(self) -> bool:
        """Whether who was let in is still the same, with the same rights."""
        principal = self.caller.principal
        if principal is None:
            # Behind this door anybody may stand.
            return True
        try:
            return (await self._again()).principal == principal
        except Refused:
            return False
        except Unreachable:
            # Nobody can say so: who came in stays until somebody can.
            return True

    async def _again(self) -> Caller:
        told = self.headers.get("authorization", "")
        if told:
            bearer = told.partition(" ")[2].strip()
            principal = await asyncio.to_thread(self.control.bearer, bearer)
            return await self._emergency(principal, None)
        return await self._of_session()

    def masking(self, send: Send) -> Send:
        """A `send` that shows aliases to whoever may not know whose rows they are."""
        door, principal = self.door, self.caller.principal
        shows = door is None or principal is None or not door.identified
        if shows or principal is None or principal.may("patients:read"):
            return send
        if door is not None and door.permission not in _ALIASED:
            return send

        async def masked(message: Message) -> None:
            if message["type"] == "http.response.body":
                shown = self.control.aliases.masked(message.get("body", b""), board=True)
                message = {**message, "body": shown}
            await send(message)

        return masked

    async def record(self, shut: Shut) -> None:
        """Tell the ledger who was refused what; a refusal stands even where that fails."""
        if shut.status == 429:
            # Whoever asks too often would otherwise write the ledger full.
            log.warning("%s asks too often", self.address)
            return
        await _recorded(
            self.scope,
            shut.status,
            who=self.caller.principal.actor() if self.caller.principal else _stranger(),
            address=self.address,
            act="login" if shut.status == 401 else self.door.act if self.door else "read",
            where=self.door.address if self.door else "elsewhere",
        )

    def refusal(self, shut: Shut) -> Response:
        """The answer of a shut door, in the words of whoever asked."""
        headers = {"Cache-Control": "no-store", **shut.headers}
        if shut.status in (401, 403):
            error = f', error="{shut.error}"' if shut.error else ""
            headers["WWW-Authenticate"] = f'Bearer realm="{REALM}"{error}'
        if self.scope["path"].startswith("/fhir/"):
            outcome = encode.operation_outcome(
                [encode.issue("error", _ISSUES.get(shut.status, "processing"), shut.said)]
            )
            return Response(
                encode.encode(outcome),
                shut.status,
                headers=headers,
                media_type="application/fhir+json",
            )
        if shut.status == 401 and self._is_a_person():
            asked = f"?{self.query}" if self.query and not _carries_secret(self.query) else ""
            back = quote(f"{self.scope['path']}{asked}", safe="/")
            return RedirectResponse(f"/login?next={back}", 303, headers=headers)
        answer = answered(Request(self.scope), problem(shut.status, shut.said), error_page)
        answer.headers.update(headers)
        return answer

    def _is_a_person(self) -> bool:
        accepts = "text/html" in self.headers.get("accept", "")
        return accepts and self.scope["method"] in _SAFE and "authorization" not in self.headers

    async def _known(self) -> Caller:
        """Who comes, by the one credential that was sent. Raises Shut."""
        told = self.headers.getlist("authorization")
        if len(told) > 1 or _carries_secret(self.query):
            # Which of two counts is a question that attackers answer; a URL is kept in logs.
            raise self._failed("credentials in two headers, or in the address", "invalid_request")
        if told:
            return await self._of_bearer(told[0])
        return await self._of_session()

    async def _of_session(self) -> Caller:
        session = self._session()
        principal = (
            await asyncio.to_thread(self.control.still, session.principal) if session else None
        )
        if session is None or principal is None:
            return Caller(None)
        return await self._emergency(principal, session)

    async def _of_bearer(self, told: str) -> Caller:
        scheme, _, token = told.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise self._failed("another scheme than Bearer", "invalid_request")
        try:
            principal = await asyncio.to_thread(self.control.bearer, token.strip())
        except Refused as error:
            raise self._failed(str(error), "invalid_token") from None
        except Unreachable as error:
            log.error("tokens cannot be verified: %s", error)
            raise Shut(
                503, "Tokens cannot be verified now.", headers={"Retry-After": "30"}
            ) from None
        return await self._emergency(principal, None)

    async def _emergency(self, principal: Principal, session: Session | None) -> Caller:
        broken, why = await asyncio.to_thread(self.control.with_broken_glass, principal)
        return Caller(broken, session, why)

    def _failed(self, why: str, error: str) -> Shut:
        self.control.failures.wait_s(self.address)
        log.warning("refused %s: %s", self.address, why)
        return Shut(401, "Sign in, or send a valid token.", error=error)

    def _session(self) -> Session | None:
        cookie = cookie_of(self.headers, secure=self.secure)
        return self.control.sessions.find(cookie) if cookie else None

    def _not_too_often(self, seconds: int) -> None:
        if seconds:
            said = "Too many requests; wait a little."
            raise Shut(429, said, headers={"Retry-After": str(seconds)})

    async def _permitted(self, principal: Principal, door: Door) -> None:
        if door.permission.startswith("fhir:") and principal.fhir_by_scope:
            query = self.query
            if self.scope["method"] == "POST" and self.scope["path"].endswith("/_search"):
                # The same parameters may stand in the body, where they reach just as far.
                body, self.receive = await read_small(self.receive)
                query = f"{query}&{body.decode('utf-8', 'replace')}"
            wanted = interaction_of(self.scope["method"], self.scope["path"], query)
            if not allows(principal.scopes, wanted):
                raise Shut(403, "The token's scopes do not allow this.", error="insufficient_scope")
            return
        wanted_permissions = {door.permission} - {KNOWN}
        if "show" in parse_qs(self.query).get("phi", []):
            wanted_permissions.add("messages:show")
        if not wanted_permissions <= principal.permissions():
            raise Shut(403, "Your role does not open this.", error="insufficient_scope")

    async def _in_their_rows(self, principal: Principal, door: Door) -> None:
        if not principal.is_row_scoped():
            return
        twin = self.scope["app"].state.twin
        answer = await asyncio.to_thread(
            within, principal, door, self.params, self.query, twin.query
        )
        if answer == "hidden":
            raise Shut(404, "There is nothing here.")
        if answer == "refused":
            raise Shut(403, why_refused(door), error="insufficient_scope")

    async def _not_forged(self) -> None:
        """What a browser changes must come from a page of ours, which knows the session's token."""
        session = self.caller.session
        if session is None:
            return
        if self.scope["method"] in _SAFE:
            return
        told = self.headers.get("x-csrf-token", "")
        if not told and self.headers.get("content-type", "").partition(";")[0].strip() == _FORM:
            form, self.receive = await read_form(self.receive)
            told = form.get("csrf", "")
        if not is_csrf(session, told):
            raise Shut(403, "This form is out of date; load the page again.")


async def refused_before(scope: Scope, status: int) -> None:
    """Tell the ledger of a request that was refused before the gate; nobody asked who sent it."""
    control: AccessControl | None = scope["app"].state.access
    address, who = caller(scope), nobody()
    if control is not None:
        address, who = _origin(scope, Headers(scope=scope), control)[0], _stranger()
        if control.requests.wait_s(address):
            log.warning("%s asks too often", address)
            return
    await _recorded(scope, status, who=who, address=address)


async def _recorded(
    scope: Scope,
    status: int,
    *,
    who: Actor,
    address: str,
    act: Act = "read",
    where: str = "elsewhere",
) -> None:
    """Write a refusal; it stands even where that fails."""
    outcome: Outcome = "refused" if status < 500 else "failed"
    access = Access(
        who=who,
        act=act,
        what=called(scope["method"], where),
        outcome=outcome,
        status=status,
        address=address,
        text="" if _carries_secret(_query_of(scope)) else asked_for(scope),
    )
    try:
        await asyncio.wrap_future(scope["app"].state.ledger.append(access))
    except AuditFailed as error:
        log.error("a refusal was not recorded: %s", error)


def _query_of(scope: Scope) -> str:
    return str(scope.get("query_string", b"").decode("latin-1"))


async def read_form(receive: Receive) -> tuple[dict[str, str], Receive]:
    """The fields of a small form, and a `receive` that gives the same body again. Raises Shut."""
    body, again = await read_small(receive)
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}, again


async def read_small(receive: Receive) -> tuple[bytes, Receive]:
    """A small body, and a `receive` that gives it again. Raises Shut for a long one."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > HEAVIEST_FORM:
            raise Shut(413, "A form is not that long.")
    told = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return next(told, None) or await receive()

    return body, again


def cookie_of(headers: Headers, *, secure: bool) -> str:
    """The session's cookie, where one was sent and may count."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    found = cookies.get(SECURE_COOKIE if secure else PLAIN_COOKIE)
    return found.value if found is not None else ""


def _origin(scope: Scope, headers: Headers, control: AccessControl) -> tuple[str, bool]:
    """From where a request comes and whether it came by TLS; a known proxy is believed."""
    client = scope.get("client")
    address, secure = (client[0] if client else ""), scope.get("scheme") == "https"
    if not control.is_proxy(address):
        return address, secure
    secure = headers.get("x-forwarded-proto", "").strip().lower() == "https"
    hops = [hop.strip() for hop in ",".join(headers.getlist("x-forwarded-for")).split(",")]
    for hop in reversed([hop for hop in hops if hop]):
        told = _address_in(hop)
        # Whatever else somebody wrote there is nobody's address, and goes into no ledger.
        address = told or address
        if not control.is_proxy(told):
            break
    return address[:64], secure


def _address_in(hop: str) -> str:
    """The address that a proxy noted, with a port or without; empty where it is none."""
    found = _HOP.fullmatch(hop)
    told = (found[1] or found[2]) if found else hop
    try:
        return ip_address(told).compressed.partition("%")[0]
    except ValueError:
        return ""


def _carries_secret(query: str) -> bool:
    return bool(_SECRETS & {name.lower() for name in parse_qs(query, keep_blank_values=True)})


def _stranger() -> Actor:
    return Actor(id="unknown", kind="unknown")
