"""Sources from end to end: settings, commands, a real server over HTTP, a real store."""

import io
import json
import sys
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fhir_peer import Peer, PeerExport, listening

from api.cli import main
from api.sources.ledger import Ledger, ledger_path
from twin_core import Twin
from twin_core.errors import ConfigurationError, StoreMismatch
from twin_core.identifiers import TWIN_SOURCE
from twin_core.settings import load


class Site:
    """A folder with a store and settings, and the command line on it."""

    def __init__(self, folder, base):
        self.folder, self.base = folder, base
        self.store = folder / "hospital.duckdb"
        self.config = folder / "site.toml"
        self.configure()

    def configure(self, more="", types=("Location", "Patient", "Encounter")):
        self.config.write_text(
            f'[sources.pas]\nurl = "{self.base}"\ntypes = {json.dumps(types)}\npage_size = 4\n'
            f"requests_per_second = 0\nattempts = 2\n{more}"
        )

    def run(self, *words, environ=None):
        out, err = io.StringIO(), io.StringIO()
        words = [*words, "--db", str(self.store), "--config", str(self.config)]
        status = main(words, environ=environ or {}, out=out, err=err)
        return status, out.getvalue(), err.getvalue()

    def synced(self, *more):
        status, out, err = self.run("fhir", "sync", "--json", *more)
        assert out, err
        [summary] = json.loads(out)
        kinds = {
            kind["kind"]: (kind["accepted"], kind["duplicates"], kind["rejected"])
            for kind in summary["kinds"]
        }
        return status, summary, kinds

    def rows(self, sql):
        with Twin.open(self.store) as twin:
            return twin.query(sql)


@pytest.fixture
def peer():
    peer = Peer()
    peer.people(10)
    for one in range(6):
        peer.put(
            "Encounter",
            f"e{one}",
            status="in-progress",
            **{"class": {"code": "IMP"}},
            subject={"reference": f"Patient/p{one}"},
            period={"start": "2026-10-30T08:00:00Z"},
        )
    return peer


@pytest.fixture
def site(tmp_path, peer):
    with listening(peer.app) as address:
        peer.base = peer.known_as = f"{address}/fhir"
        yield Site(tmp_path, peer.base)


def test_a_sync_brings_the_twin_in_step_and_another_changes_nothing(site, peer):
    status, summary, kinds = site.synced()
    assert (status, summary["state"], summary["version"]) == (0, "in step", "4.0.1")
    assert kinds == {"Location": (0, 0, 0), "Patient": (10, 0, 0), "Encounter": (6, 0, 0)}
    [found] = site.rows("SELECT count(*) AS n, count(patient_id) AS p FROM twin.encounter")
    assert found == {"n": 6, "p": 6}
    messages = site.rows("SELECT count(*) AS n FROM core.message")
    _, _, kinds = site.synced()
    assert [accepted for accepted, _, _ in kinds.values()] == [0, 0, 0]
    assert site.rows("SELECT count(*) AS n FROM core.message") == messages

    peer.time.at += timedelta(hours=1)
    peer.put("Encounter", "e2", status="finished", **{"class": {"code": "IMP"}})
    assert site.synced()[2]["Encounter"][0] == 1
    assert site.rows("SELECT count(*) AS n FROM twin.encounter WHERE status = 'finished'") == [
        {"n": 1}
    ]


def test_what_is_refused_is_quarantined_once(site, peer):
    peer.put("Patient", "odd", gender="purple", birthDate=1944)
    status, summary, kinds = site.synced()
    assert (status, summary["state"], kinds["Patient"]) == (1, "in step", (10, 0, 1))
    assert site.synced()[2]["Patient"][2] == 0
    assert len(site.rows("SELECT * FROM twin.message WHERE status = 'quarantined'")) == 1
    site.synced("--full")
    assert len(site.rows("SELECT * FROM twin.message WHERE status = 'quarantined'")) == 1


def test_everything_read_anew_is_nothing_new(site):
    site.synced()
    _, _, kinds = site.synced("--full")
    assert kinds["Patient"] == (0, 10, 0)
    assert kinds["Encounter"] == (0, 6, 0)


