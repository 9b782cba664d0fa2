"""Figures: a table beside the paper, learning curves, codes against factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from unmix.record import Record, Specification
from unmix.reproduce import Cell, Preset, summaries

INK, OURS, PAPER = "#1f2933", "#1b6ca8", "#d1495b"


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


def correlations(codes: Float[np.ndarray, "n d"], factors: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "k d"]:
    """Absolute Pearson correlation of each factor with each code; 0 for a constant column."""
    a, b = factors - factors.mean(axis=0), codes - codes.mean(axis=0)
    scale = np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    result: np.ndarray = np.abs(np.divide(a.T @ b, scale, out=np.zeros_like(scale), where=scale > 0))
    return result


def scatter(
    codes: Float[np.ndarray, "n d"], factors: Float[np.ndarray, "n k"], names: Sequence[str], path: Path
) -> None:
    """Each factor against the code matched to it, and against its best linear reconstruction from all codes."""
    shown = min(len(names), 10)
    matrix = correlations(codes, factors)
    rows, columns = linear_sum_assignment(-matrix)
    design = np.column_stack([codes, np.ones(len(codes))])
    fitted = design @ np.linalg.lstsq(design, factors, rcond=None)[0]
    figure, axes = plt.subplots(2, shown, figsize=(1.9 * shown, 4.4), squeeze=False)
    match = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    picked = np.linspace(0, len(codes) - 1, min(len(codes), 1500)).astype(int)
    for factor in range(shown):
        upper, lower = axes[:, factor]
        if factor in match:
            code = match[factor]
            upper.plot(factors[picked, factor], codes[picked, code], ".", ms=1.5, alpha=0.5, color=OURS)
            upper.set_title(f"{names[factor]}: code {code}\n|r| = {matrix[factor, code]:.3f}", fontsize=8)
        lower.plot(factors[picked, factor], fitted[picked, factor], ".", ms=1.5, alpha=0.5, color=PAPER)
        lower.set_xlabel(names[factor], fontsize=8)
    axes[0][0].set_ylabel("matched code", fontsize=8)
    axes[1][0].set_ylabel("linear map of all codes", fontsize=8)
    for axis in axes.flat:
        axis.tick_params(labelsize=6)
    figure.tight_layout()
    save(figure, path)


def heat_map(
    codes: Float[np.ndarray, "n d"], factors: Float[np.ndarray, "n k"], names: Sequence[str], path: Path
) -> None:
    """Absolute correlation of factors with codes, the codes in the order of the factors they are matched to."""
    matrix = correlations(codes, factors)
    matched = linear_sum_assignment(-matrix)[1].tolist()
    order = matched + [code for code in range(matrix.shape[1]) if code not in matched]
    figure, axis = plt.subplots(figsize=(0.42 * len(order) + 2, 0.42 * len(names) + 1.2))
    image = axis.imshow(matrix[:, order], vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axis.set_xticks(range(len(order)), [str(code) for code in order], fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_xlabel("code")
    axis.set_ylabel("factor")
    figure.colorbar(image, ax=axis, label="|Pearson r|")
    save(figure, path)
