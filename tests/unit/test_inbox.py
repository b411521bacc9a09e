"""The inbox: durable before it answers, one answer per message, and honest after a crash."""

import asyncio
import hashlib
import resource
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.intake import Applied, InboxIntake, _obey
from twin_core.clock import SystemClock
from twin_core.errors import StoreError, StoreMismatch
from twin_core.events import Admitted, Envelope, Fault, Rejection, Translation
from twin_core.identifiers import Identifier
from twin_core.inbox import (
    EncodedReceipt,
    FileIntake,
    Inbox,
    Receipt,
    decode_entries,
    encoded,
    faults_of,
    opened,
)
from twin_core.settings import Settings

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)


def receipt(control_id: str, body: str = "", *, unversioned: bool = False) -> Receipt:
    digest = hashlib.sha256((body or control_id).encode()).digest()[:16]
    event = Admitted(occurred_at=AT, entered_at=AT, encounter=(Identifier("urn:v", control_id),))
    envelope = Envelope(
        feed="main",
        sender="ADT|HOSP",
        control_id=control_id,
        trigger_event="ADT^A01",
        sent_at=AT,
        digest=digest,
        unversioned=unversioned,
    )
    outcome = Translation(envelope=envelope, events=(event,))
    raw = f"{control_id}/{body}".encode()
    return Receipt(format="hl7v2", feed="main", raw=raw, outcome=outcome, origin="test")


def rejected(raw: bytes = b"MSH|garbage") -> Receipt:
    fault = Fault(where="MSH^1^9", code="100", reason="there is no message type")
    outcome = Rejection(code="AR", faults=(fault,), feed="main")
    return Receipt(format="hl7v2", feed="main", raw=raw, outcome=outcome, origin="test")


@pytest.fixture
def inbox(tmp_path: Path):
    inbox = Inbox(tmp_path / "x.inbox", SystemClock())
    inbox.require(0)
    inbox.start()
    yield inbox
    inbox.close()


def test_an_accepted_message_is_on_disk_when_its_answer_comes(inbox: Inbox) -> None:
    (answer,) = inbox.submit([receipt("1")]).result()
    assert (answer.status, answer.code, answer.position) == ("accepted", "AA", 1)
    other = sqlite3.connect(inbox.path)
    assert other.execute("SELECT position, raw FROM entry").fetchall() == [(1, b"1/")]
    other.close()


def test_a_message_sent_again_is_answered_as_the_first_time_and_stored_once(inbox: Inbox) -> None:
    first = inbox.submit([receipt("1")]).result()[0]
    again = inbox.submit([receipt("1")]).result()[0]
    assert (again.status, again.code, again.position) == ("duplicate", "AA", first.position)
    assert len(inbox.read(0, 10)) == 1
    counts = {(tally.outcome, tally.messages) for tally in inbox.tallies()}
    assert counts == {("accepted", 1), ("duplicate", 1)}


def as_listened(one: Receipt) -> EncodedReceipt:
    return encoded(one.format, one.feed, one.origin, one.raw, one.outcome)


def refused() -> Receipt:
    fault = Fault(where="PV1^1^44", code="102", reason="Not a date.")
    outcome = Rejection(
        code="AE",
        faults=(fault,),
        feed="main",
        sender="ADT|HOSP",
        control_id="9",
        trigger_event="ADT^A01",
    )
    return Receipt(format="hl7v2", feed="main", raw=b"9/", outcome=outcome, origin="test")


