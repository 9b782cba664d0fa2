"""Figures of a comparison: intervals, performance profiles, mean ranks, metric against metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from unmix.comparison.arms import Task
from unmix.comparison.statistics import profile
from unmix.comparison.verdicts import Findings, Ranks, blocks, scale
from unmix.plots import INK, save

# Okabe and Ito's palette without its yellow, told apart by all; the markers tell them apart in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKERS = "oDs^vP*X"
ACROSS = 4  # panels


def draw(found: Findings, folder: Path) -> list[Path]:
    """Write the figures that have something to show; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "intervals.png", folder / "profiles.png", folder / "ranks.png", folder / "scatter.png"]
    drawn = [
        _intervals(found, paths[0]),
        _profiles(found, paths[1]),
        found.ranks is not None and _ranks(found.ranks, [arm.label for arm in found.arms], paths[2]),
        _scatter(found, paths[3]),
    ]
    for path, there in zip(paths, drawn, strict=True):
        if not there:
            path.unlink(missing_ok=True)  # of an earlier comparison
    return [path for path, there in zip(paths, drawn, strict=True) if there]


def _intervals(found: Findings, path: Path) -> bool:
    """A panel a metric: each run, the mean with Student's interval, the IQM."""
    metrics = list(dict.fromkeys(summary.metric for summary in found.summaries))
    if not metrics:
        return False
    labels = [arm.label for arm in found.arms]
    figure, axes = _panels(len(metrics), 3.0, 0.42 * len(labels) + 1.3, share=True)
    for axis, metric in zip(axes, metrics, strict=False):
        for place, arm in enumerate(found.arms):
            colour = COLOURS[place % len(COLOURS)]
            (summary,) = [s for s in found.summaries if (s.metric, s.arm) == (metric, arm.label)]
            runs = np.concatenate(blocks(arm, metric, _common(found, metric)))
            axis.plot(runs, np.full(len(runs), place + 0.22), "|", color=colour, ms=7, alpha=0.8)
            low, high = summary.student.low, summary.student.high
            if low is not None and high is not None:
                axis.plot([low, high], [place, place], color=colour, lw=2)
            axis.plot(summary.student.value, place, MARKERS[place % len(MARKERS)], color=colour, ms=7)
            axis.plot(summary.iqm.value, place, "|", color=INK, ms=12, mew=1.5)
        axis.set_title(metric, fontsize=9)
        axis.set_ylim(len(labels) - 0.5, -0.5)
        axis.set_yticks(range(len(labels)), labels, fontsize=8)
    figure.suptitle(
        "mean (marker) with Student's 95 % interval, IQM (dark bar), runs (ticks)", fontsize=9, x=0.02, ha="left"
    )
    save(figure, path)
    return True


def _profiles(found: Findings, path: Path) -> bool:
    """A panel a metric: the share of runs above each score."""
    metrics = list(dict.fromkeys(summary.metric for summary in found.summaries))
    if not metrics:
        return False
    figure, axes = _panels(len(metrics), 3.2, 2.8)
    for axis, metric in zip(axes, metrics, strict=False):
        tasks = _common(found, metric)
        scores = [blocks(arm, metric, tasks) for arm in found.arms]
        every = np.concatenate([np.concatenate(each) for each in scores])
        margin = 0.05 * (np.ptp(every) or 1.0)
        thresholds = np.linspace(every.min() - margin, every.max() + margin, 400)
        for place, (arm, each) in enumerate(zip(found.arms, scores, strict=True)):
            dashes = ("-", "--", "-.", ":")[place % 4]
            axis.plot(
                thresholds,
                profile(each, thresholds),
                dashes,
                color=COLOURS[place % len(COLOURS)],
                label=arm.label,
                lw=1.8,
            )
        axis.set_title(metric, fontsize=9)
        axis.set_ylim(-0.03, 1.03)
    axes[0].set_ylabel("share of runs above", fontsize=8)
    _legend(figure, axes)
    save(figure, path)
    return True


