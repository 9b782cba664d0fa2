"""iVAE: its KL against torch.distributions and sampling, and what it identifies."""

from __future__ import annotations

import statistics

import pytest
import torch
from torch.distributions import Laplace, Normal, kl_divergence

from unmix.baselines.ivae import ConditionalVae, Family
from unmix.baselines.vae import Posterior
from unmix.evaluation import codes_and_factors
from unmix.metrics import mcc
from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer
from unmix.types import DeclinedError

GENERATOR = torch.Generator().manual_seed(0)
SEGMENT = torch.tensor([0, 3, 1, 1])


def model(family: Family) -> ConditionalVae:
    made = ConditionalVae(torch.nn.Identity(), torch.nn.Identity(), torch.nn.Identity(), 4, 2, family).double()
    with torch.no_grad():
        made.prior.copy_(torch.randn(2, 4, 2, generator=GENERATOR) / made.rate)
    return made


def posterior() -> Posterior:
    mean, logvar = torch.randn(2, 4, 2, generator=GENERATOR, dtype=torch.float64)
    return Posterior(mean, logvar)


def test_kl_to_the_normal_prior_of_the_segment() -> None:
    made, q = model("normal"), posterior()
    mean, logscale = made.rate * made.prior[:, SEGMENT]
    expected = kl_divergence(Normal(q.mean, q.std), Normal(mean, logscale.exp()))
    torch.testing.assert_close(made.kl(q, SEGMENT), expected)


def test_kl_to_the_laplace_prior_of_the_segment() -> None:
    """By 200,000 samples."""
    made, q = model("laplace"), posterior()
    mean, logscale = made.rate * made.prior[:, SEGMENT]
    noise = torch.randn(200_000, 4, 2, generator=GENERATOR, dtype=torch.float64)
    codes = q.mean + q.std * noise
    ratios = Normal(q.mean, q.std).log_prob(codes) - Laplace(mean, logscale.exp()).log_prob(codes)
    error = ratios.std(0) / 200_000**0.5
    assert ((made.kl(q, SEGMENT) - ratios.mean(0)).abs() < 5 * error).all()


def test_only_the_priors_of_the_segments_seen_get_a_gradient() -> None:
    made = model("laplace")
    made.kl(posterior(), SEGMENT).sum().backward()
    assert made.prior.grad is not None
    seen = made.prior.grad.abs().sum((0, 2)) > 0
    assert seen.tolist() == [True, True, False, True]


def test_data_without_an_auxiliary_are_declined() -> None:
    dataset = make_dataset({"name": "synthetic", "n": 3, "pool": 100}, 0)
    with pytest.raises(DeclinedError, match="ivae needs an auxiliary variable"):
        make_method({"name": "ivae"}).fit(dataset, derived_generator(0, "training"), Trainer())


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"noise": 0.0}, {"rate": 0.0}, {"d": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make_method({"name": "ivae", **wrong})


@pytest.mark.slow
def test_means_and_scales_of_segments_identify_the_latents() -> None:
    """Khemakhem et al. 2020, theorem 1. Six mixings, because a run may end in a local optimum."""
    method = make_method({"name": "ivae", "family": "normal", "recipe": {"steps": 1500, "batch": 256}})
    found = []
    for seed in range(6):
        modulated = {"segments": 20, "innovations": "normal", "low": 0.3, "shift": 3.0}
        dataset = make_dataset({"name": "nonstationary", "n": 2, "layers": 2, "pool": 1000, **modulated}, seed)
        encoder = method.fit(dataset, derived_generator(seed, "training"), Trainer(points=1))
        codes, factors = codes_and_factors(encoder, dataset, 5000, derived_generator(seed, "evaluation"))
        found.append(mcc(factors, codes))
    assert statistics.median(found) > 0.95
