"""Feeding keeps the order of each connection, tries again when told to, and notices hang-ups."""

import asyncio
import gc
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from api.demo.compare import matched
from api.demo.feeding import Feeder, Stream, Tally, answer_code
from api.demo.perturb import Dispatch
from twin_core.errors import FeedError

AT = datetime(2026, 3, 20, tzinfo=UTC)
ACCEPTED = b"MSH|^~\\&|\rMSA|AA|1\r"
BUSY = b"MSH|^~\\&|\rMSA|AE|1\rERR||PV1^1^3|207^Application internal error|E\r"
REFUSED = b"MSH|^~\\&|\rMSA|AE|1\rERR||PV1^1^44|102^Data type error|E\r"


class Receiver:
    """A receiver in memory: remembers what came over which connection, answers as it is told."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heard: dict[int, list[bytes]] = defaultdict(list)
        self.open = 0
        self._connections = 0

    async def connect(self) -> "Line":
        self._connections += 1
        self.open += 1
        return Line(self, self._connections)


class Line:
    def __init__(self, receiver: Receiver, number: int) -> None:
        self.receiver, self.number = receiver, number

    async def send(self, raw: bytes) -> bytes:
        await asyncio.sleep(0)
        self.receiver.heard[self.number].append(raw)
        answer = self.receiver.answers.pop(0) if self.receiver.answers else ACCEPTED
        if not answer:
            raise FeedError("The receiver hung up.")
        return answer

    async def close(self) -> None:
        self.receiver.open -= 1


def dispatch(number: int, connection: int = 0, hoped: str = "AA") -> Dispatch:
    return Dispatch(AT + timedelta(seconds=number), number, connection, b"%d" % number, hoped)


async def fed(receiver: Receiver, dispatches: list[Dispatch], connections: int = 1) -> Tally:
    tally = Tally()
    async with Feeder(receiver.connect, connections, tally) as feeder:
        for one in dispatches:
            await feeder.put(one)
        await feeder.all_answered()
    return tally


def test_every_connection_keeps_its_order():
    receiver = Receiver()
    tally = asyncio.run(fed(receiver, [dispatch(n, n % 3) for n in range(600)], 3))
    assert tally.sent == tally.answers["AA"] == 600
    assert receiver.open == 0
    heard = [[int(raw) for raw in line] for line in receiver.heard.values()]
    assert sorted(len(line) for line in heard) == [200, 200, 200]
    for line in heard:
        assert line == sorted(line)
        assert len({number % 3 for number in line}) == 1


def test_a_receiver_that_could_not_store_is_asked_again():
    receiver = Receiver(BUSY, ACCEPTED)
    tally = asyncio.run(fed(receiver, [dispatch(1)]))
    assert tally.answers == {"AA": 1}
    assert receiver.heard == {1: [b"1", b"1"]}


def test_a_refusal_is_counted_and_only_a_surprise_if_not_hoped_for():
    tally = asyncio.run(fed(Receiver(REFUSED, REFUSED), [dispatch(1), dispatch(2, hoped="AE")]))
    assert tally.rejected() == 2
    assert len(tally.unexpected) == 1
    assert "PV1^1^44" in tally.unexpected[0]


@pytest.mark.parametrize("count", [1, 200])
def test_a_receiver_that_hangs_up_ends_the_feed(count):
    with pytest.raises(FeedError, match="hung up"):
        asyncio.run(fed(Receiver(*[b""] * 1000), [dispatch(n) for n in range(count)]))


def test_a_message_whose_answer_was_lost_is_sent_again():
    receiver = Receiver(b"", ACCEPTED)
    tally = asyncio.run(fed(receiver, [dispatch(1)]))
    assert tally.answers == {"AA": 1}
    assert receiver.heard == {1: [b"1"], 2: [b"1"]}
    assert receiver.open == 0


def test_a_feed_can_be_interrupted_while_it_waits(caplog):
    async def interrupted() -> Receiver:
        receiver = Receiver(*[BUSY] * 10_000)
        feeding = asyncio.create_task(fed(receiver, [dispatch(n) for n in range(500)]))
        await asyncio.sleep(0.05)
        feeding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeding
        return receiver

    assert asyncio.run(interrupted()).open == 0
    gc.collect()
    assert not caplog.records


def test_answers_are_read_whatever_the_line_end():
    assert answer_code(ACCEPTED) == "AA"
    assert answer_code(REFUSED.replace(b"\r", b"\n")) == "AE"
    assert answer_code(b"nonsense") == ""


def test_a_stream_shows_the_next_before_it_is_taken():
    stream = Stream([dispatch(1), dispatch(2)])
    assert stream.peek() == stream.take()
    assert stream.take().order == 2
    assert stream.peek() is None
    with pytest.raises(FeedError):
        stream.take()


def test_a_comparison_finds_every_row_that_only_one_side_has():
    same = matched("stays", [(1, AT), (1, AT), (2, None)], [(2, None), (1, AT), (1, AT)])
    assert (same.different, same.differences) == (0, [])
    odd = matched("stays", [("V1", AT), ("V2", AT)], [("V1", AT), ("V1", AT), ("V3", None)])
    assert (odd.true_rows, odd.rows, odd.different) == (2, 3, 3)
    assert odd.differences == [
        "truth only: V2 2026-03-20T00:00:00+00:00",
        "store only: V1 2026-03-20T00:00:00+00:00",
        "store only: V3 None",
    ]
