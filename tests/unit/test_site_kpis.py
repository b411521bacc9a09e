"""KPIs of a site's own: what is taken, what is refused and by which words, and who knows them."""

import io
import json

import pytest

from api.cli import main
from twin_core import Twin
from twin_core.errors import ConfigurationError, UsageError
from twin_core.kpi.catalogue import catalogue
from twin_core.kpi.site import judge, known_kpis
from twin_core.settings import KpiSettings, Settings
from twin_core.store import trial

FRONT = """\
-- title = "Discharges before ten"
-- question = "How many inpatients leave before ten?"
-- unit = "%"
-- shape = "shares"
-- grain = ["day", "all"]
-- by = ["hospital", "unit", "class"]
-- direction = "higher"
-- numerator = "discharges before 10:00"
-- denominator = "discharges of inpatients"
-- exclusions = []
-- strata = {}
-- statistics = { share = "share of discharges", count = "discharges before ten" }
-- source = "House rule (2026)"
-- caveats = ["By unit, a discharge belongs to the unit of the last stay."]
-- inputs = ["history.encounter", "history.stay"]
"""
RULE = """\
SELECT d.encounter_id, d.facility, d.unit, d.class, d.discharged_at AS happened_at,
       NULL AS stratum, hour(timezone(z.zone, d.discharged_at)) < 10 AS counted
FROM kpi_part.discharges(window_start, window_end, known_at) d
JOIN kpi_part.zones(known_at) z ON z.facility = d.facility
WHERE d.patient_group = 'inpatient';
"""
FAILING = """\
SELECT 'e1' AS encounter_id, NULL AS facility, NULL AS unit, NULL AS class, NULL AS stratum,
       window_start::TIMESTAMPTZ AS happened_at,
       CASE WHEN "by" = 'class' THEN error('not so')::BOOLEAN ELSE true END AS counted
"""
ROWS = FRONT.replace('-- shape = "shares"\n', "")


@pytest.fixture
def folder(tmp_path):
    """A site's folder of KPIs."""
    (tmp_path / "kpis").mkdir()
    return tmp_path / "kpis"


def judged(folder):
    known = known_kpis(folder)
    judge(known, folder)
    return known


def test_a_file_adds_a_kpi_and_another_takes_the_place_of_a_built_in_one(folder):
    (folder / "dbt.sql").write_text(FRONT + RULE)
    (folder / "dbn.sql").write_text(FRONT + RULE)
    (folder / "notes.txt").write_text("no KPI")
    known = judged(folder)
    assert set(known) == set(catalogue()) | {"dbt"}
    assert list(known) == sorted(known)
    assert (known["dbt"].origin, known["dbt"].replaces) == ("site", "")
    assert known["dbn"].replaces == catalogue()["dbn"].title
    assert known["dbn"].title == "Discharges before ten"
    assert (known["alos"].origin, known["alos"].replaces) == ("built-in", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FRONT.replace('-- unit = "%"\n', "") + RULE, "front matter is incomplete.*unit"),
        (FRONT.replace('"all"]', '"minute"]') + RULE, "grain"),
        (FRONT.replace('"%"', '"Percent"') + RULE, "unit 'Percent' is written % here"),
        (FRONT.replace('"%"', '"Minutes"') + RULE, "unit 'Minutes' is written min here"),
        (FRONT.replace('"%"', '"2 m\\u001b[31m"') + RULE, "unit .* is none"),
        (FRONT.replace('"%"', f'"{"beds" * 11}"') + RULE, "unit .* is none"),
        (
            FRONT.replace('"%"', '"patients"').replace(', count = "discharges before ten"', "")
            + RULE,
            "unit is %: what it has",
        ),
        (FRONT.replace("title = ", "title ") + RULE, "no TOML"),
        (FRONT.replace("share = ", "median = ") + RULE, "no statistic median"),
        (FRONT.replace('"shares"\n', '"shares"\n-- target = "speed"\n') + RULE, "speed.*setting"),
        (FRONT + RULE.replace("AS counted", "AS count"), "lacks the column counted"),
        (FRONT + RULE.replace("d.encounter_id, ", ""), "lacks the column encounter_id"),
        (FRONT + RULE.replace("< 10", "+ 0.5"), "counted is DECIMAL.*, not true or false"),
        (
            FRONT + RULE.replace("d.discharged_at AS h", "d.discharged_at::DATE AS h"),
            "happened_at is DATE, not an instant",
        ),
        (ROWS + RULE, "lacks the column period_start"),
        (FRONT + RULE.replace("d.patient_group", "d.group"), "[Gg]roup"),
        (FRONT + RULE + "DROP TABLE core.event;", "Only SELECT|One statement"),
        (FRONT + RULE + "SELECT 1", "One statement at a time"),
        (FRONT + "DELETE FROM core.event", "Only SELECT"),
        (FRONT + "ATTACH 'x.db'", "Only SELECT"),
        (FRONT + "COPY core.event TO 'x.csv'", "Only SELECT"),
        (FRONT + "PRAGMA database_list", "Only SELECT|not"),
        (FRONT + RULE.replace("FROM kpi_part", "FORM kpi_part"), r"\"FORM\" \(line 3 of the SQL\)"),
        (FRONT + "SELECT 1) SELECT 2 FROM (SELECT 3", "[Ss]yntax"),
        (FRONT + "FROM read_csv('/etc/passwd')", "read_csv may not be used"),
        (FRONT + "FROM '/etc/passwd'", "Files and addresses"),
        (FRONT + "SELECT getenv('HOME')", "getenv may not be used"),
        (FRONT + "SELECT raw FROM core.raw", "raw may not be read"),
        (FRONT + FAILING, "not so"),
        ("", "front matter is incomplete"),
    ],
)
def test_a_faulty_file_is_refused_by_its_name_and_its_fault(folder, text, said):
    (folder / "dbt.sql").write_text(text)
    with pytest.raises(ConfigurationError, match=rf"(?s)dbt\.sql: .*{said}") as refused:
        judged(folder)
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    "unit",
    [
        *sorted({kpi.unit for kpi in catalogue().values()}),
        *("EUR", "falls per 1000 bed-days", "Pflegestunden/Tag", "mmol/L"),
    ],
)
def test_units_of_the_field_are_taken(folder, unit):
    (folder / "dbt.sql").write_text(FRONT.replace('"%"', f'"{unit}"') + RULE)
    assert known_kpis(folder)["dbt"].unit == unit


