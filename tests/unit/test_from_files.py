"""Files read by one process and applied by another: nothing lost, nothing doubled, nobody stuck."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from adapters.files import find_files
from api.ingesting import SMALL_BYTES, Order, handover_of, ingest
from api.translating import decode_receipts
from tests.unit.test_inbox import receipt
from tests.unit.test_load import EIGHT, contents, feed
from twin_core import Twin
from twin_core.clock import SystemClock
from twin_core.errors import FeedError, StoreError
from twin_core.inbox import FileIntake, Inbox, Receipt, file
from twin_core.settings import Settings
from twin_core.store.journal import journalled

HOUR = timedelta(hours=1)


def order(folder: Path) -> Order:
    """All messages of a folder, by the settings that there are without any."""
    told = Settings().model_dump_json(by_alias=True, exclude={"secrets"})
    sources = tuple(find_files([str(folder)], "hl7"))
    return Order(sources=sources, feed=None, settings=told, received_at=EIGHT)


def written(folder: Path, visits: int, copies: int = 1) -> Path:
    folder.mkdir()
    for number in range(copies):
        told = [one.replace("|PAS|", f"|PAS{number}|") for one in feed(visits)]
        (folder / f"{number:02}.hl7").write_text("\r".join(told), newline="")
    return folder


@pytest.fixture
def twin(tmp_path: Path):
    with Twin.open(tmp_path / "x.duckdb") as twin:
        yield twin


def intake_of(twin: Twin) -> FileIntake:
    beside = twin.beside()
    assert beside is not None
    return FileIntake(beside, SystemClock())


def statuses(twin: Twin, receipts: list[Receipt]) -> list[str]:
    return [answer.status for answer in twin.receive(receipts)]


def test_what_another_process_stored_is_applied_once_it_is_handed_over(twin: Twin) -> None:
    intake = intake_of(twin)
    first, second = (intake.take([receipt("1"), receipt(number)]) for number in ("2", "3"))
    assert (first.outcomes, second.outcomes) == ({"accepted": 2}, {"duplicate": 1, "accepted": 1})
    # It came later, waits for its turn, and keeps nobody from being answered.
    assert statuses(twin, [receipt("4")]) == ["accepted"]
    time.sleep(0.1)
    assert twin.position() == 0
    for stored in (first, second):
        twin.carry(stored)
    twin.wait_applied()
    intake.close()
    twin.end_beside()
    told = twin.query("SELECT message_id, control_id, status FROM twin.message ORDER BY 1")
    assert [tuple(row.values()) for row in told] == [
        (number, str(number), "applied") for number in (1, 2, 3, 4)
    ]


def test_what_a_process_that_is_gone_did_not_hand_over_is_news_again(twin: Twin) -> None:
    intake = intake_of(twin)
    told = intake.take([receipt("1")])
    intake.take([receipt("2"), receipt("3")])
    assert statuses(twin, [receipt("4")]) == ["accepted"]
    twin.carry(told)
    intake.close()
    twin.end_beside()
    twin.wait_applied()
    assert statuses(twin, [receipt(number) for number in "1234"]) == [
        "duplicate",
        "accepted",
        "accepted",
        "duplicate",
    ]
    twin.wait_applied()
    found = twin.query("SELECT control_id FROM twin.message ORDER BY 1")
    assert [row["control_id"] for row in found] == ["1", "2", "3", "4"]


def test_what_another_feed_sends_before_a_file_is_applied_is_applied_whole(twin: Twin) -> None:
    beside = twin.beside()
    assert beside is not None
    intake = FileIntake(beside, SystemClock(), journalled)
    one = receipt("2")
    (admitted,) = one.outcome.events
    understood = [msgspec.structs.replace(admitted, occurred_at=EIGHT + n * HOUR) for n in (0, 1)]
    outcome = msgspec.structs.replace(one.outcome, events=tuple(understood))
    other = msgspec.structs.replace(one, feed="other", outcome=outcome)
    with twin._projector.pause:
        twin.receive([receipt("1")])
        time.sleep(0.3)
        twin.carry(intake.take([one]))
        # The same message, which this feed is set to understand in another way.
        assert statuses(twin, [other]) == ["duplicate"]
    twin.wait_applied()
    intake.close()
    twin.end_beside()
    assert twin.query("SELECT status FROM twin.message") == [{"status": "applied"}] * 2
    told = twin.query("SELECT occurred_at FROM core.event WHERE message_id = 2 ORDER BY ordinal")
    assert [row["occurred_at"] for row in told] == [EIGHT, EIGHT + HOUR]


def test_nothing_waits_for_what_is_forgotten(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "x.inbox", SystemClock())
    inbox.require(0)
    inbox.start()
    beside = inbox.beside(None)
    assert beside is not None
    assert inbox.beside(None) is None
    intake = FileIntake(beside, SystemClock())
    intake.take([receipt("1")])
    assert inbox.wait(0, 0.1)
    assert inbox.read(0, 10) == []
    intake.close()
    inbox.end_beside()
    assert not inbox.wait(0, 0.1)
    assert (inbox.high, inbox.lag_seconds()) == (0, 0.0)
    assert inbox.beside(None) is not None
    inbox.close()


def test_what_this_process_takes_from_files_meanwhile_is_not_forgotten(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = intake_of(twin)
    intake.take([receipt("1")])
    intake.close()
    connect = file._connect

    def meanwhile(path: Path) -> sqlite3.Connection:
        monkeypatch.setattr(file, "_connect", connect)
        twin.submit([receipt("2")], from_file=True).result()
        return connect(path)

    monkeypatch.setattr(file, "_connect", meanwhile)
    twin.end_beside()
    twin.wait_applied()
    assert twin.query("SELECT control_id FROM twin.message") == [{"control_id": "2"}]
    assert statuses(twin, [receipt("2")]) == ["duplicate"]


def test_who_ends_late_takes_nothing_from_a_store_that_was_opened_again(tmp_path: Path) -> None:
    with closing(Inbox(tmp_path / "x.inbox", SystemClock())) as before:
        before.require(0)
        assert before.beside(None) is not None
        with closing(Inbox(tmp_path / "x.inbox", SystemClock())) as now:
            now.require(0)
            now.start()
            now.submit([receipt("1")], from_file=True).result()
            before.end_beside()
            assert [entry.position for entry in now.read(0, 10)] == [1]


def test_an_inbox_that_is_locked_is_tried_again_and_feeds_go_on(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_S", 0.05)
    intake = intake_of(twin)
    intake.take([receipt("1")])
    intake.close()
    assert statuses(twin, [receipt("2")]) == ["accepted"]
    with closing(sqlite3.connect(f"{twin.path}.inbox", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        twin.end_beside()
        other.execute("ROLLBACK")
    twin.wait_applied(2, timeout=10.0)
    assert twin.query("SELECT control_id FROM twin.message") == [{"control_id": "2"}]


def test_who_reads_for_a_store_that_was_opened_again_can_store_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with Twin.open(path) as twin:
        intake = intake_of(twin)
    with Twin.open(path) as twin:
        with pytest.raises(StoreError):
            intake.take([receipt("1")])
        assert statuses(twin, [receipt("1")]) == ["accepted"]
    intake.close()


def test_a_file_read_by_another_process_gives_what_one_process_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "files", 6, 3)
    held = []
    for name, small in (("one", SMALL_BYTES), ("two", 0)):
        monkeypatch.setattr("api.ingesting.SMALL_BYTES", small)
        with Twin.open(tmp_path / f"{name}.duckdb") as twin:
            summary = ingest(Desk(twin), order(folder), lambda *_: None)
            assert (summary.accepted, summary.duplicates, summary.rejected) == (180, 15, 0)
            held.append(contents(twin))
    assert held[0] == held[1]


def test_a_reading_process_that_is_killed_is_said_to_be_and_nothing_is_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "files", 40, 10)
    monkeypatch.setattr("api.ingesting.SMALL_BYTES", 0)
    with Twin.open(tmp_path / "x.duckdb") as twin:
        desk = Desk(twin)

        def kill(*_: object) -> None:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
            for child in map(int, children.split()):
                if b"ingest_worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)

        with pytest.raises(FeedError):
            ingest(desk, order(folder), kill)
        twin.wait_applied()
        summary = ingest(desk, order(folder), lambda *_: None)
        assert summary.accepted + summary.duplicates == 4050
        assert twin.query("SELECT count(*) AS n FROM twin.message") == [{"n": 4000}]


@pytest.mark.parametrize("after", [0.6, 0.9, 1.2, 1.6])
def test_an_ingest_that_is_killed_applies_everything_once_the_next_time(
    tmp_path: Path, after: float
) -> None:
    folder = written(tmp_path / "files", 80, 12)
    assert sum(file.stat().st_size for file in folder.iterdir()) > SMALL_BYTES
    command = [sys.executable, "-m", "api", "ingest", str(folder), "--json"]
    command += ["--db", str(tmp_path / "x.duckdb")]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    running.kill()
    running.wait()
    again = subprocess.run(command, capture_output=True, check=True)
    told = json.loads(again.stdout)
    assert told["accepted"] + told["duplicates"] == 12 * 805
    with Twin.open(tmp_path / "x.duckdb") as twin:
        found = twin.query("SELECT count(*) AS n, count(DISTINCT (sender, control_id)) AS d"
                           " FROM core.message")  # fmt: skip
        assert found == [{"n": 9600, "d": 9600}]


class Desk:
    """The store of a test, as `ingest` sees it."""

    room = 2**24

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def submit(self, receipts: bytes):

        return self._twin.submit(decode_receipts(receipts), from_file=True)

    def handover(self):

        return handover_of(self._twin)

    def position(self) -> int:
        return self._twin.position()
