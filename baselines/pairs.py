"""What methods share that train an encoder, most of them on pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from unmix.baselines.networks import ModelSpace, Network, Precision, Start, encoder_for
from unmix.training import Recipe, Trainer
from unmix.types import Dataset

PairLoss = Callable[[Tensor, Tensor], Tensor]
"""Codes h(x) and h(x') of a batch of pairs, both (B, d) -> a scalar."""


@runtime_checkable
class Encoding(Protocol):
    """The fields of a method that say which encoder it trains, and how."""

    @property
    def d(self) -> int: ...
    @property
    def model_space(self) -> ModelSpace: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def start(self) -> Start: ...
    @property
    def network(self) -> Network: ...
    @property
    def recipe(self) -> Recipe: ...


def encoder_of(method: Encoding, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> nn.Module:
    """The encoder that the method's fields ask for, on the trainer's device; d = 0 is as many codes as factors.

    Raises:
        DeclinedError: When there is no encoder for the dataset's observations.
    """
    return encoder_for(
        dataset,
        method.d or len(dataset.factors),
        generator=generator,
        space=method.model_space,
        precision=method.precision,
        start=method.start,
        network=method.network,
    ).to(trainer.device)


def train_on_pairs(
    method: Encoding, dataset: Dataset, generator: torch.Generator, trainer: Trainer, loss: PairLoss
) -> nn.Module:
    """Minimise loss(h(x), h(x')) over an encoder h, on fresh pairs of the dataset at each step.

    Args:
        method: Its fields say which encoder, and how it is trained.
        dataset: Of the pairs.
        generator: Of the weights' seed and of the pairs.
        trainer: Runs the steps.
        loss: Of the codes. A module's own parameters are trained along with the encoder, and not returned.

    Returns:
        The encoder.

    Raises:
        DeclinedError: When the dataset has no pairs, or there is no encoder for its observations.
    """
    encoder = encoder_of(method, dataset, generator, trainer)
    trained = nn.ModuleList([encoder, loss.to(trainer.device)]) if isinstance(loss, nn.Module) else encoder

    def step(batch: int) -> Tensor:
        pair = dataset.sample_pairs(batch, generator)
        return loss(*trainer.encode(encoder, torch.cat(pair)).chunk(2))

    trainer.minimise(trained, step, method.recipe, generator, encoder)
    return encoder
