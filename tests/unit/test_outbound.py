"""Destinations in front of receivers on real sockets that go wrong as they are told."""

import asyncio
import contextlib
import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from faulty_receiver import (
    FaultyReceiver,
    about_another,
    accept,
    answer,
    close,
    half_an_answer,
    in_turn,
    late,
    reject,
    reset,
    say,
    silence,
)

from adapters.hl7v2 import MllpListener, translate
from api.cli import main
from api.outbound import courier as couriers
from api.outbound import line as lines
from api.outbound.dispatch import Dispatch, opened_ledger
from api.outbound.ledger import Ledger, Position
from api.outbound.status import destination, destinations, retry
from twin_core import Twin
from twin_core.clock import SystemClock
from twin_core.errors import StoreMismatch, UsageError
from twin_core.inbox import Receipt
from twin_core.settings import MllpSettings, Settings

START = datetime(2026, 11, 1, 8, tzinfo=UTC)
QUICK = {
    "from": "start",
    "retry_first_s": 0.001,
    "retry_longest_s": 0.002,
    "ack_timeout_s": 0.6,
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "LOOK_AGAIN_S", 0.02)


def message(
    number: int, trigger: str = "A01", sender: str = "PAS|GENERAL", conditions: str = ""
) -> bytes:
    at = f"{START + timedelta(minutes=number):%Y%m%d%H%M%S}+0000"
    body = f"EVN|{trigger}|{at}\rPID|1||P{number}^^^GENERAL^MR||Thistle^Lake\r"
    if trigger != "A60":
        body += f"PV1|1|I|W1^1^{number}^GENERAL{'|' * 16}V{number}^^^GENERAL^VN{'|' * 25}{at}\r"
    header = f"MSH|^~\\&|{sender}|||{at}||ADT^{trigger}|C{number}|P|2.5.1|||{conditions}\r"
    return (header + body).encode()


def received(twin: Twin, *raws: bytes, feed: str = "adt") -> None:
    """Take messages in, and wait until they are journalled."""
    twin.receive(
        [
            Receipt(
                format="hl7v2",
                feed=feed,
                raw=raw,
                origin="test",
                outcome=translate(
                    raw,
                    feed=feed,
                    settings=twin.settings.feed(feed),
                    limits=twin.settings.limits,
                    received_at=START + timedelta(days=1),
                ),
            )
            for raw in raws
        ]
    )
    twin.wait_applied()


@contextlib.contextmanager
def hospital(folder: Path, port: int, **outbound: object) -> Iterator[Twin]:
    """A store with one destination, named there."""
    there = {"host": "127.0.0.1", "port": port, **QUICK, **outbound}
    settings = Settings.model_validate({"outbound": {"there": there}, "feeds": {"lab": {}}})
    with Twin.open(folder / "here.duckdb", settings=settings) as twin:
        yield twin


def fed(twin: Twin, until: Any, timeout_s: float = 180.0) -> dict[str, Any]:
    """Run the destinations until `until(status)` holds; the status at that moment."""

    async def feed() -> dict[str, Any]:
        dispatch = Dispatch(twin, Random(1))
        await dispatch.start()
        give_up_at = asyncio.get_running_loop().time() + timeout_s
        try:
            while not until(shown := await asyncio.to_thread(destination, twin, "there")):
                assert asyncio.get_running_loop().time() < give_up_at, shown
                await asyncio.sleep(0.01)
        finally:
            await dispatch.close()
        return shown

    return asyncio.run(feed())


def settled(shown: dict[str, Any]) -> bool:
    return shown["behind"] == 0


def control_ids(twin: Twin, *numbers: int) -> list[str]:
    [row] = twin.query("SELECT value FROM core.meta WHERE key = 'store_id'")
    return [f"{str(row['value'])[:6]}-{number}" for number in numbers]


# --- what is sent ----------------------------------------------------------------------------


def test_messages_are_delivered_in_order_and_once(tmp_path):
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port) as twin:
        received(twin, *(message(n) for n in range(1, 6)))
        shown = fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 1, 2, 3, 4, 5)
        assert (shown["delivered"], shown["parked"], shown["state"]) == (5, 0, "connected")
        received(twin, message(6), message(6))
        fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 1, 2, 3, 4, 5, 6)
        assert receiver.connections == 2


