"""The MLLP listener: an asyncio server that answers every message once it is durable."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol

from adapters.hl7v2.acknowledge import is_acknowledgement
from adapters.hl7v2.answers import read_acknowledgement
from adapters.hl7v2.connection import Connection
from adapters.hl7v2.counting import Counts, ListenerStatus
from adapters.hl7v2.dues import LOG
from adapters.hl7v2.on_loop import OnLoop
from adapters.hl7v2.refusal import INTERNAL_ERROR
from adapters.hl7v2.tls import Certificates, Handshake
from adapters.hl7v2.translate import FeedTranslator, rejection
from twin_core.clock import Clock
from twin_core.errors import ConfigurationError, FeedError
from twin_core.events import Fault, Rejection, Translation
from twin_core.inbox import Answer, EncodedReceipt, encoded
from twin_core.settings import (
    MAIN_FEED,
    FeedSettings,
    LimitSettings,
    MllpSettings,
    Settings,
    is_loopback,
)

FORMAT = "hl7v2"
_SWEEP_S = 0.25
_ARRIVING_BYTES = 64 * 1024
_CLOSING_S = 5.0
_FAREWELL_S = 1.0
"""How long a stop waits for answers that are due, and then for each sender to read what it has."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_REMEMBERED = 10_000
"""Messages that could not be applied, kept until their deferred answers are due."""


class Intake(Protocol):
    """What the listener needs of a twin."""

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    def submit(self, receipts: Sequence[EncodedReceipt]) -> "Future[list[Answer]]": ...


