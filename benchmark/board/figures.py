"""Geometry of the board's figures, in user units of an SVG: cost against score, learning curves, correlations.

The markup is in the templates, which escape what a record says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy.optimize import linear_sum_assignment

from unmix.board.model import Benchmark, Configuration, duration, machine
from unmix.plots import correlations

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 52.0, 96.0, 14.0, 44.0
LETTER = 6.1  # width of a letter of a label
APART = 13  # of labels at the right edge
TIMES = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0, 86400.0, 864000.0)
SIDE, SHOWN = 34, 24  # of a cell of a heat map; codes that it has room for
FINER = (0.3, 3.0, 30.0, 120.0, 300.0, 1200.0, 1800.0, 7200.0, 14400.0, 259200.0)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what it says."""

    place: float
    label: str


@dataclass(frozen=True)
class Point:
    """A configuration: where its mean, smallest and largest score are, and what it says; `label` may be left out."""

    x: float
    y: float
    low: float
    high: float
    radius: float
    label: str
    href: str
    title: str
    gpu: bool
    place: tuple[float, float] = (0.0, 0.0)  # the middle of the label


@dataclass(frozen=True)
class Level:
    """A floor or a ceiling: a line across the figure; `text` is the height of its label."""

    y: float
    text: float
    label: str
    href: str


@dataclass(frozen=True)
class Scatter:
    """Cost against one metric."""

    metric: str
    x: Sequence[Tick]
    y: Sequence[Tick]
    points: Sequence[Point]
    levels: Sequence[Level]
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Line:
    """A named line: `points` is the attribute of a polyline."""

    name: str
    points: str


@dataclass(frozen=True)
class Curve:
    """Values over steps."""

    title: str
    x: Sequence[Tick]
    y: Sequence[Tick]
    lines: Sequence[Line]
    width: int = 420
    height: int = 240


@dataclass(frozen=True)
class Strip:
    """Scores of a benchmark on one line: each configuration's role and its place."""

    metric: str
    dots: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Heat:
    """Absolute correlations: a row a factor, a column a code, each value with its place."""

    codes: Sequence[Tick]
    factors: Sequence[Tick]
    values: Sequence[tuple[float, float, float]]
    side: int
    width: int
    height: int


def scatter(benchmark: Benchmark, metric: str) -> Scatter | None:
    """Training time, on a logarithmic axis, against a metric; None where no method was trained and has it."""
    shown = [c for c in benchmark.configurations if c.role == "method" and c.values(metric) and c.seconds > 0]
    others = [c for c in benchmark.configurations if c.role != "method" and c.values(metric)]
    if not shown:
        return None
    values = [value for c in shown + others for value in c.values(metric)]
    ys, y = linear(min(values), max(values), HEIGHT - BOTTOM, TOP)
    xs, x = times([c.seconds for c in shown], LEFT + 10, WIDTH - RIGHT - 10)
    most = max(c.entries[0].record.parameters for c in shown) or 1
    points = []
    for c in shown:
        own, record = c.values(metric), c.entries[0].record
        mean = sum(own) / len(own)
        words = ", ".join(part for part in (c.method["name"], benchmark.labels[c.key]) if part)
        facts = f"{duration(c.seconds)}, {record.parameters:,} parameters, {machine(record.hardware)}"
        radius = 2.5 + 4.5 * math.sqrt(record.parameters / most)
        title = f"{words}: {metric} {mean:.3f}; {facts}"
        ends, gpu = (y(min(own)), y(max(own))), "accelerator" in record.hardware
        points.append(Point(x(c.seconds), y(mean), *ends, radius, c.method["name"], c.href, title, gpu))
    return Scatter(metric, xs, ys, _named(points), _levels(others, metric, y))


def _named(points: list[Point]) -> list[Point]:
    """Labels beside their points, above or below; one that would lie on another label or point is left out."""
    taken = [(p.x - p.radius, p.y - p.radius, p.x + p.radius, p.y + p.radius) for p in points]
    named = []
    for point, own in zip(points, list(taken), strict=True):
        length, away = LETTER * len(point.label), point.radius + 4
        centred = min(max(point.x - length / 2, LEFT + 1), WIDTH - RIGHT - 1 - length)
        sides = (
            (point.x + away, point.y),
            (point.x - away - length, point.y),
            (centred, point.y - away - 5),
            (centred, point.y + away + 5),
        )
        for left, middle in sides:
            box = (left, middle - 7, left + length, middle + 7)
            inside = left > LEFT and left + length < WIDTH - RIGHT
            if inside and not any(_overlap(box, other) for other in taken if other is not own):
                taken.append(box)
                named.append(replace(point, place=(left + length / 2, middle)))
                break
        else:
            named.append(replace(point, label=""))
    return named


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _levels(others: Sequence[Configuration], metric: str, y: Callable[[float], float]) -> list[Level]:
    """Their labels pushed apart, from the top down."""
    best: dict[str, Configuration] = {}
    for c in others:
        name = c.method["name"]
        if name not in best or (c.mean(metric) or 0.0) > (best[name].mean(metric) or 0.0):
            best[name] = c
    levels: list[Level] = []
    for name, c in sorted(best.items(), key=lambda item: -(item[1].mean(metric) or 0.0)):
        place = y(c.mean(metric) or 0.0)
        text = max(place, levels[-1].text + APART) if levels else place
        levels.append(Level(place, text, name, c.href))
    return levels


