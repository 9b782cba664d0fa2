"""Latents are drawn from the distributions that they name, and what has no meaning is refused.

Every family of comparisons has one false-alarm rate, ERROR, split over its comparisons (Bonferroni), and its
power is shown: the same comparison rejects a scale that is 5 % off.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from unmix.datasets.distributions import Anisotropic, GeneralizedNormal, VonMisesFisher, gennorm, laplace, normal
from unmix.datasets.latents import Latents, Part
from unmix.datasets.spaces import Box, Sphere, Unbounded
from unmix.registry import UnknownNameError
from unmix.types import DeclinedError

ERROR = 1e-3
BETAS = (0.5, 1.0, 1.5, 2.0, 3.0, 20.0)
OFF = 1.05


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(space, marginal, conditional, count, n=None, seed=0):
    latents = Latents.parse(space, marginal, conditional, n)
    anchor, positive = latents.sample_pairs(count, generator(seed), torch.float64)
    return anchor.numpy(), positive.numpy()


# Unbounded space.


@pytest.mark.parametrize("beta", BETAS)
def test_marginal_on_unbounded_space_is_scipys(beta):
    latents = Latents.parse("unbounded", f"gennorm(beta={beta}, scale=0.7)", n=2)
    z = latents.sample(200_000, generator(1), torch.float64).numpy()
    level = ERROR / (len(BETAS) * 2)
    for column in z.T:
        assert stats.kstest(column, stats.gennorm(beta, scale=0.7).cdf).pvalue > level
    assert stats.kstest(z[:, 0], stats.gennorm(beta, scale=0.7 * OFF).cdf).pvalue < level


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("normal(std=0.3)", lambda scale: stats.norm(scale=scale * 0.3)),
        ("laplace(scale=0.3)", lambda scale: stats.laplace(scale=scale * 0.3)),
        ("gennorm(beta=2, scale=0.3)", lambda scale: stats.norm(scale=scale * 0.3 / math.sqrt(2))),
        ("gennorm(beta=2, std=0.3)", lambda scale: stats.norm(scale=scale * 0.3)),
        ("gennorm(beta=1, std=0.3)", lambda scale: stats.laplace(scale=scale * 0.3 / math.sqrt(2))),
    ],
)
def test_conditional_on_unbounded_space_is_scipys(text, reference):
    anchor, positive = pairs("unbounded", "normal(std=1)", text, 150_000, n=2)
    level = ERROR / (5 * 2)
    for step in (positive - anchor).T:
        assert stats.kstest(step, reference(1).cdf).pvalue > level
        assert stats.kstest(step, reference(OFF).cdf).pvalue < level


@settings(deadline=None)
@given(beta=st.floats(0.05, 100), std=st.floats(1e-3, 1e3))
def test_std_is_scipys(beta, std):
    distribution = gennorm(beta=beta, std=std)
    assert distribution.std == pytest.approx(std)
    assert stats.gennorm.std(beta, scale=distribution.scale) == pytest.approx(std)


@settings(deadline=None)
@given(beta=st.floats(0.05, 500), x=st.floats(-6, 6))
def test_mass_is_scipys_and_quantile_its_inverse(beta, x):
    distribution = GeneralizedNormal(beta=beta, scale=1.5)
    mass = distribution.mass(torch.full((1, 1), x, dtype=torch.float64))
    if beta * math.log10(abs(x) / 1.5 + 1e-300) > -17:
        expected = 2 * stats.gennorm.cdf(x, beta, scale=1.5) - 1
    else:  # scipy's cdf underflows; the density is constant this close to 0
        expected = 2 * x * stats.gennorm.pdf(0, beta, scale=1.5)
    assert mass.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if 1e-300 < abs(mass.item()) < 0.999:
        assert distribution.quantile(mass).item() == pytest.approx(x, rel=1e-9)


# Box.


def truncated_cdf(z, anchor, beta, scale, low, high):
    """Of each coordinate given its anchor, by scipy: uniform if z is drawn from the truncated conditional."""
    cdf = stats.gennorm(beta, scale=scale).cdf
    return (cdf(z - anchor) - cdf(low - anchor)) / (cdf(high - anchor) - cdf(low - anchor))


@pytest.mark.parametrize("beta", BETAS)
def test_conditional_on_box_is_truncated_exactly(beta):
    text, scale = f"gennorm(beta={beta}, std=0.25)", 0.25 / stats.gennorm.std(beta)
    anchor, positive = pairs("box(low=-1, high=0.5)", "uniform", text, 150_000, n=2)
    level = ERROR / (len(BETAS) * 2)
    for z, at in zip(positive.T, anchor.T, strict=True):
        share = truncated_cdf(z, at, beta, scale, -1, 0.5)
        assert stats.kstest(share, "uniform").pvalue > level
        # Given the anchor: near an end of the box, too, and not only on average over anchors.
        assert stats.kstest(share[at > 0.4], "uniform").pvalue > level
        assert abs(np.corrcoef(share, at)[0, 1]) < stats.norm.isf(level / 2) / math.sqrt(len(share))
    wrong = truncated_cdf(positive[:, 0], anchor[:, 0], beta, scale * OFF, -1, 0.5)
    assert stats.kstest(wrong, "uniform").pvalue < level


def test_marginal_on_box_is_truncated_at_location_zero():
    z = Latents.parse("box(low=-0.2, high=1)", "laplace(scale=0.4)", n=2).sample(200_000, generator(2))
    for column in z.double().numpy().T:
        share = truncated_cdf(column, 0.0, 1.0, 0.4, -0.2, 1)
        assert stats.kstest(share, "uniform").pvalue > ERROR / 2
        wrong = truncated_cdf(column, 0.0, 1.0, 0.4 * OFF, -0.2, 1)
        assert stats.kstest(wrong, "uniform").pvalue < ERROR / 2


def test_uniform_on_box_is_uniform_and_independent():
    z = Latents.parse("box(low=-2, high=3)", "uniform", n=3).sample(50_000, generator(3)).double().numpy()
    level = ERROR / 6
    for column in z.T:
        assert stats.kstest(column, stats.uniform(-2, 5).cdf).pvalue > level
        assert stats.kstest(column, stats.uniform(-2, 5 * OFF).cdf).pvalue < level
    correlation = np.corrcoef(z.T)[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < stats.norm.isf(level / 2) / math.sqrt(len(z))


@settings(max_examples=60, deadline=None)
@given(
    beta=st.floats(0.05, 200),
    scale=st.floats(1e-6, 1e6),
    low=st.floats(-3, 0),
    high=st.floats(0.01, 10),
    seed=st.integers(0, 1000),
)
def test_box_holds_its_pairs_at_any_width(beta, scale, low, high, seed):
    box = Box(2, low, high)
    latents = Latents((Part(box, gennorm(beta=beta, scale=scale), gennorm(beta=beta, scale=scale)),))
    for z in latents.sample_pairs(64, generator(seed), torch.float64):
        assert bool(((z >= box.low) & (z <= box.high)).all())


# Sphere.


def bessel_ratio(kappa, n):
    """The mean resultant length of vMF on S^(n-1) (Mardia & Jupp, 10.3)."""
    return special.ive(n / 2, kappa) / special.ive(n / 2 - 1, kappa) if kappa else 0.0


KAPPAS = (0.0, 1e-3, 1.0, 10.0, 300.0, 1e4)
DIMENSIONS = (2, 3, 10)


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("n", DIMENSIONS)
def test_vmf_has_the_closed_forms_mean_resultant_length(kappa, n):
    anchor, positive = pairs("sphere", "uniform", f"vmf(kappa={kappa})", 60_000, n=n)
    below = ((anchor - positive) ** 2).sum(1) / 2
    sure = stats.norm.isf(ERROR / (len(KAPPAS) * len(DIMENSIONS)) / 2)

    def deviation(kappa):
        length = bessel_ratio(kappa, n)
        # 1 - A cancels for large kappa, where A's expansion is exact enough.
        expected = 1 - length if kappa < 1000 else (n - 1) / (2 * kappa) * (1 - (n - 3) / (4 * kappa))
        return abs(below.mean() - expected) / (below.std() / math.sqrt(len(below)))

    assert deviation(kappa) < sure
    if kappa >= 1:
        assert deviation(kappa * OFF) > sure


def height_cdf(kappa, n):
    """Of the angle theta to the centre: density proportional to exp(kappa cos(theta)) sin(theta)^(n-2)."""
    theta = np.linspace(0, min(math.pi, 40 / math.sqrt(max(kappa, 1e-9))), 20_001)
    density = np.exp(kappa * (np.cos(theta) - 1)) * np.sin(theta) ** (n - 2)
    mass = integrate.cumulative_simpson(density, x=theta, initial=0)
    return lambda angle: np.interp(angle, theta, mass / mass[-1])


@pytest.mark.parametrize(("kappa", "n"), [(1.0, 2), (1.0, 3), (10.0, 10), (1e4, 4)])
def test_vmf_angles_and_directions(kappa, n):
    count, level = 100_000, ERROR / (4 * 3)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    centre = torch.from_numpy(basis[:, 0]).expand(count, n).contiguous()
    z = VonMisesFisher(kappa).around(Sphere(n), centre, generator(4)).numpy() @ basis
    across = np.linalg.norm(z[:, 1:], axis=1)
    angle = np.arctan2(across, z[:, 0])
    assert stats.kstest(angle, height_cdf(kappa, n)).pvalue > level
    assert stats.kstest(angle, height_cdf(kappa * OFF, n)).pvalue < level
    direction = z[:, 1:] / across[:, None]
    if n == 2:
        assert stats.binomtest(int((direction > 0).sum()), count).pvalue > level
        return
    # A coordinate of a uniform point of S^(m-1) is Beta((m-1)/2, (m-1)/2) on [-1, 1]; here m = n - 1.
    coordinate = stats.beta((n - 2) / 2, (n - 2) / 2, loc=-1, scale=2)
    assert stats.kstest(direction[:, 0], coordinate.cdf).pvalue > level
    assert stats.kstest(direction[:, -1], coordinate.cdf).pvalue > level


@pytest.mark.parametrize("angle", [0.0, 0.7, math.pi / 2])
def test_anisotropic_angles(angle):
    """On the circle: the normal density around the centre, integrated over lengths from 0.9 to 1.1."""
    count, (low, high) = 50_000, (3.0, 40.0)
    centre = np.array([math.cos(angle), math.sin(angle)])
    anchors = torch.from_numpy(centre).expand(count, 2).contiguous()
    z = Anisotropic(low, high).around(Sphere(2), anchors, generator(6)).numpy()
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-12)
    turned = (np.arctan2(z[:, 1], z[:, 0]) - angle + math.pi) % (2 * math.pi)

    def cdf(low, high):
        grid = np.linspace(0, 2 * math.pi, 2001)
        lengths = np.linspace(0.9, 1.1, 41)[:, None, None]
        points = lengths * np.stack([np.cos(grid + angle - math.pi), np.sin(grid + angle - math.pi)], axis=1)
        density = np.exp(-((points - centre) ** 2 * [low, high]).sum(2) / 2) * lengths[..., 0]
        mass = integrate.cumulative_simpson(integrate.simpson(density, x=lengths[:, 0, 0], axis=0), x=grid, initial=0)
        return lambda turn: np.interp(turn, grid, mass / mass[-1])

    assert stats.kstest(turned, cdf(low, high)).pvalue > ERROR / 3
    assert stats.kstest(turned, cdf(high, low)).pvalue < ERROR / 3


def test_anisotropic_weights_are_spread_or_in_blocks():
    assert Anisotropic(5.0, 25.0).weights(5).tolist() == [5, 10, 15, 20, 25]
    assert Anisotropic(5.0, 25.0, levels=2).weights(4).tolist() == [5, 5, 25, 25]
    with pytest.raises(DeclinedError, match="take at least 5"):
        Latents.parse("sphere", "uniform", "anisotropic(low=4, high=25)", n=10)
    with pytest.raises(DeclinedError, match="on the sphere"):
        Latents.parse("box", "uniform", "anisotropic(low=5, high=25)", n=10)


def test_uniform_on_sphere():
    z = Latents.parse("sphere", "uniform", n=4).sample(100_000, generator(5), torch.float64).numpy()
    for column in z.T:
        assert stats.kstest(column, stats.beta(1.5, 1.5, loc=-1, scale=2).cdf).pvalue > ERROR / 4
        assert stats.kstest(column, stats.beta(1.5, 1.5, loc=-1, scale=2 * OFF).cdf).pvalue < ERROR / 4


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("role", ["marginal", "conditional"])
def test_sphere_draws_in_space_and_projects(beta, role):
    """Against scipy's draws in R^n, around e_1 for a marginal and around the anchor for a conditional."""
    count, n, level = 100_000, 3, ERROR / (6 * 3)
    text = f"gennorm(beta={beta}, scale=0.3)"
    if role == "marginal":
        centre = np.eye(n)[0]
        z = Latents.parse("sphere", text, n=n).sample(count, generator(6), torch.float64).numpy()
    else:
        centre = np.array([2, -1, 2]) / 3
        latents = Latents.parse("sphere", "uniform", text, n=n)
        anchors = torch.from_numpy(centre).expand(count, n)
        z = latents.sample_positive(anchors, generator(6)).numpy()

    def projected(scale):
        moved = centre + stats.gennorm(beta, scale=scale).rvs((count, n), random_state=7)
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    for ours, theirs in zip(z.T, projected(0.3).T, strict=True):
        assert stats.ks_2samp(ours, theirs).pvalue > level
    away = [stats.ks_2samp(*columns).pvalue for columns in zip(z.T, projected(0.3 * OFF).T, strict=True)]
    assert min(away) < level


