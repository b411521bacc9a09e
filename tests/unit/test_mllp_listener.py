"""The MLLP listener at its edges: order, back-pressure, failures, who may connect, deadlines."""

import asyncio
import contextlib
import logging
import socket
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mllp_peers import Recorder, run, until

from adapters.hl7v2 import MllpListener, MllpSender, framed
from adapters.hl7v2.dues import OUTSTANDING
from twin_core.errors import ConfigurationError, FeedError, StoreError
from twin_core.events import Rejection
from twin_core.settings import FeedSettings, LimitSettings, MllpSettings


def message(control_id, body="PID|1||42^^^HOSP^MR||SECRETNAME"):
    header = f"MSH|^~\\&|APP|FAC|||20261101080000+0000||ADT^A28|{control_id}|P|2.5"
    return f"{header}\r{body}\r".encode()


@contextlib.asynccontextmanager
async def listening(recorder, **how):
    listener = MllpListener(recorder, "main", **how)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.close()


def msa(answer):
    return answer.split(b"\r")[1].decode()


def test_pipelined_messages_are_answered_in_the_order_they_were_sent():
    async def scenario():
        recorder = Recorder()
        recorder.held = True
        async with listening(recorder) as listener:
            sender = await MllpSender.connect("127.0.0.1", listener.port)
            answers = []
            for number in range(20):
                answers.append(asyncio.create_task(sender.send(message(number))))
                await until(lambda sent=number: len(recorder.receipts) == sent + 1)
            recorder.release(newest_first=True)
            assert [msa(await a) for a in answers] == [f"MSA|AA|{n}" for n in range(20)]
            await sender.close()
            status = listener.status()
            assert (status.received, status.accepted, status.rejected) == (20, 20, 0)
            assert status.last_message_at is not None

    run(scenario())


def judged(control_id, visit="V1"):
    header = f"MSH|^~\\&|APP|FAC|||20261101080000+0000||ADT^A01^ADT_A01|{control_id}|P|2.5"
    evn, pid = "EVN||20261101080000+0000", "PID|1||42^^^HOSP^MR||DOE^JANE"
    return "\r".join((header, evn, pid, f"PV1|1|I{visit}", "")).encode()


def test_a_strict_feed_answers_in_order_and_keeps_no_other_feed_waiting():
    async def scenario():
        strict, other = FeedSettings(strictness="strict"), FeedSettings()
        async with (
            listening(Recorder(), feed_settings=strict) as slow,
            listening(Recorder(), feed_settings=other) as quick,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", slow.port)
            total = OUTSTANDING + 10
            # Every third has a field that no PV1 has, so that the standard refuses it.
            wrong = "|" * 80 + "X"
            sent = [judged(n, wrong if n % 3 == 2 else "") for n in range(total)]
            writer.write(b"".join(map(framed, sent)))
            assert b"\rMSA|AA|0\r" in await reader.readuntil(b"\x1c\r")
            async with await MllpSender.connect("127.0.0.1", quick.port) as sender:
                assert msa(await sender.send(message("7"))) == "MSA|AA|7"
            assert slow.status().received < total
            for n in range(1, total):
                code = b"AE" if n % 3 == 2 else b"AA"
                assert b"\rMSA|%s|%d\r" % (code, n) in await reader.readuntil(b"\x1c\r")
            writer.write(framed(judged("last")))
            writer.write_eof()
            assert b"\rMSA|AA|last\r" in await reader.readuntil(b"\x1c\r")
            assert await reader.read() == b""
            writer.close()

    run(scenario())


def test_what_waits_for_the_judge_is_given_up_with_its_connection():
    async def scenario():
        recorder = Recorder()
        async with listening(recorder, feed_settings=FeedSettings(strictness="strict")) as slow:
            _, writer = await asyncio.open_connection("127.0.0.1", slow.port)
            writer.write(b"".join(framed(judged(n)) for n in range(OUTSTANDING)))
            await until(lambda: slow.status().received > 0)
            writer.transport.abort()
            await until(lambda: not slow.status().connections)
            seen = len(recorder.receipts)
            await asyncio.sleep(0.1)
            assert len(recorder.receipts) <= seen + 1 < OUTSTANDING

    run(scenario())


def test_a_sender_that_outruns_the_store_is_held_back_and_loses_nothing():
    async def scenario():
        recorder = Recorder()
        recorder.held = True
        total = 5 * OUTSTANDING
        async with listening(recorder) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"".join(framed(message(n)) for n in range(total)))
            await until(lambda: len(recorder.receipts) >= OUTSTANDING)
            await asyncio.sleep(0.1)
            assert len(recorder.receipts) == OUTSTANDING
            recorder.held = False
            recorder.release()
            for number in range(total):
                assert f"\rMSA|AA|{number}\r".encode() in await reader.readuntil(b"\x1c\r")
            writer.close()

    run(scenario())


