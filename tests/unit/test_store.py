"""Two files that are one store: opened together, migrated, rebuilt, copied, or refused."""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from twin_core import Twin
from twin_core.errors import StoreBusy, StoreError, StoreMismatch, StoreVersion, UsageError
from twin_core.events import (
    Admitted,
    Discharged,
    Envelope,
    Event,
    Fault,
    PatientDescribed,
    Rejection,
    Transferred,
    Translation,
    Visit,
)
from twin_core.identifiers import Identifier, Place
from twin_core.inbox import Receipt
from twin_core.settings import Settings, StoreSettings
from twin_core.store import database
from twin_core.store.database import CATALOG, Database, connect, migrate
from twin_core.store.facts import natural
from twin_core.store.projection import Projection
from twin_core.store.projector import Projector
from twin_core.store.staging import StagedFile, Staging
from twin_core.store.tables import ENTITIES

EIGHT = datetime(2026, 11, 1, 8, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
BED, OTHER_BED = Place("H", "ICU", "1", "A"), Place("H", "MED", "7", "B")


def at(hours: float) -> datetime:
    return EIGHT + timedelta(hours=hours)


def admission(n: int, place: Place = BED, hours: float = 0) -> Receipt:
    visit = Visit(class_="IMP", admitted_at=at(hours))
    person = (Identifier("urn:mrn", str(n), "MR"),)
    common = {"occurred_at": at(hours), "entered_at": at(hours), "patient": person}
    number = (Identifier("urn:visit", f"V{n}", "VN"),)
    admitted = Admitted(**common, encounter=number, visit=visit, place=place)
    return receipt(f"A{n}", PatientDescribed(occurred_at=at(hours), patient=person), admitted)


def departure(n: int, hours: float) -> Receipt:
    person = (Identifier("urn:mrn", str(n), "MR"),)
    number = (Identifier("urn:visit", f"V{n}", "VN"),)
    event = Discharged(
        occurred_at=at(hours), entered_at=at(hours), encounter=number, patient=person
    )
    return receipt(f"D{n}", event)


def receipt(control_id: str, *events: Event) -> Receipt:
    envelope = Envelope(
        feed="main",
        sender="ADT|H",
        control_id=control_id,
        trigger_event="ADT^A01",
        sent_at=EIGHT,
        digest=hashlib.sha256(repr(events).encode()).digest()[:16],
    )
    outcome = Translation(envelope=envelope, events=events)
    return Receipt(format="hl7v2", feed="main", raw=b"raw", outcome=outcome, origin="test")


def rejected() -> Receipt:
    fault = Fault(where="PV1^1^44", code="102", reason="is no date")
    outcome = Rejection(code="AE", faults=(fault,), feed="main", sender="ADT|H", control_id="R1")
    return Receipt(format="hl7v2", feed="main", raw=b"bad", outcome=outcome, origin="test")


def stays(twin: Twin) -> list[tuple[object, ...]]:
    rows = twin.query("SELECT unit, bed, from_at, to_at FROM twin.stay ORDER BY from_at, unit")
    return [tuple(row.values()) for row in rows]


def filled(path: Path, *receipts: Receipt) -> Path:
    with Twin.open(path) as twin:
        twin.receive(receipts or [admission(1), departure(1, 5)])
        twin.wait_applied()
    return path


def test_a_store_opened_again_shows_what_it_showed(tmp_path: Path) -> None:
    path = filled(tmp_path / "twin.duckdb")
    with Twin.open(path) as twin:
        assert stays(twin) == [("ICU", "A", at(0), at(5))]


def test_a_file_named_like_a_schema_works(tmp_path: Path) -> None:
    for name in ("twin.duckdb", "core", "kpi.db"):
        with Twin.open(filled(tmp_path / name)) as twin:
            assert len(stays(twin)) == 1


def test_messages_acknowledged_but_not_applied_are_applied_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path / "x.duckdb")
    with monkeypatch.context() as patch:
        # As after a crash: the inbox has the message, the database does not.
        patch.setattr(Projector, "start", lambda self: None)
        with Twin.open(path) as twin:
            assert twin.receive([admission(2, OTHER_BED, 1)])[0].code == "AA"
            with pytest.raises(StoreError, match="not applied within"):
                twin.wait_applied(timeout=0.1)
    with Twin.open(path) as twin:
        assert stays(twin) == [("ICU", "A", at(0), at(5)), ("MED", "B", at(1), None)]


