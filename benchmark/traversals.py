"""Latent traversals: what changes in an image while one code moves over its range and the others stay.

Where there is a decoder, it draws the images. Where there is none, real images are looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from unmix.types import Dataset, DeclinedError

COLUMNS = 10
ROWS = 20
ENDS = (0.02, 0.98)
NEAR = 50

DECODED = (
    "One code moves in equal steps from its 2 % to its 98 % quantile, the others stay as they are in one sample, and "
    "the decoder draws what the codes say."
)
NEAREST = (
    "No decoder: real images. One code is wanted at equal steps from its 2 % to its 98 % quantile. Of the 2 % of the "
    "evaluation samples in which it is nearest to that, the one is shown whose other live codes differ least from the "
    "start's, in standard deviations."
)
START = "The start is the sample whose live codes are nearest to their medians, in standard deviations."

Codes = Float[np.ndarray, "n d"]


class Row(NamedTuple):
    """One code moved from `low` to `high`, and what is seen."""

    code: int
    variance: float
    dead: bool
    low: float
    high: float
    images: UInt8[Tensor, "columns channels height width"]


class Traversal(NamedTuple):
    """The start, rows in the order of their codes' variance with dead codes last, and how they were made."""

    rule: str
    start: UInt8[Tensor, "1 channels height width"]
    rows: list[Row]
    left_out: int


def ranked(codes: Codes, dead: Bool[np.ndarray, " d"]) -> list[int]:
    """Codes by falling variance, the dead ones last."""
    variance = codes.var(axis=0)
    return sorted(range(codes.shape[1]), key=lambda code: (bool(dead[code]), -float(variance[code])))


def typical(codes: Codes, dead: Bool[np.ndarray, " d"]) -> int:
    """Number of the sample that is nearest to the medians of the live codes, in standard deviations."""
    return int(_squares(codes, np.median(codes, axis=0), dead).sum(axis=1, dtype=float).argmin())


def targets(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " columns"]:
    """Equal steps between the quantiles `ENDS` of a code, each moved to the nearest value that a sample has.

    So a code that takes few values is never asked for another one.

    >>> targets(np.repeat([0.0, 1.0], 50)).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    low, high = np.quantile(values, ENDS)
    wanted = np.linspace(low, high, COLUMNS)
    found: np.ndarray = np.array([values[np.abs(values - target).argmin()] for target in wanted])
    return found


def nearest(codes: Codes, code: int, start: int, dead: Bool[np.ndarray, " d"]) -> Int[np.ndarray, " columns"]:
    """Numbers of the samples that stand for a code at its targets.

    Of the n / 50 samples (8 at least, and all that tie) whose code is nearest to the target, the one whose other live
    codes are nearest to the start's: sum over them of ((c_j - start_j) / std_j)^2.
    """
    squares = _squares(codes, codes[start], dead)
    others = squares.sum(axis=1, dtype=float) - squares[:, code]
    values, count = codes[:, code], min(len(codes), max(8, len(codes) // NEAR))
    found = []
    for target in targets(values):
        gap = np.abs(values - target)
        close = np.flatnonzero(gap <= np.partition(gap, count - 1)[count - 1])
        found.append(close[others[close].argmin()])
    return np.array(found)


def _squares(codes: Codes, centre: Float[np.ndarray, " d"], dead: Bool[np.ndarray, " d"]) -> Codes:
    """Squared distances to a centre, in variances; 0 for dead codes, whose scale means nothing."""
    weights = np.where(dead, 0.0, 1 / np.where(dead, 1.0, codes.var(axis=0)))
    squares: np.ndarray = (codes - centre) ** 2 * weights
    return squares


def decoded(
    decode: Callable[[Tensor], Tensor], codes: Codes, dead: Bool[np.ndarray, " d"], shape: tuple[int, ...]
) -> Traversal:
    """Images of a decoder.

    Args:
        decode: Codes (n, d) -> images in [0, 1].
        codes: Of many samples.
        dead: Which codes do not vary.
        shape: Of an image.

    Raises:
        DeclinedError: The decoder returns no such images.
    """
    start, chosen = typical(codes, dead), ranked(codes, dead)[:ROWS]
    moved = np.repeat(codes[start][None], len(chosen) * COLUMNS + 1, axis=0)
    for row, code in enumerate(chosen):
        moved[row * COLUMNS :, code][:COLUMNS] = targets(codes[:, code])
    with torch.no_grad():
        images = decode(torch.from_numpy(moved)).cpu()
    if tuple(images.shape[1:]) != shape:
        raise DeclinedError(f"the decoder returns {tuple(images.shape[1:])} for images of shape {shape}")
    pixels = (images * 255).round().clamp(0, 255).to(torch.uint8)
    return _traversal(DECODED, pixels, codes, dead, chosen)


def found(images: Callable[[np.ndarray], Tensor], codes: Codes, dead: Bool[np.ndarray, " d"]) -> Traversal:
    """Real images: `images` returns those of the samples with these numbers."""
    start, chosen = typical(codes, dead), ranked(codes, dead)[:ROWS]
    index = np.concatenate([*(nearest(codes, code, start, dead) for code in chosen), [start]])
    return _traversal(NEAREST, images(index).cpu(), codes, dead, chosen)


def _traversal(rule: str, images: Tensor, codes: Codes, dead: np.ndarray, chosen: list[int]) -> Traversal:
    rows = []
    for code, row in zip(chosen, torch.split(images[:-1], COLUMNS), strict=True):
        values = codes[:, code]
        low, high = (float(end) for end in np.quantile(values, ENDS))
        rows.append(Row(code, float(values.var()), bool(dead[code]), low, high, row))
    return Traversal(f"{rule} {START}", images[-1:], rows, codes.shape[1] - len(chosen))


def sample_images(dataset: Dataset, factors: Float[np.ndarray, "n k"], generator: torch.Generator) -> Any:
    """A function from numbers of samples to their images, for samples that a run drew with such a generator.

    A dataset that has an image for any factors (`observe`) draws only what is asked for; the others draw all again.

    Raises:
        DeclinedError: At the call, when other factors are drawn here, as on another device.
    """

    def images(index: Int[np.ndarray, " m"]) -> Tensor:
        if hasattr(dataset, "observe"):
            observed: Tensor = dataset.observe(torch.from_numpy(factors[index]))
            return observed
        observations, again = dataset.sample(len(factors), generator)
        if not np.array_equal(again.float().cpu().numpy(), factors):
            raise DeclinedError("the run's evaluation samples cannot be drawn again here: its device or data differ")
        return observations[torch.from_numpy(index)]

    return images
