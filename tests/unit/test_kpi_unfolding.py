"""The catalogue as one plan: what is replaced, what is shared, what is left alone."""

import pytest

from twin_core.kpi.catalogue import catalogue, parse
from twin_core.kpi.unfolding import scalar_macros, unfold

FRONT = """
-- title = "T"
-- question = "Q?"
-- unit = "beds"
-- grain = ["day", "all"]
-- by = ["hospital", "unit"]
-- direction = "lower"
-- numerator = "n"
-- denominator = "d"
-- exclusions = []
-- strata = {}
-- statistics = { ratio = "r" }
-- source = "House rule (2026)"
-- caveats = ["none"]
-- inputs = ["history.stay"]
"""


def planned(sql, **asked):
    return unfold(
        {"own": parse("own", FRONT.strip() + "\n" + sql)},
        **({"grain": "all", "by": "unit"} | asked),
    )


def test_parameters_become_what_was_asked_for_and_columns_keep_their_names():
    plan = planned('SELECT t.grain, \'the "by" of known_at\', "by", known_at, window_start FROM t')
    assert plan.figures["own"] == (
        "SELECT t.grain, 'the \"by\" of known_at', 'unit', NULL, getvariable('window_start') FROM t"
    )


def test_comments_are_left_out_and_may_say_anything():
    assert planned("SELECT 1 -- kpi_part.zones(it's\nFROM t").figures["own"] == "SELECT 1 \nFROM t"


def test_history_is_read_from_its_tables():
    plan = planned("FROM history.stay(known_at) s JOIN history.encounter(known_at) e ON true")
    assert plan.history == ("encounter", "stay")
    assert "FROM live_history.stay s JOIN live_history.encounter e" in plan.figures["own"]


def test_what_is_asked_for_twice_is_made_once_and_before_it_is_read():
    plan = planned(
        "SELECT * FROM kpi_part.zones(known_at) a, kpi_part.zones( known_at ) b,"
        " kpi_part.periods(window_start, window_end, grain, 'unit', known_at) c"
    )
    made = [table for table, _ in plan.steps]
    assert len(made) == len(set(made))
    assert sum("zones" in table for table in made) == 1
    for number, (table, sql) in enumerate(plan.steps):
        assert not any(later in sql for later in made[number:]), table


def test_another_argument_is_another_table():
    plan = planned(
        "SELECT * FROM kpi_part.midnights(window_start, window_end, 'day', \"by\", known_at),"
        " kpi_part.midnights(window_start - INTERVAL 1 DAY, window_end, 'day', \"by\", known_at)"
    )
    midnights = [sql for table, sql in plan.steps if "midnights" in table]
    assert len(midnights) == 2
    scopes = [sql for table, sql in plan.steps if "scope" in table]
    assert any(
        "(getvariable('window_start') - INTERVAL 1 DAY)::TIMESTAMPTZ" in sql for sql in scopes
    )


def test_a_kpi_may_read_another_one_by_named_arguments():
    own = parse(
        "own", FRONT.strip() + "\nSELECT * FROM kpi.adc(window_start, window_end, grain := 'day')"
    )
    plan = unfold({"own": own, "adc": catalogue()["adc"]}, grain="all", by="hospital")
    assert any("adc" in table for table, _ in plan.steps)


@pytest.mark.parametrize("by", ["hospital", "unit", "class"])
def test_nothing_of_the_catalogue_is_left_folded(by):
    plan = unfold(catalogue(), grain="all", by=by)
    assert not {id_ for id_ in plan.figures if "kpi_part.no_figures" in catalogue()[id_].sql}
    for sql in (*(step.sql for step in plan.steps), *plan.figures.values()):
        assert "history." not in sql.replace("live_history.", "")
        for part in ("scope", "periods", "stay_pieces", "zones", "ed_visits"):
            assert f"kpi_part.{part}(" not in sql
    assert set(plan.figures) <= {kpi.id for kpi in catalogue().values() if by in kpi.by}


def test_scalar_macros_are_no_tables():
    found = "\n".join(scalar_macros({}))
    assert "kpi_part.ratio(" in found
    assert "kpi_part.latest_known(instant)" in found
    assert "AS TABLE" not in found