def test_what_a_listener_encodes_is_kept_and_answered_as_what_others_hand_over(
    tmp_path: Path,
) -> None:
    sent = [
        receipt("1"),
        receipt("1"),
        receipt("1", "another body"),
        refused(),
        refused(),
        receipt("2"),
    ]

    def kept_by(name: str, receipts: Sequence[Receipt | EncodedReceipt]) -> tuple[object, ...]:
        held = Inbox(tmp_path / name, SystemClock())
        held.require(0)
        held.start()
        # One by one and all at once: what came before is asked for, or among the same.
        answers = [held.submit([one]).result() for one in receipts]
        answers += [held.submit(receipts).result()]
        entries = [(one.position, one.head, one.raw) for one in held.read(0, 100)]
        told = answers, entries, held.tallies()
        held.close()
        return told

    by_others = kept_by("others.inbox", sent)
    assert kept_by("listened.inbox", [as_listened(one) for one in sent]) == by_others
    assert [answer.status for [answer] in by_others[0][:6]] == [  # type: ignore[index]
        "accepted",
        "duplicate",
        "accepted",
        "rejected",
        "rejected",
        "accepted",
    ]


def test_an_encoded_receipt_opens_to_what_it_was() -> None:
    for one in (receipt("1"), receipt("2", unversioned=True), refused()):
        assert opened(as_listened(one)) == one
    assert [fault.code for fault in faults_of(as_listened(refused()))] == ["102"]
    assert faults_of(as_listened(receipt("1"))) == ()


def test_a_message_from_a_listener_is_kept_where_it_came_from_a_file_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.inbox"
    inbox = Inbox(path, SystemClock())
    inbox.require(0)
    inbox.start()
    inbox.submit([as_listened(receipt("1"))], from_file=True).result()
    assert inbox.submit([as_listened(receipt("1"))]).result()[0].status == "duplicate"
    inbox.close()
    # Opened again, entries of files are forgotten; whoever sent it live was told that it is kept.
    again = Inbox(path, SystemClock())
    again.require(0)
    assert [entry.raw for entry in again.read(0, 10)] == [b"1/"]
    again.close()


def test_each_feed_lags_by_its_own_oldest_message_that_is_not_applied(tmp_path: Path) -> None:
    class Hands:
        at = AT

        def now(self) -> datetime:
            return self.at

    clock = Hands()
    inbox = Inbox(tmp_path / "x.inbox", clock)
    inbox.require(0)
    inbox.start()
    for control, feed, from_file in (("1", "adt", False), ("2", "lab", True), ("3", "adt", False)):
        said = msgspec.structs.replace(receipt(control), feed=feed)
        inbox.submit([said], from_file=from_file).result()
        clock.at += timedelta(seconds=10)
    assert inbox.lags() == {"adt": 30.0, "lab": 20.0}
    assert inbox.heard() == {"adt": AT + timedelta(seconds=20), "lab": AT + timedelta(seconds=10)}
    inbox.applied_to(1)
    assert inbox.lags() == {"lab": 20.0, "adt": 10.0}
    inbox.applied_to(3)
    assert inbox.lags() == {}
    inbox.close()


def test_a_listening_process_remembers_nothing_that_another_has_applied(inbox: Inbox) -> None:
    for control in ("1", "2", "3"):
        inbox.submit([receipt(control)]).result()
    assert inbox.lag_seconds() > 0

    async def told(position: int) -> None:
        orders = asyncio.StreamReader()
        orders.feed_data(msgspec.json.encode(Applied(position=position)) + b"\n")
        orders.feed_eof()
        await _obey(orders, InboxIntake(Settings(), inbox), [], asyncio.Event())

    asyncio.run(told(2))
    assert inbox.lag_seconds() > 0
    asyncio.run(told(3))
    assert inbox.lag_seconds() == 0
    assert [entry.position for entry in inbox.read(0, 10)] == [1, 2, 3]


def test_a_duplicate_is_known_after_its_entry_was_pruned_and_the_inbox_reopened(
    tmp_path: Path,
) -> None:
    inbox = Inbox(tmp_path / "x.inbox", SystemClock())
    inbox.require(0)
    inbox.start()
    inbox.submit([receipt("1"), receipt("2")]).result()
    inbox.applied_to(2)
    inbox.close()
    again = Inbox(tmp_path / "x.inbox", SystemClock())
    assert (again.read(0, 10), again.pruned_to, again.high) == ([], 2, 2)
    again.require(2)
    again.start()
    assert again.submit([receipt("1")]).result()[0].status == "duplicate"
    assert again.submit([receipt("3")]).result()[0].position == 3
    again.close()


