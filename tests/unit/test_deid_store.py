"""What leaves the identified store: only what the rules name, under keys, and still countable."""

import json
import os
import re
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from simulated_store import KEYS, hear, simulated

from twin_core.deid import Codebook, Keys, drawn_keys, fingerprint, read_keys, rules, stated_sql
from twin_core.deid.keys import write_keys
from twin_core.deid.publish import RARE, Edition, codebook, projection, secrets_of
from twin_core.deid.rules import PROFILES, read_rules
from twin_core.deid.zips import zip3
from twin_core.errors import ConfigurationError, UsageError
from twin_core.kpi.measuring import measure
from twin_core.settings import DeidSettings
from twin_core.store.release import columns_of
from twin_core.store.tables import ENTITIES

ENDS = datetime(2026, 3, 26, 11, tzinfo=UTC)
"""When the simulated days end."""
CODEBOOK = Codebook(read_keys(KEYS), shift_weeks=KEYS.shift_weeks)


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    opened = simulated(tmp_path_factory.mktemp("deid") / "hospital.duckdb")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def released(twin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    for profile in PROFILES:
        twin.publish(folder / f"{profile}.duckdb", profile, cut_off=twin.clock.now())
    twin.publish(folder / "exact.duckdb", "shifted", cut_off=twin.clock.now(), precision="exact")
    return folder


def asked(path: Path, sql: str, parameters=()):
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(sql, parameters or None)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


# --- the list ------------------------------------------------------------------------------------


def test_every_column_of_every_table_has_a_rule(twin):
    columns = columns_of(twin._database.cursor())
    assert {(e.name, c.name) for e in ENTITIES for c in e.columns} <= set(columns)
    assert rules().unlisted(columns) == []
    known = set(columns)
    assert [r for r in rules().every() if (r.table, r.column) not in known] == []


def test_a_column_that_nobody_listed_is_dropped_and_reported(twin, tmp_path):
    connection = twin._database.connection
    connection.execute(
        "CREATE OR REPLACE VIEW twin.shoe AS SELECT patient_id, 43 AS size FROM twin.patient"
    )
    try:
        told = twin.publish(tmp_path / "out.duckdb", "limited")
    finally:
        connection.execute("DROP VIEW twin.shoe")
    assert told.unlisted == ["shoe.patient_id", "shoe.size"]
    tables = asked(tmp_path / "out.duckdb", "SELECT table_name FROM duckdb_tables()")
    assert {"table_name": "shoe"} not in tables
    dropped = asked(
        tmp_path / "out.duckdb", "FROM deid.dropped WHERE table_name = 'shoe' ORDER BY ALL"
    )
    assert [row["reason"] for row in dropped] == ["no rule names it"] * 2


@pytest.mark.parametrize(
    "broken",
    [
        '[x]\na = ["keep"]',
        '[x]\na = ["nothing", "because"]',
        '[x]\na = ["code", "because"]',
        '[x]\na = ["code missing", "because"]',
    ],
)
def test_a_rule_without_reason_action_or_words_is_refused(broken):
    head = (
        '[actions]\nkeep = ["keep", "keep", "keep"]\ncode = ["code", "code", "code"]\n'
        "[words.unit]\n[kpis]\nkept = []\n"
    )
    with pytest.raises(ValueError, match=r"x\.a"):
        read_rules(head + broken)


# --- codebook and keys ---------------------------------------------------------------------------


def test_a_release_has_the_pseudonyms_and_shifts_of_the_codebook(twin, released):
    visits = twin.query(
        "SELECT e.encounter_id, e.patient_id, e.admitted_at, e.discharged_at FROM twin.encounter e"
        " WHERE e.discharged_at IS NOT NULL AND e.status = 'finished'"
    )
    expected = {}
    for row in visits:
        moved = CODEBOOK.shift(row["patient_id"])
        expected["e" + CODEBOOK.code("e", row["encounter_id"])] = (
            "p" + CODEBOOK.code("p", row["patient_id"]),
            row["admitted_at"] + moved,
            row["discharged_at"] + moved,
        )
    found = {
        row["encounter_id"]: (row["patient_id"], row["admitted_at"], row["discharged_at"])
        for row in asked(released / "exact.duckdb", "FROM twin.encounter")
    }
    assert len(found) > 100
    assert found == expected


def test_shifts_are_whole_weeks_back_and_differ_between_patients():
    weeks = {CODEBOOK.weeks(f"patient {number}") for number in range(200)}
    assert weeks == {1, 2, 3, 4}
    assert CODEBOOK.weeks("one") == CODEBOOK.weeks("one")


def test_one_key_tells_nothing_of_the_other():
    keys = read_keys(KEYS)
    other = Codebook(keys._replace(shift=b"x" * 32), shift_weeks=4)
    assert other.code("p", "one") == CODEBOOK.code("p", "one")
    assert {other.weeks(str(n)) - CODEBOOK.weeks(str(n)) for n in range(50)} != {0}
    assert fingerprint(other.keys) != fingerprint(keys)
    assert keys.pseudonym.hex() not in repr(keys)


def test_a_key_file_must_be_its_owners_alone(tmp_path):
    path = tmp_path / "keys"
    write_keys(path, drawn_keys())
    assert path.stat().st_mode & 0o777 == 0o600
    keys = read_keys(DeidSettings(keys_file=path))
    assert isinstance(keys, Keys)
    with pytest.raises(ConfigurationError, match="exists already"):
        write_keys(path, drawn_keys())
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match="open to others"):
            read_keys(DeidSettings(keys_file=path))


