"""Encoder and dataset -> codes and factors -> scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from unmix.metrics.contract import Score
from unmix.registry import METRICS
from unmix.types import Dataset, Encoder

DEFAULT_METRICS = ("r2(in_sample)", "r2", "mcc", "mcc(spearman)", "mcc(held_out)")


class EncoderError(RuntimeError):
    """An encoder that returned no codes to score: wrong shape, or NaN."""


@dataclass(frozen=True)
class Evaluation:
    """How an encoder is scored; part of a run's identity.

    Args:
        samples: Fresh observations from the marginal (Zimmermann et al. 2020: one batch of 6144).
        metrics: Registered names.
    """

    samples: int = field(default=6144, metadata={"help": "fresh evaluation samples"})
    metrics: tuple[str, ...] = field(default=DEFAULT_METRICS, metadata={"help": "registered metric names"})

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "metrics": list(self.metrics)}


def encode(encoder: Encoder, observations: torch.Tensor, batch: int | None = None) -> np.ndarray:
    """Codes (n, d) float32 of observations (n, *shape), without gradients, in batches: of 8192, images of 256.

    Raises:
        EncoderError: When the codes are not a finite matrix with one row an observation.
    """
    batch = batch or (8192 if observations.ndim == 2 else 256)
    with torch.no_grad():
        codes = torch.cat([encoder(part) for part in torch.split(observations, batch)])
    if codes.ndim != 2 or len(codes) != len(observations):
        raise EncoderError(
            f"the encoder returned shape {tuple(codes.shape)} for {len(observations)} observations: "
            f"it must return codes ({len(observations)}, d)"
        )
    array: np.ndarray = codes.float().cpu().numpy()
    if not np.isfinite(array).all():
        columns = np.flatnonzero(~np.isfinite(array).all(axis=0)).tolist()
        raise EncoderError(f"the encoder returned NaN or infinite codes in columns {columns}")
    return array


def codes_and_factors(
    encoder: Encoder, dataset: Dataset, samples: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw fresh observations and encode them: codes (n, d) and factors (n, k), float32."""
    observations, factors = dataset.sample(samples, generator)
    return encode(encoder, observations), factors.float().cpu().numpy()


def score(
    codes: np.ndarray, factors: np.ndarray, dataset: Dataset, metrics: Sequence[str], seed: int
) -> dict[str, Score]:
    """Registered metric name -> score."""
    types = [factor.type for factor in dataset.factors]
    periods = [factor.period for factor in dataset.factors]
    return {
        name: METRICS[name](factors, codes, factor_types=types, factor_periods=periods, seed=seed) for name in metrics
    }