def test_raw_is_relayed_byte_for_byte(tmp_path):
    odd = message(1).replace(b"\r", b"\n") + b"ZZZ|kept\n"
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port, form="raw") as twin:
        received(twin, odd)
        fed(twin, settled)
        # The receiver's header ends at CR; this one has none, so only bytes are compared.
        assert receiver.received == [odd]


def test_a_new_destination_begins_now_and_an_old_one_where_it_was(tmp_path):
    with FaultyReceiver() as receiver:
        with hospital(tmp_path, receiver.port, **{"from": "now"}) as twin:
            received(twin, message(1))
            fed(twin, settled)
            assert receiver.received == []
            received(twin, message(2))
        with hospital(tmp_path, receiver.port, **{"from": "now"}) as twin:
            fed(twin, settled)
            assert receiver.control_ids == control_ids(twin, 2)


def test_only_what_is_asked_for_is_sent_and_the_rest_is_counted(tmp_path):
    asked = {
        "feeds": ["adt", "lab"],
        "excluded_feeds": ["lab"],
        "triggers": ["A01"],
        "receiving_application": "LAB",
        "receiving_facility": "SOUTH",
    }
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port, **asked) as twin:
        received(twin, message(1), message(2, "A02"), message(3, sender="LAB|SOUTH"))
        received(twin, message(4, sender="WARDTWIN|X"), message(5, sender="LAB|NORTH"))
        received(twin, message(6), feed="lab")
        received(twin, message(7), feed="other")
        received(twin, message(8).replace(b"PID|1||P8", b"PID|1||"))
        shown = fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 1, 5)
        assert shown["tallies"] == {
            "connections": 1,
            "delivered": 2,
            "echo": 2,
            "excluded": 3,
            "sent": 2,
            "unapplied": 1,
        }


def test_what_cannot_be_told_is_parked_with_the_reason(tmp_path):
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port) as twin:
        received(twin, message(1), message(2, "A60"), message(3))
        shown = fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 1, 3)
        [parked] = shown["parked_messages"]
        assert (parked["message_id"], parked["code"], parked["attempts"]) == (2, "", 0)
        assert "ADT^A60" in parked["reason"]


def test_or_it_is_relayed_as_it_was_received(tmp_path):
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port, untold="raw") as twin:
        received(twin, message(1), message(2, "A60"))
        fed(twin, settled)
        assert receiver.control_ids == [*control_ids(twin, 1), "C2"]
        assert receiver.received[1] == message(2, "A60")


def test_a_replayed_message_is_delivered_though_the_position_is_beyond_it(tmp_path):
    broken = message(1).replace(b"PID|1||P1", b"PID|1||")
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port) as twin:
        received(twin, broken, message(2))
        fed(twin, settled)
        mended = translate(
            message(1),
            feed="adt",
            settings=twin.settings.feed("adt"),
            limits=twin.settings.limits,
            received_at=START,
        )
        twin.replay(1, mended)
        twin.wait_applied()
        fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 2, 1)


# --- a receiver that goes wrong --------------------------------------------------------------


ONE_SENDING_IN_VAIN = (
    silence(),
    late(),
    close(),
    reset(),
    half_an_answer(),
    about_another(),
    about_another("AR"),
    say(b"no frame at all"),
    say(b"\x0bgarbage\x1c\r"),
    say(b"\x0bMSH|^~\\&|X\rMSA|ZZ|1\r\x1c\r"),
    reject("AE"),
    reject("CE"),
)


def test_no_fault_loses_reorders_or_parks_a_message(tmp_path):
    script = [in_turn(about_another("AE"), accept())]
    for fault in ONE_SENDING_IN_VAIN:
        script += [fault, accept()]
    with FaultyReceiver(script) as receiver, hospital(tmp_path, receiver.port) as twin:
        last = len(ONE_SENDING_IN_VAIN) + 1
        received(twin, *(message(n) for n in range(1, last + 1)))
        shown = fed(twin, settled)
        twice = [1, *(n for n in range(2, last + 1) for _ in "12")]
        assert receiver.control_ids == control_ids(twin, *twice)
        assert (shown["delivered"], shown["parked"]) == (last, 0)
        assert len(set(receiver.received)) == last  # sent again, a message is the same to the byte


