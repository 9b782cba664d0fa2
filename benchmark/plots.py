"""Figures: a table beside the paper, learning curves, codes against factors, images side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unmix.factors import Factor
from unmix.record import Record, Specification
from unmix.reproduce import Cell, Preset, summaries

INK, OURS, PAPER = "#1f2933", "#1b6ca8", "#d1495b"
POINT = "#2f86c9"  # told from a light page and from a dark one
LINEAR, SHOWN = 500, 40
LINES = (POINT, PAPER, "#3f9c5a", "#b8860b", "#8e6bbf")
PAGE: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
    "text.parse_math": False,  # a factor's name is no formula
    "svg.fonttype": "none",
    "svg.hashsalt": "unmix",
    "savefig.dpi": 150,
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all, and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    figure.savefig(partial, dpi=150, bbox_inches="tight")
    partial.replace(path)
    plt.close(figure)


def table_figure(
    table: Preset,
    profile: str,
    cells: Mapping[Cell, Sequence[Specification]],
    records: Mapping[str, Record],
    path: Path,
) -> None:
    """A panel for each column of a published table: the paper's value and ours, a line a row."""
    ours = summaries(table, cells, records)
    columns, rows = table.columns, table.rows
    width = 3.6 if len(columns) <= 3 else 2.0
    figure, axes = plt.subplots(
        1, len(columns), figsize=(width * len(columns) + 3.4, 0.36 * len(rows) + 1.6), sharey=True, squeeze=False
    )
    for axis, column in zip(axes[0], columns, strict=True):
        shown = []
        for number, row in enumerate(rows):
            theirs, mine = row.published.get(column["name"]), ours.get((number, column["name"]))
            if theirs is not None:
                _point(axis, theirs.value, theirs.spread, number - 0.14, "D", PAPER, "paper")
            if mine is not None:
                _point(axis, mine.value, mine.spread, number + 0.14, "o", OURS, "ours")
            shown += [number.value for number in (theirs, mine) if number is not None]
        if table.content["scale"] == 100 and shown and min(shown) > 50:
            _stretch(axis)
        axis.set_title(column["title"], fontsize=10)
        if len(columns) <= 3:
            axis.set_xlabel(table.published["metric"], fontsize=8)
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    labels = [f"{number}  {' | '.join(row.labels)}" for number, row in enumerate(rows, start=1)]
    axes[0][0].set_yticks(range(len(rows)), labels, fontsize=7)
    axes[0][0].invert_yaxis()
    handles = {
        label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="upper right", ncols=2, frameon=False, fontsize=9)
    settings = table.profile(profile)
    figure.suptitle(f"{table.name}, profile {profile}: {settings['title']}", fontsize=10, x=0.02, ha="left")
    save(figure, path)


def _point(axis: Axes, value: float, spread: float | None, height: float, marker: str, colour: str, label: str) -> None:
    axis.errorbar(value, height, xerr=spread, fmt=marker, color=colour, ms=5, capsize=2, label=label)


def _stretch(axis: Axes) -> None:
    """Percent on an axis that shows the distance from 100 on a logarithmic scale: 99.4 and 99.9 are far apart."""
    low, high = axis.get_xlim()
    axis.set_xscale("function", functions=(_nines, lambda y: 100 - 10.0**-y))
    marks = (0, 50, 70, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99)
    ticks = [mark for mark in marks if low <= mark <= high]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=7, rotation=45)
    axis.set_xlim(max(low, 0), min(high, 99.995))


def _nines(percent: ArrayLike) -> np.ndarray:
    result: np.ndarray = -np.log10(np.maximum(100 - np.asarray(percent, dtype=float), 1e-3))
    return result


