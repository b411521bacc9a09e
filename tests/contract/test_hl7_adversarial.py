"""Hostile and broken HL7 v2 over a real socket: what is answered, what is kept, what stays alive.

The cases are read from a folder beside the project and skipped where it is absent. `expect` there
is a proposal; `OUR_ANSWERS` holds where this project answers otherwise, and why.
"""

import asyncio
import contextlib
import json
import logging
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.hl7v2 import MllpListener, MllpSender, framed
from twin_core import Twin
from twin_core.settings import MllpSettings, Settings

CASES = Path(__file__).parents[2] / "../shared/adversarial"
GROUPS = {"framing", "resource", "encoding", "delimiters", "injection", "semantics", "privacy"}
OUR_ANSWERS: dict[str, dict[str, Any]] = {
    # Two whole frames, both answered and both stored: the missing CR merges nothing.
    "H002_fs_without_cr_then_next": {"acks": ["AA", "AA"], "stored": 2},
    # VT and FS delimit frames wherever they stand. The first frame is a message about a person
    # without a visit, the second one has a line that is no segment: EVIL is refused.
    "H006_frame_smuggle_fs_in_field": {"acks": ["AA", "AE"], "stored": 1},
    # A file path is a strange name, and no more than a name.
    "H050_sending_app_path": {"stored": 1},
    # The second body under one control id is stored too, with a finding.
    "H054_same_id_diff_body": {"acks": ["AA", "AA"], "stored": 2},
}
QUIET_S, SILENT_S = 0.2, 3.0
"""How long nothing may come after an answer, and at all, before a sender stops listening."""
PHI = (b"CANARY", b"TESTER", b"900001", b"NOWHERE", b"V900001", b"EVIL^EVE")


def _cases() -> list[dict[str, Any]]:
    if not (CASES / "cases.json").exists():
        return []
    cases = json.loads((CASES / "cases.json").read_text())["cases"]
    return [case for case in cases if case.get("proto") == "hl7" and case["group"] in GROUPS]


class Exchange(NamedTuple):
    """What a sender saw."""

    answers: list[bytes]
    closed: bool

    def codes(self) -> list[str]:
        return [re.search(rb"\rMSA\|(..)", answer)[1].decode() for answer in self.answers]  # type: ignore[index]


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Twin]:
    settings = Settings(mllp=MllpSettings(port=0, frame_timeout_s=1.5))
    with Twin.open(tmp_path / "twin.duckdb", settings=settings) as opened:
        yield opened