def test_messages_that_could_not_be_stored_are_to_be_sent_again():
    async def scenario():
        recorder = Recorder()
        async with listening(recorder) as listener:
            async with await MllpSender.connect("127.0.0.1", listener.port) as sender:
                for failure in (StoreError("The disk is full."), OSError("gone")):
                    recorder.failure = failure
                    answer = await sender.send(message("7"))
                    assert msa(answer) == "MSA|AE|7"
                    assert b"|207^" in answer
                    assert b"send it again" in answer
                recorder.failure = None
                assert msa(await sender.send(message("7"))) == "MSA|AA|7"
            assert listener.status().accepted == 1

    run(scenario())


def test_a_store_that_refuses_at_once_is_answered_too():
    async def scenario():
        recorder = Recorder()
        recorder.failure = StoreError("Too much is waiting.")
        recorder.failure.retry_may_help = True
        async with listening(recorder) as listener:
            async with await MllpSender.connect("127.0.0.1", listener.port) as sender:
                assert msa(await sender.send(message("8"))) == "MSA|AE|8"

    run(scenario())


def test_a_reject_is_stored_before_it_is_answered_and_nothing_of_it_is_logged(caplog):
    caplog.set_level(logging.DEBUG)

    async def scenario():
        recorder = Recorder()
        recorder.held = True
        async with listening(recorder) as listener:
            async with await MllpSender.connect("127.0.0.1", listener.port) as sender:
                sent = message("9", "PID|1||||SECRETNAME\rPV1|1|I")
                answer = asyncio.create_task(sender.send(sent))
                await until(lambda: recorder.receipts)
                await asyncio.sleep(0.05)
                assert not answer.done()
                recorder.release()
                assert msa(await answer) == "MSA|AE|9"
            [receipt] = recorder.receipts
            assert receipt.raw == sent
            assert isinstance(receipt.outcome, Rejection)
            assert receipt.origin.startswith("mllp 127.0.0.1")
            assert listener.status().rejected == 1

    run(scenario())
    assert "AE 101 at PID^1^3" in caplog.text
    assert "SECRETNAME" not in caplog.text


def test_a_sender_that_never_sends_the_last_carriage_return_is_answered():
    async def scenario():
        async with listening(Recorder()) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            for number in range(3):
                writer.write(framed(message(number)).removesuffix(b"\r"))
                assert f"|{number}\r".encode() in await reader.readuntil(b"\x1c\r")
            writer.close()

    run(scenario())


def test_a_sender_that_stops_talking_still_hears_its_answers():
    async def scenario():
        recorder = Recorder()
        recorder.held = True
        async with listening(recorder) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(framed(message("1")) + framed(message("2")).removesuffix(b"\r"))
            writer.write_eof()
            await until(lambda: len(recorder.receipts) == 2)
            recorder.release()
            received = await reader.read()
            assert received.count(b"MSA|AA|") == 2
            writer.close()

    run(scenario())


def test_a_sender_that_never_reads_its_answers_is_not_read_either():
    async def scenario():
        recorder = Recorder()
        async with listening(recorder) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1)
            writer.transport.pause_reading()
            big = framed(message("X" * 250))
            with contextlib.suppress(TimeoutError):
                for _ in range(400):
                    writer.write(big * 200)
                    await asyncio.wait_for(writer.drain(), 0.5)
            seen = len(recorder.receipts)
            await asyncio.sleep(0.3)
            assert len(recorder.receipts) - seen <= OUTSTANDING
            assert seen < 400 * 200
            writer.transport.abort()

    run(scenario())


@contextlib.asynccontextmanager
async def unread(listener, connect=asyncio.open_connection):
    """A sender whose answers stay in the listener's hands, and its connection in the listener."""
    _, writer = await connect("127.0.0.1", listener.port, limit=1)
    writer.transport.pause_reading()
    await until(lambda: listener._connections)
    [connection] = listener._connections
    ends = (connection.transport, socket.SO_SNDBUF), (writer.transport, socket.SO_RCVBUF)
    for transport, buffer in ends:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 4096)
    try:
        yield writer, connection
    finally:
        writer.transport.abort()


