"""The risk of a release is what an oracle counts."""

import io
import json
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from simulated_store import simulated

from api.cli import main
from twin_core.deid.risk import measured
from twin_core.errors import UsageError

# --- a release -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("risk")
    twin = simulated(folder / "hospital.duckdb", days=2)
    twin.publish(folder / "shifted.duckdb", "shifted")
    twin.publish(folder / "safe.duckdb", "safe_harbor")
    twin.close()
    return folder


def test_k_l_and_shares_are_those_of_plain_counting(release):
    path = release / "shifted.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(
            "SELECT p.sex, e.age_years, e.service FROM twin.encounter e"
            " JOIN twin.patient p USING (patient_id)"
        ).fetchall()
    sizes = Counter((sex, age) for sex, age, _ in rows)
    kinds = {key: {s or "" for x, y, s in rows if (x, y) == key} for key in sizes}
    found = measured(path, ("sex", "age_years")).classes
    assert found.visits == len(rows) > 50
    assert found.k == min(sizes.values())
    assert found.l == min(map(len, kinds.values()))
    assert found.classes == len(sizes)
    alone = sum(n for n in sizes.values() if n == 1)
    small = sum(n for n in sizes.values() if n < 11)
    assert found.unique_share == pytest.approx(alone / len(rows), abs=1e-4)
    assert found.small_share == pytest.approx(small / len(rows), abs=1e-4)


def test_paths_that_one_patient_alone_took_are_counted(release):
    path = release / "shifted.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        stays = connection.execute(
            "SELECT patient_id, unit, hours FROM twin.stay ORDER BY from_at, stay_id"
        ).fetchall()
    ways: dict[str, tuple[object, ...]] = {}
    for patient, unit, hours in stays:
        ways[patient] = (*ways.get(patient, ()), (unit, hours))
    count = Counter(ways.values())
    unique = sum(1 for way in ways.values() if count[way] == 1)
    found = measured(path).sequences
    assert found.patients == len(ways)
    assert found.unique_by_units_and_lengths == pytest.approx(unique / len(ways), abs=1e-4)
    assert found.unique_by_units <= found.unique_by_units_and_lengths


def test_the_report_says_what_is_left(release):
    out = io.StringIO()
    assert main(["deid", "report", str(release / "safe.duckdb")], environ={}, out=out) == 0
    said = out.getvalue()
    assert "k " in said
    assert "164.514" in said
    out = io.StringIO()
    words = ["deid", "report", str(release / "shifted.duckdb"), "--quasi", "sex", "--json"]
    assert main(words, environ={}, out=out) == 0
    told = json.loads(out.getvalue())
    assert told["classes"]["quasi_identifiers"] == ["sex"]
    assert told["published_cells"] > 0
    with pytest.raises(UsageError):
        measured(release / "shifted.duckdb", ("shoe_size",))
