"""The methods identify what the theory says they do, on problems small enough for a test."""

from __future__ import annotations

from typing import Any

import pytest

from unmix.evaluation import codes_and_factors
from unmix.metrics import mcc, r2
from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer
from unmix.types import DeclinedError

RECIPE = {"steps": 300, "batch": 256, "warmup": 20}


def scores(dataset: dict[str, Any], method: dict[str, Any]) -> tuple[float, float, float]:
    """Held-out R2 and MCC of the method, and R2 of the observations themselves."""
    made = make_dataset({"name": "synthetic", "n": 3, "layers": 3, "quantile": 0.5, "pool": 200, **dataset}, 0)
    encoder = make_method({"recipe": RECIPE, **method}).fit(made, derived_generator(0, "training"), Trainer())
    codes, factors = codes_and_factors(encoder, made, 3000, derived_generator(0, "evaluation"))
    observations, latents = made.sample(3000, derived_generator(0, "evaluation"))
    return r2(factors, codes), mcc(factors, codes), r2(latents.numpy(), observations.numpy())


def test_sphere_is_identified_up_to_a_linear_map() -> None:
    """Theorem 2: uniform on the sphere, vMF conditional, vMF model."""
    identified, _, floor = scores(
        {"space": "sphere", "conditional": "vmf(kappa=20)"},
        {"name": "contrastive", "model_space": "sphere", "similarity": "vmf"},
    )
    assert identified > 0.97 > floor + 0.02


def test_laplace_on_a_box_is_identified_up_to_permutation() -> None:
    """Zimmermann et al. 2021, theorem 5: p = 1 identifies the axes, p = 2 only an affine map."""
    box = {"conditional": "laplace(scale=0.05)"}
    identified, matched, floor = scores(box, {"name": "contrastive", "p": 1.0, "recipe": {**RECIPE, "steps": 400}})
    assert identified > 0.97 > floor + 0.02
    assert matched > 0.97


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_box_is_identified_up_to_an_affine_map(p: float) -> None:
    identified, _, floor = scores({}, {"name": "contrastive", "p": p})
    assert identified > 0.97 > floor + 0.02


def test_supervised_recovers_the_factors_themselves() -> None:
    identified, matched, _ = scores({}, {"name": "supervised"})
    assert identified > 0.99
    assert matched > 0.99


def test_align_uniform_learns_on_the_sphere() -> None:
    identified, _, floor = scores(
        {"space": "sphere", "conditional": "vmf(kappa=20)"}, {"name": "align_uniform", "model_space": "sphere"}
    )
    assert identified > 0.97 > floor + 0.02


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"p": 0.5}, "p is 0.5"),
        ({"tau": 0.0}, "tau is 0.0"),
        ({"alpha": 1.0}, "alpha is 1.0"),
        ({"negatives": -1}, "negatives"),
        ({"d": -2}, "d "),
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_method({"name": "contrastive", **wrong})


@pytest.mark.parametrize("space", ["unbounded", "box", "learnable_box"])
def test_vmf_has_a_meaning_on_the_sphere_only(space: str) -> None:
    with pytest.raises(DeclinedError, match=f"vmf has no meaning on {space}"):
        make_method({"name": "contrastive", "model_space": space, "similarity": "vmf"})
