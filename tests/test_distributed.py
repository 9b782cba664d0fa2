"""Trainings over several gloo ranks, and in chunks: the same loss and gradient as one process at the same batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from followers import gradients

from unmix.attempt import Place
from unmix.distributed import encode_batch, together
from unmix.evaluation import Evaluation, encode
from unmix.record import Store
from unmix.run import make_dataset, make_method, run, specify
from unmix.seeds import derived_generator
from unmix.training import Trainer
from unmix.types import DeclinedError


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_give_the_loss_and_gradient_of_one_process(ranks: int) -> None:
    """Of the encoder and of a parameter of the loss, in float64."""
    loss, expected = gradients(64)
    with together(ranks, "cpu", gradients, 64):
        shared, actual = gradients(64)
    torch.testing.assert_close(shared, loss, rtol=1e-12, atol=0)
    for got, want in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 128, 1000])
def test_chunks_give_the_loss_and_gradient_of_the_whole(chunk: int) -> None:
    loss, expected = gradients(64)
    again, actual = gradients(64, chunk)
    torch.testing.assert_close(again, loss, rtol=1e-12, atol=0)
    for got, want in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def codes(chunk: int, steps: int = 5) -> np.ndarray:
    """Of a short training of InfoNCE with codes in a learnable box."""
    dataset = make_dataset({"name": "synthetic", "n": 3, "pool": 100}, 0)
    recipe = {"steps": steps, "batch": 32}
    method = make_method({"name": "contrastive", "model_space": "learnable_box", "recipe": recipe})
    encoder = method.fit(dataset, derived_generator(0, "training"), Trainer(chunk=chunk))
    return encode(encoder, dataset.sample(50, derived_generator(0, "test"))[0])


def test_a_training_in_chunks_is_the_training_at_once() -> None:
    np.testing.assert_allclose(codes(chunk=16), codes(chunk=0), rtol=1e-3, atol=1e-4)


def test_a_run_on_two_ranks_is_the_run(tmp_path: Path) -> None:
    """Recorded once, by the first rank, with the losses of one process; steps of Adam are no measure of rounding."""
    recipe = {"steps": 5, "batch": 32, "warmup": 1, "optimiser": "adam"}
    dataset, method = {"name": "synthetic", "n": 3, "pool": 100}, {"name": "align_uniform", "recipe": recipe}
    made = specify(dataset, method, 0, Evaluation(100, ("mcc",)))
    stores = [Store(tmp_path / "one"), Store(tmp_path / "two")]
    one, two = (run(made, store, Place(ranks=ranks)) for store, ranks in zip(stores, (1, 2), strict=True))
    assert [len(store.keys()) for store in stores] == [1, 1]
    losses = [[point["loss"] for point in record.curve] for record in (one, two)]
    assert len(losses[0]) == 5
    assert losses[0][0] != losses[0][-1]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_batch_normalisation_is_refused() -> None:
    encoder = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="leave out --chunk and --ranks, or take --network conv"):
        encode_batch(encoder, torch.zeros(8, 3), chunk=4)


def test_a_method_that_encodes_at_once_declines_chunks() -> None:
    dataset = make_dataset({"name": "nonstationary", "n": 3, "segments": 6, "pool": 100}, 0)
    method = make_method({"name": "ivae", "recipe": {"steps": 2, "batch": 8}})
    with pytest.raises(DeclinedError, match="leave out --chunk and --ranks"):
        method.fit(dataset, derived_generator(0, "training"), Trainer(chunk=4))
