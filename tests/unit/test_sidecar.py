"""Analysts' SQL in its own process: what it answers, what it refuses, what stops it."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from api.sidecar import Sidecar
from api.sidecar.__main__ import _connect
from api.sidecar.words import Ask
from twin_core.errors import QueryFailed, StoreBusy, UsageError
from twin_core.settings import StoreSettings

SHARED = Path(__file__).resolve().parents[2] / "../shared"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "w.duckdb"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS wardtwin")
        connection.execute("USE wardtwin")
        connection.execute("CREATE SCHEMA twin")
        connection.execute("CREATE SCHEMA kpi")
        connection.execute(
            "CREATE TABLE twin.stay AS SELECT 's1' AS stay_id, "
            "TIMESTAMPTZ '2026-11-01 09:00:00+01:00' AS from_at, NULL::TIMESTAMPTZ AS to_at, "
            "TIMESTAMPTZ 'infinity' AS known_to"
        )
        connection.execute("COMMENT ON COLUMN twin.stay.stay_id IS 'The stay'")
        connection.execute("CREATE MACRO kpi.stays(n := 1) AS TABLE SELECT n AS n FROM twin.stay")
    return path


@pytest.fixture(scope="module")
def sidecar():
    with Sidecar(StoreSettings(query_timeout_s=2.0, query_rows=50)) as sidecar:
        yield sidecar


def test_instants_are_utc_and_open_ends_are_null(store, sidecar):
    answer = sidecar.query(store, "SELECT * FROM twin.stay")
    assert answer.columns == ("stay_id", "from_at", "to_at", "known_to")
    assert answer.rows == [
        {
            "stay_id": "s1",
            "from_at": "2026-11-01T08:00:00Z",
            "to_at": None,
            "known_to": "infinity",
        }
    ]


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT 1.50::DECIMAL(9, 2)", 1.5),
        ("SELECT DATE '2026-11-01'", "2026-11-01"),
        ("SELECT TIMESTAMP '2026-11-01 08:00:00'", "2026-11-01T08:00:00"),
        ("SELECT INTERVAL 90 MINUTE", "1:30:00"),
        ("SELECT {'a': [1, NULL]}", {"a": [1, None]}),
        ("SELECT 'nan'::DOUBLE", "nan"),
        ("SELECT 2::HUGEINT ** 100", 2.0**100),
        ("SELECT '\\xFF'::BLOB", "ff"),
        ("WITH a AS (SELECT 7 AS n) SELECT n FROM a", 7),
        ("VALUES (3)", 3),
        ("SELECT n FROM kpi.stays(n := 5)", 5),
        ("SELECT count(*) FROM range(10)", 10),
        ("SELECT comment FROM duckdb_columns() WHERE column_name = 'stay_id'", "The stay"),
    ],
)
def test_values_are_readable(store, sidecar, sql, answer):
    [row] = sidecar.query(store, sql).rows
    assert list(row.values()) == [answer]


def test_repeated_column_names_are_numbered(store, sidecar):
    assert sidecar.query(store, "SELECT 1 AS a, 2 AS a").rows == [{"a": 1, "a_2": 2}]


def test_describe_and_show_work(store, sidecar):
    described = sidecar.query(store, "DESCRIBE twin.stay").rows
    assert [row["column_name"] for row in described][:2] == ["stay_id", "from_at"]
    assert sidecar.query(store, "SHOW ALL TABLES").rows[0]["name"] == "stay"


def test_rows_above_the_cap_are_cut_and_it_says_so(store, sidecar):
    answer = sidecar.query(store, "FROM range(51)")
    assert (len(answer.rows), answer.cut) == (50, True)
    assert not sidecar.query(store, "FROM range(50)").cut


REFUSED = [
    "SELECT 1; SELECT 2",
    "DROP TABLE twin.stay",
    "ATTACH '/tmp/x.duckdb' AS p",
    "COPY twin.stay TO '/tmp/x.csv'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '10GB'",
    "PRAGMA database_list",
    "EXPORT DATABASE '/tmp/x'",
    "CALL pragma_version()",
    "CREATE TABLE t AS SELECT 1",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM READ_TEXT('/etc/passwd')",
    "SELECT * FROM main.read_blob('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "x.parquet"',
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "WITH a AS (FROM glob('*')) FROM a",
    "SELECT * FROM query('ATTACH ''x''')",
    "SELECT * FROM query_table('twin.stay')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    "SELECT getenv('HOME')",
    "SELECT 'HOME'.getenv()",
    "SELECT current_setting('secret_directory')",
    "FROM pg_catalog.pg_settings",
    "SELECT pg_sleep(1)",
    "DESCRIBE '/etc/passwd'",
    "SUMMARIZE '/etc/passwd'",
    "PIVOT '/etc/passwd' ON a",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/x.csv'",
    "EXPLAIN EXPLAIN DROP TABLE twin.stay",
    *(
        f"{hiding} {hidden}"
        for hiding in ("/* /* */ EXPLAIN SELECT 1 -- */", "-- \r EXPLAIN SELECT 1 --")
        for hidden in (
            "\nFROM duckdb_settings()",
            "\nCREATE TEMP TABLE t AS SELECT 1",
            "\nUSE memory",
            "\nDETACH wardtwin",
            "\nSELECT 1; SELECT 2",
        )
    ),
    "EXPLAIN SELECT 1; SELECT 2",
    "EXPLAIN (FORMAT JSON) DROP TABLE twin.stay",
    "EXPLAIN (FORMAT JSON) SELECT 1; SELECT 2",
    "EXPLAIN (FORMAT JSON, ANALYZE) FROM read_text('/etc/passwd')",
    "PIVOT (FROM read_text('/etc/passwd')) ON content IN ('a') USING count(*)",
    "PIVOT twin.stay ON stay_id IN (SELECT content FROM read_text('/etc/passwd')) USING count(*)",
    "UNPIVOT (FROM read_text('/etc/passwd')) ON content",
    "SELECT * FROM '/etc/passwd' PIVOT (count(*) FOR a IN ('a'))",
    "WITH t AS (DELETE FROM twin.stay RETURNING *) FROM t",
    "FROM range((SELECT length(content) FROM read_text('/etc/passwd')))",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM pragma_storage_info('twin.stay')",
    "SELECT * FROM other.twin.stay",
    "SELECT * FROM core.raw",
    "SELECT * FROM nowhere",
    "SELEC 1",
    "SELECT ?",
    "",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_may_not_run_is_refused_as_a_usage_error(store, sidecar, sql):
    with pytest.raises(UsageError, match=r"The query cannot be run\. .+"):
        sidecar.query(store, sql)


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("EXPLAIN (FORMAT JSON) FROM twin.stay", ["explain_key", "explain_value"]),
        ("explain(analyze, format json) FROM twin.stay", ["explain_key", "explain_value"]),
        ("EXPLAIN ANALYZE (SELECT 1)", ["explain_key", "explain_value"]),
        ("EXPLAIN(SELECT 1)", ["explain_key", "explain_value"]),
        ("EXPLAIN PIVOT twin.stay ON stay_id IN ('s1') USING count(*)", None),
        ("PIVOT twin.stay ON stay_id IN ('s1', 's2') USING count(*) GROUP BY to_at", None),
        ("FROM (SELECT stay_id FROM twin.stay) PIVOT (count(*) FOR stay_id IN ('s1'))", ["s1"]),
        ("UNPIVOT (SELECT stay_id, 'ED' AS unit FROM twin.stay) ON unit", None),
    ],
)
def test_plans_and_pivots_run_where_one_statement_says_all(store, sidecar, sql, columns):
    answer = sidecar.query(store, sql)
    assert len(answer.rows) == 1
    assert columns is None or list(answer.columns) == columns


@pytest.mark.parametrize(
    ("sql", "instead"),
    [
        ("PIVOT twin.stay ON stay_id USING count(*)", r"ON unit IN \('ED', 'ICU'\)"),
        ("FROM (PIVOT twin.stay ON stay_id USING count(*))", "must name its columns"),
        ("EXPLAIN (FORMAT XML) FROM twin.stay", r"EXPLAIN \(ANALYZE, FORMAT JSON\)"),
    ],
)
def test_what_is_refused_says_what_to_write_instead(store, sidecar, sql, instead):
    with pytest.raises(UsageError, match=instead):
        sidecar.query(store, sql)


def test_what_a_comment_hides_is_not_what_runs(store, sidecar):
    """DuckDB's comments nest: to it, everything up to the last line is one."""
    sql = "/* /* */ EXPLAIN SELECT 1 -- */ FROM twin.stay"
    [row] = sidecar.query(store, sql).rows
    assert row["explain_key"] == "physical_plan"