@settings(max_examples=60, deadline=None)
@given(kappa=st.floats(0, 1e12), n=st.integers(2, 300), seed=st.integers(0, 1000))
def test_vmf_stays_on_the_sphere(kappa, n, seed):
    latents = Latents((Part(Sphere(n), VonMisesFisher(kappa), VonMisesFisher(kappa)),))
    for z in latents.sample_pairs(16, generator(seed), torch.float64):
        torch.testing.assert_close(z.norm(dim=1), torch.ones(16, dtype=torch.float64))


# Products, generators and dtypes.


def test_product_concatenates_independent_parts():
    texts = ("sphere(3) x box(2)", "uniform x uniform", "vmf(kappa=20) x laplace(scale=0.1)")
    anchor, positive = pairs(*texts, 50_000)
    assert anchor.shape == positive.shape == (50_000, 5)
    np.testing.assert_allclose(np.linalg.norm(positive[:, :3], axis=1), 1)
    cosine = (anchor * positive)[:, :3].sum(1)
    error = cosine.std() / math.sqrt(len(cosine))
    assert abs(cosine.mean() - bessel_ratio(20.0, 3)) < stats.norm.isf(ERROR / 8) * error
    share = truncated_cdf(positive[:, 3:], anchor[:, 3:], 1.0, 0.1, 0, 1)
    assert all(stats.kstest(column, "uniform").pvalue > ERROR / 4 for column in share.T)
    assert abs(np.corrcoef(cosine, share[:, 0])[0, 1]) < stats.norm.isf(ERROR / 8) / math.sqrt(len(share))


