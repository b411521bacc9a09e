"""Calibration: what incomplete observations say, on cases small enough to know the answer."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from twin_core.errors import UsageError
from twin_core.simulation.calibrate import calibrated, standing
from twin_core.simulation.calibrate.courses import courses_of
from twin_core.simulation.calibrate.durations import LOGNORMAL, WEIBULL, ended, fitted
from twin_core.simulation.calibrate.empirical import self_consistent
from twin_core.simulation.calibrate.history import (
    BedPeriod,
    History,
    Lay,
    Planned,
    Spot,
    Visit,
    hour_of,
)
from twin_core.simulation.calibrate.lengths import exact, length_fit
from twin_core.simulation.calibrate.passing import history_from, plain
from twin_core.simulation.calibrate.shares import shares_fit
from twin_core.simulation.calibrate.streams import Clock, drawn_together, stream_fit
from twin_core.simulation.calibrate.writing import toml_of
from twin_core.simulation.flow.model import FlowModel

START = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""


def lived(seed: int, hours: float = 400.0, per_hour: float = 3.0):
    """Lognormal stays of median 80 h and sigma 0.8, as a window from 0 to `hours` sees them."""
    chance = np.random.default_rng(seed)
    begun = chance.uniform(-3000, hours, chance.poisson(per_hour * (3000 + hours)))
    lasts = np.exp(np.log(80) + 0.8 * chance.standard_normal(len(begun)))
    seen = begun + lasts > 0
    return begun[seen], lasts[seen], hours


def test_lengths_of_stay_are_not_too_short_although_the_longest_are_cut() -> None:
    begun, lasts, hours = lived(1)
    until = np.minimum(lasts, hours - begun)
    of = ended(until, np.where(begun + lasts < hours, until, np.inf), np.maximum(0, -begun))
    fit = fitted(LOGNORMAL, of)
    assert fit is not None
    low, high = (
        fit.at - 3 * np.sqrt(np.diag(fit.covariance)),
        fit.at + 3 * np.sqrt(np.diag(fit.covariance)),
    )
    assert (low < [np.log(80), np.log(0.8)]).all()
    assert (high > [np.log(80), np.log(0.8)]).all()
    # Those alone that began and ended in the window are too short, and so are all as far as seen.
    inside = (begun > 0) & (begun + lasts < hours)
    completed, naive = fitted(LOGNORMAL, exact(lasts[inside])), fitted(LOGNORMAL, exact(until))
    assert completed is not None
    assert naive is not None
    assert completed.at[0] < naive.at[0] < low[0]


def test_intervals_a_day_wide_tell_the_same_length() -> None:
    lasts = np.exp(np.log(80) + 0.8 * np.random.default_rng(2).standard_normal(3000))
    known = 24 * np.ceil(lasts / 24)
    fit = fitted(LOGNORMAL, ended(known - 24, known))
    assert fit is not None
    assert abs(fit.at[0] - np.log(80)) < 3 * np.sqrt(fit.covariance[0, 0])
    assert np.sqrt(fit.covariance[0, 0]) < 0.02


def test_the_family_that_fits_is_found_and_none_where_none_does() -> None:
    chance = np.random.default_rng(3)
    weibull = length_fit(exact(30 * chance.weibull(2.0, 1500)))
    assert weibull is not None
    assert weibull.family == WEIBULL.name
    assert weibull.words()["shape"] == pytest.approx(2.0, rel=0.1)
    two_kinds = np.concatenate([chance.uniform(1, 2, 500), chance.uniform(40, 50, 500)])
    observed = length_fit(exact(two_kinds))
    assert observed is not None
    assert observed.family == "observed"
    assert float(observed.surviving(20.0)) == pytest.approx(0.5, abs=0.03)


def test_without_a_family_the_estimate_is_that_of_kaplan_and_meier() -> None:
    # At 1 one of five ends and one is lost, at 3 one of three ends: 0.8, then 0.8 * 2/3.
    of = ended([1, 1, 3, 4, 5], [1, np.inf, 3, 4, 5])
    steps = self_consistent(of)
    assert steps.surviving([1.0, 3.0, 4.0]).tolist() == pytest.approx(
        [0.8, 0.8 * 2 / 3, 0.8 / 3], abs=0.01
    )


def test_without_a_family_late_comers_stand_for_those_who_had_gone() -> None:
    begun, lasts, hours = lived(8)
    until = np.minimum(lasts, hours - begun)
    of = ended(until, np.where(begun + lasts < hours, until, np.inf), np.maximum(0, -begun))
    assert float(self_consistent(of).surviving(80.0)) == pytest.approx(0.5, abs=0.04)
    as_if_from_the_start = self_consistent(of._replace(entered=np.zeros(len(until))))
    assert float(as_if_from_the_start.surviving(80.0)) > 0.55


def test_shares_of_destinations_count_those_who_are_still_there() -> None:
    # Two of four go home at 1; the others stay long: of these one is lost, and one died.
    of = shares_fit(["home", "home", None, "died"], [1, 1, 2, 3], [0, 0, 0, 0])
    assert of is not None
    assert dict(zip(of.names, of.shares.tolist(), strict=True)) == pytest.approx(
        {"home": 0.5, "died": 0.5}
    )
    # One who was there before the window is not at risk before it began.
    late = shares_fit(["home", "home", "died"], [1, 2, 3], [0, 0, 1.5])
    assert late is not None
    assert dict(zip(late.names, late.shares.tolist(), strict=True)) == pytest.approx(
        {"home": 0.75, "died": 0.25}
    )


def clock(weeks: int, zone: str = "UTC") -> Clock:
    start = hour_of(START)
    return Clock(ZoneInfo(zone), start, start + 168 * weeks)


def came(rates: np.ndarray, weeks: int, seed: int, cv: float = 0.0) -> list[float]:
    """Arrivals at 168 rates, days varying by a gamma factor of variance cv squared."""
    chance = np.random.default_rng(seed)
    found = []
    for hour in range(168 * weeks):
        if hour % 24 == 0:
            busy = chance.gamma(1 / cv**2) * cv**2 if cv else 1.0
        found += [
            hour_of(START) + hour + u
            for u in chance.random(chance.poisson(busy * rates[hour % 168]))
        ]
    return found


def test_hours_that_do_not_differ_are_not_said_to() -> None:
    flat = stream_fit("direct", "W", came(np.full(168, 0.1), 8, 4), clock(8))
    assert np.ptp(flat.hours) < 0.5
    assert flat.cells is None
    assert flat.arrivals().per_day == pytest.approx(2.4, rel=0.2)
    day = np.where((np.arange(168) % 24 >= 8) & (np.arange(168) % 24 < 18), 6.0, 0.5)
    busy = stream_fit("walk-in", "ED", came(day, 6, 5), clock(6))
    assert busy.hours[8:18].min() > 1.5 > 0.4 > busy.hours[:8].max()
    assert busy.day_variation == 0
    assert busy.rates().sum() == pytest.approx(day.sum(), rel=0.05)


def test_days_that_differ_more_than_chance_are_found() -> None:
    rates = np.full(168, 4.0)
    calm = stream_fit("walk-in", "ED", came(rates, 8, 6), clock(8))
    wild = stream_fit("walk-in", "ED", came(rates, 8, 7, cv=0.3), clock(8))
    assert calm.dispersion_p > 0.01
    for seed in range(20, 26):
        alike = stream_fit("walk-in", "ED", came(rates, 4, seed), clock(4))
        assert alike.day_variation == 0 or alike.dispersion_p < 0.01
    assert calm.day_variation == 0
    assert wild.dispersion_p < 1e-6
    assert wild.day_variation == pytest.approx(0.3, rel=0.3)


def test_factors_are_drawn_towards_one_by_what_chance_explains() -> None:
    factors, weight = drawn_together(np.array([5.0, 3.0, 4.0, 4.0]), np.full(4, 4.0))
    assert factors.tolist() == [1, 1, 1, 1]
    assert weight == np.inf
    factors, weight = drawn_together(np.array([400.0, 100.0, 250.0, 250.0]), np.full(4, 250.0))
    assert 1.5 < factors[0] < 1.6
    assert weight < 20


def test_the_hour_of_the_week_is_that_of_the_local_clock() -> None:
    berlin = Clock(ZoneInfo("Europe/Berlin"), hour_of(START), hour_of(START) + 168 * 5)
    noon = hour_of(datetime(2026, 3, 31, 10, tzinfo=UTC))  # a Tuesday, in summer time
    assert berlin.hour_of_week([noon]).tolist() == [24 + 12]
    # 29 March has no hour from two to three.
    assert berlin.exposure()[6 * 24 + 2] == 4
    assert berlin.exposure().sum() == 168 * 5


def at(hours: float) -> float:
    return hour_of(START) + hours


def history(
    stays: list[tuple[str, str, float, float | None]],
    *,
    hours: float = 400.0,
    periods: tuple[BedPeriod, ...] = (),
    plans: tuple[Planned, ...] = (),
    exit_: str = "home",
) -> History:
    """Stays as (visit, unit/room-bed, from, to), hours after START; visits end with their last."""
    lays, ends = [], {}
    for visit, place, begun, until in stays:
        unit, _, named = place.partition("/")
        room, _, bed = named.rpartition("-")
        lays.append(
            Lay(
                visit, Spot(unit, room, bed), at(begun), None if until is None else at(until), False
            )
        )
        ends[visit] = until
    visits = {
        visit: Visit(
            f"P-{visit}", "direct", None, None if end is None else at(end), exit_ if end else None
        )
        for visit, end in ends.items()
    }
    beds: dict[str, set[Spot]] = {}
    for lay in lays:
        beds.setdefault(lay.spot.unit, set()).add(lay.spot)
    named_beds = {unit: tuple(sorted(spots)) for unit, spots in beds.items()}
    whole = History(
        "H", ZoneInfo("UTC"), START, START + timedelta(hours=hours), None, tuple(lays), visits,
        named_beds, periods, plans,
    )  # fmt: skip
    return whole


def test_who_is_in_theatre_or_on_the_way_out_is_in_their_ward() -> None:
    stays = []
    for n in range(8):
        t = 10.0 * n
        stays += [
            (f"V{n}", f"W/1-{n}", t, t + 3),
            (f"V{n}", "OR/T1-A", t + 3, t + 5),
            (f"V{n}", f"W/1-{n}", t + 5, t + 9),
            (f"V{n}", "LOUNGE/C-1", t + 9, t + 10),
        ]
    found = courses_of(history(stays))
    assert found.visited == ("OR",)
    assert found.on_the_way_out == ("LOUNGE",)
    assert [(leg.unit, leg.next, leg.ended - leg.asked) for leg in found.legs if leg.ended] == [
        ("W", "home", 9.0)
    ] * 8


def ward(patients: int = 40) -> list[tuple[str, str, float, float | None]]:
    """A ward of ten beds in which stays of 20 to 40 hours follow each other, and one lasts."""
    stays = [(f"V{n}", f"W/1-{n % 10}", 9.0 * n, 9.0 * n + 20 + n % 21) for n in range(patients)]
    return [*stays, ("LAST", "W/2-A", 350.0, None)]


def test_a_forecast_begins_with_who_is_there_and_which_beds_are_not_free() -> None:
    spot = Spot("W", "1", "9")
    periods = (
        BedPeriod(spot, "C", at(390), None),
        BedPeriod(Spot("W", "1", "3"), "H", at(399), None),
    )
    cleaned = tuple(
        BedPeriod(
            Spot("W", "1", str(n % 10)),
            "H",
            at(9.0 * n + 20 + n % 21),
            at(9.0 * n + 21 + n % 21 + n / 50),
        )
        for n in range(25)
    )
    found = calibrated(history(ward(), periods=(*cleaned, *periods)))
    model = standing(found, found.model)
    assert [(here.unit, here.bed, here.for_hours, here.patient) for here in model.present] == [
        ("W", "2-A", 50.0, "P-LAST")
    ]
    assert model.being_cleaned == {"W": 1}
    assert [(closure.unit, closure.beds) for closure in model.closures] == [("W", 1)]


def test_closed_beds_open_again_as_late_as_others_did() -> None:
    spot = Spot("W", "1", "9")
    for lasted in ([20.0 + n for n in range(10)], [2.0**n for n in range(10)]):
        seen = [
            BedPeriod(spot, "C", at(30.0 * n), at(30.0 * n + of)) for n, of in enumerate(lasted)
        ]
        found = calibrated(history(ward(), periods=(*seen, BedPeriod(spot, "C", at(395), None))))
        assert found.closing is not None
        for chance in (None, np.random.default_rng(1)):
            [closure] = standing(found, found.model, chance).closures
            assert (closure.unit, closure.beds, closure.from_hours) == ("W", 1, 0)
            assert closure.to_hours is not None
            assert 0 < closure.to_hours < 500


def test_a_pending_transfer_is_known_to_a_forecast() -> None:
    other = [(f"U{n}", f"V/1-{n}", 9.0 * n, 9.0 * n + 30) for n in range(20)]
    for over, expected, to, wanted in (
        (None, 380, "V", {"stay_over": True, "next": "V"}),
        (None, 405, "V", {"rest_hours": 5.0, "next": "V"}),
        (None, None, "W", {"stay_over": False, "next": None}),
        (390, 405, "V", {"stay_over": False, "next": None}),
    ):
        plan = Planned(
            "LAST", at(379), over and at(over), None if expected is None else at(expected), to
        )
        found = calibrated(history(ward() + other, plans=(plan,)))
        here = standing(found, found.model).present[0]
        assert {name: getattr(here, name) for name in wanted} == wanted
    past = history(ward(), plans=(Planned("LAST", at(379), at(390), at(405), "V"),))
    assert [plan.ended for plan in past.until(START + timedelta(hours=385)).plans] == [None]
    assert past.until(START + timedelta(hours=300)).plans == ()


def test_who_was_given_a_bed_of_another_unit_is_shown_beside_the_one_that_was_asked_for() -> None:
    stays, plans = [], []
    for n in range(30):
        t, to = 9.0 * n, "V" if n % 3 else "X"
        stays += [(f"V{n}", f"E/1-{n}", t, t + 10), (f"V{n}", f"{to}/1-{n}", t + 10, t + 40)]
        if n < 24:
            plans.append(Planned(f"V{n}", at(t + 4), at(t + 9), None, "V"))
            plans.append(Planned(f"V{n}", at(t + 9), at(t + 10), None, to))
    found = calibrated(history(stays, plans=tuple(plans)))
    assert found.diverted == (("V", "X", 8, 24, pytest.approx(6.0), pytest.approx(6.0)),)
    written = toml_of(found)
    assert (
        "# Of 24 whose bed was asked for here, others were given one: 8 in X after 6.0 h."
        in written
    )
    # They asked for V, and X took them after six hours: a rule, and no route of its own.
    [wanted] = [unit for unit in found.model.units if unit.code == "V"]
    assert (wanted.overflow, wanted.overflow_after_hours) == (("X",), pytest.approx(6.0))
    leads = next(unit.then for unit in found.model.units if unit.code == "E")
    assert leads["X"] == pytest.approx(2 / 30, abs=0.01)


def test_who_was_booked_to_one_unit_and_came_to_another_shows_its_overflow() -> None:
    elsewhere = [
        (visit, place.replace("W/", "X/") if int(visit[1:]) % 8 == 1 else place, begun, until)
        for visit, place, begun, until in ward()[:-1]
    ]
    found = calibrated(history(elsewhere, plans=bookings(500)))
    assert [(w.wanted, w.given, w.patients, w.of) for w in found.diverted] == [("W", "X", 5, 30)]
    assert {unit.code: unit.overflow for unit in found.model.units} == {"W": ("X",), "X": ()}


def test_two_patients_in_beds_of_another_unit_make_no_rule() -> None:
    stays, plans = [], []
    for n in range(30):
        t, to = 9.0 * n, "X" if n in (3, 9) or n > 24 else "V"
        stays += [(f"V{n}", f"E/1-{n}", t, t + 10), (f"V{n}", f"{to}/1-{n}", t + 10, t + 40)]
        if n < 24:
            plans.append(Planned(f"V{n}", at(t + 4), at(t + 10), None, "V"))
    found = calibrated(history(stays, plans=tuple(plans)))
    assert [(way.given, way.patients) for way in found.diverted] == [("X", 2)]
    assert all(unit.overflow == () for unit in found.model.units)
    leads = next(unit.then for unit in found.model.units if unit.code == "E")
    assert leads["X"] == pytest.approx(7 / 30, abs=0.01)
    assert "Routes have them where they went" in toml_of(found)


def bookings(known_hours: float, *, since: float = -1e9, of: int = 40) -> tuple[Planned, ...]:
    """Three of four patients of the ward were booked, and came 0, 1 or 2 hours after the time."""
    return tuple(
        Planned(
            f"V{n}",
            at(max(since, 9.0 * n - known_hours)),
            at(9.0 * n),
            at(9.0 * n - n % 3),
            "W",
            "admission",
        )
        for n in range(1, of)
        if n % 4
    )


def active(visit: str, due: float) -> Planned:
    """A booking to the ward of one who has not come."""
    return Planned(visit, at(300), None, at(due), "W", "admission")


def test_who_is_booked_comes_and_of_the_others_as_many_as_were_never_booked() -> None:
    missed = tuple(active(f"M{n}", 200.0 + n) for n in range(7))
    plans = (*bookings(500), *missed, active("B1", 405), active("B2", 470), active("B3", 399.5))
    found = calibrated(history(ward(), plans=plans))
    model = standing(found, found.model)
    [stream] = found.model.arrivals
    booked, due, *rest = sorted(model.arrivals, key=lambda s: -len(s.booked or ()))
    # 30 kept their booking and 7 did not; two hours late was the latest, half of those still to
    # come half an hour after the time came after one hour, half after two.
    assert booked.booked == (5.0, 70.0)
    assert booked.no_show == pytest.approx(7 / 37, abs=1e-3)
    assert sorted(set(booked.lateness.observed)) == [0.0, 1.0, 2.0]
    assert due.booked in ((0.5,), (1.5,))
    first = [s for s in rest if s.begins_after_hours == 0]
    assert sum(s.per_day for s in first) == pytest.approx(stream.per_day / 4, rel=0.1)
    assert "# Booked a day before: 7" in toml_of(found)
    few = calibrated(history(ward(), plans=(*bookings(500)[:15], active("B1", 405))))
    assert standing(few, few.model).arrivals == few.model.arrivals


def test_bookings_that_are_cancelled_days_before_are_not_counted_on_until_then() -> None:
    given_up = tuple(
        Planned(f"C{n}", at(0), at(128.0 + n), at(200.0 + n), "W", "admission") for n in range(20)
    )
    near, far = active("B1", 430), active("B2", 490)
    found = calibrated(history(ward(), plans=(*bookings(500), *given_up, near, far)))
    booked = [stream for stream in standing(found, found.model).arrivals if stream.booked]
    # 30 came; who is still booked two days before comes; of those four days before, 20 cancel.
    assert [(stream.booked, stream.no_show) for stream in booked] == [
        ((30.0,), 0.0),
        ((90.0,), 0.4),
    ]


def test_who_is_booked_and_finds_the_ward_full_waits_since_that_time() -> None:
    full = [*ward(), *((f"L{n}", f"W/1-{n}", 395.0, None) for n in range(10))]
    plans = (*bookings(500), active("B1", 398.5), active("B2", 390))
    found = calibrated(history(full, plans=plans))
    waiting = [here for here in standing(found, found.model).present if here.waiting]
    # Nobody was ever ten hours late.
    assert [(here.unit, here.for_hours) for here in waiting] == [("W", 1.5)]
    # Where four of ten bookings are not kept, one who is so late has more likely given it up.
    missed = tuple(active(f"M{n}", 200.0 + n) for n in range(20))
    found = calibrated(history(full, plans=(*plans, *missed)))
    assert not any(here.waiting for here in standing(found, found.model).present)


def test_who_is_booked_and_was_never_here_is_told_to_the_process_that_forecasts() -> None:
    plans = (*bookings(500), active("NEW", 405), active("MISSED", 200))
    here = history(ward(), plans=plans)
    told = json.dumps(plain(here))
    assert "NEW" not in told
    found, passed = calibrated(here), calibrated(history_from(json.loads(told)))
    assert standing(passed, passed.model).arrivals == standing(found, found.model).arrivals
    assert any(stream.booked for stream in standing(passed, passed.model).arrivals)


def test_bookings_to_a_unit_where_nobody_lies_say_nothing_of_who_comes_to_the_wards() -> None:
    """All are booked to the admissions office: taking them off the ward's arrivals empties it."""
    plans = tuple(plan._replace(unit="OFFICE") for plan in bookings(500))
    found = calibrated(history(ward(), plans=(*plans, active("B1", 405)._replace(unit="OFFICE"))))
    assert standing(found, found.model).arrivals == found.model.arrivals


