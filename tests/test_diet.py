"""DIET: its classifier, its loss at the ends, and what it identifies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch

from unmix.baselines.diet import Classifier
from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer
from unmix.types import DeclinedError, Factor, Pair

SPHERE = {"space": "sphere", "conditional": "vmf(kappa=10)"}


def test_uniform_logits_cost_log_n() -> None:
    head = Classifier(3, 50)
    with torch.no_grad():
        head.matrix.zero_()
    codes = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(head(codes), torch.arange(8))
    assert loss.item() == pytest.approx(math.log(50))


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_classifier_starts_as_a_linear_layer_whatever_its_rate(rate: float) -> None:
    torch.manual_seed(0)
    head = Classifier(3, 50, rate)
    torch.manual_seed(0)
    plain = torch.nn.Linear(3, 50, bias=False)
    torch.testing.assert_close(head(torch.eye(3)), plain(torch.eye(3)))


def test_instances_of_a_class_cannot_be_told_apart() -> None:
    """Two classes without overlap and six instances: the loss ends at log 3, not at 0."""
    dataset = make_dataset({"name": "synthetic", "n": 3, "pool": 100, "space": "sphere", "conditional": "vmf(500)"}, 0)
    recipe = {"steps": 150, "batch": 128, "warmup": 10, "lr_adam": 2e-2}
    trainer = Trainer(points=10)
    method = make_method({"name": "diet", "instances": 6, "classes": 2, "recipe": recipe})
    method.fit(dataset, derived_generator(0, "training"), trainer)
    assert trainer.curve[-1].loss == pytest.approx(math.log(3), abs=0.05)


def test_sphere_is_identified_up_to_a_linear_map(identify) -> None:
    identified, _, floor = identify(SPHERE, {"name": "diet", "instances": 60, "classes": 30}, lr_adam=2e-2)
    assert identified > 0.95 > floor + 0.1


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"classes": 1}, {"classes": 100, "instances": 50}, {"rate": 0.0}, {"d": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make_method({"name": "diet", **wrong})


@dataclass(frozen=True)
class PairsOnly:
    """A dataset that cannot draw a second positive of an anchor."""

    shape: tuple[int, ...] = (2,)
    factors: tuple[Factor, ...] = (Factor("z0", "continuous"), Factor("z1", "continuous"))

    def sample(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = torch.rand(n, 2, generator=generator)
        return drawn, drawn

    def sample_pairs(self, n: int, generator: torch.Generator) -> Pair:
        drawn, _ = self.sample(n, generator)
        return Pair(drawn, drawn)


def test_data_with_pairs_only_are_declined() -> None:
    with pytest.raises(DeclinedError, match="many positives of one anchor"):
        make_method({"name": "diet"}).fit(PairsOnly(), derived_generator(0, "training"), Trainer())