def test_a_store_written_in_larger_groups_of_rows_is_written_on(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as before:
        before.execute("CREATE TABLE told AS SELECT range AS n FROM range(100_000)")
    with connect(path) as connection:
        connection.execute(f"INSERT INTO {CATALOG}.told SELECT range FROM range(100_000, 170_000)")
        connection.execute(f"UPDATE {CATALOG}.told SET n = -n WHERE n % 7 = 0")
    with connect(path, read_only=True) as connection:
        told = connection.execute(f"SELECT n FROM {CATALOG}.told").fetchall()
        groups = connection.execute(
            f"SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('{CATALOG}.told')"
        ).fetchone()
    assert sorted(told) == sorted((n if n % 7 else -n,) for n in range(170_000))
    # Beside the first, groups small enough to be written again whenever a few rows are added.
    assert groups == (1 + 5,)


def test_in_a_load_what_was_written_stays_in_memory_for_a_shorter_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOAD_WRITTEN_BACK", 300_000)
    monkeypatch.setattr("twin_core.store.projector.LOAD_ENTRIES", 50)
    monkeypatch.setattr("twin_core.store.projector.FIRST_WORTH", 50)
    monkeypatch.setattr("twin_core.store.projector.LOAD_WORTH", 50)
    path = tmp_path / "a.duckdb"
    log = path.with_name("a.duckdb.wal")
    with Twin.open(path) as twin:
        beginning = path.stat().st_size
        for load in (False, True):
            if load:
                assert log.stat().st_size > 500_000
                assert path.stat().st_size == beginning
                twin.load()
            for begun in range(400 * load, 400 * load + 400, 50):
                twin.receive([admission(n, BED, n) for n in range(begun, begun + 50)])
                twin.wait_applied()
        give_up_at = time.monotonic() + 30
        while log.exists() and log.stat().st_size >= 300_000 and time.monotonic() < give_up_at:
            time.sleep(0.01)
        assert not log.exists() or log.stat().st_size < 300_000
        assert path.stat().st_size > beginning


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("name", ["a.duckdb", "whose?.duckdb"])
def test_in_a_load_the_log_is_written_back_whatever_leads_to_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, link: bool
) -> None:
    monkeypatch.setattr(database, "LOAD_WRITTEN_BACK", 100_000)
    path = tmp_path / name
    if link:
        path.symlink_to(tmp_path / "folder" / name)
        (tmp_path / "folder").mkdir()
        Database(tmp_path / "folder" / name).close()
    held = Database(path)
    held.load()
    held.connection.execute("CREATE TABLE written (n BIGINT)")
    for number in range(20):
        with held.transaction() as connection:
            connection.execute(
                f"INSERT INTO written SELECT hash(n + {number}) >> 1 FROM range(10_000) t(n)"
            )
    logs = sum(file.stat().st_size for file in tmp_path.rglob("*.wal*"))
    assert path.stat().st_size > 1_000_000 > 200_000 > logs
    held.close()


def test_in_a_load_what_is_written_is_there_before_the_log_is_written_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(self: Database) -> None:
        begun.set()
        assert go_on.wait(30)

    with Twin.open(tmp_path / "a.duckdb") as twin:
        twin.load()
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(Database, "write_back", slow)
            twin.receive([admission(1)])
            assert begun.wait(30)
            twin.wait_applied(timeout=30)
            assert twin.query("SELECT count(*) AS n FROM twin.stay") == [{"n": 1}]
            go_on.set()
        twin.receive([admission(2, BED, 2)])
        twin.wait_applied()
        assert twin.query("SELECT count(*) AS n FROM twin.message") == [{"n": 2}]


def test_a_store_whose_log_does_not_fit_into_memory_is_opened_and_written_on(
    tmp_path: Path,
) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.load()
        file = twin.staging().begin("digest", "", "path", at(0))
        file = staged_more(twin.staging(), file, 23)
        for half in tmp_path.glob("x.duckdb*"):
            if half.is_file():
                shutil.copy(half, killed / half.name)
    settings = Settings(store=StoreSettings(memory_limit="40MB"))
    with Twin.open(killed / "x.duckdb", settings=settings) as twin:
        twin.load()
        [file] = twin.staging().files()
        staged_more(twin.staging(), file, 5)
        counted = "SELECT count(*) AS n, count(DISTINCT line) AS d FROM core.staged"
        assert twin.query(counted) == [{"n": 28_000, "d": 28_000}]


