"""Variational autoencoders: each term against its closed form or against numerical integration."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Laplace, Normal, kl_divergence

from unmix.baselines.ada_gvae import mean_of_moments, product, seem_shared, shared
from unmix.baselines.slow_vae import laplace_cross_entropy, slowness
from unmix.baselines.vae import Posterior, Vae, kl_to_normal, reconstruction
from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer
from unmix.types import DeclinedError

IMAGES = {"name": "dsprites_procedural"}


def posterior(n: int = 6, d: int = 3, seed: int = 0) -> Posterior:
    generator = derived_generator(seed, "posterior")
    return Posterior(torch.randn(n, d, generator=generator), torch.randn(n, d, generator=generator))


def normal(given: Posterior) -> Normal:
    return Normal(given.mean, given.std)


def test_kl_is_that_of_the_distributions() -> None:
    given = posterior()
    torch.testing.assert_close(kl_to_normal(given), kl_divergence(normal(given), Normal(0.0, 1.0)))


def test_reconstruction_is_the_bernoulli_likelihood_of_an_image() -> None:
    generator = derived_generator(0, "images")
    logits = torch.randn(5, 3, 8, 8, generator=generator)
    images = (torch.rand(5, 3, 8, 8, generator=generator) > 0.5).to(torch.uint8)
    likelihood = Independent(Bernoulli(logits=logits), 3).log_prob(images.float())
    torch.testing.assert_close(reconstruction(logits, 255 * images), -likelihood.mean())


def test_draws_have_the_posteriors_moments() -> None:
    given = Posterior(torch.full((100_000, 1), 2.0), torch.full((100_000, 1), math.log(0.25)))
    draws = given.sample(derived_generator(0, "draws"))
    assert draws.mean().item() == pytest.approx(2.0, abs=0.01)
    assert draws.std().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("difference", [0.0, 0.3, -2.0])
@pytest.mark.parametrize("std", [0.05, 1.0])
@pytest.mark.parametrize("rate", [1.0, 6.0])
def test_laplace_cross_entropy_is_the_integral(difference: float, std: float, rate: float) -> None:
    q, p = Normal(difference, std), Laplace(0.0, 1 / rate)

    def integrand(z: float) -> float:
        at = torch.tensor(z, dtype=torch.float64)
        return float(-q.log_prob(at).exp() * p.log_prob(at))

    ends = difference - 12 * std, difference + 12 * std
    inside = [0.0] if ends[0] < 0 < ends[1] else None
    expected, _ = quad(integrand, *ends, points=inside, epsabs=1e-10, limit=200)
    given = laplace_cross_entropy(torch.tensor([[difference]]), torch.tensor([[std]]), rate)
    assert given.item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_slowness_adds_both_directions_and_takes_the_entropy_once() -> None:
    """The terms as SlowVAE's released code weighs them, from 200,000 draws of q."""
    given = posterior(2, 1)
    q, rate = normal(given), 3.0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = q.sample((200_000,))
    there = -Laplace(given.mean[1], 1 / rate).log_prob(draws[:, 0]).mean()
    back = -Laplace(given.mean[0], 1 / rate).log_prob(draws[:, 1]).mean()
    expected = there + back - q.entropy().mean()
    assert slowness(given, rate).item() == pytest.approx(expected.item(), abs=0.02)


def losses(method: dict[str, Any], steps: int = 3) -> tuple[Vae, Trainer]:
    """Train for a few steps: the module and the log of each."""
    trainer = Trainer(points=steps)
    recipe = {"steps": steps, "batch": 8, "optimiser": "adam", "lr": 1e-3, "warmup": 0, "clip": 0.0}
    made = make_method({**method, "recipe": {**recipe, "schedule": "constant"}})
    vae = made.fit(make_dataset(IMAGES, 0), derived_generator(0, "training"), trainer)
    assert isinstance(vae, Vae)
    return vae, trainer


def test_slow_vae_without_slowness_is_half_the_released_codes_beta() -> None:
    """SlowVAE's code: 2 reconstruction + beta KL. Its beta-VAE of beta 8 is twice ours of beta 4 on the same draws."""
    _, slow = losses({"name": "slow_vae", "beta": 4.0, "gamma": 0.0})
    for point in slow.curve:
        theirs = 2 * point.terms["reconstruction"] + 8 * point.terms["kl"]
        assert 2 * point.loss == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(
    ("method", "total"),
    [
        ({"name": "beta_vae", "beta": 3.0}, lambda t: t["reconstruction"] + 3 * t["kl"]),
        ({"name": "slow_vae"}, lambda t: t["reconstruction"] + 0.5 * t["kl"] + 5 * t["slowness"]),
        ({"name": "ada_gvae", "beta": 2.0}, lambda t: t["reconstruction"] + 2 * t["kl"]),
        ({"name": "ada_ml_vae"}, lambda t: t["reconstruction"] + t["kl"]),
    ],
)
def test_loss_is_the_sum_of_its_logged_terms(method: dict[str, Any], total: Any) -> None:
    _, trainer = losses(method)
    for point in trainer.curve:
        assert point.loss == pytest.approx(total(point.terms), rel=1e-5)


