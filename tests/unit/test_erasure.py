"""Erasure: nothing of one patient is left in any file, and nothing of anybody else is changed."""

import io
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from a_patient_everywhere import (
    ADMITTED,
    BABY,
    BABY_VISIT,
    FHIR,
    HER,
    HER_VISIT,
    HERS,
    HIM,
    HIS_VISIT,
    HL7,
    PLANTED,
    hl7,
    pid,
    planted,
    pv1,
    tell_everything,
    told,
)

from adapters.hl7v2 import MllpListener
from api.access.store import AccessStore, View, access_path
from api.audit.opening import open_ledger
from api.cli import main
from api.holder import socket_path
from api.operator import listen
from api.outbound.dispatch import opened_ledger
from api.outbound.journal import following
from api.outbound.ledger import Parked, Position
from api.outbound.message import passed_over
from api.simulations.asked import Task
from api.simulations.ledger import Ledger as SimulationsLedger
from api.simulations.ledger import ledger_path as simulations_path
from api.sources.ledger import Ledger as SourcesLedger
from api.sources.ledger import ledger_path as sources_path
from twin_core import Twin
from twin_core.audit import Access, Actor, ledger_path, verified
from twin_core.clock import SystemClock
from twin_core.encryption import StoreKey
from twin_core.errors import ConfigurationError, UsageError
from twin_core.inbox.contents import copy_sealed
from twin_core.settings import MAIN_FEED, EncryptionSettings, OutboundSettings, Settings
from twin_core.store.cipher import is_encrypted
from twin_core.store.database import Database, connect
from twin_core.store.erasing import carrying_out, rewriting
from twin_core.store.erasing.beside import BESIDE
from twin_core.store.erasing.scanning import bytes_with
from twin_core.store.saved import SavedQuery
from twin_core.store.tables import ENTITIES

SETTINGS = Settings(outbound={"x": OutboundSettings(host="127.0.0.1", port=1)})
KEY = StoreKey(bytes(range(32)))
SEALED = Settings(encryption=EncryptionSettings(key=KEY.written()))
REASON = "request 2026-17"
STAYING = ("FROM x", "SELECT 'Smith' GROUP BY ALL")
"""Of what was asked: it names nobody, or somebody else."""
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STORE = "hospital.duckdb"


def opened(folder: Path, settings: Settings = SETTINGS) -> Twin:
    return Twin.open(folder / STORE, settings=settings)


def filled(folder: Path, settings: Settings) -> None:
    """A store that was told everything, with something of her in every file beside it."""
    path = folder / STORE
    with opened(folder, settings) as twin:
        tell_everything(twin)
        (store,) = (str(r["value"]) for r in twin.query("FROM core.meta WHERE key = 'store_id'"))
        (her,) = twin.query(
            "SELECT min(patient_id) AS id FROM twin.patient_identifier WHERE value = 'MRQZXYW7741'"
        )
        (encounter,) = twin.query(
            f"SELECT min(encounter_id) AS id FROM twin.encounter WHERE patient_id = '{her['id']}'"
        )
        with open_ledger(twin.settings.audit, path, twin.key) as ledger:
            for text in (
                "SELECT 'MRQZXYW7741'",
                f"GET /v1/encounters/{encounter['id']}",
                "GET /fhir/R4/Patient?family=quixworthy&birthdate=1970",
                "SELECT *\nFROM p WHERE x = '\nQUIXWORTHY'",
                *STAYING,
            ):
                ledger.record(
                    Access(
                        who=Actor(id="a", kind="local"),
                        act="search",
                        what="sql",
                        outcome="success",
                        patients=(str(her["id"]),),
                        text=text,
                        objects=(f"query/{text}",),
                    )
                )
        for name in ("MRQZXYW7741 lately", "Quixworthy lately", "another"):
            twin.save_query(
                SavedQuery(
                    name=name,
                    owner="a",
                    shared=False,
                    release=None,
                    sql="1",
                    about="",
                    saved_at=NOON,
                )
            )
        with_parked = opened_ledger(twin)
        with_parked.begin("x", Position(0, 0))
        for n in (1, 2):
            control = f"C{'QZXYW' if n == 1 else ''}{n}"
            parked = Parked(n, "ADT^A01", control, "AE", "101", 1, "2026-03-02T08:00:00+00:00")
            with_parked.park("x", parked, None, {})
        with_parked.close()
    access = AccessStore(access_path(path), SystemClock())
    access.create("board", ("viewer",))
    for name, href in (
        ("hers", "/audit?patient=MRQZXYW7741"),
        ("of Zephyrine", "/"),
        ("another", "/?show=free"),
    ):
        access.keep_view("somebody", View(name=name, href=href))
    simulations = SimulationsLedger(simulations_path(path), store, twin.key)
    for id_, patient in (("hers", "MRQZXYW7741"), ("another", "1")):
        task = Task(models=[{"present": [{"patient": patient}]}], scenarios=[], run={})
        simulations.ask(id_, task, "a model", {}, "", datetime(2026, 3, 2, tzinfo=UTC))
    simulations.close()
    sources = SourcesLedger(sources_path(path), store, twin.key)
    sources.begin("main", "https://fhir.example", 1)
    keys = [("Patient/pat-qzxhers", "1", "2026"), ("Patient/pat-4", "1", "2026")]
    sources.keep("main", "Patient", b'{"next": "Patient/pat-qzxhers"}', seen=keys)
    sources.keep("main", "Encounter", b'{"next": "Encounter/enc-4"}')
    sources.close()
    files = path.with_name(path.name + ".sources.files") / "main"
    files.mkdir(parents=True)
    (files / "1.ndjson").write_bytes(json.dumps(FHIR[0]).encode())


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    filled(folder, SETTINGS)
    assert planted(folder)
    return folder