def test_who_was_booked_to_one_ward_and_came_to_another_does_not_come_twice() -> None:
    """A third of the booked find a bed elsewhere: they are among those booked to the first."""
    stays = [
        (visit, place.replace("W/", "X/") if n % 3 == 0 else place, begun, until)
        for n, (visit, place, begun, until) in enumerate(ward(80))
    ]
    plans = bookings(900, of=80)
    found = calibrated(history(stays, plans=plans, hours=720.0))
    assert set(found.booked.comes_as) == {"W"}
    for unit in ("W", "X"):
        assert found.booked.not_yet_known("direct", unit, 0) == pytest.approx(0.25, abs=0.1)
    rates = Counter[str]()
    for stream in standing(found, found.model).arrivals:
        rates[stream.unit] += (stream.per_day or 0.0) * (stream.begins_after_hours == 0)
    whole = {stream.unit: stream.per_day or 0.0 for stream in found.model.arrivals}
    assert rates["X"] < whole["X"] / 2
    assert rates["W"] < whole["W"] / 2


def test_a_model_of_ones_own_keeps_its_times_and_its_own_appointments() -> None:
    found = calibrated(history(ward(), plans=(*bookings(500), active("B1", 405))))
    said = found.model.model_dump(by_alias=True, exclude_unset=True)
    [stream] = said.pop("arrivals")
    for_a_while = {"begins_after_hours": 30.0, "ends_after_hours": 50.0}
    model = FlowModel(**said, arrivals=[stream | for_a_while])
    rated = [s for s in standing(found, model).arrivals if s.rated]
    assert {(s.begins_after_hours, s.ends_after_hours) for s in rated} == {(30.0, 50.0)}
    # Who comes by appointment is booked: the hospital's bookings would be the same patients again.
    clinic = {"class": "direct", "unit": "W", "slots": [{"times": ["08:00"]}]}
    model = FlowModel(**said, arrivals=[clinic])
    assert standing(found, model).arrivals == model.arrivals