def test_a_late_acceptance_never_hides_a_reject_of_the_next_message(tmp_path):
    # The answer to the first sending of message 1 comes when message 2 is under way.
    lost = late()
    script = [lost, in_turn(accept(), lambda line, name: None), reject("AR")]
    with FaultyReceiver(script) as receiver, hospital(tmp_path, receiver.port) as twin:
        received(twin, message(1), message(2))
        shown = fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 1, 1, 2)
        assert [parked["message_id"] for parked in shown["parked_messages"]] == [2]


@pytest.mark.parametrize("code", ["AE", "CE"])
def test_an_error_is_tried_again_up_to_the_limit_then_parked(tmp_path, code):
    script = [reject(code)] * 3
    with (
        FaultyReceiver(script) as receiver,
        hospital(tmp_path, receiver.port, reject_attempts=3) as twin,
    ):
        received(twin, message(1), message(2))
        shown = fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 1, 1, 1, 2)
        [parked] = shown["parked_messages"]
        assert (parked["message_id"], parked["code"], parked["attempts"]) == (1, code, 3)
        assert parked["reason"] == f"{code} PV1^1^44 101"
        assert (shown["rejected"], shown["delivered"]) == (3, 1)


@pytest.mark.parametrize("code", ["AR", "CR"])
def test_a_reject_is_final_at_once_and_can_be_tried_again(tmp_path, code):
    with (
        FaultyReceiver([reject(code)]) as receiver,
        hospital(tmp_path, receiver.port) as twin,
    ):
        received(twin, message(1), message(2))
        shown = fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 1, 2)
        assert (shown["parked"], shown["parked_messages"][0]["code"]) == (1, code)
        assert retry(twin, "there", [1])["to_be_retried"] == 1
        shown = fed(twin, lambda shown: not shown["parked"])
        assert receiver.control_ids == control_ids(twin, 1, 2, 1)
        fed(twin, lambda shown: shown["delivered"] == 2)


def test_a_parked_message_that_is_refused_again_stays_parked(tmp_path):
    with (
        FaultyReceiver([reject("AR"), accept(), reject("AR")]) as receiver,
        hospital(tmp_path, receiver.port) as twin,
    ):
        received(twin, message(1), message(2))
        fed(twin, settled)
        retry(twin, "there", [])
        shown = fed(twin, lambda shown: shown["parked_messages"][0]["attempts"] == 2)
        assert not shown["parked_messages"][0]["again"]


def test_a_destination_may_stop_at_a_reject_until_it_is_told_to_go_on(tmp_path):
    with (
        FaultyReceiver([reject("AR")]) as receiver,
        hospital(tmp_path, receiver.port, on_reject="stop") as twin,
    ):
        received(twin, message(1), message(2))

        seen: list[str] = []

        def stopped_then_released(shown: dict[str, Any]) -> bool:
            if shown["state"] == "stopped" and not seen:
                seen.append(shown["reason"])
                assert receiver.control_ids == control_ids(twin, 1)
                retry(twin, "there", [])
            return shown["behind"] == 0

        shown = fed(twin, stopped_then_released)
        assert seen == ["AR PV1^1^44 101"]
        assert receiver.control_ids == control_ids(twin, 1, 1, 2)
        assert (shown["delivered"], shown["parked"]) == (2, 0)


def test_a_message_that_is_never_acknowledged_holds_the_others_up_or_is_parked(tmp_path):
    script = [silence()] * 3
    with (
        FaultyReceiver(script) as receiver,
        hospital(tmp_path, receiver.port, unanswered_attempts=3) as twin,
    ):
        received(twin, message(1), message(2))
        shown = fed(twin, settled)
        assert receiver.control_ids == control_ids(twin, 1, 1, 1, 2)
        assert "did not acknowledge" in shown["parked_messages"][0]["reason"]


def test_a_receiver_that_comes_back_gets_everything(tmp_path):
    with FaultyReceiver() as gone:
        port = gone.port
    with hospital(tmp_path, port) as twin:
        received(twin, *(message(n) for n in range(1, 4)))
        shown = fed(twin, lambda shown: shown["state"] == "connecting")
        assert (shown["delivered"], shown["behind"]) == (0, 3)
        assert f"127.0.0.1 port {port}" in shown["reason"]
        with FaultyReceiver(port=port) as receiver:
            fed(twin, settled)
            assert receiver.control_ids == control_ids(twin, 1, 2, 3)


