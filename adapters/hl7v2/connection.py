"""One sender's connection: frames in, answers out in the same order, nothing unbounded."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, cast

from adapters.hl7v2.acknowledge import acknowledge
from adapters.hl7v2.header import peek
from adapters.hl7v2.mllp import FrameDecoder, Progress, framed
from adapters.hl7v2.refusal import INTERNAL_ERROR, TOO_LONG
from adapters.hl7v2.translate import rejection
from twin_core.errors import StoreError
from twin_core.events import Fault, Rejection
from twin_core.inbox import Answer, Receipt

if TYPE_CHECKING:
    from adapters.hl7v2.listener import MllpListener

LOG = logging.getLogger("wardtwin.mllp")

OUTSTANDING = 256
"""Messages of one connection that may wait for their answer; beyond it nothing is read."""
END_GRACE_S = 0.05
"""How long an FS without its CR waits for what may follow."""
STRAY_TIMEOUT_S = 5.0
STRAY_BYTES = 64 * 1024
"""How long, and how much of, something that is not MLLP is put up with."""
HEAD_BYTES = 64 * 1024
"""How much is kept of a frame that is too long."""
LINGER_S = 5.0
"""How long the rest of such a frame is read and dropped, so that its answer arrives."""

_RESEND = Fault(
    where="MSH^1",
    code=INTERNAL_ERROR,
    reason="The message could not be stored and nothing of it was kept; send it again.",
)


class Group:
    """Messages that were submitted together, and their answers once there are any."""

    __slots__ = ("acks", "count", "receipts")

    def __init__(self, receipts: list[Receipt]) -> None:
        self.receipts = receipts
        self.count = len(receipts)
        self.acks: bytes | None = None


class Connection(asyncio.Protocol):
    """Reads frames, submits them, and writes every answer once its message is durable."""

    def __init__(self, listener: "MllpListener") -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._decoder = FrameDecoder(listener.limits.frame_bytes)
        self._groups: deque[Group] = deque()
        self.outstanding = 0
        self._dropped = self._stray = self._lingered = 0
        self._frame_since: float | None = None
        self._stray_since: float | None = None
        self._closing_since: float | None = None
        self._heard_at = self._loop.time()
        self._settling: asyncio.TimerHandle | None = None
        self._write_blocked = self._input_ended = self._refused = False
        self.peer = "?"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        address = self.transport.get_extra_info("peername") or ("?", 0)
        self.peer = f"{address[0]} port {address[1]}"
        refusal = self._listener.admit(self, str(address[0]))
        if refusal:
            self._refused = True
            LOG.warning("refused a connection from %s: %s", self.peer, refusal)
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._decoder.give_up(0)
        self._count_dropped()
        if not self._refused:
            self._listener.forget(self)
            LOG.info("connection from %s closed", self.peer)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._closing_since is not None:
            self._lingered += len(data)
            self._listener.count_dropped(len(data))
            if self._lingered > 4 * self._listener.limits.frame_bytes:
                self.transport.abort()
            return
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        self._decoder.feed(data)
        self._advance()

    def eof_received(self) -> bool:
        """The sender has finished, perhaps before reading its answers: they still go out."""
        self._input_ended = True
        self._settle()
        return self.outstanding > 0

    def pause_writing(self) -> None:
        """The sender does not read its answers: stop reading its messages."""
        self._write_blocked = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._write_blocked = False
        self._advance()

    def check_deadlines(self, now: float) -> None:
        """Disconnect a sender that is too slow, silent for too long, or does not speak MLLP."""
        settings = self._listener.mllp
        stray_s = min(STRAY_TIMEOUT_S, settings.frame_timeout_s)
        if self._closing_since is not None:
            if now - self._closing_since > LINGER_S:
                self.transport.abort()
        elif self._frame_since is not None and now - self._frame_since > settings.frame_timeout_s:
            if self.outstanding < OUTSTANDING:
                self.close("a frame was not finished in time")
        elif self._stray_since is not None and now - self._stray_since > stray_s:
            self.close("bytes outside any frame")
        elif not self.outstanding and now - self._heard_at > settings.idle_timeout_s:
            self.close("idle")

    def close(self, reason: str) -> None:
        """Close after what is already written; what was not finished is dropped."""
        LOG.info("closing the connection from %s: %s", self.peer, reason)
        self.transport.close()

    def _advance(self) -> None:
        """Submit the frames that are whole, then see what the rest is."""
        frames: list[bytes] = []
        while self.outstanding + len(frames) < OUTSTANDING:
            frame = self._decoder.next_frame()
            if frame is None:
                break
            frames.append(frame)
        if frames:
            self._frame_since = self._stray_since = None
            self._stray = 0
            self._submit([self._listener.receipt(raw, self.peer) for raw in frames])
        self._count_dropped()
        if self.outstanding >= OUTSTANDING or self._write_blocked:
            self.transport.pause_reading()
            return
        self.transport.resume_reading()
        self._see_rest()

    def _see_rest(self) -> None:
        progress = self._decoder.progress
        if progress is Progress.OUTSIDE:
            self._frame_since = None
        elif progress is Progress.OVERSIZE:
            self._refuse_oversize()
        else:
            self._stray_since = None
            if self._frame_since is None:
                self._frame_since = self._loop.time()
            if progress is Progress.MAYBE_ENDED:
                self._settling = self._loop.call_later(END_GRACE_S, self._settle)

    def _settle(self) -> None:
        """An FS was the last byte for a while: the frame has ended without a CR."""
        self._settling = None
        frame = self._decoder.settle()
        if frame is not None:
            self._frame_since = None
            self._submit([self._listener.receipt(frame, self.peer)])

    def _count_dropped(self) -> None:
        fresh = self._decoder.dropped - self._dropped
        if not fresh:
            return
        self._dropped += fresh
        self._stray += fresh
        self._listener.count_dropped(fresh)
        if self._stray_since is None:
            self._stray_since = self._loop.time()
        if self._stray > STRAY_BYTES and not self.transport.is_closing():
            self.close("too many bytes outside any frame")

    def _refuse_oversize(self) -> None:
        """Answer a frame that is too long if it names itself, and close the connection."""
        self._listener.count_dropped(self._decoder.pending)
        head = self._decoder.give_up(HEAD_BYTES)
        self._dropped = self._decoder.dropped
        if peek(head) is None:
            self.close("a frame is too long and is no message")
            return
        limit = self._listener.limits.frame_bytes
        fault = Fault(
            where="MSH^1", code=TOO_LONG, reason=f"The message is longer than {limit} bytes."
        )
        self._closing_since = self._loop.time()
        outcome = rejection(head, self._listener.feed, "AR", (fault,))
        self._submit([self._listener.wrapped(head, outcome, self.peer)])

    def _submit(self, receipts: list[Receipt]) -> None:
        group = Group(receipts)
        self._groups.append(group)
        self.outstanding += group.count
        try:
            future = self._listener.twin.submit(receipts)
        except StoreError as error:
            self._refuse_group(group, error)
            self._write_answers()
            return
        future.add_done_callback(_on_loop(self._loop, lambda done: self._answered(group, done)))

    def _answered(self, group: Group, future: "Future[list[Answer]]") -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None or future.cancelled():
            self._refuse_group(group, error)
        else:
            group.acks = self._acks(group.receipts, future.result())
        self._write_answers()

    def _acks(self, receipts: Sequence[Receipt], answers: Sequence[Answer]) -> bytes:
        now = self._listener.twin.clock.now()
        acks = []
        for receipt, answer in zip(receipts, answers, strict=True):
            outcome = receipt.outcome
            faults = outcome.faults if isinstance(outcome, Rejection) else ()
            self._listener.count_answer(answer.status, now)
            if faults:
                LOG.warning(
                    "rejected a message from %s: %s %s at %s",
                    self.peer,
                    answer.code,
                    faults[0].code,
                    faults[0].where,
                )
            acks.append(self._ack(receipt.raw, answer.code, faults, now))
        return b"".join(acks)

    def _refuse_group(self, group: Group, error: BaseException | None) -> None:
        LOG.error("could not store %d messages: %s", group.count, type(error).__name__)
        now = self._listener.twin.clock.now()
        group.acks = b"".join(
            self._ack(receipt.raw, "AE", (_RESEND,), now) for receipt in group.receipts
        )

    def _ack(self, raw: bytes, code: str, faults: Sequence[Fault], now: datetime) -> bytes:
        ack_id = self._listener.next_ack_id()
        return framed(acknowledge(raw, code, faults, now=now, ack_id=ack_id))

    def _write_answers(self) -> None:
        """Write every answer whose turn it is, and go on reading if there is room again."""
        was_full = self.outstanding >= OUTSTANDING
        while self._groups and self._groups[0].acks is not None:
            group = self._groups.popleft()
            self.outstanding -= group.count
            if not self.transport.is_closing():
                self.transport.write(group.acks or b"")
        if self.transport.is_closing():
            return
        if self._closing_since is not None:
            if not self._groups and self.transport.can_write_eof():
                self.transport.write_eof()
        elif was_full and not self._write_blocked:
            self._advance()
        if self._input_ended and not self.outstanding:
            self.transport.close()


def _on_loop(
    loop: asyncio.AbstractEventLoop, callback: Callable[["Future[list[Answer]]"], None]
) -> Callable[["Future[list[Answer]]"], None]:
    """The callback, called on the loop's own thread; not at all once the loop has closed."""

    def call(future: "Future[list[Answer]]") -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(callback, future)

    return call