@pytest.mark.parametrize(
    "texts",
    [
        ("sphere(3)", "uniform", "vmf(kappa=5)"),
        ("box(3)", "uniform", "gennorm(beta=3, scale=0.1)"),
        ("unbounded(3)", "gennorm(beta=0.7, std=1)", "laplace(scale=1)"),
        ("unbounded(2) x sphere(2)", "normal(std=1) x normal(std=1)", "normal(std=1) x laplace(scale=1)"),
    ],
)
def test_generator_alone_decides(texts):
    latents = Latents.parse(*texts)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = latents.sample_pairs(100, generator(8))
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(2)
    again, other = latents.sample_pairs(100, generator(8)), latents.sample_pairs(100, generator(9))
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    assert first[0].dtype == first[1].dtype == torch.float32
    assert torch.equal(first[0], latents.sample(100, generator(8)))
    assert latents.sample(0, generator(8)).shape == (0, latents.n)


# Bad input.


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("unbounded", "uniform"), "volume is infinite"),
        (("box", "uniform", "vmf(kappa=1)"), "vmf is a distribution on the sphere.*box"),
        (("unbounded", "normal(std=1)", "vmf(kappa=1)"), "vmf is a distribution on the sphere.*unbounded"),
        (("box", "uniform", "uniform"), "does not depend on z"),
        (("box(low=1, high=2)", "normal(std=1)"), "outside of box"),
    ],
)
def test_combination_without_meaning_is_declined_with_its_reason(texts, reason):
    with pytest.raises(DeclinedError, match=reason):
        Latents.parse(*texts, n=4)