def test_no_file_can_be_read_even_where_the_check_is_passed_by(store):
    """The child's DuckDB itself has no way out, whatever the syntax tree looked like."""
    ask = Ask(path=str(store), opened=0, sql="", rows=1, timeout_s=1.0, memory_limit="256MB")
    with _connect(ask, "") as connection:
        for sql in ["FROM read_text('/etc/passwd')", "ATTACH '/tmp/x' AS x", "INSTALL httpfs"]:
            with pytest.raises(duckdb.Error, match=r"disabled|not allowed|Permission"):
                connection.execute(sql)
        with pytest.raises(duckdb.Error, match="locked"):
            connection.execute("SET memory_limit = '1GB'")


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT max(i) FROM t",
        "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range = 7",
        "SELECT length(repeat('x', 2000000000))",
        "SELECT repeat('x', 1000000) FROM range(50)",
        "SELECT sum(length(repeat('x', 100000000))) FROM range(100000)",
    ],
    ids=["endless recursion", "cross join", "one huge string", "huge answer", "huge strings"],
)
def test_a_runaway_query_is_stopped_and_the_next_one_answered(store, sidecar, sql):
    try:
        assert sidecar.query(store, sql).rows
    except QueryFailed:
        pass  # Stopped at a limit, which is what the next query must not notice.
    assert sidecar.query(store, "SELECT 1 AS one").rows == [{"one": 1}]


def test_a_store_that_another_program_writes_is_busy(store, sidecar, tmp_path):
    path = tmp_path / "held.duckdb"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb; c = duckdb.connect({str(path)!r}); print('up', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        holder.stdout.readline()
        with pytest.raises(StoreBusy):
            sidecar.query(path, "SELECT 1")
        holder.stdin.close()


def test_hostile_statements_of_the_collection_reach_nothing(store, sidecar):
    cases = sorted((SHARED / "adversarial/fhir").glob("F0[567]*.body"))
    if not cases:
        pytest.skip("the shared folder is not here")
    for case in cases:
        try:
            sql = json.loads(case.read_text())["sql"]
        except (ValueError, KeyError, TypeError):
            continue
        with pytest.raises((UsageError, QueryFailed)):
            sidecar.query(store, sql)
