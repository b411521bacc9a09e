"""Retention: what is kept for how long, what is due to go, and its removal while a server runs."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from api.audit.operating import recorded
from api.outbound import status
from twin_core.audit import Ledger, forget_texts, ledger_path, texts_before
from twin_core.errors import TwinError
from twin_core.twin import Twin

LOOK_S = 60.0
"""How often a server looks whether it is time."""

log = logging.getLogger(__name__)


class Due(NamedTuple):
    """A kind of what is kept: for how many days, and how much of it is older."""

    kept: str
    days: int | None
    """None where the site keeps all of it."""
    before: datetime | None
    due: int
    oldest: datetime | str | None


class Policy(NamedTuple):
    """How a kind is counted and removed."""

    older: Callable[[Twin, datetime], tuple[int, datetime | str | None]]
    remove: Callable[[Twin, datetime], int]


def _texts_older(twin: Twin, before: datetime) -> tuple[int, datetime | None]:
    path = ledger_path(twin.path)
    found = texts_before(path, before) if path.exists() else []
    return len(found), found[0][1] if found else None


def _forget_texts(twin: Twin, before: datetime) -> int:
    path = ledger_path(twin.path)
    if not path.exists():
        return 0
    return forget_texts(path, [seq for seq, _ in texts_before(path, before)])


POLICIES: dict[str, Policy] = {
    "messages": Policy(
        lambda twin, before: twin.older("messages", before),
        lambda twin, before: twin.prune("messages", before),
    ),
    "quarantine": Policy(
        lambda twin, before: twin.older("quarantine", before),
        lambda twin, before: twin.prune("quarantine", before),
    ),
    "parked": Policy(status.parked_before, status.give_up),
    "audit_text": Policy(_texts_older, _forget_texts),
}
"""What is removed by age, by the setting `[retention] NAME_days`."""


def due(twin: Twin) -> list[Due]:
    """Every kind with what would be removed now."""
    return [_due(twin, kept) for kept in POLICIES]


def run_due(twin: Twin) -> list[Due]:
    """Remove what is due; every kind with how much of it went."""
    found = due(twin)
    return [
        one._replace(due=POLICIES[one.kept].remove(twin, one.before))
        if one.before is not None and one.due
        else one
        for one in found
    ]


def _due(twin: Twin, kept: str) -> Due:
    days: int | None = getattr(twin.settings.retention, f"{kept}_days")
    if days is None:
        return Due(kept, None, None, 0, None)
    before = twin.clock.now() - timedelta(days=days)
    return Due(kept, days, before, *POLICIES[kept].older(twin, before))


class Retaining:
    """Removes what is due while a server runs, by the server's own clock."""

    def __init__(self, twin: Twin, ledger: Ledger, *, look_s: float = LOOK_S) -> None:
        self._twin, self._ledger, self._look_s = twin, ledger, look_s
        self._every = timedelta(hours=twin.settings.retention.every_hours)
        self._next: datetime | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, where the site has set anything."""
        settings = self._twin.settings.retention
        if any(getattr(settings, f"{kept}_days") is not None for kept in POLICIES):
            self._task = asyncio.create_task(self._looking(), name="retention")

    async def close(self) -> None:
        """Stop, once what is being removed is gone."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    def run_if_due(self) -> list[Due] | None:
        """Remove what is due where it is time, with an entry in the ledger if anything went."""
        now = self._twin.clock.now()
        if self._next is not None and now < self._next:
            return None
        self._next = now + self._every
        if not any(one.due for one in due(self._twin)):
            return []
        query = self._twin.query
        gone: list[Due] = recorded(
            self._ledger, "retention_run", {}, lambda: run_due(self._twin), query, via="cli"
        )
        log.info("retention removed %s", ", ".join(f"{one.due} {one.kept}" for one in gone))
        return gone

    async def _looking(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(self.run_if_due)
            except TwinError as error:
                log.warning("retention has to wait: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._look_s)
