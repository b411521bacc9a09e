"""The ledger on disk: what it keeps, where its checkpoints go, and what a tampered file betrays."""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.fhir.audit_event import BALP, audit_events
from adapters.fhir.judge import judge
from adapters.fhir.release import Release
from api.audit.opening import UrlKeeper, audit_keys, keepers_of, open_ledger
from tests.unit.ledgers import KEYS, NOON, NURSE, Ticking, access, ledger
from twin_core.audit import (
    Actor,
    AuditKeys,
    Cadence,
    FolderKeeper,
    Ledger,
    LedgerReader,
    Sought,
    forget_texts,
    keys_of,
    ledger_path,
    notes_in,
    public_key,
    verified,
    verifier_line,
)
from twin_core.errors import AuditFailed, ConfigurationError, StoreError, UsageError
from twin_core.settings import AuditSettings


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.duckdb.audit"


def unguarded(path: Path) -> sqlite3.Connection:
    """The file as somebody with the disk sees it: without the triggers."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DROP TRIGGER entry_stays")
    db.execute("DROP TRIGGER entry_is_final")
    return db


def test_names_of_queries_stand_beside_the_chain_and_old_ones_still_verify(path, monkeypatch):
    named = "query/Ada Quisenberry"
    with monkeypatch.context() as before, ledger(path) as book:
        # As entries were written once: the name in the hashed body.
        before.setattr("twin_core.audit.file.is_typed", lambda named, outcome: False)
        book.record(access(objects=("query/Old",)))
    with ledger(path) as book:
        for objects in ((named, "kpi/alos"), (named,), ("query/another",)):
            book.record(access(objects=objects))
    reader = LedgerReader(path)
    old, *told = reader.entries()
    assert (old.objects, reader.texts(old)) == (("query/Old",), None)
    assert b"Quisenberry" not in b"".join(body for _, body, *_ in reader.raw())
    assert [reader.texts(one).objects for one in told] == [(named,), (named,), ("query/another",)]
    reader.close()
    # One query goes by one name, so that what was done with it can be followed.
    assert told[0].objects == (told[1].objects[0], "kpi/alos")
    assert told[1].objects != told[2].objects
    assert verified(path, keys=KEYS).findings == ()
    assert forget_texts(path, [2, 3]) == 2
    assert verified(path, keys=KEYS).findings == ()
    assert b"Quisenberry" not in path.read_bytes()


def test_words_that_somebody_typed_are_in_no_entry(path):
    said = "QUISENBERRY"
    kinds = ("query", "path", "kpi", "unit", "release", "destination")
    typed = [f"{kind}/{said}" for kind in kinds]
    numbers = ("message/12", "messages/3-9", "simulation/0f3a", "settings/00ff")
    with ledger(path) as book:
        for outcome in ("refused", "failed"):
            book.record(access(objects=(*typed, f"message/{said}", *numbers), outcome=outcome))
        book.record(access(objects=("kpi/alos", "unit/ICU", typed[0])))
    reader = LedgerReader(path)
    *refused, found = reader.entries()
    bodies = b"".join(body for _, body, *_ in reader.raw())
    told = [reader.texts(one).objects for one in (*refused, found)]
    reader.close()
    assert said.encode() not in bodies
    assert all(set(numbers) <= set(one.objects) for one in refused)
    assert found.objects[:2] == ("kpi/alos", "unit/ICU")
    assert told == [(*typed, f"message/{said}")] * 2 + [(typed[0],)]


def test_what_is_recorded_is_read_back_and_patients_are_pseudonyms(path):
    with ledger(path) as book:
        assert book.record(access(patients=("p1", "p2"), objects=("message/3",))) == 1
        assert book.record(access(act="search", what="GET /v1/state")) == 2
    reader = LedgerReader(path)
    last, first = reader.entries(newest_first=True)
    reader.close()
    assert (first.seq, first.who, first.at) == (1, NURSE, NOON + timedelta(seconds=1))
    assert first.patients == tuple(sorted(KEYS.pseudonym(p) for p in ("p1", "p2")))
    assert (last.seq, last.patients, last.patients_count) == (2, (), 0)


def test_who_goes_away_before_the_answer_is_recorded_and_holds_nobody_up(path):
    async def goes_away(book):
        asking = asyncio.ensure_future(asyncio.wrap_future(book.append(access(what="GET /"))))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])

    with ledger(path) as book:
        for _ in range(20):
            asyncio.run(goes_away(book))
        assert book.append(access()).result(timeout=30) == 21
    reader = LedgerReader(path)
    assert len(list(reader.entries())) == 21
    reader.close()


def test_no_patient_and_no_text_is_in_what_is_hashed(path):
    canary = "QUISENBERRY-4711"
    many = tuple(f"{canary}{n}" for n in range(50))
    with ledger(path) as book:
        book.record(access(patients=many, text=f"SELECT '{canary}'", reason=f"{canary} collapsed"))
    db = sqlite3.connect(path)
    tables = ("entry", "patients", "checkpoint", "meta")
    stored = [db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]
    assert canary not in repr(stored)
    reader = LedgerReader(path)
    [entry] = reader.entries()
    assert len(reader.patients(entry)) == entry.patients_count == 50
    assert reader.texts(entry).reason == f"{canary} collapsed"
    for event in audit_events(entry, reader.patients(entry), reader.ledger_id()):
        assert canary not in json.dumps(event)
        assert canary not in base64.b64decode(event["entity"][0].get("query", "")).decode()
    reader.close()


def test_entries_are_sought_by_patient_who_and_time(path):
    with ledger(path) as book:
        book.record(access(patients=("p1",)))
        book.record(access(patients=tuple(f"p{n}" for n in range(30)), what="GET /v1/state"))
        book.record(access(who=Actor(id="a1", kind="key"), patients=("p9",)))
    reader = LedgerReader(path)

    def seqs(**sought):
        return [entry.seq for entry in reader.sought(Sought(**sought), KEYS)]

    assert seqs(patient="p1") == [2, 1]
    assert seqs(patient="p99") == []
    assert seqs(who="a1") == [3]
    assert seqs(what="state") == [2]
    assert seqs(since=NOON + timedelta(seconds=2), until=NOON + timedelta(seconds=3)) == [2]
    assert [entry.seq for entry in reader.sought(Sought(patient="p1"))] == []
    reader.close()


def test_two_writers_make_one_chain(path):
    """A server and a command write at the same time, each with threads of its own."""
    with ledger(path) as one, ledger(path) as other:
        futures = []
        for book in (one, other):
            worker = threading.Thread(
                target=lambda book=book: futures.extend(book.append(access()) for _ in range(100))
            )
            worker.start()
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and "audit" not in thread.name:
                thread.join(10)
        assert sorted(future.result() for future in futures) == list(range(1, 201))
    verdict = verified(path, keys=KEYS)
    assert (verdict.entries, verdict.covered, verdict.findings) == (200, 200, ())


def test_a_ledger_goes_on_where_it_ended(path, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for _ in range(3):
        with ledger(path, keepers=[FolderKeeper(elsewhere)]) as book:
            for _ in range(5):
                book.record(access())
    notes = notes_in(elsewhere)
    verdict = verified(path, keys=KEYS, notes=notes)
    assert (verdict.entries, verdict.covered, verdict.findings) == (15, 15, ())
    assert [note.splitlines()[1] for note in notes] == ["5", "10", "15"]


def test_checkpoints_come_by_count_too(path):
    with ledger(path, cadence=Cadence(entries=10, seconds=3600)) as book:
        for _ in range(25):
            book.record(access())
    verdict = verified(path, keys=KEYS)
    assert verdict.checkpoints >= 3
    assert verdict.covered == 25


TAMPERING = {
    "modification": "UPDATE entry SET body = replace(body, 'n7', 'n8') WHERE seq = 7",
    "deletion": "DELETE FROM entry WHERE seq = 7",
    "truncation": "DELETE FROM entry WHERE seq > 16",
    "insertion": "INSERT INTO entry SELECT 21, replace(body, ':20,', ':21,'), link, signature "
    "FROM entry WHERE seq = 20",
    "reordering": "UPDATE entry SET seq = -1 WHERE seq = 7;"
    "UPDATE entry SET seq = 7 WHERE seq = 8; UPDATE entry SET seq = 8 WHERE seq = -1",
    "patients": "UPDATE patients SET pseudonyms = 'nobody'",
    "text": 'UPDATE texts SET said = \'{"text":"SELECT 1"}\'',
}


@pytest.mark.parametrize("kind", TAMPERING)
def test_a_tampered_file_is_found_out(kind, path, tmp_path):
    with ledger(path, keepers=[FolderKeeper(tmp_path / "kept")]) as book:
        for n in range(20):
            many = tuple(f"p{p}" for p in range(20)) if n == 3 else ("p1",)
            book.record(access(patients=many, text="SELECT 2" if n == 5 else ""))
    notes = notes_in(tmp_path / "kept")
    assert verified(path, keys=KEYS, notes=notes).findings == ()
    unguarded(path).executescript(TAMPERING[kind])
    findings = verified(path, keys=KEYS, notes=notes).findings
    assert kind in {found.kind for found in findings} or kind == "insertion"
    where = {"deletion": 7, "truncation": 17, "patients": 4, "text": 6, "insertion": 21}
    assert any(f.first <= where.get(kind, 7) <= max(f.last, f.first) for f in findings), findings


def test_a_stolen_key_cannot_change_what_is_kept_elsewhere(path, tmp_path):
    """The whole ledger is written anew with its own keys; only the checkpoints elsewhere tell."""
    with ledger(path, keepers=[FolderKeeper(tmp_path / "kept")]) as book:
        for _ in range(5):
            book.record(access())
        ledger_id = book.ledger_id
    path.unlink()
    for leftover in path.parent.glob("*.audit[-.]*"):
        leftover.unlink()
    with ledger(path):
        pass
    path.with_name(path.name + ".tip").unlink()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("UPDATE meta SET value = ? WHERE key = 'ledger_id'", (ledger_id,))
    db.close()
    with ledger(path) as book:
        for _ in range(5):
            book.record(access(outcome="refused"))
    assert verified(path, keys=KEYS).findings == ()
    findings = verified(path, keys=KEYS, notes=notes_in(tmp_path / "kept")).findings
    assert ("checkpoint", 1, 5) in [found[:3] for found in findings]


def test_erasing_a_text_leaves_the_ledger_whole(path):
    with ledger(path) as book:
        book.record(access(text="SELECT 'QUISENBERRY'"))
    sqlite3.connect(path, isolation_level=None).execute("DELETE FROM texts")
    assert verified(path, keys=KEYS).findings == ()


def test_the_file_itself_refuses_change(path):
    with ledger(path) as book:
        book.record(access())
    db = sqlite3.connect(path)
    for statement in ("DELETE FROM entry", "UPDATE entry SET body = ''"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("moved", ["", "-wal"])
def test_what_goes_into_a_file_that_is_not_there_any_more_is_not_recorded(path, moved):
    with ledger(path) as book:
        book.record(access())
        file, away = Path(f"{path}{moved}"), path.with_name("away")
        file.rename(away)
        for _ in range(2):
            with pytest.raises(AuditFailed, match="not where it was"):
                book.record(access())
        assert book.failure
        shutil.copyfile(away, file)
        with pytest.raises(AuditFailed, match="not where it was"):
            book.record(access())
        file.unlink()
        away.rename(file)
        book.record(access())
        assert book.failure is None


def test_entries_that_a_trigger_keeps_out_are_not_recorded(path):
    with ledger(path) as book:
        book.record(access())
        with contextlib.closing(sqlite3.connect(path)) as thief:
            ignoring = "BEGIN SELECT RAISE(IGNORE); END"
            thief.execute(f"CREATE TRIGGER quiet BEFORE INSERT ON entry {ignoring}")
        with pytest.raises(AuditFailed, match="not recorded"):
            book.record(access())
        with contextlib.closing(sqlite3.connect(path)) as thief:
            thief.execute("DROP TRIGGER quiet")
        assert book.record(access()) == 2


def test_a_checkpoint_that_is_kept_is_never_given_up(tmp_path):
    keeper = FolderKeeper(tmp_path)
    for note in ("first", "first", "second", "second"):
        keeper.keep("l-000000000003.checkpoint", note)
    assert sorted(notes_in(tmp_path)) == ["first", "second"]
    assert (tmp_path / "l-000000000003.checkpoint").read_text() == "first"
    assert {path.suffix for path in tmp_path.iterdir()} == {".checkpoint"}


def test_what_cannot_be_written_raises(path):
    with ledger(path) as book:
        book.record(access())
        thief = sqlite3.connect(path, isolation_level=None)
        thief.execute("DROP TABLE entry")
        with pytest.raises(AuditFailed):
            book.record(access())
        assert book.failure
    with pytest.raises(AuditFailed, match="closed"):
        book.record(access())


def test_a_keeper_that_fails_is_told_again(path):
    class Forgetful:
        name = "s3"

        def __init__(self):
            self.kept, self.refusals = {}, 2

        def keep(self, file_name, note):
            if self.refusals:
                self.refusals -= 1
                raise StoreError("The bucket does not answer.")
            self.kept[file_name] = note

    keeper = Forgetful()
    for _ in range(3):
        with ledger(path, keepers=[keeper]) as book:
            book.record(access())
    assert len(keeper.kept) == 3
    assert verified(path, keys=KEYS, notes=list(keeper.kept.values())).findings == ()


def test_checkpoints_are_put_to_a_url():
    sent = {}

    def put(url, body, headers):
        assert headers == {"If-None-Match": "*"}
        sent[url] = body
        return 200 if "bucket" in url else 403

    UrlKeeper("https://s3.test/bucket/audit/?X-Sig=1", put).keep("a.checkpoint", "note\n")
    assert sent == {"https://s3.test/bucket/audit/a.checkpoint?X-Sig=1": b"note\n"}
    with pytest.raises(StoreError, match="403"):
        UrlKeeper("https://other.test/x", put).keep("a.checkpoint", "note")
    names = ("/mnt/a", "https://s3.test/b")
    kinds = [type(one).__name__ for one in keepers_of(AuditSettings(checkpoints=names), put)]
    assert kinds == ["FolderKeeper", "UrlKeeper"]


@pytest.mark.parametrize("place", ["ftp://x/y", "http://other.test/x", "https:///nowhere"])
def test_checkpoints_travel_protected_or_not_at_all(place):
    with pytest.raises(ValueError, match="http"):
        AuditSettings(checkpoints=(place,))


def test_keys_are_their_owners_only(tmp_path):
    keys = keys_of(tmp_path / "k", make=True)
    assert keys == keys_of(tmp_path / "k", make=True)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    os.chmod(tmp_path / "k", 0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keys_of(tmp_path / "k", make=True)
    (tmp_path / "broken").write_text("{}")
    for name in ("broken", "absent"):
        with pytest.raises(ConfigurationError):
            keys_of(tmp_path / name, make=False)


ENDED_WHILE_MAKING_KEYS = """
import os, sys
from pathlib import Path
from twin_core.audit import keys_of

