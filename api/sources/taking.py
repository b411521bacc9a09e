"""Where a source's resources become durable: in the twin of this process, or in its holder's."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from adapters.fhir.client.world import World
from api.desk import Desk
from api.ingesting import ROOM, Handover, Order, Summary, handover_of, ingest
from api.sources.open_encounters import open_encounters
from api.translating import decode_receipts, encode_receipts
from twin_core.errors import StoreError
from twin_core.inbox import Answer, Receipt
from twin_core.twin import Twin

MOST_UNAPPLIED = 50_000
"""Resources that may be durable and not applied: a source is read no faster than that."""
MOST_ROOM = 16 * 1024 * 1024
"""Bytes of a file's messages and of their rows that may wait to be applied, where whoever has the
store has room for as many: enough for the batch that is written and for the one that is folded."""
CATCH_UP_S = 10.0
Follow = Callable[[int, str], None]
"""Told from another thread how many bytes of a file are taken, and what came of them in words."""
_PAUSE_S = 0.05


class Taking(Protocol):
    """Takes a source's resources in, for good."""

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]":
        """Make receipts durable, all or none."""
        ...

    def position(self) -> int:
        """How far what was taken in has been applied."""
        ...

    async def ingested(self, order: Order, follow: Follow) -> tuple[Summary, int]:
        """Apply files, as `wardtwin ingest` does; what came of it, and the position behind it."""
        ...

    async def open_encounters(self, source: str) -> list[tuple[str, str]]:
        """`Encounter/id` and version of the encounters of a source that are not over."""
        ...


class _Storing:
    """What ingesting files needs of a store; ends when nobody waits for it any more."""

    def __init__(self, taking: "TwinTaking | DeskTaking") -> None:
        self._taking, self.room = taking, taking.room
        self.is_given_up = False

    def submit(self, receipts: bytes) -> "Future[list[Answer]]":
        self._check()
        return self._taking.submit_encoded(receipts)

    def handover(self) -> Handover | None:
        self._check()
        return self._taking.handover()

    def position(self) -> int:
        self._check()
        return self._taking.position()

    def _check(self) -> None:
        if self.is_given_up:
            raise StoreError("The file is read no further: the program ends.")


async def _ingested(
    taking: "TwinTaking | DeskTaking", order: Order, follow: Follow
) -> tuple[Summary, int]:
    storing = _Storing(taking)
    try:
        summary = await asyncio.to_thread(ingest, storing, order, follow)
    finally:
        storing.is_given_up = True
    return summary, taking.position()


class TwinTaking:
    """Into the twin of this process."""

    room = ROOM

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]":
        """As `Taking.submit`."""
        return self._twin.submit(receipts)

    def submit_encoded(self, receipts: bytes) -> "Future[list[Answer]]":
        """Receipts of a file, which keeps them until they are applied."""
        return self._twin.submit(decode_receipts(receipts), from_file=True)

    def handover(self) -> Handover | None:
        """How the process that reads a file makes it durable itself."""
        return handover_of(self._twin)

    def position(self) -> int:
        """As `Taking.position`."""
        return self._twin.position()

    async def ingested(self, order: Order, follow: Follow) -> tuple[Summary, int]:
        """As `Taking.ingested`."""
        return await _ingested(self, order, follow)

    async def open_encounters(self, source: str) -> list[tuple[str, str]]:
        """As `Taking.open_encounters`."""
        return await asyncio.to_thread(open_encounters, self._twin, source)


class DeskTaking:
    """Across a desk: into the store, or into the program that holds it."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self.room = desk, min(desk.room, MOST_ROOM)

    def handover(self) -> Handover | None:
        """How the process that reads a file makes it durable itself; None across a socket."""
        return self._desk.handover()

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]":
        """As `Taking.submit`."""
        return self._desk.submit(encode_receipts(list(receipts)), from_file=False)

    def submit_encoded(self, receipts: bytes) -> "Future[list[Answer]]":
        """Receipts of a file, which keeps them until they are applied."""
        return self._desk.submit(receipts)

    def position(self) -> int:
        """As `Taking.position`."""
        return self._desk.position()

    async def ingested(self, order: Order, follow: Follow) -> tuple[Summary, int]:
        """As `Taking.ingested`."""
        return await _ingested(self, order, follow)

    async def open_encounters(self, source: str) -> list[tuple[str, str]]:
        """As `Taking.open_encounters`."""
        found: list[Any] = await asyncio.to_thread(
            lambda: self._desk.ask("source_open_encounters", source=source)
        )
        return [(str(subject), str(version)) for subject, version in found]


async def taken(taking: Taking, receipts: Sequence[Receipt], world: World) -> list[Answer]:
    """Make receipts durable, then wait while too many are not applied."""
    if not receipts:
        return []
    submitted = await asyncio.to_thread(taking.submit, receipts)
    answers = await asyncio.wrap_future(submitted)
    high = max(answer.position or 0 for answer in answers)
    while await asyncio.to_thread(taking.position) < high - MOST_UNAPPLIED:
        await world.sleep(_PAUSE_S)
    return answers


async def high_water(taking: Taking, wanted: int, world: World) -> int:
    """How far the store is applied, given some time to reach `wanted`."""
    give_up_at = world.monotonic() + CATCH_UP_S
    while (position := await asyncio.to_thread(taking.position)) < wanted:
        if world.monotonic() >= give_up_at:
            break
        await world.sleep(_PAUSE_S)
    return position
