"""The line chart: its scale, its gaps, and nothing in it that a page could execute."""

import re
from xml.etree import ElementTree

import pytest

from api.web.chart import Band, Control, Point, Target, line_chart, runs, scale, ticks

WEEK = [Point("Mon", 80.0), Point("Tue", 90.0), Point("Wed", None), Point("Thu", 85.0)]


def drawn_from(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart)  # noqa: S314 - drawn a line before by our own code


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([82, 95, 90], (80, 95, 5)),
        ([0, 12], (0, 15, 5)),
        ([-3, 4], (-4, 4, 2)),
        ([7], (6, 8, 0.5)),
        ([0, 0], (-1, 1, 0.5)),
    ],
)
def test_the_scale_is_round_and_holds_every_value(
    values: list[float], expected: tuple[float, float, float]
) -> None:
    assert scale(values) == expected


def test_ticks_go_from_end_to_end() -> None:
    assert ticks(80, 95, 5) == [80, 85, 90, 95]


def test_an_unknown_period_breaks_the_line() -> None:
    assert runs(WEEK) == [[(0, 80.0), (1, 90.0)], [(3, 85.0)]]
    assert line_chart(WEEK, title="Occupancy").count("<polyline") == 2


def test_the_line_is_higher_where_the_value_is() -> None:
    drawn = drawn_from(line_chart(WEEK, title="Occupancy"))
    first = drawn.findall("polyline")[0].attrib["points"].split()
    (x0, y0), (x1, y1) = (tuple(map(float, point.split(","))) for point in first)
    assert x0 < x1
    assert y0 > y1


def test_the_target_band_is_drawn_from_its_low_to_its_high_end() -> None:
    drawn = drawn_from(line_chart(WEEK, title="Occupancy", target=Target(85, 92)))
    band = drawn.find("rect")
    assert band is not None
    assert float(band.attrib["height"]) > 0
    assert drawn.find("line[@class='target']") is None


def shaded(drawn: ElementTree.Element) -> tuple[float, float]:
    """From where to where it is good, from the top."""
    [band] = drawn.findall("rect[@class='band']")
    top = float(band.attrib["y"])
    return top, top + float(band.attrib["height"])


@pytest.mark.parametrize(
    ("target", "is_above"), [(Target(95, None), True), (Target(None, 60), False)]
)
def test_a_target_with_one_side_has_a_line_there_and_is_good_beyond_it(
    target: Target, is_above: bool
) -> None:
    drawn = drawn_from(line_chart(WEEK, title="Within four hours", target=target))
    [line] = drawn.findall("line[@class='target']")
    y = float(line.attrib["y1"])
    assert y == float(line.attrib["y2"])
    grid = [float(one.attrib["y1"]) for one in drawn.findall("line[@class='grid']")]
    assert shaded(drawn) == ((min(grid), y) if is_above else (y, max(grid)))


def test_the_figures_are_told_in_words_too() -> None:
    drawn = drawn_from(line_chart(WEEK, title="Occupancy", unit="%"))
    words = drawn.findtext("desc") or ""
    assert "3 of 4 periods" in words
    assert "highest 90 % (Tue)" in words


def test_nothing_is_drawn_where_nothing_is_known() -> None:
    assert line_chart([Point("Mon", None)], title="Occupancy") == ""
    assert line_chart([], title="Occupancy") == ""


def test_texts_are_escaped_and_no_style_is_needed() -> None:
    drawn = line_chart([Point("<b>", 1.0)], title="<script>", unit="&")
    assert "<script" not in drawn
    assert "<b>" not in drawn
    assert not re.search(r"\bstyle=", drawn)


CONTROL = Control(
    85, [Band(75, 95), Band(70, 100), None, Band(75, 95)], [[], ["beyond & above"], [], []]
)


def test_limits_are_steps_within_the_scale_and_have_the_gaps_of_their_periods() -> None:
    drawn = drawn_from(line_chart(WEEK, title="Occupancy", control=CONTROL))
    upper, lower = (path.attrib["d"] for path in drawn.findall("path[@class='limit']"))
    assert upper.count("M") == lower.count("M") == 3
    heights = [float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)", upper)]
    assert heights[1] < heights[0] == heights[2]  # the second period has the widest limits
    assert min(heights) >= 14
    assert len(drawn.findall("line[@class='centre']")) == 1


def test_a_signal_is_told_by_shape_and_in_words() -> None:
    drawn = drawn_from(line_chart(WEEK, title="Occupancy", control=CONTROL))
    [signal] = drawn.findall("path[@class='signal']")
    assert signal.findtext("title") == "Tue: beyond & above"
    assert "signals in 1 periods" in (drawn.findtext("desc") or "")


def test_without_limits_none_are_drawn() -> None:
    assert "limit" not in line_chart(WEEK, title="Occupancy")
