"""Acknowledgement modes: which answers a sender gets, by MSH-15 and MSH-16, and when.

The table is HL7's (table 0155 and chapter 2, original and enhanced processing rules), not ours:
the first column is what the message became, the next two are what its sender asked for.
"""

import asyncio
import contextlib
import socket
import struct
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mllp_peers import Projecting, Sender, run, until

from adapters.hl7v2 import MllpListener, answering_to, framed
from adapters.hl7v2.dues import DEFERRED, OUTSTANDING
from adapters.hl7v2.listener import ack_series
from twin_core.errors import StoreError
from twin_core.settings import FeedSettings

MATRIX = """
    became  MSH-15  MSH-16  at once   when applied
    good    .       .       AA        .
    good    .       AL      AA        .
    good    .       NE      .         .
    good    .       SU      AA        .
    good    .       ER      .         .
    good    AL      .       CA        .
    good    AL      AL      CA        AA
    good    AL      NE      CA        .
    good    AL      SU      CA        AA
    good    AL      ER      CA        .
    good    NE      .       .         .
    good    NE      AL      AA        .
    good    NE      NE      .         .
    good    NE      SU      AA        .
    good    NE      ER      .         .
    good    SU      .       CA        .
    good    SU      AL      CA        AA
    good    SU      NE      CA        .
    good    SU      SU      CA        AA
    good    SU      ER      CA        .
    good    ER      .       .         .
    good    ER      AL      AA        .
    good    ER      NE      .         .
    good    ER      SU      AA        .
    good    ER      ER      .         .
    bad     .       .       AE        .
    bad     .       AL      AE        .
    bad     .       NE      .         .
    bad     .       SU      .         .
    bad     .       ER      AE        .
    bad     AL      .       CE        .
    bad     AL      AL      CE        .
    bad     AL      NE      CE        .
    bad     NE      AL      AE        .
    bad     NE      NE      .         .
    bad     NE      ER      AE        .
    bad     NE      SU      .         .
    bad     SU      .       .         .
    bad     SU      AL      AE        .
    bad     SU      NE      .         .
    bad     SU      ER      AE        .
    bad     ER      .       CE        .
    bad     ER      AL      CE        .
    bad     ER      ER      CE        .
    alien   .       .       AR        .
    alien   AL      .       CR        .
    alien   AL      AL      CR        .
    alien   NE      AL      AR        .
    alien   NE      SU      .         .
    alien   ER      NE      CR        .
    alien   SU      AL      AR        .
"""
ROWS = [tuple("" if word == "." else word for word in row.split()) for row in
        MATRIX.strip().splitlines()[1:]]  # fmt: skip
BODIES = {
    "good": ("ADT^A28", "PID|1||42^^^HOSP^MR||SECRETNAME"),
    "bad": ("ADT^A28", "PID|1||||SECRETNAME"),
    "alien": ("QBP^Q22", "PID|1||42^^^HOSP^MR||SECRETNAME"),
}
BECAME = {"good": "AA", "bad": "AE", "alien": "AR"}


def message(control_id, became="good", accept="", application=""):
    kind, body = BODIES[became]
    header = f"MSH|^~\\&|APP|FAC|||20261101080000+0000||{kind}|{control_id}|P|2.5|||"
    return f"{header}{accept}|{application}\r{body}\r".encode()


def acknowledgement(answered, code="CA"):
    return (
        f"MSH|^~\\&|APP|FAC|WARDTWIN||20261101080000||ACK^A28|X{answered}|P|2.5\r"
        f"MSA|{code}|{answered}\r"
    ).encode()


@contextlib.asynccontextmanager
async def connected(twin, applied=0):
    listener = MllpListener(twin, "main")
    if applied is not None:
        listener.applied(applied)
    await listener.start()
    sender = Sender(*await asyncio.open_connection("127.0.0.1", listener.port))
    try:
        yield listener, sender
    finally:
        sender.writer.close()
        await listener.close()


@pytest.mark.parametrize(("became", "accept", "application", "at_once", "later"), ROWS)
def test_the_answers_are_those_that_the_sender_asked_for(
    became, accept, application, at_once, later
):
    raw = message("7", became, accept, application)
    answers = answering_to(raw, BECAME[became])
    first = answers.accept or answers.application
    second = answers.application if answers.accept and answers.application else ""
    assert (first, second, answers.later) == (at_once, later, bool(later))