def staged_more(staging: Staging, file: StagedFile, sets: int) -> StagedFile:
    """Stage sets of 5 MB that cannot be made smaller."""
    for _ in range(sets):
        lines = range(file.staged, file.staged + 1_000)
        file = staging.add(file, lines, [os.urandom(5_000) for _ in lines])
    return file


def test_half_a_store_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.duckdb")
    inbox = tmp_path / "x.duckdb.inbox"
    inbox.rename(tmp_path / "away")
    with pytest.raises(StoreMismatch, match="missing beside"):
        Twin.open(path)
    (tmp_path / "away").rename(inbox)
    path.rename(tmp_path / "away")
    with pytest.raises(StoreMismatch, match="missing beside"):
        Twin.open(path)


def test_halves_of_different_stores_are_refused(tmp_path: Path) -> None:
    one, two = filled(tmp_path / "one.duckdb"), filled(tmp_path / "two.duckdb")
    shutil.copy(f"{two}.inbox", f"{one}.inbox")
    with pytest.raises(StoreMismatch, match="different stores"):
        Twin.open(one)


def test_an_inbox_older_than_its_database_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.duckdb")
    old_inbox = shutil.copy(f"{path}.inbox", tmp_path / "old")
    filled(path, admission(2, OTHER_BED, 1))
    shutil.copy(old_inbox, f"{path}.inbox")
    with pytest.raises(StoreMismatch, match="older than its database"):
        Twin.open(path)


