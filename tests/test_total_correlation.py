"""Total correlation and covariance penalties: on Gaussians, where they are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unmix.baselines.beta_tcvae import decomposed, log_weights
from unmix.baselines.dip_vae import covariance_of_codes, covariance_of_means, distance_to_identity
from unmix.baselines.factor_vae import discrimination, permuted, total_correlation
from unmix.baselines.mlp import Mlp
from unmix.baselines.networks import initialised
from unmix.baselines.vae import Posterior, kl_to_normal
from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer

COVARIANCE = torch.tensor([[1.0, 0.7, 0.0], [0.7, 1.5, -0.4], [0.0, -0.4, 0.8]])
KNOWN = 0.5 * (COVARIANCE.diagonal().log().sum() - torch.logdet(COVARIANCE)).item()


def gaussian(n: int, covariance: Tensor = COVARIANCE) -> Tensor:
    noise = torch.randn(n, len(covariance), generator=derived_generator(0, "gaussian"))
    return noise @ torch.linalg.cholesky(covariance).T


def aggregated(n: int, std: float) -> Posterior:
    """Posteriors of n images whose mixture is N(0, COVARIANCE)."""
    means = gaussian(n, COVARIANCE - std**2 * torch.eye(3))
    return Posterior(means, torch.full_like(means, 2 * math.log(std)))


@pytest.mark.parametrize(
    "covariance", [COVARIANCE, torch.diag(COVARIANCE.diagonal())], ids=["correlated", "independent"]
)
def test_the_discriminator_knows_the_total_correlation(covariance: Tensor) -> None:
    known = 0.5 * (covariance.diagonal().log().sum() - torch.logdet(covariance)).item()
    codes, generator = gaussian(20_000, covariance), derived_generator(0, "permutation")
    discriminator = initialised(lambda: Mlp([3, 64, 64, 1], slope=0.2), derived_generator(0, "discriminator"))
    optimiser = torch.optim.Adam(discriminator.parameters(), lr=3e-3)
    for _ in range(300):
        rows = torch.randint(len(codes), (2, 1000), generator=generator)
        optimiser.zero_grad()
        discrimination(discriminator, codes[rows[0]], permuted(codes[rows[1]], generator)).backward()
        optimiser.step()
    assert total_correlation(discriminator, codes).item() == pytest.approx(known, abs=0.06)
    assert (known == 0) == (covariance is not COVARIANCE)


def test_its_gradient_reaches_the_codes_and_not_the_discriminator() -> None:
    discriminator = nn.Linear(3, 1)
    codes = gaussian(8).requires_grad_()
    total_correlation(discriminator, codes).backward()
    assert codes.grad is not None
    torch.testing.assert_close(codes.grad, discriminator.weight.detach().expand(8, 3) / 8)
    assert discriminator.weight.grad is None


def test_discrimination_is_the_cross_entropy() -> None:
    discriminator = nn.Linear(3, 1)
    real, fake = gaussian(8), gaussian(5) + 1
    share = torch.sigmoid(discriminator(torch.cat([real, fake])))[:, 0]
    expected = -(share[:8].log().mean() + (1 - share[8:]).log().mean()) / 2
    torch.testing.assert_close(discrimination(discriminator, real, fake), expected)


def test_permuted_codes_keep_their_marginals_and_lose_their_correlation() -> None:
    codes = gaussian(20_000)
    moved = permuted(codes, derived_generator(0, "permutation"))
    assert torch.equal(moved.sort(dim=0).values, codes.sort(dim=0).values)
    correlation = torch.corrcoef(moved.T) - torch.eye(3)
    assert correlation.abs().max() < 0.03


@pytest.mark.parametrize("images", [2000.0, math.inf])
def test_stratified_sampling_knows_the_parts_of_the_kl(images: float) -> None:
    """q(z) = N(0, C) and q(z|x) = N(., s^2 I): all three parts are closed forms."""
    std = 0.5
    posterior = aggregated(2000, std)
    codes = posterior.sample(derived_generator(0, "codes"))
    parts = decomposed(codes, posterior, log_weights(2000, images, "stratified"))
    information = 0.5 * (torch.logdet(COVARIANCE) - 3 * math.log(std**2)).item()
    variances = COVARIANCE.diagonal()
    own = 0.5 * (variances - variances.log() - 1).sum().item()
    assert parts.tc.item() == pytest.approx(KNOWN, abs=0.06)
    assert parts.information.item() == pytest.approx(information, abs=0.06)
    assert parts.own.item() == pytest.approx(own, abs=0.06)


def test_weighted_sampling_is_a_constant_away() -> None:
    """With all images in the batch, q(z) is the mixture itself but for the factor 1 / N."""
    posterior = aggregated(2000, 0.5)
    codes = posterior.sample(derived_generator(0, "codes"))
    parts = decomposed(codes, posterior, log_weights(2000, 2000.0, "weighted"))
    assert parts.tc.item() - 2 * math.log(2000) == pytest.approx(KNOWN, abs=0.06)


@pytest.mark.parametrize("sampling", ["weighted", "stratified"])
def test_the_parts_add_up_to_the_kl(sampling: Any) -> None:
    posterior = aggregated(50_000, 0.5)
    small = Posterior(posterior.mean[:64], posterior.logvar[:64])
    draws = [small.sample(derived_generator(seed, "codes")) for seed in range(200)]
    sums = [sum(decomposed(codes, small, log_weights(64, 1e5, sampling))) for codes in draws]
    kl = kl_to_normal(small).sum(1).mean().item()
    assert torch.stack(sums).mean().item() == pytest.approx(kl, abs=0.05)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [2, 3, 64])
@pytest.mark.parametrize("images", [64.0, 737_280.0, math.inf])
def test_stratified_weights_of_a_row_add_up_to_one(batch: int, images: float) -> None:
    weights = log_weights(batch, images, "stratified").exp()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(batch))
    torch.testing.assert_close(weights.diagonal(), torch.full((batch,), 1 / images))


def test_stratified_sampling_is_unbiased() -> None:
    """The mean of exp(log q(z)) over batches that hold image 0 is q(z) of all N = 6 images."""
    density = torch.rand(6, generator=derived_generator(0, "density"))
    estimates = []
    generator = derived_generator(0, "batches")
    for _ in range(20_000):
        others = 1 + torch.randperm(5, generator=generator)[:2]
        batch = torch.cat([torch.zeros(1, dtype=torch.int64), others])
        estimates.append((log_weights(3, 6.0, "stratified").exp()[0] * density[batch]).sum())
    assert torch.stack(estimates).mean().item() == pytest.approx(density.mean().item(), abs=0.01)


def test_covariances_are_those_of_the_draws() -> None:
    posterior = aggregated(100_000, 0.5)
    torch.testing.assert_close(covariance_of_means(posterior), COVARIANCE - 0.25 * torch.eye(3), atol=0.02, rtol=0)
    draws = posterior.sample(derived_generator(0, "codes"))
    torch.testing.assert_close(covariance_of_codes(posterior), torch.cov(draws.T), atol=0.02, rtol=0)
    wide = Posterior(posterior.mean[:500], posterior.mean[:500])
    expected = covariance_of_means(wide) + torch.diag(wide.std.square().mean(0))
    torch.testing.assert_close(covariance_of_codes(wide), expected)


def test_distance_to_the_identity_is_taken_apart() -> None:
    off_diagonal, diagonal = distance_to_identity(COVARIANCE)
    assert off_diagonal.item() == pytest.approx(2 * (0.49 + 0.16), rel=1e-5)
    assert diagonal.item() == pytest.approx(0.25 + 0.04, rel=1e-5)


def test_covariance_of_one_code_is_a_matrix() -> None:
    assert covariance_of_means(Posterior(gaussian(9)[:, :1], gaussian(9)[:, :1])).shape == (1, 1)


@pytest.mark.parametrize(
    ("method", "total"),
    [
        ({"name": "factor_vae", "gamma": 5.0, "width": 20}, lambda t: 5 * t["tc"] + t["discriminator"] + t["kl"]),
        ({"name": "beta_tcvae"}, lambda t: t["information"] + 6 * t["tc"] + t["own"]),
        ({"name": "dip_vae_i"}, lambda t: t["kl"] + 10 * t["off_diagonal"] + 100 * t["diagonal"]),
        ({"name": "dip_vae_ii"}, lambda t: t["kl"] + 10 * t["off_diagonal"] + 10 * t["diagonal"]),
    ],
)
def test_loss_is_the_sum_of_its_logged_terms(method: dict[str, Any], total: Any) -> None:
    trainer = Trainer(points=3)
    made = make_method({**method, "recipe": {"steps": 3, "batch": 8}})
    made.fit(make_dataset({"name": "dsprites_procedural"}, 0), derived_generator(0, "training"), trainer)
    for point in trainer.curve:
        assert point.loss == pytest.approx(point.terms["reconstruction"] + total(point.terms), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "wrong", "reason"),
    [
        ("factor_vae", {"gamma": -1.0}, "gamma"),
        ("factor_vae", {"depth": 0}, "depth"),
        ("beta_tcvae", {"alpha": -1.0}, "alpha"),
        ("beta_tcvae", {"recipe": {"batch": 1}}, "batch is 1"),
        ("dip_vae_i", {"lambda_od": -1.0}, "lambda_od"),
        ("dip_vae_ii", {"d": 0}, "d is 0"),
    ],
)
def test_options_out_of_range_are_refused(name: str, wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_method({"name": name, **wrong})