def test_one_control_id_with_another_body_is_accepted_and_flagged(inbox: Inbox) -> None:
    inbox.submit([receipt("1", "a")]).result()
    other = inbox.submit([receipt("1", "b")]).result()[0]
    assert (other.status, other.reused_control_id) == ("accepted", True)
    assert [f.kind for f in inbox.read(1, 10)[0].head.findings] == ["reused_control_id"]


def test_an_unversioned_resource_may_go_back_to_what_it_was(inbox: Inbox) -> None:
    statuses = [
        inbox.submit([receipt("Patient/1", body, unversioned=True)]).result()[0].status
        for body in ("a", "b", "b", "a", "a")
    ]
    assert statuses == ["accepted", "accepted", "duplicate", "accepted", "duplicate"]


def test_a_rejected_message_is_kept_and_may_be_sent_again(inbox: Inbox) -> None:
    first, second = (inbox.submit([rejected()]).result()[0] for _ in range(2))
    assert (first.status, first.code) == ("rejected", "AR")
    assert [entry.raw for entry in inbox.read(0, 10)] == [b"MSH|garbage"] * 2
    assert second.position == 2


def test_a_group_is_all_or_nothing(inbox: Inbox) -> None:
    answers = inbox.submit([receipt("1"), rejected(), receipt("1")]).result()
    assert [answer.status for answer in answers] == ["accepted", "rejected", "duplicate"]
    assert [entry.position for entry in inbox.read(0, 10)] == [1, 2]


def test_a_disk_that_refuses_stores_nothing_and_says_so(inbox: Inbox) -> None:
    inbox.submit([receipt("1")]).result()
    blocker = sqlite3.connect(inbox.path, isolation_level=None)
    inbox._file._db.execute("PRAGMA busy_timeout = 50")
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="not stored"):
        inbox.submit([receipt("2")]).result()
    blocker.execute("ROLLBACK")
    blocker.close()
    assert inbox.submit([receipt("2")]).result()[0].position == 2


def test_many_threads_get_distinct_positions_without_gaps(inbox: Inbox) -> None:
    positions: list[int | None] = []

    def send(sender: int) -> None:
        for n in range(50):
            positions.append(inbox.submit([receipt(f"{sender}-{n}")]).result()[0].position)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p for p in positions if p is not None) == list(range(1, 401))
    assert [entry.position for entry in inbox.read(0, 1000)] == list(range(1, 401))


def test_where_much_is_coming_it_is_gathered_and_who_sends_alone_does_not_wait(
    tmp_path: Path,
) -> None:
    inbox = Inbox(tmp_path / "x.inbox", SystemClock(), window_ms=400)
    inbox.require(0)
    inbox.start()
    try:
        inbox.submit([receipt("alone")]).result(timeout=0.3)
        inbox.submit([receipt(f"many-{n}") for n in range(40)]).result(timeout=0.3)
        began = time.monotonic()
        waiting = [inbox.submit([receipt(f"late-{n}")]) for n in range(5)]
        assert [answer.position for one in waiting for answer in one.result()] == [*range(42, 47)]
        assert time.monotonic() - began >= 0.4
        inbox.submit([receipt("after many")]).result()
        inbox.submit([receipt("alone again")]).result(timeout=0.3)
    finally:
        inbox.close()


@pytest.mark.parametrize(("applied", "said"), [(3, "older than its database"), (0, "pruned")])
def test_a_half_restored_from_another_time_is_refused(
    tmp_path: Path, applied: int, said: str
) -> None:
    inbox = Inbox(tmp_path / "x.inbox", SystemClock())
    inbox.require(0)
    inbox.start()
    inbox.submit([receipt("1"), receipt("2")]).result()
    inbox.applied_to(1)
    inbox.close()
    again = Inbox(tmp_path / "x.inbox", SystemClock())
    with pytest.raises(StoreMismatch, match=said):
        again.require(applied)
    again.close()


