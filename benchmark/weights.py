"""The trained encoder of a finished run, from its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from unmix.record import Specification
from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.training import Trainer
from unmix.types import Encoder


class Idle(Trainer):
    """A trainer that takes no step: the method builds its encoder and leaves it as it starts."""

    def minimise(self, module: nn.Module, *_: Any, **__: Any) -> None:
        module.eval()


def built(specification: Specification) -> Encoder:
    """The encoder of a run before its first step, on the CPU.

    A method that does not train by `Trainer.minimise` (PCA, ICA) fits all the same.

    Raises:
        DeclinedError: Method and dataset do not fit.
        OSError: The dataset's files are needed and not here.
    """
    dataset = make_dataset(specification.dataset, specification.seed)
    generator = derived_generator(specification.seed, "training")
    return make_method(specification.method).fit(dataset, generator, Idle())


def load(encoder: nn.Module, path: Path) -> None:
    """Give an encoder the weights of a run: all of them, and no others.

    Raises:
        ValueError: They belong to another encoder, or the file is damaged.
    """
    try:
        encoder.load_state_dict(load_file(path), strict=True)
    except Exception as error:  # safetensors' own error is an Exception and nothing nearer
        raise ValueError(
            f"{path} is damaged, or of an encoder that this version of unmix does not build: {error}"
        ) from error
