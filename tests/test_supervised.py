"""The supervised ceiling: what it learns does not depend on the units of the factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unmix.datasets.synthetic import Synthetic
from unmix.evaluation import codes_and_factors
from unmix.metrics import mcc
from unmix.run import make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer


@dataclass(frozen=True)
class Scaled(Synthetic):
    """Latents of which the first is multiplied by `unit`."""

    unit: float = 1.0

    def sample(self, n: int, generator: torch.Generator) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        observations, factors = super().sample(n, generator)
        scale = torch.ones(self.n)
        scale[0] = self.unit
        return observations, factors * scale


def trained(unit: float) -> tuple[Float[np.ndarray, "b k"], Float[np.ndarray, "b k"]]:
    """Codes and factors of fresh observations."""
    dataset = Scaled(n=3, pool=100, unit=unit)
    method = make_method({"name": "supervised", "recipe": {"steps": 60, "batch": 64, "warmup": 1}})
    encoder = method.fit(dataset, derived_generator(0, "training"), Trainer(points=1))
    return codes_and_factors(encoder, dataset, 1000, derived_generator(0, "evaluation"))


def test_a_factor_in_another_unit_gives_the_same_codes() -> None:
    """Bit for bit: a power of 2 leaves all rounding as it is."""
    codes, factors = trained(1.0)
    np.testing.assert_array_equal(trained(64.0)[0], codes)
    assert mcc(factors, codes) > 0.9


def test_a_constant_factor_is_left_undivided() -> None:
    codes, factors = trained(0.0)
    assert factors[:, 0].std() == 0
    assert np.isfinite(codes).all()
    assert mcc(factors[:, 1:], codes[:, 1:]) > 0.9