def _ranks(ranks: Ranks, labels: Sequence[str], path: Path) -> bool:
    """Demsar's diagram: arms on an axis of mean ranks; a bar joins those within the critical difference."""
    count = len(ranks.arms)
    joined = _joined(ranks)
    height = 1.5 + 0.32 * ((count + 1) // 2) + 0.14 * len(joined)
    figure, axis = plt.subplots(figsize=(8.5, height))
    axis.set_xlim(count + 0.15, 0.85)  # the best at the right
    axis.set_ylim(-1.2 - 0.45 * len(joined) - (count + 1) // 2, 1.3)
    axis.axis("off")
    axis.plot([1, count], [0, 0], color=INK, lw=1.2)
    for tick in range(1, count + 1):
        axis.plot([tick, tick], [0, 0.15], color=INK, lw=1)
        axis.text(tick, 0.25, str(tick), ha="center", va="bottom", fontsize=9)
    below = -0.35
    for low, high in joined:
        axis.plot([low - 0.04, high + 0.04], [below, below], color=INK, lw=4, solid_capstyle="round")
        below -= 0.45
    for place, (arm, rank) in enumerate(zip(ranks.arms, ranks.ranks, strict=True)):
        right = place < (count + 1) // 2
        level = below - 0.4 - (place if right else count - 1 - place)
        edge = 0.85 if right else count + 0.15
        axis.plot([rank, rank, edge], [0, level, level], color=COLOURS[labels.index(arm) % len(COLOURS)], lw=1.3)
        text = f" {arm}  {rank:.2f}" if right else f"{rank:.2f}  {arm} "
        axis.text(edge, level, text, ha="left" if right else "right", va="center", fontsize=9)
    title = f"mean ranks over {ranks.blocks} {ranks.block}{'s' if ranks.blocks > 1 else ''}, 1 is best"
    if ranks.difference is not None:
        fits = ranks.difference <= count - 1
        wider = "" if fits else ", wider than the axis"
        title += f"; critical difference {ranks.difference:.2f}{wider}; Friedman p = {ranks.p:.2g}"
        if fits:
            axis.plot([count, count - ranks.difference], [0.95, 0.95], color=INK, lw=2, marker="|", ms=8)
            axis.text(count - ranks.difference, 0.95, "  CD", ha="left", va="center", fontsize=9)
    axis.set_title(title, fontsize=9)
    save(figure, path)
    return True


def _joined(ranks: Ranks) -> list[tuple[float, float]]:
    """The largest spans of mean ranks shorter than the critical difference."""
    if ranks.difference is None:
        return []
    spans: list[tuple[float, float]] = []
    for low in ranks.ranks:
        high = max(rank for rank in ranks.ranks if rank - low < ranks.difference)
        if high > low and not any(high <= other for _, other in spans):
            spans.append((low, high))
    return spans


def _scatter(found: Findings, path: Path) -> bool:
    """Each other metric against the first, a point a run; Spearman's correlation of all runs."""
    if len(found.metrics) < 2:
        return False
    first, *others = found.metrics
    figure, axes = _panels(len(others), 2.8, 2.8)
    for axis, other in zip(axes, others, strict=False):
        xs: list[float] = []
        ys: list[float] = []
        for place, arm in enumerate(found.arms):
            both = [
                run.scores for runs in arm.runs.values() for run in runs.values() if {first, other} <= {*run.scores}
            ]
            x = [scale(first) * scores[first]["value"] for scores in both]
            y = [scale(other) * scores[other]["value"] for scores in both]
            marker = MARKERS[place % len(MARKERS)]
            axis.plot(x, y, marker, color=COLOURS[place % len(COLOURS)], ms=6, alpha=0.85, mew=0, label=arm.label)
            xs, ys = xs + x, ys + y
        varied = len(set(xs)) > 1 and len(set(ys)) > 1 and len(xs) > 2
        rho = f"  ρ = {stats.spearmanr(xs, ys).statistic:.2f}" if varied else ""
        axis.set_title(f"{other}{rho}", fontsize=9)
        axis.set_xlabel(first, fontsize=8)
    _legend(figure, axes)
    save(figure, path)
    return True


def _common(found: Findings, metric: str) -> list[Task]:
    """Tasks on which every arm has the metric, as the summaries have them."""
    every = dict.fromkeys(task for arm in found.arms for task in arm.runs)
    return [task for task in every if all(arm.scores(task, metric) for arm in found.arms)]


def _panels(count: int, width: float, height: float, share: bool = False) -> tuple[Figure, list[Axes]]:
    across = min(count, ACROSS)
    down = -(-count // across)
    figure, grid = plt.subplots(
        down, across, figsize=(width * across + 1.5, height * down), squeeze=False, sharey=share, layout="constrained"
    )
    axes = list(grid.ravel())
    for axis in axes[:count]:
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    columns = max(1, min(len(labels), 120 // max(map(len, labels))))
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=8)
