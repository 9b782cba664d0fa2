"""Nonstationary: the law of each segment, and that what is observed is the mixed latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from unmix.datasets.nonstationary import Nonstationary
from unmix.registry import UnknownNameError
from unmix.seeds import derived_generator
from unmix.types import DeclinedError

SMALL: dict[str, Any] = {"n": 3, "segments": 4, "pool": 100}


@pytest.mark.parametrize("innovations", ["laplace", "normal"])
def test_each_segment_has_its_law(innovations: str) -> None:
    dataset = Nonstationary(innovations=innovations, shift=2.0, **SMALL)  # type: ignore[arg-type]
    _, latents = dataset.sample(40_000, derived_generator(0, "t"))
    _, segment = dataset.sample_auxiliary(40_000, derived_generator(0, "t"))
    means, stds = dataset.modulation
    law = stats.laplace(scale=0.5**0.5) if innovations == "laplace" else stats.norm()
    assert law.std() == pytest.approx(1)
    for u in range(4):
        standard = ((latents[segment == u] - means[u]) / stds[u]).numpy()
        for column in standard.T:
            assert stats.kstest(column, law.cdf).pvalue > 1e-5
    assert np.bincount(segment.numpy()).min() > 9_000


def test_modulation_is_in_range_and_follows_the_seed() -> None:
    dataset = Nonstationary(n=10, segments=200, low=0.5, high=3.0, shift=1.5, pool=100)
    means, stds = dataset.modulation
    assert 0.5 <= stds.min() < 0.52
    assert 2.98 < stds.max() <= 3
    assert -1.5 <= means.min() < -1.48
    assert torch.equal(stds, Nonstationary(n=10, segments=200, shift=9.0, pool=50).modulation[1])
    assert not torch.equal(stds, Nonstationary(n=10, segments=200, seed=1).modulation[1])


def test_observations_are_the_mixed_latents() -> None:
    dataset = Nonstationary(**SMALL)
    observations, latents = dataset.sample(50, derived_generator(0, "t"))
    recovered = dataset.mixing_function.inverse(observations.double())
    torch.testing.assert_close(recovered, latents.double(), atol=1e-4, rtol=1e-4)
    again, _ = dataset.sample_auxiliary(50, derived_generator(0, "t"))
    assert torch.equal(again, observations)


def test_pairs_are_declined_with_a_remedy() -> None:
    with pytest.raises(DeclinedError, match="tcl, ivae"):
        Nonstationary(**SMALL).sample_pairs(5, derived_generator(0, "t"))


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"segments": 1}, {"low": 0.0}, {"low": 4.0}, {"shift": -1.0}, {"n": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Nonstationary(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="leaky_relu"):
        Nonstationary(activation="leaky_rel")
