"""Published counts cannot be taken apart, and the risk of a release is what an oracle counts."""

import io
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from simulated_store import simulated

from api.cli import main
from twin_core.deid.aggregates import ALL, published, suppressed, with_totals
from twin_core.deid.risk import measured
from twin_core.errors import UsageError

TABLES = st.integers(1, 3).flatmap(
    lambda rows: st.integers(1, 3).flatmap(
        lambda columns: st.fixed_dictionaries(
            {(f"u{r}", f"w{c}"): st.integers(0, 7) for r in range(rows) for c in range(columns)}
        )
    )
)
LEAST = 3


@given(TABLES)
def test_no_hidden_count_can_be_computed(counts):
    """An attacker who tries every table of small counts finds two values for each hidden cell."""
    cells = {(cell.unit, cell.week): cell.visits for cell in published(counts, LEAST)}
    hidden = [key for key, told in cells.items() if told is None]
    if not hidden:
        return
    inner = [key for key in counts if cells[key] is None]
    seen = {key: set() for key in hidden}
    for guess in itertools.product(range(-1, 12), repeat=len(inner)) if len(inner) < 4 else ():
        table = with_totals(
            {
                **{k: v for k, v in cells.items() if ALL not in k and v is not None},
                **dict(zip(inner, guess, strict=True)),
            }
        )
        if all(told is None or table[key] == told for key, told in cells.items()):
            for key in hidden:
                seen[key].add(table[key])
    if len(inner) < 4:
        assert all(len(values) > 1 for values in seen.values()), cells


@given(TABLES)
def test_small_counts_are_hidden_and_what_is_told_is_true(counts):
    table = with_totals(counts)
    for cell in published(counts, LEAST):
        true = table[cell.unit, cell.week]
        assert cell.visits is None if 0 < true < LEAST else cell.visits in (None, true)


def test_a_table_without_small_cells_is_told_whole():
    table = with_totals({("a", "1"): 20, ("a", "2"): 0, ("b", "1"): 11, ("b", "2"): 90})
    assert suppressed(table, 11) == set()


def test_one_small_cell_takes_three_others_with_it():
    table = with_totals({(r, c): 50 for r in "ab" for c in "12"} | {("a", "1"): 4})
    assert suppressed(table, 11) == {("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")}


def computable(table, hidden):
    """The hidden cells that the sums fix, by ranks: a known cell adds nothing to what is known."""
    cells = sorted(hidden)
    sums = []
    for at, pick in ((0, 1), (1, 0)):
        for name in {key[at] for key in table}:
            line = [key for key in table if key[at] == name]
            sums.append([(key[pick] == ALL) * -2 + 1 if key in line else 0 for key in cells])
    known = np.array(sums)
    units = np.eye(len(cells), dtype=int)
    rank = np.linalg.matrix_rank(known)
    return [
        cell
        for cell, unit in zip(cells, units, strict=True)
        if np.linalg.matrix_rank(np.vstack([known, unit])) == rank
    ]


def test_a_cell_between_two_blocks_of_hidden_ones_is_not_left_alone():
    """Every sum has two unknowns or more, and still a1 is what the rest leaves of its block."""
    blocks = [(r, c) for r in "ab" for c in "12"] + [(r, c) for r in "cd" for c in "34"]
    counts = {(r, c): 50 for r in "abcd" for c in "1234"} | dict.fromkeys([*blocks, ("a", "3")], 6)
    table = with_totals(counts)
    assert computable(table, {*blocks, ("a", "3")}) == [("a", "3")]
    hidden = suppressed(table, 11)
    assert {*blocks, ("a", "3")} < hidden
    assert computable(table, hidden) == []


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("123456")),
        st.integers(0, 30),
        min_size=1,
    )
)
def test_no_sum_fixes_a_hidden_cell(counts):
    table = with_totals(counts)
    hidden = suppressed(table, 11)
    # A table whose only visits are few is hidden whole, and then zeros fix what they can.
    if sum(counts.values()) >= 11 and hidden:
        small = [key for key in hidden if 0 < table[key] < 11]
        assert not set(computable(table, hidden)) & set(small)


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
