"""VAEs on images that one of them is known to solve: minutes, run by `pytest -m slow`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from unmix.datasets.grid import OnGrid
from unmix.evaluation import codes_and_factors
from unmix.factors import Factor
from unmix.metrics import mcc
from unmix.run import make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer

RECIPE = {"steps": 800, "batch": 8, "lr": 2e-3}


@dataclass(frozen=True)
class Squares(OnGrid):
    """A white square of 16x16 at one of 16 x 16 places."""

    transitions: str = "lap"

    @property
    def factors(self) -> tuple[Factor, ...]:
        return (Factor("x", "ordinal", 16), Factor("y", "ordinal", 16))

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, 64, 64)

    def images(self, levels: Int[Tensor, "n k"]) -> UInt8[Tensor, "n 1 64 64"]:
        start = 3 * levels[:, :, None]
        inside = (torch.arange(64) >= start) & (torch.arange(64) < start + 16)  # (n, factor, pixel)
        return 255 * (inside[:, 1, :, None] & inside[:, 0, None, :])[:, None].to(torch.uint8)


def matched(method: dict[str, Any], transitions: str) -> float:
    """MCC (Spearman) of fresh images."""
    dataset = Squares(transitions)
    made = make_method({"d": 3, **method, "recipe": RECIPE})
    encoder = made.fit(dataset, derived_generator(0, "training"), Trainer(points=1))
    codes, factors = codes_and_factors(encoder, dataset, 2000, derived_generator(0, "evaluation"))
    return mcc(factors, codes, correlation="spearman")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "transitions"),
    [
        ({"name": "slow_vae"}, "lap"),
        ({"name": "ada_gvae"}, "changes(k=1)"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_pairs_identify_the_factors_up_to_permutation(method: dict[str, Any], transitions: str) -> None:
    """Klindt et al. 2021, theorem 1; Locatello et al. 2020, theorem 1."""
    assert matched(method, transitions) > 0.95
