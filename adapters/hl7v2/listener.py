"""The MLLP listener: an asyncio server that answers every message once it is durable."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, Protocol

from adapters.hl7v2.connection import LOG, Connection
from adapters.hl7v2.refusal import INTERNAL_ERROR
from adapters.hl7v2.translate import FeedTranslator, rejection
from twin_core.clock import Clock
from twin_core.errors import ConfigurationError, FeedError
from twin_core.events import Fault, Rejection, Translation
from twin_core.inbox import Answer, Receipt
from twin_core.settings import FeedSettings, LimitSettings, MllpSettings, Settings

FORMAT = "hl7v2"
_SWEEP_S = 0.25
_CLOSING_S = 5.0


class Intake(Protocol):
    """What the listener needs of a twin."""

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]": ...


class ListenerStatus(NamedTuple):
    """What a listener has done since it started."""

    connections: int
    """Open now."""
    refused_connections: int
    received: int
    accepted: int
    rejected: int
    duplicates: int
    dropped_bytes: int
    """Bytes that belonged to no frame, or to none that was finished."""
    last_message_at: datetime | None


class MllpListener:
    """Listens for one feed's messages; `start` binds, `close` answers what is open and stops.

    Host, port, time limits and connections come from the `[mllp]` settings of the twin, the rest
    from the feed's; keyword arguments take their place.
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
        self.twin = twin
        self.feed = feed
        self.mllp = mllp or twin.settings.mllp
        self.limits = limits or twin.settings.limits
        settings = feed_settings or twin.settings.feed(feed)
        self._translator = FeedTranslator(feed, settings, self.limits)
        self._peers = _networks(feed, settings.peers)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._connections: set[Connection] = set()
        self._counts = dict.fromkeys(("accepted", "rejected", "duplicate"), 0)
        self._received = self._refused = self._dropped = self._answers = 0
        self._last_message_at: datetime | None = None
        self._started_at = ""

    async def start(self) -> None:
        """Bind and listen. FeedError where the port is taken or the host needs an allow-list."""
        host, port = self.mllp.host, self.mllp.port
        if not self._peers and not _is_loopback(host):
            raise FeedError(
                f"Feed {self.feed} may not listen on {host}.",
                why="It has no list of peers, and without one only this machine may connect.",
                do=f"Set feeds.{self.feed}.peers, or listen on 127.0.0.1.",
            )
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self), host, port)
        except OSError as error:
            raise FeedError(
                f"Feed {self.feed} cannot listen on {host} port {port}.",
                why=f"{error.strerror or error}.",
                do="Stop what uses the port, or set another one with mllp.port.",
            ) from error
        self._started_at = f"{self.twin.clock.now():%y%m%d%H%M%S}"
        self._sweeper = loop.create_task(self._sweep())
        LOG.info("feed %s listens on %s port %d", self.feed, host, self.port)

    async def close(self) -> None:
        """Stop listening, let outstanding answers go out, close the connections."""
        if self._server is None:
            return
        self._server.close()
        deadline = asyncio.get_running_loop().time() + _CLOSING_S
        while any(connection.outstanding for connection in self._connections):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.01)
        for connection in tuple(self._connections):
            connection.close("the listener stops")
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    @property
    def port(self) -> int:
        """The port that is listened on, also where the settings said 0."""
        if self._server is None or not self._server.sockets:
            return self.mllp.port
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def status(self) -> ListenerStatus:
        """The counters, since the start of this listener."""
        return ListenerStatus(
            connections=len(self._connections),
            refused_connections=self._refused,
            received=self._received,
            accepted=self._counts["accepted"],
            rejected=self._counts["rejected"],
            duplicates=self._counts["duplicate"],
            dropped_bytes=self._dropped,
            last_message_at=self._last_message_at,
        )

    # What connections call.

    def admit(self, connection: Connection, address: str) -> str:
        """Take a connection on, or say why not."""
        if not self._may_connect(address):
            self._refused += 1
            return "the address is not among the feed's peers"
        if len(self._connections) >= self.mllp.connections:
            self._refused += 1
            return f"{self.mllp.connections} connections are open already"
        self._connections.add(connection)
        LOG.info("connection from %s to feed %s", connection.peer, self.feed)
        return ""

    def forget(self, connection: Connection) -> None:
        """A connection has gone."""
        self._connections.discard(connection)

    def receipt(self, raw: bytes, peer: str) -> Receipt:
        """A framed message with what the translator makes of it."""
        self._received += 1
        received_at = self.twin.clock.now()
        outcome: Translation | Rejection
        try:
            outcome = self._translator.translate(raw, received_at)
        # The last line of defence of "every message gets an answer": a defect of ours is answered
        # and quarantined like any other reject. Only the kind of error is logged, never content.
        except Exception as defect:
            LOG.error("translating a message from %s failed: %s", peer, type(defect).__name__)
            reason = "The message met a defect of the receiver and is in quarantine."
            fault = Fault(where="MSH^1", code=INTERNAL_ERROR, reason=reason)
            outcome = rejection(raw, self.feed, "AE", (fault,))
        return self.wrapped(raw, outcome, peer)

    def wrapped(self, raw: bytes, outcome: Translation | Rejection, peer: str) -> Receipt:
        """The receipt of a message whose outcome is known."""
        origin = f"mllp {peer}"
        return Receipt(format=FORMAT, feed=self.feed, raw=raw, outcome=outcome, origin=origin)

    def count_answer(self, status: str, at: datetime) -> None:
        """An answer is about to go out."""
        self._counts[status] += 1
        self._last_message_at = at

    def count_dropped(self, size: int) -> None:
        """Bytes were thrown away."""
        self._dropped += size

    def next_ack_id(self) -> str:
        """A control id for an answer, unique on this listener."""
        self._answers += 1
        return f"{self._started_at}.{self._answers}"

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


def _networks(feed: str, peers: Sequence[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(peer, strict=False) for peer in peers)
    except ValueError as error:
        raise ConfigurationError(
            f"The setting feeds.{feed}.peers is not usable.",
            why=f"{error}.",
            do="Give addresses or networks, such as 10.1.2.3 or 10.1.0.0/16.",
        ) from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return _plain(ip_address(host)).is_loopback
    except ValueError:
        return False


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address that came as IPv6 (::ffff:127.0.0.1), as itself."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