def test_pauses_grow_up_to_the_longest_and_are_never_in_step():
    fed = {"x": {"host": "h", "port": 1, "retry_first_s": 1, "retry_longest_s": 9}}
    settings = Settings.model_validate({"outbound": fed}).outbound["x"]
    line = lines.Line(settings, SystemClock(), Random(4), asyncio.sleep, None)
    pauses = [line.pause_s(attempt) for attempt in range(1, 40)]
    wholes = [1, 2, 4, 8] + [9] * 35
    assert all(whole / 2 <= pause <= whole for pause, whole in zip(pauses, wholes, strict=True))
    assert len(set(pauses)) == len(pauses)


# --- enhanced mode ---------------------------------------------------------------------------


def test_a_commit_delivers_and_the_application_may_still_refuse(tmp_path):
    def refuse_the_first_later(line, control_id):
        line.send(answer("CA", control_id))
        line.receiver.owed.append(answer("AE", control_id))

    script = [refuse_the_first_later, in_turn(accept("CA"), accept("AA")), accept("CA")]
    with (
        FaultyReceiver(script) as receiver,
        hospital(tmp_path, receiver.port, mode="enhanced") as twin,
    ):
        received(twin, *(message(n) for n in range(1, 4)))
        shown = fed(twin, lambda shown: settled(shown) and shown["parked"] == 1)
        assert receiver.control_ids == control_ids(twin, 1, 2, 3)
        assert b"|AL|AL|" in receiver.received[0]
        [parked] = shown["parked_messages"]
        assert (parked["message_id"], parked["code"]) == (1, "AE")
        assert "after it was committed" in parked["reason"]
        assert shown["tallies"].get("applied", 0) == 1


def test_a_relayed_message_that_asks_for_no_answer_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "SILENCE_S", 0.01)
    with (
        FaultyReceiver([silence()]) as receiver,
        hospital(tmp_path, receiver.port, form="raw") as twin,
    ):
        received(twin, message(1, conditions="NE|NE"), message(2))
        fed(twin, settled)
        assert receiver.control_ids == ["C1", "C2"]


def test_an_answer_that_asks_for_a_receipt_gets_one(tmp_path):
    """An application acknowledgement on its own may ask for an accept acknowledgement (MSH-15)."""

    def asking(line, control_id):
        ack = answer("AA", control_id).replace(b"|P|2.5.1", b"|P|2.5.1|||AL|NE")
        line.send(ack.replace(b"ACK|A1|", b"ACK|THEIR-7|"))

    with FaultyReceiver([asking]) as receiver, hospital(tmp_path, receiver.port) as twin:
        received(twin, message(1), message(2))
        shown = fed(twin, settled)
        assert (shown["delivered"], shown["parked"]) == (2, 0)
        [receipt] = [raw for raw in receiver.received if b"|ACK" in raw]
        assert b"\rMSA|CA|THEIR-7\r" in receipt


def other_kind(kind: str, *lines: str) -> bytes:
    header = f"MSH|^~\\&|PAS|GENERAL|||20261101080000+0000||{kind}|{kind[4:]}|P|2.5.1"
    return "\r".join((header, *lines, "")).encode()


