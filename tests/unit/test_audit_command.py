"""`wardtwin audit`, and the entries that other commands leave in the ledger."""

import io
import json
import sqlite3

import pytest

from api.cli import main
from twin_core.audit import ledger_path, notes_in

ADMITTED = (
    "MSH|^~\\&|PAS|GEN|TWIN|GEN|20261101080000+0000||ADT^A01|1|P|2.5.1\r"
    "EVN|A01|20261101080000+0000\rPID|1||P1^^^GEN^MR||QUISENBERRY^ADA||19700101|F\r"
    "PV1|1|I|MED^1^1^GEN||||||||||||||||V1^^^GEN^VN" + "|" * 25 + "20261101080000+0000\r"
)


def run(*words):
    out, err = io.StringIO(), io.StringIO()
    status = main(list(words), environ={}, out=out, err=err)
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A store that heard one message, with checkpoints kept in another folder."""
    folder = tmp_path_factory.mktemp("audited")
    (folder / "in.hl7").write_text(ADMITTED)
    (folder / "site.toml").write_text(
        f'[store]\npath = "{folder}/w.duckdb"\n[audit]\ncheckpoints = ["{folder}/elsewhere"]\n'
    )
    asked = ("--config", str(folder / "site.toml"))
    assert run("ingest", *asked, str(folder / "in.hl7"))[0] == 0
    assert run("sql", *asked, "SELECT patient_id, family_name FROM twin.patient")[0] == 0
    assert run("state", *asked)[0] == 0
    assert run("hl7", "explain", *asked, "--id", "1")[0] in (0, 1, 2)
    return folder, asked


def test_commands_that_show_patients_are_in_the_ledger(site):
    _folder, asked = site
    status, out, _ = run("audit", "list", *asked, "--json", "--texts")
    assert status == 0
    listed = {entry["what"]: entry for entry in json.loads(out)}
    assert {"sql", "state"} <= set(listed)
    assert listed["sql"]["text"] == "SELECT patient_id, family_name FROM twin.patient"
    assert len(listed["sql"]["patients"]) == len(listed["state"]["patients"]) == 1
    assert listed["sql"]["patients"] == listed["state"]["patients"]
    assert "ingest" not in listed


def test_one_patients_accesses_are_found(site):
    _, asked = site
    status, out, _ = run("sql", *asked, "--json", "SELECT patient_id FROM twin.patient")
    [row] = json.loads(out)
    status, out, _ = run("audit", "list", *asked, "--json", "--patient", row["patient_id"])
    assert status == 0
    assert len(json.loads(out)) >= 3
    status, out, _ = run("audit", "list", *asked, "--json", "--patient", "p" + "0" * 24)
    assert json.loads(out) == []


def test_an_acceptable_ledger_and_a_tampered_one(site, tmp_path):
    folder, asked = site
    status, out, _ = run("audit", "verify", *asked)
    assert (status, "Nothing was changed" in out) == (0, True)
    status, line, _ = run("audit", "key", *asked)
    copy = tmp_path / "copy.audit"
    source = sqlite3.connect(ledger_path(folder / "w.duckdb"))
    source.execute("VACUUM INTO ?", (str(copy),))
    elsewhere = ("--ledger", str(copy), "--checkpoints", str(folder / "elsewhere"))
    auditor = ("audit", "verify", *elsewhere, "--public-key", line.strip(), "--json")
    assert run(*auditor)[0] == 0
    assert notes_in(folder / "elsewhere")
    db = sqlite3.connect(copy, isolation_level=None)
    db.execute("DROP TRIGGER entry_stays")
    db.execute("DELETE FROM entry WHERE seq = (SELECT max(seq) FROM entry)")
    status, out, _ = run(*auditor)
    assert status == 1
    assert [finding["kind"] for finding in json.loads(out)["findings"]] == [
        *("truncation", "truncation", "schema")
    ]


def test_export_is_audit_events_without_query_texts(site, tmp_path):
    _, asked = site
    assert run("audit", "export", *asked, str(tmp_path / "out.ndjson"))[0] == 0
    text = (tmp_path / "out.ndjson").read_text()
    assert {json.loads(line)["resourceType"] for line in text.splitlines()} == {"AuditEvent"}
    assert "SELECT" not in text
    assert "QUISENBERRY" not in text
    assert run("audit", "export", *asked, str(tmp_path / "out.ndjson"))[0] == 2


def test_a_query_that_cannot_be_recorded_is_not_answered(site, tmp_path):
    folder, _asked = site
    (tmp_path / "site.toml").write_text(
        f'[store]\npath = "{folder}/w.duckdb"\n[audit]\nkeys = "{tmp_path}/others"\n'
    )
    status, out, err = run("sql", "--config", str(tmp_path / "site.toml"), "SELECT 1 AS one")
    assert status in (3, 5)
    assert "one" not in out
    assert "audit keys" in err


def test_a_ledger_that_is_not_there(tmp_path):
    status, _, err = run("audit", "list", "--db", str(tmp_path / "no.duckdb"))
    assert status == 2
    assert "no ledger" in err
