"""Runs of the kernel: exact small cases, the same result on any workers, and the command."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli import main
from twin_core.errors import ConfigurationError, UsageError
from twin_core.simulation import Results, Run, flow_from, simulate
from twin_core.simulation.reference import page


def hospital(*units: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """A hospital of some units, with patients of the classes `a` (urgent) and `b`."""
    classes = [{"code": "a", "priority": 1}, {"code": "b", "priority": 2}]
    return {"units": list(units), "classes": classes, "arrivals": []} | parts


def unit(code: str, **fields: Any) -> dict[str, Any]:
    """One bed, stays of exactly one hour, then home."""
    return {"code": code, "beds": 1, "stay": {"exactly": 1}, "then": {"home": 1}} | fields


def at(class_: str, to: str, *hours: float, **fields: Any) -> list[dict[str, Any]]:
    """Patients who come at exactly these hours of Monday."""
    return [
        {
            "class": class_,
            "unit": to,
            "name": f"{class_} {hour}",
            "slots": [{"days": ["monday"], "times": [f"{int(hour):02}:{round(hour % 1 * 60):02}"]}],
        }
        | fields
        for hour in hours
    ]


def ran(model: dict[str, Any], hours: float = 24.0, **run: Any) -> Results:
    """One replication with its stays."""
    asked = {"replications": 1, "stays": True} | run
    return simulate(flow_from(model, "test"), Run(hours=hours, **asked))


def stays(results: Results) -> list[tuple[Any, ...]]:
    """Class, unit, from, to and how it ended, in order of patients and time."""
    rows = results.stays().to_pylist()
    return [
        (r["class"], r["unit"], _rounded(r["from_hours"]), _rounded(r["to_hours"]), r["ended"])
        for r in rows
    ]


def _rounded(hours: float | None) -> float | None:
    return None if hours is None else round(hours, 6)


def test_the_more_urgent_goes_first_and_within_a_level_who_came_first() -> None:
    model = hospital(unit("W"), arrivals=at("b", "W", 1, 1.25) + at("a", "W", 1.5))
    results = ran(model)
    assert stays(results) == [
        ("b", "W", 1, 2, "discharged"),
        ("b", "W", 3, 4, "discharged"),
        ("a", "W", 2, 3, "discharged"),
    ]
    assert results.unit("W", "wait_mean").mean == pytest.approx((0 + 1.75 + 0.5) / 3)
    assert results.unit("W", "queue_mean").mean == pytest.approx((1.75 + 0.5) / 24)


@pytest.mark.parametrize(("way", "goes_on_until"), [("resume", 3), ("restart", 3.5)])
def test_preemption_takes_the_bed_and_gives_it_back(way: str, goes_on_until: float) -> None:
    model = hospital(unit("W", preemption=way), arrivals=at("b", "W", 1) + at("a", "W", 1.5))
    results = ran(model)
    assert stays(results) == [
        ("b", "W", 1, 1.5, "preempted"),
        ("b", "W", 2.5, goes_on_until, "discharged"),
        ("a", "W", 1.5, 2.5, "discharged"),
    ]
    assert results.unit("W", "preempted").mean == 1


def test_the_queue_keeps_its_order_when_one_leaves_it_in_the_middle() -> None:
    alike = [{"code": code} for code in "abc"]
    model = hospital(
        unit("W"),
        classes=alike,
        arrivals=at("a", "W", 1, 1.1, 1.2) + at("c", "W", 1.3) + at("b", "W", 1.4, 1.5),
        routes=[{"class": "c", "unit": "W", "patience": {"exactly": 0.25}}],
    )
    rows = sorted(stays(ran(model)), key=lambda row: row[2])
    assert [(row[0], row[2]) for row in rows] == [
        ("a", 1), ("c", 1.3), ("a", 2), ("a", 3), ("b", 4), ("b", 5),
    ]  # fmt: skip


def test_appointments_are_kept_early_late_or_not_at_all() -> None:
    early = {"lateness": {"family": "normal", "mean": -45, "sd": 0, "unit": "minutes"}}
    late = {"lateness": {"exactly": 30, "unit": "minutes"}}
    model = hospital(
        unit("W", beds=9),
        arrivals=at("a", "W", 8, **early)
        + at("a", "W", 10, early_at_most_hours=0.5, **early)
        + at("b", "W", 12, **late)
        + at("b", "W", 14, no_show=1.0),
    )
    results = ran(model)
    assert [row[2] for row in stays(results)] == [7.25, 9.5, 12.5]
    assert results.of_class("b", "no_shows").mean == 1


def test_everybody_who_is_there_at_the_end_has_one_row_however_many_they_are() -> None:
    morning, evening = ([hour + n / 1000 for n in range(700)] for hour in (1, 22))
    crowd = {"class": "a", "unit": "W", "booked": morning + evening}
    model = hospital(unit("W", beds=2000, stay={"exactly": 9}), arrivals=[crowd])
    assert len(ran(model, replications=3).rows) == 3 * 1400


def test_who_is_booked_comes_once_and_not_every_week() -> None:
    model = hospital(
        unit("W", beds=9), arrivals=[{"class": "a", "unit": "W", "booked": [30.5, 6.25]}]
    )
    assert [row[2] for row in stays(ran(model, hours=400))] == [6.25, 30.5]
    half_as_many_again = model | {"surges": [{"factor": 1.5}]}
    assert [row[2] for row in stays(ran(half_as_many_again, hours=400))] == [6.25, 6.25, 30.5]
    with pytest.raises(ConfigurationError, match="hours after the start"):
        ran(hospital(unit("W"), arrivals=[{"class": "a", "unit": "W", "booked": [-1.0]}]))


def test_some_turn_away_at_the_sight_of_a_queue() -> None:
    ward = unit("W", stay={"exactly": 9}, balking=[{"waiting": 2, "share": 1.0}])
    results = ran(hospital(ward, arrivals=at("a", "W", 1, 2, 3, 4)))
    assert [row[4] for row in stays(results)] == ["discharged", "discharged", "open", "turned_away"]


def test_patients_leave_by_the_hour_of_the_day() -> None:
    weights = [0.0] * 24
    weights[14] = 1.0
    ward = unit("W", beds=9, discharge={"by_hour": weights})
    left = [row[3] for row in stays(ran(hospital(ward, arrivals=at("a", "W", 3, 9, 16)), hours=72))]
    assert all(14 <= hour < 15 for hour in left[:2])
    assert 38 <= left[2] < 39


def test_fewer_come_and_those_who_do_are_the_same() -> None:
    calm = hospital(
        unit("W", beds="unlimited"), arrivals=[{"class": "a", "unit": "W", "per_hour": 3}]
    )
    fewer = calm | {"surges": [{"factor": 0.5, "from_hours": 50}]}
    before, after = ({row[2] for row in stays(ran(m, hours=150))} for m in (calm, fewer))
    assert after < before
    assert {hour for hour in before if hour < 50} == {hour for hour in after if hour < 50}
    assert 0.35 < len([h for h in after if h >= 50]) / len([h for h in before if h >= 50]) < 0.65


def test_a_stay_tells_the_wait_for_its_own_bed() -> None:
    model = hospital(
        unit("ED", then={"W": 1}),
        unit("W", stay={"exactly": 3}),
        arrivals=at("a", "ED", 1, 1.5, 2.5),
    )
    rows = ran(model).stays().to_pylist()
    # They come at 1:00, 1:30 and 2:30; W is free at 2:00, 5:00 and 8:00, and the ED with it.
    assert [(r["unit"], round(r["wait_hours"], 6)) for r in rows] == [
        ("ED", 0), ("W", 0), ("ED", 0.5), ("W", 2), ("ED", 2.5), ("W", 2),
    ]  # fmt: skip


def test_boarders_block_their_bed_until_the_next_is_free() -> None:
    model = hospital(
        unit("ED", then={"W": 1}),
        unit("W", stay={"exactly": 3}),
        arrivals=at("a", "ED", 1, 1.5, 2.5),
    )
    results = ran(model)
    assert stays(results) == [
        ("a", "ED", 1, 2, "moved"),
        ("a", "W", 2, 5, "discharged"),
        ("a", "ED", 2, 5, "moved"),
        ("a", "W", 5, 8, "discharged"),
        ("a", "ED", 5, 8, "moved"),
        ("a", "W", 8, 11, "discharged"),
    ]
    assert results.unit("ED", "blocked_mean").mean == pytest.approx((0 + 2 + 2) / 3)
    assert results.unit("ED", "boarding_mean").mean == pytest.approx(4 / 24)


def test_patience_ends_a_wait_and_a_full_waiting_room_turns_away() -> None:
    ward = unit("W", stay={"exactly": 4}, patience={"exactly": 1.5}, waiting_places=1)
    results = ran(hospital(ward, arrivals=at("a", "W", 1, 2, 2.25, 4)))
    assert stays(results) == [
        ("a", "W", 1, 5, "discharged"),
        ("a", None, 2, 3.5, "left_unseen"),
        ("a", None, 2.25, 2.25, "turned_away"),
        ("a", "W", 5, 9, "discharged"),
    ]


def test_beds_close_when_they_are_next_free_and_open_at_once() -> None:
    plan = [{"between": ["02:00", "06:00"], "beds": 1}]
    ward = unit("W", beds=2, stay={"exactly": 2}, plan=plan)
    results = ran(hospital(ward, arrivals=at("a", "W", 1, 1.5, 1.75, 4.5)))
    # At 02:00 two lie there; the first bed to come free, at 3, closes; the second is used.
    assert stays(results) == [
        ("a", "W", 1, 3, "discharged"),
        ("a", "W", 1.5, 3.5, "discharged"),
        ("a", "W", 3.5, 5.5, "discharged"),
        ("a", "W", 5.5, 7.5, "discharged"),
    ]


def test_a_bed_is_cleaned_before_the_next_patient() -> None:
    ward = unit("W", cleaning={"exactly": 30, "unit": "minutes"})
    results = ran(hospital(ward, arrivals=at("a", "W", 1, 1.5)))
    assert stays(results)[1] == ("a", "W", 2.5, 3.5, "discharged")
    assert results.unit("W", "cleaning_mean").mean == pytest.approx(1 / 24)


def test_staff_is_held_together_with_the_bed() -> None:
    model = hospital(
        unit("W", beds=3, needs={"nurse": 1}),
        unit("V", beds=3, needs={"nurse": 1}),
        staff=[{"code": "nurse", "on_duty": 2}],
        arrivals=at("b", "W", 1, 1.25, 1.5) + at("a", "V", 1.75),
    )
    # Two nurses for six beds: the urgent one goes first when one comes free.
    assert stays(ran(model)) == [
        ("b", "W", 1, 2, "discharged"),
        ("b", "W", 1.25, 2.25, "discharged"),
        ("b", "W", 2.25, 3.25, "discharged"),
        ("a", "V", 2, 3, "discharged"),
    ]


def test_theatre_blocks_let_their_classes_in_and_no_others() -> None:
    blocks = [{"days": ["monday"], "between": ["08:00", "10:00"], "theatres": 1, "classes": ["a"]}]
    model = hospital(
        unit("W", beds=9, needs={"OR": 1}),
        theatres=[{"code": "OR", "theatres": 2, "blocks": blocks}],
        arrivals=at("a", "W", 7, 7.25, 9.75) + at("b", "W", 3),
    )
    # The third patient's block ends before a theatre is free; b has no block and needs none.
    assert stays(ran(model)) == [
        ("b", "W", 3, 4, "discharged"),
        ("a", "W", 8, 9, "discharged"),
        ("a", "W", 9, 10, "discharged"),
        ("a", None, 9.75, None, "open"),
    ]


def test_patients_leave_within_windows_only() -> None:
    ward = unit("W", beds=3, discharge={"windows": [{"between": ["10:00", "12:00"]}]})
    results = ran(hospital(ward, arrivals=at("a", "W", 3, 10.5, 22)), hours=48)
    assert [row[2:4] for row in stays(results)] == [(3, 10), (10.5, 11.5), (22, 34)]
    assert results.unit("W", "blocked_mean").mean == pytest.approx((6 + 0 + 11) / 3)


def test_outliers_go_elsewhere_when_they_have_waited_and_are_brought_home() -> None:
    model = hospital(
        unit("W", overflow=["V"], overflow_after_hours=1, repatriates=True, stay={"exactly": 4}),
        unit("V", beds=2),
        arrivals=at("a", "W", 1, 2),
    )
    assert stays(ran(model)) == [
        ("a", "W", 1, 5, "discharged"),
        ("a", "V", 3, 5, "repatriated"),
        ("a", "W", 5, 7, "discharged"),
    ]


@pytest.mark.parametrize("way", ["on_deadlock", "at_once"])
def test_two_who_wait_for_each_others_beds_change_places(way: str) -> None:
    model = hospital(
        unit("W", then={"V/b": 1}, stay={"exactly": 2}),
        unit("V", then={"W/b": 1}),
        arrivals=at("a", "W", 1) + at("a", "V", 2.5),
        routes=[
            {"class": "b", "unit": "W", "then": {"home": 1}},
            {"class": "b", "unit": "V", "then": {"home": 1}},
        ],
        swaps=way,
    )
    results = ran(model)
    assert stays(results) == [
        ("a", "W", 1, 3.5, "moved"),
        ("b", "V", 3.5, 4.5, "discharged"),
        ("a", "V", 2.5, 3.5, "moved"),
        ("b", "W", 3.5, 5.5, "discharged"),
    ]


def test_who_is_there_at_the_start_goes_on_from_there() -> None:
    model = hospital(
        unit("ED", then={"W": 1}),
        unit("W", beds=2, stay={"exactly": 5}),
        present=[
            {"class": "a", "unit": "W", "for_hours": 3, "patient": "P1"},
            {"class": "a", "unit": "W", "for_hours": 1, "rest_hours": 7},
            {"class": "a", "unit": "ED", "for_hours": 2, "stay_over": True, "next": "W"},
            {"class": "b", "unit": "W", "for_hours": 4, "waiting": True},
        ],
    )
    results = ran(model)
    assert stays(results) == [
        ("b", "W", 7, 12, "discharged"),
        ("a", "W", -3, 2, "discharged"),
        ("a", "ED", -2, 2, "moved"),
        ("a", "W", 2, 7, "discharged"),
        ("a", "W", -1, 7, "discharged"),
    ]
    assert "P1" in results.stays()["patient_id"].to_pylist()


def test_the_rest_of_a_stay_is_that_of_stays_that_last_so_long() -> None:
    ward = unit("W", beds=1, stay={"observed": [2, 4, 10, 20]})
    model = hospital(ward, present=[{"class": "a", "unit": "W", "for_hours": 5}])
    results = ran(model, replications=400)
    ends = results.stays()["to_hours"].to_numpy()
    assert set(ends.round(6).tolist()) == {5.0, 15.0}
    assert 0.4 < (ends < 10).mean() < 0.6


def test_a_stay_that_was_over_in_the_night_ends_at_the_hour_of_leaving() -> None:
    at_two = [float(hour == 14) for hour in range(24)]
    ward = unit("W", stay={"observed": [20, 200]}, discharge={"by_hour": at_two})
    # In bed since Sunday 07:00; whose stay was over on Monday at 03:00 is still there at 13:00.
    model = hospital(ward, present=[{"class": "a", "unit": "W", "for_hours": 30}])
    results = ran(model, hours=300, replications=400, hour_of_week=13)
    left = results.stays()["to_hours"].to_numpy()
    assert set(left.astype(int)) == {1, 24 * 8 + 1}
    assert 0.4 < (left < 24).mean() < 0.6


def test_who_is_announced_to_leave_leaves_then_and_others_no_sooner() -> None:
    at_two = [float(hour == 14) for hour in range(24)]
    ward = unit("W", beds=9, stay={"observed": [20, 60]}, discharge={"by_hour": at_two})
    leaving = {"class": "a", "unit": "W", "for_hours": 90, "stay_over": True, "next": "home"}
    model = hospital(
        ward,
        present=[
            leaving | {"rest_hours": 5.5, "patient": "announced"},
            leaving | {"patient": "ready"},
            {"class": "a", "unit": "W", "for_hours": 30, "goes_on": True, "patient": "goes on"},
        ],
    )
    # It is Monday, 13:00: whose stay was over in the night leaves within the next two hours.
    for earlier, left in ((0, {"announced": 5.5, "ready": 1}), (2, {"announced": 3.5, "ready": 0})):
        ward["discharge"] = {"by_hour": at_two, "earlier_hours": earlier}
        rows = ran(model, hours=100, replications=40, hour_of_week=13).stays().to_pylist()
        ends = {(r["patient_id"], int(2 * r["to_hours"]) / 2) for r in rows}
        assert {(who, hour) for who, hour in ends if who != "goes on"} == {
            (who, hour) for who, hour in ends if who in left and int(hour) == int(left[who])
        }
        # A stay of 60 hours of which 30 have passed is over at 30, and its patient gone at 49.
        assert {int(hour) for who, hour in ends if who == "goes on"} == {49 - earlier}


def test_who_dies_or_goes_against_advice_leaves_at_any_hour() -> None:
    at_two = [float(hour == 14) for hour in range(24)]
    for exit_, left in (("died", 4), ("left", 4), ("home", 14), ("transferred", 14)):
        ward = unit("W", discharge={"by_hour": at_two}, then={exit_: 1.0})
        [row] = stays(ran(hospital(ward, arrivals=at("a", "W", 3)), hours=72))
        assert int(row[3]) == left


def test_what_is_added_to_a_duration_is_added_to_each() -> None:
    for said in (
        {"exactly": 1}, {"family": "exponential", "mean": 2}, {"median": 2, "p90": 5},
        {"family": "gamma", "mean": 2, "cv": 0.5}, {"family": "weibull", "shape": 1, "scale": 2},
        {"between": [1, 2]}, {"between": [1, 2], "mode": 1.5}, {"observed": [1, 3]},
        {"quantiles": [1, 3]}, {"mix": [{"share": 1, "exactly": 1, "plus": 3}]},
    ):  # fmt: skip
        plain = [row[3] - 1 for row in stays(ran(hospital(unit("W", stay=said),
                 arrivals=at("a", "W", 1)), hours=200))]  # fmt: skip
        more = said if "mix" in said else said | {"plus": 3}
        ward = unit("W", stay=more)
        later = [
            row[3] - 1 for row in stays(ran(hospital(ward, arrivals=at("a", "W", 1)), hours=200))
        ]
        assert later == pytest.approx(
            [hours + (0 if "mix" in said else 3) for hours in plain], abs=1e-5
        )
        # Of one that has begun an hour ago nothing is known yet, so that the same is left of it.
        here = {"class": "a", "unit": "W", "for_hours": 1}
        rest = [row[3] for row in stays(ran(hospital(ward, present=[here]), hours=200))]
        assert min(rest) >= 2


def test_a_stay_of_several_steps_in_one_bed_is_one_stay_of_the_unit() -> None:
    model = hospital(
        unit("W", beds=2, then={"W/b": 1}),
        unit("V", beds=2),
        arrivals=at("a", "W", 1, 1.1, 1.2),
        routes=[{"class": "b", "unit": "W", "stay": {"exactly": 2}, "then": {"home": 1},
                 "needs": {"OR": 1}}],
        theatres=[{"code": "OR", "theatres": 1}],
    )  # fmt: skip
    results = ran(model)
    means = {
        name: results.unit("W", name).mean
        for name in ("asked", "started", "stays", "stay_mean", "boarding_mean", "wait_p50")
    }
    # Two lie in bed at once; one of them waits an hour in it for the theatre, which is no boarding.
    assert means == {"asked": 3, "started": 3, "stays": 3, "stay_mean": pytest.approx(3),
                     "boarding_mean": 0, "wait_p50": 0}  # fmt: skip
    assert results.step("b", "W", "wait_share").mean == pytest.approx(2 / 3)
    assert results.unit("W", "wait_share").mean == pytest.approx(1 / 3)


BUSY = hospital(
    unit("ED", beds=6, stay={"family": "gamma", "mean": 3, "cv": 0.8}, then={"home": 0.6, "W": 0.4},
         patience={"family": "exponential", "mean": 4}),
    unit("W", beds=12, stay={"median": 20, "p90": 60}, then={"home": 0.9, "ICU": 0.1},
         overflow=["ICU"], cleaning={"between": [0.5, 1]}),
    unit("ICU", beds=3, stay={"family": "weibull", "shape": 1.3, "scale": 30},
         then={"W": 0.8, "died": 0.2}),
    swaps="at_once",
    arrivals=[{"class": "b", "unit": "ED", "per_day": 30, "day_variation": 0.2,
               "by_hour": [1] * 8 + [3] * 16}],
)  # fmt: skip


def test_results_are_the_same_to_the_bit_for_any_workers_and_chunks() -> None:
    model, run = flow_from(BUSY, "busy"), Run(hours=500, replications=11, seed=5, stays=True)
    here = simulate(model, run)
    for workers in (1, 3):
        with ThreadPoolExecutor(workers) as threads:
            there = simulate(model, run, executor=threads)
        for one, other in zip(here.books, there.books, strict=True):
            assert one.tobytes() == other.tobytes()
        assert here.rows.tobytes() == there.rows.tobytes()
    other = simulate(model, Run(hours=500, replications=11, seed=6))
    assert not np.array_equal(here.books.units, other.books.units)


def test_a_cluster_gives_the_same_results() -> None:
    distributed = pytest.importorskip("distributed")
    model, run = flow_from(BUSY, "busy"), Run(hours=300, replications=6, seed=5, stays=True)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        there = simulate(model, run, executor=client.get_executor())
    here = simulate(model, run)
    assert here.books.units.tobytes() == there.books.units.tobytes()
    assert here.rows.tobytes() == there.rows.tobytes()


def test_everybody_is_accounted_for() -> None:
    results = ran(BUSY, hours=2000, replications=5, seed=3)
    classes = results.class_values
    rows = results.stays().to_pylist()
    still = {row["encounter_id"] for row in rows if row["ended"] == "open"}
    assert classes["arrived"].sum() == classes["finished"].sum() + len(still)
    # Little's law, exactly, for the hours in beds: the integral is the sum over stays.
    for at_, code in enumerate(results.units):
        lain = sum(
            (2000 if row["to_hours"] is None else row["to_hours"]) - row["from_hours"]
            for row in rows
            if row["unit"] == code
        )
        census = results.unit_values["census_mean"][:, at_].sum() * 2000
        assert lain == pytest.approx(census, rel=1e-9)
    by_bed = sorted(
        (row["replication"], row["unit"], row["bed"], row["from_hours"], row["to_hours"] or 2000)
        for row in rows
        if row["unit"]
    )
    for before, after in pairwise(by_bed):
        if before[:3] == after[:3]:
            assert before[4] <= after[3] + 1e-9


def test_a_surge_adds_patients_and_leaves_those_who_come_anyway_as_they_are() -> None:
    endless = [dict(ward) | {"beds": "unlimited"} for ward in BUSY["units"]]
    for ward in endless:
        ward.pop("cleaning", None)
    calm = hospital(*endless, arrivals=BUSY["arrivals"])
    more = calm | {"surges": [{"factor": 1.5, "from_hours": 100, "to_hours": 300}]}
    before, after = (
        {(r[0], r[1], r[2], r[3]) for r in stays(ran(model, hours=400))} for model in (calm, more)
    )
    assert before < after
    assert all(100 <= row[2] for row in after - before)


def test_the_command_runs_a_model_and_answers_in_json(tmp_path, capsys) -> None:
    file = tmp_path / "ward.toml"
    file.write_text(
        '[[units]]\ncode = "W"\nbeds = 2\nstay = { family = "exponential", mean = 1 }\n'
        'then = { home = 1 }\n[[classes]]\ncode = "a"\n'
        '[[arrivals]]\nclass = "a"\nunit = "W"\nper_hour = 1\n'
    )
    words = ["simulate", str(file), "--replications", "4", "--seed", "3", "--days", "2", "--json"]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["replications"] == 4
    means = {
        row["statistic"]: row["mean"] for row in answer["statistics"] if row["subject"] == "unit"
    }
    assert 20 < means["started"] < 80
    assert main(["simulate", "--schema"]) == 0
    assert "units" in json.loads(capsys.readouterr().out)["properties"]
    file.write_text("units = []\n")
    assert main(["simulate", str(file)]) == 3
    assert main(["simulate"]) == 2


def test_the_page_about_simulation_is_generated() -> None:
    written = Path(__file__).parents[2] / "docs" / "reference" / "simulation.md"
    assert written.read_text("utf-8") == "\n".join(page()) + "\n"


@pytest.mark.parametrize(
    "asked",
    [
        {"hours": float("inf")},
        {"hours": 2.4e10},
        {"hours": 24.0, "replications": 10**11},
        {"hours": 1e6, "replications": 10_000},
    ],
)
def test_a_run_for_which_there_is_no_room_is_refused(asked: dict[str, Any]) -> None:
    model = flow_from(hospital(unit("W"), arrivals=at("a", "W", 1)), "test")
    with pytest.raises(UsageError, match=r"No run is that long|no room for so long a census"):
        simulate(model, Run(**asked))


@pytest.mark.parametrize(
    "asked",
    [("--half-width", "boarding=1"), ("--scenario", "winter", "--kpi", "alos"), ("--days", "inf")],
)
def test_the_command_leaves_nothing_unheard(
    asked: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "riverside", *asked]) == 2
    assert "Traceback" not in capsys.readouterr().err
