"""One MLLP connection of a sender: messages out, acknowledgements in, whichever they are about.

Unlike `MllpSender`, which pairs answers with messages by their order, a conversation hands out
what came and leaves it to MSA-2 to say which message is answered.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Self

from adapters.hl7v2.answers import Acknowledgement, read_acknowledgement
from adapters.hl7v2.mllp import FrameDecoder, Progress, framed
from twin_core.errors import FeedError

_LONGEST_ANSWER = 1024 * 1024
_MOST_UNREAD = 1_000
_READ_BYTES = 65_536

Stray = Callable[[Acknowledgement | None], None]
"""Told of every answer that is not about the message under way; None is no acknowledgement."""


class Conversation:
    """A connection to one receiver, with what has come from it and was not yet looked at."""

    def __init__(
        self, peer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.peer = peer
        self._reader, self._writer = reader, writer
        self._decoder = FrameDecoder(_LONGEST_ANSWER)
        self._came: deque[Acknowledgement | None] = deque(maxlen=_MOST_UNREAD)
        self._news = asyncio.Event()
        self._ended = ""
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        timeout_s: float = 10.0,
    ) -> Self:
        """An open connection. FeedError where nobody listens or TLS is not agreed."""
        peer = f"{host} port {port}"
        named = (server_name or host) if tls is not None else None
        opening = asyncio.open_connection(host, port, ssl=tls, server_hostname=named)
        try:
            reader, writer = await asyncio.wait_for(opening, timeout_s)
        except (OSError, TimeoutError) as error:
            raise FeedError(
                f"No connection to {peer}.",
                why=f"{_why(error)}.",
                do="Check that the receiver listens, the address, and TLS on both sides.",
            ) from error
        raw = writer.get_extra_info("socket")
        if raw is not None:
            # A peer that vanished without a word is noticed even while there is nothing to send.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return cls(peer, reader, writer)

    @property
    def ended(self) -> str:
        """Why the connection is over; empty while it is not."""
        return self._ended

    async def deliver(
        self, raw: bytes, control_id: str, timeout_s: float, stray: Stray
    ) -> Acknowledgement:
        """Send one message and return the acknowledgement whose MSA-2 is `control_id`.

        FeedError where none comes in time or the connection ends: whether the message was stored
        is then unknown, and it may be sent again under the same control id.
        """
        for late in self.unread():
            stray(late)
        await self.write(raw, timeout_s)
        return await self.answer(control_id, timeout_s, stray)

    async def write(self, raw: bytes, timeout_s: float) -> None:
        """Send a message. FeedError where the connection ends or the receiver stops reading."""
        if self._ended:
            raise self._over()
        try:
            self._writer.write(framed(raw))
            await asyncio.wait_for(self._writer.drain(), timeout_s)
        except (OSError, TimeoutError) as error:
            self._ended = self._ended or _why(error)
            raise self._over() from error

    async def answer(self, control_id: str, timeout_s: float, stray: Stray) -> Acknowledgement:
        """The acknowledgement of a message that was sent; others are given to `stray`."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + timeout_s
        while True:
            self._news.clear()
            while self._came:
                came = self._came.popleft()
                if came is not None and came.control_id == control_id:
                    return came
                stray(came)
            if self._ended:
                raise self._over()
            try:
                await asyncio.wait_for(self._news.wait(), max(give_up_at - loop.time(), 0.0))
            except TimeoutError:
                raise FeedError(
                    f"{self.peer} did not acknowledge within {timeout_s:g} s.",
                    do="Whether it was stored is not known; send it again under its control id.",
                ) from None

    def unread(self) -> list[Acknowledgement | None]:
        """What came while nobody waited."""
        came = list(self._came)
        self._came.clear()
        return came

    async def close(self) -> None:
        """Close the connection, at once: what was not answered is sent again on another."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._ended = self._ended or "it was closed here"
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        ended = "the receiver closed it"
        try:
            while received := await self._reader.read(_READ_BYTES):
                self._decoder.feed(received)
                self._take_frames()
                if self._decoder.progress is Progress.OVERSIZE:
                    ended = "an answer was longer than any acknowledgement"
                    break
        except OSError as error:
            ended = _why(error)
        self._ended = self._ended or ended
        self._news.set()

    def _take_frames(self) -> None:
        while (frame := self._decoder.next_frame()) is not None:
            self._came.append(read_acknowledgement(frame))
        # Many receivers end a frame with a bare FS; when nothing follows it, that was the end.
        settled = self._decoder.settle()
        if settled is not None:
            self._came.append(read_acknowledgement(settled))
        self._news.set()

    def _over(self) -> FeedError:
        return FeedError(
            f"The connection to {self.peer} ended before the acknowledgement came.",
            why=f"{self._ended}.",
            do="Whether it was stored is not known; send it again under its control id.",
        )


def tls_context(
    authority: str | None, certificate: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """A client's TLS 1.2 or newer: the receiver is known by `authority` (PEM; where None, by the
    machine's own), this side by certificate and key. FeedError where a file is unusable."""
    try:
        context = ssl.create_default_context(cafile=authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except OSError as error:  # ssl.SSLError is one
        raise FeedError(
            "The TLS files of the connection cannot be used.",
            why=f"{_why(error)}.",
            do="Give the authority, the certificate and its key as PEM files.",
        ) from error
    return context


def _why(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    if isinstance(error, TimeoutError):
        return "it took too long"
    return getattr(error, "strerror", None) or type(error).__name__
