"""A picture of a dataset: random images, a row for each factor swept, a strip of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, UInt8
from matplotlib.figure import SubFigure
from torch import Tensor

from unmix.factors import Factor
from unmix.plots import INK, save, strip
from unmix.seeds import derived_generator
from unmix.types import Dataset, DeclinedError

COLUMNS = 10


def gallery(dataset: Dataset, name: str, path: Path, seed: int = 0) -> None:
    """Draw the picture and write it as PNG.

    A sweep moves one factor over its range and leaves the others as they are in one random sample. It needs a
    dataset that has an image for any factors (`observe`); the others show random images and pairs only.

    Args:
        dataset: Of images (channels, height, width), uint8.
        name: For the title.
        path: Of the file.
        seed: Of everything that is drawn.

    Raises:
        DeclinedError: When the observations are no images.
    """
    if len(dataset.shape) != 3:
        raise DeclinedError(f"{name} has observations of shape {dataset.shape}, not images: there is nothing to show")
    images, factors = dataset.sample(2 * COLUMNS, derived_generator(seed, "images"))
    varying = [factor for factor in dataset.factors if not factor.constant] if hasattr(dataset, "observe") else []
    pair = _pairs(dataset, seed)
    blocks = [2, len(varying), 0 if pair is None else 2]
    shown = sum(map(bool, blocks))
    figure = plt.figure(figsize=(COLUMNS + 1.0, sum(blocks) + 0.4 * shown + 0.3), layout="constrained")
    figure.suptitle(name, fontsize=12, color=INK)
    parts = figure.subfigures(shown, 1, height_ratios=[rows + 0.4 for rows in blocks if rows], squeeze=False)[:, 0]
    _rows(parts[0], "random images", [("", images[:COLUMNS]), ("", images[COLUMNS:])])
    if varying:
        rows = [(factor.name, _sweep(dataset, factor, factors[0])) for factor in varying]
        _rows(parts[1], "one factor over its range, the others as they are", rows)
    if pair is not None:
        _rows(parts[-1], "pairs", [("anchor", pair[0]), ("positive", pair[1])])
    save(figure, path)


def _pairs(dataset: Dataset, seed: int) -> Any:
    try:
        return dataset.sample_pairs(COLUMNS, derived_generator(seed, "pairs"))
    except DeclinedError:
        return None


def _sweep(dataset: Any, factor: Factor, start: Float[Tensor, " k"]) -> UInt8[Tensor, "n channels height width"]:
    """Images along a factor: all of its levels, or ten of them."""
    column = [each.name for each in dataset.factors].index(factor.name)
    if factor.size is not None:
        values = torch.linspace(0, factor.size - 1, min(COLUMNS, factor.size)).round()
    else:
        low, high = factor.range or (float(start[column]),) * 2
        values = torch.linspace(low, high, COLUMNS)
    rows = start.repeat(len(values), 1)
    rows[:, column] = values
    images: Tensor = dataset.observe(rows)
    return images


def _rows(part: SubFigure, title: str, rows: list[tuple[str, Tensor]]) -> None:
    part.suptitle(title, fontsize=9, color=INK, x=0.01, ha="left")
    for axis, (label, images) in zip(part.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        axis.imshow(strip(images, COLUMNS), interpolation="nearest")
        axis.set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)