@pytest.fixture
def folder(hospital: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(hospital, tmp_path / "hospital"))


@pytest.fixture(scope="module")
def without_her(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hospital after the erasure, opened once more."""
    folder = Path(shutil.copytree(hospital, tmp_path_factory.mktemp("erased") / "hospital"))
    removed(folder)
    opened(folder).close()
    return folder


@pytest.fixture
def erased(without_her: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(without_her, tmp_path / "erased"))


def removed(folder: Path, settings: Settings = SETTINGS) -> None:
    with opened(folder, settings) as twin:
        twin.erase(twin.belongings(HERS))


Rows = dict[str, list[str]]


def everything(folder: Path) -> Rows:
    """Every row of every table, as text."""
    with closing(duckdb.connect(str(folder / STORE), read_only=True)) as db:
        db.execute("SET TimeZone = 'UTC'")
        tables = db.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() UNION ALL"
            " SELECT schema_name || '.' || view_name FROM duckdb_views()"
            " WHERE schema_name = 'twin' ORDER BY 1"
        ).fetchall()
        return {
            t: [repr(r) for r in db.execute(f"FROM {t} ORDER BY ALL").fetchall()] for (t,) in tables
        }


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    words = (*words, "--db", str(folder / STORE))
    return main(words, environ={}, out=out, err=err), out.getvalue(), err.getvalue()


# --- what goes ------------------------------------------------------------------------------------


def test_no_file_holds_anything_of_her(folder: Path) -> None:
    assert run(folder, "backup", str(folder.parent / "copy"))[0] == 0
    status, out, err = run(folder, "erase", HERS, "--reason", REASON, "--json")
    assert status == 0, err
    assert planted(folder) == []
    assert not [row for rows in everything(folder).values() for row in rows if tells(row)]
    report = json.loads(out)
    assert [copy["path"] for copy in report["backups"]] == [str(folder.parent / "copy")]
    assert report["files"] == ["/in/feed.hl7"]
    assert (report["messages"], report["messages_of_others"]) == (14, 6)
    assert len(report["patient_ids"]) == 2
    with open_ledger(SETTINGS.audit, folder / STORE, None) as ledger:
        keys, pseudonyms = ledger.keys, {ledger.keys.pseudonym(p) for p in report["patient_ids"]}
    verdict = verified(ledger_path(folder / STORE), keys=keys)
    assert verdict.findings == ()
    with closing(sqlite3.connect(ledger_path(folder / STORE))) as db:
        entries = [json.loads(body) for (body,) in db.execute("SELECT body FROM entry ORDER BY 1")]
        texts = [json.loads(said) for (said,) in db.execute("SELECT said FROM texts")]
    assert [entry["what"] for entry in entries[-2:]] == ["erase ordered", "erase"]
    assert set(entries[-1]["patients"]) == pseudonyms
    assert [one["text"] for one in texts if "text" in one] == [*STAYING]
    with opened(folder) as twin:
        assert [kept.name for kept in twin.saved_queries("a")] == ["another"]


def test_rows_of_everybody_else_are_what_they_were(hospital: Path, without_her: Path) -> None:
    before, after = everything(hospital), everything(without_her)
    with opened(hospital) as twin:
        erasure = twin.belongings(HERS)
    gone, touched = set(erasure.messages), set(erasure.touched)

    def is_hers(table: str, row: str) -> bool:
        return tells(row) or any(one in row for one in erasure.record_ids)

    for table in sorted(before.keys() - {"core.meta"}):
        kept = [row for row in before[table] if not is_hers(table, row)]
        lost = [row for row in kept if row not in after[table]]
        fresh = [row for row in after[table] if row not in before[table]]
        if table in ("core.message", "twin.message"):
            assert {number(row) for row in (*lost, *fresh)} <= gone
        elif table == "core.raw":
            assert {number(row) for row in lost} <= gone | touched
        elif table in ("core.event", "twin.event"):
            # Two that mention her among others, without her.
            assert len(fresh) == sum(payload is not None for payload in erasure.events.values())
            assert {one.split(",")[1].strip() for one in lost} <= {str(n) for n in gone | touched}
        elif table == "core.family":
            # Who was linked with her has her number no more.
            assert len(fresh) <= len(lost)
        elif table in SHARED_ROWS:
            assert (len(fresh), lost) == (SHARED_ROWS[table], []), table
        else:
            assert not fresh or table.startswith("core.patient"), (table, fresh)
            assert not lost or table.startswith("core.patient") or "finding" in table, table
    assert [r for r in after["twin.patient"] if not any(p in r for p in erasure.patient_ids)]
    assert any(erasure.linked_ids[0] in row for row in after["twin.patient"])
    for table in ("twin.patient", "twin.encounter", "twin.stay", "twin.observation"):
        assert after[table] == [row for row in before[table] if not is_hers(table, row)]


SHARED_ROWS = dict.fromkeys(
    (f"{schema}device{version}" for schema, version in (("core.", "_version"), ("twin.", ""))), 1
) | dict.fromkeys(
    (f"{schema}appointment{version}" for schema, version in (("core.", "_version"), ("twin.", ""))),
    2,
)
"""Rows of others that named her: the device at her bed, and two appointments that she shared."""


def number(row: str) -> int:
    return int(row[1:].partition(",")[0])


def tells(row: str) -> bool:
    return any(word.decode() in row for word in PLANTED)


def test_folding_again_brings_nobody_back_and_loses_nobody(erased: Path) -> None:
    with opened(erased) as twin:
        now = {e.name: twin.query(f"FROM twin.{e.name} ORDER BY ALL") for e in ENTITIES}
        twin.rebuild()
        for entity in ENTITIES:
            again = twin.query(f"FROM twin.{entity.name} ORDER BY ALL")
            if entity.name.startswith("location"):
                # Beds that only her messages named are not known any more.
                assert all(row in now[entity.name] for row in again)
            else:
                assert again == now[entity.name], entity.name
        assert len(now["patient"]) == 3
    assert planted(erased) == []


def test_every_name_of_hers_leads_to_all_of_her(folder: Path) -> None:
    with opened(folder) as twin:
        whole = twin.belongings(HERS)
        names = ("urn:wardtwin:authority:GEN|OLDQZXYW11", "fhir|Patient/pat-qzxhers")
        for wanted in (*names, *whole.patient_ids):
            found = twin.belongings(wanted)
            assert found.events == whole.events
            assert (found.messages, found.nodes) == (whole.messages, whole.nodes)


def test_a_visit_that_is_somebody_elses_by_now_stays_theirs(tmp_path: Path) -> None:
    with opened(tmp_path) as twin:
        for raw in (
            ADMITTED,
            hl7("ADT^A01", "4", HER, pv1("W3^1^A^GEN", "V77")),
            hl7("ADT^A08", "5", HIM, pv1("W3^1^A^GEN", "V77"), at="1100"),
        ):
            told(twin, raw, "hl7v2")
        [visit] = twin.query(
            "SELECT e.* FROM twin.encounter e JOIN twin.encounter_identifier USING (encounter_id)"
            " WHERE value = 'V77'"
        )
        erasure = twin.belongings(HERS)
        assert visit["patient_id"] not in erasure.patient_ids
        twin.erase(erasure)
    assert planted(tmp_path) == []
    with opened(tmp_path) as twin:
        assert visit in twin.query("FROM twin.encounter")
        assert len(twin.query("FROM twin.stay WHERE unit = 'W3'")) == 1
        told_of = twin.query("SELECT kind FROM twin.event WHERE subject_value = 'V77' ORDER BY 1")
        assert [row["kind"] for row in told_of] == ["Admitted", "EncounterUpdated"]


def test_a_resource_that_its_server_deleted_goes_with_whom_it_was_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is asked of views here, which are most of the work of making a store.
    monkeypatch.setattr("twin_core.twin.known_kpis", lambda folder: {})
    for module in ("twin_core.twin", "twin_core.store.opening"):
        monkeypatch.setattr(f"{module}.install_views", lambda *words: None)
    system, _, hers = HERS.rpartition("|")

    def stated(id_: str, number: str, version: str = "1") -> dict[str, object]:
        return {
            "resourceType": "Patient",
            "id": id_,
            "meta": {"versionId": version, "lastUpdated": f"2026-03-02T0{version}:00:00Z"},
            "identifier": [{"system": system, "value": number}],
        }

    def deleted(id_: str) -> dict[str, object]:
        entry = {"request": {"method": "DELETE", "url": f"Patient/{id_}"}}
        return {"resourceType": "Bundle", "type": "batch", "entry": [entry]}

    with opened(tmp_path) as twin:
        told(twin, ADMITTED, "hl7v2")
        for resource in (
            stated("gone", hers),
            stated("kept", hers),
            stated("his", "HIS1"),
            stated("renamed", hers),
            deleted("gone"),
            deleted("his"),
            deleted("renamed"),
            # The server gives the same address to somebody else.
            stated("renamed", "HIS2", "3"),
            stated("too", "HIS2"),
            deleted("too"),
        ):
            told(twin, json.dumps(resource).encode(), "fhir")
        found = twin.belongings(HERS)
    resources = {value for _, _, value in found.identifiers if value.startswith("Patient/")}
    assert resources == {"Patient/gone", "Patient/kept"}


@pytest.mark.parametrize("charset", ["utf-8", "utf-16-le"])
def test_numbers_are_found_in_bytes_however_short(tmp_path: Path, charset: str) -> None:
    texts = (
        "MSH|^~\\&|A\rPID|1||12^^^GEN^MR||X",
        "MSH|^~\\&|A\rPID|1||3^^^GEN~12",
        "MSH|^~\\&|A\rPID|1||123^^^GEN||12",
        '{"identifier": [{"value": "12"}]}',
        "NK1|1|it's M\\T\\R-\u00e9 12345",
        "NK1|1|M\\T\\R-\u00e912345^x",
    )
    database = Database(tmp_path / STORE)
    for number, text in enumerate(texts):
        raw = text.encode(charset)
        database.connection.execute("INSERT INTO core.raw VALUES (?, ?)", [number, raw])
    words = ["12", "M&R-\u00e912345"]
    found = {n for (n,) in bytes_with(database.connection, "raw", "message_id", words)}
    database.close()
    assert found == {0, 1, 3, 5}


HERS_ELSEWHERE = {"identifier": {"system": "urn:elsewhere", "value": "MRQZXYW7741"}}


# --- what stays out -------------------------------------------------------------------------------


def test_she_stays_out_where_a_listener_takes_what_is_sent_of_her(erased: Path) -> None:
    of_her = hl7("ADT^A01", "92", HER, pv1("W1^9^A^GEN", "VQZXYWNEW"))
    with opened(erased) as twin:
        before = {e.name: twin.query(f"FROM twin.{e.name} ORDER BY ALL") for e in ENTITIES}
        listener = MllpListener(twin, MAIN_FEED)
        [answer] = twin.submit(listener.receipts([of_her], "127.0.0.1 port 1")).result()
        twin.wait_applied()
        assert (answer.code, answer.status) == ("AA", "accepted")
        for entity in ENTITIES:
            now = twin.query(f"FROM twin.{entity.name} ORDER BY ALL")
            assert now == before[entity.name], entity.name
        [shown] = twin.query(f"FROM core.message WHERE message_id = {answer.position}")
        assert (shown["status"], shown["origin"]) == ("erased", "")
    assert b"VQZXYWNEW" not in (erased / STORE).read_bytes()


def test_she_stays_out_in_whatever_form_she_comes_again(erased: Path) -> None:
    with opened(erased) as twin:
        before = {e.name: twin.query(f"FROM twin.{e.name} ORDER BY ALL") for e in ENTITIES}
        assert set(tell_everything(twin)) == {"accepted", "duplicate"}
        elsewhere = {**FHIR[0], "id": "other-qzxhers"}
        subject = {"reference": "Patient/other-qzxhers"}
        bundle = {"resourceType": "Bundle", "type": "collection"}
        resources = (
            elsewhere,
            {**FHIR[2], "id": "new-visit", "subject": subject},
            {**FHIR[4], "id": "o2"},
            {**bundle, "entry": [{"resource": resource} for resource in FHIR]},
        )
        again = [
            (ADMITTED.replace(b"|CQZXYW1|", b"|new|").replace(b"0800", b"0801"), "hl7v2"),
            (hl7("ADT^A08", "90", HER.replace("MRQZXYW7741^", "OLDQZXYW11^")), "hl7v2"),
            (hl7("ADT^A01", "91", HER, pv1("W1^9^A^GEN", "VNEW"))[:-20] + b"\xff", "hl7v2"),
            (b"MSH|^~\\&|junk\rPID|1||MRQZXYW7741", "hl7v2"),
            *((json.dumps(resource).encode(), "fhir") for resource in resources),
        ]
        assert {a.code for raw, form in again for a in told(twin, raw, form)} == {"AA"}
        assert {a.status for raw, form in again for a in told(twin, raw, form)} == {"duplicate"}
        for entity in ENTITIES:
            now = twin.query(f"FROM twin.{entity.name} ORDER BY ALL")
            assert now == before[entity.name], entity.name
        shown = twin.query("FROM core.message WHERE status = 'erased' AND message_id > 26")
        assert shown
        assert {row["origin"] for row in shown} == {""}
        relayed = OutboundSettings(host="127.0.0.1", port=1, form="raw")
        erased_ones = [m for m in following(twin, Position(0, 0)) if m.status == "erased"]
        assert {passed_over(message, relayed) for message in erased_ones} == {
            "unapplied",
            "other_kind",
        }

        # What the same message says of somebody else is applied.
        swap = (HER, pv1("W4^1^A^GEN", HER_VISIT), HIM, pv1("W4^2^A^GEN", HIS_VISIT))
        told(twin, hl7("ADT^A13", "92", HIM, pv1("W2^2^A^GEN", HIS_VISIT), at="1600"), "hl7v2")
        [answer] = told(twin, hl7("ADT^A17", "93", *swap, at="1700"), "hl7v2")
        assert (answer.status, twin.has_raw(answer.position or 0)) == ("accepted", False)
        assert [s["room"] for s in twin.query("FROM twin.stay WHERE unit = 'W4'")] == ["2"]
    assert planted(erased) == []


def test_her_number_stays_out_however_its_issuer_is_written(erased: Path) -> None:
    patients = "SELECT count(*) AS n FROM twin.patient"
    with opened(erased) as twin:
        [before] = twin.query(patients)
        for n, authority in enumerate(("", "^^^^MR", "^^^Gen^PI", "^^^gen ^MR")):
            raw = hl7(
                "ADT^A01", f"7{n}", f"PID|1||MRQZXYW7741{authority}||X", pv1("W1^9^A^GEN", f"N{n}")
            )
            assert [answer.status for answer in told(twin, raw, "hl7v2")] == ["accepted"]
        assert twin.query(patients) == [before]
        # The same number of another issuer is somebody else's.
        number = "PID|1||MRQZXYW7741^^^OTHER^MR||X"
        told(twin, hl7("ADT^A01", "79", number, pv1("W1^9^A^GEN", "N9")), "hl7v2")
        assert twin.query(patients) == [{"n": before["n"] + 1}]


def test_messages_about_others_come_in_without_the_bytes_that_name_her(erased: Path) -> None:
    next_of_kin = f"NK1|1|Quixworthy^Zephyrine|MTH{'|' * 30}MRQZXYW7741^^^GEN^MR"
    joined = "W2^7^A^GEN"
    moved = hl7("ADT^A02", "80", BABY, next_of_kin, pv1(joined, BABY_VISIT), at="1800")
    another = pid("MR2", "Smith", "John").replace("||MR2", "|MRQZXYW7741|MR2", 1)
    stated = {
        "resourceType": "Patient",
        "id": "pat-4",
        "gender": "male",
        "birthDate": "1999-01-01",
        "contact": [{"name": {"family": "Quixworthy"}}],
        "identifier": [{"system": "urn:elsewhere", "value": "M4"}],
        "link": [{"other": HERS_ELSEWHERE, "type": "seealso"}],
    }
    resource = json.dumps(stated).encode()
    with opened(erased) as twin:
        arrived = [
            told(twin, moved, "hl7v2")[0],
            told(twin, hl7("ADT^A08", "81", another, at="1810"), "hl7v2")[0],
            told(twin, resource, "fhir")[0],
        ]
        assert {answer.status for answer in arrived} == {"accepted"}
        assert not any(twin.has_raw(answer.position or 0) for answer in arrived)
        assert twin.query("SELECT room FROM twin.stay WHERE unit = 'W2' AND room = '7'")
        assert twin.query("SELECT birth_date FROM twin.patient WHERE birth_date = '1999-01-01'")
        numbers = ", ".join(str(answer.position) for answer in arrived)
        asked = f"SELECT DISTINCT status FROM core.message WHERE message_id IN ({numbers})"
        assert twin.query(asked) == [{"status": "applied"}]
        for raw, form in ((moved, "hl7v2"), (resource, "fhir")):
            [answer] = told(twin, raw, form)
            assert answer.status == "duplicate"
        # Who is not named with her keeps the bytes.
        [answer] = told(twin, hl7("ADT^A08", "82", HIM, at="1820"), "hl7v2")
        assert twin.has_raw(answer.position or 0)
    assert planted(erased) == []


def test_a_backup_and_a_store_under_another_key_keep_her_out(erased: Path) -> None:
    with opened(erased) as twin:
        twin.backup(erased / "copy", [])
    marks = "SELECT count(*) FROM tombstone"
    with closing(sqlite3.connect(erased / "copy" / f"{STORE}.inbox")) as db:
        [(copied,)] = db.execute(marks)
    copy_sealed(erased / f"{STORE}.inbox", None, erased / "sealed.inbox", KEY)
    with closing(sqlite3.connect(erased / "sealed.inbox")) as db:
        assert db.execute(marks).fetchall() == [(copied,)]
    assert copied > 10


def test_without_its_key_the_store_does_not_open(erased: Path) -> None:
    (erased / f"{STORE}.erased.key").unlink()
    with pytest.raises(ConfigurationError, match="key"):
        opened(erased)


# --- whatever interrupts it -----------------------------------------------------------------------


class Killed(BaseException):
    """The end of a process, as far as one can have it without ending the tests."""


def test_what_is_interrupted_goes_on_with_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise Killed

    twin = opened(folder)
    erasure = twin.belongings(HERS)
    steps = (
        (carrying_out, "_keep_out"),
        (carrying_out, "rewrite"),
        (rewriting, "_put_in_place"),
        (rewriting, "to_disk"),
        (carrying_out, "forget_beside"),
        (carrying_out, "_remove_copies"),
    )
    again = partial(twin.erase, erasure)
    for module, step in steps:
        with monkeypatch.context() as patching:
            patching.setattr(module, step, ended)
            with pytest.raises(Killed):
                again()
        again = partial(carrying_out.carry_out, folder / STORE, memory_limit="256MB", key=None)
    opened(folder).close()
    assert planted(folder) == []
    assert [file.name for file in folder.glob("*.eras*")] == [f"{STORE}.erased.key"]
    assert again() is None


_KILLED = """
import os, signal, sys
from twin_core import Twin
from twin_core.store.erasing import rewriting

versions = rewriting._versions

def ended(entity):
    if entity.name == "stay":
        os.kill(os.getpid(), signal.SIGKILL)
    return versions(entity)

rewriting._versions = ended
twin = Twin.open(sys.argv[1])
twin.erase(twin.belongings(sys.argv[2]))
"""


def test_killed_while_it_copies_it_goes_on_with_the_next_start(folder: Path) -> None:
    words = [sys.executable, "-c", _KILLED, str(folder / STORE), HERS]
    ended = subprocess.run(words, capture_output=True, check=False, timeout=180)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert (folder / f"{STORE}.erasing").exists()
    opened(folder).close()
    assert planted(folder) == []


# --- what goes with it ----------------------------------------------------------------------------


def test_an_encrypted_store_stays_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    rewrite = carrying_out.rewrite
    monkeypatch.setattr(
        carrying_out, "rewrite", lambda *a, **k: (seen.extend(planted(tmp_path)), rewrite(*a, **k))
    )
    path = tmp_path / STORE
    with opened(tmp_path, SEALED) as twin:
        for raw in HL7[:4]:
            told(twin, raw, "hl7v2")
        twin.erase(twin.belongings(HERS))
    assert (seen, planted(tmp_path), is_encrypted(path)) == ([], [], True)
    with closing(connect(path, key=KEY.database)) as db:
        assert len(db.execute("FROM core.raw").fetchall()) == 1
        assert not [row for row in db.execute("FROM core.event").fetchall() if tells(repr(row))]


def test_a_simulation_of_a_model_that_names_her_goes(without_her: Path) -> None:
    with closing(sqlite3.connect(simulations_path(without_her / STORE))) as db:
        assert db.execute("SELECT id FROM simulation").fetchall() == [("another",)]


def test_every_table_beside_a_store_is_listed(without_her: Path) -> None:
    met: set[str] = set()
    for file in without_her.iterdir():
        if file.is_file() and file.read_bytes()[:6] == b"SQLite":
            suffix = file.name.removeprefix(STORE)
            met.add(suffix)
            with closing(sqlite3.connect(file)) as db:
                rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                assert {name for (name,) in rows} == BESIDE[suffix].keys(), file.name
    assert met == BESIDE.keys()


def test_dry_runs_and_mistakes_change_nothing(folder: Path) -> None:
    status, out, _ = run(folder, "erase", HERS, "--dry-run")
    assert (status, "14 messages about the patient alone" in out) == (0, True)
    for words, said in (
        (("NOBODY", "--reason", REASON), "names no patient"),
        ((HERS,), "needs a reason"),
        ((HERS, "--reason", "MRQZXYW7741 asked"), "names the patient"),
        ((HERS, "--reason", "asked by Ms. Quixworthy"), "names the patient"),
    ):
        status, _, err = run(folder, "erase", *words)
        assert (status, said in err) == (2, True), err
    with opened(folder) as twin, pytest.raises(UsageError, match="knows no such patient"):
        twin.belongings("urn:wardtwin:authority:GEN|NOBODY")
    with closing(listen(socket_path(folder / STORE))):
        status, _, err = run(folder, "erase", HERS, "--reason", REASON)
    assert (status, "Stop the server" in err) == (5, True)
    assert planted(folder)