async def _exchange(
    port: int, sent: bytes, *, pause_s: float = 0.0, size: int = 1 << 16
) -> Exchange:
    """Send bytes as given, in pieces of `size`, and collect answers until nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received, closed = b"", False
    sending = asyncio.create_task(_send(writer, sent, pause_s, size))
    with contextlib.suppress(TimeoutError):
        while not closed:
            try:
                quiet_s = QUIET_S if received else SILENT_S
                piece = await asyncio.wait_for(reader.read(1 << 16), quiet_s)
            except ConnectionError:
                piece = b""
            closed = not piece
            received += piece
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    answers = re.findall(rb"\x0b([^\x1c]*)\x1c\r", received)
    return Exchange(answers, closed)


async def _send(writer: asyncio.StreamWriter, sent: bytes, pause_s: float, size: int) -> None:
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(sent), size):
            writer.write(sent[at : at + size])
            await writer.drain()
            if pause_s:
                await asyncio.sleep(pause_s)


async def _with_listener(twin: Twin, sent: bytes, **how: Any) -> tuple[Exchange, MllpListener]:
    listener = MllpListener(twin, "adt")
    await listener.start()
    try:
        exchange = await _exchange(listener.port, sent, **how)
        async with await MllpSender.connect("127.0.0.1", listener.port) as next_sender:
            assert b"MSA|AA|ALIVE\r" in await next_sender.send(_ordinary("ALIVE"))
    finally:
        await listener.close()
    return exchange, listener


def _ordinary(control_id: str, pid: str = "1||4711^^^HOSP^MR||SOMEBODY^ELSE") -> bytes:
    return (
        f"MSH|^~\\&|ADT1|HOSP|TWIN|LAB|20261101080000||ADT^A28|{control_id}|P|2.5.1\r"
        f"EVN|A28|20261101080000\rPID|{pid}\r"
    ).encode()


def _stored(twin: Twin) -> list[str]:
    """Control ids of what was accepted, besides the message that shows the listener is alive."""
    twin.wait_applied()
    rows = twin.query("SELECT control_id FROM twin.message WHERE status <> 'quarantined'")
    return [str(row["control_id"]) for row in rows if row["control_id"] != "ALIVE"]


@pytest.mark.parametrize(
    "case", [case for case in _cases() if "file" in case], ids=lambda case: case["id"]
)
def test_every_hostile_case_is_answered_and_contained(
    case: dict[str, Any], twin: Twin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    expect = case["expect"] | OUR_ANSWERS.get(case["id"], {})
    how: dict[str, Any] = {}
    if case.get("steps", [""])[0].startswith("send 1 byte"):
        how = {"size": 1, "pause_s": 0.5 if "5 s" in case["steps"][0] else 0.0}
    sent = (CASES / case["file"]).read_bytes()
    if "RST" in "".join(case.get("steps", ())):
        how["size"] = len(sent)
    exchange, _ = asyncio.run(_with_listener(twin, sent, **how))

    if "acks" in expect:
        assert exchange.codes() == expect["acks"]
    elif "none" in expect["ack"].split("|"):
        assert set(exchange.codes()) <= set(expect["ack"].split("|"))
    else:
        assert exchange.codes()
        assert set(exchange.codes()) <= set(expect["ack"].split("|"))
    assert exchange.closed is (expect["conn"] == "closed")
    assert len(_stored(twin)) == expect["stored"]
    if "err3" in expect:
        assert b"|" + expect["err3"].encode() + b"^" in exchange.answers[0]
    _assert_nothing_leaked(exchange, caplog)


def _assert_nothing_leaked(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    for secret in PHI:
        assert all(secret not in answer for answer in exchange.answers)
        assert secret.decode() not in caplog.text
    assert all("\r" not in record.getMessage() for record in caplog.records)
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_a_frame_without_an_end_is_not_buffered(twin: Twin) -> None:
    limit = twin.settings.limits.frame_bytes
    exchange, listener = asyncio.run(_with_listener(twin, b"\x0b" + b"A" * (3 * limit)))
    assert exchange.closed
    assert exchange.answers == []
    assert listener.status().dropped_bytes >= limit
    assert _stored(twin) == []


def test_a_message_that_is_too_long_is_answered_before_the_connection_closes(twin: Twin) -> None:
    pid = "1||" + "1^^^H~" * 1_000_000 + "||X^Y"
    exchange, _ = asyncio.run(_with_listener(twin, framed(_ordinary("LONG", pid))))
    assert exchange.codes() == ["AR"]
    assert b"MSA|AR|LONG\r" in exchange.answers[0]
    assert b"|104^" in exchange.answers[0]
    assert exchange.closed
    assert _stored(twin) == []
    twin.wait_applied()
    [row] = twin.query("SELECT reason FROM twin.message WHERE status = 'quarantined'")
    assert "longer than" in str(row["reason"])


@pytest.mark.parametrize(
    "pid",
    ["1||" + "1^^^H~" * 100_000, "1||1^^^H^MR||" + "A" * 1_048_576, "1" + "|" * 100_000],
    ids=["repetitions", "long field", "fields"],
)
def test_a_message_with_too_much_of_something_is_refused_at_once(twin: Twin, pid: str) -> None:
    exchange, _ = asyncio.run(_with_listener(twin, framed(_ordinary("MUCH", pid))))
    assert exchange.codes() == ["AE"]
    assert b"|PID^1" in exchange.answers[0]
    assert not exchange.closed
    assert _stored(twin) == []


def test_a_slow_sender_is_disconnected_by_the_age_of_its_frame(twin: Twin) -> None:
    exchange, _ = asyncio.run(_with_listener(twin, framed(_ordinary("SLOW")), size=1, pause_s=0.3))
    assert exchange.closed
    assert exchange.answers == []


def test_a_message_resent_after_a_broken_connection_is_the_same_message(twin: Twin) -> None:
    async def scenario() -> list[str]:
        listener = MllpListener(twin, "adt")
        await listener.start()
        broken = socket.create_connection(("127.0.0.1", listener.port))
        broken.sendall(framed(_ordinary("ONCE")))
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.2)
        broken.close()
        again = await _exchange(listener.port, framed(_ordinary("ONCE")))
        await listener.close()
        assert listener.status().duplicates == 1
        return again.codes()

    assert asyncio.run(scenario()) == ["AA"]
    assert _stored(twin) == ["ONCE"]