def test_a_thousand_who_are_late_come_as_one_stream() -> None:
    late = tuple(active(f"L{n}", 399.5) for n in range(1000))
    found = calibrated(history(ward(), plans=(*bookings(500), *late)))
    [due] = [s for s in standing(found, found.model).arrivals if s.booked]
    assert len(due.booked or ()) == 1000


def test_who_came_in_the_first_days_of_a_feed_does_not_count_as_booked_late() -> None:
    """Bookings from before a feed began are told when it begins: hours before some of them come."""
    found = calibrated(history(ward(), plans=bookings(200, since=0.0)))
    shares = [found.booked.not_yet_known("direct", "W", day) for day in (0, 3, 7, 9)]
    assert shares[:3] == [pytest.approx(0.25, abs=0.03)] * 3
    assert shares[3] == 1.0


def test_a_unit_with_hardly_a_stay_is_out_of_the_model_and_no_way_out_is_refused() -> None:
    odd = [(f"O{n}", "W/9-A", 5.0 * n, 5.0 * n + 4) for n in range(4)]
    lent = [(f"O{n}", "X/1-A", 5.0 * n + 4, None if n else 200.0) for n in range(4)]
    found = calibrated(history(sorted(ward() + odd + lent)))
    assert [unit.code for unit in found.model.units] == ["W"]
    assert found.model.units[0].then["transferred"] > 0
    round_and_round = [
        stay
        for n in range(20)
        for stay in (
            (f"V{n}", "A/1-A", 9.0 * n, 9.0 * n + 5),
            (f"V{n}", "B/1-A", 9.0 * n + 5, 9.0 * n + 8),
            (f"V{n}", "A/1-B", 9.0 * n + 8, None),
        )
    ]
    with pytest.raises(UsageError, match="no route out"):
        _ = calibrated(history(round_and_round)).model


def test_an_earlier_instant_knows_nothing_of_what_came_later() -> None:
    whole = history(ward())
    cut = whole.until(START + timedelta(hours=100))
    legs = courses_of(cut).legs
    assert max(leg.asked for leg in legs) < at(100)
    assert sorted(leg.encounter_id for leg in legs if leg.ended is None) == sorted(
        f"V{n}" for n in range(12) if 9.0 * n + 20 + n % 21 > 100
    )
    assert {cut.visits[leg.encounter_id].exit for leg in legs if leg.ended is None} == {None}
