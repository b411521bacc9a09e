"""Backups that can be believed, stores made of them, and files that are replaced together."""

import fcntl
import io
import itertools
import json
import os
import re
import shlex
import shutil
import sqlite3
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from api.cli import main, parsed
from api.encryption import encryption_of
from twin_core import Twin
from twin_core.encryption import StoreKey, write_key
from twin_core.errors import ConfigurationError, StoreBusy, StoreError, TwinError, WrongKey
from twin_core.events import Admitted, Demographics, Envelope, PatientDescribed, Translation
from twin_core.identifiers import Identifier, Place
from twin_core.inbox import Receipt
from twin_core.settings import EncryptionSettings, Settings, StoreSettings
from twin_core.store import replacing
from twin_core.store.backup import MANIFEST, restore
from twin_core.store.cipher import is_encrypted
from twin_core.store.database import connect
from twin_core.store.sums import table_sums

EIGHT = datetime(2026, 11, 1, 8, tzinfo=UTC)
PLANTED = "ZQXWVPLANTED"
STAYS = "FROM core.stay_version WHERE known_to = 'infinity'"
ROOT = Path(__file__).resolve().parents[2]
KEY, OTHER = StoreKey(bytes(range(32))), StoreKey(bytes(range(1, 33)))


@pytest.fixture(scope="module", autouse=True)
def _without_views():
    """Views and macros are most of the work of making a store, and hold nothing of a patient."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twin_core.twin.known_kpis", lambda folder: {})
        for module in ("twin_core.twin", "twin_core.store.opening"):
            patch.setattr(f"{module}.install_views", lambda *words: None)
        yield


def opened(path: Path, key: StoreKey | None) -> Twin:
    told = SecretStr(key.written()) if key else None
    return Twin.open(path, settings=Settings(encryption=EncryptionSettings(key=told)))


def admission(n: int) -> Receipt:
    person = (Identifier("urn:mrn", f"{PLANTED}-{n}", "MR"),)
    described = PatientDescribed(
        occurred_at=EIGHT, patient=person, demographics=Demographics(family_name=PLANTED)
    )
    admitted = Admitted(
        occurred_at=EIGHT,
        entered_at=EIGHT,
        patient=person,
        encounter=(Identifier("urn:visit", f"V{n}", "VN"),),
        place=Place("H", "ICU", "1", str(n)),
    )
    envelope = Envelope(
        feed="main",
        sender="ADT|H",
        control_id=f"A{n}",
        trigger_event="ADT^A01",
        sent_at=EIGHT,
        digest=str(n).encode().ljust(16),
    )
    raw = f"PID|1||{n}^{PLANTED}".encode()
    outcome = Translation(envelope=envelope, events=(described, admitted))
    return Receipt(format="hl7v2", feed="main", raw=raw, outcome=outcome, origin="test")


def contents(path: Path, key: StoreKey | None) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of a store's database."""
    with closing(connect(path, key=key.database if key else None, read_only=True)) as connection:
        tables = [name for name in table_sums(connection) if name != "meta"]
        return {
            name: connection.execute(f"FROM core.{name} ORDER BY ALL").fetchall() for name in tables
        }


def showing(folder: Path) -> set[str]:
    planted = PLANTED.encode()
    return {
        path.name for path in folder.rglob("*") if path.is_file() and planted in path.read_bytes()
    }


Kept = tuple[StoreKey | None, Path, dict[str, list[dict[str, object]]]]
"""A key, the folder of a store that moved on after its backup, and what it held before."""


def with_backup(folder: Path, key: StoreKey | None) -> Kept:
    with opened(folder / "x.duckdb", key) as twin:
        twin.receive([admission(n) for n in range(20)])
        twin.wait_applied()
        (folder / "backup").mkdir()
        (folder / "backup" / "x.duckdb.outbound").write_bytes(b"how far others were fed")
        twin.backup(folder / "backup", [folder / "backup" / "x.duckdb.outbound"])
        held = {name: twin.query(f"FROM core.{name} ORDER BY ALL") for name in ("message", "event")}
        twin.receive([admission(99)])
    return key, folder, held


@pytest.fixture(scope="module", name="plain")
def _plain(tmp_path_factory):
    return with_backup(tmp_path_factory.mktemp("open"), None)


@pytest.fixture(scope="module", name="sealed")
def _sealed(tmp_path_factory):
    return with_backup(tmp_path_factory.mktemp("encrypted"), KEY)


