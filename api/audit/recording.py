"""Records every access over HTTP before its answer leaves, and withholds what it cannot record.

It stands inside compression and sees answers as the routes make them. An answer that is whole is
held until its entry is on disk. A stream is recorded when it begins, and again before any part of
it shows a patient whom it has not shown yet. What a known sender sends in is recorded once it is
durable and before it is acknowledged.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.doors import Door, door_of
from api.audit.touched import (
    LONGEST_ID,
    Told,
    Tracing,
    ids_in,
    ids_in_part,
    messages_in,
    patients_of,
    told_by_messages,
)
from api.problems import problem
from twin_core.audit import Access, Actor, Ledger
from twin_core.errors import AuditFailed, TwinError
from twin_core.twin import Twin

UNLISTED = Door("an unlisted address", "", "read", identified=True)
_BOARDS = frozenset({"/", "/past", "/v1/board", "/v1/deltas", "/units/{facility}/{unit:path}"})
_LISTING_MESSAGES = frozenset(
    {"/messages", "/v1/messages", "/quarantine", "/v1/quarantine", "/v1/findings"}
)
_METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())
_SAID = "wardtwin.audit"
_TAKEN: ContextVar[list[int] | None] = ContextVar("taken", default=None)
FEW_MESSAGES = 8
"""Up to so many messages of a request are named one by one."""

log = logging.getLogger(__name__)


def note(request: Request, **said: Any) -> None:
    """What a route adds to the entry of its access: `objects`, `rows`, `text`, `reason`, `why`.

    `patients` stands in the place of those whose ids are in the answer.
    """
    request.scope.setdefault(_SAID, {}).update(said)


def took(positions: Iterable[int | None]) -> None:
    """What a route tells of messages that it made durable, by their numbers."""
    taken = _TAKEN.get()
    if taken is not None:
        taken.extend(number for number in positions if number)


def nobody() -> Actor:
    """Who asks where access control is not configured: somebody on this machine."""
    return Actor(id="loopback", kind="local")


class Recorder:
    """Middleware that writes the ledger; the application's state holds twin and ledger."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and hold its answer until it is recorded."""
        door = door_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if scope["type"] != "http" or (door is not None and not (door.recorded or door.takes)):
            await self.app(scope, receive, send)
            return
        door = door or UNLISTED
        state = scope["app"].state
        if door.takes:
            await self._taking(scope, receive, send, door)
            return
        held = _Held(scope, door, send, state.twin, state.ledger)
        if door.administrative:
            try:
                await asyncio.to_thread(held.ledger.require)
            except AuditFailed as error:
                await _withheld(error)(scope, receive, send)
                return
        await self.app(scope, receive, held)

    async def _taking(self, scope: Scope, receive: Receive, send: Send, door: Door) -> None:
        state = scope["app"].state
        if state.access is None:
            # Whoever is on this machine is nobody in particular; the journal has what was sent.
            await self.app(scope, receive, send)
            return
        taken: list[int] = []
        token = _TAKEN.set(taken)
        try:
            await self.app(
                scope, receive, _Taken(scope, door, send, state.twin, state.ledger, taken)
            )
        finally:
            _TAKEN.reset(token)


