"""The catalogue of KPIs: files that say what they mean, and a page that says the same."""

import csv
import re
from pathlib import Path

import pytest

from twin_core.errors import ConfigurationError, UsageError
from twin_core.kpi import explain
from twin_core.kpi.catalogue import PARTS, RESULT_COLUMNS, catalogue, definition, parse, statements
from twin_core.kpi.reference import page, section

ROOT = Path(__file__).parents[2]
KPIS = ROOT.parent / "shared" / "kpis.csv"
SCHEMAS = 6
"""Statements that make the schemas and say what is in which building, before the parts."""
FRONT = """\
-- title = "Beds"
-- question = "How many beds?"
-- unit = "beds"
-- grain = ["day"]
-- by = ["unit"]
-- direction = "context"
-- numerator = "beds"
-- denominator = "none"
-- exclusions = []
-- strata = {}
-- statistics = { count = "beds" }
-- source = "Local definition (2026)"
-- caveats = ["None known."]
-- inputs = ["history.location"]
"""


@pytest.mark.skipif(not KPIS.exists(), reason="the list of KPIs is not beside the project")
def test_every_kpi_of_the_list_is_there():
    listed = {row["id"] for row in csv.DictReader(KPIS.read_text("utf-8").splitlines())}
    assert set(catalogue()) == listed
    assert len(listed) == 50


def test_front_matter_and_select_are_told_apart():
    kpi = parse(
        "beds", FRONT + "-- a remark on the SQL\n".replace("-- a", "WITH x AS (-- a") + "1)"
    )
    assert (kpi.id, kpi.title, kpi.grain) == ("beds", "Beds", ("day",))
    assert kpi.sql == "WITH x AS (-- a remark on the SQL\n1)"


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (FRONT.replace('-- unit = "beds"\n', ""), "unit"),
        (FRONT.replace('"day"', '"minute"'), "grain"),
        (FRONT.replace('"unit"]', '"bed"]'), "by"),
        (FRONT.replace(" (2026)", ""), "source"),
        (FRONT + '-- colour = "red"\n', "colour"),
        (FRONT.replace('title = "Beds"', "title = Beds"), "no TOML"),
        (FRONT.replace('["None known."]', "[]"), "caveats"),
    ],
)
def test_incomplete_front_matter_is_refused_by_name(spoiled, said):
    with pytest.raises(ConfigurationError, match=rf"KPI beds.*{said}"):
        parse("beds", spoiled + "SELECT 1")


def test_an_unknown_kpi_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match=r"no KPI 'occupancy'.*occ_midnight"):
        definition("occupancy")


def test_explain_gives_the_meaning_and_the_sql():
    text = explain("occ_midnight")
    assert "What share of the open and staffed beds was occupied overnight?" in text
    assert "KH03" in text
    assert definition("occ_midnight").sql in text


def test_every_kpi_with_inputs_tells_the_rows_behind_it():
    without = {kpi.id for kpi in catalogue().values() if not kpi.behind}
    assert without == {k.id for k in catalogue().values() if "kpi_part.no_figures" in k.sql}


def test_every_part_is_installed_before_it_is_used():
    installed = "\n".join(statements()[: SCHEMAS + len(PARTS)])
    for n, text in enumerate(statements()[SCHEMAS:]):
        code = re.sub(r"--.*", "", text)
        made = (
            set(re.findall(r"MACRO (kpi_part\.\w+)", installed))
            if n >= len(PARTS)
            else {
                name
                for one in statements()[SCHEMAS - 1 : SCHEMAS + 1 + n]
                for name in re.findall(r"MACRO (kpi_part\.\w+)", one)
            }
        )
        assert set(re.findall(r"kpi_part\.\w+", code)) <= made


def test_every_file_of_parts_is_listed():
    folder = ROOT / "twin_core" / "kpi" / "parts"
    assert {file.stem for file in folder.glob("*.sql")} == set(PARTS)


@pytest.mark.parametrize("kpi_id", sorted(catalogue()))
def test_inputs_name_every_table_the_kpi_reads(kpi_id):
    """What a definition says it reads is what it and its building blocks read."""
    texts = {
        name: re.sub(r"--.*", "", text)
        for text in statements()[SCHEMAS - 1 : SCHEMAS + len(PARTS)]
        for name in re.findall(r"MACRO (kpi_part\.\w+)", text)
    }
    waiting, found, visited = [definition(kpi_id).sql], set(), set()
    while waiting:
        text = waiting.pop()
        found |= set(re.findall(r"(?:history|core)\.\w+", text))
        parts = set(re.findall(r"kpi_part\.\w+", text)) - visited
        visited |= parts
        waiting += [texts[part] for part in parts]
    # The clock, the zones, the shifts and how patients arrived are behind every KPI; they are named
    # where they decide the figures.
    silent = {
        "core.batch",
        "core.facility",
        "core.kpi_setting",
        "history.source_census",
        "history.stay",
        "history.encounter",
        "history.encounter_milestone",
        "history.location",
        "history.patient",
    }
    assert set(definition(kpi_id).inputs) <= found
    assert found - set(definition(kpi_id).inputs) <= silent


def test_the_reference_page_is_what_the_catalogue_says():
    written = (ROOT / "docs" / "reference" / "kpis.md").read_text(encoding="utf-8")
    assert written == page(), "write it again: python -m twin_core.kpi.reference"


@pytest.mark.parametrize("kpi_id", sorted(catalogue()))
def test_every_kpi_has_its_section_and_its_spec(kpi_id):
    written = (ROOT / "docs" / "reference" / "kpis.md").read_text(encoding="utf-8")
    assert f"\n## {kpi_id}\n" in written
    assert definition(kpi_id).question in section(definition(kpi_id))
    spec = "unsupplied" if "kpi_part.no_figures" in definition(kpi_id).sql else kpi_id
    assert (ROOT / "tests" / "spec" / f"test_{spec}.py").exists()


def test_the_result_columns_are_those_of_the_design():
    assert list(RESULT_COLUMNS) == [
        "facility",
        "unit",
        "period_start",
        "period_end",
        "stratum",
        "statistic",
        "numerator",
        "denominator",
        "value",
        "coverage",
    ]