async def fill(writer, connection, size):
    """Send until so much of the answers waits in the listener, or it has already closed."""
    sent = framed(message("X" * 250)) * 20
    while not connection.transport.is_closing():
        if connection.transport.get_write_buffer_size() >= size:
            return
        writer.write(sent)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("frame_timeout_s", "idle_timeout_s", "reason"),
    [(0.4, 3600, "its answers are not read"), (30, 0.4, "idle")],
)
def test_a_sender_that_never_reads_its_answers_is_disconnected(
    frame_timeout_s, idle_timeout_s, reason, caplog, monkeypatch
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("adapters.hl7v2.connection.LINGER_S", 0.6)

    async def scenario():
        recorder = Recorder(frame_timeout_s=frame_timeout_s, idle_timeout_s=idle_timeout_s)
        async with listening(recorder) as listener:
            async with unread(listener) as (writer, connection):
                await fill(writer, connection, 64 * 1024)
                await until(lambda: listener.status().connections == 0)

    run(scenario())
    assert caplog.text.count("closing the connection") == 1
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("last", "reason"),
    [(b"GET / HTTP/1.1", "bytes outside"), (b"\x0bMSH|^~", "a frame was not finished in time")],
)
def test_what_is_closed_ends_though_its_answers_are_not_read(last, reason, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("adapters.hl7v2.connection.LINGER_S", 0.6)

    async def scenario():
        async with listening(Recorder(frame_timeout_s=0.4)) as listener:
            async with unread(listener) as (writer, connection):
                connection.transport.set_write_buffer_limits(high=1 << 30)
                await fill(writer, connection, 1)
                writer.write(last)
                await until(lambda: listener.status().connections == 0)

    run(scenario())
    assert caplog.text.count("closing the connection") == 1
    assert reason in caplog.text


def test_a_sender_that_ends_and_reads_nothing_does_not_stay():
    async def scenario():
        async with listening(Recorder(frame_timeout_s=0.4)) as listener:
            async with unread(listener) as (writer, connection):
                connection.transport.set_write_buffer_limits(high=1 << 30)
                await fill(writer, connection, 1)
                writer.write_eof()
                await until(lambda: listener.status().connections == 0)

    run(scenario())


def test_a_stop_does_not_wait_for_a_sender_that_never_reads():
    async def scenario():
        async with listening(Recorder()) as listener:
            async with unread(listener) as (writer, connection):
                await fill(writer, connection, 64 * 1024)
                await asyncio.wait_for(listener.close(), 90)
                assert listener.status().connections == 0

    run(scenario())


def test_a_frame_is_not_late_while_its_sender_is_not_read():
    async def scenario():
        async with listening(Recorder(frame_timeout_s=30)) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(framed(message("1")) + framed(message("2"))[:20])
            await reader.readuntil(b"\x1c\r")
            [connection] = listener._connections
            await asyncio.sleep(0.3)
            connection.pause_writing()
            connection.check_deadlines(asyncio.get_running_loop().time() + 29.9)
            connection.resume_writing()
            writer.write(framed(message("2"))[20:])
            assert b"MSA|AA|2\r" in await reader.readuntil(b"\x1c\r")
            writer.close()

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bytes outside any frame"),
        (b"x" * 100_000, "too many bytes outside any frame"),
        (b"\x0bMSH|^~\\&|half", "a frame was not finished in time"),
        (b"", "idle"),
    ],
)
def test_who_does_not_speak_mllp_is_disconnected(sent, reason, caplog):
    caplog.set_level(logging.INFO)

    async def scenario():
        recorder = Recorder(frame_timeout_s=0.4, idle_timeout_s=0.4)
        async with listening(recorder) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            await until(lambda: listener.status().connections == 0)
            outside = 0 if not sent else len(sent.replace(b"\r", b"").replace(b"\n", b""))
            assert listener.status().dropped_bytes >= outside - 1
            assert recorder.receipts == []
            writer.close()

    run(scenario())
    assert reason in caplog.text


def test_a_sender_that_vanishes_is_asked_whether_it_is_there():
    async def scenario():
        async with listening(Recorder()) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            await until(lambda: listener._connections)
            [connection] = listener._connections
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                times = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                idle, interval, count = (
                    accepted.getsockopt(socket.IPPROTO_TCP, option) for option in times
                )
                assert 0 < idle + interval * count <= 300
            writer.close()

    run(scenario())