def test_what_came_from_a_file_and_was_not_applied_is_forgotten_after_a_crash(
    tmp_path: Path,
) -> None:
    inbox = Inbox(tmp_path / "x.inbox", SystemClock())
    inbox.require(0)
    inbox.start()
    inbox.submit([receipt("1")], from_file=True).result()
    inbox.submit([receipt("2")]).result()
    assert [entry.head.envelope.control_id for entry in inbox.read(0, 9)] == ["1", "2"]
    inbox._file._db.close()  # as a crash would: nothing was applied, nothing is finished
    again = Inbox(tmp_path / "x.inbox", SystemClock())
    again.require(0)
    again.start()
    assert [entry.head.envelope.control_id for entry in again.read(0, 9)] == ["2"]
    statuses = [a.status for a in again.submit([receipt("1"), receipt("2")]).result()]
    assert statuses == ["accepted", "duplicate"]
    again.close()


def test_a_message_of_a_file_that_also_comes_by_a_feed_is_durable_once_acknowledged(
    tmp_path: Path,
) -> None:
    inbox = Inbox(tmp_path / "x.inbox", SystemClock())
    inbox.require(0)
    inbox.start()
    inbox.submit([receipt("1")], from_file=True).result()
    (answer,) = inbox.submit([receipt("1")]).result()
    assert (answer.status, answer.code) == ("duplicate", "AA")
    inbox._file._db.close()  # as a crash would, before anything was applied
    again = Inbox(tmp_path / "x.inbox", SystemClock())
    again.require(0)
    assert [entry.raw for entry in again.read(0, 9)] == [b"1/"]
    again.close()


def test_two_processes_may_write_one_inbox(tmp_path: Path) -> None:
    one, two = (Inbox(tmp_path / "x.inbox", SystemClock()) for _ in range(2))
    one.start()
    two.start()
    groups = [inbox.submit([receipt(f"{n}")]) for n, inbox in enumerate([one, two] * 100)]
    positions = [group.result()[0].position for group in groups]
    assert sorted(p for p in positions if p is not None) == list(range(1, 201))
    assert two.submit([receipt("0")]).result()[0].status == "duplicate"
    assert one.wait(199, timeout=1.0)
    one.close()
    two.close()


def test_a_file_read_again_changes_nothing(inbox: Inbox) -> None:
    def lines() -> list[Receipt]:
        stated = [receipt("Location/b1", body, unversioned=True) for body in ("K", "U", "K")]
        return [
            msgspec.structs.replace(one, document="sha-of-file", origin=f"loc.ndjson@{n}")
            for n, one in enumerate(stated)
        ]

    first = [a.status for a in inbox.submit([*lines(), rejected()], from_file=True).result()]
    again = inbox.submit([*lines(), rejected()], from_file=True).result()
    assert first == ["accepted", "accepted", "accepted", "rejected"]
    assert [a.status for a in again] == ["duplicate", "duplicate", "duplicate", "rejected"]
    assert inbox.high == 4


def test_an_inbox_damaged_inside_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "x.inbox"
    inbox = Inbox(path, SystemClock())
    inbox.require(0)
    inbox.start()
    inbox.submit([receipt(str(n)) for n in range(200)]).result()
    inbox.close()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 60_000)
    with pytest.raises(StoreError, match="cannot be"):
        Inbox(path, SystemClock()).require(0)


def test_what_is_durable_counts_even_while_the_projector_reads(inbox: Inbox) -> None:
    inbox.submit([receipt("1")]).result()
    # A read that has begun and not ended holds its connection in the past.
    reading = inbox._file._reader.execute("SELECT position FROM entry UNION ALL SELECT 2")
    reading.fetchone()
    other = Inbox(inbox.path, SystemClock())
    other.start()
    other.submit([receipt("2"), receipt("3")]).result()
    assert inbox.high == 3
    other.close()
    reading.fetchall()