APPOINTMENT = other_kind(
    "SIU^S12",
    "SCH|A1^PAS||||||CHECKUP|||30|min|^^30^20261102090000+0000^20261102093000+0000",
    "PID|1||P1^^^GENERAL^MR\rRGS|1\rAIL|1||W1^1^A^GENERAL",
)
RESULT = other_kind(
    "ORU^R01", "PID|1||P1^^^GENERAL^MR", "OBR|1||F1^LAB|PANEL", "OBX|1|NM|718-7^^LN||12|g/dL|||||F"
)
ALARM = other_kind("ORU^R40", "PID|1||P1^^^GENERAL^MR", "OBR|1||F2^MON|196616^MDC_EVT_ALARM^MDC")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, [4]),
        ({"kinds": ["ADT", "SIU", "ORU"]}, [1, 2, 4]),
        ({"kinds": ["SIU"]}, [1]),
        ({"kinds": ["ORU"]}, [2]),
        ({"kinds": ["ORU"], "triggers": ["R40"]}, []),
        ({"form": "raw"}, [1, 2, 3, 4]),
        ({"form": "raw", "kinds": ["ORU"]}, [2, 3]),
        ({"untold": "raw", "kinds": ["ADT"]}, [4]),
    ],
)
def test_a_destination_is_sent_the_kinds_of_messages_it_asks_for(tmp_path, asked, sent):
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port, **asked) as twin:
        received(twin, APPOINTMENT, RESULT, ALARM, message(4))
        shown = fed(twin, settled)
        kinds = {1: b"|SIU^S12", 2: b"|ORU^R01", 3: b"|ORU^R40", 4: b"|ADT^A01"}
        assert [raw.count(kinds[n]) for raw, n in zip(receiver.received, sent, strict=True)] == (
            [1] * len(sent)
        )
        assert shown["parked"] == 0
        passed_over = shown["tallies"].get("other_kind", 0) + shown["tallies"].get("excluded", 0)
        assert passed_over == 4 - len(sent)


# --- twin to twin ----------------------------------------------------------------------------


def test_a_twin_fed_by_a_twin_has_the_same_encounters_and_stays(tmp_path):
    """A faulty line between them: every answer to a tenth of the messages is lost."""
    raws = [message(n) for n in range(1, 40)]
    raws += [message(n, "A03").replace(b"|C", b"|D") for n in range(1, 40, 3)]
    raws += [message(n, "A11").replace(b"|C", b"|E") for n in range(2, 40, 9)]
    with hospital(tmp_path, 1) as here, Twin.open(tmp_path / "there.duckdb") as there:
        received(here, *raws)
        feed(here, there)
        for table in ("encounter", "stay", "patient", "encounter_identifier"):
            assert_same(here, there, table)
        assert here.query("SELECT count(*) AS n FROM twin.stay")[0]["n"] > 20


PAIRS = Path(__file__).parents[2] / "fixtures" / "hl7v2"
UNTOLD = {"r01_device_observations", "r01_narrative_and_attachment"}
"""Pairs with values that are not kept."""


def test_a_twin_fed_by_a_twin_has_the_same_appointments_and_results(tmp_path):
    names = [path.stem for path in sorted(PAIRS.glob("[rs][0-3]*.hl7"))]
    names = [name for name in names if name not in UNTOLD and name[:3] not in ("s23", "s24")]
    asked = {"kinds": ["SIU", "ORU"]}
    with hospital(tmp_path, 1, **asked) as here, Twin.open(tmp_path / "there.duckdb") as there:
        received(here, *(at_its_own_minute(PAIRS / f"{name}.hl7", names) for name in names))
        # One result under no order, told by two systems: only who told it keeps them apart.
        told = RESULT.replace(b"OBR|1||F1^LAB", b"OBR|1||")
        received(here, *(told.replace(b"|PAS|", name) for name in (b"|A^1.2&3^ISO|", b"|B\\F\\|")))
        feed(here, there)
        for table in ("appointment", "appointment_resource", "observation", "patient"):
            assert_same(here, there, table)
        assert here.query("SELECT count(*) AS n FROM twin.appointment")[0]["n"] >= 3
        assert here.query("SELECT count(*) AS n FROM twin.observation")[0]["n"] > 10


def at_its_own_minute(path: Path, names: list[str]) -> bytes:
    """A pair's message; what was sent at one instant is put in order by control ids, which differ
    between the twins."""
    return path.read_bytes().replace(
        b"|20261101080500", f"|202611010{names.index(path.stem) + 900}00".encode()[:15]
    )


def assert_same(here: Twin, there: Twin, table: str) -> None:
    sql = f"SELECT * FROM twin.{table} ORDER BY ALL"
    assert there.query(sql) == here.query(sql), table


