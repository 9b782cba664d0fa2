"""QLAE: an autoencoder whose codes take few values each."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmix.baselines.networks import decoder_for, encoder_for
from unmix.baselines.projection import Precision
from unmix.baselines.vae import Images, reconstruction
from unmix.registry import METHODS
from unmix.training import Recipe, Terms, Trainer
from unmix.types import Dataset, Encoder


@dataclass(frozen=True)
class DecayedRecipe(Recipe):
    """A recipe with decoupled weight decay (Loshchilov & Hutter 2019) of matrices and kernels, as AdamW has it.

    The authors decay the biases of encoder and decoder as well; the values of the codes are left alone by both.
    """

    decay: float = field(default=0.1, metadata={"help": "weight decay of matrices and kernels, in learning rates"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.decay >= 0:
            raise ValueError(f"decay is {self.decay}: it must be at least 0")

    def optimisers(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        optimisers = super().optimisers(module)
        for optimiser in optimisers:
            group = optimiser.param_groups[0]
            vectors = [parameter for parameter in group["params"] if parameter.ndim == 1]
            group["params"] = [parameter for parameter in group["params"] if parameter.ndim > 1]
            group.update(weight_decay=self.decay, decoupled_weight_decay=True)
            if vectors:
                optimiser.add_param_group({"params": vectors})
        return optimisers


@METHODS.register("qlae")
@dataclass(frozen=True)
class Qlae:
    """Reconstruction + quantise ||sg[h] - q||^2 + commit ||h - sg[q]||^2 (Hsu et al. 2023 and its code).

    Each code h_j is replaced by q_j, the nearest of its own few values, with the gradient passed straight through (sg
    stops it); the decoder sees q. All three terms are means, over pixels or codes: the weights are the authors', in
    that scale. Few values and strong weight decay are the pressure to give every code one meaning. Called, the
    method's encoder returns q.
    """

    values: int = field(default=10, metadata={"help": "that a code can take"})
    quantise: float = field(default=0.01, metadata={"help": "weight that moves values to codes"})
    commit: float = field(default=0.01, metadata={"help": "weight that moves codes to values"})
    d: int = field(default=0, metadata={"help": "number of codes; 0: twice as many as factors"})
    precision: Precision = field(default="float32", metadata={"help": "of the convolutions"})
    recipe: DecayedRecipe = field(
        default=DecayedRecipe(
            steps=10_000, batch=128, optimiser="adam", lr=1e-3, schedule="constant", warmup=0, clip=1.0
        )
    )

    def __post_init__(self) -> None:
        for name, least in (("values", 2), ("quantise", 0), ("commit", 0), ("d", 0)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least {least}")

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        d = self.d or 2 * len(dataset.factors)
        decoder = decoder_for(dataset, d, generator=generator, precision=self.precision)
        encoder = encoder_for(dataset, d, generator=generator, precision=self.precision)
        model = QuantisedAutoencoder(encoder, decoder, d, self.values).to(trainer.device)

        def loss(batch: int) -> Terms:
            images, _ = dataset.sample(batch, generator)
            codes: Tensor = model.encoder(images)
            quantised = model.nearest(codes)
            straight = codes + (quantised - codes).detach()
            rebuilt = reconstruction(model.decoder(straight), images) / images[0].numel()
            moved = (codes.detach() - quantised).square().mean()
            kept = (codes - quantised.detach()).square().mean()
            total = rebuilt + self.quantise * moved + self.commit * kept
            return {"loss": total, "reconstruction": rebuilt, "distance": kept}

        trainer.minimise(model, loss, self.recipe, generator)
        return model


class QuantisedAutoencoder(nn.Module):
    """Encoder, values of each code, decoder; called, it encodes to the nearest values.

    Args:
        encoder: Images -> free codes (n, d).
        decoder: Codes (n, d) -> logits of the pixels.
        d: Number of codes.
        values: Of each code, evenly from -1/2 to 1/2 at first.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, d: int, values: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        # Flat: a matrix would be decayed, and orthogonalised by Muon.
        self.values = nn.Parameter(torch.linspace(-0.5, 0.5, values).repeat(d))
        self.d = d

    def nearest(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Of each code, the nearest of its values."""
        values = self.values.view(self.d, -1)
        index = (codes.detach()[..., None] - values.detach()).abs().argmin(2)
        return values.T.gather(0, index)

    def forward(self, images: Images) -> Float[Tensor, "n d"]:
        return self.nearest(self.encoder(images))

    def decode(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n channels height width"]:
        """Images in [0, 1]: the expected pixels."""
        return torch.sigmoid(self.decoder(codes))
