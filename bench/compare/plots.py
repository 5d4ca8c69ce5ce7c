"""Line charts as SVG, from the standard library alone."""

import html
import math
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT = 860, 540
LEFT, RIGHT, TOP, BOTTOM = 76, 120, 84, 108
COLOURS = ["#0b6e99", "#d1495b", "#6a994e", "#7b5ea7", "#c98a00", "#7a7f87", "#2a9d8f"]
# Names at the ends of lines keep so far apart.
NAME_HEIGHT = 16
CAPTION_HEIGHT = 16
# Room above the highest point, so that no line runs along the edge.
HEADROOM = 1.08
# A line along decades is ruled at these steps of each.
LOG_STEPS = (1, 2, 5)

Series = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Heads:
    """The words of a chart."""

    title: str
    subtitle: str
    x_label: str
    y_label: str
    caption: list[str]


class Axis:
    """A range of numbers, laid along a stretch of the picture."""

    def __init__(self, numbers: list[float], start: float, end: float, is_log: bool):
        self.is_log = is_log
        low, high = (min(numbers), max(numbers)) if is_log else (0.0, HEADROOM * max(numbers))
        if is_log:
            low, high = low / HEADROOM, high * HEADROOM
        self.low, self.high = low, high if high > low else low + 1.0
        self.start, self.end = start, end

    def place(self, number: float) -> float:
        """Where a number lies in the picture."""
        scale = math.log10 if self.is_log else float
        share = (scale(number) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers along the axis."""
        if self.is_log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = [step * 10.0**decade for decade in decades for step in LOG_STEPS]
        else:
            rough = (self.high - self.low) / 5
            unit = 10.0 ** math.floor(math.log10(rough))
            step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough)
            steps = [step * count for count in range(int(self.high / step) + 1)]
        return [step for step in steps if self.low <= step <= self.high]


def line_chart(path: Path, heads: Heads, series: Series, log_x: bool = False, log_y: bool = False):
    """Writes a chart with one line a series; nothing if there are no points."""
    points = [point for line in series.values() for point in line]
    if not points:
        return
    x_axis = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, log_x)
    y_axis = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP, log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *frame(heads, x_axis, y_axis),
        *lines(series, x_axis, y_axis),
        "</svg>",
        "",
    ]
    path.write_text("\n".join(parts))


def frame(heads: Heads, x_axis: Axis, y_axis: Axis) -> list[str]:
    """Words, rules and numbers around the lines."""
    floor, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    parts = [
        text(LEFT, 30, heads.title, 'font-size="18" font-weight="bold" fill="#111"'),
        text(LEFT, 52, heads.subtitle, 'fill="#555"'),
        text((LEFT + WIDTH - RIGHT) / 2, floor + 42, heads.x_label, 'text-anchor="middle"'),
        text(20, middle, heads.y_label, f'text-anchor="middle" transform="rotate(-90 20 {middle:.0f})"'),
    ]
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{floor}" stroke="#ececec"/>')
        parts.append(text(x, floor + 20, readable(tick), 'text-anchor="middle"'))
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ececec"/>')
        parts.append(text(LEFT - 10, y + 4, readable(tick), 'text-anchor="end"'))
    parts.append(f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}" fill="none" stroke="#999"/>')
    for number, line in enumerate(heads.caption):
        parts.append(text(LEFT, floor + 70 + CAPTION_HEIGHT * number, line, 'font-size="10" fill="#777"'))
    return parts


def lines(series: Series, x_axis: Axis, y_axis: Axis) -> list[str]:
    """The lines, their points, and their names where they end."""
    parts, ends = [], []
    for (name, line), colour in zip(series.items(), COLOURS * len(series)):
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in sorted(line)]
        track = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{track}" fill="none" stroke="{colour}" stroke-width="2.2" stroke-linejoin="round"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}" stroke="white"/>' for x, y in places]
        ends.append((*places[-1], name, colour))
    return parts + names(ends)


def names(ends: list[tuple[float, float, str, str]]) -> list[str]:
    """The names right of where the lines end, moved apart where they would cover each other."""
    parts: list[str] = []
    taken: list[tuple[float, float]] = []
    for x, end_y, name, colour in sorted(ends, key=lambda end: end[1]):
        y = end_y
        while any(abs(y - other_y) < NAME_HEIGHT and abs(x - other_x) < RIGHT for other_x, other_y in taken):
            y += 1
        taken.append((x, y))
        parts.append(text(x + 9, y + 4, name, f'font-weight="bold" fill="{colour}"'))
    return parts


def text(x: float, y: float, words: str, attributes: str = "") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{html.escape(words)}</text>'


def readable(number: float) -> str:
    """A number as people write it on an axis."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"