class MllpListener:
    """Listens for one feed's messages; `start` binds, `close` answers what is open and stops.

    Host, port, time limits and connections come from the settings of the feed and of `[mllp]`;
    keyword arguments take their place. Whoever projects messages tells `applied`; until then, and
    where the feed's `acknowledgement` is immediate, no answer is deferred.

    Raises ConfigurationError for unusable certificates.
    """

    def __init__(
        self,
        twin: Intake,
        feed: str,
        *,
        mllp: MllpSettings | None = None,
        feed_settings: FeedSettings | None = None,
        limits: LimitSettings | None = None,
    ) -> None:
        self.twin, self.clock = twin, twin.clock
        self.feed = feed
        self.mllp = mllp or twin.settings.listeners().get(feed, twin.settings.mllp)
        self.limits = limits or twin.settings.limits
        settings = feed_settings or twin.settings.feed(feed)
        self._translator = FeedTranslator(feed, settings, self.limits)
        self._peers = tuple(ip_network(peer, strict=False) for peer in settings.peers)
        self._certificates = _certificates(feed, settings, self.mllp)
        strict = settings.strictness == "strict"
        # One thread: what the translator remembers of a feed is no other's business.
        self._judge = ThreadPoolExecutor(1, f"judge-{feed}") if strict else None
        self._immediate = settings.acknowledgement == "immediate"
        self._applied: int | None = None
        self._not_applied: deque[int] = deque(maxlen=_REMEMBERED)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._connections: set[Connection] = set()
        self._handshakes: set[Handshake] = set()
        self.counts = Counts()
        self.arrivals = memoryview(bytearray(_ARRIVING_BYTES))
        """Where bytes are put for the connection that they came on; a view, since TLS puts several
        records there, each into a part of it."""
        self._answers = 0
        self._series = ""

    async def start(self) -> None:
        """Bind and listen. FeedError where the port is taken.

        Raises ConfigurationError where the host needs a list of peers.
        """
        host, port = self.mllp.host, self.mllp.port
        if not self._peers and not is_loopback(host):
            raise ConfigurationError(
                f"Feed {self.feed} may not listen on {host}.",
                why="It has no list of peers, and without one only this machine may connect.",
                do=f"Set feeds.{self.feed}.peers, or listen on 127.0.0.1.",
            )
        loop = asyncio.get_running_loop()
        self.on_loop = OnLoop(loop)
        try:
            self._server = await loop.create_server(self._arrival, host, port)
        except OSError as error:
            raise FeedError(
                f"Feed {self.feed} cannot listen on {host} port {port}.",
                why=f"{error.strerror or error}.",
                do=f"Stop what uses the port, or set another one with {_port_key(self.feed)}.",
            ) from error
        self._series = ack_series(self.clock.now(), self.port)
        self._sweeper = loop.create_task(self._sweep())
        LOG.info("feed %s listens on %s port %d", self.feed, host, self.port)
        if self._certificates is not None:
            self._certificates.tell()

    async def close(self) -> None:
        """Stop listening, let outstanding answers go out, close the connections."""
        if self._server is None:
            return
        self._server.close()
        for handshake in tuple(self._handshakes):
            handshake.cancel()
        await _until(lambda: not any(c.outstanding for c in self._connections), _CLOSING_S)
        for connection in tuple(self._connections):
            connection.close("the listener stops")
            connection.end_within(_FAREWELL_S)
        await _until(lambda: not self._connections, 2 * _FAREWELL_S)
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None
        if self._judge is not None:
            self._judge.shutdown(wait=False, cancel_futures=True)

    @property
    def port(self) -> int:
        """The port that is listened on, also where the settings said 0."""
        if self._server is None or not self._server.sockets:
            return self.mllp.port
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def status(self) -> ListenerStatus:
        """The counters since the start of this listener, and who is connected."""
        connections = sorted((c.status() for c in self._connections), key=lambda one: one.since)
        certificates = self._certificates
        return self.counts.status(
            connections,
            handshakes=len(self._handshakes),
            certificate_expires_at=certificates.expires_at if certificates else None,
        )

    # What the one who projects messages calls.

    def applied(self, position: int, not_applied: Sequence[int] = ()) -> None:
        """Messages up to a position have been applied, but for those in quarantine instead."""
        self._applied = position
        self._not_applied.extend(not_applied)
        for connection in tuple(self._connections):
            if connection.outstanding:
                connection.write_answers()

    # What connections and handshakes call.

    def admit(self, connection: Connection, address: str, client: str = "") -> str:
        """Take a connection on, or say why not."""
        refusal = self._refusal(address)
        if not refusal and self._certificates is not None:
            refusal = self._certificates.refusal(client)
        if refusal:
            self.counts.numbers["refused_connections"] += 1
            return refusal
        self._connections.add(connection)
        LOG.info("connection from %s to feed %s", connection.peer, self.feed)
        return ""

    def forget(self, connection: Connection) -> None:
        """A connection has gone."""
        self._connections.discard(connection)

    def begin_handshake(self, handshake: Handshake, address: str) -> str:
        """Let a TLS handshake begin, or say why not."""
        refusal = self._refusal(address)
        if refusal:
            self.counts.numbers["refused_connections"] += 1
        else:
            self._handshakes.add(handshake)
        return refusal

    def end_handshake(self, handshake: Handshake) -> None:
        """A handshake has come to its end."""
        self._handshakes.discard(handshake)

    def fail_handshake(self, handshake: Handshake) -> None:
        """A handshake did not succeed."""
        self._handshakes.discard(handshake)
        self.counts.numbers["refused_connections"] += 1

    def connection(self) -> Connection:
        """A new connection of this listener."""
        return Connection(self)

    def receipts(self, frames: Sequence[bytes], peer: str) -> list[EncodedReceipt]:
        """Framed messages that came together, with what the translator makes of each.

        Acknowledgements among them are taken, and are no receipts.
        """
        now, feed, origin = self.clock.now(), self.feed, f"mllp {peer}"
        outcome_of = self._outcome
        taken = []
        for raw in frames:
            outcome = outcome_of(raw, peer, now)
            if is_acknowledgement(outcome):
                self._take_acknowledgement(raw, peer)
                continue
            taken.append(encoded(FORMAT, feed, origin, raw, outcome))
        self.counts.numbers["received"] += len(taken)
        return taken

    @property
    def judges(self) -> bool:
        """Whether the standard judges every message of the feed, which takes long."""
        return self._judge is not None

    def judged(self, raw: bytes, peer: str) -> "Future[Translation | Rejection]":
        """What becomes of a message of a strict feed, found in a thread of the feed's own."""
        assert self._judge is not None  # noqa: S101  (narrows the type)
        return self._judge.submit(lambda: self._outcome(raw, peer, self.clock.now()))

    def _outcome(self, raw: bytes, peer: str, received_at: datetime) -> Translation | Rejection:
        try:
            return self._translator.translate(raw, received_at)
        # The last line of defence of "every message gets an answer": a defect of ours is answered
        # and quarantined like any other reject. Only the kind of error is logged, never content.
        except Exception as defect:
            LOG.error("translating a message from %s failed: %s", peer, type(defect).__name__)
            reason = "The message met a defect of the receiver and is in quarantine."
            fault = Fault(where="MSH^1", code=INTERNAL_ERROR, reason=reason)
            return rejection(raw, self.feed, "AE", (fault,))

    def taken(
        self, raw: bytes, outcome: Translation | Rejection, peer: str
    ) -> EncodedReceipt | None:
        """A framed message whose outcome is known; None for an acknowledgement."""
        if is_acknowledgement(outcome):
            self._take_acknowledgement(raw, peer)
            return None
        return self.wrapped(raw, outcome, peer)

    def wrapped(self, raw: bytes, outcome: Translation | Rejection, peer: str) -> EncodedReceipt:
        """The receipt of a message whose outcome is known."""
        self.counts.numbers["received"] += 1
        return encoded(FORMAT, self.feed, f"mllp {peer}", raw, outcome)

    def count_dropped(self, size: int) -> None:
        """Bytes were thrown away."""
        self.counts.numbers["dropped_bytes"] += size

    def next_ack_id(self) -> str:
        """A control id for an answer, unique on this listener."""
        self._answers += 1
        return f"{self._series}.{self._answers}"

    def defers(self) -> bool:
        """Whether application answers may wait until their messages have been applied."""
        return self._applied is not None and not self._immediate

    def verdict(self, position: int) -> str:
        """The application answer to the message at a position; empty until it is known."""
        if self._applied is None or position > self._applied:
            return ""
        return "AE" if position in self._not_applied else "AA"

    def _arrival(self) -> asyncio.BaseProtocol:
        if self._certificates is None:
            return Connection(self)
        return Handshake(self, self._certificates)

    def _refusal(self, address: str) -> str:
        if not self._may_connect(address):
            return "the address is not among the feed's peers"
        if len(self._connections) + len(self._handshakes) >= self.mllp.connections:
            return f"{self.mllp.connections} connections are open already"
        return ""

    def _take_acknowledgement(self, raw: bytes, peer: str) -> None:
        told = read_acknowledgement(raw)
        ours = told is not None and told.control_id.startswith(f"{self._series}.")
        self.counts.numbers["acknowledgements" if ours else "stray_acknowledgements"] += 1
        if not ours:
            LOG.warning("an acknowledgement from %s answers nothing that was sent", peer)

    def _may_connect(self, address: str) -> bool:
        try:
            peer = _plain(ip_address(address))
        except ValueError:
            return False
        if not self._peers:
            return peer.is_loopback
        return any(peer in network for network in self._peers)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        interval = min(_SWEEP_S, self.mllp.frame_timeout_s / 4)
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            for connection in tuple(self._connections):
                connection.check_deadlines(now)


async def _until(come: Callable[[], bool], seconds: float) -> None:
    """Wait for something to come about, no longer than so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not come():
                await asyncio.sleep(0.01)


def ack_series(started_at: datetime, port: int) -> str:
    """What the control ids of a listener's answers begin with: when it started, and its port.

    Twelve characters: up to version 2.6 of HL7 a control id has no more than twenty.
    """
    return _base_36(int(started_at.timestamp() * 1000)) + _base_36(port).zfill(4)


def _base_36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _certificates(feed: str, own: FeedSettings, mllp: MllpSettings) -> Certificates | None:
    if mllp.tls is None:
        return None
    where = "mllp.tls" if own.tls is None else f"feeds.{feed}.tls"
    return Certificates(where, mllp.tls)


def _port_key(feed: str) -> str:
    return "mllp.port" if feed == MAIN_FEED else f"feeds.{feed}.port"


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that came as IPv6 (::ffff:127.0.0.1), as itself."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
