"""A hospital's flow as data: what a nurse writes is read, and what cannot be is refused."""

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from twin_core.errors import ConfigurationError
from twin_core.simulation.flow.capacity import bed_steps
from twin_core.simulation.flow.loading import flow_from, load_flow
from twin_core.simulation.flow.steps import steps_of
from twin_core.simulation.kernel.planning import plan_of

SMALL: dict[str, Any] = {
    "units": [
        {
            "code": "ED",
            "kind": "emergency",
            "beds": 4,
            "stay": {"family": "exponential", "mean": 3},
            "then": {"home": 0.7, "MED": 0.3},
        },
        {
            "code": "MED",
            "beds": 10,
            "stay": {"median": 3, "p90": 8, "unit": "days"},
            "then": {"home": 1.0},
            "plan": [{"days": ["saturday", "sunday"], "between": ["00:00", "24:00"], "beds": 6}],
        },
    ],
    "classes": [{"code": "walk-in", "priority": 3}],
    "arrivals": [{"class": "walk-in", "unit": "ED", "per_day": 24}],
}


def changed(**parts: Any) -> dict[str, Any]:
    """The small hospital with some parts replaced."""
    return deepcopy(SMALL) | parts


def unit(**fields: Any) -> dict[str, Any]:
    """A unit of one bed with some fields."""
    plain = {"code": "W", "beds": 1, "stay": {"exactly": 1}, "then": {"home": 1}}
    return plain | fields


def test_the_demonstration_hospital_is_a_flow() -> None:
    model = load_flow("riverside")
    assert {u.code for u in model.units} >= {"ED", "ICU", "MED", "SURG"}
    assert sum(u.beds for u in model.units if u.beds != "unlimited") > 380
    weekly = sum(sum(a.hourly()) / len(a.hourly()) for a in model.arrivals if a.unit == "ED") * 168
    # 135 a day, weighted by weekdays that add up to 7.
    assert weekly == pytest.approx(135 * 7, rel=1e-9)


def test_the_demonstration_hospital_begins_as_full_as_it_says() -> None:
    model = load_flow("riverside")
    there = [here for here in model.present if here.unit == "MED"]
    assert len(there) == round(0.9 * 56)
    # Found under way, a stay is E[X^2] / 2 E[X] old on average: a lognormal of 3.6 and 9.5 days.
    sigma = math.log(9.5 / 3.6) / 1.2815515655446004
    expected = 24 * 3.6 * math.exp(1.5 * sigma**2) / 2
    assert sum(here.for_hours for here in there) / len(there) == pytest.approx(expected, rel=0.15)


def test_a_plan_gives_the_open_beds_of_every_hour() -> None:
    model = flow_from(SMALL, "small")
    assert bed_steps(model.units[1]) == [(0.0, 10), (120.0, 6)]


def test_a_period_past_sunday_midnight_goes_on_on_monday() -> None:
    night = {"days": ["sunday"], "between": ["22:00", "06:00"], "beds": 2}
    model = flow_from(changed(units=[unit(code="ED", beds=5, plan=[night])]), "night")
    assert bed_steps(model.units[0]) == [(0.0, 2), (6.0, 5), (166.0, 2)]


