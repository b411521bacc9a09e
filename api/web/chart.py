"""A line chart as SVG: drawn on the server, it prints and needs no script.

Colours and strokes come from the style sheet by class, since the content security policy allows
no style in a page. A period without a value breaks the line; nothing is drawn through it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape

from api.web.reader import numeral, t

LARGE, SMALL = (720, 260), (380, 190)
LEFT, RIGHT, TOP, BOTTOM = 52, 28, 14, 34
LABEL_WIDTH = 84
MOST_DOTS = 62
DAY_WIDTH, MOST_DAYS = 64, 4


class Point(NamedTuple):
    """A period on the chart: its label below the axis, its value if there is one."""

    label: str
    value: float | None


class Band(NamedTuple):
    """The range between two limits of a period."""

    low: float
    high: float


class Target(NamedTuple):
    """Where the value should be: from low to high, or on one side of the one that is known."""

    low: float | None
    high: float | None


class Spread(NamedTuple):
    """What may be at an hour: nine in ten lie between low and high, half between the inner two."""

    label: str
    low: float
    lower: float
    middle: float
    upper: float
    high: float


class Mark(NamedTuple):
    """Where a day begins below a fan: its place in periods from the first, and its name."""

    at: float
    label: str


class Control(NamedTuple):
    """A control chart's lines: its centre, and per period the limits and the rules it broke."""

    centre: float
    limits: Sequence[Band | None]
    signals: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where values and periods are on the chart: from data to the picture's own units."""

    width: int
    height: int
    periods: int
    low: float
    high: float
    step: float
    banded: bool = False
    """Whether periods have a width, as bars need; else the first and the last are the edges."""

    def x(self, index: float) -> float:
        """The middle of a period; between two of them for an instant that is between them."""
        room = self.width - LEFT - RIGHT
        if self.banded:
            return round(LEFT + room * (index + 0.5) / self.periods, 1)
        share = index / (self.periods - 1) if self.periods > 1 else 0.5
        return round(LEFT + room * share, 1)

    def y(self, value: float) -> float:
        """The height of a value, from the top."""
        share = (self.high - value) / (self.high - self.low)
        return round(TOP + (self.height - TOP - BOTTOM) * share, 1)


def line_chart(
    points: Sequence[Point],
    *,
    title: str,
    unit: str = "",
    target: Target | None = None,
    control: Control | None = None,
    small: bool = False,
) -> Markup:
    """A line over periods with a target and control limits, or nothing where no period has a value.
    A period that is a signal is a diamond with its rules in words.
    """
    values = [p.value for p in points if p.value is not None]
    if not values:
        return Markup("")
    ends = scale([*values, *_edges(target), *_control_values(control)])
    frame = Frame(*(SMALL if small else LARGE), len(points), *ends)
    words = _summary(points, unit) + _control_words(control, unit)
    parts = [
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(words)}</desc>",
        *_target(frame, target),
        *_axes(frame, points),
        *_control_lines(frame, control),
        *_line(frame, points),
        *_signals(frame, points, control),
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704 - every text in it is escaped


def fan_chart(
    hours: Sequence[Spread],
    *,
    title: str,
    days: Sequence[Mark] = (),
    capacity: float | None = None,
    other: Sequence[float] | None = None,
) -> Markup:
    """What may come, hour by hour: two bands and the middle as a line.

    `days` are where days begin; `other` is the middle of a changed hospital, dashed; `capacity` a
    line at the beds there are.
    """
    values = [value for hour in hours for value in (hour.low, hour.high)]
    ends = scale([*values, *(other or ()), *([capacity] if capacity is not None else [])])
    frame = Frame(*SMALL, len(hours), *ends)
    parts = [
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(_fan_words(hours))}</desc>",
        *_values(frame),
        *_days(frame, days),
        _ribbon("fan", frame, [(h.low, h.high) for h in hours]),
        _ribbon("fan inner", frame, [(h.lower, h.upper) for h in hours]),
        _polyline("line", frame, [h.middle for h in hours]),
    ]
    if other is not None:
        parts.append(_polyline("line other", frame, other))
    if capacity is not None:
        y = frame.y(capacity)
        parts.append(
            f'<line class="limit" x1="{LEFT}" x2="{frame.width - RIGHT}" y1="{y}" y2="{y}"/>'
        )
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - every text in it is escaped