def test_a_type_that_the_server_does_not_have_is_passed_over(site, peer):
    peer.kinds.remove("Location")
    status, summary, _ = site.synced()
    assert (status, summary["not_there"]) == (0, ["Location"])


def test_a_type_that_may_not_be_read_keeps_no_other_from_being_read(site, peer):
    searched = peer.search

    def search(kind, parameters, request):
        forbidden = kind == "Patient"
        return peer.outcome(403, "forbidden") if forbidden else searched(kind, parameters, request)

    peer.search = search
    status, summary, kinds = site.synced()
    assert (status, summary["state"]) == (1, "partly in step")
    assert kinds["Encounter"] == (6, 0, 0)
    assert "403" in next(k["trouble"] for k in summary["kinds"] if k["kind"] == "Patient")


def test_a_server_that_is_not_there_is_a_feed_error(site, tmp_path):
    site.base = "http://127.0.0.1:1/fhir"
    site.configure()
    status, out, err = site.run("fhir", "sync", "--json")
    assert status == 4
    assert json.loads(out)[0]["state"] == "unreachable"
    assert "Not in step with pas" in err
    status, out, _ = site.run("fhir", "list", "--json")
    assert (status, json.loads(out)[0]["state"]) == (0, "unreachable")


def test_a_list_says_how_each_source_is_doing(site):
    status, out, _ = site.run("fhir", "list", "--json")
    assert (status, json.loads(out)[0]["state"]) == (0, "never synced")
    site.synced()
    [told] = json.loads(site.run("fhir", "list", "--json")[1])
    assert (told["state"], told["breaker"], told["accepted"]) == ("in step", "closed", 16)
    assert told["lag_seconds"] < 60
    assert told["tallies"]["Encounter"] == {"accepted": 6}


def test_another_server_under_the_same_name_is_read_from_its_beginning(site, peer):
    site.synced()
    other = Peer()
    other.people(3, prefix="q")
    with listening(other.app) as address:
        site.base = f"{address}/fhir"
        other.base = other.known_as = site.base
        site.configure()
        assert site.synced()[2]["Patient"] == (3, 0, 0)


def test_a_store_that_lost_what_was_read_reads_it_again(site, tmp_path):
    site.synced()
    with Twin.open(site.store) as twin:
        identity = twin.query("SELECT value FROM core.meta WHERE key = 'store_id'")[0]["value"]
    ledger = Ledger(ledger_path(site.store), identity, None)
    ledger.keep("pas", "x", b"{}", position=10_000)
    ledger.begin("pas", site.base, high=16)
    assert ledger.checkpoint("pas", "search/Patient") is None
    ledger.close()
    with pytest.raises(StoreMismatch):
        Ledger(ledger_path(site.store), "another", None)


def test_a_backup_holds_how_far_sources_are_read(site, tmp_path):
    site.synced()
    assert site.run("backup", str(tmp_path / "copy"))[0] == 0
    assert (tmp_path / "copy" / "hospital.duckdb.sources").exists()


def test_check_says_what_a_server_can_do_and_stores_nothing(site, peer):
    status, out, _ = site.run("fhir", "check", "--json")
    [report] = json.loads(out)
    assert (status, report["version"], report["types"]) == (
        0,
        "4.0.1",
        ["Location", "Patient", "Encounter"],
    )
    assert "by what changed, in order, deletes by history" in report["tried"][-1]["said"]
    assert not site.store.exists()
    peer.refuses = {"_count"}
    assert site.run("fhir", "check")[0] == 1


def test_add_prints_settings_that_are_settings(site, tmp_path):
    key = tmp_path / "key.pem"
    status, out, err = site.run(
        *("fhir", "add", "lab", site.base, "--offline", "--facility", "GH"),
        *("--auth", "private_key", "--client-id", "twin", "--secret-file", str(key)),
    )
    assert status == 0, err
    assert tomllib.loads(out)["sources"]["lab"] == {
        "url": site.base,
        "facility": "GH",
        "auth": {"method": "private_key", "client_id": "twin", "private_key_file": str(key)},
    }
    status, _, err = site.run("fhir", "add", "lab", site.base, "--write", str(site.config))
    assert status == 0, err
    source = load(site.config).settings.sources["lab"]
    assert set(source.types) == {"Patient", "Encounter", "Location", "Observation"}
    assert site.run("fhir", "add", "lab", site.base, "--write", str(site.config))[0] == 2


