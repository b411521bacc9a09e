"""KPI rows as files: the golden CSV, the same figures in every form, and no formula smuggled in."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.ipc
import pyarrow.parquet
import pytest

from api.exporting import COMPARED, accepted, exported
from twin_core.errors import UsageError
from twin_core.kpi.catalogue import RESULT_COLUMNS

GOLDEN = Path(__file__).parents[2] / "fixtures" / "kpi"


def row(**told):
    known = {
        "facility": "GEN",
        "unit": "MED",
        "period_start": datetime(2026, 10, 24, 22, tzinfo=UTC),
        "period_end": datetime(2026, 10, 25, 23, tzinfo=UTC),
        "stratum": None,
        "statistic": "mean",
        "numerator": -3.0,
        "denominator": 2.0,
        "value": -1.5,
        "coverage": 1.0,
    }
    return known | told


ROWS = [
    row(),
    row(unit="=HYPERLINK(\"x\")", stratum="@SUM(1)", value=None, numerator=None),
    row(unit="+1", stratum="-2", facility=None),
    row(unit='A, "B"\nC', stratum="\t=1", value=0.1),
]  # fmt: skip


def read(form, content):
    if form == "arrow":
        return pyarrow.ipc.open_stream(content).read_all()
    return pyarrow.parquet.read_table(io.BytesIO(content))


def test_csv_is_the_golden_file():
    assert exported(ROWS, "csv") == (GOLDEN / "rows.csv").read_bytes()


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_table_has_types_and_the_very_same_figures(form):
    table = read(form, exported(ROWS, form))
    assert table.to_pylist() == ROWS
    assert table.column_names == list(RESULT_COLUMNS)
    assert str(table.schema.field("period_start").type) == "timestamp[us, tz=UTC]"
    assert read(form, exported([], form)).schema == table.schema


def test_json_has_the_same_rows():
    shown = json.loads(exported(ROWS, "json"))
    assert [r["value"] for r in shown] == [-1.5, None, -1.5, 0.1]
    assert shown[0]["period_start"] == "2026-10-24T22:00:00Z"


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "json"])
def test_instants_that_came_as_text_are_the_same_instants(form):
    told = [
        {**r, **{name: r[name].isoformat() for name in ("period_start", "period_end")}}
        for r in ROWS
    ]
    assert exported(told, form) == exported(ROWS, form)


def test_a_comparison_has_two_columns_more():
    compared = row(value_before=1.0, change=-2.5)
    [heads, cells] = exported([compared], "csv", COMPARED).decode().splitlines()
    assert heads.endswith(",coverage,value_before,change")
    assert cells.endswith(",1.0,1.0,-2.5")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; header=present", "csv"),
        ("text/*, application/json;q=0.5", "csv"),
        ("text/csv;q=0.2, application/vnd.apache.parquet", "parquet"),
        ("application/vnd.apache.arrow.stream;q=1, */*;q=0.1", "arrow"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("*/*, application/json;q=0", "csv"),
        ("image/png", None),
        ("text/csv;q=0", None),
    ],
)
def test_the_accept_header_chooses(accept, form):
    assert accepted(accept) == form


def test_a_quality_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="quality"):
        accepted("text/csv;q=much")
