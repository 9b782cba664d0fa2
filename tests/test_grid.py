"""Grids of factors and the pairs on them."""

from __future__ import annotations

import math

import pytest
import torch

from unmix.datasets.grid import Grid
from unmix.datasets.transitions import Lap, Transitions
from unmix.factors import Factor
from unmix.registry import UnknownNameError
from unmix.types import DeclinedError

FACTORS = (
    Factor("colour", "categorical", 1),
    Factor("shape", "categorical", 3),
    Factor("scale", "ordinal", 6),
    Factor("angle", "periodic", 40, period=39.0),
    Factor("x", "ordinal", 32),
)
N = 20_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(text: str, n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    anchor = Grid(FACTORS).sample(n, generator())
    return anchor, Transitions.parse(text, FACTORS)(anchor, generator(1))


class TestGrid:
    def test_numbers_the_combinations_with_the_last_factor_fastest(self) -> None:
        grid = Grid(FACTORS)
        assert len(grid) == 3 * 6 * 40 * 32
        every = torch.cartesian_prod(*(torch.arange(size) for size in grid.sizes))
        assert torch.equal(grid.index(every), torch.arange(len(grid)))
        assert torch.equal(grid.levels(torch.arange(len(grid))), every)

    def test_samples_are_uniform(self) -> None:
        levels = Grid(FACTORS).sample(N, generator())
        for column, size in enumerate(Grid(FACTORS).sizes):
            shares = torch.bincount(levels[:, column], minlength=size) / N
            assert (shares - 1 / size).abs().max() < 5 * math.sqrt(1 / size / N)

    def test_a_factor_without_levels_has_no_grid(self) -> None:
        with pytest.raises(ValueError, match="without a size have no grid: depth"):
            Grid((Factor("depth", "continuous"),))


@pytest.mark.parametrize("text", ["uni", "lap(rate=1)", "changes(k=2)", "views(shape, angle)"])
class TestEveryTransition:
    def test_stays_on_the_grid_and_leaves_the_anchor_alone(self, text: str) -> None:
        anchor = Grid(FACTORS).sample(100, generator())
        before = anchor.clone()
        positive = Transitions.parse(text, FACTORS)(anchor, generator(1))
        assert torch.equal(anchor, before)
        assert (positive >= 0).all()
        assert (positive < torch.tensor(Grid(FACTORS).sizes)).all()

    def test_follows_its_generator(self, text: str) -> None:
        first, second = pairs(text, 100), pairs(text, 100)
        assert torch.equal(first[1], second[1])


class TestUni:
    def test_one_to_all_but_one_factors_change(self) -> None:
        anchor, positive = pairs("uni")
        count = (anchor != positive).sum(dim=1)
        shares = torch.bincount(count, minlength=5) / N
        assert shares[0] == shares[4] == 0
        assert (shares[1:4] - 1 / 3).abs().max() < 0.02

    def test_every_other_level_is_as_likely(self) -> None:
        anchor, positive = pairs("uni")
        moved = (positive - anchor)[:, 2] % 6
        shares = torch.bincount(moved[moved != 0], minlength=6)[1:] / (moved != 0).sum()
        assert (shares - 0.2).abs().max() < 0.02

    def test_a_single_varying_factor_always_changes(self) -> None:
        factors = (Factor("x", "ordinal", 5),)
        anchor = Grid(factors).sample(100, generator())
        assert (Transitions.parse("uni", factors)(anchor, generator(1)) != anchor).all()


class TestLap:
    def test_has_the_discretised_laplace(self) -> None:
        """Of x, given that anything changed; the reference is written out by hand."""
        anchor, positive = pairs("lap(rate=1)", 100_000)
        stay = 1.0
        for size, column in ((6, 2), (40, 3)):
            stay = stay * _laplace(size)[anchor[:, column], anchor[:, column]]
        row = 16
        at = anchor[:, 4] == row
        table = _laplace(32)
        accept = torch.ones(32, dtype=torch.float64).repeat(int(at.sum()), 1)
        accept[:, row] -= stay[at]
        expected = (table[row] * accept / (table[row] * accept).sum(1, keepdim=True)).mean(0)
        shares = torch.bincount(positive[at, 4], minlength=32) / at.sum()
        assert (shares - expected).abs().max() < 5 * math.sqrt(0.3 / int(at.sum()))

    def test_categorical_factors_stay_and_something_changes(self) -> None:
        anchor, positive = pairs("lap(rate=20)", 2000)
        assert torch.equal(anchor[:, :2], positive[:, :2])
        assert (anchor != positive).any(dim=1).all()

    def test_nothing_to_move_is_declined(self) -> None:
        with pytest.raises(DeclinedError, match="all of these are categorical or constant"):
            Transitions.parse("lap(rate=1)", FACTORS[:2])

    def test_rows_are_distributions(self) -> None:
        for table in Lap(FACTORS, 1.0).cumulative.values():
            torch.testing.assert_close(table[:, -1], torch.ones(len(table), dtype=torch.float64))


class TestChangesAndViews:
    def test_exactly_k_change(self) -> None:
        anchor, positive = pairs("changes(k=2)", 2000)
        assert ((anchor != positive).sum(dim=1) == 2).all()

    def test_content_is_shared_and_style_is_independent(self) -> None:
        anchor, positive = pairs("views(shape, angle)")
        assert torch.equal(anchor[:, [1, 3]], positive[:, [1, 3]])
        same = (anchor[:, 2] == positive[:, 2]).double().mean()
        assert abs(same - 1 / 6) < 0.02


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("unii", UnknownNameError, "did you mean uni"),
        ("lap(rate=0)", ValueError, "rate must be positive"),
        ("lap(speed=1)", ValueError, "lap takes rate"),
        ("changes(k=5)", ValueError, "between 1 and 4"),
        ("changes(k=0)", ValueError, "between 1 and 4"),
        ("views()", ValueError, "needs the factors that both views share, of colour, shape"),
        ("views(shap)", UnknownNameError, "did you mean shape"),
        ("views(shape, scale, angle, x)", DeclinedError, "share every factor are equal"),
    ],
)
def test_a_wrong_text_is_refused(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Transitions.parse(text, FACTORS)


def test_constant_factors_have_no_pairs() -> None:
    with pytest.raises(DeclinedError, match="every factor has a single level"):
        Transitions.parse("uni", FACTORS[:1])(torch.zeros(2, 1, dtype=torch.long), generator())


def _laplace(size: int) -> torch.Tensor:
    distance = (torch.arange(size)[:, None] - torch.arange(size)).abs().double()
    weight = torch.exp(-distance / math.log(size))
    return weight / weight.sum(dim=1, keepdim=True)