def test_no_secret_is_shown_by_any_command(site, monkeypatch):
    site.configure('[sources.pas.auth]\nmethod = "token"\ntoken = "s3cr3t-t0k3n"\n')
    environ = {"WARDTWIN_SOURCES__PAS__AUTH__TOKEN": "s3cr3t-t0k3n"}
    said = ""
    for words in (("config", "show"), ("config", "show", "--json"), ("fhir", "sync"),
                  ("fhir", "list", "--json"), ("fhir", "check"), ("doctor",)):  # fmt: skip
        _, out, err = site.run(*words, environ=environ)
        said += out + err
    assert "s3cr3t" not in said
    assert "********" in said


ROUTES = {
    "history": ({"history": True}, ""),
    "_deleted": ({"history": False}, ""),
    "read": ({"history": False, "ignores": {"_deleted"}}, "verify_s = 0.001\n"),
}


@pytest.mark.parametrize("route", ROUTES)
def test_a_deleted_encounter_leaves_as_a_cancelled_one_does_and_may_come_back(site, peer, route):
    faults, more = ROUTES[route]
    for name, value in faults.items():
        setattr(peer, name, value)
    site.configure(more)
    peer.delete("Encounter", "e5")  # before it was ever seen
    peer.time.at += timedelta(hours=1)
    site.synced()
    assert {row["status"] for row in site.rows("SELECT status FROM twin.encounter")} == {
        "in-progress"
    }
    peer.time.at += timedelta(hours=1)
    peer.delete("Encounter", "e2")
    _, summary, _ = site.synced()
    assert [kind["deleted"] for kind in summary["kinds"]] == [0, 0, 1]
    gone = "SELECT count(*) AS n FROM twin.encounter WHERE status = 'in-progress'"
    assert site.rows(gone) == [{"n": 4}]
    told = "SELECT count(*) AS n FROM core.message WHERE trigger_event = 'FHIR Encounter deleted'"
    assert site.rows(told) == [{"n": 1}]
    _, summary, _ = site.synced()
    assert summary["kinds"][2]["deleted"] == 0
    assert site.rows(told) == [{"n": 1}]

    peer.time.at += timedelta(hours=1)
    peer.put("Encounter", "e2", status="in-progress", **{"class": {"code": "IMP"}})
    site.synced()
    assert site.rows(gone) == [{"n": 5}]


def test_a_server_that_passes_deleted_over_deletes_nobody(site, peer):
    peer.history, peer.ignores = False, {"_deleted"}
    site.synced()
    site.synced()
    assert len(site.rows("SELECT * FROM twin.encounter WHERE status = 'in-progress'")) == 6


def test_what_was_deleted_and_is_there_again_is_not_deleted(site, peer):
    peer.history = False
    site.synced()
    peer.time.at += timedelta(hours=1)
    peer.delete("Encounter", "e2")
    found = peer.matches

    def matches(kind, parameters):
        several = found(kind, parameters)
        if kind == "Encounter" and parameters.get("_deleted"):
            peer.put("Encounter", "e2", status="in-progress", **{"class": {"code": "IMP"}})
        return several

    peer.matches = matches
    site.synced()
    peer.matches = found
    site.synced()
    told = "SELECT * FROM core.message WHERE trigger_event = 'FHIR Encounter deleted'"
    assert site.rows(told) == [], "what answers a read was not deleted"
    assert len(site.rows("SELECT * FROM twin.encounter WHERE status = 'in-progress'")) == 6


def test_a_server_of_exports_alone_is_added_as_one(site, peer):
    PeerExport(peer)
    peer.search = lambda kind, parameters, request: peer.outcome(404, "not-supported")
    status, out, err = site.run("fhir", "add", "lab", site.base)
    assert status == 0, err
    told = tomllib.loads(out)["sources"]["lab"]
    assert (told["method"], told["export"], "types" in told) == ("bulk", "system", False)