def learning_curves(records: Mapping[str, Record], metric: str, path: Path, seconds: bool = True) -> None:
    """A score over training seconds (or steps), one line a record; keys are the labels.

    The vertical axis is 1 - score on a logarithmic scale where the score is bounded by 1, so that 0.99 and
    0.999 can be told apart.
    """
    figure, axis = plt.subplots(figsize=(7.2, 4.2))
    for label, record in records.items():
        points = [point for point in record.curve if metric in point["scores"]]
        x = [point["seconds" if seconds else "step"] for point in points]
        axis.plot(x, [max(1e-5, 1 - point["scores"][metric]) for point in points], marker=".", ms=4, label=label)
    axis.set_yscale("log")
    ticks = [0.5, 0.1, 0.05, 0.01, 0.005, 0.001]
    axis.set_yticks(ticks, [f"{1 - tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.invert_yaxis()
    axis.axhline(0.01, color=INK, lw=0.8, ls="--")
    axis.set_xscale("log")
    axis.set_xlabel("training seconds" if seconds else "steps")
    axis.set_ylabel(metric)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
    save(figure, path)


def curve_figures(curve: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Of one run, over steps: its scores in one figure, the loss and each of its terms in their own."""
    steps = [point["step"] for point in curve]
    figures: list[Figure] = []
    scores = list(dict.fromkeys(name for point in curve for name in point["scores"]))
    if scores:
        figure, axis = _small("scores")
        figures.append(figure)
        axis.set_prop_cycle(color=LINES)
        for name in scores:
            shown = [(point["step"], point["scores"][name]) for point in curve if name in point["scores"]]
            dashed = "--" if name == "dead_codes" else "-"
            axis.plot(*zip(*shown, strict=True), dashed, marker=".", ms=3, lw=1.2, label=name)
        axis.set_ylim(min(-0.03, *(value for point in curve for value in point["scores"].values())), 1.03)
        axis.legend(frameon=False, fontsize=7)
    terms = list(dict.fromkeys(name for point in curve for name in point.get("terms", {})))
    for name in ["loss", *terms]:
        figure, axis = _small(name)
        figures.append(figure)
        values = [point["loss"] if name == "loss" else point["terms"].get(name, np.nan) for point in curve]
        axis.plot(steps, values, marker=".", ms=3, lw=1.2, color=POINT)
    return figures


def _small(title: str) -> tuple[Figure, Axes]:
    figure, axis = plt.subplots(figsize=(3.6, 2.5), layout="constrained")
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("steps", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def correlations(codes: Float[np.ndarray, "n d"], factors: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "k d"]:
    """Absolute Pearson correlation of each factor with each code; 0 for a constant column."""
    a, b = factors - factors.mean(axis=0), codes - codes.mean(axis=0)
    scale = np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    result: np.ndarray = np.abs(np.divide(a.T @ b, scale, out=np.zeros_like(scale), where=scale > 0))
    return result


def scatter_figures(
    codes: Float[np.ndarray, "n d"], factors: Float[np.ndarray, "n k"], declared: Sequence[Factor]
) -> list[Figure]:
    """Of each factor that varies, a figure: the code matched to it, and its best linear map from all codes.

    Levels are spread sideways so that their points can be seen, and a bar marks each level's median. Where there are
    more than `LINEAR` codes, a linear map can fit anything and is left out.
    """
    matrix = correlations(codes, factors)
    match = dict(zip(*(side.tolist() for side in linear_sum_assignment(-matrix)), strict=True))
    picked = np.linspace(0, len(codes) - 1, min(len(codes), 1500)).astype(int)
    fitted = None
    if codes.shape[1] <= LINEAR:
        design = np.column_stack([codes, np.ones(len(codes))])
        fitted = (design @ np.linalg.lstsq(design, factors, rcond=None)[0])[picked]
    figures = []
    for column, factor in enumerate(declared):
        if factor.constant:
            continue
        figure, axes = plt.subplots(2, 1, figsize=(2.3, 4.2), sharex=True, layout="constrained")
        if column in match:
            code = match[column]
            _points(axes[0], factors[picked, column], codes[picked, code], factor, POINT)
            axes[0].set_title(f"{factor.name}\ncode {code}, |r| = {matrix[column, code]:.3f}", fontsize=8)
            axes[0].set_ylabel(f"code {code}", fontsize=8)
        else:
            axes[0].set_title(f"{factor.name}\nno code left to match", fontsize=8)
        if fitted is not None:
            _points(axes[1], factors[picked, column], fitted[:, column], factor, PAPER)
            axes[1].set_ylabel("linear map of all codes", fontsize=8)
        axes[1].set_xlabel(f"{factor.name} ({factor.type})", fontsize=8)
        figures.append(figure)
    return figures


def _points(
    axis: Axes, factor_values: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"], factor: Factor, colour: str
) -> None:
    spread = np.zeros(len(values))
    if factor.size is not None:
        spread = np.random.default_rng(0).uniform(-0.35, 0.35, len(values))
        levels = np.unique(factor_values)
        medians = [np.median(values[factor_values == level]) for level in levels]
        axis.hlines(medians, levels - 0.4, levels + 0.4, color=INK, lw=1.2, zorder=3)
    if factor.labels and len(factor.labels) <= 6:
        axis.set_xticks(range(len(factor.labels)), factor.labels)
    size = 2.6 if len(values) > 500 else 5
    axis.plot(factor_values + spread, values, ".", ms=size, mew=0, alpha=0.55, color=colour, rasterized=True)
    axis.tick_params(labelsize=6)
    axis.spines[["top", "right"]].set_visible(False)


def heat_map(codes: Float[np.ndarray, "n d"], factors: Float[np.ndarray, "n k"], names: Sequence[str]) -> Figure:
    """Absolute correlation of factors with codes: first the codes matched to factors, in the factors' order.

    Of more than `SHOWN` codes, those with the strongest correlations.
    """
    matrix = correlations(codes, factors)
    matched = linear_sum_assignment(-matrix)[1].tolist()
    strongest = np.argsort(-matrix.max(axis=0), kind="stable").tolist()
    shown = set([*matched, *strongest][:SHOWN] if matrix.shape[1] > SHOWN else strongest)
    order = matched + sorted(shown - set(matched))
    figure, axis = plt.subplots(figsize=(0.42 * len(order) + 2.4, 0.36 * len(names) + 1.2), layout="constrained")
    image = axis.imshow(matrix[:, order], vmin=0, vmax=1, cmap="viridis", aspect="auto")
    if len(order) <= 20:
        for (row, column), value in np.ndenumerate(matrix[:, order]):
            ink = "white" if value < 0.6 else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color=ink)
    axis.set_xticks(range(len(order)), [str(code) for code in order], fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xlabel("code", fontsize=8)
    bar = figure.colorbar(image, ax=axis)
    bar.set_label("|Pearson r|", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def strip(images: UInt8[Tensor, "n channels height width"], columns: int) -> UInt8[np.ndarray, "height across 4"]:
    """Images side by side, filled up to a number of columns; transparent where there is none."""
    height, width = images.shape[2:]
    gap = max(2, width // 16)
    row = np.zeros((height, columns * (width + gap) - gap, 4), dtype=np.uint8)
    for index, image in enumerate(images.cpu().permute(0, 2, 3, 1).numpy()):
        place = row[:, index * (width + gap) :][:, :width]
        place[..., :3], place[..., 3] = image, 255
    return row


def svg(figure: Figure) -> str:
    """A figure as an element of a page, in the colour of its text; closes it.

    The figure must be drawn within `plt.rc_context(PAGE)`.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")
