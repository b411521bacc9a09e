"""Notifications of FHIR servers on their way into the twin, and what they leave to be read.

What a notification holds is durable before it is answered. What it only names is read right after
in the background; what it does not even name, or what was lost on the way, is asked for by event
number, and where that does not help a sync of the source finds it, as it does by itself after a
restart. So a notification makes the twin faster, and one that is missed makes it no less complete.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from msgspec import structs

from adapters.fhir.client.faults import Declined, SourceError
from adapters.fhir.client.page import PageEntry, head_of, read_page
from adapters.fhir.client.secrets import secret
from adapters.fhir.client.server import FhirServer
from adapters.fhir.client.statements import source_scope, statements
from adapters.fhir.client.world import World, real_world
from adapters.fhir.deletion import Deletion, take_deletion
from adapters.fhir.faults import DATA_TYPE, Refused, rejection
from adapters.fhir.reading import Scope
from adapters.fhir.release import Release
from adapters.fhir.subscription import (
    Delivered,
    Events,
    Notification,
    Target,
    is_signed,
    is_token,
    notification,
    of_page,
)
from api.fhir.origins import own_source
from api.sources.ledger import Ledger, ledger_path
from api.sources.opening import connected
from api.sources.socket import NotProven, Socket, Unreadable
from twin_core.errors import TwinError
from twin_core.events import Fault
from twin_core.inbox import Receipt
from twin_core.settings import SubscriptionSettings
from twin_core.twin import Twin

LOG = logging.getLogger("wardtwin.sources")
GRACE_S = 0.5
"""How long an event may overtake another before the other is asked for."""
_ORIGIN = "hook"
_GONE = frozenset({404, 410})
_NEXT = timedelta(microseconds=1)


class Left(NamedTuple):
    """What a notification leaves to be done."""

    wanted: tuple[Target, ...] = ()
    subscription: str = ""
    is_gap: bool = False
    unclear: bool = False


class Hook:
    """The notifications of one source."""

    def __init__(
        self,
        name: str,
        twin: Twin,
        ledger: Ledger,
        world: World,
        wake: Callable[[], None],
    ) -> None:
        self.name, self._twin, self._ledger, self._world = name, twin, ledger, world
        self.wake = wake
        self._source = twin.settings.sources[name]
        self._own = own_source(twin.query)
        self._events: dict[str, Events] = {}
        self._left: asyncio.Queue[Left] = asyncio.Queue()
        self._last = datetime.min.replace(tzinfo=world.clock.now().tzinfo)
        self._working: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to read what notifications leave."""
        self._working = [asyncio.create_task(self._work(), name=f"hook {self.name}")]
        if self._settings.websocket:
            socket = Socket(self.name, self._twin.settings, self._world, self.hear, self.wake)
            self._working.append(asyncio.create_task(socket.listen(), name=f"socket {self.name}"))

    async def close(self) -> None:
        """Stop; what was left is found by the next sync."""
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def take(self, delivered: Delivered) -> None:
        """Make what a notification holds durable, and note what it leaves.

        Raises NotProven, Unreadable, and StoreError where nothing could be stored.
        """
        prove(self.name, self._settings, delivered)
        await self.hear(delivered)

    async def hear(self, delivered: Delivered) -> None:
        """`take`, of what is known to be the server's."""
        try:
            told = notification(delivered, self._twin.settings.limits, self.name)
        except SourceError as error:
            await self._submit([self._unreadable(delivered.body, str(error))])
            raise Unreadable from None
        if delivered.kind and any(
            (one.kind, one.id) != (delivered.kind, delivered.id) for one in told.entries
        ):
            await self._submit([self._unreadable(delivered.body, "It has another address.")])
            raise Unreadable
        await self._submit(self._receipts(told.entries, told.deletions))
        self._leave(told)

    @property
    def _settings(self) -> SubscriptionSettings:
        return self._source.subscription or SubscriptionSettings(unproven=True)

    def _leave(self, told: Notification) -> None:
        subscription = told.subscription or self._settings.id
        gap = False
        if told.subscription or told.counted is not None or told.numbers:
            events = self._heard(subscription)
            events.hear(told)
            gap = events.missing() is not None
            if not gap:
                self._keep(subscription, events)
        if told.wanted or gap or told.unclear:
            self._left.put_nowait(Left(told.wanted, subscription, gap, told.unclear))

    def _heard(self, subscription: str) -> Events:
        if subscription not in self._events:
            kept = self._ledger.checkpoint(self.name, f"events/{subscription}")
            self._events[subscription] = Events(int(kept) if kept is not None else None)
        return self._events[subscription]

    def _keep(self, subscription: str, events: Events) -> None:
        held = str(events.last or 0).encode()
        self._ledger.keep(self.name, f"events/{subscription}", held)

    # --- into the twin -----------------------------------------------------------------------

    def _scope(self, release: Release | None = None) -> Scope:
        """How a resource is read; its edition is told from itself where the server's is unknown."""
        # Two that came in one instant and have no version are ordered as they came.
        self._last = max(self._world.clock.now(), self._last + _NEXT)
        stated = Release(self._source.version) if self._source.version else None
        scope = source_scope(
            self.name,
            self._source,
            self._twin.settings,
            release or stated or Release.R4,
            self._last,
            own=self._own,
        )
        return scope if release or stated else replaced(scope, told=True)

    def _receipts(
        self,
        entries: Sequence[PageEntry],
        deletions: Iterable[Deletion],
        release: Release | None = None,
    ) -> list[Receipt]:
        scope, limits = self._scope(release), self._twin.settings.limits
        receipts = statements(entries, scope, limits, f"{_ORIGIN} {self.name}")
        for number, one in enumerate(deletions, len(receipts)):
            later = replaced(scope, received_at=scope.received_at + number * _NEXT)
            taken = take_deletion(one, later)
            receipts.append(self._receipt(taken.entry.raw, taken.outcome))
        self._last = scope.received_at + len(receipts) * _NEXT
        return receipts

    def _unreadable(self, body: bytes, why: str) -> Receipt:
        fault = Fault(where="Bundle", code=DATA_TYPE, reason=why)
        return self._receipt(body, rejection(Refused(400, fault), self.name))

    def _receipt(self, raw: bytes, outcome: Any) -> Receipt:
        origin = f"{_ORIGIN} {self.name}"
        return Receipt(format="fhir", feed=self.name, raw=raw, outcome=outcome, origin=origin)

    async def _submit(self, receipts: list[Receipt]) -> None:
        if receipts:
            await asyncio.wrap_future(self._twin.submit(receipts))

    # --- what notifications leave ------------------------------------------------------------

    async def _work(self) -> None:
        """Read what was left, over one connection, until cancelled."""
        while True:
            left = await self._left.get()
            try:
                limits = self._twin.settings.limits
                async with connected(self.name, self._source, limits, self._world) as server:
                    while True:
                        await self._settle(server, left)
                        left = await self._left.get()
            except (TwinError, OSError) as error:
                LOG.warning("source %s: what a notification left is not read: %s", self.name, error)
                self.wake()

    async def _settle(self, server: FhirServer, left: Left) -> None:
        for kind, id_ in left.wanted:
            await self._read(server, kind, id_)
        if left.is_gap:
            await self._world.sleep(GRACE_S)
            await self._fill(server, left.subscription)
        if left.unclear:
            self.wake()

    async def _read(self, server: FhirServer, kind: str, id_: str) -> None:
        """Read a resource that was named; where it is gone, that is the news."""
        reply = await server.ask(server.address(f"{kind}/{id_}"))
        release = await server.release()
        if reply.status in _GONE:
            await self._submit(self._receipts((), [Deletion(kind, id_)], release))
        elif reply.status == 200:
            head = head_of(reply.body)
            meta = head.meta
            entry = PageEntry(
                reply.body, head.resource_type, head.id, meta.version_id, meta.last_updated
            )
            await self._submit(self._receipts([entry], (), release))
        else:
            self.wake()

    async def _fill(self, server: FhirServer, subscription: str) -> None:
        """Ask for the events that nobody has told of; where that does not help, wake the sync."""
        events = self._heard(subscription)
        gap = events.missing()
        if gap is None:
            return
        if not await self._asked(server, subscription, events, gap):
            events.settle()
            self.wake()
        self._keep(subscription, events)

    async def _asked(
        self, server: FhirServer, subscription: str, events: Events, gap: tuple[int, int]
    ) -> bool:
        """Whether `$events` told of everything that was missing."""
        if not subscription:
            return False
        asked = [
            ("eventsSinceNumber", str(gap[0])),
            ("eventsUntilNumber", str(gap[1])),
            ("content", "full-resource"),
        ]
        address = server.address(f"Subscription/{subscription}/$events", asked)
        try:
            reply = await server.fetch(address, "the events of its subscription")
            told = of_page(read_page(reply.body, self._twin.settings.limits, self.name))
        except (Declined, SourceError):
            return False
        release = await server.release()
        await self._submit(self._receipts(told.entries, told.deletions, release))
        for kind, id_ in told.wanted:
            await self._read(server, kind, id_)
        events.hear(told)
        return events.missing() is None and not told.unclear


