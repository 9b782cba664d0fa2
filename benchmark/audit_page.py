"""One page of heat maps: which metric can be believed where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from unmix.audit import believable, goodness
from unmix.stresses import KINDS, STRESSES, Kind, Stress

INK, PALE, WRONG = "#1f2933", "#7b8794", "#d1495b"
COLOURS = LinearSegmentedColormap.from_list("goodness", ["#fbf8f1", "#cfe3e8", "#6fb0c6", "#1b6ca8", "#0b3c5d"])
CELL = (0.40, 0.235)  # inches
FAMILIES: Mapping[str, str] = {
    "correlation": "correlation",
    "circular": "correlation",
    "regression": "regression",
    "importance": "prediction",
    "capacity": "prediction",
    "prediction": "prediction",
    "information": "information",
    "information_shares": "information",
    "infomec": "information",
    "intervention": "intervention",
    "unsupervised": "codes alone",
}
ORDER = ("correlation", "regression", "prediction", "information", "intervention", "other", "codes alone")
IDEALS = {"best": "1", "chance": "0", "first": "=", "": "–"}

Row = Mapping[str, Any]


def draw(content: Mapping[str, Any], path: Path) -> None:
    """Draw an audit, whole or not at all: a block for continuous factors, one for discrete; a panel a stress."""
    rows, metrics = content["rows"], content["metrics"]
    verdicts = believable(rows, metrics)
    judged = {_key(row): (row, verdict) for row, verdict in zip(rows, verdicts, strict=True)}
    stresses = [stress for stress in STRESSES if any(row["stress"] == stress.name for row in rows)]
    listed = {kind: _listed(kind, rows, metrics) for kind in KINDS}
    blocks = [kind for kind in KINDS if listed[kind]]
    heights = [(len(listed[kind]) + 1) * CELL[1] for kind in blocks]
    widths = [len(stress.levels) * CELL[0] for stress in stresses]
    left, top, between, gap = 3.2, 1.75, 1.75, 0.16
    width = left + sum(widths) + gap * len(widths) + 0.2
    height = top + sum(heights) + between * (len(blocks) - 1) + 0.65
    figure = plt.figure(figsize=(width, height), facecolor="white")
    _head(figure, width, height, content)
    y = height - top
    for kind, tall in zip(blocks, heights, strict=True):
        figure.text(0.18 / width, (y + 0.62) / height, f"{kind} factors", fontsize=13, weight="bold", color=INK)
        x = left
        for stress, wide in zip(stresses, widths, strict=True):
            axis = figure.add_axes((x / width, (y - tall) / height, wide / width, tall / height))
            _panel(axis, kind, stress, listed[kind], metrics, judged, first=stress is stresses[0])
            x += wide + gap
        y -= tall + between
    _foot(figure, width, height)
    _save(figure, path)


def _key(row: Row) -> tuple[str, str, str, str]:
    return row["kind"], row["stress"], row["level"], row["metric"]


def _listed(kind: Kind, rows: Sequence[Row], metrics: Mapping[str, Any]) -> list[str]:
    """Metrics of a block, family by family; within a family in the alphabet's order."""
    there = {row["metric"] for row in rows if row["kind"] == kind}
    return sorted(there, key=lambda name: (ORDER.index(_family(metrics[name])), name))


def _family(metric: Mapping[str, Any]) -> str:
    return FAMILIES.get(metric["family"], "other")


def _panel(
    axis: Axes,
    kind: Kind,
    stress: Stress,
    names: Sequence[str],
    metrics: Mapping[str, Any],
    judged: Mapping[tuple[str, str, str, str], tuple[Row, bool | None]],
    first: bool,
) -> None:
    """Metrics as rows under the row of the ideal, levels as columns."""
    levels = list(stress.levels)
    axis.set_xlim(0, len(levels))
    axis.set_ylim(len(names) + 1, 0)
    colours = np.ones((len(names) + 1, len(levels), 4))
    for column, level in enumerate(levels):
        colours[0, column] = _ideal(axis, column, stress.ideal_of(level))
        for line, name in enumerate(names, start=1):
            row, verdict = judged.get((kind, stress.name, level, name), (None, None))
            colours[line, column] = _cell(axis, column, line, row, verdict, metrics[name])
    # One mesh a panel: thousands of single rectangles take most of a minute to draw.
    axis.pcolormesh(np.arange(len(levels) + 1), np.arange(len(names) + 2), colours, edgecolors="white", lw=1)
    families = [_family(metrics[name]) for name in names]
    edges = [1, *(i + 1 for i in range(1, len(names)) if families[i] != families[i - 1])]
    for edge in edges:
        axis.axhline(edge, color="white", lw=4, zorder=4)
        axis.axhline(edge, color=INK, lw=0.7, zorder=5)
    axis.set_xticks(np.arange(len(levels)) + 0.5, levels, fontsize=8, color=INK)
    axis.xaxis.tick_top()
    labels = ["ideal", *(f"{name} †" * metrics[name]["fooled_by_noise"] or name for name in names)]
    axis.set_yticks(np.arange(len(names) + 1) + 0.5, labels if first else [], fontsize=8.5, color=INK)
    if first:
        axis.get_yticklabels()[0].set_fontweight("bold")
    axis.tick_params(length=0, pad=2)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.text(0, -2.35, stress.title, fontsize=9, weight="bold", color=INK, va="bottom", linespacing=1.1)
    axis.text(0, -1.35, stress.axis, fontsize=8, color=PALE, va="bottom")


