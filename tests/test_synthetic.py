"""The synthetic dataset: what it composes, what it declines, and its mixing's Linear column."""

from __future__ import annotations

import dataclasses
import importlib.util
import pickle
import time
from pathlib import Path

import pytest
import torch

import unmix.datasets
from unmix.datasets.synthetic import Synthetic
from unmix.registry import DATASETS, UnknownNameError
from unmix.types import Dataset, DeclinedError

TABLE_1 = [
    ("sphere", "uniform", "vmf(kappa=1)"),
    ("box", "uniform", "gennorm(beta=2, scale=0.05)"),
    ("sphere", "uniform", "vmf(kappa=10)"),
    ("sphere", "uniform", "gennorm(beta=1, scale=0.05)"),
    ("sphere", "uniform", "gennorm(beta=2, scale=0.05)"),
    ("box", "uniform", "gennorm(beta=1, scale=0.05)"),
    ("sphere", "gennorm(beta=2, scale=1)", "gennorm(beta=1, scale=0.05)"),
    ("sphere", "gennorm(beta=2, scale=1)", "gennorm(beta=2, scale=0.05)"),
    ("unbounded", "gennorm(beta=1, scale=1)", "gennorm(beta=2, scale=1)"),
    ("unbounded", "gennorm(beta=2, scale=1)", "gennorm(beta=2, scale=1)"),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("space", "marginal", "conditional"), TABLE_1)
@pytest.mark.parametrize(("mixing", "layers"), [("linear", 1), ("mlp", 2), ("mlp", 3)])
def test_rows_of_table_1(space, marginal, conditional, mixing, layers):
    dataset = Synthetic(
        n=4,
        space=space,
        marginal=marginal,
        conditional=conditional,
        mixing=mixing,
        layers=layers,
        pool=100,
    )
    assert isinstance(dataset, Dataset)
    observations, factors = dataset.sample(32, generator())
    assert observations.shape == (32, *dataset.shape)
    assert factors.shape == (32, len(dataset.factors))
    assert torch.equal(observations, dataset.mixing_function(factors))
    recovered = dataset.mixing_function.inverse(dataset.mixing_function(factors.double()))
    torch.testing.assert_close(recovered, factors.double(), rtol=0, atol=1e-9)
    pair, latents = dataset.sample_pairs(32, generator()), dataset.latent_pairs(32, generator())
    assert torch.equal(pair.anchor, dataset.mixing_function(latents.anchor))
    assert torch.equal(pair.positive, dataset.mixing_function(latents.positive))
    assert pair.anchor.dtype == pair.positive.dtype == torch.float32
    assert not torch.equal(latents.anchor, latents.positive)


def test_factors_are_the_latents():
    dataset = Synthetic(n=3)
    assert [factor.name for factor in dataset.factors] == ["z0", "z1", "z2"]
    assert {factor.type for factor in dataset.factors} == {"continuous"}
    assert dataset.shape == (3,)


def test_product_of_spaces():
    dataset = Synthetic(
        space="sphere(4) x box(6)",
        marginal="uniform x uniform",
        conditional="vmf(kappa=10) x laplace(scale=0.05)",
        pool=50,
    )
    _, z = dataset.sample(100, generator())
    torch.testing.assert_close(z[:, :4].norm(dim=1), torch.ones(100))
    assert bool(((z[:, 4:] >= 0) & (z[:, 4:] <= 1)).all())


def test_seed_is_the_mixings_and_generator_the_latents():
    one, two = Synthetic(n=3, pool=20, seed=1), Synthetic(n=3, pool=20, seed=2)
    (x_one, z_one), (x_two, z_two) = one.sample(8, generator()), two.sample(8, generator())
    assert torch.equal(z_one, z_two)
    assert not torch.equal(x_one, x_two)
    again = Synthetic(**dataclasses.asdict(one))
    assert again == one
    assert torch.equal(again.sample(8, generator())[0], x_one)
    assert torch.equal(pickle.loads(pickle.dumps(one)).sample(8, generator())[0], x_one)