@pytest.mark.parametrize("method", ["search", "bulk"])
def test_what_comes_back_under_its_own_source_is_no_news(site, peer, method):
    PeerExport(peer)
    site.configure(f'method = "{method}"\n')
    peer.kinds.remove("Encounter")
    site.synced()
    [row] = site.rows("SELECT value FROM core.meta WHERE key = 'store_id'")
    told = {"source": f"{TWIN_SOURCE}{row['value']}"}
    peer.time.at += timedelta(hours=1)
    peer.put("Patient", "echo", gender="male", meta=told)
    peer.put("Patient", "news", gender="male")
    peer.time.at += timedelta(seconds=1)
    site.synced()
    assert len(site.rows("FROM twin.patient")) == 11


def test_a_sync_says_in_plain_words_how_far_an_export_is(site, peer):
    PeerExport(peer)
    site.configure('method = "bulk"\n')
    _, out, err = site.run("fhir", "sync", "--json")
    assert json.loads(out)[0]["state"] == "in step"
    assert "source pas: export 50%" in err.splitlines()


@pytest.mark.parametrize("method", ["bulk", "bulk then search"])
def test_an_export_brings_the_twin_in_step(site, peer, method):
    export = PeerExport(peer)
    site.configure(f'method = "{method}"\nexport = "patient"\n')
    status, _, kinds = site.synced()
    assert (status, kinds["Patient"][0], kinds["Encounter"][0]) == (0, 10, 6)
    [found] = site.rows("SELECT count(*) AS n, count(patient_id) AS p FROM twin.encounter")
    assert found == {"n": 6, "p": 6}
    peer.time.at += timedelta(hours=1)
    peer.put("Encounter", "e2", status="finished", **{"class": {"code": "IMP"}})
    deleted = {"request": {"method": "DELETE", "url": "Encounter/e3"}}
    export.deleted = [{"resourceType": "Bundle", "type": "transaction", "entry": [deleted]}]
    peer.delete("Encounter", "e3")
    peer.time.at += timedelta(seconds=1)
    site.synced()
    assert len(export.kicked) == (2 if method == "bulk" else 1)
    assert len(site.rows("SELECT * FROM twin.encounter WHERE status = 'in-progress'")) == 4
    assert len(site.rows("SELECT * FROM twin.encounter WHERE status = 'finished'")) == 1
    encounters = "SELECT encounter_id, patient_id, status FROM twin.encounter ORDER BY ALL"
    before = site.rows(encounters)
    site.synced("--full")
    assert site.rows(encounters) == before


REFUSED = {
    "no address": ('url = "fhir.example.org"\n', "sources.x.url"),
    "a password in the address": ('url = "https://u:pw@h/fhir"\n', "sources.x.url"),
    "no type": ('url = "http://h"\ntypes = ["patient"]\n', "sources.x.types"),
    "a filter of no type": ('url = "http://h"\nfilters = {Slot2 = "a=b"}\n', "filters: Slot2"),
    "an export of what": ('url = "http://h"\nexport = "all"\n', "sources.x.export"),
    "a day": ('url = "http://h"\nsince = "2026-11-01"\n', "sources.x.since"),
    "no secret": ('url = "http://h"\n[sources.x.auth]\nmethod = "token"\n', "either token or"),
    "two secrets": (
        'url = "http://h"\n[sources.x.auth]\nmethod = "token"\ntoken = "hush"\ntoken_file = "f"\n',
        "either token or",
    ),
    "no client": (
        'url = "http://h"\n[sources.x.auth]\nmethod = "client_secret"\nclient_secret = "hush"\n',
        "client_id",
    ),
}


@pytest.mark.parametrize(("toml", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_settings_of_no_use_are_refused_by_name(tmp_path, toml, told):
    (tmp_path / "site.toml").write_text(f"[sources.x]\n{toml}")
    with pytest.raises(ConfigurationError, match=told) as raised:
        load(tmp_path / "site.toml")
    assert "hush" not in str(raised.value)
    assert "pw" not in str(raised.value)