Colour = tuple[float, float, float, float]


def _ideal(axis: Axes, column: int, ideal: str) -> Colour:
    """Write what a metric should say; returns the cell's colour."""
    ink = "white" if ideal == "best" else INK
    axis.text(column + 0.5, 0.52, IDEALS[ideal], ha="center", va="center", fontsize=8, weight="bold", color=ink)
    return {"best": COLOURS(1.0), "chance": COLOURS(0.0)}.get(ideal, (1.0, 1.0, 1.0, 1.0))


def _cell(
    axis: Axes, column: int, line: int, row: Row | None, verdict: bool | None, metric: Mapping[str, Any]
) -> Colour:
    """Write a score, framed where it misleads; returns the cell's colour."""
    if row is None or row["mean"] is None:
        infinite = row is not None and row["reason"] == "infinite"
        text, colour, ink = "∞" if infinite else "×", to_rgba("#eef0f2"), PALE
    else:
        good = goodness(row["mean"], metric)
        text, colour, ink = number(row["mean"]), COLOURS(good), "white" if good > 0.55 else INK
    axis.text(column + 0.5, line + 0.52, text, ha="center", va="center", fontsize=7, color=ink)
    if verdict is False:
        box = Rectangle((column + 0.06, line + 0.1), 0.88, 0.8, fill=False, edgecolor=WRONG, lw=1.6, zorder=3)
        axis.add_patch(box)
    return colour


def number(value: float) -> str:
    """Two digits in little room.

    >>> [number(value) for value in (0.123, -0.5, 0.999, 1.0, 12.3, -0.001, -640.0)]
    ['.12', '-.50', '1.0', '1.0', '12', '.00', '-640']
    """
    if abs(value) >= 9.95:
        return f"{value:.0f}"
    if abs(value) >= 0.995:
        return f"{value:.1f}"
    text = f"{value:.2f}".replace("0.", ".", 1)
    return ".00" if text == "-.00" else text


def _head(figure: Figure, width: float, height: float, content: Mapping[str, Any]) -> None:
    figure.text(
        0.18 / width,
        1 - 0.42 / height,
        "Which metric can be believed where",
        fontsize=19,
        weight="bold",
        color=INK,
    )
    figure.text(
        0.18 / width,
        1 - 0.74 / height,
        f"Every metric on representations whose quality is known: k = 5 factors, n = {content['samples']:,} unless "
        f"stated, mean of up to {content['repeats']} draws, seed {content['seed']}.",
        fontsize=10,
        color=PALE,
    )


def _foot(figure: Figure, width: float, height: float) -> None:
    """The colour bar and what the marks mean."""
    axis = figure.add_axes((3.2 / width, 0.28 / height, 2.2 / width, 0.13 / height))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), COLOURS), cax=axis, orientation="horizontal")
    bar.set_ticks([0, 1], labels=["chance", "best"], fontsize=8, color=INK)
    bar.outline.set_visible(False)
    axis.tick_params(length=0, pad=2)
    box = Rectangle((6.0 / width, 0.27 / height), 0.3 / width, 0.16 / height, fill=False, edgecolor=WRONG, lw=1.8)
    figure.add_artist(box)
    figure.text(
        6.45 / width,
        0.28 / height,
        "more than 0.15 of the way from chance to best away from the ideal.    Ideal: 1 best, 0 chance, = as in the "
        "panel's first column, – open.    ×: the metric declines.    †: noise can score as high as perfect codes.    "
        "Numbers are raw scores; those of the codes alone (0 is best) are never judged.",
        fontsize=8.5,
        color=INK,
    )


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    figure.savefig(partial, dpi=130)
    partial.replace(path)
    plt.close(figure)
