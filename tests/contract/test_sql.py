"""SQL over de-identified releases: what analysts get, and what they never get."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from tests.contract.conftest import HEARD, SETTINGS, Caller, StoppedClock
from twin_core.settings import DeidSettings, StoreSettings
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
        releases={"limited": folder / "limited.duckdb", "store": folder / "copy.duckdb"},
    )
    limits = StoreSettings(query_timeout_s=2.0, query_rows=2)
    settings = SETTINGS.model_copy(update={"deid": deid, "store": limits})
    with Twin.open(folder / "api.duckdb", settings=settings, clock=StoppedClock()) as twin:
        caller = Caller(create_app(twin))
        for raw in HEARD:
            caller.post("/v1/hl7v2", content=raw)
        twin.wait_applied()
        twin.publish(folder / "limited.duckdb", "limited", cut_off=twin.clock.now())
        with Twin.open(folder / "copy.duckdb", clock=StoppedClock()):
            pass
        yield caller
        caller.close()


def ask(api: Any, sql: str, **more: Any) -> Any:
    return api.post("/v1/sql", json={"sql": sql, "release": "limited", **more})


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
        "/v1/sql", params={"format": "csv"}, json={"sql": "SELECT '=1' AS a", "release": "limited"}
    )
    assert (csv.headers["content-type"].partition(";")[0], csv.text) == ("text/csv", "a\r\n'=1\r\n")


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
        ({"sql": "SELECT 1", "release": "other"}, "limited, store"),
        ({"sql": "SELECT 1"}, "limited, store"),
        ({"query": "SELECT 1"}, "Post JSON"),
        (["SELECT 1"], "Post JSON"),
        ({"sql": "DROP TABLE twin.stay", "release": "limited"}, "cannot be run"),
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
