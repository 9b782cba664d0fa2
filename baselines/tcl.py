"""Time-contrastive learning: tell from which segment of a sequence an observation is."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from unmix.baselines.networks import ModelSpace, Network, Precision, Start, initialised
from unmix.baselines.pairs import encoder_of
from unmix.registry import METHODS
from unmix.training import Recipe, Trainer
from unmix.types import Dataset, DeclinedError, Encoder, SegmentedDataset


@METHODS.register("tcl")
@dataclass(frozen=True)
class Tcl:
    """Cross-entropy of the segment u given W |h(x)|^p + b (Hyvärinen & Morioka 2016, section 3).

    Where log p(z_i|u) is linear in |z_i|^p, the features |h|^p are a linear map of the latents' |z|^p at the optimum
    (theorem 1); p = 1, the paper's nonlinearity of the last layer, is for Laplace latents, p = 2 for normal ones. The
    codes are these features: the sign of a latent is not identified (h = |z| fits as well as h = z), so compare them
    with |z|^p. "tcl+ica" is the paper's method with its linear ICA at the end.
    """

    p: float = field(default=1.0, metadata={"help": "exponent of the last layer's nonlinearity, at least 1"})
    model_space: ModelSpace = field(default="unbounded", metadata={"help": "what the codes live in"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's default, or linear"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.p >= 1:
            raise ValueError(f"p is {self.p}: it must be at least 1")
        if self.d < 0:
            raise ValueError(f"d is {self.d}: it must be at least 0")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        segmented = with_segments(dataset, "tcl")
        features = Features(encoder_of(self, dataset, generator, trainer), self.p)
        d = self.d or len(dataset.factors)
        head = initialised(lambda: nn.Linear(d, segmented.segments), generator, "classifier").to(trainer.device)

        def loss(batch: int) -> Tensor:
            observations, segment = segmented.sample_auxiliary(batch, generator)
            return nn.functional.cross_entropy(head(trainer.encode(features, observations)), segment)

        trainer.minimise(nn.ModuleList([features, head]), loss, self.recipe, generator, features)
        return features


class Features(nn.Module):
    """|h(x)|^p.

    Args:
        encoder: h.
        p: Exponent.
    """

    def __init__(self, encoder: nn.Module, p: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.p = p

    def forward(self, observations: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        codes: Tensor = self.encoder(observations)
        return codes.abs().pow(self.p)


def with_segments(dataset: Dataset, method: str) -> SegmentedDataset:
    """The dataset, which has an auxiliary variable.

    Raises:
        DeclinedError: When it has none.
    """
    if not isinstance(dataset, SegmentedDataset):
        raise DeclinedError(
            f"{method} needs an auxiliary variable beside each observation, such as its segment of a sequence, and "
            "this dataset has none: take one with sample_auxiliary, such as nonstationary"
        )
    return dataset