link = os.link
if sys.argv[2] == "before":
    os.link = lambda *_: os._exit(9)
else:
    os.link = lambda *names: (link(*names), os._exit(9))
keys_of(Path(sys.argv[1]), make=True)
"""


@pytest.mark.parametrize("ended", ["before", "behind"])
def test_no_second_copy_of_the_keys_outlives_the_next_start(ended, tmp_path):
    path, other = tmp_path / "w.audit.keys", tmp_path / ".w.audit.keys.old"
    other.write_text("somebody's own")
    done = subprocess.run([sys.executable, "-c", ENDED_WHILE_MAKING_KEYS, path, ended], check=False)
    assert done.returncode == 9
    assert len(list(tmp_path.iterdir())) >= 2
    left = path.read_bytes() if path.exists() else None
    keys_of(path, make=True)
    assert set(tmp_path.iterdir()) == {path, other}
    assert left in (None, path.read_bytes())
    assert path.stat().st_nlink == 1


def test_a_ledger_is_not_continued_by_other_keys(tmp_path):
    store = tmp_path / "w.duckdb"
    with open_ledger(AuditSettings(), store, None) as book:
        book.record(access())
    with pytest.raises(AuditFailed, match="not those of this ledger"):
        Ledger(ledger_path(store), KEYS, Ticking())
    (tmp_path / "w.duckdb.audit.keys").unlink()
    with pytest.raises(ConfigurationError, match="missing"):
        audit_keys(AuditSettings(), store)


def test_the_public_key_is_written_for_others():
    for _ in range(20):
        public = AuditKeys.made().public()
        assert public_key(verifier_line("5e1d", public)) == ("5e1d", public)
    line = verifier_line("5e1d", KEYS.public())
    for wrong in ("", "a+b+c", line.replace("5e1d", "5e1e"), line[:-4]):
        with pytest.raises(UsageError):
            public_key(wrong)


ACTS = ("read", "search", "create", "update", "delete", "execute", "login", "alert")


@pytest.mark.parametrize("outcome", ["success", "refused", "failed"])
@pytest.mark.parametrize("act", ACTS)
def test_entries_are_audit_events_of_balp(act, outcome, path):
    with ledger(path) as book:
        book.record(access(act=act, outcome=outcome, patients=("p1", "p2")))
        book.record(access(act=act, outcome=outcome, who=Actor(id="x", kind="unknown")))
    reader = LedgerReader(path)
    events = [
        event
        for entry in reader.entries()
        for event in audit_events(entry, reader.patients(entry), reader.ledger_id())
    ]
    reader.close()
    assert len(events) == 3
    assert len({event["id"] for event in events}) == 3
    for event in events:
        assert judge(event, Release.R4B) == []
        assert {"110152", "110153"} == {
            agent["type"]["coding"][0]["code"]
            for agent in event["agent"]
            if agent["requestor"] is False
        }
        profiles = event.get("meta", {}).get("profile", [])
        assert bool(profiles) == (outcome == "success" and act in ACTS[:5])
        if profiles:
            _holds_to_balp(event, profiles[0].removeprefix(BALP))


def _holds_to_balp(event, profile):
    """The cardinalities and fixed codes of the BALP profiles, as IHE publishes them."""
    patient = profile.startswith("Patient")
    action, client = {
        "Read": ("R", "110152"),
        "Query": ("E", "110153"),
        "Create": ("C", "110153"),
        "Update": ("U", "110153"),
        "Delete": ("D", "110153"),
    }[profile.removeprefix("Patient")]
    assert (event["action"], event["outcome"], event["type"]["code"]) == (action, "0", "rest")
    assert event["agent"][0]["type"]["coding"][0]["code"] == client
    assert "network" not in event["agent"][2]
    assert all("network" in agent and "who" in agent for agent in event["agent"][:2])
    roles = [entity["role"]["code"] for entity in event["entity"]]
    assert roles == (["24"] if action == "E" else ["4"]) + (["1"] if patient else [])
    if action == "E":
        query = event["entity"][0]
        assert "what" not in query
        assert query["query"]