def _ribbon(kind: str, frame: Frame, edges: Sequence[tuple[float, float]]) -> str:
    there = [f"{frame.x(at)},{frame.y(high)}" for at, (_, high) in enumerate(edges)]
    back = [f"{frame.x(at)},{frame.y(low)}" for at, (low, _) in reversed([*enumerate(edges)])]
    return f'<polygon class="{kind}" points="{" ".join([*there, *back])}"/>'


def _polyline(kind: str, frame: Frame, values: Sequence[float]) -> str:
    places = " ".join(f"{frame.x(at)},{frame.y(value)}" for at, value in enumerate(values))
    return f'<polyline class="{kind}" points="{places}"/>'


def _fan_words(hours: Sequence[Spread]) -> str:
    first, last = hours[0], hours[-1]
    return t(
        "From {now} at {first} to {middle} at {last}, nine in ten between {low} and {high}.",
        now=numeral(f"{first.middle:g}"),
        first=first.label,
        middle=numeral(f"{last.middle:g}"),
        last=last.label,
        low=numeral(f"{last.low:g}"),
        high=numeral(f"{last.high:g}"),
    )


def bar_chart(points: Sequence[Point], *, title: str, unit: str = "") -> Markup:
    """One bar per point from zero, or nothing where none has a value."""
    values = [p.value for p in points if p.value is not None]
    if not values:
        return Markup("")
    frame = Frame(*LARGE, len(points), *scale([0.0, *values]), banded=True)
    parts = [
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(_summary(points, unit))}</desc>",
        *_axes(frame, points),
        *_bars(frame, points),
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704 - every text in it is escaped


def _bars(frame: Frame, points: Sequence[Point]) -> Iterator[str]:
    width = round(min(48.0, 0.8 * (frame.width - LEFT - RIGHT) / len(points)), 1)
    zero = frame.y(0.0)
    for index, point in enumerate(points):
        if point.value is not None:
            top, bottom = sorted((frame.y(point.value), zero))
            yield (
                f'<rect class="column" x="{round(frame.x(index) - width / 2, 1)}" y="{top}" '
                f'width="{width}" height="{round(bottom - top, 1)}"><title>'
                f"{escape(point.label)}: {point.value:g}</title></rect>"
            )


def _edges(target: Target | None) -> list[float]:
    return [edge for edge in target or () if edge is not None]


def _target(frame: Frame, target: Target | None) -> Iterator[str]:
    """Shade where it is good; a target with one side has a line there, and is good to the edge."""
    if target is None:
        return
    top = frame.y(frame.high if target.high is None else target.high)
    bottom = frame.y(frame.low if target.low is None else target.low)
    right = frame.width - RIGHT
    yield (
        f'<rect class="band" x="{LEFT}" y="{top}" width="{right - LEFT}" '
        f'height="{round(bottom - top, 1)}"/>'
    )
    if None in target:
        y = bottom if target.high is None else top
        yield f'<line class="target" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>'


