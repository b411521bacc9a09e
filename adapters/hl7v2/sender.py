"""An MLLP sender: one connection on which messages may be sent before earlier answers came."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self, cast

from adapters.hl7v2.mllp import FrameDecoder, Progress, framed
from twin_core.errors import FeedError

_LONGEST_ANSWER = 1024 * 1024


class MllpSender:
    """Sends messages to one listener and pairs them with their answers, which come in order.

    `send` may be awaited by several tasks at once: that is how messages are pipelined.
    """

    def __init__(self, host: str, port: int, stream: "_Stream", timeout_s: float) -> None:
        self._peer = f"{host} port {port}"
        self._stream = stream
        self._timeout_s = timeout_s

    @classmethod
    async def connect(cls, host: str, port: int, *, timeout_s: float = 30.0) -> Self:
        """A sender with an open connection. FeedError where nobody listens."""
        opening = asyncio.get_running_loop().create_connection(_Stream, host, port)
        try:
            _, stream = await asyncio.wait_for(opening, timeout_s)
        except (OSError, TimeoutError) as error:
            raise FeedError(
                f"No connection to {host} port {port}.",
                why=f"{getattr(error, 'strerror', None) or type(error).__name__}.",
                do="Check that the listener runs and that the address is right.",
            ) from error
        return cls(host, port, stream, timeout_s)

    async def send(self, raw: bytes) -> bytes:
        """Send one message and return its answer, unframed.

        FeedError where the connection breaks or no answer comes in time: whether the message was
        stored is then unknown, and it may be sent again on a new connection.
        """
        stream = self._stream
        await stream.writable.wait()
        answer = stream.write(framed(raw))
        try:
            return await asyncio.wait_for(answer, self._timeout_s)
        except TimeoutError:
            stream.abort()  # answers can no longer be paired with messages
            raise FeedError(
                f"{self._peer} did not answer within {self._timeout_s:g} s.",
                do="Send the message again.",
            ) from None

    async def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        await self._stream.gone.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class _Stream(asyncio.Protocol):
    """The bytes of one connection: frames out, answers in, matched by order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._decoder = FrameDecoder(_LONGEST_ANSWER)
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self.writable = asyncio.Event()
        self.gone = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def write(self, frame: bytes) -> "asyncio.Future[bytes]":
        """Write a frame; the future is its answer."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        if self.gone.is_set():
            answer.set_exception(FeedError("The connection is closed.", do="Connect again."))
            return answer
        self._waiting.append(answer)
        self._transport.write(frame)
        return answer

    def data_received(self, data: bytes) -> None:
        self._decoder.feed(data)
        while (frame := self._decoder.next_frame()) is not None:
            self._resolve(frame)
        if self._decoder.progress is Progress.MAYBE_ENDED:
            # Only answers that nobody follows up end in a bare FS; there is nothing to wait for.
            frame = self._decoder.settle()
            if frame is not None:
                self._resolve(frame)
        elif self._decoder.progress is Progress.OVERSIZE:
            self.abort()

    def _resolve(self, answer: bytes) -> None:
        if self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(answer)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self.writable.set()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(
                    FeedError(
                        "The connection broke before the answer came.",
                        why=f"{exc or 'The listener closed it'}.",
                        do="Send the message again.",
                    )
                )

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