def test_the_whole_table_over_one_socket():
    async def scenario():
        async with connected(Projecting()) as (listener, sender):
            due = []
            for number, (became, accept, application, at_once, _) in enumerate(ROWS):
                sender.send(message(number, became, accept, application))
                due += [(at_once.encode(), b"%d" % number)] if at_once else []
                await until(lambda sent=number: listener.status().received == sent + 1)
            await until(lambda: len(sender.answers) == len(due))
            assert sender.codes() == due
            listener.applied(10_000)
            due = [(r[4].encode(), b"%d" % n) for n, r in enumerate(ROWS) if r[4]]
            await until(lambda: listener.status().outstanding == 0)
            await until(lambda: sender.codes()[-len(due) :] == due)

    run(scenario())


@pytest.mark.parametrize(
    ("accept", "application", "asked"),
    [('""', '""', ("", "AA")), ("al", " ne ", ("CA", "")), ("XX", "", ("CA", "")),
     ("AL^x", "NE", ("CA", ""))],
)  # fmt: skip
def test_conditions_that_are_written_oddly_leave_nobody_waiting(accept, application, asked):
    answers = answering_to(message("1", "good", accept, application), "AA")
    assert (answers.accept, answers.application) == asked


def test_a_deferred_answer_comes_when_its_message_has_been_applied_and_not_before():
    async def scenario():
        async with connected(Projecting()) as (listener, sender):
            sender.send(*(message(n, "good", "AL", "AL") for n in (1, 2, 3)))
            await until(lambda: len(sender.answers) == 3)
            assert listener.status().outstanding == 3
            listener.applied(2)
            await until(lambda: len(sender.answers) == 5)
            sender.send(message(4))
            await until(lambda: len(sender.answers) == 6)
            listener.applied(3)
            await until(lambda: len(sender.answers) == 7)
            due = [(b"CA", b"1"), (b"CA", b"2"), (b"CA", b"3"), (b"AA", b"1"), (b"AA", b"2")]
            assert sender.codes() == [*due, (b"AA", b"4"), (b"AA", b"3")]
            ids = [answer.split(b"|")[9] for answer in sender.answers]
            assert len(set(ids)) == len(ids)
            headers = [answer.split(b"\r")[0].split(b"|") for answer in sender.answers]
            assert {tuple(h[14:16]) for h in headers if len(h) > 12} == {(b"NE", b"NE")}

    run(scenario())


def test_what_was_accepted_and_could_not_be_applied_is_said():
    async def scenario():
        async with connected(Projecting()) as (listener, sender):
            sender.send(message("1", "good", "AL", "AL"), message("2", "good", "AL", "AL"))
            await until(lambda: len(sender.answers) == 2)
            listener.applied(2, (1,))
            await until(lambda: len(sender.answers) == 4)
            assert sender.codes()[2:] == [(b"AE", b"1"), (b"AA", b"2")]
            assert b"\rERR||MSH^1|207^" in sender.answers[2]

    run(scenario())


@pytest.mark.parametrize(
    ("feed", "applied"), [(FeedSettings(acknowledgement="immediate"), 0), (None, None)]
)
def test_nothing_is_deferred_where_nothing_defers_it(feed, applied):
    async def scenario():
        async with connected(Projecting(feed), applied) as (_, sender):
            sender.send(message("1", "good", "AL", "AL"))
            await until(lambda: len(sender.answers) == 2)
            assert sender.codes() == [(b"CA", b"1"), (b"AA", b"1")]

    run(scenario())


@pytest.mark.parametrize("strictness", ["lenient", "standard", "strict"])
def test_acknowledgements_are_taken_and_never_answered(strictness):
    async def scenario():
        twin = Projecting(FeedSettings(strictness=strictness))
        async with connected(twin) as (listener, sender):
            sender.send(message("1", "good", "AL", "AL"))
            await until(lambda: sender.answers)
            ours = sender.answers[0].split(b"|")[9].decode()
            sender.send(*[acknowledgement(ours)] * 2, *[acknowledgement("elsewhere")] * 600)
            sender.send(message("2"))
            await until(lambda: len(sender.answers) == 2)
            assert sender.codes()[1][1] == b"2"
            status = listener.status()
            assert (status.acknowledgements, status.stray_acknowledgements) == (2, 600)
            assert (status.received, len(twin.receipts)) == (2, 2)

    run(scenario())


