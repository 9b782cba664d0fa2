"""DIET: classify which instance of a fixed set an observation belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.baselines.networks import ModelSpace, Network, Precision, Start, initialised
from unmix.baselines.pairs import encoder_of
from unmix.registry import METHODS
from unmix.seeds import derived_generator
from unmix.training import Recipe, Trainer
from unmix.types import ConditionalDataset, Dataset, DeclinedError, Encoder


@METHODS.register("diet")
@dataclass(frozen=True)
class Diet:
    """Cross-entropy of the instance i given W h(x), W of one row an instance, no bias (Ibrahim et al. 2024).

    The data are those of Reizinger et al. 2024 (section 3 and its code): C anchors z are drawn once, from p(z);
    instance i belongs to class i mod C, and each observation of it is fresh, x = g(z') with z' ~ p(z'|z). So N / C
    instances share a class and cannot be told apart: the loss ends at log(N / C) at least. Where z' is vMF around z,
    codes on the sphere with free rows of W are the latents up to a rotation, free codes up to a linear map.
    """

    instances: int = field(default=1000, metadata={"help": "N, rows of W"})
    classes: int = field(default=100, metadata={"help": "C, anchors that the instances are drawn around"})
    rate: float = field(default=10.0, metadata={"help": "of W, in learning rates of the encoder's biases"})
    model_space: ModelSpace = field(default="sphere", metadata={"help": "what the codes live in"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the encoder's matrix products"})
    start: Start = field(default="linear", metadata={"help": "initial weights: PyTorch's default, or linear"})
    network: Network = field(default="auto", metadata={"help": "of images; auto goes by size"})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= self.instances:
            raise ValueError(
                f"classes is {self.classes} and instances {self.instances}: "
                "there must be at least 2 classes, and an instance of each"
            )
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate}: it must be positive")
        if self.d < 0:
            raise ValueError(f"d is {self.d}: it must be at least 0")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        if not isinstance(dataset, ConditionalDataset):
            raise DeclinedError(
                "diet needs many positives of one anchor, and this dataset draws pairs only: "
                "take one with sample_positives, such as synthetic"
            )
        device = str(generator.device)
        _, anchors = dataset.sample(self.classes, derived_generator(generator.initial_seed(), "classes", device=device))
        encoder = encoder_of(self, dataset, generator, trainer)
        d = self.d or len(dataset.factors)
        head = initialised(lambda: Classifier(d, self.instances, self.rate), generator, "classifier").to(trainer.device)

        def loss(batch: int) -> Tensor:
            instance = torch.randint(self.instances, (batch,), generator=generator, device=generator.device)
            observations = dataset.sample_positives(anchors[instance % self.classes], generator)
            return nn.functional.cross_entropy(head(trainer.encode(encoder, observations)), instance)

        trainer.minimise(nn.ModuleList([encoder, head]), loss, self.recipe, generator, encoder)
        return encoder


class Classifier(nn.Module):
    """Logits W h without bias; W is rate times a parameter, and starts as `nn.Linear`'s weights.

    On the sphere the rows of W must grow from 1/sqrt(d) to the length kappa, while Adam's steps have the learning
    rate's size: without a rate this takes most of the training.

    Args:
        d: Number of codes.
        instances: Rows of W.
        rate: As above.
    """

    def __init__(self, d: int, instances: int, rate: float = 10.0) -> None:
        super().__init__()
        self.matrix = nn.Parameter(nn.Linear(d, instances, bias=False).weight.detach() / rate)
        self.rate = rate

    def forward(self, codes: Float[Tensor, "b d"]) -> Float[Tensor, "b instances"]:
        return nn.functional.linear(codes, self.rate * self.matrix)
