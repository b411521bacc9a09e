"""Scenarios: edits in the ward's words, what they refuse, and what they change by patient."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli import main
from twin_core.errors import ConfigurationError, UsageError
from twin_core.simulation import (
    Comparison,
    Precision,
    Run,
    applied,
    compare,
    flow_from,
    load_flow,
    load_scenario,
    scenario_from,
    simulate,
)
from twin_core.simulation.flow.durations import Duration, scaled
from twin_core.simulation.replicate import grown
from twin_core.simulation.scenario.loading import known_scenarios
from twin_core.simulation.scenario.measures import MEASURES, values

_AT_TWO = [0.0] * 14 + [1.0] + [0.0] * 9
WARD: dict[str, Any] = {
    "units": [
        {
            "code": "ED",
            "kind": "emergency",
            "beds": 4,
            "stay": {"family": "exponential", "mean": 3},
            "then": {"home": 0.7, "MED": 0.3},
            "needs": {"nurses": 1},
        },
        {
            "code": "MED",
            "beds": 6,
            "stay": {"median": 0.6, "p90": 1.4, "unit": "days"},
            "then": {"home": 1.0},
            "discharge": {"by_hour": _AT_TWO},
            "cleaning": {"exactly": 1},
        },
        {
            "code": "SURG",
            "beds": "unlimited",
            "stay": {"exactly": 5},
            "then": {"home": 1.0},
            "needs": {"OR": 1},
        },
    ],
    "staff": [
        {
            "code": "nurses",
            "shifts": [
                {"days": ["monday", "saturday"], "between": ["00:00", "24:00"], "on_duty": 3},
                {"days": ["tuesday"], "between": ["07:00", "19:00"], "on_duty": 5},
            ],
        }
    ],
    "theatres": [
        {
            "code": "OR",
            "theatres": 2,
            "blocks": [
                {
                    "days": ["monday", "tuesday"],
                    "between": ["08:00", "16:00"],
                    "theatres": 2,
                    "classes": ["elective"],
                }
            ],
        }
    ],
    "classes": [{"code": "walk-in"}, {"code": "elective"}],
    "arrivals": [
        {"class": "walk-in", "unit": "ED", "per_day": 20},
        {"class": "elective", "unit": "SURG", "per_day": 1},
    ],
}


def ward(**parts: Any) -> Any:
    """The ward with some parts replaced."""
    return flow_from(deepcopy(WARD) | parts, "ward")


def edited(**edits: Any) -> Any:
    """The ward with a scenario laid over it."""
    return applied(scenario_from(edits, "test"), ward())


def refused(**edits: Any) -> str:
    """Why a scenario is refused."""
    with pytest.raises(ConfigurationError) as caught:
        edited(**edits)
    return caught.value.why


def test_beds_are_closed_and_opened_for_a_while_or_for_good() -> None:
    closed = edited(close_beds=[{"unit": "MED", "beds": 2, "from_days": 1, "for_days": 3}])
    [closure] = closed.closures
    assert (closure.unit, closure.beds, closure.from_hours, closure.to_hours) == ("MED", 2, 24, 96)
    opened = edited(open_beds=[{"unit": "MED", "beds": 2, "from_hours": 5, "for_hours": 10}])
    assert opened.units[1].beds == 8
    spans = [(c.beds, c.from_hours, c.to_hours) for c in opened.closures]
    assert spans == [(2, 0, 5), (2, 15, None)]
    for_good = edited(open_beds=[{"unit": "MED", "beds": 2}])
    assert (for_good.units[1].beds, for_good.closures) == (8, ())


def test_a_surge_unit_takes_patients_of_others_as_outliers() -> None:
    model = edited(
        open_unit=[{"unit": "SURGE", "beds": 3, "takes_from": ["MED"], "for_days": 2}],
        close_beds=[{"unit": "SURGE", "beds": 1}],
    )
    assert model.units[1].overflow == ("SURGE",)
    assert (model.units[3].beds, model.units[3].cleaning) == (3, model.units[1].cleaning)
    assert [(c.beds, c.from_hours, c.to_hours) for c in model.closures] == [
        (3, 48, None),
        (1, 0, None),
    ]


def test_theatre_blocks_and_staff_change_by_the_day() -> None:
    block = {"theatre": "OR", "classes": ["elective"], "days": ["monday"]}
    [left] = edited(cancel_block=[block]).theatres[0].blocks
    assert left.days == ("tuesday",)
    later = block | {"days": ["friday"], "between": ["08:00", "12:00"]}
    blocks = edited(add_block=[later]).theatres[0].blocks
    assert [(b.days, b.theatres) for b in blocks] == [(("monday", "tuesday"), 2), (("friday",), 1)]
    shifts = edited(staff=[{"pool": "nurses", "more": -1, "days": ["monday"]}]).staff[0].shifts
    assert [(s.days, s.on_duty) for s in shifts] == [
        (("monday",), 2),
        (("saturday",), 3),
        (("tuesday",), 5),
    ]


def test_stays_grow_where_they_are_said_to() -> None:
    model = edited(stays=[{"percent": 50, "units": ["MED"]}])
    [route] = model.routes
    assert (route.class_, route.unit, route.stay.median) == ("walk-in", "MED", 0.6 * 1.5)


FORMS: list[dict[str, Any]] = [
    {"exactly": 2},
    {"family": "gamma", "mean": 2, "sd": 1},
    {"family": "gamma", "mean": 2, "cv": 0.5},
    {"median": 2, "p90": 5},
    {"median": 2, "sigma": 0.5},
    {"family": "weibull", "shape": 1.5, "scale": 3},
    {"between": [1, 4], "mode": 2},
    {"observed": [1, 2, 5], "weights": [1, 2, 1]},
    {"quantiles": [0, 1, 4], "at": [0, 0.5, 0.9], "tail_mean": 2},
    {"mix": [{"share": 0.5, "exactly": 3}, {"share": 0.5, "between": [1, 2]}]},
]


def test_every_form_of_duration_is_scaled() -> None:
    before = lengths([Duration.model_validate(form) for form in FORMS])
    after = lengths([scaled(Duration.model_validate(form), 1.7) for form in FORMS])
    assert after == pytest.approx([1.7 * hours for hours in before])


def lengths(stays: list[Duration]) -> list[float]:
    """One stay of each duration, with the same chances whatever they are."""
    codes = [f"c{at}" for at in range(len(stays))]
    model = {
        "units": [{"code": "W", "beds": "unlimited", "then": {"home": 1}}],
        "classes": [{"code": code} for code in codes],
        "arrivals": [
            {"class": code, "unit": "W", "slots": [{"days": ["monday"], "times": ["01:00"]}]}
            for code in codes
        ],
        "routes": [
            {"class": code, "unit": "W", "stay": stay.model_dump(exclude_none=True)}
            for code, stay in zip(codes, stays, strict=True)
        ],
    }
    run = Run(hours=160, replications=1, stays=True, seed=4)
    rows = np.sort(simulate(flow_from(model, "forms"), run).rows, order="class_")
    return list(rows["to_hours"] - rows["from_hours"])


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ({"close_beds": [{"unit": "ICU", "beds": 1}]},
         "close_beds[1].unit: there is no unit ICU (there is ED, MED, SURG)"),
        ({"close_beds": [{"unit": "MED", "beds": 4}, {"unit": "MED", "beds": 3}]},
         "close_beds[1].beds: 7 beds would be closed in MED, which has 6"),
        ({"close_beds": [{"unit": "MED", "beds": 6}]}, "unit MED: no bed is ever open"),
        ({"close_beds": [{"unit": "SURG", "beds": 1}]}, "SURG has beds without limit"),
        ({"arrivals": [{"percent": 20, "classes": ["elective"], "units": ["ED"]}]},
         "arrivals[1]: nobody comes as these classes to these units"),
        ({"arrivals": [{"percent": -120}]}, "arrivals[1].percent"),
        ({"arrivals": [{"percent": 1e13}]}, "arrivals[1].percent"),
        ({"add_block": [{"theatre": "OR", "classes": ["walk-in"], "between": ["01:00", "02:00"]}]},
         "add_block[1].classes: walk-in never operate in OR (elective do)"),
        ({"discharge_earlier": [{"hours": 2, "units": ["ED"]}]},
         "discharge_earlier[1].units: patients leave ED when their stay is over"),
        ({"open_unit": [{"unit": "MED", "beds": 2, "takes_from": ["ED"]}]},
         "open_unit[1].unit: there is a unit MED already"),
        ({"open_unit": [{"unit": "home", "beds": 2, "takes_from": ["ED"]}]}, "it is an exit"),
        ({"cancel_block": [{"theatre": "OR", "classes": ["elective"]}]}, "no block left in OR"),
        ({"cancel_block": [{"theatre": "OR", "classes": ["elective"], "days": ["friday"]}]},
         "elective have no block in OR on these days"),
        ({"add_block": [{"theatre": "OR", "classes": ["elective", "walk-in"],
                         "between": ["01:00", "02:00"]}]}, "name the same classes"),
        ({"add_block": [{"theatre": "OR", "classes": ["elective"],
                         "between": ["15:00", "17:00"]}]}, "3 theatres would be given away"),
        ({"staff": [{"pool": "nurses", "more": -4}]}, "nurses has 3 on duty, and loses 4"),
        ({"staff": [{"pool": "nurses", "more": 1, "days": ["sunday"]}]}, "no shift on these days"),
        ({"prices": {"staff_hour": {"porters": 30}}}, "there is no staff pool porters"),
        ({"close_beds": [{"unit": "MED", "beds": 1, "for_days": 1, "for_hours": 1}]},
         "close_beds[1]: give for_hours or for_days, not both"),
        ({"close_bed": []}, "close_bed"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(edits: dict[str, Any], reason: str) -> None:
    assert reason in refused(**edits)


def test_a_scenario_is_refused_that_begins_after_the_run_or_shares_its_name() -> None:
    late = scenario_from({"close_beds": [{"unit": "MED", "beds": 1, "from_days": 2}]}, "late")
    run = Run(hours=72, warm_up_hours=24, replications=2)
    with pytest.raises(UsageError, match=r"close_beds\[1\]: begins after 48 hours"):
        compare(ward(), [late], run)
    with pytest.raises(UsageError, match="one name"):
        compare(ward(), [late, late], Run(hours=100, replications=2))


def test_times_count_from_the_end_of_the_warm_up() -> None:
    scenario = scenario_from(
        {
            "close_beds": [{"unit": "MED", "beds": 1, "for_hours": 5}, {"unit": "ED", "beds": 1}],
            "arrivals": [{"percent": 5, "from_days": 1}],
        },
        "x",
    )
    model = applied(scenario.after(100), ward())
    assert [(c.from_hours, c.to_hours) for c in model.closures] == [(100, 105), (0, None)]
    assert [(s.from_hours, s.to_hours) for s in model.surges] == [(124, None)]


def patients(model: Any, hours: float, seed: int = 5) -> list[tuple[float, float | None]]:
    """From when to when each patient of ED lay in MED."""
    run = Run(hours=hours, replications=1, stays=True, seed=seed)
    rows = simulate(model, run).stays().to_pylist()
    return [(r["from_hours"], r["to_hours"]) for r in rows if r["unit"] == "MED"]


def test_patients_leave_earlier_but_none_before_the_stay_is_over_and_none_later() -> None:
    endless = deepcopy(WARD)
    endless["units"][0] |= {"beds": "unlimited", "needs": {}}
    endless["units"][1] |= {"beds": "unlimited", "cleaning": None}
    usual = flow_from(endless, "endless")
    earlier = applied(scenario_from({"discharge_earlier": [{"hours": 2}]}, "earlier"), usual)
    won = []
    for before, after in zip(patients(usual, 200), patients(earlier, 200), strict=True):
        assert before[0] == after[0]
        if before[1] is not None and after[1] is not None:
            assert 14 <= before[1] % 24 < 15
            won.append(before[1] - after[1])
    assert max(won) == pytest.approx(2)
    assert min(won) >= 0
    assert len({round(hours, 6) for hours in won}) > 1, "some stays end between 12:00 and 15:00"


def test_nothing_changes_where_nothing_is_edited() -> None:
    answer = compare(
        ward(),
        [scenario_from({"arrivals": [{"percent": 30, "classes": ["elective"]}]}, "more")],
        Run(hours=24 * 7, replications=6, seed=2),
    )
    for one in answer.differences:
        if one.unit in ("ED", "MED"):
            assert one.difference.mean == 0, one
            assert one.better in (None, 0.5)


def test_differences_are_those_of_pairs_of_replications() -> None:
    run = Run(hours=24 * 5, replications=12, seed=9)
    scenario = scenario_from({"close_beds": [{"unit": "MED", "beds": 3}]}, "closed")
    [found] = compare(ward(), [scenario], run).of("boarding", "ED")
    before = simulate(ward(), run).unit_values["boarding_mean"][:, 0]
    after = simulate(applied(scenario, ward()), run).unit_values["boarding_mean"][:, 0]
    change = after - before
    half = 2.201 * change.std(ddof=1) / np.sqrt(12)  # t with 11 degrees of freedom
    low, high = found.difference.interval
    assert found.difference.mean == pytest.approx(change.mean())
    assert (low, high) == pytest.approx((change.mean() - half, change.mean() + half), rel=1e-3)
    assert found.better == pytest.approx(((change < 0).sum() + 0.5 * (change == 0).sum()) / 12)
    # Paired, the difference is known better than from runs that have nothing in common.
    assert change.var(ddof=1) < before.var(ddof=1) + after.var(ddof=1)


def test_confidence_follows_students_t() -> None:
    from twin_core.simulation.scenario.comparing import _probability_above

    # One-sided tables of Student's t: 1.812 (10, 95%), 2.764 (10, 99%), 0.700 (10, 75%).
    for t, share in ((1.812, 0.95), (2.764, 0.99), (0.700, 0.75), (-1.812, 0.05)):
        assert _probability_above(t, 1.0, 10) == pytest.approx(share, abs=0.001)
    assert _probability_above(0.0, 0.0, 10) == 0.5
    assert _probability_above(1.0, 0.0, 10) == 1.0


def test_more_replications_are_those_of_one_long_run() -> None:
    run = Run(hours=48, replications=9, seed=3, stays=True)
    at_once = simulate(ward(), run)
    bit_by_bit = grown(simulate(ward(), Run(hours=48, replications=4, seed=3, stays=True)), 9)
    assert np.array_equal(bit_by_bit.books.units, at_once.books.units, equal_nan=True)
    assert bit_by_bit.stays().equals(at_once.stays())


def closing(**asked: Any) -> Comparison:
    """Three of six beds closed, known to some precision."""
    scenario = scenario_from({"close_beds": [{"unit": "MED", "beds": 3}]}, "closed")
    run = Run(hours=24 * 3, replications=10, seed=1)
    return compare(ward(), [scenario], run, precision=Precision(**asked))


def test_replications_grow_until_the_half_width_is_reached_or_the_cap() -> None:
    answer = closing(measure="boarding", half_width=0.1, unit="ED")
    low, high = answer.of("boarding", "ED")[0].difference.interval
    assert (high - low) / 2 <= 0.1
    assert answer.reached
    assert answer.run.replications > 10
    capped = closing(measure="boarding", half_width=0.001, unit="ED", at_most=15)
    assert (capped.reached, capped.run.replications) == (False, 15)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"measure": "joy", "half_width": 1}, "no measure 'joy'"),
        ({"measure": "wait", "half_width": 0}, "greater than 0"),
        ({"measure": "wait", "half_width": 1, "unit": "ICU"}, "no unit ICU"),
        ({"measure": "wait_p90", "half_width": 1}, "a measure of a unit"),
        ({"measure": "cost", "half_width": 1}, "no prices"),
        ({"measure": "left_unseen", "half_width": 1, "unit": "MED"}, "not counted in MED"),
    ],
)
def test_a_precision_that_means_nothing_is_refused(asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        closing(**asked)


def test_costs_are_beds_patients_and_people() -> None:
    model = flow_from(
        {
            "units": [
                {"code": "W", "beds": 2, "stay": {"exactly": 6}, "then": {"home": 1},
                 "needs": {"nurses": 1}},
            ],
            "staff": [{"code": "nurses", "patients_each": 2, "shifts": [
                {"between": ["00:00", "12:00"], "on_duty": 2},
                {"between": ["12:00", "24:00"], "on_duty": 1},
            ]}],
            "classes": [{"code": "a"}],
            "arrivals": [{"class": "a", "unit": "W", "slots": [{"times": ["01:00", "02:00"]}]}],
        },
        "priced",
    )  # fmt: skip
    prices = scenario_from(
        {"prices": {"open_bed_day_in": {"W": 100}, "open_bed_day": 9, "patient_day": 48,
                    "staff_hour": {"nurses": 10}}}, "p",
    ).prices  # fmt: skip
    found = values(simulate(model, Run(hours=24, replications=2)), prices)
    # Two beds for a day, two patients for six hours, and 36 hours of nurses.
    assert found["cost", None].tolist() == pytest.approx([200 + 2 * 12 + 360] * 2)


def test_measures_of_the_hospital_are_sums_over_sums() -> None:
    results = simulate(ward(), Run(hours=24 * 4, replications=3, seed=8))
    found = values(results)
    counts = results.unit_counts
    limited = [0, 1]
    occupied = counts["occupied_hours"][:, limited].sum(axis=1)
    beds = counts["bed_hours"][:, limited].sum(axis=1)
    assert found["occupancy", None] == pytest.approx(occupied / beds)
    assert ("occupancy", "SURG") not in found
    assert ("cost", None) not in found
    assert ("left_unseen", "ED") in found
    assert ("cancelled", "ED") not in found
    left = sum(results.class_values[f"left_{way}"].sum(axis=1) for way in ("home", "died"))
    assert found["throughput", None] == pytest.approx(left / 4)
    assert {name for name, _ in found} == set(MEASURES) - {"cost"}


def test_the_scenarios_of_the_package_fit_the_demonstration_hospital() -> None:
    model = load_flow("riverside")
    assert len(known_scenarios()) >= 4
    for name in known_scenarios():
        assert applied(load_scenario(name), model) != model


def test_the_command_compares_and_says_how_sure_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, scenario = tmp_path / "ward.toml", tmp_path / "closed.toml"
    model.write_text(
        '[[units]]\ncode = "W"\nbeds = 3\nstay = { family = "exponential", mean = 2 }\n'
        'then = { home = 1 }\n[[classes]]\ncode = "a"\n'
        '[[arrivals]]\nclass = "a"\nunit = "W"\nper_hour = 1\n'
    )
    scenario.write_text('[[close_beds]]\nunit = "W"\nbeds = 1\n')
    words = ["simulate", str(model), "--scenario", str(scenario), "--replications", "6"]
    assert main([*words, "--days", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    [wait] = [d for d in answer["differences"] if (d["measure"], d["unit"]) == ("wait", "W")]
    assert wait["scenario"] == "closed"
    assert wait["changed"] - wait["baseline"] == pytest.approx(wait["difference"])
    assert wait["low"] > 0
    assert main([*words, "--days", "3", "--half-width", "W:wait=0.0001", "--at-most", "7"]) == 0
    shown = capsys.readouterr().out
    assert "was not reached with 7 replications" in shown
    assert "(hospital)" in shown
    assert main([*words, "--half-width", "wait"]) == 2
    scenario.write_text('[[close_beds]]\nunit = "X"\nbeds = 1\n')
    assert main(words) == 3
    assert "close_beds[1].unit" in capsys.readouterr().err
    assert main(["simulate", "--schema", "scenario"]) == 0
    assert "close_beds" in json.loads(capsys.readouterr().out)["properties"]
