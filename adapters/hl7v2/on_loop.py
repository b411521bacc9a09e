"""What other threads have done, taken up on the loop's own thread: one wake for all that is done.

Waking a loop writes to a socket; a commit settles the messages of many connections at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_Found = TypeVar("_Found")


class OnLoop:
    """Calls back on one loop, in the order in which futures were done."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[tuple[Callable[[Any], None], Future[Any]]] = deque()
        self._after: dict[Callable[[], None], None] = {}
        self._woken = False

    def afterwards(self, callback: Callable[[], None]) -> None:
        """Call this, once, when all that is done by now is taken up; to be called back from."""
        self._after[callback] = None

    def when_done(
        self, future: "Future[_Found]", callback: Callable[["Future[_Found]"], None]
    ) -> None:
        """Call back once a future is done; not at all once the loop has closed."""
        future.add_done_callback(lambda done: self._put(callback, done))

    def _put(self, callback: Callable[[Any], None], done: "Future[Any]") -> None:
        self._due.append((callback, done))
        if not self._woken and not self._loop.is_closed():
            self._woken = True
            self._loop.call_soon_threadsafe(self._call)

    def _call(self) -> None:
        # Before anything is taken: what is put from now on wakes the loop again.
        self._woken = False
        while self._due:
            callback, done = self._due.popleft()
            self._safely(callback, done)
        after, self._after = self._after, {}
        for write in after:
            self._safely(write)

    def _safely(self, callback: Callable[..., None], *given: Any) -> None:
        try:
            callback(*given)
        except Exception as defect:
            # As of any other callback of a loop: the others are called all the same.
            said = {"message": "A callback failed.", "exception": defect}
            self._loop.call_exception_handler(said)
