"""A load of many files in large batches gives the store that one message after the other gives."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path

import duckdb
import pytest

from adapters.files import Found, find_files
from api.ingesting import Order, Summary, ingest, submitted, translated_chunks
from api.translating import Reader, decode_receipts
from twin_core import Twin
from twin_core.inbox import Answer, Entry
from twin_core.settings import Settings
from twin_core.store import projector
from twin_core.store.database import Database
from twin_core.store.projection import Folded, Projection
from twin_core.store.tables import ENTITIES
from twin_core.store.units import last_known_at

EIGHT = datetime(2026, 11, 1, 8, tzinfo=UTC)
STEPS = ("A01", "A08", "A02", "A08", "A12", "A21", "A22", "A03", "A13", "A03")


def message(number: int, visit: int, step: int) -> str:
    """One message of a visit; every third one waits a day, so that visits lie across batches."""
    at = f"{EIGHT + timedelta(minutes=visit * 7 + step * 90 + 1440 * (visit % 3)):%Y%m%d%H%M%S}"
    event, bed = STEPS[step], f"W{(visit + step // 2) % 4}^{visit % 9 + 1}^A^GENERAL"
    left = f"{at}+0000" if event == "A03" else ""
    segments = (
        f"MSH|^~\\&|PAS|GENERAL|TWIN|GENERAL|{at}+0000||ADT^{event}|M{number:05}|P|2.5.1",
        f"EVN|{event}|{at}+0000",
        f"PID|1||{visit % 5:04}^^^GENERAL^MR||Abel^Ben||19{visit % 90 + 10}0101|{'FM'[visit % 2]}",
        f"PV1|1|I|{bed}|R||W0^1^A^GENERAL|||||||||||||V{visit:04}^^^GENERAL^VN"
        + "|" * 26 + left,
    )  # fmt: skip
    return "\r".join(segments)


def feed(visits: int) -> list[str]:
    """The messages of some visits, mixed as they would arrive; a few come twice."""
    sent = sorted(
        (visit * 3 + step * 5, visit, step) for visit in range(visits) for step in range(10)
    )
    told = [message(number, visit, step) for number, (_, visit, step) in enumerate(sent)]
    return [*told[:40], *told[10:15], *told[40:]]


class Taking:
    """A store as `ingest` sees it, with room for little."""

    def __init__(self, twin: Twin, room: int) -> None:
        self.room, self._twin = room, twin
        self.waiting = 0

    def submit(self, receipts: bytes) -> "Future[list[Answer]]":
        return self._twin.submit(decode_receipts(receipts), from_file=True)

    def handover(self) -> None:
        """Everything is submitted here."""

    def position(self) -> int:
        self.waiting += 1
        return self._twin.position()


def loaded(folder: Path, text: str, *, load: bool, room: int) -> tuple[Summary, list[object]]:
    """What an ingest of the messages says, and all that the store holds afterwards."""
    folder.mkdir()
    (folder / "feed.hl7").write_text(text, newline="")
    with Twin.open(folder / "x.duckdb") as twin:
        if load:
            twin.load()
        sources = tuple(find_files([str(folder / "feed.hl7")], None))
        order = Order(sources=sources, feed=None, settings=Settings().model_dump_json(
            by_alias=True, exclude={"secrets"}), received_at=EIGHT)  # fmt: skip
        taking = Taking(twin, room)
        several = submitted(taking, translated_chunks(order))
        summary = ingest(taking, order, lambda *_: None, several)
        return summary, contents(twin)


def contents(twin: Twin) -> list[object]:
    """Present rows of every entity and the journal, without what tells how they were batched."""
    found: list[object] = []
    for entity in ENTITIES:
        named = ", ".join(f'"{c.name}"' for c in entity.columns if c.name != "found_at")
        held = f"FROM core.{entity.name}_version WHERE known_to = 'infinity'"
        found.append([entity.name, twin.query(f"SELECT {named} {held} ORDER BY ALL")])
    journal = "e.message_id, e.ordinal, e.event, e.occurred_at, e.payload, n.kind, n.value"
    joined = "core.event e JOIN core.node n USING (node)"
    found.append(twin.query(f"SELECT {journal} FROM {joined} ORDER BY 1, 2"))
    named = "message_id, control_id, trigger_event, sent_at, status, digest, raw"
    joined = "core.message JOIN core.raw USING (message_id)"
    found.append(twin.query(f"SELECT {named} FROM {joined} ORDER BY 1"))
    return found


def test_a_load_gives_what_message_by_message_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = feed(8)
    monkeypatch.setattr("api.ingesting.CHUNK_MESSAGES", 50)
    summary, held = loaded(tmp_path / "load", "\r".join(told), load=True, room=2**24)
    assert (summary.messages, summary.accepted, summary.duplicates) == (85, 80, 5)
    monkeypatch.setattr("api.ingesting.CHUNK_MESSAGES", 1)
    monkeypatch.setattr(projector, "BATCH_ENTRIES", 1)
    _, one_by_one = loaded(tmp_path / "each", "\r".join(told), load=False, room=1)
    assert held == one_by_one


def test_a_load_gives_the_same_however_often_it_takes_its_store_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, renew, renewed = "\r".join(feed(8)), Database.renew, []
    monkeypatch.setattr("api.ingesting.CHUNK_MESSAGES", 10)
    once = loaded(tmp_path / "once", told, load=True, room=1)

    def counted(self: Database) -> None:
        renewed.append(self.path)
        renew(self)

    monkeypatch.setattr(Database, "renew", counted)
    monkeypatch.setattr(projector, "LOADED_ROWS", 10)
    monkeypatch.setattr(projector, "LOAD_ENTRIES", 7)
    often = loaded(tmp_path / "often", told, load=True, room=1)
    assert often[1] == once[1]
    assert len(renewed) > 3


def test_a_load_waits_for_what_it_has_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.ingesting.CHUNK_MESSAGES", 10)
    folder, told = tmp_path / "x", feed(4)
    folder.mkdir()
    (folder / "feed.hl7").write_text("\r".join(told), newline="")
    with Twin.open(folder / "x.duckdb") as twin:
        order = Order(sources=tuple(find_files([str(folder)], "hl7")), feed=None,
                      settings=Settings().model_dump_json(by_alias=True, exclude={"secrets"}),
                      received_at=EIGHT)  # fmt: skip
        taking = Watched(twin, room=30_000)
        several = submitted(taking, translated_chunks(order))
        ingest(taking, order, lambda *_: None, several)
        assert 0 < taking.most <= 30_000 + 4 * taking.largest


class Watched(Taking):
    """Notes how much was taken in and not applied at most."""

    def __init__(self, twin: Twin, room: int) -> None:
        super().__init__(twin, room)
        self.sizes: list[tuple[Future[list[Answer]], int]] = []
        self.most = self.largest = 0

    def submit(self, receipts: bytes) -> "Future[list[Answer]]":
        answered = super().submit(receipts)
        self.sizes.append((answered, len(receipts)))
        applied = self._twin.position()
        self.most = max(self.most, sum(size for one, size in self.sizes if ahead(one, applied)))
        self.largest = max(self.largest, len(receipts))
        return answered


def ahead(answered: "Future[list[Answer]]", applied: int) -> bool:
    return any((answer.position or 0) > applied for answer in answered.result(timeout=180))


@pytest.mark.parametrize(
    ("sizes", "together"),
    [([], 0), ([10], 1), ([70, 50], 1), ([30, 30, 30, 30], 3), ([200, 1], 1), ([50, 50], 2)],
)
def test_a_batch_of_a_load_is_bounded_by_its_weight(
    sizes: Sequence[int], together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "LOAD_BYTES", 100)
    entries = [type("Entry", (), {"raw": bytes(size)})() for size in sizes]
    assert projector._together(entries) == together


def loads_despite(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, failures: Iterator[Exception]
) -> list[tuple[object, ...]]:
    """The messages that a load did not apply, a step of whose batch with M00025 fails."""
    monkeypatch.setattr(projector, "LOAD_ENTRIES", 10)
    monkeypatch.setattr(projector, "RETRY_S", 0.05)
    whole = getattr(Projection, step)

    def fails(self: Projection, given: Folded | Sequence[Entry], *more: object) -> object:
        entries = given.entries if isinstance(given, Folded) else given
        if any(e.head.envelope and e.head.envelope.control_id == "M00025" for e in entries):
            for failure in failures:
                raise failure
        return whole(self, given, *more)

    monkeypatch.setattr(Projection, step, fails)
    reader = Reader(Settings(), None, EIGHT)
    told = [Found(text.encode(), 0, "hl7v2") for text in feed(8)]
    receipts = [receipt for found in told for receipt in reader.receipts(found, "feed")]
    with Twin.open(folder / "x.duckdb") as twin:
        twin.load()
        twin.submit(receipts, from_file=True).result()
        twin.wait_applied(timeout=60)
        assert twin.failure() is None
        rows = twin.query("SELECT control_id, status, reason FROM twin.message ORDER BY ALL")
        assert len({row["control_id"] for row in rows}) == len(rows) == 80
        assert twin.query("SELECT count(*) AS n FROM twin.event")[0]["n"] >= 79 * 2
        return [tuple(row.values()) for row in rows if row["status"] != "applied"]


@pytest.mark.parametrize("step", ["fold", "write"])
@pytest.mark.parametrize(
    "full",
    [
        duckdb.IOException("No space left on device"),
        duckdb.OutOfMemoryException("could not allocate block"),
    ],
)
def test_a_disk_or_memory_that_fails_a_batch_of_a_load_is_waited_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, full: Exception
) -> None:
    monkeypatch.setattr("twin_core.store.database.READ_ON_S", 0.2)
    assert loads_despite(tmp_path, monkeypatch, step, repeat(full, 2)) == []


@pytest.mark.parametrize("step", ["fold", "write"])
def test_a_message_at_fault_in_a_load_is_quarantined_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    failures = repeat(ValueError("a fault"))
    [(control_id, status, reason)] = loads_despite(tmp_path, monkeypatch, step, failures)
    assert (control_id, status) == ("M00025", "quarantined")
    assert "could not be applied" in str(reason)


@pytest.mark.parametrize("step", ["fold", "write"])
def test_a_batch_that_fails_while_the_log_is_written_back_is_folded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr("twin_core.store.database.LOAD_WRITTEN_BACK", 0)
    write_back = Database.write_back

    def long(self: Database) -> None:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            write_back(self)

    def often(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, datetime | None]:
        return min([last_known_at(connection) for _ in range(50)], key=lambda last: last[0])

    monkeypatch.setattr(Database, "write_back", long)
    monkeypatch.setattr("twin_core.store.projection.last_known_at", often)
    assert loads_despite(tmp_path, monkeypatch, step, iter([ValueError("a fault")])) == []
    with Twin.open(tmp_path / "x.duckdb") as twin:
        batches = twin.query("SELECT * FROM core.batch ORDER BY batch_no")
        [events] = twin.query("SELECT count(*) AS n, max(event_no) AS last FROM core.event")
    assert [row["batch_no"] for row in batches] == list(range(1, len(batches) + 1))
    assert sum(int(str(row["messages"])) for row in batches) == 80
    assert events["n"] == events["last"]


def test_a_batch_about_others_is_folded_while_the_one_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "LOAD_ENTRIES", 10)
    folded, fold, write = threading.Semaphore(0), Projection.fold, Projection.write
    met: list[bool] = []

    def folds(self: Projection, *given: Sequence[Entry]) -> Folded:
        found = fold(self, *given)
        folded.release()
        return found

    def writes(self: Projection, given: Folded) -> object:
        if not met:
            folded.acquire()  # its own
        met.append(folded.acquire(timeout=2))
        return write(self, given)

    monkeypatch.setattr(Projection, "fold", folds)
    monkeypatch.setattr(Projection, "write", writes)
    others = [message(n, n, 0).replace(f"||{n % 5:04}^", f"||X{n:04}^") for n in range(40)]
    reader = Reader(Settings(), None, EIGHT)
    found = [Found(text.encode(), 0, "hl7v2") for text in others]
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.load()
        twin.submit([one for each in found for one in reader.receipts(each, "feed")]).result()
        twin.wait_applied()
    assert met == [True, True, True, False]


def test_two_sources_that_say_the_same_of_one_patient_are_both_kept_in_a_load(
    tmp_path: Path,
) -> None:
    number = {"system": "urn:mrn", "value": "0001", "type": {"coding": [{"code": "MR"}]}}
    stated = {
        "resourceType": "Patient",
        "id": "1",
        "meta": {"versionId": "1", "lastUpdated": "2026-11-01T09:00:00Z"},
        "identifier": [number],
    }
    earlier = {**stated, "id": "2", "meta": {"lastUpdated": "2026-11-01T07:00:00Z"}}
    later = {**stated, "id": "3", "meta": {"lastUpdated": "2026-11-01T09:30:00Z"}}
    told = [("a", stated), ("b", stated), ("a", earlier), ("a", later)]
    for sent, server, resource in [(n, *one) for n, one in enumerate(told)]:
        with Twin.open(tmp_path / "x.duckdb") as twin:
            twin.load()
            found = Found(json.dumps(resource).encode(), 0, "fhir")
            twin.receive(list(Reader(Settings(), server, EIGHT).receipts(found, f"{sent}")))
            twin.wait_applied()
            numbers = twin.query("SELECT system, value FROM twin.patient_identifier")
    assert len(numbers) == 5


def test_a_load_does_not_wait_for_more_where_more_than_a_batch_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "LOAD_BYTES", 4_000)
    monkeypatch.setattr(projector, "SILENCE_S", 1.0)
    reader = Reader(Settings(), None, EIGHT)
    found = [Found(text.encode(), 0, "hl7v2") for text in feed(20)]
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.load()
        twin.submit([one for each in found for one in reader.receipts(each, "feed")]).result()
        twin.wait_applied(timeout=6)
        assert twin.sequence() > 10