def test_keys_come_from_a_command(tmp_path):
    write_keys(tmp_path / "keys", drawn_keys())
    command = ("/bin/cat", str(tmp_path / "keys"))
    assert read_keys(DeidSettings(keys_command=command)) == read_keys(
        DeidSettings(keys_file=tmp_path / "keys")
    )
    for broken in (("/bin/false",), ("/no/such/vault",), ("/bin/echo", "secret = one")):
        with pytest.raises(ConfigurationError) as refused:
            read_keys(DeidSettings(keys_command=broken))
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"pseudonym_key": "ab" * 32}, "missing"),
        ({"pseudonym_key": "ab" * 31, "shift_key": "cd" * 32}, "fewer"),
        ({"pseudonym_key": "ab" * 32, "shift_key": "ab" * 32}, "twice"),
        ({"pseudonym_key": "zz" * 32, "shift_key": "ab" * 32}, "hexadecimal"),
        ({"pseudonym_key": "ab" * 32, "shift_key": "cd" * 32, "keys_file": "x"}, "two sources"),
    ],
)
def test_keys_that_are_none_are_refused(settings, why):
    with pytest.raises(ConfigurationError, match=why) as refused:
        read_keys(DeidSettings(**settings))
    assert "abab" not in str(refused.value)


def test_new_keys_rebuild_the_release_and_nothing_of_the_old_stays(twin, tmp_path):
    path = tmp_path / "out.duckdb"
    twin.publish(path, "shifted")
    old = {row["patient_id"] for row in asked(path, "FROM twin.patient")}
    assert old
    settings = twin.settings
    try:
        fresh = settings.deid.model_copy(
            update={"pseudonym_key": DeidSettings(pseudonym_key="12" * 32).pseudonym_key}
        )
        twin.settings = settings.model_copy(update={"deid": fresh})
        twin.publish(path, "shifted")
    finally:
        twin.settings = settings
    written = path.read_bytes()
    assert not any(code.encode() in written for code in old)
    assert [p.name for p in tmp_path.iterdir()] == ["out.duckdb"]


