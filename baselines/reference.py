"""Floors of every table: the observations themselves, noise, an untrained encoder, PCA, ICA; and "+ica" on any code."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.decomposition import PCA, FastICA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from unmix.baselines.networks import encoder_for
from unmix.evaluation import encode
from unmix.registry import METHODS
from unmix.seeds import derived_generator, derived_seed
from unmix.types import Dataset, Encoder, Method

if TYPE_CHECKING:
    from unmix.training import Trainer

Transform = Callable[[np.ndarray], np.ndarray]


@METHODS.register("observations")
@dataclass(frozen=True)
class Observations:
    """The observations as codes: what a linear map reaches without learning ("Linear" in the paper's table 1)."""

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return _flatten


@METHODS.register("noise")
@dataclass(frozen=True)
class Noise:
    """Codes that know nothing: standard Normal draws, fresh at each call; d = k."""

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        k = len(dataset.factors)
        device = generator.device
        noise = derived_generator(generator.initial_seed(), "noise", device=str(device))
        return lambda observations: torch.randn(len(observations), k, generator=noise, device=device)


@METHODS.register("untrained")
@dataclass(frozen=True)
class Untrained:
    """The methods' encoder with its initial weights."""

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return encoder_for(dataset, len(dataset.factors), generator=generator).to(trainer.device).eval()


@METHODS.register("pca")
@dataclass(frozen=True)
class Pca:
    """The first k principal components of the flattened observations."""

    fit_samples: int = field(default=6144, metadata={"help": "observations to fit on"})

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        observations = _flatten(dataset.sample(self.fit_samples, generator)[0]).cpu().numpy()
        model = PCA(min(len(dataset.factors), observations.shape[1])).fit(observations)
        return _on_arrays(model.transform, _flatten)


@METHODS.register("ica")
@dataclass(frozen=True)
class Ica:
    """Linear FastICA of the flattened observations (Hyvärinen 1999; scikit-learn's FastICA)."""

    fit_samples: int = field(default=6144, metadata={"help": "observations to fit on"})

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        return PlusIca(Observations(), self.fit_samples).fit(dataset, generator, trainer)


@dataclass(frozen=True)
class PlusIca:
    """Linear ICA on top of any method's codes: "METHOD+ica" (Nelson et al. 2026).

    Whitening drops directions without variance, so dead codes do not disturb it.
    """

    method: Method
    fit_samples: int = 6144

    def fit(self, dataset: Dataset, generator: torch.Generator, trainer: Trainer) -> Encoder:
        encoder = self.method.fit(dataset, generator, trainer)
        codes = encode(encoder, dataset.sample(self.fit_samples, generator)[0])
        seed = derived_seed(generator.initial_seed(), "ica") % 2**32
        # scikit-learn's own whitening fails where the first input is constant, as the corner of an image is.
        whitening = PCA(min(len(dataset.factors), *codes.shape), whiten=True, random_state=seed)
        whitening.fit(codes.astype(np.float64))
        spread = whitening.explained_variance_
        kept = int((spread > 1e-10 * spread[0]).sum())
        model = FastICA(whiten=False, max_iter=1000, random_state=seed)
        with warnings.catch_warnings():
            # Codes that are Gaussian have no ICA solution; the last iterate is still a rotation of them.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(whitening.transform(codes)[:, :kept])
        return _on_arrays(lambda codes: model.transform(whitening.transform(codes)[:, :kept]), encoder)


def _flatten(observations: Tensor) -> Tensor:
    return observations.flatten(1).float()


def _on_arrays(transform: Transform, encoder: Encoder) -> Encoder:
    def composed(observations: Tensor) -> Tensor:
        with torch.no_grad():
            codes = encoder(observations)
        return torch.from_numpy(transform(codes.cpu().numpy())).float().to(codes.device)

    return composed
