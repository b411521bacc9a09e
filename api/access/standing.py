"""Answers that go on: they end soon after whoever asked may not have them any more.

A key is revoked, a token expires, somebody signs out, an emergency is over: the next request is
refused by the gate. A stream makes no next request, so that who asked is looked at again for as
long as it lasts. This is the only place that does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASKED_AGAIN_S = 2.0
"""How often who asked is looked at again."""
EVENTS = "text/event-stream"
_GO_ON = (EVENTS, "application/fhir+ndjson")
_TOLD = b"event: refetch\ndata: {}\n\n"
"""What every page of ours takes as: ask again, which is where a refusal is told."""

log = logging.getLogger(__name__)
Still = Callable[[], Awaitable[bool]]


async def answered_while(
    still: Still, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Let `app` answer; an answer that goes on ends once `still` says no.

    A stream of events ends as one that is complete. A file breaks off without its end, so that
    nobody takes what came of it for all of it.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("An answer is given in a task.")
    answer = _Answer(still, send, task)
    try:
        await app(scope, receive, answer)
    except asyncio.CancelledError:
        if not answer.is_cut:
            raise
        task.uncancel()
        await answer.end()
    finally:
        answer.leave()


class _Answer:
    """A `send` that sees of what kind the answer is, and looks at who asked while it goes on."""

    def __init__(self, still: Still, send: Send, task: "asyncio.Task[Any]") -> None:
        self._still, self._send, self.task = still, send, task
        self.is_cut = False
        self._kind, self._is_over = "", False
        self._watching: asyncio.Task[None] | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message.get("headers", ()))
            self._kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0]
            if self._kind in _GO_ON:
                self._watching = asyncio.create_task(self._watch())
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_over = True
        await self._send(message)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(ASKED_AGAIN_S)
            if not await self._still():
                break
        if not self._is_over:
            log.info("an answer ended, because who asked may not have it any more")
            self.is_cut = True
            self.task.cancel()

    async def end(self) -> None:
        if self._kind == EVENTS and not self._is_over:
            await self._send({"type": "http.response.body", "body": _TOLD, "more_body": False})

    def leave(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
