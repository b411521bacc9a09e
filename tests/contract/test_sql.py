"""SQL over de-identified releases: what analysts get, and what they never get."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.ipc
import pytest

from api.app import create_app
from tests.contract.conftest import HEARD, NOON, SETTINGS, Caller, StoppedClock, adt
from twin_core.audit import LedgerReader, ledger_path
from twin_core.deid.releasing import publish
from twin_core.errors import UsageError
from twin_core.settings import DeidSettings, StoreSettings
from twin_core.store.saved import SavedQuery
from twin_core.twin import Twin

ADVERSARIAL = Path(__file__).parents[3] / "shared/adversarial"


@pytest.fixture(scope="module")
def asking(tmp_path_factory: Any) -> Any:
    """A store that heard five messages, with a release of it and a file that is none."""
    folder = tmp_path_factory.mktemp("sql")
    deid = DeidSettings(
        pseudonym_key="ab" * 32,
        shift_key="cd" * 32,
        known=("GEN", "MED", "ICU", "ED"),
        releases={"march": folder / "march.duckdb", "store": folder / "copy.duckdb"},
    )
    limits = StoreSettings(query_timeout_s=20.0, query_rows=2)
    settings = SETTINGS.model_copy(update={"deid": deid, "store": limits})
    with Twin.open(folder / "api.duckdb", settings=settings, clock=StoppedClock()) as twin:
        caller = Caller(create_app(twin))
        for raw in HEARD:
            caller.post("/v1/hl7v2", content=raw)
        twin.wait_applied()
        publish(twin._database, folder / "march.duckdb", "limited", settings, NOON)
        with Twin.open(folder / "copy.duckdb", clock=StoppedClock()):
            pass
        yield caller
        caller.close()


def ask(api: Any, sql: str, **more: Any) -> Any:
    return api.post("/v1/sql", json={"release": "march", **more, "sql": sql})


def test_a_release_is_asked_in_sql(asking: Any) -> None:
    answer = ask(
        asking, "SELECT unit, count(*) AS stays FROM twin.stay GROUP BY unit ORDER BY unit"
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "columns": ["unit", "stays"],
        "rows": [{"unit": "ICU", "stays": 1}, {"unit": "MED", "stays": 2}],
        "cut": False,
    }
    assert ask(asking, "SELECT * FROM range(5)").json()["cut"] is True
    csv = asking.post(
        "/v1/sql", params={"format": "csv"}, json={"sql": "SELECT '=1' AS a", "release": "march"}
    )
    assert (csv.headers["content-type"].partition(";")[0], csv.text) == ("text/csv", "a\r\n'=1\r\n")


def test_live_rows_are_those_of_now_and_the_ledger_names_nobody(asking: Any) -> None:
    counted = "SELECT count(*) AS n FROM twin.encounter"
    [before] = ask(asking, counted, release="limited").json()["rows"]
    asking.post("/v1/hl7v2", content=adt("A01", "70", "11:30", "V70", "MED^1^7^GEN"))
    twin = asking.app.state.twin
    twin.wait_applied()
    asking.app.state.research._live["limited"]._renewed_at = float("-inf")
    [after] = ask(asking, counted, release="limited").json()["rows"]
    assert after["n"] == before["n"] + 1
    shown = ask(asking, "FROM twin.patient", release="limited")
    assert shown.json()["rows"][0]["patient_id"].startswith("p")
    assert "QUISENBERRY" not in shown.text
    reader = LedgerReader(ledger_path(twin.path))
    *_, last = reader.entries()
    assert (last.what, last.objects) == ("POST /v1/sql", ("release/limited",))
    assert reader.patients(last) == ()
    reader.close()


@pytest.mark.parametrize("release", ["march", "limited"])
def test_an_arrow_stream_has_types_and_says_where_it_was_cut(asking: Any, release: str) -> None:
    sql = "SELECT from_at, unit, 1 AS n, 2 AS n FROM twin.stay ORDER BY from_at"
    answer = asking.post("/v1/sql?format=arrow", json={"sql": sql, "release": release})
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert answer.headers["wardtwin-rows-cut"] == "true"
    table = pyarrow.ipc.open_stream(answer.content).read_all()
    assert table.num_rows == 2
    assert table.schema.names == ["from_at", "unit", "n", "n_2"]
    assert str(table.schema.field("from_at").type) == "timestamp[us, tz=UTC]"
    rows = ask(asking, sql, release=release).json()["rows"]
    assert [row["unit"] for row in rows] == table.column("unit").to_pylist()
    whole = asking.post("/v1/sql?format=arrow", json={"sql": "SELECT 1", "release": release})
    assert whole.headers["wardtwin-rows-cut"] == "false"


def test_a_plan_is_explained_and_nothing_else_is(asking: Any) -> None:
    for sql in ("EXPLAIN SELECT unit FROM twin.stay", "/* why */ explain analyze FROM twin.stay"):
        answer = ask(asking, sql)
        assert answer.status_code == 200, answer.text
        assert "explain_value" in answer.json()["columns"]
    for sql in ("EXPLAIN DROP TABLE twin.stay", "EXPLAIN FROM read_text('/etc/passwd')"):
        assert ask(asking, sql).status_code == 400


def test_a_file_is_asked_once_what_it_is(asking: Any) -> None:
    desk = asking.app.state.research
    ask(asking, "SELECT 1")
    known = desk._known["march"]
    ask(asking, "SELECT 2")
    assert desk._known["march"] is known
    os.utime(desk._releases["march"], ns=(1, 1))
    ask(asking, "SELECT 3")
    assert desk._known["march"] is not known


def test_no_row_of_a_release_names_a_patient(asking: Any) -> None:
    tables = ask(asking, "SELECT count(*) AS n FROM duckdb_tables() WHERE schema_name = 'twin'")
    assert tables.json()["rows"][0]["n"] > 5
    for table in ("patient", "patient_identifier", "encounter", "stay"):
        answer = ask(asking, f"FROM twin.{table}")
        assert "QUISENBERRY" not in answer.text
        assert "PV1" not in answer.text


def test_a_file_that_is_no_release_is_never_asked(asking: Any) -> None:
    answer = asking.post("/v1/sql", json={"sql": "FROM twin.patient", "release": "store"})
    assert answer.status_code == 503
    assert "no de-identified release" in answer.text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"sql": "SELECT 1", "release": "other"}, "aggregates, limited, march, store"),
        ({"sql": "SELECT 1"}, "aggregates, limited, march, store"),
        ({"query": "SELECT 1"}, "Post JSON"),
        (["SELECT 1"], "Post JSON"),
        ({"sql": "DROP TABLE twin.stay", "release": "march"}, "cannot be run"),
    ],
)
def test_a_question_that_is_none_is_refused_in_words(asking: Any, body: Any, said: str) -> None:
    answer = asking.post("/v1/sql", json=body)
    assert answer.status_code == 400
    assert said in answer.text


def test_the_shared_hostile_statements(asking: Any) -> None:
    if not ADVERSARIAL.is_dir():
        pytest.skip("the shared folder is not here")
    cases = json.loads((ADVERSARIAL / "cases.json").read_text())["cases"]
    for case in cases:
        if case["group"] != "analyst_sql":
            continue
        sql = json.loads((ADVERSARIAL / case["body_file"]).read_text())["sql"]
        answer = ask(asking, sql)
        assert answer.status_code in case["expect"]["status"], (case["id"], answer.text)
        assert "Traceback" not in answer.text
        assert answer.status_code != 200, case["id"]
    assert ask(asking, "SELECT 1 AS one").json()["rows"] == [{"one": 1}]


def test_without_a_release_there_is_nothing_to_ask(fresh: Any) -> None:
    answer = fresh.post("/v1/sql", json={"sql": "SELECT 1"})
    assert answer.status_code == 400
    assert "wardtwin deid publish" in answer.text
    assert fresh.get("/v1/sql/releases").json() == []


def test_a_query_is_kept_by_a_name_once_it_can_be_asked(asking: Any) -> None:
    path = "/v1/sql/queries/stays by unit"
    body = {"sql": "SELECT unit FROM twin.stay ORDER BY unit", "release": "march", "shared": True}
    assert asking.put(path, json=body).status_code == 200
    assert [one["name"] for one in asking.get("/v1/sql/queries").json()] == ["stays by unit"]
    assert asking.get(path).json()["owner"] == "loopback"
    rows = asking.post(path).json()["rows"]
    assert rows[0] == {"unit": "ICU"}
    assert asking.post(f"{path}?format=csv").text.startswith("unit\r\nICU")
    reader = LedgerReader(ledger_path(asking.app.state.twin.path))
    told = [entry.what for entry in reader.entries()]
    reader.close()
    assert {"PUT", "POST"} <= {what.split()[0] for what in told if "queries" in what}
    assert asking.delete(path).status_code == 204
    assert asking.get("/v1/sql/queries").json() == []
    for method in ("get", "post", "delete"):
        assert getattr(asking, method)(path).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"sql": "DROP TABLE twin.stay", "release": "march"},
        {"sql": "SELECT nothing FROM twin.stay", "release": "march"},
        {"sql": "SELECT 1", "release": "other"},
        {"sql": "SELECT 1", "release": "march", "owner": "somebody"},
        {"sql": 1},
    ],
)
def test_what_cannot_be_asked_is_not_kept(asking: Any, body: Any) -> None:
    assert asking.put("/v1/sql/queries/wrong", json=body).status_code == 400
    assert asking.get("/v1/sql/queries").json() == []


def test_a_shared_query_is_everybodys_and_one_of_ones_own_is_not(asking: Any) -> None:
    twin = asking.app.state.twin
    query = SavedQuery(
        name="q", owner="a", shared=False, release=None, sql="1", about="", saved_at=NOON
    )
    twin.save_query(query)
    assert twin.saved_queries("b") == []
    twin.save_query(msgspec.structs.replace(query, shared=True, sql="2"))
    assert [one.sql for one in twin.saved_queries("b")] == ["2"]
    with pytest.raises(UsageError, match="Somebody else"):
        twin.save_query(msgspec.structs.replace(query, owner="b", shared=True))
    twin.save_query(msgspec.structs.replace(query, owner="b", sql="3"))
    assert twin.saved_query("b", "q").sql == "3"
    with pytest.raises(UsageError):
        twin.forget_query("c", "q")
    twin.forget_query("b", "q")
    twin.forget_query("a", "q")
    assert twin.saved_queries("a") == []


@pytest.mark.parametrize("release", ["march", "limited"])
def test_what_can_be_asked_is_listed_with_what_it_means(asking: Any, release: str) -> None:
    told = asking.get(f"/v1/sql/schema?release={release}").json()
    tables = {table["name"]: table for table in told["tables"]}
    stay = {column["name"]: column for column in tables["twin.stay"]["columns"]}
    assert stay["unit"]["type"] == "VARCHAR"
    assert all(column["meaning"] for column in stay.values())
    assert tables["twin.stay"]["meaning"]
    assert "present.stay" not in tables
    assert ("alos" in told["kpis"]) == (release == "limited")
    assert asking.get("/v1/sql/schema?release=other").status_code == 400
