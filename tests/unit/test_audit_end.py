"""A ledger's file that was cut, put back, or built upon: what remembers its end tells."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.ledgers import KEYS, access, ledger
from twin_core.audit import Cadence, FolderKeeper, LedgerReader, verified

LATE = Cadence(entries=1_000_000, seconds=1e9)
"""No checkpoint until the ledger is closed."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.duckdb.audit"


def found(path, **how):
    told = verified(path, keys=KEYS, **{"remembered": True, **how}).findings
    return [(one.kind, one.first, one.last) for one in told]


def copied(path: Path, folder: Path) -> None:
    """The ledger as it is on disk now, its log and what remembers its end included."""
    folder.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copyfile(file, folder / file.name)


def changed(path, *statements):
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


def whats(path):
    reader = LedgerReader(path)
    told = [(entry.act, entry.outcome) for entry in reader.entries()]
    reader.close()
    return told


def four(path):
    """Two entries under a checkpoint, and two behind it, as after a crash."""
    with ledger(path) as book:
        book.record(access())
        book.record(access())
    with ledger(path, cadence=LATE) as book:
        book.record(access())
        book.record(access())
        copied(path, path.parent / "crashed")
    return path.parent / "crashed" / path.name


GUARDS = ("DROP TRIGGER entry_stays", "DROP TRIGGER entry_is_final")
GUARD = (
    "CREATE TRIGGER {} BEFORE {} ON entry\n"
    "    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
)
PUT_BACK = (GUARD.format("entry_stays", "DELETE"), GUARD.format("entry_is_final", "UPDATE"))


def test_a_tail_that_was_cut_off_behind_the_last_checkpoint_is_missed(path):
    crashed = four(path)
    assert found(crashed) == []
    changed(crashed, *GUARDS, "DELETE FROM entry WHERE seq > 3", *PUT_BACK)
    assert ("truncation", 4, 4) in found(crashed)
    changed(crashed, "DELETE FROM meta WHERE key = 'tip'")
    assert found(crashed, remembered=False) == [("truncation", 3, 3)]


def test_an_older_file_put_back_is_told_by_what_is_beside_it_and_stays_told(path):
    with ledger(path) as book:
        book.record(access())
    copied(path, path.parent / "older")
    with ledger(path) as book:
        book.record(access())
        book.record(access())
    for file in (path.parent / "older").iterdir():
        if not file.name.endswith(".tip"):
            shutil.copyfile(file, path.parent / file.name)
    assert found(path) == [("truncation", 2, 3)]
    with ledger(path) as book:
        # Who opens it says so in the ledger itself, once, and takes nothing from what is beside.
        for _ in range(4):
            book.record(access())
    assert whats(path) == [("read", "success"), ("alert", "failed"), *[("read", "success")] * 4]
    assert found(path) == [("re-chaining", 3, 3)]
    with ledger(path):
        pass
    assert len(whats(path)) == 6
    assert found(path) == [("re-chaining", 3, 3)]


def test_what_remembers_the_end_is_missed_and_its_loss_is_recorded(path):
    with ledger(path) as book:
        book.record(access())
    path.with_name(path.name + ".tip").unlink()
    assert found(path) == [("truncation", 1, 1)]
    assert found(path, remembered=False) == []
    with ledger(path):
        pass
    assert whats(path) == [("read", "success"), ("alert", "failed")]
    assert found(path) == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER quiet BEFORE INSERT ON entry BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER later AFTER INSERT ON texts BEGIN DELETE FROM texts; END",
        "CREATE VIEW entries AS SELECT * FROM entry",
        "CREATE TABLE more (n)",
        "CREATE INDEX by_body ON entry (body)",
        "ALTER TABLE entry ADD COLUMN more",
        "DROP TRIGGER entry_stays",
    ],
)
def test_what_was_added_to_the_file_or_taken_from_it_is_told(path, statement):
    with ledger(path) as book:
        book.record(access())
    changed(path, statement)
    assert found(path) == [("schema", 0, 0)]


def test_what_keeps_checkpoints_from_their_keepers_is_told(path, tmp_path):
    with ledger(path, keepers=[FolderKeeper(tmp_path / "kept")]) as book:
        book.record(access())
    assert found(path) == []
    changed(path, "UPDATE kept SET size = 1000000")
    assert found(path) == [("checkpoint", 2, 1_000_000)]
    changed(path, "UPDATE kept SET size = 1", "UPDATE checkpoint SET subtrees = zeroblob(32)")
    assert found(path) == [("checkpoint", 0, 1)]


WRITER = """
import sys
from pathlib import Path
from twin_core.audit import Access, Actor, AuditKeys, Ledger
from twin_core.clock import SystemClock
book = Ledger(Path(sys.argv[1]), AuditKeys(b"s" * 32, b"n" * 32), SystemClock())
seen = Access(who=Actor(id="n7", kind="key"), act="read", what="sql", outcome="success")
while True:
    print(book.record(seen), flush=True)
"""
ROOT = Path(__file__).resolve().parents[2]


def test_a_kill_makes_no_ledger_look_cut(path):
    """At whatever it was: once right after the first entry, and later twice more."""
    for entries in (1, 30, 3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        with writer:
            told = [int(writer.stdout.readline()) for _ in range(entries)]
            writer.send_signal(signal.SIGKILL)
        assert found(path) == []
    assert verified(path, keys=KEYS).entries >= told[-1]
    with ledger(path):
        pass
    assert ("alert", "failed") not in whats(path)


def test_two_that_write_to_one_ledger_leave_it_whole(path):
    with ledger(path) as server, ledger(path) as command:
        for book in (server, command, server):
            book.record(access())
        with ledger(path) as third:
            third.record(access())
        assert found(path) == []
    assert found(path) == []
    assert whats(path) == [("read", "success")] * 4


@pytest.mark.parametrize("gone", ["meta WHERE key = 'ledger_id'", "meta"])
def test_a_ledger_whose_own_name_was_taken_out_is_told_and_read(path, gone):
    with ledger(path) as book:
        book.record(access())
        book.record(access())
    changed(path, f"DELETE FROM {gone}")
    for how in ({}, {"remembered": False}):
        assert found(path, **how)
    assert len(whats(path)) == 2
