"""The training loop: schedule, resume bit for bit, divergence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unmix.seeds import derived_generator
from unmix.training import DivergedError, Recipe, Trainer
from unmix.types import Encoder

RECIPE = Recipe(steps=30, batch=16, warmup=5, clip=1.0)


class KilledError(RuntimeError):
    """Stands for a process that dies between two steps."""


def train(
    trainer: Trainer, recipe: Recipe = RECIPE, dies_at: int | None = None, poison: int | None = None
) -> nn.Module:
    """Fit a small network to its noisy input; die or return NaN at a call of the loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    generator = derived_generator(0, "training")
    calls = 0

    def loss(batch: int) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == dies_at:
            raise KilledError
        x = torch.randn(batch, 3, generator=generator)
        noise = torch.randn(batch, 3, generator=generator)
        return (module(x) - x - 0.1 * noise).square().mean() * (float("nan") if calls == poison else 1.0)

    trainer.minimise(module, loss, recipe, generator)
    return module


def mean_weight(encoder: Encoder) -> dict[str, float]:
    assert isinstance(encoder, nn.Module)
    return {"weight": sum(p.mean().item() for p in encoder.parameters())}


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
@pytest.mark.parametrize("dies_at", [2, 17, 30])
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, optimiser: str, dies_at: int) -> None:
    recipe = dataclasses.replace(RECIPE, optimiser=optimiser)
    whole = Trainer(points=7, probe=mean_weight)
    expected = train(whole, recipe)

    def trainer() -> Trainer:
        return Trainer(checkpoint=tmp_path / "checkpoint.pt", every=0.0, points=7, probe=mean_weight)

    with pytest.raises(KilledError):
        train(trainer(), recipe, dies_at=dies_at)
    resumed = trainer()
    module = train(resumed, recipe)
    for ours, theirs in zip(module.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    timeless = [dataclasses.replace(point, seconds=0.0) for point in resumed.curve]
    assert timeless == [dataclasses.replace(point, seconds=0.0) for point in whole.curve]
    assert resumed.steps == 30


def test_training_reduces_the_loss() -> None:
    trainer = Trainer(points=10)
    train(trainer, dataclasses.replace(RECIPE, steps=300, lr=0.02, lr_adam=0.02))
    assert trainer.curve[-1].loss < 0.2 * trainer.curve[0].loss
    assert [point.step for point in trainer.curve] == list(range(30, 301, 30))


def test_terms_are_averaged_between_points_and_survive_a_kill(tmp_path: Path) -> None:
    """The loss tells its terms and reads the steps done; a resumed run logs the same."""

    def logged(trainer: Trainer, dies_at: int | None = None) -> list[tuple[float, dict[str, float]]]:
        module, generator = nn.Linear(1, 1), derived_generator(0, "training")

        def loss(batch: int) -> dict[str, Tensor]:
            if trainer.steps == dies_at:
                raise KilledError
            step = torch.tensor(float(trainer.steps))
            return {"loss": 0 * module.weight.sum() + 2 * step, "step": step}

        trainer.minimise(module, loss, Recipe(steps=6, batch=1), generator)
        return [(point.loss, point.terms) for point in trainer.curve]

    expected = [(1.0, {"step": 0.5}), (5.0, {"step": 2.5}), (9.0, {"step": 4.5})]
    assert logged(Trainer(points=3)) == expected
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KilledError):
        logged(Trainer(points=3, checkpoint=path, every=0.0), dies_at=3)
    assert logged(Trainer(points=3, checkpoint=path, every=0.0)) == expected


def test_looking_does_not_move_the_run() -> None:
    watched, alone = train(Trainer(points=30, probe=mean_weight)), train(Trainer(points=1))
    for ours, theirs in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("step", [1, 12])
def test_divergence_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path: Path, step: int) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(DivergedError, match=f"not finite at step {step}\\b"):
        train(Trainer(checkpoint=path, every=0.0), poison=step)
    assert path.exists() == (step > 1)
    if step > 1:
        assert torch.load(path, weights_only=True)["step"] == step - 1


def test_a_killed_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KilledError):
        train(Trainer(checkpoint=path, every=0.0), dies_at=10)
    before = path.read_bytes()

    def torn(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", torn)
        with pytest.raises(KilledError):
            train(Trainer(checkpoint=path, every=0.0))
    assert path.read_bytes() == before


def test_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KilledError):
        train(Trainer(checkpoint=path, every=0.0), dies_at=10)
    with pytest.raises(ValueError, match="another recipe"):
        train(Trainer(checkpoint=path, every=0.0), dataclasses.replace(RECIPE, lr=0.1))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch": -1}, {"lr": 0.0}, {"lr": float("nan")}, {"warmup": -1}, {"clip": -1.0}]
)
def test_a_recipe_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)  # type: ignore[arg-type]


def test_schedule_warms_up_and_decays() -> None:
    recipe = Recipe(steps=100, warmup=10)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] < rates[5] < rates[10]
    assert max(rates) <= 1
    assert rates[-1] < 0.01
    assert Recipe(schedule="constant", warmup=0).rate(10**6) == 1


def test_muon_takes_the_hidden_matrices_only() -> None:
    module = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    muon, adam = Recipe().optimisers(module)
    (hidden,) = muon.param_groups[0]["params"]
    assert hidden is module[1].weight
    assert len(adam.param_groups[0]["params"]) == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile's own code
def test_a_compiled_training_is_the_training() -> None:
    """By Dynamo's tracing alone; a compiler may move the last digits."""
    expected, compiled = train(Trainer()), train(Trainer(compile="eager"))
    assert list(compiled.state_dict()) == list(expected.state_dict())
    for ours, theirs in zip(compiled.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
