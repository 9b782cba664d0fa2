"""Factors that move as those of objects in videos do: small steps mostly, now and then a large one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmix.datasets.distributions import GeneralizedNormal
from unmix.factors import Factor
from unmix.types import Pair


@dataclass(frozen=True)
class Motion:
    """Independent factors in a box, each with steps from frame to frame of its own generalised normal law.

    A step beyond an end of the range is reflected there. So the uniform distribution is stationary: both frames of
    a pair are uniform in the box, whatever the steps, and p(z'|z) = p(z|z').

    Args:
        low, high: Ends of each factor's range.
        steps: Of each factor's change in a frame.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    steps: tuple[GeneralizedNormal, ...]

    def sample(self, n: int, generator: torch.Generator) -> Float[Tensor, "n k"]:
        """Draw factors of single frames, uniformly in the box; float64."""
        draws = torch.rand((n, len(self.low)), generator=generator, device=generator.device, dtype=torch.float64)
        low, high = self._ends(draws)
        return low + (high - low) * draws

    def pairs(self, n: int, most: int, generator: torch.Generator) -> Pair:
        """Draw factors of frames t and t + U{1..most} of one sequence each; float64, (n, k)."""
        anchor = self.sample(n, generator)
        frames = torch.randint(1, most + 1, (n,), generator=generator, device=generator.device)
        return Pair(anchor, self.after(anchor, frames, generator))

    def after(
        self, anchor: Float[Tensor, "n k"], frames: Int[Tensor, " n"], generator: torch.Generator
    ) -> Float[Tensor, "n k"]:
        """Where the factors are as many frames later."""
        most = int(frames.max()) if len(frames) else 0
        passed = torch.arange(most, device=frames.device) < frames[:, None]
        moved = [(step.noise(passed.shape, generator) * passed).sum(dim=1) for step in self.steps]
        return self._reflected(anchor + torch.stack(moved, dim=1))

    def _reflected(self, factors: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        low, high = self._ends(factors)
        width = high - low
        return high - ((factors - low) % (2 * width) - width).abs()

    def _ends(self, like: Float[Tensor, "n k"]) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
        low, high = (torch.tensor(ends, dtype=like.dtype, device=like.device) for ends in (self.low, self.high))
        return low, high


def check_ranges(factors: tuple[Factor, ...], values: Float[Tensor, "n k"] | Int[Tensor, "n k"]) -> None:
    """Raise ValueError, which names the factor, where a value is no level of it or outside of its range."""
    for factor, column in zip(factors, values.T, strict=True):
        if factor.size is not None:
            wrong = (column != column.long()) | (column < 0) | (column >= factor.size)
            allowed = f"has levels 0 to {factor.size - 1}"
        else:
            low, high = factor.range or (-math.inf, math.inf)
            # float32's rounding of an end is still the end.
            wrong = ~((column >= low - 1e-5 * abs(low)) & (column <= high + 1e-5 * abs(high)))
            allowed = f"is between {low:g} and {high:g}"
        if len(found := column[wrong]):
            raise ValueError(f"factor {factor.name} {allowed}, got {found[0].item():g}")