def test_a_file_that_is_no_release_is_left_alone(twin, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear sir")
    with pytest.raises(UsageError):
        twin.publish(path, "limited")
    assert path.read_text() == "Dear sir"


# --- what is in a release ------------------------------------------------------------------------


def test_no_release_holds_a_name_or_a_number(twin, released):
    rows = twin.query("SELECT family_name, given_name, patient_id FROM twin.patient")
    numbers = twin.query(
        "SELECT value FROM twin.patient_identifier UNION ALL"
        " SELECT value FROM twin.encounter_identifier"
    )
    secrets = {str(row["value"]) for row in numbers if len(str(row["value"])) > 5}
    for row in rows:
        secrets |= {str(name) for name in row.values() if name and len(str(name)) > 5}
    secrets -= {"Unknown"}
    assert len(secrets) > 500
    for path in released.iterdir():
        written = path.read_bytes().decode("latin-1")
        words = set(re.findall(r"[\w-]{6,}", written))
        assert not words & secrets, path


def test_instants_of_a_release_are_whole_hours(released):
    rows = asked(released / "shifted.duckdb", "FROM twin.stay")
    assert rows
    for row in rows:
        assert {row["from_at"].minute, row["to_at"].minute} == {0}
        assert row["from_at"].second == 0


def test_local_weekday_hour_and_nights_are_those_before_the_shift(twin, released):
    told = {
        row["encounter_id"]: row
        for row in asked(released / "shifted.duckdb", "FROM twin.encounter")
    }
    zone = "Europe/Berlin"
    local = twin.query(
        "SELECT encounter_id, isodow(timezone($zone, admitted_at)) AS weekday,"
        " hour(timezone($zone, admitted_at)) AS hour, timezone($zone, admitted_at)::DATE AS first,"
        " timezone($zone, discharged_at)::DATE AS last, discharged_at - admitted_at AS length"
        " FROM twin.encounter",
        {"zone": zone},
    )
    compared = 0
    for row in local:
        there = told.get("e" + CODEBOOK.code("e", row["encounter_id"]))
        if there:
            compared += 1
            assert there["admitted_weekday"] == row["weekday"]
            assert there["admitted_hour"] == row["hour"]
            assert there["nights"] == (row["last"] - row["first"]).days
            assert there["hours"] == row["length"] // timedelta(hours=1)
    assert compared == len(told) > 100


def test_safe_harbor_has_no_dates_and_no_code_that_can_be_made_again(twin, released, tmp_path):
    path = released / "safe_harbor.duckdb"
    kinds = asked(path, "SELECT DISTINCT data_type FROM duckdb_columns() WHERE schema_name='twin'")
    assert {row["data_type"] for row in kinds} <= {"VARCHAR", "BOOLEAN", "BIGINT", "DOUBLE"}
    columns = asked(path, "SELECT column_name AS c FROM duckdb_columns() WHERE schema_name='twin'")
    assert not {"weekday", "hour", "facility", "room", "bed"} & {
        row["c"].rpartition("_")[2] for row in columns
    }
    twin.publish(tmp_path / "again.duckdb", "safe_harbor")
    one, other = (
        {row["patient_id"] for row in asked(p, "FROM twin.patient")}
        for p in (path, tmp_path / "again.duckdb")
    )
    assert one
    assert not one & other


def test_only_visits_that_ended_before_the_cut_off_are_released(twin, tmp_path):
    cut_off = ENDS - timedelta(days=1)
    twin.publish(tmp_path / "out.duckdb", "shifted", cut_off=cut_off)
    [expected] = twin.query(
        "SELECT count(*) AS n FROM twin.encounter WHERE discharged_at < $cut_off"
        " AND status = 'finished'",
        {"cut_off": cut_off.replace(minute=0, second=0, microsecond=0)},
    )
    [found] = asked(tmp_path / "out.duckdb", "SELECT count(*) AS n FROM twin.encounter")
    assert found == expected
    usual = twin.publish(tmp_path / "usual.duckdb", "shifted")
    assert usual.rows["encounter"] > found["n"]
    with pytest.raises(UsageError):
        twin.publish(tmp_path / "never.duckdb", "shifted", cut_off=twin.clock.now() + timedelta(1))


def test_no_release_time_bounds_a_shift(twin, tmp_path):
    """Whatever the weeks were, what is told by the release could have been: no event is newer than
    the greatest shift would allow."""
    now, greatest = twin.clock.now(), timedelta(weeks=KEYS.shift_weeks)
    twin.clock.at = ENDS - timedelta(days=1) + greatest
    try:
        told = twin.publish(tmp_path / "out.duckdb", "shifted")
        latest = twin.clock.at - greatest - timedelta(weeks=1)
    finally:
        twin.clock.at = now
    assert 0 < told.rows["encounter"] < told.visits_left_out
    [last] = asked(tmp_path / "out.duckdb", "SELECT max(discharged_at) AS at FROM twin.encounter")
    assert last["at"] < latest


def test_history_and_instants_of_knowledge_are_not_released(released):
    for path in released.iterdir():
        columns = asked(path, "SELECT table_name, column_name FROM duckdb_columns()")
        names = {row["column_name"] for row in columns if row["table_name"] != "batch"}
        assert not {"known_from", "known_to", "recorded_at", "received_at", "version_no"} & names


def test_rows_are_not_in_the_order_of_time(released):
    rows = asked(released / "shifted.duckdb", "SELECT stay_id FROM twin.stay")
    assert [row["stay_id"] for row in rows] == sorted(row["stay_id"] for row in rows)


# --- people --------------------------------------------------------------------------------------

PEOPLE = (
    ("p-old", date(1930, 3, 1), "03601", None),
    ("p-zip", date(1990, 3, 1), "02138-1234", None),
    ("p-far", date(1990, 3, 1), "SW1A 1AA", None),
    ("p-kept", date(1980, 5, 5), "10001", None),
    ("p-former", date(1980, 5, 5), "10001", "p-kept"),
)


@pytest.fixture
def small(tmp_path):
    """Five people, one of them merged, with one visit each."""
    opened = simulated(tmp_path / "small.duckdb", days=0.02)
    connection = opened._database.connection
    admitted = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
    for name in ("patient", "encounter", "stay", "encounter_status", "encounter_class"):
        connection.execute(f"DELETE FROM core.{name}_version")
    always = ", 1, 1, TIMESTAMPTZ '2026-03-02', 'infinity'"
    for number, (patient, born, postal_code, merged) in enumerate(PEOPLE):
        connection.execute(
            "INSERT INTO core.patient_version SELECT ?, ?, 'day', 'female', false, NULL,"
            f" 'QUISENBERRY', 'ADA', ?, ?{always}",
            [patient, born, postal_code, merged],
        )
        connection.execute(
            "INSERT INTO core.encounter_version BY NAME SELECT ? AS encounter_id,"
            " ? AS patient_id, 'RIVERSIDE' AS facility, 'IMP' AS class, 'finished' AS status,"
            " ? AS admitted_at, ? AS discharged_at, 'QUISENBERRY' AS service,"
            " 1 AS version_no, 1 AS owner, TIMESTAMPTZ '2026-03-02' AS known_from,"
            " 'infinity' AS known_to",
            [f"e{number}", merged or patient, admitted, admitted + timedelta(hours=number)],
        )
    yield opened
    opened.close()


def test_ages_over_89_sparse_areas_and_rare_words_are_folded(small, tmp_path):
    now = small.clock.now()
    for profile in PROFILES:
        small.publish(tmp_path / f"{profile}.duckdb", profile, cut_off=now)
    for profile in ("shifted", "safe_harbor"):
        rows = asked(tmp_path / f"{profile}.duckdb", "FROM twin.encounter ORDER BY age_years")
        assert [row["age_years"] for row in rows] == [36, 36, 45, 45, 90]
        assert {row["service"] for row in rows} == {RARE}
    people = asked(tmp_path / "shifted.duckdb", "FROM twin.patient")
    assert sorted(str(row["postal_code"]) for row in people) == ["000", "021", "100", "None"]
    born = asked(tmp_path / "limited.duckdb", "SELECT min(birth_date) AS born FROM twin.patient")
    assert born == [{"born": date(1936, 1, 1)}]
    assert b"QUISENBERRY" not in (tmp_path / "limited.duckdb").read_bytes()


def test_a_merged_patient_has_the_pseudonym_and_the_shift_of_the_survivor(small, tmp_path):
    small.publish(tmp_path / "out.duckdb", "shifted", cut_off=small.clock.now())
    survivor = "p" + CODEBOOK.code("p", "p-kept")
    rows = asked(tmp_path / "out.duckdb", f"FROM twin.encounter WHERE patient_id = '{survivor}'")
    assert len(rows) == 2
    assert len({row["admitted_at"] for row in rows}) == 1
    moved = datetime(2026, 3, 1, 10, tzinfo=UTC) + CODEBOOK.shift("p-kept")
    assert rows[0]["admitted_at"] == moved
    people = {row["patient_id"] for row in asked(tmp_path / "out.duckdb", "FROM twin.patient")}
    assert survivor in people
    assert "p" + CODEBOOK.code("p", "p-former") not in people


def test_a_visit_of_a_merged_record_moves_as_the_survivor_does(small, tmp_path):
    small._database.connection.execute(
        "UPDATE core.encounter_version SET patient_id = 'p-former' WHERE encounter_id = 'e4'"
    )
    small.publish(tmp_path / "out.duckdb", "shifted", cut_off=small.clock.now())
    assert CODEBOOK.weeks("p-kept") != CODEBOOK.weeks("p-former")
    visit = "e" + CODEBOOK.code("e", "e4")
    [row] = asked(tmp_path / "out.duckdb", f"FROM twin.encounter WHERE encounter_id = '{visit}'")
    assert row["admitted_at"] == datetime(2026, 3, 1, 10, tzinfo=UTC) + CODEBOOK.shift("p-kept")


@pytest.mark.parametrize(
    ("told", "kept"),
    [("03601", "000"), ("036011234", "000"), ("94110-1234", "941"), ("9411", None), ("", None)],
)
def test_three_digits_of_a_zip_code_where_enough_people_live(told, kept):
    assert zip3(told) == kept


# --- KPIs ----------------------------------------------------------------------------------------


INSTALLED = (
    "SELECT DISTINCT function_name AS name FROM duckdb_functions() WHERE schema_name = 'kpi'"
)


def figures(rows):
    return [
        tuple(
            float(f"{cell:.12g}") if isinstance(cell, float) else cell
            for cell in (getattr(row, name) for name in row.__struct_fields__)
        )
        for row in rows
    ]


def test_every_kpi_of_a_limited_release_gives_the_figures_of_the_store(twin, released):
    window = twin.window(ENDS - timedelta(days=1), ENDS)
    with duckdb.connect(str(released / "limited.duckdb"), read_only=True) as release:
        release.execute("SET TimeZone = 'UTC'")

        def query(sql, parameters=()):
            found = release.execute(sql, parameters or None)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

        there = {row["name"] for row in query(INSTALLED)}
        # How feeds are doing, and whose time is free, no release says.
        assert set(twin.kpis) - there == {"feed_fresh", "tna"}
        compared = 0
        for name in sorted(there):
            kpi = twin.kpis[name]
            for by in kpi.by:
                if by == ("age_band" if "age_band" in kpi.by and name == "alos" else "unit"):
                    asked_for = {"grain": kpi.grain[-1], "by": by}
                    expected = figures(twin.kpi(name, *window, **asked_for))
                    assert figures(measure(query, kpi, *window, **asked_for)) == expected, name
                    compared += len(expected)
    assert compared > 200


def test_kpis_that_count_visits_and_measure_intervals_survive_the_shift(twin, released):
    start, end = datetime(2026, 1, 1, tzinfo=UTC), twin.clock.now()
    with duckdb.connect(str(released / "exact.duckdb"), read_only=True) as release:
        release.execute("SET TimeZone = 'UTC'")

        def query(sql, parameters=()):
            found = release.execute(sql, parameters or None)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

        installed = {row["name"] for row in query(INSTALLED)}
        assert installed == {*rules().kpis, *rules().published}
        there, figured = set(rules().kpis), 0
        # Here a patient who came back is still in hospital, and so is not in the release.
        for name in sorted(there - {"readm30"}):
            asked_for = {"grain": "all", "by": "hospital"}
            expected = figures(twin.kpi(name, start, end, **asked_for))
            found = figures(measure(query, twin.kpis[name], *twin.window(start, end), **asked_for))
            assert [row[4:9] for row in found] == [row[4:9] for row in expected], name
            figured += sum(row[8] is not None for row in expected)
    assert figured >= 10


def visit_messages(patient, visit, admitted):
    """An admission and a discharge two days later."""
    left = admitted + timedelta(days=2)
    for event, at, leaves in (("A01", admitted, ""), ("A03", left, f"{left:%Y%m%d%H%M%S}+0000")):
        sent = f"{at:%Y%m%d%H%M%S}+0000"
        pv1 = ["PV1", "1", "I", "MED^1^A^RIVERSIDE", *[""] * 15, f"{visit}^^^V^VN", *[""] * 24]
        yield "\r".join(
            (
                f"MSH|^~\\&|PAS|RIVERSIDE|TWIN||{sent}||ADT^{event}|{visit}-{event}|P|2.5.1",
                f"EVN|{event}|{sent}",
                f"PID|1||{patient}^^^RIVERSIDE^MR",
                "|".join((*pv1, f"{admitted:%Y%m%d%H%M%S}+0000", leaves)),
            )
        ).encode()


def test_readmissions_survive_the_shift(small, tmp_path):
    """Days between discharge and return: 29, 30 and 31, of patients with shifts of their own."""
    first = datetime(2025, 6, 1, 10, tzinfo=UTC)
    for number, days in enumerate((29, 30, 31) * 4):
        for visit, admitted in enumerate((first, first + timedelta(days=2 + days))):
            hear(small, visit_messages(f"R{number}", f"{number}-{visit}", admitted))
    path = tmp_path / "exact.duckdb"
    small.publish(path, "shifted", precision="exact", cut_off=small.clock.now())
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    asked_for = {"grain": "all", "by": "hospital"}
    expected = figures(small.kpi("readm30", start, end, **asked_for))
    assert expected[0][6] == 8.0
    found = figures(
        measure(lambda *q: asked(path, *q), small.kpis["readm30"], start, end, **asked_for)
    )
    assert [row[4:9] for row in found] == [row[4:9] for row in expected]


def test_waits_in_the_emergency_department_survive_the_shift(small, tmp_path):
    """Triaged after 7 minutes and more, seen a quarter of an hour later; of one nobody knows."""
    start = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
    version = (
        "1 AS version_no, 1 AS owner,"
        " TIMESTAMPTZ '2026-03-02' AS known_from, 'infinity' AS known_to"
    )
    connection = small._database.connection
    connection.execute("UPDATE core.encounter_version SET class = 'EMER'")
    connection.execute(
        "INSERT INTO core.stay_version BY NAME SELECT 's' || encounter_id AS stay_id, encounter_id,"
        f" facility, 'ED' AS unit, admitted_at AS from_at, discharged_at AS to_at, {version}"
        " FROM core.encounter_version WHERE discharged_at > admitted_at"
    )
    for kind, minutes in (("triaged", 7), ("seen_by_provider", 22)):
        connection.execute(
            "INSERT INTO core.encounter_milestone_version BY NAME SELECT encounter_id, ? AS kind,"
            f" admitted_at + to_minutes(? + ord(encounter_id[2])) AS at, {version}"
            " FROM core.encounter_version WHERE encounter_id != 'e4'",
            [kind, minutes],
        )
    path = tmp_path / "exact.duckdb"
    small.publish(path, "shifted", precision="exact", cut_off=small.clock.now())
    window = small.window(start - timedelta(weeks=30), start + timedelta(days=1))
    for name in ("d2p", "triage_time"):
        asked_for = {"grain": "all", "by": "hospital"}
        expected = figures(small.kpi(name, *window, **asked_for))
        found = figures(measure(lambda *q: asked(path, *q), small.kpis[name], *window, **asked_for))
        assert [row[4:9] for row in found] == [row[4:9] for row in expected]
        assert expected[0][7] >= 3
        assert expected[0][8] > 50


# --- the command ---------------------------------------------------------------------------------


def test_the_command_publishes_what_was_asked(small, tmp_path, capsys):
    import io

    from api.cli import main

    path = small.path
    small.close()
    out = io.StringIO()
    environ = {
        "WARDTWIN_DEID__PSEUDONYM_KEY": "ab" * 32,
        "WARDTWIN_DEID__SHIFT_KEY": "cd" * 32,
    }
    words = ["deid", "publish", "--profile", "shifted", "--cut-off", "2026-06-01"]
    target = tmp_path / "out.duckdb"
    status = main([*words, str(target), "--db", str(path), "--json"], environ=environ, out=out)
    assert status == 0
    told = json.loads(out.getvalue())
    assert (told["profile"], told["rows"]["encounter"]) == ("shifted", 5)
    assert os.stat(target).st_mode & 0o777 == 0o600
    err = io.StringIO()
    assert main([*words, str(target), "--db", str(path)], environ={}, err=err) == 3
    assert "deid keys" in err.getvalue()


# --- observations --------------------------------------------------------------------------------

OBSERVED = (
    # code, display, value, number, comparator, unit, effective, then what is told: text, number
    ("8867-4", "Heart rate", "97", 97, None, "/min", "2026-01-05", "97", 97),
    ("30525-0", "Age", "97", 97, None, "a", "2026-01-05", RARE, 90),
    ("30525-0", "Age", "97", 97, ">", None, "2026-01-05", RARE, 90),
    ("30525-0", "Age", "97", 97, "<", None, "2026-01-05", RARE, None),
    ("X", "Patient age", "97", 97, None, None, "2026-01-05", RARE, 90),
    ("X", "Y", "1200", 1200, None, "months", "2026-01-05", RARE, 1080),
    ("X", "Y", "42", 42, None, "years", "2026-01-05", "42", 42),
    ("21112-8", "Birth date", "1960-05-05", None, None, None, "1960-05-05", RARE, None),
    ("X", "Date of birth", "1960", 1960, None, None, "1960-05-05", RARE, None),
    ("X", "Y", "6175551234", 6175551234, None, None, "2026-01-05", RARE, None),
    ("45396-9", "Number", "471112", 471112, None, None, "2026-01-05", RARE, None),
    ("X", "Y", None, None, None, None, "1920-05-05", None, None),
)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_release_tells_no_age_over_89_no_birth_date_and_nobody_s_number(profile):
    """Where every code and every value is one that enough patients share."""
    edition = Edition(profile, datetime(2026, 3, 1, tzinfo=UTC), 26, 11)
    types = {
        column.name: column.type
        for e in ENTITIES
        if e.name == "observation"
        for column in e.columns
    }
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE deid_secret (name VARCHAR, value BLOB)")
        secrets = secrets_of(Keys(b"p" * 32, b"s" * 32))
        connection.executemany("INSERT INTO deid_secret VALUES (?, ?)", list(secrets.items()))
        for sql, _ in codebook():
            connection.execute(sql)
        stated = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
        connection.execute(f"CREATE TABLE observation ({stated})")
        connection.executemany(
            "INSERT INTO observation (code, display, value, value_number, comparator, unit,"
            " effective_at, encounter_id, observation_id) VALUES (?, ?, ?, ?, ?, ?, ?, 'e', ?)",
            [(*row[:7], str(number)) for number, row in enumerate(OBSERVED)],
        )
        connection.execute(
            "CREATE TABLE deid_visit AS"
            " SELECT 'e' AS encounter_id, 'UTC' AS zone, 3 AS weeks, true AS released"
        )
        connection.execute(
            "CREATE TABLE deid_word AS"
            " SELECT unnest(['observed', 'value', 'measure']) AS word, code FROM"
            " (SELECT code FROM observation UNION SELECT value FROM observation"
            " UNION SELECT unit FROM observation)"
        )
        chosen = projection(rules(), rules().tables["observation"], edition, "observation")
        found = connection.execute(f"FROM ({chosen})")
        names = [column[0] for column in found.description]
        told = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    assert [(row["value"], row["value_number"]) for row in told] == [row[7:] for row in OBSERVED]
    if profile == "shifted":
        moved = datetime(2026, 1, 5, tzinfo=UTC) - timedelta(weeks=3)
        expected = [moved if row[6].startswith("2026") else None for row in OBSERVED]
        assert [row["effective_at"] for row in told] == expected
    if profile == "safe_harbor":
        born = [2026 if row[6].startswith("2026") else None for row in OBSERVED]
        assert [row["effective_year"] for row in told] == born


@pytest.mark.parametrize("profile", PROFILES)
def test_a_date_that_many_share_passes_only_where_dates_are_real(profile):
    telling = stated_sql.is_telling("r.value", dates_pass=profile == "limited")
    row = "SELECT '2026-01-05' AS value, 'X' AS code, '' AS display, '' AS unit,"
    row += " NULL::DOUBLE AS value_number, NULL AS value_type"
    [[hidden]] = duckdb.execute(f"SELECT {telling} FROM ({row}) r").fetchall()
    assert hidden is (profile != "limited")