def feed(here: Twin, there: Twin) -> None:
    """One twin feeds the other until nothing is left."""

    async def until_settled() -> None:
        listener = MllpListener(there, "adt", mllp=MllpSettings(port=0))
        await listener.start()
        outbound = here.settings.outbound["there"].model_copy(update={"port": listener.port})
        here.settings = here.settings.model_copy(update={"outbound": {"there": outbound}})
        dispatch = Dispatch(here, Random(1))
        await dispatch.start()
        give_up_at = asyncio.get_running_loop().time() + 180
        while (await asyncio.to_thread(destination, here, "there"))["behind"]:
            assert asyncio.get_running_loop().time() < give_up_at
            await asyncio.sleep(0.02)
        await dispatch.close()
        await listener.close()

    asyncio.run(until_settled())
    there.wait_applied()


# --- the ledger ------------------------------------------------------------------------------


def test_a_ledger_belongs_to_one_store(tmp_path):
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port) as twin:
        received(twin, message(1))
        fed(twin, settled)
        ledger = opened_ledger(twin)
        ledger.close()
        assert ledger.path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(StoreMismatch):
            Ledger(ledger.path, "another", None)


def test_a_destination_is_never_ahead_of_its_store(tmp_path):
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port) as twin:
        received(twin, message(1))
        ledger = opened_ledger(twin)
        ledger.begin("there", Position(twin.sequence() + 1, 1))
        ledger.close()
        with pytest.raises(StoreMismatch, match="more than the store holds"):
            fed(twin, settled)


def test_a_position_counts_only_what_it_settles(tmp_path):
    ledger = Ledger(tmp_path / "x.outbound", "store", None)
    assert ledger.begin("a", Position(3, 4)) == Position(3, 4)
    ledger.advance("a", Position(5, 6), {"delivered": 2}, START)
    ledger.advance("a", Position(5, 7), {"delivered": 1}, None)
    ledger.close()
    again = Ledger(tmp_path / "x.outbound", "store", None)
    assert again.begin("a", Position(0, 0)) == Position(5, 7)
    assert again.tallies() == {"a": {"delivered": 3}}
    [progress] = again.progress()
    assert progress.delivered_at == START.isoformat()
    again.close()


# --- the command line ------------------------------------------------------------------------


def ran(folder: Path, *words: str) -> tuple[int, Any]:
    out, err = io.StringIO(), io.StringIO()
    config = folder / "site.toml"
    config.write_text('[outbound.there]\nhost = "127.0.0.1"\nport = 1\n')
    asked = (*words, "--db", str(folder / "here.duckdb"), "--config", str(config), "--json")
    status = main(asked, environ={}, out=out, err=err)
    return status, json.loads(out.getvalue() or err.getvalue())


def test_the_command_line_shows_and_retries_while_no_server_runs(tmp_path):
    with (
        FaultyReceiver([reject("AR")]) as receiver,
        hospital(tmp_path, receiver.port) as twin,
    ):
        received(twin, message(1), message(2))
        fed(twin, settled)
    status, [listed] = ran(tmp_path, "outbound", "list")
    assert (status, listed["destination"], listed["delivered"], listed["parked"]) == (
        *(0, "there", 1),
        1,
    )
    status, shown = ran(tmp_path, "outbound", "show", "there")
    assert [parked["message_id"] for parked in shown["parked_messages"]] == [1]
    assert ran(tmp_path, "outbound", "retry", "there", "1") == (
        0,
        {"destination": "there", "to_be_retried": 1},
    )
    status, told = ran(tmp_path, "outbound", "show", "elsewhere")
    assert (status, told["error"]["kind"]) == (2, "UsageError")
    status, checks = ran(tmp_path, "doctor")
    [check] = [check for check in checks if check["check"] == "outbound there"]
    assert check["verdict"] == "warn"
    assert "1 parked" in check["said"]


def test_the_backup_has_the_ledger(tmp_path):
    with FaultyReceiver() as receiver, hospital(tmp_path, receiver.port) as twin:
        received(twin, message(1))
        fed(twin, settled)
    status, _ = ran(tmp_path, "backup", str(tmp_path / "copy"))
    assert status == 0
    settings = Settings.model_validate({"outbound": {"there": {"host": "h", "port": 1}}})
    with Twin.open(tmp_path / "copy" / "here.duckdb", settings=settings) as copy:
        [shown] = destinations(copy)
        assert (shown["delivered"], shown["behind"]) == (1, 0)
        with pytest.raises(UsageError):
            destination(copy, "elsewhere")