def test_a_kpi_that_never_ends_is_refused(folder, monkeypatch):
    monkeypatch.setattr(trial, "LONGEST_S", 1.0)
    endless = (
        "(WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT 1 - i FROM n) SELECT sum(i) FROM n)"
    )
    (folder / "endless.sql").write_text(
        FRONT + RULE.replace("10 AS counted", f"{endless} AS counted")
    )
    with pytest.raises(ConfigurationError, match=r"endless\.sql: It ran for 1 s on an empty store"):
        judged(folder)


def test_names_bytes_and_folders_that_cannot_be_are_refused(folder):
    with pytest.raises(ConfigurationError, match=r"nowhere cannot be read"):
        judged(folder / "nowhere")
    (folder / "dbt.sql").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"dbt\.sql: It is not UTF-8"):
        judged(folder)
    (folder / "dbt.sql").rename(folder / "d-b.sql")
    with pytest.raises(ConfigurationError, match=r"d-b\.sql: A KPI's id is small letters"):
        judged(folder)


def test_a_store_knows_them_while_they_are_in_the_folder(folder, tmp_path):
    (folder / "dbt.sql").write_text(FRONT + RULE)
    path, own = tmp_path / "h.duckdb", Settings(kpi=KpiSettings(folder=folder))
    with Twin.open(path, settings=own) as twin:
        assert twin.kpi("dbt", "2026-11-01", "2026-11-02") == []
        assert twin.kpi_rows("dbt", "2026-11-01", "2026-11-02") == []
        twin.replica_snapshot(tmp_path / "copy.duckdb")
    macros = "SELECT function_name FROM duckdb_functions() WHERE function_name = 'dbt'"
    with Twin.open(path) as twin:
        assert twin.query(macros) == []
        with pytest.raises(UsageError, match="no KPI 'dbt'"):
            twin.kpi("dbt", "2026-11-01", "2026-11-02")
    (folder / "dbt.sql").write_text("SELECT 1")
    with pytest.raises(ConfigurationError, match=r"dbt\.sql"):
        Twin.open(path, settings=own)


def test_a_sites_kpi_is_listed_measured_and_read_by_sql(folder, tmp_path):
    (folder / "dbn.sql").write_text(FRONT + RULE)
    (tmp_path / "site.toml").write_text(f'[kpi]\nfolder = "{folder}"\n')

    def wardtwin(*words):
        out, err = io.StringIO(), io.StringIO()
        store = ("--db", str(tmp_path / "h.duckdb"), "--config", str(tmp_path / "site.toml"))
        return main([*words, *store], environ={}, out=out, err=err), out.getvalue(), err.getvalue()

    [listed] = [k for k in json.loads(wardtwin("kpi", "--json")[1]) if k["id"] == "dbn"]
    assert (listed["origin"], listed["title"]) == ("site", "Discharges before ten")
    assert listed["replaces"] == catalogue()["dbn"].title
    Twin.open(tmp_path / "h.duckdb").close()
    assert wardtwin("kpi", "dbn", "--json")[0] == 0
    assert "House rule" in wardtwin("kpi", "dbn", "--explain")[1]
    assert wardtwin("sql", "FROM kpi.dbn('2026-11-01', '2026-11-02')")[0] == 0
    checks = json.loads(wardtwin("doctor", "--json")[1])
    assert "1 of the site's own, 1 in place" in str([c for c in checks if c["check"] == "kpis"])

    (folder / "dbn.sql").write_text(FRONT + "FROM read_csv('x.csv')")
    status, _, err = wardtwin("kpi", "dbn")
    assert (status, "dbn.sql: The table function read_csv" in err) == (3, True)
    checks = json.loads(wardtwin("doctor", "--json")[1])
    [fault] = [c for c in checks if c["check"] == "kpis"]
    assert (fault["verdict"], "dbn.sql" in fault["said"]) == ("fail", True)