def test_a_sender_that_leaves_before_its_answer_is_due_is_counted():
    async def scenario():
        async with connected(Projecting()) as (listener, sender):
            sender.send(message("1", "good", "AL", "AL"))
            await until(lambda: sender.answers)
            reset = struct.pack("ii", 1, 0)
            connection = sender.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            sender.writer.transport.abort()
            await until(lambda: listener.status().connections == 0)
            listener.applied(1)
            assert listener.status().undelivered == 1

    run(scenario())


def test_a_sender_that_stops_talking_still_hears_what_is_deferred():
    async def scenario():
        async with connected(Projecting()) as (listener, sender):
            sender.send(message("1", "good", "AL", "AL"))
            sender.writer.write_eof()
            await until(lambda: sender.answers)
            listener.applied(1)
            await until(lambda: sender.ended)
            assert sender.codes() == [(b"CA", b"1"), (b"AA", b"1")]

    run(scenario())


def test_a_sender_may_not_be_owed_more_deferred_answers_than_are_bounded():
    async def scenario():
        twin = Projecting()
        async with connected(twin) as (listener, sender):
            total = DEFERRED + 1_000
            sender.send(*(message(n, "good", "AL", "AL") for n in range(total)))
            await until(lambda: listener.status().outstanding >= DEFERRED)
            await asyncio.sleep(0.2)
            assert len(twin.receipts) < total
            while len(sender.answers) < 2 * total:
                listener.applied(len(twin.receipts))
                await asyncio.sleep(0.01)
            assert sorted(sender.codes()) == sorted(
                (code, b"%d" % n) for n in range(total) for code in (b"CA", b"AA")
            )

    run(scenario())


@pytest.mark.parametrize(
    ("accept", "application", "heard"),
    [("", "", b"AE"), ("AL", "AL", b"CE"), ("NE", "AL", b"AE"), ("ER", "", b"CE")],
)
def test_what_could_not_be_stored_is_to_be_sent_again(accept, application, heard):
    async def scenario():
        twin = Projecting()
        twin.failure = StoreError("The disk is full.")
        async with connected(twin) as (listener, sender):
            sender.send(message("1", "good", accept, application))
            await until(lambda: sender.answers)
            assert sender.codes() == [(heard, b"1")]
            assert b"|207^" in sender.answers[0]
            assert listener.status().not_stored == 1

    run(scenario())


def test_who_wants_no_answer_is_disconnected_when_nothing_could_be_stored():
    async def scenario():
        twin = Projecting()
        twin.failure = StoreError("The disk is full.")
        async with connected(twin) as (_, sender):
            sender.send(message("1", "good", "NE", "NE"))
            await until(lambda: sender.ended)
            assert sender.answers == []

    run(scenario())


def test_a_sender_that_never_reads_its_deferred_answers_is_not_read_either():
    async def scenario():
        twin = Projecting()
        async with connected(twin) as (listener, _):
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1)
            writer.transport.pause_reading()
            some = b"".join(framed(message(n, "good", "AL", "AL")) for n in range(200))
            with contextlib.suppress(TimeoutError):
                for _ in range(400):
                    writer.write(some)
                    listener.applied(len(twin.receipts))
                    await asyncio.wait_for(writer.drain(), 0.5)
            seen = len(twin.receipts)
            await asyncio.sleep(0.3)
            listener.applied(seen)
            assert len(twin.receipts) - seen <= OUTSTANDING
            assert seen < 400 * 200
            writer.transport.abort()

    run(scenario())


def test_control_ids_of_answers_are_short_and_no_two_listeners_share_them():
    started = datetime(2026, 11, 1, 8, tzinfo=UTC)
    series = {
        ack_series(started + timedelta(milliseconds=n), port)
        for n in range(20)
        for port in (1, 65535)
    }
    assert len(series) == 40
    assert {len(one) for one in series} == {12}