def test_steps_are_the_classes_met_in_units() -> None:
    model = flow_from(
        changed(
            units=[unit(code="ED", then={"ED/seen": 0.5, "home": 0.5})],
            classes=[{"code": "walk-in"}, {"code": "seen"}, {"code": "never"}],
            routes=[{"class": "seen", "unit": "ED", "then": {"home": 1}, "priority": 1}],
        ),
        "steps",
    )
    assert list(steps_of(model)) == [("walk-in", "ED"), ("seen", "ED")]
    assert [step.priority for step in steps_of(model).values()] == [3, 1]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"units": [unit(code="ED", then={})]}, r"class walk-in in unit ED: there is no route out"),
        ({"units": [unit(code="ED", then={"ED": 1})]}, "no route out of the hospital"),
        ({"units": [unit(code="ED", then={"home": 0.8})]}, "add up to 0.8"),
        ({"units": [unit(code="ED", then={"nowhere": 1})]}, "there is no unit nowhere"),
        ({"units": [unit(code="ED", stay=None)]}, "no length of stay"),
        ({"units": [unit(code="ED", beds=0)]}, r"units\[1\] \(ED\)\.beds.*at least one bed"),
        ({"units": [unit(code="ED", beds=-3)]}, r"units\[1\] \(ED\)\.beds"),
        ({"units": [unit(code="ED", stay={"exactly": -1})]}, r"stay\.exactly: .*greater than"),
        ({"units": [unit(code="ED", stay={"mean": 0, "family": "exponential"})]}, "greater than 0"),
        ({"units": [unit(code="ED", stay={"mean": 2})]}, "a mean needs a family"),
        ({"units": [unit(code="ED", stay={"observed": [1, -1]})]}, "none of them negative"),
        (
            {"units": [unit(code="ED", plan=[{"between": ["00:00", "24:00"], "beds": 0}])]},
            "unit ED: no bed is ever open",
        ),
        ({"units": [unit(code="ED", needs={"nurse": 1})]}, "there is no staff or theatre nurse"),
        (
            {
                "units": [unit(code="ED", needs={"nurse": 2})],
                "staff": [{"code": "nurse", "on_duty": 1}],
            },
            "2 of nurse, which never has more than 1",
        ),
        ({"arrivals": []}, "nobody ever comes"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "per_day": -1}]}, "per_day"),
        ({"arrivals": [{"class": "ghost", "unit": "ED", "per_day": 1}]}, "there is no class ghost"),
        ({"closures": [{"unit": "MED", "beds": 10}]}, "unit MED: no bed is ever open"),
        ({"units": [*SMALL["units"], unit(code="MED")]}, "MED is given 2 times"),
        ({"nonsense": 1}, "nonsense"),
        ({"units": [unit(code="ED", stay={"family": "normal", "mean": -5, "sd": 1})]},
         "unit ED, stay: negative on average"),
        ({"units": [unit(code="ED", stay={"exactly": math.nan})]}, r"stay\.exactly: .*finite"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "per_day": math.inf}]},
         r"arrivals\[1\]\.per_day: .*finite"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "per_hour": 1e12}]}, "are too many"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "rates": [0, 0]}]}, "every arrival rate"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "slots": [{"times": ["10:00"]}],
                        "no_show": 1}]}, "nobody keeps an appointment"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "interarrival": {"exactly": 0}}]},
         "arrivals walk-in to ED, interarrival: endlessly many"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "saturated": True}],
          "units": [unit(code="ED", beds="unlimited")]}, "ED has beds without limit"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "saturated": True}],
          "units": [unit(code="ED", waiting_places=0)]}, "ED turns patients away"),
        ({"units": [unit(code="ED", stay={"exactly": 0}, then={"ED/b": 1})],
          "classes": [{"code": "walk-in"}, {"code": "b"}],
          "routes": [{"class": "b", "unit": "ED", "then": {"ED/walk-in": 0.9, "home": 0.1}}]},
         "a ring of stays that last no time"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "interarrival": {
            "mix": [{"share": 0.9, "exactly": 0},
                                       {"share": 0.1, "observed": [1e-9, 1e-6]}]}}]},
         "arrivals walk-in to ED, interarrival: .* on average are too few"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "interarrival": {
            "family": "gamma", "shape": 0.5, "scale": 1e-7}}]}, "5e-08 h on average are too few"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "per_day": 3, "day_variation": 1e-200}]},
         "arrivals walk-in to ED, day_variation: 1e-200"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "per_day": 3, "day_variation": 1e9}]},
         "day_variation: 1e\\+09"),
        ({"units": [unit(code="ED", stay={"family": "gamma", "mean": 3, "cv": 1e-200})]},
         "unit ED, stay: a spread of 1e-200 times the mean"),
        ({"units": [unit(code="ED", stay={"family": "lognormal", "mean": 3, "sd": 1e200})]},
         "unit ED, stay: a spread of .* times the mean"),
        ({"units": [unit(code="ED", stay={"median": 3, "sigma": 1e3})]}, "a sigma of 1000"),
        ({"units": [unit(code="ED", patience={"family": "weibull", "mean": 3, "shape": 1e-3})]},
         "unit ED, patience: a shape of 0.001"),
        ({"units": [unit(code="ED", waiting_places=2**31)]}, "waiting_places: .* too many"),
        ({"units": [unit(code="ED", overflow=["ED"])]}, "unit ED, overflow: it cannot help itself"),
        ({"units": [unit(code="ED", beds=10**12)]}, "unit ED, beds: .*too many"),
        ({"units": [unit(code="ED", beds=True)]}, r"units\[1\] \(ED\)\.beds: a number of beds"),
        ({"closures": [{"unit": "MED", "beds": 1, "from_hours": 9, "to_hours": 3}]},
         r"closures\[1\]: ends at 3 h, before it begins"),
        ({"surges": [{"factor": 2, "from_hours": 9, "to_hours": 9}]}, r"surges\[1\]: ends at 9 h"),
        ({"being_cleaned": {"ED": -1}}, "being_cleaned, ED: -1 beds"),
        ({"time_zone": "Mars/Base"}, "there is no time zone Mars/Base"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "slots": [{"times": ["25:00"]}]}]},
         r"arrivals\[1\]\.slots\[1\]\.times: '25:00' is after 24:00"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "slots": []}]}, r"slots: .*at least 1"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED",
                        "slots": [{"days": [], "times": ["08:00"]}]}]}, r"days: .*at least 1"),
        ({"units": [unit(code="ED", discharge={
            "windows": [{"days": [], "between": ["09:00", "10:00"]}]})]}, r"days: .*at least 1"),
        ({"units": [unit(code="ED", plan=[{"days": ["monday", "monday"],
                                           "between": ["09:00", "10:00"], "beds": 3}])]},
         "monday is named 2 times"),
        ({"units": [unit(code="ED", plan=[{"between": ["09:00", "10:00"], "beds": 10**9}])]},
         r"unit ED, plan\[1\]\.beds: 1000000000 are too many"),
        ({"units": [unit(code="ED", stay={"exactly": 1e300})]},
         "unit ED, stay: 1e\\+300 h on average are more than"),
        ({"units": [unit(code="ED", stay={"family": "normal", "mean": 1, "sd": 100})]},
         "unit ED, stay: a normal of mean 1 and sd 100 is often negative; .* would be 40\\.3962"),
        ({"staff": [{"code": "nurse", "on_duty": 10, "patients_each": 10**18}]},
         "staff nurse: 10 with 1000000000000000000 patients each are too many"),
        ({"theatres": [{"code": "OR", "theatres": 1, "blocks": [
            {"between": ["08:00", "10:00"], "theatres": 3, "classes": ["walk-in"]}]}]},
         "theatre OR, blocks: 3 theatres are given away at once, of 1"),
        ({"theatres": [{"code": "OR", "theatres": 10**12}]}, "theatre OR, theatres: .*too many"),
        ({"surges": [{"factor": 1e12}]}, r"surges\[1\]\.factor: .* an hour are too many"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "slots": [
            {"times": ["08:00"], "each": 10**9}]}]}, r"slots\[1\]\.each: .* too many"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "slots": [{"times": ["08:00"]}]}],
          "surges": [{"factor": 1e9}]}, r"surges\[1\]\.factor: 1e\+09 times as many"),
        ({"arrivals": [{"class": "walk-in", "unit": "ED", "rates": [1, 2], "step_hours": 1e-12}]},
         "arrivals walk-in to ED, step_hours: 1e-12 is less than a second"),
    ],
)  # fmt: skip
def test_an_impossible_hospital_is_refused_with_reason_and_place(
    parts: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        flow_from(changed(**parts), "small")


def test_what_is_not_the_reason_is_not_told() -> None:
    with pytest.raises(ConfigurationError) as caught:
        flow_from(changed(units=[unit(code="ED", beds=0)]), "small")
    assert "at least 1 item" not in caught.value.why
    with pytest.raises(ConfigurationError, match=r"units: .*at least 1 item"):
        flow_from(changed(units=[]), "small")


RING = [
    unit(code="ED", then={"MED": 1}),
    unit(code="MED", then={"ICU": 0.1, "home": 0.9}),
    unit(code="ICU", then={"MED": 0.9, "died": 0.1}),
]


def test_a_ring_that_can_lock_is_refused_until_beds_may_be_swapped() -> None:
    with pytest.raises(ConfigurationError, match="between ICU, MED can lock each other"):
        flow_from(changed(units=RING), "ring")
    for way in ("on_deadlock", "at_once"):
        flow_from(changed(units=RING, swaps=way), "ring")
    free = [ward | {"boards": False} for ward in RING]
    flow_from(changed(units=free), "ring")
    endless = [*RING[:2], RING[2] | {"beds": "unlimited"}]
    flow_from(changed(units=endless), "ring")


def test_a_ring_of_staff_is_refused_even_where_beds_are_swapped() -> None:
    wards = [
        unit(code="ED", beds="unlimited", needs={"a": 1}, then={"MED": 1}),
        unit(code="MED", beds="unlimited", needs={"b": 1}, then={"ED/late": 0.5, "home": 0.5}),
    ]
    parts = {
        "units": wards,
        "classes": [{"code": "walk-in"}, {"code": "late"}],
        "swaps": "at_once",
        "routes": [{"class": "late", "unit": "ED", "then": {"home": 1}}],
        "staff": [{"code": "a", "on_duty": 1}, {"code": "b", "on_duty": 1}],
    }
    with pytest.raises(ConfigurationError, match="between a, b can lock"):
        flow_from(changed(**parts), "staff")
    few = [ward | {"beds": 2} for ward in wards]
    with pytest.raises(ConfigurationError, match="between ED, MED, a, b can lock"):
        flow_from(changed(**parts | {"units": few}), "staff and beds")
    # Theatres are free when the operation is over, whoever boards.
    theatres = [{"code": code, "theatres": 1} for code in "ab"]
    flow_from(changed(**parts | {"staff": [], "theatres": theatres}), "theatres")
    gone = [pool | {"stays_with_boarders": False} for pool in parts["staff"]]
    flow_from(changed(**parts | {"staff": gone}), "staff")


def test_a_plan_writes_out_weekly_capacities_from_the_hour_of_the_start() -> None:
    model = flow_from(
        changed(closures=[{"unit": "MED", "beds": 3, "from_hours": 10, "to_hours": 20}]), "x"
    )
    # Begun on Friday at noon: the weekend begins after 12 hours, while three beds are closed.
    plan = plan_of(model, hours=100, hour_of_week=108)
    steps = [(float(c["at"]), int(c["capacity"])) for c in plan.changes if c["resource"] == 1]
    assert steps == [(0, 10), (10, 7), (12, 3), (20, 6), (60, 10)]


def test_appointments_are_written_out_and_surges_are_streams_beside() -> None:
    clinic = {"days": ["monday"], "times": ["09:00", "09:30"], "each": 2}
    parts = {
        "arrivals": [
            {"class": "walk-in", "unit": "ED", "slots": [clinic], "early_at_most_hours": 1},
            {"class": "walk-in", "unit": "ED", "per_hour": 2.0},
        ],
        "surges": [{"factor": 1.5, "from_hours": 5, "to_hours": 9}, {"factor": 0.5}],
    }
    plan = plan_of(flow_from(changed(**parts), "x"), hours=24)
    booked = plan.slots[plan.slots["stream"] == 0]
    assert booked["due"].tolist() == [9, 9, 9.5, 9.5]
    assert booked["at"].tolist() == [8, 8, 8.5, 8.5]
    assert plan.rates.tolist() == [2.0, 1.0]
    assert plan.streams["begins"].tolist() == [0, 5, 0, 5]
    assert plan.thins["kept"].tolist() == [0.5, 0.5]


def staffed(beds: int, there: int, **pool: Any) -> dict[str, Any]:
    """An ED with a nurse for each patient, and a ward with two, from one pool."""
    return {
        "units": [
            unit(code="ED", beds=beds, needs={"nurse": 1}, then={"MED": 1}),
            unit(code="MED", needs={"nurse": 2}),
        ],
        "staff": [{"code": "nurse", "on_duty": there} | pool],
    }


def test_boarders_who_keep_a_nurse_and_need_two_can_lock_each_other() -> None:
    for beds, there in ((2, 2), (5, 5)):
        with pytest.raises(ConfigurationError, match="staff nurse: class walk-in in unit ED keep"):
            flow_from(changed(**staffed(beds, there)), "locked")
    # A full house leaves one for the next, or nobody keeps one while they wait.
    flow_from(changed(**staffed(2, 3)), "enough")
    flow_from(changed(**staffed(2, 2, stays_with_boarders=False)), "given back")


@pytest.mark.parametrize("found", [b"\xff\xfe\x00u", bytes(range(256)), b"", b"{}", b"units = ["])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, found: bytes) -> None:
    file = tmp_path / "model.toml"
    file.write_bytes(found)
    with pytest.raises(ConfigurationError, match=r"is no TOML|units: Field required"):
        load_flow(file)