@pytest.fixture(params=["plain", "sealed"])
def backed_up(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def store(plain, tmp_path):
    """The open one of the stores, to be written to."""
    for suffix in ("", ".inbox"):
        shutil.copy(plain[1] / f"x.duckdb{suffix}", tmp_path)
    return tmp_path / "x.duckdb"


def test_a_restored_store_is_the_one_that_was_backed_up_and_goes_on(backed_up, tmp_path):
    key, folder, held = backed_up
    path = tmp_path / "new" / "hospital.duckdb"
    manifest = restore(folder / "backup", path, key)
    assert (manifest.position, manifest.inbox.high) == (20, 20)
    assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {
        "hospital.duckdb": 0o600,
        "hospital.duckdb.inbox": 0o600,
        "hospital.duckdb.outbound": 0o600,
    }
    assert contents(path, key) == contents(folder / "backup" / "x.duckdb", key)
    assert bool(showing(tmp_path)) == bool(showing(folder / "backup")) == (key is None)
    with opened(path, key) as twin:
        for name, rows in held.items():
            assert twin.query(f"FROM core.{name} ORDER BY ALL") == rows
        repeated, new = twin.receive([admission(3), admission(40)])
        assert (repeated.status, new.status, new.position) == ("duplicate", "accepted", 21)
        twin.wait_applied()
        assert len(twin.query(STAYS)) == 21


def test_a_restore_replaces_nothing(backed_up, tmp_path):
    key, folder, _ = backed_up
    path = tmp_path / "x.duckdb"
    for suffix in ("", ".inbox", ".outbound", ".wal", ".sources", ".audit", ".access"):
        there = Path(f"{path}{suffix}")
        there.write_text("somebody's")
        with pytest.raises(StoreError, match="exists already"):
            restore(folder / "backup", path, key)
        assert [file.name for file in tmp_path.iterdir()] == [there.name]
        assert there.read_text() == "somebody's"
        there.unlink()


def damaged(folder: Path, how: str) -> None:
    inbox = folder / "x.duckdb.inbox"
    if how == "byte":
        whole = bytearray((folder / "x.duckdb").read_bytes())
        whole[-100] ^= 1
        (folder / "x.duckdb").write_bytes(whole)
    elif how == "cut":
        inbox.write_bytes(inbox.read_bytes()[:-1])
    elif how == "older half":
        with closing(sqlite3.connect(inbox)) as db, db:
            db.execute("DELETE FROM digest")
    elif how == "manifest":
        told = json.loads((folder / MANIFEST).read_text())
        told["manifest"]["position"] += 1
        (folder / MANIFEST).write_text(json.dumps(told))
    elif how == "no manifest":
        (folder / MANIFEST).write_text("{")
    else:
        (folder / how).unlink()


@pytest.mark.parametrize(
    "how",
    [
        "byte",
        "cut",
        "older half",
        "manifest",
        "no manifest",
        MANIFEST,
        "x.duckdb",
        "x.duckdb.inbox",
        "x.duckdb.outbound",
    ],
)
def test_half_a_backup_and_a_damaged_one_are_refused_and_leave_nothing(backed_up, tmp_path, how):
    key, folder, _ = backed_up
    shutil.copytree(folder / "backup", tmp_path / "backup")
    damaged(tmp_path / "backup", how)
    (tmp_path / "to").mkdir()
    with pytest.raises(StoreError):
        restore(tmp_path / "backup", tmp_path / "to" / "x.duckdb", key)
    assert not list((tmp_path / "to").iterdir())


def test_the_key_vouches_for_what_the_manifest_says(sealed, tmp_path):
    _, folder, _ = sealed
    shutil.copytree(folder / "backup", tmp_path / "backup")
    manifest = tmp_path / "backup" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"made_at": "2', '"made_at": "3'))
    with pytest.raises(StoreError, match="was changed"):
        restore(tmp_path / "backup", tmp_path / "x.duckdb", KEY)


def test_a_backup_from_before_a_table_of_the_inbox_is_restored(plain, tmp_path):
    _, folder, _ = plain
    shutil.copytree(folder / "backup", tmp_path / "backup")
    manifest = tmp_path / "backup" / MANIFEST
    told = json.loads(manifest.read_text())
    [sums] = [part for part in told["manifest"]["inbox"] if isinstance(part, dict)]
    assert sums.pop("recent_digest")[0] == 0
    manifest.write_text(json.dumps(told))
    restore(tmp_path / "backup", tmp_path / "x.duckdb", None)


def test_a_backup_is_restored_by_its_own_key_only(backed_up, tmp_path):
    key, folder, _ = backed_up
    refused: list[tuple[StoreKey | None, type[TwinError]]] = [
        (None, ConfigurationError),
        (OTHER, WrongKey),
    ]
    for other, error in refused if key else [(KEY, StoreError)]:
        with pytest.raises(error) as said:
            restore(folder / "backup", tmp_path / "x.duckdb", other)
        assert not any(k.written() in str(said.value) for k in (KEY, OTHER))
    assert not list(tmp_path.iterdir())


def digests(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"{path}.inbox")) as db:
        return db.execute("SELECT * FROM digest ORDER BY 1, 2").fetchall()


