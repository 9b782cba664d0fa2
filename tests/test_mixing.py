"""Mixings are exactly invertible, and their matrices follow the pool's rule."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unmix.datasets.mixing import ACTIVATIONS, Mixing, draw_matrices


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 12),
    layers=st.integers(1, 4),
    activation=st.sampled_from([None, *sorted(ACTIVATIONS)]),
    seed=st.integers(0, 10_000),
)
def test_inverse_is_exact(n, layers, activation, seed):
    mixing = Mixing(draw_matrices(n, layers, pool=200, seed=seed), activation)
    z = torch.rand(50, n, generator=generator(seed), dtype=torch.float64)
    torch.testing.assert_close(mixing.inverse(mixing(z)), z, rtol=0, atol=1e-9)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activation_increases_and_inverts(activation):
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    y = ACTIVATIONS[activation].forward(x)
    assert bool((y.diff() > 0).all())
    torch.testing.assert_close(ACTIVATIONS[activation].inverse(y), x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("activation", ["leaky_relu", "smooth_leaky_relu"])
def test_piecewise_activations_invert_far_out(activation):
    x = torch.tensor([-1e6, -50.0, -1e-12, 0.0, 1e-12, 50.0, 1e6], dtype=torch.float64)
    x_back = ACTIVATIONS[activation].inverse(ACTIVATIONS[activation].forward(x))
    torch.testing.assert_close(x_back, x, rtol=1e-12, atol=1e-12)


def test_forward_is_the_papers_formula_in_the_latents_dtype():
    first, second = draw_matrices(5, 2, pool=50)
    z = torch.randn(20, 5, generator=generator(), dtype=torch.float64)
    hidden = z.numpy() @ first.numpy().T
    expected = np.where(hidden < 0, 0.2 * hidden, hidden) @ second.numpy().T
    mixing = Mixing((first, second), "leaky_relu")
    np.testing.assert_allclose(mixing(z).numpy(), expected, atol=1e-12)
    assert mixing(z.float()).dtype == torch.float32
    np.testing.assert_allclose(mixing(z.float()).numpy(), expected, atol=1e-5)
    linear = Mixing((first, second), None)
    np.testing.assert_allclose(linear(z).numpy(), z.numpy() @ (second @ first).numpy().T, atol=1e-12)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda mixing: pickle.loads(pickle.dumps(mixing))])
def test_copies_mix_alike(duplicate):
    mixing = Mixing(draw_matrices(4, 2, pool=20), "tanh")
    z = torch.rand(3, 4, generator=generator())
    assert torch.equal(duplicate(mixing)(z), mixing(z))


def test_columns_have_unit_length_and_layers_differ():
    matrices = draw_matrices(6, 3, pool=100, seed=3)
    for matrix in matrices:
        assert matrix.dtype == torch.float64
        torch.testing.assert_close(matrix.norm(dim=0), torch.ones(6, dtype=torch.float64))
    assert not any(torch.equal(matrices[i], matrices[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_seed_alone_decides_and_layers_are_a_prefix():
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    two, three = draw_matrices(5, 2, pool=64, seed=7), draw_matrices(5, 3, pool=64, seed=7)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(map(torch.equal, two, three))
    assert not torch.equal(two[0], draw_matrices(5, 2, pool=64, seed=8)[0])


def test_the_callers_matrices_are_their_own():
    draw_matrices(4, 1, pool=16, seed=11)[0].zero_()
    assert draw_matrices(4, 1, pool=16, seed=11)[0].abs().sum() > 0


def condition_numbers(count: int, n: int) -> np.ndarray:
    matrices = np.random.default_rng(0).uniform(-1, 1, (count, n, n))
    return np.linalg.cond(matrices / np.linalg.norm(matrices, axis=1, keepdims=True))


@pytest.mark.parametrize(("quantile", "pool", "count"), [(0.0, 500, 600), (0.25, 500, 600), (1.0, 1, 3000)])
def test_accepted_matrices_have_the_law_of_the_rule(quantile, pool, count):
    """At quantile q they are random matrices below the q-quantile of condition numbers; at 0 a pool's best.

    Their share in numpy's population is uniform on [0, q], at 0 the minimum of a pool of uniforms; the pool
    must be large for the threshold's own noise not to be seen. Condition numbers 10 % off are seen.
    """
    population = np.sort(condition_numbers(200_000, 3))
    drawn = np.array(
        [np.linalg.cond(draw_matrices(3, 1, quantile, pool, seed)[0].numpy()) for seed in range(count)]
    )
    law = stats.uniform(0, quantile) if quantile else stats.beta(1, pool)

    def pvalue(conditions: np.ndarray) -> float:
        return stats.kstest(np.searchsorted(population, conditions) / len(population), law.cdf).pvalue

    level = 1e-3 / 3
    assert pvalue(drawn) > level
    assert pvalue(drawn * 0.9) < level


def test_large_matrices_shrink_the_pool():
    (matrix,) = draw_matrices(128, 1)
    assert matrix.shape == (128, 128)
    typical = np.median(condition_numbers(30, 128))
    assert 1 < torch.linalg.cond(matrix).item() < typical


def test_condition_numbers():
    mixing = Mixing((torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)),), None)
    assert mixing.condition_numbers == pytest.approx((4.0,))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"n": 0, "layers": 1}, "n must be at least 1, got 0"),
        ({"n": 3, "layers": 0}, "layers must be at least 1, got 0"),
        ({"n": 3, "layers": 1, "pool": 0}, "pool must be at least 1, got 0"),
        ({"n": 3, "layers": 1, "quantile": 1.5}, r"quantile must be in \[0, 1\], got 1.5"),
        ({"n": 3, "layers": 1, "quantile": math.nan}, r"quantile must be in \[0, 1\], got nan"),
    ],
)
def test_refuses_numbers_out_of_range(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        draw_matrices(**arguments)


def test_refuses_an_unknown_activation():
    with pytest.raises(KeyError, match=r"no activation is named 'relu'; did you mean .*leaky_relu"):
        Mixing(draw_matrices(2, 2, pool=4), "relu")