def test_a_store_held_by_another_program_is_busy(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.duckdb")
    holder = (
        "import sys; from twin_core import Twin; t = Twin.open(sys.argv[1]);"
        " print('held', flush=1); sys.stdin.read(); t.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(StoreBusy, match="held by another program"):
            Twin.open(path)
        process.communicate(b"")


@pytest.mark.parametrize("content", [b"not a database at all" * 500, b"\x00" * 20_000])
def test_a_corrupt_database_is_refused_with_advice(tmp_path: Path, content: bytes) -> None:
    path = filled(tmp_path / "x.duckdb")
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be opened"):
        Twin.open(path)


def test_a_corrupt_inbox_is_refused_with_advice(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.duckdb")
    Path(f"{path}.inbox").write_bytes(b"garbage" * 5000)
    with pytest.raises(StoreError, match="cannot be opened"):
        Twin.open(path)


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.duckdb")
    connection = duckdb.connect(path)
    connection.execute("UPDATE core.meta SET value = '999' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(StoreVersion, match="999"):
        Twin.open(path)


def test_who_knows_no_digests_in_order_is_refused_and_takes_nothing_in_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path / "x.duckdb")
    known = {number: sql for number, sql in database._migrations().items() if number <= 13}
    monkeypatch.setattr(database, "_migrations", lambda: known)
    with pytest.raises(StoreVersion, match="knows 13"):
        Twin.open(path)


def test_a_store_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        Twin.open(tmp_path / "x.duckdb", create=False)
    assert list(tmp_path.iterdir()) == []


def test_the_tables_are_those_that_the_analysts_names_promise(tmp_path: Path) -> None:
    connection = connect(tmp_path / "x.duckdb")
    migrate(connection)
    for entity in ENTITIES:
        found = connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ?"
            " AND schema_name = 'core' AND table_name = ? ORDER BY column_index",
            [CATALOG, f"{entity.name}_version"],
        ).fetchall()
        promised = [
            (c.name, c.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"))
            for c in entity.columns
        ]
        assert found[: len(promised)] == promised
        assert [name for name, _ in found[len(promised) :]] == [
            "version_no",
            "owner",
            "known_from",
            "known_to",
        ]
    connection.close()


def test_every_column_an_analyst_sees_has_a_comment(tmp_path: Path) -> None:
    with Twin.open(tmp_path / "x.duckdb") as twin:
        silent = twin.query(
            "SELECT table_name, column_name FROM duckdb_columns()"
            " WHERE schema_name = 'twin' AND comment IS NULL"
        )
    assert silent == []


def test_what_was_known_stays_what_was_known(tmp_path: Path) -> None:
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.receive([admission(1)])
        twin.wait_applied()
        (first,) = twin.query("SELECT known_at FROM core.batch")
        twin.receive([departure(1, 5)])
        twin.wait_applied()
        then = twin.query("FROM history.stay($known_at)", {"known_at": first["known_at"]})
        now = twin.query("FROM history.stay(NULL)")
    assert ([row["to_at"] for row in then], [row["to_at"] for row in now]) == ([None], [at(5)])


def test_a_rebuild_gives_the_same_present_and_the_same_past(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with Twin.open(path) as twin:
        for group in ([admission(1)], [admission(2, OTHER_BED, 1), rejected()], [departure(1, 5)]):
            twin.receive(group)
            twin.wait_applied()
        views = ("stay", "encounter", "patient", "location", "message", "finding", "event")
        histories = "SELECT * EXCLUDE (version_no, owner) FROM core.stay_version ORDER BY ALL"
        before = [sorted(map(repr, twin.query(f"FROM twin.{view}"))) for view in views]
        past = twin.query(histories)
        assert twin.rebuild() == 5
        assert [sorted(map(repr, twin.query(f"FROM twin.{view}"))) for view in views] == before
        assert twin.query(histories) == past
        twin.receive([departure(2, 6)])
        twin.wait_applied()
        assert stays(twin)[1] == ("MED", "B", at(1), at(6))


def test_a_rebuild_reads_raw_bytes_anew_where_it_can(tmp_path: Path) -> None:
    person, number = (Identifier("urn:mrn", "1"),), (Identifier("urn:visit", "V1"),)
    better = Admitted(
        occurred_at=at(2), entered_at=at(2), encounter=number, patient=person, place=OTHER_BED
    )
    with Twin.open(filled(tmp_path / "x.duckdb", admission(1))) as twin:
        assert twin.rebuild(lambda format_, feed, raw, received_at: (better,)) == 1
        assert stays(twin) == [("MED", "B", at(2), None)]


def test_a_backup_is_a_store(tmp_path: Path) -> None:
    with Twin.open(filled(tmp_path / "x.duckdb")) as twin:
        twin.backup(tmp_path / "copy")
        twin.receive([admission(2, OTHER_BED, 1)])
        twin.wait_applied()
    with Twin.open(tmp_path / "copy" / "x.duckdb") as copy:
        assert stays(copy) == [("ICU", "A", at(0), at(5))]
        assert copy.raw(1) == b"raw"
        copy.receive([admission(3, OTHER_BED, 2)])
        copy.wait_applied()
        assert len(stays(copy)) == 2


def test_quarantine_keeps_bytes_and_reason_and_replay_applies(tmp_path: Path) -> None:
    with Twin.open(tmp_path / "x.duckdb") as twin:
        (answer,) = twin.receive([rejected()])
        twin.wait_applied()
        (message,) = twin.quarantined()
        assert (message.message_id, message.code) == (answer.position, "AE")
        assert "PV1^1^44" in message.reason
        assert twin.raw(message.message_id) == b"bad"
        again = twin.replay(message.message_id, rejected().outcome)
        assert again.status == "rejected"
        assert twin.replay(message.message_id, admission(1).outcome).status == "accepted"
        assert [(t.outcome, t.messages) for t in twin.tallies()] == [("rejected", 1)]
        twin.wait_applied()
        assert twin.quarantined() == []
        row = twin.message(message.message_id)
        assert (row["status"], row["reason"], row["received_at"]) == (
            "applied",
            None,
            message.received_at,
        )
        assert len(stays(twin)) == 1
        with pytest.raises(UsageError, match="not in quarantine"):
            twin.replay(message.message_id, admission(1).outcome)


def test_a_message_that_cannot_be_folded_is_quarantined_and_its_neighbours_are_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Projection.apply

    def trips_over(self: Projection, entries: list, *prepared: object) -> object:
        if any(e.head.envelope and e.head.envelope.control_id == "A2" for e in entries):
            raise ValueError("a fault in the fold")
        return whole(self, entries, *prepared)

    monkeypatch.setattr(Projection, "apply", trips_over)
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.receive([admission(1), admission(2, OTHER_BED), admission(3, OTHER_BED, 3)])
        twin.wait_applied()
        assert [row[0] for row in stays(twin)] == ["ICU", "MED"]
        (message,) = twin.quarantined()
        assert (message.control_id, message.code) == ("A2", "AA")
        assert "could not be applied" in message.reason


def test_a_disk_that_fails_the_projection_is_waited_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failures = Projection.apply, iter([duckdb.IOException("No space left on device")])

    def full_once(self: Projection, entries: list, *prepared: object) -> object:
        for failure in failures:
            raise failure
        return whole(self, entries, *prepared)

    monkeypatch.setattr(Projection, "apply", full_once)
    monkeypatch.setattr("twin_core.store.projector.RETRY_S", 0.05)
    with Twin.open(tmp_path / "x.duckdb") as twin:
        assert twin.receive([admission(1)])[0].code == "AA"
        twin.wait_applied()
        assert len(stays(twin)) == 1
        assert twin.failure() is None


def test_a_clock_that_jumps_back_keeps_known_instants_growing(tmp_path: Path) -> None:
    class Jumping:
        instants = iter([at(10), at(9), at(8), at(7)])
        last = at(7)

        def now(self) -> datetime:
            self.last = next(self.instants, self.last)
            return self.last

    with Twin.open(tmp_path / "x.duckdb", clock=Jumping()) as twin:
        for n in range(1, 4):
            twin.receive([admission(n, OTHER_BED, n)])
            twin.wait_applied()
        rows = twin.query("SELECT known_at FROM core.batch ORDER BY batch_no")
    known = [row["known_at"] for row in rows]
    assert known == sorted(set(known))


def test_control_ids_sort_by_their_numbers() -> None:
    assert sorted(["A10", "A9", "9", "10", "B1"], key=natural) == ["9", "10", "A9", "A10", "B1"]


def test_a_transfer_shows_in_the_batch_that_tells_the_board(tmp_path: Path) -> None:
    told = []
    with Twin.open(tmp_path / "x.duckdb") as twin:
        stop = twin.subscribe(told.append)
        twin.receive([admission(1)])
        twin.wait_applied()
        number = (Identifier("urn:visit", "V1", "VN"),)
        moved = Transferred(
            occurred_at=at(1), entered_at=at(1), encounter=number, place=OTHER_BED, origin=BED
        )
        twin.receive([receipt("T1", moved)])
        twin.wait_applied()
        stop()
        twin.receive([departure(1, 2)])
        twin.wait_applied()
    assert [batch.sequence for batch in told] == [1, 2]
    assert told[1].units == {("H", "ICU"), ("H", "MED")}


def test_a_copy_for_analysts_follows_the_store_change_by_change(tmp_path: Path) -> None:
    copy = tmp_path / "copy.duckdb"
    tables = [f"{entity.name}_version" for entity in ENTITIES]
    tables += ["message", "message_finding", "event", "node", "batch"]
    with Twin.open(tmp_path / "x.duckdb") as twin:
        assert twin.replica_snapshot(copy) == 0
        for group in (
            [admission(1), rejected()],
            [admission(2, OTHER_BED, 1), departure(1, 5)],
            [],
            [departure(2, 6)],
        ):
            if group:
                twin.receive(group)
                twin.wait_applied()
            else:
                twin.replay(2, admission(3, OTHER_BED, 7).outcome)
                twin.wait_applied()
            assert twin.replica_changes(copy) == twin.sequence()
            connection = connect(copy, read_only=True)
            for table in tables:
                held = connection.execute(f"FROM core.{table} ORDER BY ALL").fetchall()
                assert held == [
                    tuple(row.values()) for row in twin.query(f"FROM core.{table} ORDER BY ALL")
                ]
            assert connection.execute("FROM twin.stay").fetchall()
            connection.close()


def test_a_database_damaged_inside_is_not_taken_for_a_busy_one(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.duckdb", *[admission(n, BED, n) for n in range(300)])
    whole = path.read_bytes()
    path.write_bytes(whole[:12_288] + bytes(b ^ 0xFF for b in whole[12_288:]))
    with pytest.raises(StoreError) as refused:
        Twin.open(path)
    assert not isinstance(refused.value, StoreBusy)


def test_one_patient_with_two_encounters_in_a_bed_is_no_conflict(tmp_path: Path) -> None:
    person = (Identifier("urn:mrn", "1", "MR"),)
    both = [
        receipt(
            f"C{n}",
            Admitted(
                occurred_at=at(n),
                entered_at=at(n),
                patient=person,
                encounter=(Identifier("urn:visit", f"V{n}", "VN"),),
                place=BED,
            ),
        )
        for n in range(2)
    ]
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.receive(both)
        twin.wait_applied()
        assert twin.query("FROM twin.bed_conflict") == []
        twin.receive([admission(7, BED, 2)])
        twin.wait_applied()
        (conflict,) = twin.query("SELECT bed, from_at FROM twin.bed_conflict")
        assert conflict == {"bed": "A", "from_at": at(2)}
        (finding,) = twin.query("FROM twin.finding WHERE kind = 'bed_conflict'")
        assert "two patients" in str(finding["detail"])


def test_migrations_are_numbered_without_gaps_and_without_twins() -> None:
    folder = Path(__file__).parents[2] / "twin_core" / "store" / "schema"
    numbers = sorted(int(file.name[:4]) for file in folder.glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_full_disk_is_waited_for_and_puts_no_message_into_quarantine(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with Twin.open(path) as twin:
        # The database's log is the largest file by then, so that it is what finds no room.
        twin.receive([admission(n, BED, n) for n in range(400)])
        twin.wait_applied()
        written = path.with_name("x.duckdb.wal").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Room for one small batch, as a quarantined message would be, and not for many.
        resource.setrlimit(resource.RLIMIT_FSIZE, (written + 6_000, hard))
        try:
            twin.receive([admission(n, BED, n) for n in range(400, 600)])
            with pytest.raises(StoreError, match="were not applied"):
                twin.wait_applied(timeout=3)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        twin.wait_applied()
        statuses = "SELECT status, count(*) AS n FROM twin.message GROUP BY 1"
        assert twin.query(statuses) == [{"status": "applied", "n": 600}]


@pytest.mark.parametrize("load", [False, True])
def test_what_a_full_disk_let_commit_and_not_write_back_is_applied_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    load: bool,
) -> None:
    monkeypatch.setattr("twin_core.store.projector.RETRY_S", 0.05)
    monkeypatch.setattr("twin_core.store.projector.BATCH_ENTRIES", 20)
    monkeypatch.setattr("twin_core.store.projector.LOAD_ENTRIES", 20)
    monkeypatch.setattr("twin_core.store.projector.LOAD_WORTH", 20)
    monkeypatch.setattr(database, "WRITTEN_BACK", "300KB")
    monkeypatch.setattr(database, "LOAD_WRITTEN_BACK", 300_000)
    path = tmp_path / "x.duckdb"
    with Twin.open(path) as twin:
        if load:
            twin.load()
        twin.receive([admission(n, BED, n) for n in range(50)])
        twin.wait_applied()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Room for the log, and none for what is written back of it.
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1_000, hard))
        try:
            twin.receive([admission(n, BED, n) for n in range(50, 400)])
            with suppress(StoreError):
                twin.wait_applied(timeout=2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        twin.wait_applied()
        asked = "SELECT count(*) AS n, count(DISTINCT message_id) AS d FROM core.message"
        # Nothing more comes, and it is taken anew all the same.
        assert as_soon_as_it_can(lambda: twin.query(asked)) == [{"n": 400, "d": 400}]
        assert "not written back" in caplog.text


def as_soon_as_it_can(ask: Callable[[], list[dict[str, object]]]) -> list[dict[str, object]]:
    give_up_at = time.monotonic() + 10
    while True:
        try:
            return ask()
        except StoreError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)


def fill(connection: duckdb.DuckDBPyConnection, transactions: int) -> None:
    """Write rows as batches do, so that groups of them are written by several transactions."""
    connection.execute(f"CREATE TABLE {CATALOG}.core.filled (n BIGINT)")
    for number in range(transactions):
        connection.execute(f"INSERT INTO {CATALOG}.core.filled FROM range(10_000)")
        if number % 5 == 4:
            connection.execute(f"CHECKPOINT {CATALOG}")


def kept_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """What DuckDB has in memory that it cannot leave to the file."""
    connection.execute("SET GLOBAL memory_limit = '200MB'")
    for limit in range(20, 0, -1):
        try:
            connection.execute(f"SET GLOBAL memory_limit = '{limit * 256}KB'")
        except duckdb.OutOfMemoryException:
            break
    connection.execute("SET GLOBAL memory_limit = '200MB'")
    return (limit + 1) * 256_000


def test_a_store_that_is_taken_again_keeps_nothing_of_what_was_written(tmp_path: Path) -> None:
    held = Database(filled(tmp_path / "x.duckdb"))
    fill(held.connection, 50)
    [[before]] = held.cursor().execute("SELECT count(*) FROM core.filled").fetchall()
    kept = kept_bytes(held.connection)
    held.renew()
    [[after]] = held.cursor().execute("SELECT count(*) FROM core.filled").fetchall()
    assert before == after == 500_000
    assert kept > 4_000_000 > 1_000_000 > kept_bytes(held.connection)
    held.close()
    with Twin.open(tmp_path / "x.duckdb") as twin:
        assert stays(twin) == [("ICU", "A", at(0), at(5))]


def test_a_store_can_be_taken_again_after_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "READ_ON_S", 0.2)
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.backup(tmp_path / "backup")
        twin._database.renew()
        twin.receive([admission(1)])
        twin.wait_applied()


def test_nobody_else_gets_a_store_while_it_is_taken_again(tmp_path: Path) -> None:
    path = filled(tmp_path / "x.duckdb")
    wants = (
        "import sys; from twin_core import Twin; from twin_core.errors import StoreBusy\n"
        "print('begun', flush=1)\n"
        "while True:\n"
        "    try: Twin.open(sys.argv[1], create=False).close(); print('had it', flush=1)\n"
        "    except StoreBusy: pass\n"
    )
    held = Database(path)
    with subprocess.Popen(
        [sys.executable, "-c", wants, str(path)], stdout=subprocess.PIPE, cwd=ROOT
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"begun\n"
        taken_again = 0
        try:
            for _ in range(120):
                # Who looks at the same moment may take the mark for left behind: it is still held.
                with suppress(StoreBusy):
                    held.renew()
                    taken_again += 1
        finally:
            other.kill()
        assert taken_again > 40
        assert other.stdout.read() == b""
    held.close()


def test_a_store_is_not_written_until_those_who_read_let_it_be_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin_core.store.projector.RETRY_S", 0.05)
    monkeypatch.setattr("twin_core.store.projector.LOADED_ROWS", 1)
    monkeypatch.setattr(database, "READ_ON_S", 0.1)
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.load()
        reader = twin._database.connection.cursor()
        reader.execute(f"BEGIN; FROM {CATALOG}.core.batch").fetchall()
        twin.receive([admission(1)])
        twin.wait_applied()
        twin.receive([admission(2, OTHER_BED)])
        with pytest.raises(StoreError, match="were not applied"):
            twin.wait_applied(timeout=1)
        reader.execute("COMMIT")
        twin.receive([departure(1, 5)])
        twin.wait_applied()
        assert stays(twin) == [("ICU", "A", at(0), at(5)), ("MED", "B", at(0), None)]
        assert twin.failure() is None


def test_a_store_that_was_taken_again_late_waits_for_nothing_though_nothing_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin_core.store.projector.RETRY_S", 0.05)
    monkeypatch.setattr("twin_core.store.projector.LOADED_ROWS", 1)
    monkeypatch.setattr(database, "READ_ON_S", 0.1)
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.load()
        reader = twin._database.connection.cursor()
        reader.execute(f"BEGIN; FROM {CATALOG}.core.batch").fetchall()
        twin.receive([admission(1)])
        assert comes(lambda: twin.failure() is not None)
        reader.execute("COMMIT")
        assert comes(lambda: twin.failure() is None)


def comes(is_there: Callable[[], bool]) -> bool:
    give_up_at = time.monotonic() + 10
    while not is_there() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return is_there()


def test_a_store_whose_memory_is_full_of_what_it_keeps_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin_core.store.projector.RETRY_S", 0.05)
    settings = Settings(store=StoreSettings(memory_limit="20MB"))
    with Twin.open(tmp_path / "x.duckdb", settings=settings) as twin:
        with (
            twin._projector.pause,
            pytest.raises(duckdb.Error, match=r"memory limit|invalidated"),
        ):
            fill(twin._database.connection, 1_000)
        twin.receive([admission(n, BED, n) for n in range(400)])
        twin.wait_applied()
        statuses = "SELECT status, count(*) AS n FROM twin.message GROUP BY 1"
        assert twin.query(statuses) == [{"status": "applied", "n": 400}]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_a_server_applies_with_what_acknowledging_leaves_of_the_processors(tmp_path: Path) -> None:
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with Twin.open(tmp_path / "x.duckdb") as twin:
        twin.give_way()
        [projector] = [t for t in threading.enumerate() if t.name == "projector"]
        assert os.getpriority(os.PRIO_PROCESS, projector.native_id or 0) > mine
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine
        assert twin.receive([admission(1)])[0].code == "AA"
        twin.wait_applied()
        assert len(stays(twin)) == 1
