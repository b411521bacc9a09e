"""Plots as SVG that stand alone: lines, bands, bars and dots on two axes, for files and reports."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 26, 34
COLOURS = ("#1f5f9e", "#b5541c", "#4a7d3a", "#7a4f9a")
Points = Sequence[tuple[float, float]]


@dataclass
class Plot:
    """One plot: its title, what its axes are, their ranges, and what is drawn on it."""

    title: str
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    parts: list[str] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)

    def line(
        self, points: Points, name: str = "", colour: str = COLOURS[0], dash: str = ""
    ) -> None:
        """A line through points in order of x."""
        drawn = " ".join(f"{self._x(x)},{self._y(y)}" for x, y in points)
        broken = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.6"{broken}/>'
        )
        self._named(name, colour)

    def steps(self, points: Points, name: str = "", colour: str = COLOURS[1]) -> None:
        """A line that stays level until the next point."""
        corners = [p for (x0, y0), (x1, _) in pairwise(points) for p in ((x0, y0), (x1, y0))]
        self.line([*corners, *points[-1:]], name, colour)

    def band(self, low: Points, high: Points, colour: str = COLOURS[0]) -> None:
        """The room between two lines."""
        edge = [*low, *reversed(high)]
        drawn = " ".join(f"{self._x(x)},{self._y(y)}" for x, y in edge)
        self.parts.append(f'<polygon points="{drawn}" fill="{colour}" fill-opacity="0.18"/>')

    def bars(
        self, edges: Sequence[float], heights: Sequence[float], colour: str = "#9db7cf"
    ) -> None:
        """A bar between every two edges."""
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            x, y = self._x(left), self._y(height)
            wide, high = max(0.5, self._x(right) - x - 1), max(0.0, self._y(self.y_range[0]) - y)
            self.parts.append(
                f'<rect x="{x}" y="{y}" width="{wide:.1f}" height="{high:.1f}" fill="{colour}"/>'
            )

    def svg(self) -> str:
        """The whole picture."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img" font-family="sans-serif" font-size="10">'
            f"<title>{escape(self.title)}</title>"
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        )
        return head + "".join([*self._axes(), *self.parts, *self._legend()]) + "</svg>"

    def _named(self, name: str, colour: str) -> None:
        if name:
            self.legend.append((name, colour))

    def _x(self, value: float) -> float:
        low, high = self.x_range
        share = (value - low) / (high - low) if high > low else 0.5
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, share)), 1)

    def _y(self, value: float) -> float:
        low, high = self.y_range
        share = (value - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(1.0, max(0.0, share)), 1)

    def _axes(self) -> Iterable[str]:
        bottom, middle = HEIGHT - _BOTTOM, (WIDTH + _LEFT) / 2
        yield f'<text x="{_LEFT}" y="14" font-weight="bold">{escape(self.title)}</text>'
        yield f'<path d="M{_LEFT},{_TOP}V{bottom}H{WIDTH - _RIGHT}" fill="none" stroke="#555"/>'
        for value in ticks(*self.x_range):
            x = self._x(value)
            yield f'<text x="{x}" y="{bottom + 12}" text-anchor="middle">{value:g}</text>'
        for value in ticks(*self.y_range):
            y = self._y(value)
            yield f'<path d="M{_LEFT},{y}H{WIDTH - _RIGHT}" stroke="#ddd"/>'
            yield f'<text x="{_LEFT - 4}" y="{y + 3}" text-anchor="end">{value:g}</text>'
        label = escape(self.x_label)
        yield f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{label}</text>'
        yield (
            f'<text x="10" y="{_TOP + 60}" text-anchor="middle" '
            f'transform="rotate(-90 10 {_TOP + 60})">{escape(self.y_label)}</text>'
        )

    def _legend(self) -> Iterable[str]:
        for n, (name, colour) in enumerate(self.legend):
            y = _TOP + 12 * n + 8
            yield f'<path d="M{WIDTH - 120},{y - 3}h14" stroke="{colour}" stroke-width="2"/>'
            yield f'<text x="{WIDTH - 102}" y="{y}">{escape(name)}</text>'


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers in a range."""
    if high <= low:
        return [low]
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(step * n, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]