def test_annealed_capacity_grows_with_the_steps() -> None:
    method = make_method({"name": "annealed_vae", "capacity": 30.0, "ramp": 0.5, "recipe": {"steps": 100}})
    capacities = [method.capacity_at(step) for step in (0, 25, 50, 99)]  # type: ignore[attr-defined]
    assert capacities == [0.0, 15.0, 30.0, 30.0]
    _, trainer = losses({"name": "annealed_vae", "capacity": 30.0, "ramp": 1.0, "gamma": 10.0})
    for step, point in enumerate(trainer.curve):
        missed = abs(point.terms["kl"] - 10.0 * step)
        assert point.loss == pytest.approx(point.terms["reconstruction"] + 10 * missed, rel=1e-5)


def test_shared_codes_are_those_that_differ_less_than_the_middle() -> None:
    anchor = Posterior(torch.tensor([[0.0, 0.0, 0.0]]), torch.zeros(1, 3))
    positive = Posterior(torch.tensor([[0.1, 1.0, 3.0]]), torch.zeros(1, 3))
    kl = kl_divergence(normal(anchor), normal(positive))
    threshold = (kl.min() + kl.max()) / 2
    assert seem_shared(anchor, positive).tolist() == (kl < threshold).tolist() == [[True, True, False]]


@pytest.mark.parametrize("average", [mean_of_moments, product])
def test_shared_codes_are_averaged_and_the_others_kept(average: Any) -> None:
    given = posterior(8, 4)
    anchor, positive = (Posterior(*(part[half] for part in given)) for half in (slice(4), slice(4, 8)))
    result, alike = shared(given, average), seem_shared(anchor, positive)
    assert alike.any()
    assert not alike.all()
    for ours, own, mean in zip(result, given, average(anchor, positive), strict=True):
        for half in (slice(4), slice(4, 8)):
            assert torch.equal(ours[half][alike], mean[alike])
            assert torch.equal(ours[half][~alike], own[half][~alike])


def test_averages_are_the_papers() -> None:
    first, second = posterior(5, 2, 0), posterior(5, 2, 1)
    one, two = first.std.square(), second.std.square()
    moments = mean_of_moments(first, second)
    torch.testing.assert_close(moments.mean, (first.mean + second.mean) / 2)
    torch.testing.assert_close(moments.std.square(), (one + two) / 2)
    multiplied = product(first, second)
    grid = torch.linspace(-9, 9, 4001)[:, None, None]
    density = (normal(first).log_prob(grid) + normal(second).log_prob(grid)).exp()
    density = density / density.sum(0)
    mean = (grid * density).sum(0)
    torch.testing.assert_close(multiplied.mean, mean, atol=1e-4, rtol=1e-4)
    variance = ((grid - mean).square() * density).sum(0)
    torch.testing.assert_close(multiplied.std.square(), 2 * variance, atol=1e-4, rtol=1e-3)


def test_decoded_codes_are_images() -> None:
    vae, _ = losses({"name": "beta_vae"}, 1)
    images: Tensor = vae.decode(torch.randn(4, 10, generator=derived_generator(0, "codes")))
    assert images.shape == (4, 1, 64, 64)
    assert images.min() >= 0
    assert images.max() <= 1
    observations, _ = make_dataset(IMAGES, 0).sample(4, derived_generator(0, "test"))
    assert torch.equal(vae(observations), vae.posterior(observations).mean)


@pytest.mark.parametrize("name", ["beta_vae", "annealed_vae", "slow_vae", "ada_gvae", "factor_vae", "dip_vae_ii"])
def test_vectors_are_declined(name: str) -> None:
    vectors = make_dataset({"name": "synthetic", "n": 3, "pool": 100}, 0)
    with pytest.raises(DeclinedError, match=r"no convolutional decoder for observations of shape \(3,\)"):
        make_method({"name": name}).fit(vectors, derived_generator(0, "training"), Trainer())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("beta_vae", {"beta": -1.0}),
        ("beta_vae", {"d": 0}),
        ("annealed_vae", {"ramp": 0.0}),
        ("annealed_vae", {"capacity": -1.0}),
        ("slow_vae", {"rate": 0.0}),
        ("ada_gvae", {"beta": -1.0}),
    ],
)
def test_options_out_of_range_are_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_method({"name": name, **wrong})
