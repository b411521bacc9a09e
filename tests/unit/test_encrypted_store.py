"""A store with a key: nothing of a patient can be read in its files, and nothing else changes.

Every search for plain text is run on an open store too, which must be found out by it.
"""

import io
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from pydantic import SecretStr

from api.cli import main
from api.replica import Replica
from twin_core import Twin
from twin_core.clock import SystemClock
from twin_core.encryption import StoreKey
from twin_core.errors import ConfigurationError, StoreError, TwinError, WrongKey
from twin_core.events import (
    Admitted,
    Demographics,
    Envelope,
    Fault,
    PatientDescribed,
    Rejection,
    Translation,
)
from twin_core.identifiers import Identifier, Place
from twin_core.inbox import Inbox, Receipt
from twin_core.settings import EncryptionSettings, Settings, StoreSettings
from twin_core.store.cipher import is_encrypted, load_cipher
from twin_core.store.database import Database, connect
from twin_core.store.mirror import Mirror
from twin_core.store.projector import Projector

EIGHT = datetime(2026, 11, 1, 8, tzinfo=UTC)
PLANTED = "ZQXWVPLANTED"
KEY, OTHER = StoreKey(bytes(range(32))), StoreKey(bytes(range(1, 33)))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def _without_views():
    """Views and macros are most of the work of making a store, and hold nothing of a patient."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twin_core.twin.known_kpis", lambda folder: {})
        for module in ("twin_core.twin", "twin_core.store.opening"):
            patch.setattr(f"{module}.install_views", lambda *words: None)
        yield


def settings(key: StoreKey | None) -> Settings:
    told = SecretStr(key.written()) if key else None
    return Settings(
        encryption=EncryptionSettings(key=told), store=StoreSettings(query_timeout_s=180)
    )


def opened(path: Path, key: StoreKey | None, *, create: bool = True) -> Twin:
    return Twin.open(path, settings=settings(key), create=create)


def admission(n: int) -> Receipt:
    person = (Identifier("urn:mrn", f"{PLANTED}-{n}", "MR"),)
    named = Demographics(family_name=PLANTED, given_name=f"{PLANTED} {n}")
    described = PatientDescribed(occurred_at=EIGHT, patient=person, demographics=named)
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
    outcome = Translation(envelope=envelope, events=(described, admitted))
    raw = f"PID|1||{n}^{PLANTED}".encode()
    return Receipt(format="hl7v2", feed="main", raw=raw, outcome=outcome, origin="test")


def rejected() -> Receipt:
    fault = Fault(where="PV1^1^44", code="102", reason="is no date")
    outcome = Rejection(code="AE", faults=(fault,), feed="main", sender="ADT|H", control_id="R1")
    raw = f"bad {PLANTED}".encode()
    return Receipt(format="hl7v2", feed="main", raw=raw, outcome=outcome, origin="test")


def showing(folder: Path) -> set[str]:
    """The files anywhere below a folder in which the planted name can be read."""
    planted = PLANTED.encode()
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in found if planted in path.read_bytes()}


def stays(twin: Twin) -> list[dict[str, object]]:
    return twin.query(
        "SELECT family_name, given_name, unit, bed, from_at FROM core.stay_version"
        " JOIN core.patient_version USING (patient_id) ORDER BY ALL"
    )


class Life(NamedTuple):
    """Files that showed the planted name, and what the store answered."""

    showed: set[str]
    answers: list[object]


def lived(folder: Path, key: StoreKey | None, monkeypatch: pytest.MonkeyPatch) -> Life:
    """What becomes of a store, with a look at all of its files after every step."""
    path, showed, answers = folder / "x.duckdb", set[str](), list[object]()
    with opened(path, key) as twin:
        twin.receive([*(admission(n) for n in range(20)), rejected()])
        showed |= showing(folder)
        twin.wait_applied()
        staging = twin.staging()
        file = staging.begin("digest", "main", "file", EIGHT)
        staging.add(file, [0], [PLANTED.encode()])
        showed |= showing(folder)
        replica = Replica(twin)
        answers.append(replica.query("SELECT family_name FROM core.patient_version").rows)
        showed |= showing(folder)
        answers.append(stays(twin))
        replica.close()
        twin.rebuild(progress=lambda done, total: showed.update(showing(folder)))
        answers.append(stays(twin))
    showed |= showing(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Projector, "start", lambda self: None)
        with opened(path, key) as twin:
            twin.receive([admission(30)])
    showed |= showing(folder)
    with opened(path, key) as twin:
        answers.append(stays(twin))
    return Life(showed | showing(folder), answers)


def test_no_file_of_an_encrypted_store_shows_a_name_and_it_answers_as_an_open_one(
    tmp_path, monkeypatch
):
    lives = {}
    for name, key in (("open", None), ("encrypted", KEY)):
        (tmp_path / name).mkdir()
        lives[name] = lived(tmp_path / name, key, monkeypatch)
    assert lives["encrypted"].showed == set()
    assert lives["open"].showed >= {
        "x.duckdb",
        "x.duckdb.wal",
        "x.duckdb.inbox",
        "x.duckdb.inbox-wal",
        "x.duckdb.rebuild.wal",
        "x.duckdb.replica/copy.duckdb",
    }
    assert lives["encrypted"].answers == lives["open"].answers
    assert PLANTED in str(lives["open"].answers[0])


SPILLING = (
    f"CREATE TEMP TABLE big AS SELECT '{PLANTED}' || i || repeat('x', 100) AS name"
    " FROM range(400000) r(i)"
)


@pytest.mark.parametrize("key", [None, KEY])
def test_what_does_not_fit_into_memory_is_spilled_beside_the_store_and_encrypted(tmp_path, key):
    connection = connect(
        tmp_path / "x.duckdb", memory_limit="24MB", key=key.database if key else None
    )
    connection.execute("SET threads = 1; SET preserve_insertion_order = false")
    connection.execute(SPILLING)
    spilled = list((tmp_path / "x.duckdb.tmp").iterdir())
    assert sum(file.stat().st_size for file in spilled) > 1_000_000
    assert bool(showing(tmp_path)) == (key is None)
    connection.close()


@pytest.mark.parametrize("name", ["open", "encrypted"])
def test_what_figures_of_now_are_computed_from_is_spilled_beside_the_store_too(stores, name):
    key = KEY.database if name == "encrypted" else None
    database, mirror = Database(stores / f"{name}.duckdb", key=key), Mirror((), ())
    mirror.copy(database, "SELECT 1", {"core.patient": "FROM core.patient_version"})
    [told] = mirror.rows(
        "SELECT current_setting('temp_directory') AS folder,"
        " current_setting('temp_file_encryption') AS encrypted"
    )
    assert Path(str(told["folder"])).parent == stores
    assert told["encrypted"] == (key is not None)
    mirror.close()
    database.close()


def test_what_was_spilled_before_a_crash_is_gone_at_the_next_start(stores):
    spilled = stores / "open.duckdb.tmp" / "duckdb_temp_storage_DEFAULT-0.tmp"
    spilled.parent.mkdir()
    spilled.write_text(PLANTED)
    with opened(stores / "open.duckdb", None):
        assert not spilled.exists()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """An encrypted and an open store, each with a patient."""
    folder = tmp_path_factory.mktemp("stores")
    for name, key in (("encrypted", KEY), ("open", None)):
        with opened(folder / f"{name}.duckdb", key) as twin:
            twin.receive([admission(1)])
    return folder


@pytest.mark.parametrize(
    ("name", "key", "error", "says"),
    [
        ("encrypted", None, ConfigurationError, "is encrypted, and no key is set"),
        ("encrypted", OTHER, WrongKey, "is encrypted by another key"),
        ("open", KEY, StoreError, "is not encrypted, and a key is set"),
    ],
)
def test_a_store_opens_by_its_own_key_only(stores, name, key, error, says):
    with pytest.raises(error, match=says) as refused:
        opened(stores / f"{name}.duckdb", key)
    said = str(refused.value) + repr(refused.value)
    for secret in (KEY, OTHER):
        assert secret.written() not in said
        assert secret.database not in said
    with opened(stores / f"{name}.duckdb", KEY if name == "encrypted" else None) as twin:
        assert len(stays(twin)) == 1


def test_halves_under_different_keys_are_refused(tmp_path, stores):
    shutil.copy(stores / "encrypted.duckdb", tmp_path / "a")
    Inbox(tmp_path / "a.inbox", SystemClock(), key=OTHER).close()
    with pytest.raises(WrongKey, match="inbox"):
        opened(tmp_path / "a", KEY)


def test_a_file_says_whether_it_is_encrypted(stores, tmp_path):
    for name, truth in (("encrypted", True), ("open", False)):
        path = stores / f"{name}.duckdb"
        assert is_encrypted(path) is truth
        connection = connect(path, key=KEY.database if truth else None)
        [said] = connection.execute(
            "SELECT encrypted, cipher FROM duckdb_databases() WHERE database_name = 'wardtwin'"
        ).fetchall()
        assert said == (truth, "GCM" if truth else None)
        connection.close()
    (tmp_path / "other").write_bytes(b"x" * 100)
    assert is_encrypted(tmp_path / "other") is None
    assert is_encrypted(tmp_path / "none") is None


def test_a_damaged_page_is_an_error_of_the_store(stores, tmp_path):
    path = tmp_path / "x.duckdb"
    for suffix in ("", ".inbox"):
        shutil.copy(stores / f"encrypted.duckdb{suffix}", f"{path}{suffix}")
    whole = bytearray(path.read_bytes())
    for at in range(12_288, len(whole), 4_096):
        whole[at] ^= 1
    path.write_bytes(whole)
    with pytest.raises(StoreError) as refused:
        opened(path, KEY)
    assert KEY.database not in str(refused.value)


def test_encryption_needs_neither_a_home_folder_nor_a_network(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    program = (
        "import sys; from pathlib import Path; from twin_core.store.database import connect\n"
        "store = connect(Path('x.duckdb'), key='k' * 64)\n"
        "store.execute('CREATE TABLE t AS SELECT 1 AS n; CHECKPOINT wardtwin')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert is_encrypted(tmp_path / "x.duckdb")
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("key", "status", "says"),
    [
        (KEY.written(), 0, ""),
        ("", 3, "is no key"),
        (None, 3, "is encrypted, and no key is set"),
        (OTHER.written(), 5, "is encrypted by another key"),
        ("ab" * 20, 3, "is no key"),
    ],
)
def test_a_command_explains_a_key_that_does_not_fit(stores, key, status, says):
    out, err = io.StringIO(), io.StringIO()
    environ = {"WARDTWIN_STORE__QUERY_TIMEOUT_S": "180"}
    if key is not None:
        environ["WARDTWIN_ENCRYPTION__KEY"] = key
    words = ["sql", "SELECT count(*) AS n FROM core.patient_version", "--json"]
    store = ("--db", str(stores / "encrypted.duckdb"))
    assert main([*words, *store], environ=environ, out=out, err=err) == status, err.getvalue()
    assert out.getvalue() == "" or json.loads(out.getvalue()) == [{"n": 1}]
    assert (out.getvalue() == "") == (status != 0)
    assert says in err.getvalue()
    assert not key or key not in err.getvalue()


def test_the_status_knows_a_wrong_key_of_a_store_without_any_file_beside_it(stores):
    for key, verdict, says in ((KEY, 0, KEY.fingerprint), (OTHER, 1, OTHER.fingerprint)):
        out = io.StringIO()
        environ = {"WARDTWIN_ENCRYPTION__KEY": key.written()}
        words = ["store", "status", "--db", str(stores / "encrypted.duckdb")]
        assert main(words, environ=environ, out=out, err=io.StringIO()) == verdict
        assert says in out.getvalue()
        assert ("The store encrypted.duckdb is encrypted by another key" in out.getvalue()) == (
            key is OTHER
        )
        assert ".." not in out.getvalue()


def test_without_the_package_encryption_is_a_matter_of_configuration(monkeypatch):
    monkeypatch.setattr("twin_core.store.cipher._PACKAGE", "duckdb_extension_none")
    with (
        duckdb.connect() as connection,
        pytest.raises(TwinError, match="pip install duckdb-extension-httpfs") as refused,
    ):
        load_cipher(connection)
    assert refused.value.exit_code == 3