def _days(frame: Frame, days: Sequence[Mark]) -> Iterator[str]:
    """A line where every day begins, and the names of as many days as have room."""
    for at, mark in enumerate(days):
        x = frame.x(mark.at)
        yield (f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{frame.height - BOTTOM}"/>')
        if at % math.ceil(len(days) / MOST_DAYS) == 0 and x + DAY_WIDTH / 2 <= frame.width:
            yield (
                f'<text class="tick" x="{x}" y="{frame.height - 12}" '
                f'text-anchor="middle">{escape(mark.label)}</text>'
            )


def _axes(frame: Frame, points: Sequence[Point]) -> Iterator[str]:
    yield from _values(frame)
    for index in _labelled(len(points), (frame.width - LEFT - RIGHT) // LABEL_WIDTH):
        yield (
            f'<text class="tick" x="{frame.x(index)}" y="{frame.height - 12}" '
            f'text-anchor="middle">{escape(points[index].label)}</text>'
        )


def _values(frame: Frame) -> Iterator[str]:
    for tick in ticks(frame.low, frame.high, frame.step):
        y = frame.y(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{frame.width - RIGHT}" y1="{y}" y2="{y}"/>'
        words = numeral(f"{tick:g}")
        yield f'<text class="tick" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{words}</text>'


def _line(frame: Frame, points: Sequence[Point]) -> Iterator[str]:
    for run in runs(points):
        places = [(frame.x(index), frame.y(value)) for index, value in run]
        yield f'<polyline class="line" points="{" ".join(f"{x},{y}" for x, y in places)}"/>'
        if len(points) <= MOST_DOTS:
            yield from (f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>' for x, y in places)


def _control_values(control: Control | None) -> Iterator[float]:
    if control is not None:
        yield control.centre
        for limits in control.limits:
            yield from limits or ()


def _control_lines(frame: Frame, control: Control | None) -> Iterator[str]:
    if control is None:
        return
    y = frame.y(control.centre)
    yield f'<line class="centre" x1="{LEFT}" x2="{frame.width - RIGHT}" y1="{y}" y2="{y}"/>'
    # Each period has limits of its own: drawn as steps, since nothing holds between two periods.
    half = (frame.width - LEFT - RIGHT) / max(1, frame.periods - 1) / 2
    for edge in ("high", "low"):
        steps = [
            f"M{max(LEFT, frame.x(at) - half):.1f} {frame.y(getattr(limits, edge))}"
            f"H{min(frame.width - RIGHT, frame.x(at) + half):.1f}"
            for at, limits in enumerate(control.limits)
            if limits is not None
        ]
        yield f'<path class="limit" d="{"".join(steps)}"/>'


def _signals(frame: Frame, points: Sequence[Point], control: Control | None) -> Iterator[str]:
    for at, rules in enumerate(control.signals if control is not None else ()):
        value = points[at].value
        if rules and value is not None:
            x, y = frame.x(at), frame.y(value)
            yield (
                f'<path class="signal" d="M{x} {y - 6}L{x + 6} {y}L{x} {y + 6}L{x - 6} {y}Z">'
                f"<title>{escape(points[at].label)}: {escape('; '.join(rules))}</title></path>"
            )


def _control_words(control: Control | None, unit: str) -> str:
    if control is None:
        return ""
    count = sum(bool(rules) for rules in control.signals)
    return " " + t(
        "Centre line {centre} {unit}, signals in {count} periods.",
        centre=f"{control.centre:.4g}",
        unit=unit,
        count=count,
    )


def scale(values: Sequence[float]) -> tuple[float, float, float]:
    """A low end, a high end and a step that are round numbers and hold all the values."""
    low, high = min(values), max(values)
    if low >= 0 and low < 0.6 * high:
        low = 0.0
    if low == high:
        low, high = low - 1, high + 1
    rough = (high - low) / 4
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def ticks(low: float, high: float, step: float) -> list[float]:
    """The values with a line across the chart."""
    return [round(low + step * n, 10) for n in range(round((high - low) / step) + 1)]


def runs(points: Sequence[Point]) -> list[list[tuple[int, float]]]:
    """The unbroken stretches of known values."""
    found: list[list[tuple[int, float]]] = [[]]
    for index, point in enumerate(points):
        if point.value is None:
            found.append([])
        else:
            found[-1].append((index, point.value))
    return [run for run in found if run]


def _labelled(count: int, room: int) -> list[int]:
    """Which periods get a label: no more than there is room for, evenly apart."""
    every = max(1, math.ceil(count / room))
    return list(range(0, count, every))


def _summary(points: Sequence[Point], unit: str) -> str:
    known = [(p.value, p.label) for p in points if p.value is not None]
    lowest, highest, last = min(known), max(known), known[-1]
    return t(
        "{known} of {all} periods are known. Lowest {lowest}, highest {highest}, last {last}.",
        known=len(known),
        all=len(points),
        **{
            name: f"{numeral(f'{value:.4g}')} {unit} ({label})"
            for name, (value, label) in (("lowest", lowest), ("highest", highest), ("last", last))
        },
    )
