"""The KPI catalogue on simulated stays agrees with what the kernel counts by itself."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.cli import main
from twin_core.errors import StoreError, UsageError
from twin_core.kpi.catalogue import catalogue
from twin_core.simulated_kpis import Figure, kpis_of, replicated
from twin_core.simulation import Results, Run, flow_from, simulate
from twin_core.simulation.as_twin import as_twin
from twin_core.store.scratch import Scratch

DAYS, WARM_UP_DAYS = 8, 2
HOSPITAL: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "units": [
        {"code": "ED", "kind": "emergency", "beds": 4,
         "then": {"home": 0.6, "died": 0.05, "MED": 0.35},
         "stay": {"family": "exponential", "mean": 3}, "patience": {"exactly": 2}},
        {"code": "MED", "beds": 5, "overflow": ["SURG"], "then": {"home": 1.0},
         "stay": {"median": 16, "p90": 40}, "plan": [
            {"days": ["wednesday", "thursday"], "between": ["00:00", "24:00"], "beds": 3}]},
        {"code": "SURG", "beds": 6, "stay": {"median": 20, "p90": 50},
         "then": {"home": 0.9, "MED": 0.1}},
    ],
    "swaps": "at_once",
    "classes": [{"code": "walk-in", "encounter_class": "EMER"}, {"code": "planned"}],
    "arrivals": [
        {"class": "walk-in", "unit": "ED", "per_day": 22},
        {"class": "planned", "unit": "SURG", "per_day": 3},
    ],
    "closures": [{"unit": "SURG", "beds": 1, "from_hours": 60, "to_hours": 100}],
}  # fmt: skip


def ran(model: dict[str, Any] = HOSPITAL, **run: Any) -> Results:
    """Some replications with their stays."""
    asked: dict[str, Any] = {
        "hours": 24 * DAYS, "warm_up_hours": 24 * WARM_UP_DAYS, "replications": 4, "seed": 12,
    }  # fmt: skip
    return simulate(flow_from(model, "test"), Run(**asked | {"stays": True} | run))


@pytest.fixture(scope="module")
def results() -> Results:
    return ran()


@pytest.fixture(scope="module")
def found(results: Results) -> dict[Figure, dict[int, Any]]:
    """What the catalogue says of the four replications."""
    return replicated(results, ["occ_hourly", "op22", "adm_dis_balance", "ed1"])


def of(found: dict[Figure, dict[int, Any]], kpi: str, unit: str, statistic: str) -> list[Any]:
    """The rows of one figure, replication by replication."""
    [rows] = [
        rows
        for figure, rows in found.items()
        if (figure.kpi, figure.unit, figure.stratum, figure.statistic)
        == (kpi, unit, None, statistic)
    ]
    assert list(rows) == [0, 1, 2, 3]
    return list(rows.values())


@pytest.mark.parametrize("unit", ["ED", "MED", "SURG"])
def test_occupancy_is_the_kernels_own(
    results: Results, found: dict[Figure, dict[int, Any]], unit: str
) -> None:
    at = results.units.index(unit)
    rows = of(found, "occ_hourly", unit, "ratio")
    hours = 24 * (DAYS - WARM_UP_DAYS)
    for row, occupancy, census in zip(
        rows,
        results.unit_values["occupancy"][:, at],
        results.unit_values["census_mean"][:, at],
        strict=True,
    ):
        assert row.value == pytest.approx(100 * occupancy, rel=1e-8)
        assert row.numerator == pytest.approx(hours * census, rel=1e-8)
        assert row.coverage == 1
    assert len({row.value for row in rows}) == 4, "every replication has a figure of its own"


def test_who_leaves_unseen_is_who_the_kernel_says(
    results: Results, found: dict[Figure, dict[int, Any]]
) -> None:
    rows = of(found, "op22", "ED", "share")
    assert [row.numerator for row in rows] == list(results.unit_values["reneged"][:, 0])
    assert sum(row.numerator for row in rows) > 0


def test_the_flow_adds_up(results: Results, found: dict[Figure, dict[int, Any]]) -> None:
    for unit in ("ED", "MED", "SURG"):
        assert {row.value for row in of(found, "adm_dis_balance", unit, "unreconciled")} == {0}


def test_length_of_stay_is_the_time_in_hospital_of_who_left() -> None:
    plain = {
        "units": [
            {"code": "W", "beds": 3, "stay": {"median": 20, "p90": 60}, "then": {"home": 1}},
        ],
        "classes": [{"code": "a"}],
        "arrivals": [{"class": "a", "unit": "W", "per_day": 2.5}],
    }  # fmt: skip
    results = ran(plain)
    assert results.unit("W", "wait_share").mean > 0, "waiting for the bed is part of the visit"
    by_replication: dict[int, list[Any]] = {}
    for figure, rows in replicated(results, ["alos"], by="hospital").items():
        if figure.statistic == "mean":
            for replication, row in rows.items():
                by_replication.setdefault(replication, []).append(row)
    for replication, rows_of in by_replication.items():
        # Day cases are a stratum of their own.
        days = sum(row.numerator for row in rows_of) / sum(row.denominator for row in rows_of)
        hours = results.class_values["hours_in_hospital"][replication, 0]
        assert days * 24 == pytest.approx(hours, rel=1e-8)


def test_boarding_is_the_time_after_the_end_of_the_emergency_stay() -> None:
    model = {
        "time_zone": "UTC",
        "units": [
            {"code": "ED", "kind": "emergency", "beds": 9, "stay": {"exactly": 1},
             "then": {"W": 1}},
            {"code": "W", "beds": 1, "stay": {"exactly": 5}, "then": {"home": 1}},
        ],
        "classes": [{"code": "a", "encounter_class": "EMER"}],
        "arrivals": [{"class": "a", "unit": "ED", "slots": [
            {"days": ["monday"], "times": ["08:00", "09:00", "10:00"]}]}],
    }  # fmt: skip
    results = ran(model, hours=48, warm_up_hours=0, replications=2)
    table = kpis_of(results, ["boarding", "d2p"]).to_pylist()
    told = {(row["kpi"], row["statistic"]): row for row in table if row["stratum"] is None}
    # Their stays end at 9:00, 10:00 and 11:00, and the bed is theirs at 9:00, 14:00 and 19:00.
    assert told["boarding", "mean"]["mean"] == pytest.approx(60 * (0 + 4 + 8) / 3)
    assert told["boarding", "median"]["mean"] == pytest.approx(240)
    assert told["d2p", "median"]["mean"] == pytest.approx(0)
    assert told["boarding", "mean"]["n"] == 2
    assert told["boarding", "mean"]["low"] == told["boarding", "mean"]["high"]


def test_means_have_intervals_over_replications(results: Results) -> None:
    [row] = [
        row
        for row in kpis_of(results, ["occ_hourly"], by="hospital").to_pylist()
        if row["stratum"] is None
    ]
    counts = {name: of.sum(axis=1) for name, of in results.unit_counts.items()}
    share = 100 * counts["occupied_hours"] / counts["bed_hours"]
    half = 3.182 * share.std(ddof=1) / 2  # t with 3 degrees of freedom
    assert row["mean"] == pytest.approx(share.mean())
    assert (row["low"], row["high"]) == pytest.approx(
        (share.mean() - half, share.mean() + half), rel=1e-3
    )


def test_days_are_those_of_the_hospitals_time_zone(results: Results) -> None:
    start = datetime(2026, 3, 1, 23, tzinfo=UTC)  # Monday midnight in Berlin
    rows = kpis_of(results, ["occ_hourly"], grain="day", start=start).to_pylist()
    days = sorted({row["period_start"] for row in rows})
    assert days == [start + timedelta(days=WARM_UP_DAYS + n) for n in range(DAYS - WARM_UP_DAYS)]


def test_kpis_of_every_kind_have_figures() -> None:
    results = ran(hours=60, warm_up_hours=12, replications=1)
    asked = {"adc", "bti", "ed_census", "los_elapsed_long", "occ_peak", "op18", "outliers"}
    asked |= {"readm30", "transfers_per_stay"}
    assert asked < catalogue().keys()
    found = kpis_of(results, sorted(asked)).to_pylist()
    assert asked - {row["kpi"] for row in found if row["n"] > 0} <= {"readm30"}


def test_the_command_tells_kpis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "ward.toml"
    model.write_text(
        '[[units]]\ncode = "W"\nbeds = 3\nstay = { exactly = 2 }\nthen = { home = 1 }\n'
        '[[classes]]\ncode = "a"\n[[arrivals]]\nclass = "a"\nunit = "W"\n'
        'slots = [{ times = ["01:00", "02:00"] }]\n'
    )
    words = ["simulate", str(model), "--days", "1", "--replications", "2", "--kpi", "occ_hourly"]
    assert main([*words, "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["unit"], row["n"]) == ("W", 2)
    assert row["mean"] == pytest.approx(100 * 4 / 72)
    assert main([*words, "--kpi", "joy"]) == 2


def test_what_is_not_there_cannot_be_asked(results: Results) -> None:
    with pytest.raises(UsageError, match="no KPI 'joy'"):
        kpis_of(results, ["joy"])
    with pytest.raises(UsageError, match="not told by class"):
        kpis_of(results, ["alos"], by="class")
    with pytest.raises(UsageError, match="kept no stays"):
        as_twin(ran(stays=False, replications=1))
    simulated = as_twin(results)
    wrong = {"stay": simulated.tables["encounter"]}
    with Scratch((), ()) as scratch, pytest.raises(StoreError, match="stay cannot be filled"):
        scratch.fill(wrong, [], simulated.end)