def test_linear_mixing_is_linear():
    dataset = Synthetic(n=3, mixing="linear", layers=2, pool=20)
    z = torch.randn(5, 3, generator=generator(), dtype=torch.float64)
    mix = dataset.mixing_function
    torch.testing.assert_close(mix(2 * z) - mix(z), mix(z))


def linear_r2(dataset: Synthetic, seed: int) -> float:
    """R2 of the linear regression from 6144 observations, in-sample, in percent."""
    x, z = dataset.sample(6144, generator(100 + seed))
    x, z = torch.cat([x, torch.ones(len(x), 1)], 1).double(), z.double()
    residual = z - x @ torch.linalg.lstsq(x, z).solution
    return 100 * (1 - residual.var(0) / z.var(0)).mean().item()


@pytest.mark.parametrize(
    ("space", "marginal", "measured", "spread"),
    [
        ("sphere", "uniform", 80, 1.0),
        ("box", "uniform", 85, 3.5),
        ("unbounded", "gennorm(beta=1, scale=1)", 78, 1.0),
        ("unbounded", "gennorm(beta=2, scale=1)", 79, 1.0),
    ],
)
def test_linear_column_is_that_of_the_released_code(space, marginal, measured, spread):
    """Two layers, quantile 0, n = 10: the mean of five seeds against what the released code gives."""
    scores = [
        linear_r2(Synthetic(space=space, marginal=marginal, conditional="", seed=seed), seed)
        for seed in range(5)
    ]
    # Both are means of few mixings, whose spread is given: 3.5 standard errors of their difference.
    assert abs(sum(scores) / 5 - measured) < 3.5 * spread * (2 / 5) ** 0.5


def test_pairs_are_drawn_in_milliseconds():
    """2 x 6144 x 10 draws happen at every training step; generous, for busy machines."""
    dataset = Synthetic(space="sphere", conditional="vmf(kappa=10)", pool=20)
    dataset.sample_pairs(6144, generator())
    seconds = []
    for seed in range(10):
        start = time.perf_counter()
        dataset.sample_pairs(6144, generator(seed))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


# Bad input.


def test_declines_pairs_without_a_conditional():
    with pytest.raises(DeclinedError, match="no conditional"):
        Synthetic(n=3, conditional="", pool=20).sample_pairs(4, generator())


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"space": "unbounded"}, DeclinedError, "there is no uniform distribution on unbounded"),
        ({"conditional": "vmf(kappa=1)"}, DeclinedError, "vmf is a distribution on the sphere"),
        ({"conditional": "uniform"}, DeclinedError, "does not depend on z"),
        ({"space": "cube"}, UnknownNameError, "no space is named 'cube'"),
        ({"mixing": "mpl"}, UnknownNameError, "no mixing is named 'mpl'; did you mean mlp"),
        ({"activation": "leaky"}, UnknownNameError, "no activation.*did you mean leaky_relu"),
        ({"n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"n": 1, "space": "sphere"}, ValueError, "a sphere needs n of at least 2"),
        ({"n": 9, "space": "sphere(4) x box(6)"}, ValueError, "has 10 latents, and n is 9"),
        ({"layers": 0}, ValueError, "layers must be at least 1, got 0"),
        ({"pool": 0}, ValueError, "pool must be at least 1, got 0"),
        ({"quantile": -0.1}, ValueError, r"quantile must be in \[0, 1\], got -0.1"),
    ],
)
def test_refuses_at_construction(fields, error, reason):
    with pytest.raises(error, match=reason):
        Synthetic(**fields)


def test_is_registered():
    assert DATASETS["synthetic"] is Synthetic


def test_folder_refuses_another_name():
    """`import datasets` inside a checkout would silently shadow Hugging Face's package."""
    file = Path(unmix.datasets.__file__)
    spec = importlib.util.spec_from_file_location("datasets", file)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=r"imported as 'datasets'.*its name is `unmix.datasets`"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
