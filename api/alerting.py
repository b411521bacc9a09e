"""Alerts while a server runs: looked for, told to whoever listens, posted to webhooks.

A webhook is posted JSON. `Wardtwin-Signature: t=<seconds>,v1=<hex>` is the HMAC-SHA256 of
`<seconds>.<body>` under the alert's secret. What a receiver does not take (any answer but 2xx) is
posted again, later and later, also after a restart; `Wardtwin-Delivery` is the same each time.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from time import monotonic, time

import httpx
import msgspec

from api.live import RETRY_MS, Client
from twin_core.errors import TwinError
from twin_core.kpi.alerting import Alert
from twin_core.twin import Twin

LOOK_S, LONGEST_LOOK_S = 5.0, 60.0
"""How often figures are looked at while messages come, and while none do."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
"""How long to wait before a webhook is posted to again; doubled each time."""
POST_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is posted and streamed: what happened to an alert, and the alert after it."""

    happened: str
    """opened, acknowledged or closed."""
    at: datetime
    alert: Alert


def happenings(alert: Alert, told_at: datetime | None) -> list[Told]:
    """What happened to an alert since an instant, in order."""
    marks = (
        ("opened", alert.opened_at),
        ("acknowledged", alert.acknowledged_at),
        ("closed", alert.closed_at),
    )
    found = [
        Told(happened=word, at=at, alert=alert)
        for word, at in marks
        if at is not None and (told_at is None or at > told_at)
    ]
    return sorted(found, key=lambda told: told.at)


def signature(secret: str, body: bytes, seconds: int) -> str:
    """The header by which a receiver knows that a body was posted by us, and when."""
    signed = hmac.new(secret.encode(), b"%d." % seconds + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={signed}"


class AlertDesk:
    """Looks for alerts, streams what happens to them, and posts it, for one running server."""

    def __init__(
        self,
        twin: Twin,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        seconds: Callable[[], float] = time,
    ) -> None:
        self._twin, self._seconds = twin, seconds
        # Where a webhook is, is the site's own affair: the environment's proxies have no part.
        self._http = httpx.AsyncClient(transport=transport, timeout=POST_TIMEOUT_S, trust_env=False)
        self._clients: set[Client] = set()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._pause_s: dict[str, float] = {}
        self._again_at: dict[str, float] = {}

    async def start(self) -> None:
        """Begin to look and to post, where the site watches anything."""
        if self._twin.settings.alerts:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._looking()), loop.create_task(self._posting())]

    async def stop(self) -> None:
        """End every stream and every task."""
        self.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    def end(self) -> None:
        """End every stream."""
        for client in self._clients:
            client.end()

    async def look(self) -> list[Alert]:
        """Look at the figures once, and tell what opened or closed."""
        changed = await asyncio.to_thread(self._twin.look_for_alerts)
        for alert in changed:
            self.tell(alert)
        return changed

    def tell(self, alert: Alert) -> None:
        """Tell every stream the latest that happened to an alert, and wake the posting."""
        event = _event("alert", happenings(alert, None)[-1])
        for client in self._clients:
            client.offer(event)
        self._clients = {client for client in self._clients if not client.lagging}
        self._changed.set()

    async def acknowledge(self, alert_id: str, by: str) -> Alert:
        """An alert that somebody now knows of; whoever follows the alerts is told the first time.

        Raises UsageError where there is none.
        """
        before = await asyncio.to_thread(self._twin.alert, alert_id)
        alert = await asyncio.to_thread(self._twin.acknowledge_alert, alert_id, by)
        if before.acknowledged_at is None:
            self.tell(alert)
        return alert

    async def post(self) -> None:
        """Post once to every webhook whatever it does not know yet, unless it must be waited."""
        for alert, told_at in await asyncio.to_thread(self._twin.untold_alerts):
            rule = self._twin.settings.alerts.get(alert.name)
            if rule is None or not rule.webhook or rule.secret is None:
                continue
            if monotonic() < self._again_at.get(rule.webhook, 0.0):
                continue
            for told in happenings(alert, told_at):
                if not await self._posted(rule.webhook, rule.secret.get_secret_value(), told):
                    break
                await asyncio.to_thread(self._twin.alert_told, alert.alert_id, told.at)

    async def stream(self, opened: list[Alert]) -> AsyncIterator[bytes]:
        """What is open, then what happens, as server-sent events."""
        client = Client()
        client.offer(_event("alerts", opened))
        self._clients.add(client)
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while (event := await client.next()) is not None:
                yield event
        finally:
            self._clients.discard(client)

    async def _posted(self, address: str, secret: str, told: Told) -> bool:
        body = msgspec.json.encode(told)
        headers = {
            "Content-Type": "application/json",
            "Wardtwin-Delivery": f"{told.alert.alert_id}-{told.happened}",
            "Wardtwin-Signature": signature(secret, body, int(self._seconds())),
        }
        try:
            answer = await self._http.post(address, content=body, headers=headers)
            problem = "" if answer.is_success else f"it answers {answer.status_code}"
        # An address that names nothing (InvalidURL, UnicodeError) must not end the other webhooks.
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            problem = type(error).__name__
        if not problem:
            self._pause_s.pop(address, None)
            return True
        pause = self._pause_s.get(address, FIRST_PAUSE_S)
        self._pause_s[address] = min(2 * pause, LONGEST_PAUSE_S)
        self._again_at[address] = monotonic() + pause
        log.warning("the webhook of [alerts.%s] does not take it: %s", told.alert.name, problem)
        return False

    async def _looking(self) -> None:
        seen, looked_at = -1, float("-inf")
        while True:
            sequence = self._twin.sequence()
            if sequence != seen or monotonic() - looked_at >= LONGEST_LOOK_S:
                seen, looked_at = sequence, monotonic()
                try:
                    await self.look()
                except TwinError as error:
                    log.warning("alerts could not be looked for: %s", error.what)
            await asyncio.sleep(LOOK_S)

    async def _posting(self) -> None:
        while True:
            try:
                await self.post()
            except TwinError as error:
                log.warning("alerts could not be posted: %s", error.what)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), FIRST_PAUSE_S)
            except TimeoutError:
                continue


def _event(name: str, content: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(content))