def test_an_inbox_of_an_earlier_version_knows_its_messages_again(tmp_path: Path) -> None:
    path = tmp_path / "x.inbox"
    Inbox(path, SystemClock()).close()
    told = receipt("1")
    assert isinstance(told.outcome, Translation)
    before = hashlib.blake2b(b"hl7v2\x1fADT|HOSP\x1f1", digest_size=12).digest()
    with sqlite3.connect(path) as earlier:
        earlier.execute(
            "INSERT INTO digest VALUES (?, ?, 1)", (before, told.outcome.envelope.digest)
        )
        earlier.execute("INSERT INTO meta VALUES ('pruned_to', '1')")
    earlier.close()
    for again in (("duplicate", "accepted"), ("duplicate", "duplicate")):
        inbox = Inbox(path, SystemClock())
        inbox.require(1)
        inbox.start()
        answers = inbox.submit([told, receipt("2")]).result()
        inbox.close()
        assert tuple(answer.status for answer in answers) == again


def test_an_inbox_on_a_full_disk_is_whole_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.inbox"
    first = Inbox(path, SystemClock())
    first.start()
    first.submit([receipt("1")]).result()
    first.close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StoreError) as refused:
            Inbox(path, SystemClock()).require(0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "disk" in (refused.value.do or "")
    assert "backup" not in (refused.value.do or "")
    again = Inbox(path, SystemClock())
    again.require(0)
    again.start()
    assert again.submit([receipt("1")]).result()[0].status == "duplicate"
    again.close()


def test_a_first_commit_that_fails_leaves_nothing_that_is_not_known_again(tmp_path: Path) -> None:
    path = tmp_path / "x.inbox"
    first, other = Inbox(path, SystemClock()), sqlite3.connect(path)
    first.start()
    other.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'no'); END")
    other.commit()
    with pytest.raises(StoreError):
        first.submit([receipt("1")]).result()
    other.execute("DROP TRIGGER full")
    other.commit()
    other.close()
    assert first.submit([receipt("1")]).result()[0].status == "accepted"
    first.close()
    second = Inbox(path, SystemClock())
    second.start()
    assert second.submit([receipt("1")]).result()[0].status == "duplicate"
    second.close()


def test_messages_that_a_sender_counts_are_made_durable_with_little_written(inbox: Inbox) -> None:
    def pages(control_ids: list[str]) -> int:
        other = sqlite3.connect(inbox.path)
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        receipts = [receipt(control_id) for control_id in control_ids]
        inbox.submit(receipts, from_file=True).result()
        return inbox.path.with_name(inbox.path.name + "-wal").stat().st_size // 4096

    def random(number: int) -> str:
        return hashlib.sha256(b"%d" % number).hexdigest()[:-1] + "x"

    for start in range(0, 10_000, 2_000):
        pages([f"M{number:09}" for number in range(start, start + 2_000)])
        pages([random(number) for number in range(start, start + 2_000)])
    counted = pages([f"M{number:09}" for number in range(10_000, 10_200)])
    assert counted < pages([random(number) for number in range(10_000, 10_200)]) / 3


def test_a_message_of_an_inbox_kept_for_years_is_known_by_the_same_digest(inbox: Inbox) -> None:
    inbox.submit([receipt("A1200")]).result()
    other = sqlite3.connect(inbox.path)
    ((control,),) = other.execute("SELECT control FROM digest").fetchall()
    other.close()
    assert control.hex() == "2e774e0000000012680a9fb2532e17692a781bcc"


