"""Notifications over a websocket, for servers that cannot reach the twin.

R4 knows `bind ID`, answered `bound ID`, and then `ping ID` whenever something has changed.
Topic-based subscriptions have a token for binding and send the same Bundles as a rest-hook would. A
connection that ends is made again, and the source is synced, because what was sent meanwhile is
lost.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from adapters.fhir.client.faults import Untrustworthy
from adapters.fhir.client.page import head_of, instant
from adapters.fhir.client.server import FhirServer, tls_context
from adapters.fhir.client.world import World
from adapters.fhir.subscription import Delivered
from api.sources.opening import connected
from twin_core.errors import TwinError
from twin_core.settings import Settings, SubscriptionSettings

LOG = logging.getLogger("wardtwin.sources")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 120.0
OPEN_S = 30.0
_BEFORE_EXPIRY_S = 30.0


class NotProven(Exception):
    """A notification of whom nobody knows whether it is the server's."""


class Unreadable(Exception):
    """A notification that cannot be read; its bytes are in quarantine."""


class Binding(NamedTuple):
    """Where to connect, what to say there, and for how many seconds that holds."""

    url: str
    said: str
    for_s: float | None = None


class Socket:
    """The websocket of one source: `hear` takes a notification, `wake` asks for a sync."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        world: World,
        hear: Callable[[Delivered], Awaitable[None]],
        wake: Callable[[], None],
    ) -> None:
        self.name, self._world, self._hear, self._wake = name, world, hear, wake
        self._source, self._limits = settings.sources[name], settings.limits
        self._settings = self._source.subscription or SubscriptionSettings(unproven=True)

    async def listen(self) -> None:
        """Stay connected until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with connected(self.name, self._source, self._limits, self._world) as server:
                    binding = await self._binding(server)
                if await self._bound(binding):
                    pause_s = FIRST_PAUSE_S
                    continue  # the token is about to expire: another one, at once
            except (TwinError, OSError, TimeoutError, WebSocketException, ValueError) as error:
                LOG.warning("source %s: no websocket: %s", self.name, type(error).__name__)
            self._wake()
            await self._world.sleep(pause_s * (0.5 + self._world.chance.random()))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _bound(self, binding: Binding) -> bool:
        """Listen over one connection; whether it ended because the binding expires."""
        secured = binding.url.startswith("wss:")
        if self._source.url.startswith("https:") and not secured:
            raise Untrustworthy("The websocket is not secured as the server is.")
        tls = tls_context(self.name, self._source) if secured else None
        async with connect(
            binding.url, ssl=tls, open_timeout=OPEN_S, max_size=self._limits.body_bytes
        ) as socket:
            await socket.send(binding.said)
            # What changed before the binding held was told to nobody.
            self._wake()
            try:
                async with asyncio.timeout(binding.for_s):
                    await self._told(socket)
            except TimeoutError:
                return True
        return False

    async def _told(self, socket: ClientConnection) -> None:
        async for message in socket:
            body = message.encode() if isinstance(message, str) else message
            if head_of(body).resource_type:
                await self._notified(body)
            elif body.split(b" ", 1)[0] == b"ping":
                self._wake()

    async def _notified(self, body: bytes) -> None:
        try:
            await self._hear(Delivered("POST", {}, body))
        except Unreadable:
            LOG.warning("source %s: a notification cannot be read; it is kept", self.name)

    async def _binding(self, server: FhirServer) -> Binding:
        subscription, how = self._settings.id, self._settings.websocket
        if how == "ping":
            return Binding(self._settings.websocket_url, f"bind {subscription}")
        address = server.address(f"Subscription/{subscription}/$get-ws-binding-token")
        reply = await server.fetch(address, "a token for its websocket")
        told = _parameters(reply.body)
        token, url = told.get("token"), told.get("websocket-url")
        if not isinstance(token, str) or not isinstance(url, str):
            raise Untrustworthy(f"The server of source {self.name} gives no token for a websocket.")
        said = f"bind-with-token {token}"
        if how == "token-json":
            said = json.dumps({"type": "bind-with-token", "payload": {"token": token}})
        return Binding(url, said, self._for_s(told.get("expiration")))

    def _for_s(self, expiration: object) -> float | None:
        at = instant(expiration) if isinstance(expiration, str) else None
        if at is None:
            return None
        left_s = (at - self._world.clock.now()).total_seconds() - _BEFORE_EXPIRY_S
        return max(left_s, 1.0)


def _parameters(body: bytes) -> dict[str, Any]:
    tree = json.loads(body)
    found: dict[str, Any] = {}
    for one in tree.get("parameter", ()) if isinstance(tree, dict) else ():
        value = next((each for key, each in one.items() if key.startswith("value")), None)
        found[str(one.get("name"))] = value
    return found
