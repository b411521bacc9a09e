"""How much of an export's file may wait in memory until it is applied."""

import asyncio
from concurrent.futures import Future
from pathlib import Path

import pytest

from adapters.files import find_files
from api.ingesting import ROOM, Handover, Order
from api.sources.taking import MOST_ROOM, DeskTaking
from twin_core.clock import SystemClock
from twin_core.inbox import Answer

BYTES_OF_A_LINE = 30_000


class SlowDesk:
    """Takes in whatever comes, and applies some of it each time it is asked how far it is."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = self.applied = self.most_waiting = 0
        self.sizes: list[int] = []

    def handover(self) -> Handover | None:
        return None

    def submit(self, receipts: bytes, *, from_file: bool = True) -> "Future[list[Answer]]":
        self.sizes.append(len(receipts))
        self.most_waiting = max(self.most_waiting, sum(self.sizes[self.applied :]))
        done: Future[list[Answer]] = Future()
        done.set_result([Answer(status="accepted", code="AA", position=len(self.sizes))])
        return done

    def position(self) -> int:
        self.applied = min(self.applied + 1, len(self.sizes))
        return self.applied


@pytest.mark.parametrize(
    ("room", "least", "most"),
    [
        pytest.param(ROOM, 0.5 * ROOM, 2 * ROOM, id="beside a server"),
        pytest.param(64 << 20, 0.8 * MOST_ROOM, 1.5 * MOST_ROOM, id="in a store of its own"),
    ],
)
def test_a_sync_takes_in_what_the_store_has_room_for(
    tmp_path: Path, room: int, least: float, most: float
) -> None:
    file = tmp_path / "export.ndjson"
    line = '{"resourceType": "Patient", "id": "%d", "text": {"div": "' + "x" * BYTES_OF_A_LINE
    file.write_text("".join(f'{line % n}"}}}}\n' for n in range(2_000)))
    order = Order(
        sources=tuple(find_files([str(file)], "ndjson")),
        feed="pas",
        settings="{}",
        received_at=SystemClock().now(),
    )
    desk = SlowDesk(room)
    asyncio.run(DeskTaking(desk).ingested(order, lambda *_: None))  # type: ignore[arg-type]
    assert least < desk.most_waiting < most
