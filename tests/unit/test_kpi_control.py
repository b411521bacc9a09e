"""Control charts against published examples, recomputed by hand, and rules one at a time.

The examples are Montgomery's (Introduction to Statistical Quality Control, 7th edition, 2012):
costs of processing loans (XmR), cans of orange juice (p), shipments of a supply chain and dyed
cloth (u).
"""

import math
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_core.kpi.control import RULES, Observed, control_chart, signals

LOANS = [310, 288, 297, 298, 307, 303, 294, 297, 308, 306]
LOANS += [294, 299, 297, 299, 314, 295, 293, 306, 301, 304]
CANS = [12, 15, 8, 10, 4, 7, 16, 9, 14, 10, 5, 6, 17, 12, 22, 8, 10, 5, 13, 11]
CANS += [20, 18, 24, 15, 9, 12, 7, 13, 9, 6]
SHIPMENTS = [2, 3, 8, 1, 1, 4, 1, 4, 5, 1, 8, 2, 4, 3, 4, 1, 8, 3, 7, 4]
CLOTH = [14, 12, 20, 11, 7, 10, 21, 16, 19, 23]
ROLLS = [10, 8, 13, 10, 9.5, 10, 12, 10.5, 12, 12.5]


def values(*figures):
    return [Observed(figure) for figure in figures]


def counts(above, below, scale=1.0):
    return [Observed(scale * x / n if n else None, x, n) for x, n in zip(above, below, strict=True)]


def test_individuals_and_their_moving_ranges():
    chart = control_chart(values(*LOANS), "XmR")
    # The costs add up to 6010, the 19 moving ranges to 148.
    assert chart.centre == 6010 / 20 == 300.5
    assert chart.moving_range == pytest.approx(148 / 19)
    assert chart.points[0].upper == pytest.approx(300.5 + 2.66 * 148 / 19)  # 321.22
    assert chart.points[0].lower == pytest.approx(300.5 - 2.66 * 148 / 19)  # 279.78
    assert chart.moving_range_upper == pytest.approx(3.267 * 148 / 19)  # 25.45
    assert [point.moving_range for point in chart.points[:3]] == [None, 22, 9]
    assert not any(point.signals for point in chart.points)


def test_shares_of_counts_have_the_limits_of_a_p_chart():
    chart = control_chart(counts(CANS, [50] * 30, 100), "p", baseline=30, scale=100)
    share = 347 / 1500
    margin = 3 * math.sqrt(share * (1 - share) / 50)
    assert chart.centre == pytest.approx(100 * share)  # 23.13 %
    assert chart.points[0].upper == pytest.approx(100 * (share + margin))  # 41.02 %
    assert chart.points[0].lower == pytest.approx(100 * (share - margin))  # 5.24 %
    beyond = [n for n, p in enumerate(chart.points, 1) if "beyond_limits" in p.signals]
    assert beyond == [15, 23]


def test_without_the_two_samples_that_have_a_cause_another_one_is_beyond():
    used = [n not in (15, 23) for n in range(1, 31)]
    chart = control_chart(counts(CANS, [50] * 30, 100), "p", baseline=used, scale=100)
    share = (347 - 22 - 24) / (28 * 50)  # 21.50 %
    assert (chart.baseline, chart.centre) == (28, pytest.approx(100 * share))
    beyond = [n for n, p in enumerate(chart.points, 1) if "beyond_limits" in p.signals]
    assert beyond == [15, 21, 23]  # sample 21, 40 %, is above 38.93 %


def test_counts_per_exposure_have_the_limits_of_a_u_chart():
    chart = control_chart(counts(SHIPMENTS, [50] * 20), "u")
    assert chart.centre == pytest.approx(74 / 1000)
    assert chart.points[0].upper == pytest.approx(0.074 + 3 * math.sqrt(0.074 / 50))  # 0.1894
    assert chart.points[0].lower == 0  # -0.0414: a rate is never negative


def test_the_limits_follow_the_exposure_of_each_period():
    chart = control_chart(counts(CLOTH, ROLLS), "u", least=10)
    rate = 153 / 107.5  # 1.42
    assert chart.centre == pytest.approx(rate)
    for units, point in zip(ROLLS, chart.points, strict=True):
        assert point.upper == pytest.approx(rate + 3 * math.sqrt(rate / units))
    assert chart.points[1].upper > chart.points[2].upper


# --- what gives no limits --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "kind", "said"),
    [
        (values(*range(11)), "XmR", "11 known points are too few for limits: 12 are needed."),
        (values(*[5] * 12), "XmR", "does not vary"),
        (values(*[1, None] * 12), "XmR", "No two periods"),
        (counts([0] * 12, [9] * 12), "p", "does not vary"),
        (counts([9] * 12, [9] * 12), "p", "does not vary"),
        (counts([0] * 12, [9] * 12), "u", "does not vary"),
        (counts([1] * 12, [0] * 12), "p", "0 known points"),
        ([], "XmR", "0 known points"),
    ],
)
def test_no_limits_are_made_up(observed, kind, said):
    chart = control_chart(observed, kind)
    assert said in chart.why_not
    assert chart.centre is None
    assert len(chart.points) == len(observed)
    assert not any(p.signals or p.lower is not None or p.upper is not None for p in chart.points)


def test_a_period_without_exposure_is_not_judged():
    chart = control_chart(counts([*SHIPMENTS, 3], [50] * 20 + [0]), "u")
    assert (chart.points[-1].upper, chart.points[-1].signals) == (None, ())