@pytest.mark.parametrize("chunks", [(b"\x16\x03\x01\x02\x00\x01",), (b"\x16", b"\x03\x01")])
def test_tls_where_none_is_spoken_is_told_and_closed_at_once(chunks, caplog):
    async def scenario():
        async with listening(Recorder()) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            for chunk in chunks:
                writer.write(chunk)
                await asyncio.sleep(0.05)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 60) == b""
            await until(lambda: listener.status().connections == 0)
            writer.close()

    run(scenario())
    [told] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "this looks like TLS; this feed has none" in told


def test_stray_bytes_between_frames_are_dropped_and_counted():
    async def scenario():
        async with listening(Recorder()) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"??" + framed(message("1")) + b"\r\n!!" + framed(message("2")))
            assert b"MSA|AA|1\r" in await reader.readuntil(b"\x1c\r")
            assert b"MSA|AA|2\r" in await reader.readuntil(b"\x1c\r")
            assert listener.status().dropped_bytes == 4
            writer.close()

    run(scenario())


def test_one_connection_too_many_is_closed_at_once():
    async def scenario():
        async with listening(Recorder(connections=1)) as listener:
            first = await MllpSender.connect("127.0.0.1", listener.port)
            assert msa(await first.send(message("1"))) == "MSA|AA|1"
            second = await MllpSender.connect("127.0.0.1", listener.port)
            with pytest.raises(FeedError):
                await second.send(message("2"))
            assert listener.status().refused_connections == 1
            await first.close()
            await until(lambda: listener.status().connections == 0)
            async with await MllpSender.connect("127.0.0.1", listener.port) as third:
                assert msa(await third.send(message("3"))) == "MSA|AA|3"

    run(scenario())


@pytest.mark.parametrize(
    ("peers", "admitted"),
    [
        ((), True),
        (("127.0.0.1",), True),
        (("127.0.0.0/8", "10.0.0.1"), True),
        (("10.0.0.0/8",), False),
    ],
)
def test_only_peers_may_connect(peers, admitted):
    async def scenario():
        feed = FeedSettings(peers=peers)
        async with listening(Recorder(), feed_settings=feed) as listener:
            sender = await MllpSender.connect("127.0.0.1", listener.port)
            if admitted:
                assert msa(await sender.send(message("1"))) == "MSA|AA|1"
            else:
                with pytest.raises(FeedError):
                    await sender.send(message("1"))
            await sender.close()

    run(scenario())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "hospital.example"])  # noqa: S104
def test_without_peers_only_loopback_is_bound(host):
    async def scenario():
        with pytest.raises(ConfigurationError, match="peers"):
            async with listening(Recorder(), mllp=MllpSettings(port=0, host=host)):
                pass

    run(scenario())


def test_a_port_in_use_is_named():
    async def scenario():
        async with listening(Recorder()) as listener:
            taken = MllpSettings(port=listener.port)
            with pytest.raises(FeedError, match=str(listener.port)):
                async with listening(Recorder(), mllp=taken):
                    pass

    run(scenario())


def test_closing_lets_outstanding_answers_out():
    async def scenario():
        recorder = Recorder()
        recorder.held = True
        listener = MllpListener(recorder, "main")
        await listener.start()
        sender = await MllpSender.connect("127.0.0.1", listener.port)
        answer = asyncio.create_task(sender.send(message("1")))
        await until(lambda: recorder.receipts)
        closing = asyncio.create_task(listener.close())
        await asyncio.sleep(0.05)
        recorder.release()
        await closing
        assert msa(await answer) == "MSA|AA|1"
        with pytest.raises(FeedError):
            await sender.send(message("2"))
        with pytest.raises(FeedError):
            await MllpSender.connect("127.0.0.1", listener.port)

    run(scenario())


def test_an_answer_that_never_comes_is_a_feed_error():
    async def scenario():
        recorder = Recorder()
        recorder.held = True
        async with listening(recorder) as listener:
            sender = await MllpSender.connect("127.0.0.1", listener.port, timeout_s=0.2)
            with pytest.raises(FeedError, match="did not answer"):
                await sender.send(message("1"))
            recorder.release()

    run(scenario())


def test_a_frame_longer_than_the_limit_is_answered_and_the_connection_closed():
    async def scenario():
        recorder = Recorder()
        async with listening(recorder, limits=LimitSettings(frame_bytes=5_000)) as listener:
            sender = await MllpSender.connect("127.0.0.1", listener.port)
            answer = await sender.send(message("1", "PID|1||" + "A" * 100_000))
            assert msa(answer) == "MSA|AR|1"
            assert b"|104^" in answer
            await until(lambda: listener.status().connections == 0)
            [receipt] = recorder.receipts
            assert len(receipt.raw) <= 100_000
            await sender.close()

    run(scenario())