def test_declines_pairs_without_a_conditional():
    latents = Latents.parse("box", "uniform", n=4)
    with pytest.raises(DeclinedError, match="no conditional"):
        latents.sample_pairs(3, generator())
    with pytest.raises(DeclinedError, match="no conditional"):
        latents.sample_positive(torch.zeros(3, 4), generator())


@pytest.mark.parametrize(
    ("texts", "close"),
    [
        (("spere", "uniform"), "no space is named 'spere'; did you mean sphere"),
        (("box", "unifrom"), "no marginal is named 'unifrom'; did you mean uniform"),
        (("box", "uniform", "gennrom(beta=1, scale=1)"), "no conditional.*did you mean.*gennorm"),
        (("box", "uniform", "qqq"), "did you mean anisotropic or gennorm or laplace or normal or uniform or vmf"),
    ],
)
def test_unknown_name_lists_the_close_ones(texts, close):
    with pytest.raises(UnknownNameError, match=close):
        Latents.parse(*texts, n=4)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (("box", "uniform", "gennorm(beta=2)"), "exactly one of scale .* and std"),
        (("box", "uniform", "gennorm(beta=2, scale=1, std=1)"), "exactly one of scale .* and std"),
        (("box", "uniform", "gennorm(scale=1)"), "missing a required argument: 'beta'.*beta, scale, std"),
        (("box", "uniform", "gennorm(beta=2, lambda=1)"), "unexpected keyword argument 'lambda'"),
        (("box", "uniform", "gennorm(beta=0, scale=1)"), "beta must be finite and at least 0.05, got 0"),
        (("box", "uniform", "gennorm(beta=0, std=1)"), "beta must be finite and at least 0.05, got 0"),
        (("box", "uniform", "normal(std=-1)"), "normal's std must be a finite number above 0, got -1"),
        (("box", "uniform", "laplace(scale=nan)"), "laplace's scale must be .* got nan"),
        (("box", "uniform", "laplace(0.1, scale=0.2)"), "multiple values for argument 'scale'"),
        (("box", "uniform", "laplace(scale=0.1, 0.2)"), "follows a named argument"),
        (("box", "uniform", "laplace(scale=0.1, scale=0.2)"), "given twice"),
        (("box", "uniform", "laplace(scale=wide)"), "scale must be a number, got 'wide'"),
        (("box", "uniform", "laplace(scale=)"), "is not a number"),
        (("box", "uniform", "laplace(scale=0.1"), "not of the form"),
        (("box", "uniform", "__import__('os').system('ls')"), "not of the form"),
        (("box", "uniform(1)"), "too many positional arguments; uniform takes no arguments"),
        (("sphere", "uniform", "vmf(kappa=-1)"), "kappa must be finite and at least 0, got -1"),
        (("sphere", "uniform", "vmf(kappa=inf)"), "kappa must be finite"),
        (("sphere(4.5)", "uniform"), "n must be an integer, got '4.5'"),
        (("sphere(5)", "uniform"), "has 5 latents, and n is 4"),
        (("sphere(2) x box(1)", "uniform x uniform"), "has 3 latents, and n is 4"),
        (("sphere(2) x box", "uniform x uniform"), "missing a required argument: 'n'"),
        (("sphere(2) x box(2)", "uniform"), "marginal 'uniform' has 1 factors and space .* has 2"),
        (("sphere(1) x box(3)", "uniform x uniform"), "a sphere needs n of at least 2, got 1"),
        (("box(low=1, high=0)", "uniform"), "finite low < high, got low=1, high=0"),
        (("box(low=nan)", "uniform"), "finite low < high"),
        (("", "uniform"), "not of the form"),
    ],
)
def test_malformed_text_says_what_is_wrong(texts, problem):
    with pytest.raises(ValueError, match=problem):
        Latents.parse(*texts, n=4)


def test_sizes_are_checked_in_code_as_in_text():
    with pytest.raises(ValueError, match="box needs n of at least 1, got 0"):
        Box(0)
    with pytest.raises(ValueError, match="unbounded space needs n of at least 1"):
        Unbounded(0)
    latents = Latents((Part(Unbounded(3), normal(std=1.0), laplace(scale=1.0)),))
    with pytest.raises(ValueError, match="anchors have 2 coordinates, the latents 3"):
        latents.sample_positive(torch.zeros(5, 2), generator())
