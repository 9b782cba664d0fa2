"""QLAE: quantisation by hand, who gets which gradient, weight decay, and what it declines."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from unmix.baselines.qlae import DecayedRecipe, QuantisedAutoencoder
from unmix.evaluation import encode
from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.training import Recipe, Trainer
from unmix.types import DeclinedError


def autoencoder() -> QuantisedAutoencoder:
    """Codes are the observations; the first takes -1, 0, 1, the second 0, 10, 20."""
    made = QuantisedAutoencoder(torch.nn.Identity(), torch.nn.Identity(), 2, 3)
    with torch.no_grad():
        made.values.copy_(torch.tensor([-1.0, 0.0, 1.0, 0.0, 10.0, 20.0]))
    return made


def test_each_code_takes_the_nearest_of_its_own_values() -> None:
    codes = torch.tensor([[-7.0, 4.0], [0.4, 6.0], [0.6, 99.0]])
    expected = torch.tensor([[-1.0, 0.0], [0.0, 10.0], [1.0, 20.0]])
    torch.testing.assert_close(autoencoder().nearest(codes), expected)


def test_values_start_evenly_around_0() -> None:
    fresh = QuantisedAutoencoder(torch.nn.Identity(), torch.nn.Identity(), 2, 3)
    assert fresh.values.tolist() == [-0.5, 0.0, 0.5] * 2


def test_only_chosen_values_get_a_gradient_and_codes_none() -> None:
    made = autoencoder()
    codes = torch.tensor([[0.1, 6.0], [0.2, 7.0]], requires_grad=True)
    made.nearest(codes).sum().backward()
    assert made.values.grad is not None
    assert made.values.grad.tolist() == [0, 2, 0, 0, 2, 0]
    assert codes.grad is None


def test_decay_shrinks_matrices_and_leaves_vectors() -> None:
    """Without a gradient a decoupled step is w <- (1 - lr decay) w."""
    module = torch.nn.Linear(3, 3)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    recipe = DecayedRecipe(optimiser="adam", lr=0.01, decay=0.5)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimiser in recipe.optimisers(module):
        optimiser.step()
    torch.testing.assert_close(module.weight, before["weight"] * (1 - 0.01 * 0.5))
    torch.testing.assert_close(module.bias, before["bias"])


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_every_parameter_is_optimised_once(optimiser: str) -> None:
    module = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))
    groups = [
        group for o in DecayedRecipe(optimiser=optimiser).optimisers(module) for group in o.param_groups  # type: ignore[arg-type]
    ]
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(parameter) for parameter in module.parameters())


def test_decay_is_no_field_of_the_recipe_of_other_methods() -> None:
    assert set(asdict(DecayedRecipe())) - set(asdict(Recipe())) == {"decay"}


def test_codes_take_few_values() -> None:
    dataset = make_dataset({"name": "dsprites_procedural"}, 0)
    method = make_method({"name": "qlae", "d": 3, "values": 4, "recipe": {"steps": 2, "batch": 4}})
    encoder = method.fit(dataset, derived_generator(0, "training"), Trainer(points=1))
    codes = encode(encoder, dataset.sample(40, derived_generator(0, "test"))[0])
    assert codes.shape == (40, 3)
    assert isinstance(encoder, QuantisedAutoencoder)
    values = encoder.values.detach().view(3, 4).numpy()
    for column, allowed in zip(codes.T, values, strict=True):
        assert set(column.tolist()) <= set(allowed.tolist())


def test_vectors_are_declined() -> None:
    dataset = make_dataset({"name": "synthetic", "n": 3, "pool": 100}, 0)
    with pytest.raises(DeclinedError, match="no convolutional decoder"):
        make_method({"name": "qlae"}).fit(dataset, derived_generator(0, "training"), Trainer())


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"values": 1}, {"quantise": -1.0}, {"commit": -1.0}, {"d": -1}, {"recipe": {"decay": -1.0}}):
        with pytest.raises(ValueError, match=r"values|quantise|commit|^d|decay"):
            make_method({"name": "qlae", **wrong})
