"""Where receipts of a source become durable: in the twin of this process, or in its holder's."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from adapters.fhir.client.world import World
from api.desk import Desk
from api.translating import encode_receipts
from twin_core.inbox import Answer, Receipt
from twin_core.twin import Twin

MOST_UNAPPLIED = 50_000
"""Resources that may be durable and not applied: a source is read no faster than that."""
CATCH_UP_S = 10.0
_PAUSE_S = 0.05


class Taking(Protocol):
    """Takes receipts in, for good."""

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]":
        """Make receipts durable, all or none."""
        ...

    def position(self) -> int:
        """How far what was taken in has been applied."""
        ...


class TwinTaking:
    """Into the twin of this process."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]":
        """As `Taking.submit`."""
        return self._twin.submit(receipts)

    def position(self) -> int:
        """As `Taking.position`."""
        return self._twin.position()


class DeskTaking:
    """Across a desk: into the store, or into the program that holds it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def submit(self, receipts: Sequence[Receipt]) -> "Future[list[Answer]]":
        """As `Taking.submit`."""
        return self._desk.submit(encode_receipts(list(receipts)), from_file=False)

    def position(self) -> int:
        """As `Taking.position`."""
        return self._desk.position()


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
