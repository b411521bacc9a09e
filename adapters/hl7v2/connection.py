"""One sender's connection: frames in, answers out in the same order, nothing unbounded."""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, cast

from adapters.hl7v2.counting import OpenConnection
from adapters.hl7v2.dues import LOG, Answers, Turn
from adapters.hl7v2.header import peek
from adapters.hl7v2.keepalive import keep_alive
from adapters.hl7v2.mllp import FrameDecoder, Progress
from adapters.hl7v2.refusal import TOO_LONG
from adapters.hl7v2.tls import client_name
from adapters.hl7v2.translate import rejection
from twin_core.errors import StoreError
from twin_core.events import Fault, Rejection, Translation
from twin_core.inbox import Answer, EncodedReceipt

if TYPE_CHECKING:
    from adapters.hl7v2.listener import MllpListener

END_GRACE_S = 0.05
"""How long an FS without its CR waits for what may follow."""
STRAY_TIMEOUT_S = 5.0
STRAY_BYTES = 64 * 1024
"""How long, and how much of, something that is not MLLP is put up with."""
HEAD_BYTES = 64 * 1024
"""How much is kept of a frame that is too long."""
TLS_RECORD = b"\x16\x03"
"""What TLS begins with: a handshake record of a version 3 (RFC 8446, 5.1)."""
LINGER_S = 5.0
"""How long a connection may take to end: a sender reads its last answers in that time or never."""


