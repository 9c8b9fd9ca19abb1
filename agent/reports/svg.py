"""Line and bar plots as SVG text: sharp on paper, readable in any browser, no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

FOR, AGAINST, NEUTRAL, INK, GRID = "#d55e00", "#0072b2", "#7a7a7a", "#222222", "#e3e3e3"
WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 26, 36, 44

Values = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """Points in their order; those that are no number are left out. ``sd`` draws a band around."""

    label: str
    x: Values
    y: Values
    colour: str
    sd: Values = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """What stands around a plot; ``x_ticks`` are (place, words)."""

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...] = ()
    zero: bool = True


def line_plot(axes: Axes, lines: Sequence[Line]) -> str:
    """An SVG picture of all lines with their legend; says so where there is nothing to draw."""
    known = [_known(line) for line in lines]
    points = [p for line in known for p in line]
    if not points:
        return _empty(axes)
    xs = [p[0] for p in points] + [place for place, _ in axes.x_ticks]
    ys = [v for x, y, sd in points for v in (y - sd, y + sd)] + ([0.0] if axes.zero else [])
    frame = _Frame((min(xs), max(xs)), (min(ys), max(ys)))
    body = [frame.around(axes)]
    for line, found in zip(lines, known, strict=True):
        if any(sd > 0 for _, _, sd in found):
            upper = [frame.point(x, y + sd) for x, y, sd in found]
            lower = [frame.point(x, y - sd) for x, y, sd in reversed(found)]
            body.append(
                f'<polygon points="{" ".join(upper + lower)}" fill="{line.colour}" opacity="0.13"/>'
            )
    for line, found in zip(lines, known, strict=True):
        path = " ".join(frame.point(x, y) for x, y, _ in found)
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        body.append(
            f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>'
        )
        body += [
            '<circle cx="{}" cy="{}" r="2.6" fill="{}"/>'.format(
                *frame.point(x, y).split(","), line.colour
            )
            for x, y, _ in found
        ]
    body.append(_legend(lines))
    return _svg(body)


def bar_plot(axes: Axes, values: Values, sd: Values, labels: Sequence[str] = ()) -> str:
    """One bar for each value, those for in one colour and those against in another, with a whisker
    of one standard deviation; ``labels`` stand under the bars."""
    if not len(values):
        return _empty(axes)
    tops = [v + s for v, s in zip(values, sd, strict=True)]
    lows = [v - s for v, s in zip(values, sd, strict=True)]
    frame = _Frame((-0.6, len(values) - 0.4), (min(0.0, *lows), max(0.0, *tops)))
    body = [frame.around(axes, ticks=not labels)]
    for place, (value, spread) in enumerate(zip(values, sd, strict=True)):
        left, zero = (float(v) for v in frame.point(place - 0.4, 0.0).split(","))
        right, end = (float(v) for v in frame.point(place + 0.4, value).split(","))
        colour = FOR if value >= 0 else AGAINST
        body.append(
            f'<rect x="{left:.1f}" y="{min(zero, end):.1f}" width="{right - left:.1f}" '
            f'height="{abs(end - zero):.1f}" fill="{colour}"/>'
        )
        if spread > 0:
            middle = (left + right) / 2
            above, below = (frame.point(0, value + sign * spread).split(",")[1] for sign in (1, -1))
            body.append(
                f'<line x1="{middle:.1f}" y1="{above}" x2="{middle:.1f}" y2="{below}" '
                f'stroke="{INK}" stroke-width="0.8" opacity="0.65"/>'
            )
        if place < len(labels):
            body.append(_text((left + right) / 2, HEIGHT - BOTTOM + 15, labels[place], 9, "middle"))
    return _svg(body)


class _Frame:
    """From values to places in the picture."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        pad = 0.04 * (y[1] - y[0]) or 0.5
        self.x = x if x[1] > x[0] else (x[0] - 0.5, x[0] + 0.5)
        self.y = (y[0] - pad, y[1] + pad)

    def point(self, x: float, y: float) -> str:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        left = LEFT + across * (WIDTH - LEFT - RIGHT)
        return f"{left:.1f},{HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM):.1f}"

    def around(self, axes: Axes, ticks: bool = True) -> str:
        """Title, grid, ticks and labels."""
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        out = [_text(LEFT, 16, axes.title, 13, "start", bold=True)]
        for value in nice_ticks(*self.y):
            y = float(self.point(0, value).split(",")[1])
            strong = INK if value == 0 else GRID
            out.append(
                f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{strong}" '
                f'stroke-width="{0.9 if value == 0 else 1}"/>'
            )
            out.append(_text(LEFT - 6, y + 3.5, f"{value:g}", 10, "end"))
        places = axes.x_ticks or tuple((v, f"{v:g}") for v in nice_ticks(*self.x))
        for place, words in places if ticks else ():
            x = float(self.point(place, self.y[0]).split(",")[0])
            out.append(
                f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 4}" stroke="{INK}"/>'
            )
            out.append(_text(x, bottom + 16, words, 10, "middle"))
        out.append(f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="{INK}"/>')
        out.append(_text((LEFT + right) / 2, HEIGHT - 8, axes.x_label, 11, "middle"))
        middle = (TOP + bottom) / 2
        out.append(
            f'<g transform="rotate(-90 13 {middle})">'
            f"{_text(13, middle, axes.y_label, 11, 'middle')}</g>"
        )
        return "".join(out)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers between ``low`` and ``high``."""
    raw = (high - low) / count
    if not (math.isfinite(raw) and raw > 0):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _known(line: Line) -> list[tuple[float, float, float]]:
    spread = line.sd if len(line.sd) else [0.0] * len(line.x)
    return [
        (float(x), float(y), float(s) if math.isfinite(s) else 0.0)
        for x, y, s in zip(line.x, line.y, spread, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]


def _legend(lines: Sequence[Line]) -> str:
    out, x = [], float(LEFT)
    for line in lines:
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        out.append(
            f'<line x1="{x:.0f}" y1="27" x2="{x + 20:.0f}" y2="27" stroke="{line.colour}" '
            f'stroke-width="2.4"{dash}/>'
        )
        out.append(_text(x + 25, 30.5, line.label, 10.5, "start"))
        x += 40 + 5.9 * len(line.label)
    return "".join(out)


def _text(x: float, y: float, words: str, size: float, anchor: str, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{INK}"{weight}>{escape(words)}</text>'
    )


def _empty(axes: Axes) -> str:
    title = _text(LEFT, 16, axes.title, 13, "start", bold=True)
    return _svg([title, _text(WIDTH / 2, HEIGHT / 2, "nothing to draw", 12, "middle")])


def _svg(body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(body)}</svg>'
    )