def test_limits_come_from_the_first_known_points_and_no_range_spans_a_gap():
    course = [10, 12, None, 11, 13] + [10, 12] * 10
    chart = control_chart(values(*course), "XmR", baseline=4, least=4)
    assert [point.in_baseline for point in chart.points[:6]] == [1, 1, 0, 1, 1, 0]
    assert (chart.centre, chart.moving_range) == (11.5, 2)


# --- rules -----------------------------------------------------------------------------------


def named(*course, sigma=1.0):
    """Which periods each rule names, for distances from a centre line of 0."""
    found = signals(course, 0.0, [sigma] * len(course))
    return {
        rule: places
        for rule in RULES
        if (places := [at for at, rules in enumerate(found) if rule in rules])
    }


def test_a_point_on_the_limit_is_within_it():
    assert named(0.5, 3, -3, 0.5) == {}
    assert named(0.5, 3.1, -3.1) == {"beyond_limits": [1, 2]}


def test_eight_in_a_row_on_one_side_are_a_shift():
    side = [1, 0.5] * 4
    assert named(-1, *side, -1) == {"shift": [1, 2, 3, 4, 5, 6, 7, 8]}
    assert named(-1, *side[:7], -1) == {}
    assert named(*side[:4], None, *side[4:]) == {}  # not known: nobody knows that it went on
    assert named(*side[:4], 0, *side[4:]) == {}  # on the line is on no side


def test_six_that_rise_or_fall_are_a_trend():
    rise = [-1, -0.6, -0.2, 0.2, 0.6, 1]
    assert named(*rise) == {"trend": [0, 1, 2, 3, 4, 5]}
    assert named(*reversed(rise)) == {"trend": [0, 1, 2, 3, 4, 5]}
    assert named(*rise[:5]) == {}
    assert named(*rise[:3], None, *rise[3:]) == {}
    assert named(*rise[:3], rise[2], *rise[3:]) == {}  # one that stays equal ends it


def test_two_of_three_beyond_two_sigma_are_a_signal_on_one_side_only():
    assert named(0.1, 2.5, 0, 2.5, -0.1) == {"two_of_three": [1, 3]}
    assert named(2.5, 0, 0, 2.5) == {}
    assert named(2.5, -2.5) == {}
    assert named(2.5, None, 2.5) == {}


# --- invariants ------------------------------------------------------------------------------

courses = st.lists(st.integers(-500, 500), min_size=12, max_size=40)


@given(courses, st.integers(-1000, 1000), st.sampled_from([0.25, 0.5, 2, 16, -1, -4]))
def test_an_xmr_chart_moves_and_stretches_with_its_values(course, shift, factor):
    before = control_chart(values(*course), "XmR")
    after = control_chart(values(*(factor * value + shift for value in course)), "XmR")
    assert after.why_not == before.why_not
    if before.centre is None:
        return
    assert after.centre == pytest.approx(factor * before.centre + shift)
    old, new = before.points[0], after.points[0]
    edges = sorted((factor * old.lower + shift, factor * old.upper + shift))
    assert [new.lower, new.upper] == pytest.approx(edges, abs=1e-6)
    assert [p.signals for p in after.points] == [p.signals for p in before.points]


@given(courses)
def test_an_xmr_chart_is_what_the_formula_says(course):
    chart = control_chart(values(*course), "XmR", baseline=len(course))
    ranges = [abs(b - a) for a, b in pairwise(course)]
    if not any(ranges):
        assert chart.centre is None
        return
    margin = 2.66 * sum(ranges) / len(ranges)
    mean = sum(course) / len(course)
    assert chart.centre == pytest.approx(mean)
    for value, point in zip(course, chart.points, strict=True):
        if abs(abs(value - mean) - margin) > 1e-6:
            assert ("beyond_limits" in point.signals) == (abs(value - mean) > margin)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(30, 90)), min_size=12, max_size=30))
def test_more_of_the_same_narrows_a_p_chart_by_the_root(course):
    above, below = zip(*course, strict=True)
    small = control_chart(counts(above, below, 100), "p", baseline=30, scale=100)
    large = control_chart(
        counts([4 * x for x in above], [4 * n for n in below], 100), "p", baseline=30, scale=100
    )
    if small.centre is None:
        assert not any(above)
        return
    assert large.centre == pytest.approx(small.centre)
    for one, other in zip(small.points, large.points, strict=True):
        if one.upper < 100:
            assert other.upper - large.centre == pytest.approx((one.upper - small.centre) / 2)
        assert 0 <= one.lower <= small.centre <= one.upper <= 100


def naive_shift(course):
    """Whether each known value is part of eight neighbours on one side of zero."""
    hit = [False] * len(course)
    for start in range(len(course) - 7):
        window = course[start : start + 8]
        if None not in window and (min(window) > 0 or max(window) < 0):
            hit[start : start + 8] = [True] * 8
    return hit


def naive_trend(course):
    hit = [False] * len(course)
    for start in range(len(course) - 5):
        window = course[start : start + 6]
        if None not in window and (
            all(a < b for a, b in pairwise(window)) or all(a > b for a, b in pairwise(window))
        ):
            hit[start : start + 6] = [True] * 6
    return hit


# Walks of small steps have long runs and trends; gaps are rare enough to leave some whole.
walks = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, -1, 0, 2]), st.integers(0, 15)), max_size=40
).map(
    lambda steps: [
        None if gap == 0 else at - 4
        for at, (_, gap) in zip(accumulate(step for step, _ in steps), steps, strict=True)
    ]
)


@given(walks)
def test_runs_and_trends_are_what_a_window_sees(course):
    found = signals(course, 0.0, [100.0] * len(course))
    assert ["shift" in rules for rules in found] == naive_shift(course)
    assert ["trend" in rules for rules in found] == naive_trend(course)
