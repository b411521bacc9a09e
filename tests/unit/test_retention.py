"""Retention: old bytes go, what they said stays, and whatever shows a message says that."""

import asyncio
import io
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.files import Found
from api.audit.opening import open_ledger
from api.cli import main
from api.operations import OPERATIONS
from api.outbound.dispatch import opened_ledger
from api.outbound.ledger import Parked, Position
from api.retaining import Retaining, due, run_due
from api.translating import Reader
from twin_core import Twin
from twin_core.audit import Access, Actor, ledger_path, verified
from twin_core.errors import UsageError
from twin_core.settings import OutboundSettings, RetentionSettings, Settings

START = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = "MSH|^~\\&|PAS|GENERAL|||20260101080000+0000||ADT^A01|{0}|P|2.5.1"


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def move(self, days: float) -> None:
        self.at += timedelta(days=days)


def admission(number: int, place: str = "W1^1") -> bytes:
    segments = (
        HEADER.format(number),
        "EVN|A01|20260101080000+0000",
        f"PID|1||P{number}^^^GENERAL^MR||Test^Case||19700101|F",
        f"PV1|1|I|{place}^B{number}^GENERAL{'|' * 16}V{number}^^^GENERAL^VN{'|' * 25}"
        "20260101080000+0000",
    )
    return "\r".join(segments).encode()


REJECTED = admission(90).replace(b"19700101", b"19700230").replace(b"|2.5.1", b"|9.9")


def told(twin: Twin, raw: bytes) -> str:
    reader = Reader(twin.settings, None, twin.clock.now())
    found = Found(raw, 0, "hl7v2")
    [answer] = twin.receive(list(reader.receipts(found, "test")))
    twin.wait_applied()
    return answer.status


def opened(tmp_path, clock: Hands, **days: int) -> Twin:
    # A clock that is behind the machine's is enough: only ages count.
    settings = Settings(
        retention=RetentionSettings(**days),
        outbound={"x": OutboundSettings(host="127.0.0.1", port=1)},
    )
    return Twin.open(tmp_path / "hospital.duckdb", settings=settings, clock=clock)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """A store without a message: furnishing one takes longer than any test here."""
    folder = tmp_path_factory.mktemp("empty")
    opened(folder, Hands()).close()
    return folder


@pytest.fixture(autouse=True)
def furnished(empty: Path, tmp_path: Path) -> None:
    for file in empty.iterdir():
        shutil.copy(file, tmp_path)


@pytest.fixture
def twin(tmp_path, clock):
    with opened(tmp_path, clock, messages_days=30, quarantine_days=10) as twin:
        yield twin


def figures(twin: Twin) -> list[object]:
    tables = ("twin.stay", "twin.patient", "twin.event", "twin.message", "twin.finding")
    return [twin.query(f"FROM {table} ORDER BY ALL") for table in tables]


def test_old_bytes_go_and_what_they_said_stays(twin: Twin, clock: Hands) -> None:
    assert [told(twin, admission(n)) for n in (1, 2)] == ["accepted", "accepted"]
    assert told(twin, REJECTED) == "rejected"
    clock.move(20)
    assert told(twin, admission(3)) == "accepted"
    before = figures(twin)
    assert {one.kept: one.due for one in due(twin)} == {
        "messages": 0,
        "quarantine": 1,
        "parked": 0,
        "audit_text": 0,
    }
    clock.move(15)
    assert {one.kept: one.due for one in run_due(twin)} == {
        "messages": 2,
        "quarantine": 1,
        "parked": 0,
        "audit_text": 0,
    }
    assert [twin.has_raw(n) for n in (1, 2, 3, 4)] == [False, False, False, True]
    assert figures(twin) == before
    assert not any(one.due for one in due(twin))
    # Sent again, they are known.
    assert told(twin, admission(1)) == "duplicate"
    assert figures(twin) == before


