"""The files beside an encrypted store: what in them may tell of a patient is sealed, cell by cell.

Every search for plain text is run on open files too, which must be found out by it.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from api.access.store import AccessStore, View
from api.encryption import encryption_of
from api.outbound.ledger import Ledger as Outbound
from api.outbound.ledger import Parked, Position
from api.simulations.asked import Task
from api.simulations.ledger import Ledger as Simulations
from api.sources.ledger import Ledger as Sources
from twin_core import Twin
from twin_core.audit import Access, Actor, AuditKeys, Ledger, LedgerReader, verified
from twin_core.clock import SystemClock
from twin_core.encryption import BESIDE, StoreKey, hand_over, settle_beside, unsealed
from twin_core.errors import ConfigurationError, StoreError, TwinError, WrongKey
from twin_core.settings import EncryptionSettings, Settings, StoreSettings
from twin_core.store.backup import restore
from twin_core.store.erasing.beside import BESIDE as FORGOTTEN

PLANTED = "ZQXWVPLANTED"
AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
KEY, OTHER = StoreKey(bytes(range(32))), StoreKey(bytes(range(1, 33)))
KEYS = AuditKeys.made()
STORE = "x.duckdb"
SUFFIXES = (".access", ".audit", ".outbound", ".simulations", ".sources")
RUN = {"replications": 1, "hours": 24, "seed": 1}
Told = dict[str, Any]


def beside(folder: Path, suffix: str) -> Path:
    return folder / f"{STORE}{suffix}"


def filled(folder: Path, key: StoreKey | None, store_id: str = "one") -> None:
    """Something of a patient in every file beside a store."""
    with Ledger(beside(folder, ".audit"), KEYS, SystemClock(), key=key) as book:
        for number in range(3):
            who = Actor(id="a", kind="local")
            text, reason = f"SELECT '{PLANTED}{number}'", f"because of {PLANTED}"
            book.record(
                Access(
                    who=who, act="execute", what="sql", outcome="success", text=text, reason=reason
                )
            )
    with closing(Outbound(beside(folder, ".outbound"), store_id, key)) as outbound:
        outbound.begin("x", Position(0, 0))
        for number in (1, 2):
            said = (f"C{PLANTED}{number}", "AE", f"{PLANTED} is no date", 1, "2026-11-01T08:00")
            outbound.park("x", Parked(number, "ADT^A01", *said), None, {})
    with closing(Sources(beside(folder, ".sources"), store_id, key)) as sources:
        sources.begin("main", "https://fhir.example", 1)
        seen = [(f"Patient/{PLANTED}{n}", version, "2026") for n in (1, 2) for version in "12"]
        sources.keep("main", "Patient", f'{{"next":"{PLANTED}"}}'.encode(), seen=seen)
    with closing(Simulations(beside(folder, ".simulations"), store_id, key)) as simulations:
        task = Task(models=[{"present": PLANTED}], scenarios=[], run=RUN)
        for id_ in ("a", "b"):
            simulations.ask(id_, task, PLANTED, {"from": PLANTED}, PLANTED, AT)
        simulations.begin("a", AT)
        simulations.answered("a", {"found": PLANTED}, {}, AT)
        simulations.end("b", "failed", PLANTED, AT)
    people = AccessStore(beside(folder, ".access"), SystemClock(), key)
    for who in ("a", "b"):
        for name in (PLANTED, f"{PLANTED} again", "gone"):
            people.keep_view(who, View(name=name, href=f"/?who={PLANTED}{who}"))
        people.keep_view(who, View(name=PLANTED, href=f"/messages?q={PLANTED}"))
        people.forget_view(who, "gone")


def told(folder: Path, key: StoreKey | None, store_id: str = "one") -> Told:
    """What the files beside a store say to whoever has the key."""
    found: Told = {}
    with closing(LedgerReader(beside(folder, ".audit"), key)) as reader:
        found["audit"] = [reader.texts(entry) for entry in reader.entries()]
    with closing(Outbound(beside(folder, ".outbound"), store_id, key)) as outbound:
        found["outbound"] = outbound.parked("x")
    with closing(Sources(beside(folder, ".sources"), store_id, key)) as sources:
        found["checkpoint"] = sources.checkpoint("main", "Patient")
        asked = [(f"Patient/{PLANTED}{n}", "1") for n in (1, 2, 3)]
        found["unseen"] = sources.unseen("main", "Patient", asked)
    with closing(Simulations(beside(folder, ".simulations"), store_id, key)) as simulations:
        listed = [simulations.simulation(id_) for id_ in "ab"]
        found["simulations"] = [
            (one.asked_by, one.title, one.learned, one.reason) for one in listed if one
        ]
        found["work"] = simulations.task("a"), simulations.answer("a")
    people = AccessStore(beside(folder, ".access"), SystemClock(), key)
    found["views"] = [people.views(who) for who in "ab"]
    return found


def said_by_an_open_one(tmp_path: Path) -> Told:
    folder = tmp_path / "open"
    folder.mkdir()
    filled(folder, None)
    assert showing(folder) == {f"{STORE}{suffix}" for suffix in SUFFIXES}
    return told(folder, None)


def showing(folder: Path) -> set[str]:
    """The files below a folder in which the planted word can be read; zlib hides it as little."""
    found = set()
    for file in folder.rglob("*"):
        held = file.read_bytes() if file.is_file() else b""
        # What is packed begins so; what is sealed does by chance now and then.
        packed = ".simulations" in file.name and held.count(b"x\x9c") > 1
        if PLANTED.encode() in held or packed:
            found.add(file.name.removesuffix("-wal"))
    return found


def test_sealed_files_show_nothing_and_say_what_open_ones_say(tmp_path: Path) -> None:
    wanted = said_by_an_open_one(tmp_path)
    assert PLANTED in str(wanted)
    assert wanted["unseen"] == {(f"Patient/{PLANTED}3", "1")}
    folder = tmp_path / "sealed"
    folder.mkdir()
    filled(folder, KEY)
    assert showing(folder) == set()
    assert told(folder, KEY) == wanted
    assert unsealed(folder / STORE, KEY) == []


def test_what_was_begun_in_the_open_is_sealed_when_it_is_opened_next(tmp_path: Path) -> None:
    """As of a store that was encrypted before its files beside were sealed."""
    wanted, folder = said_by_an_open_one(tmp_path), tmp_path / "open"
    assert unsealed(folder / STORE, KEY) == [f"{STORE}{suffix}" for suffix in BESIDE]
    for open_it in (lambda: told(folder, KEY), lambda: settle_beside(folder / STORE, KEY)):
        open_it()
        verdict = verified(beside(folder, ".audit"), keys=KEYS, key=KEY)
        assert (verdict.entries, verdict.findings) == (3, ())
    assert showing(folder) == set()
    assert told(folder, KEY) == wanted
    assert unsealed(folder / STORE, KEY) == []


@pytest.mark.parametrize(("before", "after"), [(None, KEY), (KEY, OTHER), (KEY, None)])
def test_a_change_of_keys_that_ends_half_way_leaves_files_under_either(
    before: StoreKey | None, after: StoreKey | None, tmp_path: Path
) -> None:
    wanted, folder = said_by_an_open_one(tmp_path), tmp_path / "x"
    folder.mkdir()
    filled(folder, before)
    hand_over(folder / STORE, before, after)
    for suffix in SUFFIXES:
        # The store never came under the new key, or did, and nothing after that happened.
        for name in ("stayed", "went"):
            (tmp_path / name).mkdir(exist_ok=True)
            shutil.copy(beside(folder, suffix), tmp_path / name)
    for key, name in ((before, "stayed"), (after, "went")):
        settle_beside(tmp_path / name / STORE, key)
        assert told(tmp_path / name, key) == wanted
        assert (showing(tmp_path / name) == set()) == (key is not None)
        assert (unsealed(tmp_path / name / STORE, key) == []) == (key is not None)
        for wrong in {None, KEY, OTHER} - {key} if key is not None else ():
            with pytest.raises((WrongKey, ConfigurationError)):
                told(tmp_path / name, wrong)
    settle_beside(folder / STORE, after)
    assert told(folder, after) == wanted


@pytest.mark.parametrize(
    ("key", "error", "says"),
    [(None, ConfigurationError, "no key is set"), (OTHER, WrongKey, "another key")],
)
def test_sealed_files_do_not_open_without_their_key(
    key: StoreKey | None, error: type[TwinError], says: str, tmp_path: Path
) -> None:
    filled(tmp_path, KEY)
    openings: tuple[Callable[[], object], ...] = (
        lambda: Ledger(beside(tmp_path, ".audit"), KEYS, SystemClock(), key=key),
        lambda: Outbound(beside(tmp_path, ".outbound"), "one", key),
        lambda: Sources(beside(tmp_path, ".sources"), "one", key),
        lambda: Simulations(beside(tmp_path, ".simulations"), "one", key),
        lambda: AccessStore(beside(tmp_path, ".access"), SystemClock(), key).views("a"),
        lambda: settle_beside(tmp_path / STORE, key),
    )
    for opening in openings:
        with pytest.raises(error, match=says):
            opening()
    assert showing(tmp_path) == set()


@pytest.mark.parametrize(
    ("suffix", "tampering", "read"),
    [
        (
            ".access",
            "UPDATE view SET href = (SELECT href FROM view WHERE principal = 'b' LIMIT 1)"
            " WHERE principal = 'a'",
            "views",
        ),
        (".access", "UPDATE OR REPLACE view SET name = 'mine' WHERE principal = 'a'", "views"),
        (".audit", "UPDATE texts SET said = (SELECT said FROM texts WHERE seq = 2)", "texts"),
        (".audit", 'UPDATE texts SET said = CAST(\'{"text":"x"}\' AS BLOB)', "texts"),
        (".outbound", "UPDATE parked SET reason = 'it was put there'", "parked"),
        (".outbound", "UPDATE parked SET reason = control_id", "parked"),
        (".sources", "UPDATE checkpoint SET held = x'01020304'", "checkpoint"),
        (".simulations", "UPDATE simulation SET title = x'0102'", "simulations"),
        (
            ".simulations",
            "UPDATE simulation SET title = (SELECT title FROM simulation WHERE id = 'b')",
            "simulations",
        ),
    ],
)
def test_a_cell_that_was_moved_or_put_there_does_not_open(
    suffix: str, tampering: str, read: str, tmp_path: Path
) -> None:
    filled(tmp_path, KEY)
    with closing(sqlite3.connect(beside(tmp_path, suffix))) as db:
        db.execute(tampering)
        db.commit()
    with pytest.raises(StoreError, match="was changed"):
        told(tmp_path, KEY)


def test_a_ledger_with_sealed_texts_is_verified_with_and_without_their_key(tmp_path: Path) -> None:
    filled(tmp_path, KEY)
    path = beside(tmp_path, ".audit")
    assert verified(path, keys=KEYS, key=KEY).findings == ()
    assert verified(path, keys=KEYS).findings == ()
    with closing(LedgerReader(path)) as reader:
        assert len(list(reader.entries())) == 3
        with pytest.raises(ConfigurationError, match="no key is set"):
            reader.texts(next(reader.entries()))
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE texts SET said = x'01' WHERE seq = 2")
        db.commit()
    [finding] = verified(path, keys=KEYS, key=KEY).findings
    assert (finding.kind, finding.first) == ("text", 2)


def test_every_table_that_forgets_a_patient_is_sealed() -> None:
    forgetting = {
        (suffix, table)
        for suffix, tables in FORGOTTEN.items()
        for table, forgets in tables.items()
        if forgets is not None
    }
    sealed = {(suffix, one.table) for suffix, columns in BESIDE.items() for one in columns}
    assert sealed == forgetting


def opened(path: Path, key: StoreKey | None) -> Twin:
    return Twin.open(path, settings=settings(path, key))


def settings(path: Path, key: StoreKey | None) -> Settings:
    told = SecretStr(key.written()) if key else None
    return Settings(encryption=EncryptionSettings(key=told), store=StoreSettings(path=path))


def test_a_store_takes_its_files_along_under_its_key_and_through_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Views and macros are most of the work of making a store, and nothing is asked of them.
    monkeypatch.setattr("twin_core.twin.known_kpis", lambda folder: {})
    for module in ("twin_core.twin", "twin_core.store.opening"):
        monkeypatch.setattr(f"{module}.install_views", lambda *words: None)
    folder, path = tmp_path / "site", tmp_path / "site" / STORE
    folder.mkdir()
    with opened(path, None) as twin:
        [row] = twin.query("SELECT value AS id FROM core.meta WHERE key = 'store_id'")
        store_id = str(row["id"])
        filled(folder, None, store_id)
        wanted = told(folder, None, store_id)
        exports = beside(folder, ".sources.files") / "main"
        exports.mkdir(parents=True)
        (exports / "00000.output.Patient.part").write_text(PLANTED)
        twin.rekey(KEY)
    assert not exports.exists(), "what was fetched is fetched again"
    assert showing(folder) == set()
    assert told(folder, KEY, store_id) == wanted
    assert encryption_of(settings(path, KEY)).verdict == "ok"
    # A file of an older version is there again, and sealed with the next start.
    (tmp_path / "older").mkdir()
    filled(tmp_path / "older", None, store_id)
    shutil.copy(beside(tmp_path / "older", ".outbound"), folder)
    found = encryption_of(settings(path, KEY))
    assert (found.verdict, found.open_files) == ("warn", (f"{STORE}.outbound",))
    with opened(path, KEY) as twin:
        assert encryption_of(settings(path, KEY)).open_files == ()
        backup = tmp_path / "backup"
        backup.mkdir()
        named = [s for s in SUFFIXES if s != ".audit"]
        beside_it = [Path(shutil.copy(beside(folder, suffix), backup)) for suffix in named]
        twin.backup(backup, beside_it)
    restored = tmp_path / "restored" / STORE
    restore(backup, restored, KEY)
    shutil.copy(beside(folder, ".audit"), restored.parent)
    assert told(restored.parent, KEY, store_id) == wanted
    assert showing(tmp_path / "restored") == set()