class _Held:
    """A `send` that lets nothing about a patient pass before it is in the ledger."""

    def __init__(self, scope: Scope, door: Door, send: Send, twin: Twin, ledger: Ledger) -> None:
        self.scope, self.door, self.send, self.twin, self.ledger = scope, door, send, twin, ledger
        self.start: Message | None = None
        self.body: list[bytes] = []
        self.known: frozenset[str] = frozenset()
        self.tail = b""
        self.recorded = False
        self.withheld = False

    async def __call__(self, message: Message) -> None:
        if self.withheld:
            return
        if message["type"] == "http.response.start":
            self.start = message
        elif message["type"] != "http.response.body":
            await self.send(message)
        elif self._is_stream():
            await self._part(message)
        else:
            await self._whole(message)

    def _is_stream(self) -> bool:
        headers = dict(self.start["headers"]) if self.start is not None else {}
        return b"content-length" not in headers or self.recorded

    async def _whole(self, message: Message) -> None:
        self.body.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        shown = b"".join(self.body)
        if await self._record(shown):
            await self._begin()
            await self.send({**message, "body": shown, "more_body": False})

    async def _part(self, message: Message) -> None:
        shown = message.get("body", b"")
        fresh = ids_in_part(self.tail + shown, board=self.door.address in _BOARDS) - self.known
        if (fresh or not self.recorded) and not await self._record(self.tail + shown):
            return
        self.known |= fresh
        self.tail = shown[-LONGEST_ID:]
        await self._begin()
        await self.send(message)

    async def _begin(self) -> None:
        if self.start is not None:
            await self.send(self.start)
            self.start = None
        self.recorded = True

    async def _record(self, shown: bytes) -> bool:
        """Write what is about to leave; where that fails, a problem leaves instead."""
        try:
            access = await asyncio.to_thread(self._access, shown)
            await asyncio.wrap_future(self.ledger.append(access))
        except TwinError as error:
            log.error("an answer was withheld: %s", error)
            self.withheld = True
            if self.recorded:
                raise ConnectionAbortedError("The answer broke off.") from None
            await _withheld(error)(self.scope, _nothing, self.send)
            return False
        return True

    def _access(self, shown: bytes) -> Access:
        said: Mapping[str, Any] = self.scope.get(_SAID, {})
        status = int(self.start["status"]) if self.start is not None else 200
        params: Mapping[str, Any] = self.scope.get("path_params", {})
        found = Told() if "patients" in said else self._found(shown, status, params)
        told = {
            "patients": tuple(sorted(found.patients)),
            "beside": found.beside,
            "who": self.scope.get("wardtwin.actor") or nobody(),
            "why": self.scope.get("wardtwin.why") or self.twin.settings.audit.purpose,
            "objects": _objects(params, _named_kind(self.door)),
            "text": asked_for(self.scope),
            **said,
        }
        return Access(
            act=self.door.act,
            what=called(self.scope["method"], self.door.address),
            outcome="success" if status < 400 else "refused" if status < 500 else "failed",
            status=status,
            address=caller(self.scope),
            **told,
        )

    def _found(self, shown: bytes, status: int, params: Mapping[str, Any]) -> Told:
        if status >= 300:
            return Told()
        ids = ids_in(shown, board=self.door.address in _BOARDS) - self.known
        numbers = messages_in(shown) if self.door.address in _LISTING_MESSAGES else frozenset()
        if str(params.get("message_id", "")).isdigit():
            numbers |= {int(params["message_id"])}
        spoken = told_by_messages(numbers, self.twin.query)
        return Told(spoken.patients.union(self._traced(ids)), spoken.beside)

    def _traced(self, ids: frozenset[str]) -> tuple[str, ...]:
        if self.door.address not in _BOARDS:
            return patients_of(ids, self.twin.query)
        tracing: Tracing = self.scope["app"].state.tracing
        return tracing.patients(ids, self.twin.query, self.twin.sequence())


class _Taken(_Held):
    """An answer to a sender, who is in the ledger before it leaves.

    What was taken is durable by then, so that a ledger that cannot be written holds up no sender:
    it is said in the log, and the message itself is kept with its origin.
    """

    def __init__(
        self, scope: Scope, door: Door, send: Send, twin: Twin, ledger: Ledger, taken: list[int]
    ) -> None:
        super().__init__(scope, door, send, twin, ledger)
        self.taken = taken

    async def _record(self, shown: bytes) -> bool:
        try:
            await asyncio.wrap_future(self.ledger.append(self._access(b"")))
        except TwinError as error:
            log.error("a sender was not recorded: %s", error)
        return True

    def _access(self, shown: bytes) -> Access:
        note = self.scope.setdefault(_SAID, {})
        note.update(patients=(), objects=_messages(self.taken), rows=len(self.taken))
        access = super()._access(shown)
        # Whose message it is, its number leads to once it is applied.
        deleted = self.scope["method"] == "DELETE"
        return msgspec.structs.replace(access, act="delete") if deleted else access


def _messages(numbers: list[int]) -> tuple[str, ...]:
    """Messages by their numbers: each, or where they are many, from the first to the last."""
    told = sorted(set(numbers))
    if len(told) > FEW_MESSAGES:
        return (f"messages/{told[0]}-{told[-1]}",)
    return tuple(f"message/{number}" for number in told)


def caller(scope: Scope) -> str:
    """Where a request came from; the gate may know better than the connection, behind a proxy."""
    client = scope.get("client")
    return str(scope.get("wardtwin.address") or (client[0] if client else ""))


def called(method: str, address: str) -> str:
    """What was done, in words of ours: a method may be anything that somebody typed, too."""
    return f"{method if method in _METHODS else 'another method'} {address}"


def asked_for(scope: Scope) -> str:
    """The address as it was asked for, where it says more than its template does."""
    query = scope.get("query_string", b"").decode("latin-1")
    if not query and not scope.get("path_params"):
        return ""
    return f"{scope['method']} {scope['path']}{'?' if query else ''}{query}"


def _objects(params: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """What the address names besides patients and their visits."""
    named = {"message_id": "message", "kpi_id": "kpi", "name": kind, "unit": "unit"}
    return tuple(f"{named[name]}/{value}" for name, value in params.items() if name in named)


def _named_kind(door: Door) -> str:
    """What a `name` in an address is that of."""
    return "query" if "/queries/" in door.address else "destination"


def _withheld(error: TwinError) -> Response:
    said = "This access cannot be recorded, and what cannot be recorded is not shown."
    if not isinstance(error, AuditFailed):
        said = "Whom this answer is about could not be told, so that it was not given."
    return problem(503, said, kind="audit", title="The ledger is not usable", retry_after=5)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
