"""Mixing functions g: latents to observations, with their exact inverse."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unmix.datasets.expressions import check_name
from unmix.seeds import derived_generator

POOL = 25_000
SLOPE = 0.2


@dataclass(frozen=True)
class Activation:
    """An increasing function of one variable and its inverse."""

    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


def _leaky_relu_inverse(y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.where(y < 0, y / SLOPE, y)


def _smooth_leaky_relu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return SLOPE * x + (1 - SLOPE) * torch.nn.functional.softplus(x, threshold=40)


def _smooth_leaky_relu_inverse(y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    # The function is convex and above leaky ReLU: Newton's iterates from there descend to the root, and are
    # below float64's resolution after a few.
    x = _leaky_relu_inverse(y)
    for _ in range(8):
        x = x - (_smooth_leaky_relu(x) - y) / (SLOPE + (1 - SLOPE) * torch.sigmoid(x))
    return x


ACTIVATIONS: dict[str, Activation] = {
    "leaky_relu": Activation(
        lambda x: torch.nn.functional.leaky_relu(x, negative_slope=SLOPE), _leaky_relu_inverse
    ),
    "smooth_leaky_relu": Activation(_smooth_leaky_relu, _smooth_leaky_relu_inverse),
    "elu": Activation(torch.nn.functional.elu, lambda y: torch.where(y < 0, torch.log1p(y), y)),
    "tanh": Activation(torch.tanh, torch.atanh),
}


class Mixing:
    """x = W_L a(... a(W_1 z)): square matrices without bias, an activation between them.

    Args:
        weights: W_1 to W_L, invertible (n, n) float64 matrices on the CPU.
        activation: The name of what is applied after every matrix but the last; None for a linear mixing.

    Raises:
        UnknownNameError: When no activation has the name; the message lists the close ones.
    """

    def __init__(self, weights: tuple[Float[Tensor, "n n"], ...], activation: str | None = None) -> None:
        if activation is not None:
            check_name("activation", activation, ACTIVATIONS)
        self.weights = weights
        self.activation = activation
        self._copies: dict[tuple[torch.device, torch.dtype], tuple[Tensor, ...]] = {}

    def __reduce__(self) -> tuple[type[Mixing], tuple[tuple[Tensor, ...], str | None]]:
        # Another process may not have the devices of the copies.
        return Mixing, (self.weights, self.activation)

    def __call__(self, z: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        """Observations of the latents, in their dtype and on their device."""
        activation = ACTIVATIONS[self.activation] if self.activation is not None else None
        first, *rest = self._weights_like(z)
        x = z @ first.T
        for weight in rest:
            x = (x if activation is None else activation.forward(x)) @ weight.T
        return x

    def inverse(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        """The latents of the observations; as exact as the dtype of x, so give float64."""
        activation = ACTIVATIONS[self.activation] if self.activation is not None else None
        first, *rest = self._weights_like(x)
        for weight in reversed(rest):
            x = torch.linalg.solve(weight.T, x, left=False)
            x = x if activation is None else activation.inverse(x)
        z: Tensor = torch.linalg.solve(first.T, x, left=False)
        return z

    @property
    def condition_numbers(self) -> tuple[float, ...]:
        """Of each matrix."""
        return tuple(torch.linalg.cond(weight).item() for weight in self.weights)

    def _weights_like(self, z: Float[Tensor, "batch n"]) -> tuple[Tensor, ...]:
        key = (z.device, z.dtype)
        if key not in self._copies:
            self._copies[key] = tuple(weight.to(z.device, z.dtype) for weight in self.weights)
        return self._copies[key]


def draw_matrices(
    n: int, layers: int, quantile: float = 0.0, pool: int = POOL, seed: int = 0
) -> tuple[Float[Tensor, "n n"], ...]:
    """Draw well-conditioned matrices by the rule of Zimmermann et al. (2020) and their code.

    Entries are U(-1, 1), columns are scaled to unit length. Each layer has its own pool of candidates, and
    takes the first whose condition number is at most the pool's quantile: 0 is the best of the pool, 1 any
    matrix. (The authors' code takes the threshold from one pool and draws afresh until a matrix passes: the
    same law up to the pool's noise, but at quantile 0 its expected time is infinite.)

    The rule costs pool * n^3, so from n = 17 on the pool shrinks to 25,000 (16/n)^3, from n = 186 on to 16.
    The condition numbers of the best grow with n anyway (measured: 3.5 at n = 10, 7 at 16, 17 at 32, then
    about n); the R2 of a linear regression from two layers' observations of normal latents falls from 0.80 to
    0.74 to 0.67, and stays at 0.67 to 0.70 from n = 32 to 512.

    Args:
        n: Size of the matrices.
        layers: Their number, at least 1.
        quantile: In [0, 1].
        pool: Number of candidates of each layer, at most.
        seed: The same seed gives the same matrices on every device; layers of the same seed differ, and more
            layers do not change the first ones.

    Raises:
        ValueError: When an argument is out of range.
    """
    check_rule(n, layers, quantile, pool)
    candidates = min(pool, max(int(POOL * (16 / n) ** 3), 16))
    # Copies, so that nobody writes into the cache.
    return tuple(_draw_matrix(n, quantile, candidates, seed, layer).clone() for layer in range(layers))


def check_rule(n: int, layers: int, quantile: float, pool: int) -> None:
    """Raise ValueError when an argument of `draw_matrices` is out of range."""
    for name, value in (("n", n), ("layers", layers), ("pool", pool)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be in [0, 1], got {quantile:g}")


@functools.lru_cache(maxsize=256)
def _draw_matrix(n: int, quantile: float, pool: int, seed: int, layer: int) -> Float[Tensor, "n n"]:
    # Its own seed: a run's generator may start from the same one.
    generator = derived_generator(seed, "mixing", str(layer))
    matrices = torch.rand((pool, n, n), generator=generator, dtype=torch.float64) * 2 - 1
    matrices /= torch.linalg.vector_norm(matrices, dim=1, keepdim=True)
    singular = torch.linalg.svdvals(matrices)
    conditions = singular[:, 0] / singular[:, -1]
    threshold = conditions.sort().values[min(int(quantile * pool), pool - 1)]
    return matrices[
        (conditions <= threshold).nonzero()[0, 0]
    ].clone()  # a row of the pool would keep it alive