def strip(benchmark: Benchmark) -> Strip:
    """Where ceiling, methods and floors are on the primary metric, from 0 to 1 at least."""
    means = [(c, mean) for c in benchmark.configurations if (mean := c.mean(benchmark.primary)) is not None]
    low, high = min(0.0, *(mean for _, mean in means)), max(1.0, *(mean for _, mean in means))
    dots = [(c.role, round(6 + 228 * (mean - low) / (high - low), 1)) for c, mean in means]
    return Strip(benchmark.primary, sorted(dots, key=lambda dot: dot[0] == "method"))


def curves(curve: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Of one run, over its steps: the scores in one figure, the loss and each of its terms in their own."""
    scores = list(dict.fromkeys(name for point in curve for name in point["scores"]))
    terms = list(dict.fromkeys(name for point in curve for name in point.get("terms", {})))
    told: list[tuple[str, dict[str, list[tuple[float, float]]]]] = []
    if scores:
        told.append(("scores while training", {name: _series(curve, "scores", name) for name in scores}))
    told.append(("loss", {"loss": [(float(point["step"]), float(point["loss"])) for point in curve]}))
    told += [(name, {name: _series(curve, "terms", name)}) for name in terms]
    return [made for title, series in told if (made := _curve(title, series)) is not None]


def _series(curve: Sequence[Mapping[str, Any]], part: str, name: str) -> list[tuple[float, float]]:
    return [(float(p["step"]), float(p[part][name])) for p in curve if name in p.get(part, {})]


def _curve(title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> Curve | None:
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in series.items()}
    every = [point for points in finite.values() for point in points]
    if not every:
        return None
    bottom, right = 210.0, 396.0
    xs, x = linear(0.0, max(step for step, _ in every), LEFT, right, count=4)
    ys, y = linear(min(v for _, v in every), max(v for _, v in every), bottom, TOP)
    lines = [Line(name, " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in points)) for name, points in finite.items()]
    return Curve(title, xs, ys, lines)


def heat(codes: np.ndarray, factors: np.ndarray, names: Sequence[str]) -> Heat | None:
    """|Pearson r| of each factor that varies (n, k) with each code (n, d), the codes matched to factors first.

    None where there are more codes than `SHOWN`.
    """
    varying = [column for column in range(factors.shape[1]) if np.ptp(factors[:, column]) > 0]
    if codes.shape[1] > SHOWN or not varying:
        return None
    matrix = correlations(codes, factors[:, varying])
    matched = linear_sum_assignment(-matrix)[1].tolist()
    order = matched + [code for code in range(codes.shape[1]) if code not in matched]
    left, top = 108.0, 24.0
    values = [
        (left + SIDE * column, top + SIDE * row, float(matrix[row, code]))
        for row in range(len(varying))
        for column, code in enumerate(order)
    ]
    named = [names[column] if column < len(names) else f"factor {column}" for column in varying]
    return Heat(
        [Tick(left + SIDE * (column + 0.5), str(code)) for column, code in enumerate(order)],
        [Tick(top + SIDE * (row + 0.5), name) for row, name in enumerate(named)],
        values,
        SIDE,
        int(left) + SIDE * len(order) + 4,
        int(top) + SIDE * len(varying) + 4,
    )


def linear(
    low: float, high: float, start: float, end: float, count: int = 5
) -> tuple[list[Tick], Callable[[float], float]]:
    """Ticks, and the map from values to places; the axis ends at its outer ticks.

    >>> ticks, place = linear(0.0, 1.0, 0.0, 100.0)
    >>> [tick.label for tick in ticks], place(0.5)
    (['0', '0.2', '0.4', '0.6', '0.8', '1'], 50.0)
    """
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    marks = [float(value) for value in MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]

    def place(value: float) -> float:
        return start + (end - start) * (value - marks[0]) / (marks[-1] - marks[0])

    return [Tick(place(value), f"{value:,.10g}") for value in marks], place


def times(seconds: Sequence[float], start: float, end: float) -> tuple[list[Tick], Callable[[float], float]]:
    """Ticks at times that people say, and the logarithmic map from seconds to places."""
    low, high = math.log10(min(seconds)), math.log10(max(seconds))
    low, high = (low - 0.3, high + 0.3) if high - low < 0.3 else (low, high)

    def place(value: float) -> float:
        return start + (end - start) * (math.log10(value) - low) / (high - low)

    within = [[t for t in marks if low <= math.log10(t) <= high] for marks in (TIMES, sorted(TIMES + FINER))]
    return [Tick(place(t), duration(t)) for t in within[0 if len(within[0]) > 3 else 1]], place
