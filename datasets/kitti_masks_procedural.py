"""A twin of KITTI Masks that needs no download: a pedestrian's outline that walks, nears and leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unmix.datasets.distributions import GeneralizedNormal
from unmix.datasets.motion import Motion, check_ranges
from unmix.datasets.polygons import coverage
from unmix.factors import Factor
from unmix.registry import DATASETS
from unmix.types import Pair

SIDE = 64
MOTION = Motion(
    low=(24.0, 12.0, 40.0),
    high=(40.0, 51.0, 400.0),
    steps=(GeneralizedNormal(0.694, 0.232), GeneralizedNormal(0.587, 0.169), GeneralizedNormal(0.455, 1.01)),
)
"""Of y, x and area, in pixels and a frame: steps as Klindt et al. 2021 fitted 82,506 transitions of KITTI Masks.

As printed by `data_analysis/data_analysis_both.ipynb` of their release. The excess kurtosis that it prints is 65, 39
and 69; these laws have 8, 13 and 31, or 8, 13 and 21 with steps reflected at the ends: above a Laplace's 3, below the
true transitions'.
"""
RANGES = tuple(zip(MOTION.low, MOTION.high, strict=True))
FACTORS = (
    Factor("y", "continuous", range=RANGES[0], unit="pixels from the top"),
    Factor("x", "continuous", range=RANGES[1], unit="pixels from the left"),
    Factor("area", "continuous", range=RANGES[2], unit="pixels"),
)
# The right half, from the top of the head to where the legs meet, of a person 1 high, y downwards.
HALF = (
    *((0.0, 0.0), (0.045, 0.008), (0.07, 0.05), (0.066, 0.11), (0.035, 0.145), (0.05, 0.165), (0.13, 0.19)),
    *((0.16, 0.25), (0.17, 0.45), (0.125, 0.5), (0.125, 0.75), (0.11, 1.0), (0.01, 1.0), (0.005, 0.77), (0.0, 0.52)),
)
KNEES, FEET = (10, 13), (11, 12)  # of the half
STRIDE, SPREAD = 11.0, 0.11  # pixels from one closing of the legs to the next; how far the feet part


@DATASETS.register("kitti_masks_procedural")
@dataclass(frozen=True)
class KittiMasksProcedural:
    """Masks of a walking pedestrian, frames t and t + U{1..max_delta_t} of one sequence a pair: a twin of KITTI Masks.

    The factors are uniform in their ranges and change from frame to frame by the generalised normal laws of density
    exp(-|step/scale|^beta) that Klindt et al. 2021 fitted to the pedestrians of KITTI: beta 0.69, 0.59 and 0.46 for
    y, x and area. They are the centre of mass and the area of the outline that is drawn, exactly; the legs open and
    close with x. A pixel is set when at least half of it is covered, so what a mask measures differs from its factors
    by what that rounds: on average 0.05 pixels of x, 0.12 of y and 1.4 % of the area. All of a person is in the image.

    Raises:
        ValueError: max_delta_t is below 1.

    Example:
        >>> dataset = KittiMasksProcedural()
        >>> masks, factors = dataset.sample(2, torch.Generator().manual_seed(0))
        >>> tuple(masks.shape), masks.dtype, tuple(factors.shape)
        ((2, 1, 64, 64), torch.uint8, (2, 3))
    """

    max_delta_t: int = field(default=5, metadata={"help": "the most frames between a pair; the paper has 1 and 5"})

    def __post_init__(self) -> None:
        if self.max_delta_t < 1:
            raise ValueError(f"max_delta_t is {self.max_delta_t}: it must be at least 1")

    @property
    def factors(self) -> tuple[Factor, ...]:
        return FACTORS

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)

    def observe(self, factors: Float[Tensor, "n 3"]) -> UInt8[Tensor, "n 1 64 64"]:
        """The masks of given factors, 0 and 255, on their device.

        Raises:
            ValueError: A factor is outside of its range; the message names it.
        """
        check_ranges(FACTORS, factors)
        y, x, area = factors.float().T
        # Factors count pixels from the middle of the first one, as centres of mass of arrays do.
        covered = coverage(_outline(x, area) + torch.stack([x, y], dim=1)[:, None] + 0.5, SIDE)
        return (covered >= 0.5).to(torch.uint8).mul_(255)[:, None]

    def sample(self, n: int, generator: torch.Generator) -> tuple[UInt8[Tensor, "n 1 64 64"], Float[Tensor, "n 3"]]:
        """Draw frames: masks of 0 and 255, and their factors."""
        factors = MOTION.sample(n, generator).float()
        return self.observe(factors), factors

    def factor_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """The factors behind `sample_pairs` for the same state of the generator."""
        return Pair(*(factors.float() for factors in MOTION.pairs(n, self.max_delta_t, generator)))

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        """Draw frames t and t + U{1..max_delta_t} of one sequence each, in one rendering."""
        masks = self.observe(torch.cat(self.factor_pairs(n, generator)))
        return Pair(masks[:n], masks[n:])


def _outline(x: Float[Tensor, " n"], area: Float[Tensor, " n"]) -> Float[Tensor, "n v 2"]:
    """Of each person, around the centre of mass and of the area that is asked."""
    half = torch.tensor(HALF, device=x.device).expand(len(x), -1, 2).clone()
    parted = SPREAD * (x * (math.pi / STRIDE)).sin().abs()
    half[:, FEET, 0] += parted[:, None]
    half[:, KNEES, 0] += parted[:, None] / 2
    mirrored = half[:, 1:-1].flip(1) * torch.tensor([-1.0, 1.0], device=x.device)
    outline = torch.cat([half, mirrored], dim=1)
    ahead = outline.roll(-1, dims=1)
    cross = outline[..., 0] * ahead[..., 1] - outline[..., 1] * ahead[..., 0]
    drawn = cross.sum(dim=1, keepdim=True) / 2
    centre = ((outline + ahead) * cross[..., None]).sum(dim=1) / (6 * drawn)
    return (outline - centre[:, None]) * (area[:, None] / drawn.abs()).sqrt()[..., None]
