"""Line charts as SVG, from the standard library alone."""

import html
import math
from pathlib import Path

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 80, 150, 50, 60
COLOURS = ["#1b6ca8", "#c8553d", "#588b3a", "#8e5ba8", "#c99a1b", "#3a8b87", "#666666"]

Series = dict[str, list[tuple[float, float]]]


class Axis:
    """A range of numbers, laid along a stretch of the picture."""

    def __init__(self, numbers: list[float], start: float, end: float, is_log: bool):
        self.is_log = is_log
        low, high = (min(numbers), max(numbers)) if is_log else (0.0, max(numbers))
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
            steps = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
        else:
            rough = (self.high - self.low) / 5
            unit = 10.0 ** math.floor(math.log10(rough))
            step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
            steps = [step * count for count in range(int(self.high / step) + 1)]
        return [step for step in steps if self.low <= step <= self.high * 1.0001]


def line_chart(path: Path, title: str, x_label: str, y_label: str, series: Series, log_x: bool = False):
    """Writes a chart with one line a series."""
    points = [point for line in series.values() for point in line]
    if not points:
        return
    x_axis = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, log_x)
    y_axis = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP, False)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, TOP - 22, title, 'font-size="15" font-weight="bold"'),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, x_label, 'text-anchor="middle"'),
        text(18, (TOP + HEIGHT - BOTTOM) / 2, y_label, f'text-anchor="middle" transform="rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2:.0f})"'),
    ]
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        parts.append(text(x, HEIGHT - BOTTOM + 18, readable(tick), 'text-anchor="middle"'))
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(text(LEFT - 8, y + 4, readable(tick), 'text-anchor="end"'))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in sorted(line)]
        track = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{track}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        y = TOP + 14 + 20 * number
        parts.append(f'<line x1="{WIDTH - RIGHT + 16}" y1="{y - 4}" x2="{WIDTH - RIGHT + 40}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/>')
        parts.append(text(WIDTH - RIGHT + 46, y, name))
    path.write_text("\n".join([*parts, "</svg>", ""]))


def text(x: float, y: float, words: str, attributes: str = "") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{html.escape(words)}</text>'


def readable(number: float) -> str:
    """A number as people write it on an axis."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"
