"""`wardtwin sql`: operators ask the identified store, and the ledger hears of it first."""

import io
import json

import pytest

from api.access.principal import LOCAL, Principal
from api.audit.operating import RECORDED
from api.audit.touched import patients_of, told_by_rows
from api.cli import main, parsed
from api.commands import Call
from api.commands.sql import _save
from api.operations import OPERATIONS
from api.research import LIMITED, ResearchDesk, Unopened, openable, opened
from api.terminal import Terminal
from tests.contract.conftest import HEARD, SETTINGS, StoppedClock
from tests.unit.simulated_store import KEYS, hear
from twin_core import Twin
from twin_core.audit import LedgerReader, ledger_path
from twin_core.errors import UsageError
from twin_core.settings import StoreSettings
from twin_core.store.permit import HEAVIEST_SQL

ENVIRON = {
    "WARDTWIN_DEID__PSEUDONYM_KEY": "ab" * 32,
    "WARDTWIN_DEID__SHIFT_KEY": "cd" * 32,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("command") / "h.duckdb"
    settings = SETTINGS.model_copy(update={"deid": KEYS})
    with Twin.open(path, settings=settings, clock=StoppedClock()) as twin:
        hear(twin, HEARD)
    return path


def run(store, *words, environ=ENVIRON):
    out, err = io.StringIO(), io.StringIO()
    code = main(["sql", *words, "--json", "--db", str(store)], environ=environ, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def entries(store):
    reader = LedgerReader(ledger_path(store))
    found = [(entry, reader.patients(entry), reader.texts(entry)) for entry in reader.entries()]
    reader.close()
    return found


def test_operators_ask_the_identified_store_and_are_recorded(store):
    code, told, _ = run(store, "SELECT patient_id, family_name FROM twin.patient")
    assert code == 0
    assert {row["family_name"] for row in json.loads(told)} == {"QUISENBERRY"}
    entry, patients, texts = entries(store)[-1]
    assert (entry.act, entry.what, entry.via, entry.outcome) == ("execute", "sql", "cli", "success")
    assert (len(patients), entry.rows) == (3, 3)
    assert texts.text == "SELECT patient_id, family_name FROM twin.patient"
    before = len(entries(store))
    assert run(store, "DROP TABLE twin.patient")[0] == 2
    assert [entry.outcome for entry, *_ in entries(store)[before:]] == ["failed"]


WHOM = [
    ("SELECT birth_date, sex FROM twin.patient", 0, "unknown"),
    ("SELECT count(*) AS n FROM twin.patient WHERE family_name = 'QUISENBERRY'", 0, "unknown"),
    ("SELECT patient_id, family_name FROM twin.patient WHERE family_name = 'nobody'", 0, ""),
    ("SELECT encounter_id FROM twin.encounter", 3, ""),
    ("SELECT stay_id, upper(kind) FROM twin.stay JOIN twin.location USING (location_id)", 2, ""),
    ("SELECT min(patient_id) AS first, max(birth_date) FROM twin.patient", 1, "unknown"),
    ("SELECT encounter_id, row_number() OVER () FROM twin.encounter", 3, "unknown"),
    ("SELECT DISTINCT value FROM twin.patient_identifier", 3, ""),
    ("SELECT a.patient_id, b.birth_date FROM twin.patient a, twin.patient b", 3, "unknown"),
    ("SELECT patient_id FROM twin.patient WHERE 1 = (SELECT 1)", 3, "unknown"),
    ("SELECT unit FROM twin.location", 0, ""),
    ("DESCRIBE twin.patient", 0, ""),
    ("SELECT 1 AS one", 0, ""),
]


def test_nobody_named_is_not_nobody_touched(store):
    with Twin.open(store, settings=SETTINGS, clock=StoppedClock()) as twin:
        told = [told_by_rows(sql, twin.query(sql), twin.query) for sql, *_ in WHOM]
    found = [
        (sql, len(one.patients), one.beside) for (sql, *_), one in zip(WHOM, told, strict=True)
    ]
    assert found == WHOM


def test_more_ids_than_a_statement_holds_are_traced_in_parts():
    lengths = []

    def query(sql):
        lengths.append(len(sql))
        return []

    patients_of([f"e{number:024x}" for number in range(10_000)], query)
    assert len(lengths) == 10
    assert max(lengths) < HEAVIEST_SQL


def test_a_count_is_in_the_ledger_as_one_of_unknown_patients(store):
    assert run(store, "SELECT count(*) AS n FROM twin.patient")[0] == 0
    entry, patients, _ = entries(store)[-1]
    assert (patients, entry.beside, entry.rows) == ((), "unknown", 1)
    out = io.StringIO()
    assert main(["audit", "list", "--limit", "1", "--db", str(store)], environ={}, out=out) == 0
    assert "unknown" in out.getvalue()


def test_a_query_of_a_profile_is_kept_by_a_name_asked_by_it_and_forgotten(store):
    sql = "SELECT count(*) AS n FROM twin.stay"
    words = ("--save", "Stays", "--profile", "limited", "--about", "all", "--shared")
    assert run(store, *words, sql)[0] == 0
    recorded = [(one.what, one.outcome, one.objects) for one, *_ in entries(store)[-2:]]
    assert [what for what, *_ in recorded] == ["sql", "query_keep"]
    assert recorded[1][1] == "success"
    # What somebody called it may be the name of a patient: it stands beside the chain.
    entry, _, texts = entries(store)[-1]
    assert (texts.objects, "Stays" in repr(entry)) == (("query/Stays",), False)
    [told] = json.loads(run(store, "--ask", "Stays")[1])
    with Twin.open(store, settings=SETTINGS, clock=StoppedClock()) as twin:
        assert told == twin.query(sql)[0]
        (kept,) = OPERATIONS["query_list"](twin, {})
        assert (kept["name"], kept["shared"], kept["release"]) == ("Stays", True, "limited")
        assert (kept["sql"], kept["owner"].partition(" ")[0]) == (sql, "local")
        for name in ("a/b", "", "x" * 81):
            with pytest.raises(UsageError, match="A name has"):
                OPERATIONS["query_keep"](twin, {**kept, "query": name})
        OPERATIONS["query_forget"](twin, {"query": "Stays"})
        for operation in ("query_show", "query_forget"):
            with pytest.raises(UsageError, match="no saved query"):
                OPERATIONS[operation](twin, {"query": "Stays"})


NO_ROWS = {
    *("kpi", "kpi_changes", "kpi_chart", "kpis", "message_find", "retention_show", "feeds"),
    *("sources_list", "store_id", "outbound_list", "alerts_list", "query_list", "query_show"),
}
"""Operations that show figures, names of feeds and numbers of messages only."""


def test_whatever_shows_rows_or_changes_anything_is_recorded():
    assert OPERATIONS.keys() - RECORDED.keys() == NO_ROWS


def test_what_cannot_be_asked_is_not_kept(store):
    """It is planned first, and nothing is kept of it; the store is not even asked for its name."""

    class Refusing:
        def ask(self, operation, **asked):
            assert (operation, asked["sql"]) == ("sql", "EXPLAIN FROM core.event")
            raise UsageError("There is no such table.")

    def call(*words):
        terminal = Terminal(io.StringIO(), io.StringIO(), environ={})
        return Call(parsed(["sql", "--save", "Bad", *words]), terminal, {})

    with pytest.raises(UsageError, match="no such table"):
        _save(call("--profile", "limited", "FROM core.event"), Refusing())
    with pytest.raises(UsageError, match="without identities"):
        _save(call("FROM twin.stay"), Refusing())


def test_a_profile_shows_nobody_and_is_recorded_as_such(store):
    code, told, _ = run(store, "--profile", "limited", "SELECT patient_id FROM twin.patient")
    assert code == 0, told
    seen = {row["patient_id"] for row in json.loads(told)}
    with Twin.open(store, settings=SETTINGS) as twin:
        here = {row["patient_id"] for row in twin.query("SELECT patient_id FROM twin.patient")}
    assert len(seen) == 3
    assert seen.isdisjoint(here)
    entry, patients, _ = entries(store)[-1]
    assert (entry.what, entry.objects, patients) == ("sql", ("release/limited",), ())
    assert not store.with_name("h.duckdb.limited").exists()


@pytest.mark.parametrize("environ", [{}, ENVIRON])
def test_a_profile_that_is_not_there_is_a_usage_error(store, environ):
    profile = "march" if environ else "limited"
    code, _, said = run(store, "--profile", profile, "SELECT 1", environ=environ)
    assert code == 2
    assert "no release to ask" in said or "no such release" in said


class Copy:
    """A live profile of which only the name counts here."""

    def close(self):
        pass


def test_real_dates_need_a_permission_of_their_own():
    desk = ResearchDesk({}, StoreSettings(), {LIMITED: Copy()})
    analyst = Principal(id="a", kind="key", roles=("analyst",))
    researcher = Principal(id="r", kind="key", roles=("researcher",))
    assert opened(desk, None, analyst) == opened(desk, LIMITED, LOCAL) == LIMITED
    with pytest.raises(Unopened, match="real dates"):
        opened(desk, None, researcher)
    assert (openable(desk, analyst), openable(desk, researcher)) == ([LIMITED], [])
    with pytest.raises(UsageError):
        opened(desk, "store", analyst)
