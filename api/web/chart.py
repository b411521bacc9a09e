"""A line chart as SVG: drawn on the server, it prints and needs no script.

Colours and strokes come from the style sheet by class, since the content security policy allows
no style in a page. A period without a value breaks the line; nothing is drawn through it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 34


class Point(NamedTuple):
    """A period on the chart: its label below the axis, its value if there is one."""

    label: str
    value: float | None


class Band(NamedTuple):
    """A range in which the value should be."""

    low: float
    high: float


def line_chart(
    points: Sequence[Point], *, title: str, unit: str = "", band: Band | None = None
) -> Markup:
    """A line over periods with a target band, or nothing where no period has a value."""
    values = [p.value for p in points if p.value is not None]
    if not values:
        return Markup("")
    low, high, step = scale([*values, *(band or ())])
    inner = HEIGHT - TOP - BOTTOM

    def y(value: float) -> float:
        return round(TOP + inner * (high - value) / (high - low), 1)

    def x(index: int) -> float:
        between = (WIDTH - LEFT - RIGHT) / max(1, len(points) - 1)
        return round(LEFT + (between * index if len(points) > 1 else between / 2), 1)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(_summary(points, unit))}</desc>"
    ]
    if band is not None:
        parts.append(
            f'<rect class="band" x="{LEFT}" y="{y(band.high)}" width="{WIDTH - LEFT - RIGHT}" '
            f'height="{round(y(band.low) - y(band.high), 1)}"/>'
        )
    for tick in ticks(low, high, step):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>'
        )
    for index in _labelled(len(points)):
        parts.append(
            f'<text class="tick" x="{x(index)}" y="{HEIGHT - 12}" '
            f'text-anchor="middle">{escape(points[index].label)}</text>'
        )
    for run in runs(points):
        path = " ".join(f"{x(i)},{y(v)}" for i, v in run)
        parts.append(f'<polyline class="line" points="{path}"/>')
        if len(points) <= 62:
            parts += [f'<circle class="dot" cx="{x(i)}" cy="{y(v)}" r="3"/>' for i, v in run]
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - every text in it is escaped


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


def _labelled(count: int) -> list[int]:
    """Which periods get a label: at most eight, evenly apart."""
    every = max(1, math.ceil(count / 8))
    return list(range(0, count, every))


def _summary(points: Sequence[Point], unit: str) -> str:
    known = [(p.value, p.label) for p in points if p.value is not None]
    lowest, highest, last = min(known), max(known), known[-1]
    return (
        f"{len(known)} of {len(points)} periods are known. "
        f"Lowest {lowest[0]:.4g} {unit} ({lowest[1]}), highest {highest[0]:.4g} {unit} "
        f"({highest[1]}), last {last[0]:.4g} {unit} ({last[1]})."
    )