class Hooks:
    """The notifications of all sources that have a subscription, by the source's name."""

    def __init__(self, twin: Twin, world: World | None = None) -> None:
        self._twin, self._world = twin, world or real_world()
        self._ledger: Ledger | None = None
        self._hooks: dict[str, Hook] = {}
        self._wakers: dict[str, Callable[[], None]] = {}

    async def start(self) -> None:
        """Begin to take notifications. StoreError for a ledger that cannot be used."""
        sources = self._twin.settings.sources
        names = [name for name, source in sources.items() if source.subscription is not None]
        if not names:
            return
        identity = own_source(self._twin.query).rpartition(":")[2]
        path, key = ledger_path(self._twin.path), self._twin.key
        ledger = await asyncio.to_thread(Ledger, path, identity, key)
        self._ledger = ledger
        for name in names:
            hook = Hook(name, self._twin, ledger, self._world, partial(self._wake, name))
            self._hooks[name] = hook
            hook.start()

    async def close(self) -> None:
        """Stop taking notifications."""
        for hook in self._hooks.values():
            await hook.close()
        if self._ledger is not None:
            self._ledger.close()

    def of(self, name: str) -> Hook | None:
        """The hook of a source that has a subscription."""
        return self._hooks.get(name)

    def on_wake(self, name: str, waker: Callable[[], None]) -> None:
        """Who is told that a source has changed and only a sync can say how."""
        self._wakers[name] = waker

    def _wake(self, name: str) -> None:
        waker = self._wakers.get(name)
        if waker is not None:
            waker()


def prove(name: str, settings: SubscriptionSettings, delivered: Delivered) -> None:
    """Check what shows that a notification is the server's. Raises NotProven, and
    ConfigurationError for a file that cannot be read."""
    where = f"sources.{name}.subscription"
    proofs = (settings.secret, settings.secret_file, settings.token, settings.token_file)
    if not settings.unproven and not any(proofs):
        raise NotProven  # its notifications come over a websocket, not here
    headers = {key.lower(): value for key, value in delivered.headers.items()}
    if settings.secret is not None or settings.secret_file is not None:
        key = secret(f"{where}.secret", settings.secret, settings.secret_file)
        if not is_signed(delivered.body, headers.get(settings.signature_header.lower(), ""), key):
            raise NotProven
    if settings.token is not None or settings.token_file is not None:
        token = secret(f"{where}.token", settings.token, settings.token_file)
        if not is_token(headers.get(settings.token_header.lower(), ""), token):
            raise NotProven


def replaced(scope: Scope, **changed: object) -> Scope:
    """A scope with other surroundings."""
    return structs.replace(scope, **changed)