def test_what_shows_a_message_says_that_its_bytes_went(twin: Twin, clock: Hands) -> None:
    told(twin, admission(1))
    told(twin, REJECTED)
    clock.move(3)
    told(twin, admission(2, "W2^1"))
    clock.move(31)
    run_due(twin)
    explained = OPERATIONS["message_explain"](twin, {"message_id": 1, "phi": True, "most": 100})
    assert (explained.kept, explained.content) == (False, None)
    assert [event.kind for event in explained.events] == ["PatientDescribed", "Admitted"]
    shown = OPERATIONS["quarantine_show"](twin, {"message_id": 2})
    assert (shown["kept"], shown["raw"], bool(shown["faults"])) == (False, "", True)
    with pytest.raises(UsageError, match="not kept any more"):
        OPERATIONS["quarantine_replay"](twin, {"message_ids": [2]})
    # A figure leads to its rows and their messages, whose bytes nobody needs for that.
    window = {"start": "2026-01-01", "end": "2026-01-03", "limit": 5}
    traced = OPERATIONS["kpi_explain"](twin, {"kpi": "adc", **window})
    said = [event["message_id"] for row in traced["rows"] for event in row["events"]]
    assert sorted(said) == [1, 3]


def test_a_server_removes_what_is_due_by_its_own_clock(twin: Twin, clock: Hands) -> None:
    told(twin, admission(1))

    async def served() -> None:
        with open_ledger(twin.settings.audit, twin.path, None) as ledger:
            retaining = Retaining(twin, ledger)
            assert retaining.run_if_due() == []
            clock.move(31)
            assert [one.due for one in retaining.run_if_due() or ()][:2] == [1, 0]
            assert retaining.run_if_due() is None
            retaining.start()
            await retaining.close()

    asyncio.run(served())
    assert not twin.has_raw(1)


def test_parked_messages_and_texts_beside_the_ledger_go_too(tmp_path, clock: Hands) -> None:
    path = tmp_path / "hospital.duckdb"
    asked = Access(
        who=Actor(id="a", kind="local"), act="search", what="sql", outcome="success", text="P1?"
    )
    with opened(tmp_path, clock, parked_days=5, audit_text_days=7) as twin:
        ledger = opened_ledger(twin)
        ledger.begin("x", Position(0, 0))
        for n, days in ((1, 0), (2, 3)):
            at = (START + timedelta(days=days)).isoformat()
            ledger.park("x", Parked(n, "ADT^A01", f"C{n}", "AE", "101", 1, at), None, {})
        with open_ledger(twin.settings.audit, path, None, clock=clock) as accesses:
            accesses.record(asked)
            clock.move(7.5)
            accesses.record(asked)
            keys = accesses.keys
        assert {one.kept: one.due for one in run_due(twin)} == {
            "messages": 0,
            "quarantine": 0,
            "parked": 1,
            "audit_text": 1,
        }
        assert [one.message_id for one in ledger.parked("x")] == [2]
        ledger.close()
        assert [one.due for one in due(twin)] == [0, 0, 0, 0]
    verdict = verified(ledger_path(path), keys=keys)
    assert (verdict.entries, verdict.findings) == (2, ())


def test_the_command_removes_nothing_unless_told_to(tmp_path, clock: Hands) -> None:
    with opened(tmp_path, clock) as twin:
        told(twin, admission(1))
    clock.move(-1)
    config = tmp_path / "site.toml"
    config.write_text("[retention]\nmessages_days = 5\n")

    def run(*words: str) -> list[dict[str, object]]:
        out, err = io.StringIO(), io.StringIO()
        words = (
            *words,
            "--json",
            "--config",
            str(config),
            "--db",
            str(tmp_path / "hospital.duckdb"),
        )
        assert main(words, environ={}, out=out, err=err) == 0, err.getvalue()
        return json.loads(out.getvalue())

    for words, left in ((("run",), 1), (("run", "--apply"), 1), (("show",), 0)):
        [messages, *rest] = run("retention", *words)
        assert (messages["kept"], messages["days"], messages["due"]) == ("messages", 5, left)
        assert {one["days"] for one in rest} == {None}