def test_a_copy_that_differs_replaces_nothing(store, monkeypatch):
    copy = "twin_core.store.rekeying.copy_tables"
    monkeypatch.setattr(copy, lambda cursor, file, leave_out, key: _half_copied(cursor, file, key))
    with opened(store, None) as twin, pytest.raises(StoreError, match="Different are: event"):
        twin.rekey(KEY)
    assert {file.name for file in store.parent.iterdir()} == {"x.duckdb", "x.duckdb.inbox"}
    with opened(store, None) as twin:
        assert len(twin.query(STAYS)) == 21


def _half_copied(cursor, file, key):
    from twin_core.store.replica import copy_tables

    copy_tables(cursor, file, frozenset({"event"}), key=key)


class Ended(BaseException):
    """A program that ends, whatever it is doing."""


CALLS = [
    (os, "replace"),
    (os, "fsync"),
    (Path, "unlink"),
    (Path, "touch"),
    (Path, "mkdir"),
    (shutil, "rmtree"),
]


def run_until(call: int, work) -> bool:
    """Do some work and end it before a certain call of the system; whether it came to its end."""
    calls = itertools.count()

    def ending(original):
        def called(*words, **named):
            if next(calls) >= call:
                raise Ended
            return original(*words, **named)

        return called

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CALLS:
            patch.setattr(owner, name, ending(getattr(owner, name)))
        try:
            work()
        except Ended:
            return False
    return True


FILES = ("x", "x.inbox")


def written(path: Path) -> None:
    with replacing.replacement(path) as fresh:
        for name in FILES:
            (fresh.folder / name).write_text("new")
        fresh.finish()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 30))
def test_files_are_replaced_together_whatever_ends_it(tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("together")
    path = folder / "x"
    for name in FILES:
        (folder / name).write_text("old")
    (folder / "x.wal").write_text("of the old")
    run_until(first, lambda: written(path))
    run_until(second, lambda: replacing.settle(path))
    replacing.settle(path)
    found = {file.name: file.read_text() for file in folder.iterdir()}
    wal = found.pop("x.wal", None)
    assert found in ({n: "old" for n in FILES}, {n: "new" for n in FILES})
    assert wal == ("of the old" if found["x"] == "old" else None)
    shutil.rmtree(folder)


def test_every_moment_is_tried(tmp_path):
    path = tmp_path / "x"
    assert not run_until(12, lambda: written(path))
    replacing.settle(path)
    assert run_until(40, lambda: written(path))


def test_nobody_opens_a_store_while_its_files_are_replaced(tmp_path):
    path = tmp_path / "x.duckdb"
    with replacing.replacement(path), pytest.raises(StoreBusy, match="being replaced"):
        opened(path, None)
    folder = replacing.replacement_path(path)
    folder.mkdir()
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreBusy), replacing.replacement(path):
            pass
    replacing.settle(path)
    assert not list(tmp_path.iterdir())


def test_a_store_that_was_ready_under_another_key_is_there_at_the_next_start(store, monkeypatch):
    def ends(*words):
        raise Ended

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", ends)
        twin = opened(store, None)
        with pytest.raises(Ended):
            twin.rekey(KEY)
        twin.close()
    with pytest.raises(ConfigurationError, match="no key is set"):
        opened(store, None)
    with opened(store, KEY) as twin:
        assert len(twin.query(STAYS)) == 21
    assert showing(store.parent) == set()