class Connection(asyncio.BufferedProtocol):
    """Reads frames, submits them, and writes every answer once its message is durable."""

    def __init__(self, listener: "MllpListener") -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._decoder = FrameDecoder(listener.limits.frame_bytes)
        self._dropped = self._stray = self._lingered = 0
        self._frame_since: float | None = None
        self._stray_since: float | None = None
        self._blocked_since: float | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        self._since = self._spoke_at = listener.clock.now()
        self._messages = 0
        self._settling: asyncio.TimerHandle | None = None
        self._lingering = self._input_ended = self._refused = self._lost = False
        self._unjudged: deque[bytes] = deque()
        """Messages of a strict feed that the standard is yet to judge, the one under way first."""
        self._opening = b""
        self.peer, self._client = "?", ""
        self._answers = Answers(listener, self.peer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        address = self.transport.get_extra_info("peername") or ("?", 0)
        self.peer = f"{address[0]} port {address[1]}"
        self._answers = Answers(self._listener, self.peer)
        self._client = client_name(self.transport)
        refusal = self._listener.admit(self, str(address[0]), self._client)
        if refusal:
            self._refused = True
            LOG.warning("refused a connection from %s: %s", self.peer, refusal)
            self.transport.abort()
            return
        keep_alive(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._settling, self._ending):
            if timer is not None:
                timer.cancel()
        self._lost = True
        self._decoder.give_up(0)
        self._count_dropped()
        self._answers.abandon()
        if not self._refused:
            self._listener.forget(self)
            LOG.info("connection from %s closed", self.peer)

    @property
    def outstanding(self) -> int:
        """Messages that wait for an answer, deferred ones included."""
        return self._answers.outstanding + len(self._unjudged)

    def status(self) -> OpenConnection:
        """How this connection is doing."""
        return OpenConnection(
            peer=self.peer,
            since=self._since,
            heard_at=self._spoke_at,
            messages=self._messages,
            outstanding=self.outstanding,
            client=self._client,
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts what arrives: one place for all connections, which take turns.

        A protocol without it is given bytes of its own each time, cut from room for 256 KiB that
        is asked of the system anew, which takes longer than reading a message.
        """
        return self._listener.arrivals

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._listener.arrivals[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes have arrived; they are copied before this returns."""
        self._heard_at, self._spoke_at = self._loop.time(), self._listener.clock.now()
        if self._lingering or self.transport.is_closing():
            self._drop(len(data))
            return
        if len(self._opening) < len(TLS_RECORD) and self._opens_tls(data):
            self._drop(len(data))
            LOG.warning("%s: this looks like TLS; this feed has none", self.peer)
            self.close("TLS where none is spoken")
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
        # TLS knows no half-open connection: who ends it hears nothing more.
        if self.outstanding and self.transport.get_extra_info("sslcontext") is None:
            return True
        self.end_within(self._listener.mllp.frame_timeout_s)
        return False

    def pause_writing(self) -> None:
        """The sender does not read its answers: stop reading its messages."""
        self._blocked_since = self._loop.time()
        self._hold_back()

    def resume_writing(self) -> None:
        self._blocked_since = None
        if not self._lingering and not self.transport.is_closing():
            self._advance()

    def check_deadlines(self, now: float) -> None:
        """Disconnect a sender that is too slow, silent for too long, or does not speak MLLP."""
        if self._lingering or self.transport.is_closing():
            return
        if reason := self._overdue(now):
            self.close(reason)

    def close(self, reason: str) -> None:
        """Close after what is already written; what was not finished is dropped."""
        if not self.transport.is_closing():
            LOG.info("closing the connection from %s: %s", self.peer, reason)
            # Once only: asyncio forgets a TLS connection that is closed twice, and never ends it.
            self.transport.close()
        self.end_within(LINGER_S)

    def end_within(self, seconds: float) -> None:
        """The connection is over after so many seconds, also if its sender reads nothing more."""
        if self._ending is not None:
            if self._ending.when() <= self._loop.time() + seconds:
                return
            self._ending.cancel()
        self._ending = self._loop.call_later(seconds, self.transport.abort)

    def _overdue(self, now: float) -> str:
        """What the sender has let pass, in words; empty where it is in time."""
        settings = self._listener.mllp
        frame_s = settings.frame_timeout_s
        heard_at = None if self.outstanding else self._heard_at
        for since, allowed_s, reason in (
            (self._blocked_since, frame_s, "its answers are not read"),
            (self._frame_since, frame_s, "a frame was not finished in time"),
            (self._stray_since, min(STRAY_TIMEOUT_S, frame_s), "bytes outside any frame"),
            (heard_at, settings.idle_timeout_s, "idle"),
        ):
            if since is not None and now - since > allowed_s:
                return reason
        return ""

    def _opens_tls(self, received: bytes | memoryview) -> bool:
        """Whether the first bytes of a connection without TLS are those of TLS."""
        self._opening += received[: len(TLS_RECORD) - len(self._opening)]
        plain = self.transport.get_extra_info("sslcontext") is None
        return plain and self._opening == TLS_RECORD

    def _drop(self, size: int) -> None:
        """Bytes have come after the end of what is heard: they are counted, up to a limit."""
        self._lingered += size
        self._listener.count_dropped(size)
        if self._lingered > 4 * self._listener.limits.frame_bytes:
            self.transport.abort()

    def _hold_back(self) -> None:
        """Read nothing for now; a sender that is not read cannot be late meanwhile."""
        self.transport.pause_reading()
        self._frame_since = self._stray_since = None

    def _advance(self) -> None:
        """Submit the frames that are whole, then see what the rest is."""
        # No more than may wait for an answer.
        while not self._unjudged and (frames := self._decoder.next_frames(self._answers.room)):
            self._frame_since = self._stray_since = None
            self._stray = 0
            self._take(frames)
        self._count_dropped()
        if self._unjudged or self._answers.full or self._blocked_since is not None:
            self._hold_back()
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
            self._take([frame])

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
        self._lingering = True
        self.end_within(LINGER_S)
        outcome = rejection(head, self._listener.feed, "AR", (fault,))
        self._submit([self._listener.wrapped(head, outcome, self.peer)])

    def _take(self, frames: Sequence[bytes]) -> None:
        """Submit framed messages; acknowledgements among them are taken and never answered."""
        if self._listener.judges:
            idle = not self._unjudged
            self._unjudged.extend(frames)
            if idle:
                self._judge()
            return
        if receipts := self._listener.receipts(frames, self.peer):
            self._submit(receipts)

    def _judge(self) -> None:
        """Have the next message judged elsewhere: it takes as long as hundreds take to be read."""
        judged = self._listener.judged(self._unjudged[0], self.peer)
        self._listener.on_loop.when_done(judged, self._submit_judged)

    def _submit_judged(self, judged: "Future[Translation | Rejection]") -> None:
        if self._lost or judged.cancelled():
            self._unjudged.clear()
            return
        raw = self._unjudged.popleft()
        receipt = self._listener.taken(raw, judged.result(), self.peer)
        if receipt is not None:
            self._submit([receipt])
        if self._unjudged:
            self._judge()
        elif not self._lingering and not self.transport.is_closing():
            self._advance()
        if receipt is None:
            self.write_answers()

    def _submit(self, receipts: list[EncodedReceipt]) -> None:
        self._messages += len(receipts)
        turn = self._answers.begin(receipts, self._loop.time())
        try:
            future = self._listener.twin.submit(receipts)
        except StoreError as error:
            self._refuse(turn, error)
            return
        self._listener.on_loop.when_done(future, lambda done: self._answered(turn, done))

    def _answered(self, turn: Turn, future: "Future[list[Answer]]") -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None or future.cancelled():
            self._refuse(turn, error)
            return
        self._answers.settle(turn, future.result())
        # Answers that became due together go out together, and so do the sender's next messages.
        self._listener.on_loop.afterwards(self.write_answers)

    def _refuse(self, turn: Turn, error: BaseException | None) -> None:
        LOG.error("could not store %d messages: %s", turn.count, type(error).__name__)
        self._answers.refuse(turn)
        self.write_answers()
        if self._answers.unheard and not self.transport.is_closing():
            # The only way that is left to tell a sender who wants to hear nothing.
            self.close("a message could not be stored, and its sender wants no answer")

    def write_answers(self) -> None:
        """Write every answer whose turn it is, and go on reading if there is room again."""
        was_full = self._answers.full
        due = self._answers.due(self._loop.time())
        if self.transport.is_closing():
            return
        if due:
            self.transport.write(due)
        if self._lingering:
            if not self.outstanding and self.transport.can_write_eof():
                self.transport.write_eof()
        elif was_full and not self._unjudged and self._blocked_since is None:
            self._advance()
        if self._input_ended and not self.outstanding:
            self.transport.close()
            self.end_within(self._listener.mllp.frame_timeout_s)