def test_each_of_many_messages_in_one_commit_is_kept_in_its_own_place(inbox: Inbox) -> None:
    again = [receipt(f"M{n}") for n in range(300)]
    sent = [*again[:150], rejected(), *again, rejected()]
    answers = inbox.submit(sent).result()
    assert [a.status for a in answers] == (
        ["accepted"] * 150 + ["rejected"] + ["duplicate"] * 150 + ["accepted"] * 150 + ["rejected"]
    )
    kept = {entry.position: entry.raw for entry in inbox.read(0, 1_000)}
    assert kept == {a.position: one.raw for one, a in zip(sent, answers, strict=True)}
    assert list(kept) == list(range(1, 303))
    replayed = inbox.submit([receipt("mended")], replay_of=151).result()[0]
    assert [entry.replay_of for entry in inbox.read(302, 9)] == [151]
    assert replayed.position == 151


def stated(number: int, version: str = "1") -> Receipt:
    """What names a resource says nothing of when it came."""
    return msgspec.structs.replace(receipt(f"Patient/{number}/{version}"), format="fhir")


def test_nothing_of_what_names_a_resource_can_be_read_in_a_digest(inbox: Inbox) -> None:
    named = [stated(900_001), stated(7)]
    assert [answer.status for answer in inbox.submit(named).result()] == ["accepted"] * 2
    ((one,), (two,)) = asked(inbox, "SELECT control FROM recent_digest ORDER BY position")
    # Sender and format are the same, and of the numbers there is nothing.
    assert one[:8] == two[:8]


def asked(inbox: Inbox, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(inbox.path)) as other:
        return other.execute(sql).fetchall()


def test_a_resource_is_known_again_however_long_ago_it_came(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin_core.inbox.deciding.RECENT", 10)
    for begun in range(0, 60, 4):
        several = [stated(number) for number in range(begun, begun + 4)]
        told = [answer.position for answer in inbox.submit(several).result()]
        assert told == list(range(begun + 1, begun + 5))
        again = inbox.submit([stated(number) for number in range(begun + 4)]).result()
        assert [one.status for one in again] == ["duplicate"] * (begun + 4)
        assert [one.position for one in again] == list(range(1, begun + 5))
    [(old,)] = asked(inbox, "SELECT count(*) FROM digest")
    [(recent,)] = asked(inbox, "SELECT count(*) FROM recent_digest")
    assert (old + recent, recent < 10) == (60, True)


def test_a_commit_of_resources_writes_few_pages_however_many_there_are(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pages(first: int, count: int) -> int:
        asked(inbox, "PRAGMA wal_checkpoint(TRUNCATE)")
        several = [stated(number) for number in range(first, first + count)]
        inbox.submit(several, from_file=True).result()
        return inbox.path.with_name(inbox.path.name + "-wal").stat().st_size // 4096

    monkeypatch.setattr("twin_core.inbox.deciding.RECENT", 2_000)
    for first in range(0, 20_000, 2_000):
        pages(first, 2_000)
    together = pages(20_000, 200)
    monkeypatch.setattr("twin_core.inbox.deciding.RECENT", 1)
    pages(30_000, 200)
    one_by_one = pages(30_200, 200)
    assert together < one_by_one / 3


@pytest.mark.parametrize("recent", [3, 1_000])
def test_a_resource_of_a_file_that_a_crash_left_is_news_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    monkeypatch.setattr("twin_core.inbox.deciding.RECENT", recent)
    for again in range(3):
        inbox = Inbox(tmp_path / "x.inbox", SystemClock())
        inbox.require(0)
        inbox.start()
        told = inbox.submit([stated(number) for number in range(5)], from_file=True).result()
        assert [answer.status for answer in told] == ["accepted"] * 5, again
        inbox.close()


def test_what_could_not_be_written_takes_nobody_elses_place(inbox: Inbox) -> None:
    written = Path(f"{inbox.path}-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, hard))
    try:
        with pytest.raises(StoreError):
            inbox.submit([receipt("1")], from_file=True).result()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    beside = inbox.beside(None)
    assert beside is not None
    reading = FileIntake(beside, SystemClock())
    told = reading.take([receipt("2")])
    reading.close()
    assert inbox.read(0, 10) == []
    inbox.carry(decode_entries(told.entries))
    assert [entry.raw for entry in inbox.read(0, 10)] == [b"2/"]