@pytest.mark.parametrize(
    ("key", "encrypted", "verdict"),
    [
        (None, None, "ok"),
        (None, False, "ok"),
        (None, True, "fail"),
        (KEY, None, "ok"),
        (KEY, False, "fail"),
        (KEY, True, "ok"),
    ],
)
def test_the_doctor_says_whether_store_and_key_go_together(
    request, tmp_path, key, encrypted, verdict
):
    path = tmp_path / "none"
    if encrypted is not None:
        path = request.getfixturevalue("sealed" if encrypted else "plain")[1] / "x.duckdb"
    told = SecretStr(key.written()) if key else None
    found = encryption_of(Settings(store=StoreSettings(path=path), encryption={"key": told}))
    assert (found.verdict, found.encrypted) == (verdict, encrypted)
    assert key is None or (key.fingerprint in found.said and key.written() not in found.said)


def test_a_key_in_the_folder_of_the_store_is_a_finding(tmp_path):
    write_key(tmp_path / "key", KEY)
    store = StoreSettings(path=tmp_path / "x.duckdb")
    found = encryption_of(Settings(store=store, encryption={"key_file": tmp_path / "key"}))
    assert found.verdict == "warn"


def test_what_the_guide_says_can_be_typed():
    guide = (ROOT / "docs/how-to/encrypt-the-store.md").read_text("utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", guide, re.DOTALL)
    typed = [
        shlex.split(line, comments=True)
        for kind, block in blocks
        for line in block.splitlines()
        if kind == "sh" and line.startswith("wardtwin")
    ]
    assert len(typed) > 5
    for words in typed:
        assert parsed(words[1:]).run
    [toml] = [block for kind, block in blocks if kind == "toml"]
    told = Settings.model_validate(tomllib.loads(toml)).encryption
    assert told.key_file is not None


def test_the_commands_from_a_key_to_a_restored_store(store, tmp_path):
    def wardtwin(*words: str, key: Path | None = None) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        environ = {"WARDTWIN_ENCRYPTION__KEY_FILE": str(key)} if key else {}
        store = ("--db", str(tmp_path / "x.duckdb"))
        status = main([*words, *store, "--json"], environ=environ, out=out, err=err)
        return status, out.getvalue(), err.getvalue()

    one, two = tmp_path / "one.key", tmp_path / "two.key"
    assert wardtwin("store", "new-key", str(one))[0] == 0
    assert wardtwin("store", "new-key", str(one))[0] == 3
    write_key(two, OTHER)
    before = contents(store, None), digests(store)
    assert wardtwin("store", "status")[0] == 0
    assert wardtwin("store", "status", key=one)[0] == 1
    assert wardtwin("store", "encrypt")[0] == 3
    status, out, err = wardtwin("store", "encrypt", key=one)
    assert status == 0, err
    assert wardtwin("store", "status", key=one)[0] == 0
    assert wardtwin("store", "rotate-key", str(one), key=one)[0] == 2
    status, out, err = wardtwin("store", "rotate-key", str(two), key=one)
    assert (status, json.loads(out)["key"]) == (0, OTHER.fingerprint), err
    assert (contents(store, OTHER), digests(store)) == before
    assert showing(tmp_path) == set()
    assert wardtwin("backup", str(tmp_path / "backup"), key=one)[0] == 5
    status, out, err = wardtwin("backup", str(tmp_path / "backup"), key=two)
    assert status == 0, err
    assert MANIFEST in {Path(file).name for file in json.loads(out)["backup"]}
    to = str(tmp_path / "restored" / "y.duckdb")
    assert wardtwin("restore", str(tmp_path / "backup"), to)[0] == 3
    assert wardtwin("restore", str(tmp_path / "backup"), to, key=one)[0] == 5
    status, out, err = wardtwin("restore", str(tmp_path / "backup"), to, key=two)
    assert status == 0, err
    assert json.loads(out)["messages_applied"] == 21
    assert wardtwin("restore", str(tmp_path / "backup"), to, key=two)[0] == 5
    status, out, err = wardtwin("store", "decrypt", key=two)
    assert status == 0, err
    assert is_encrypted(store) is False
    assert (contents(store, None), digests(store)) == before
    with closing(sqlite3.connect(f"{store}.inbox")) as db:
        assert db.execute("SELECT * FROM meta WHERE key = 'sealing'").fetchall() == []
