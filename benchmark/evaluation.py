"""Encoder and dataset -> codes and factors -> scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from unmix.factors import Factor, FactorType
from unmix.metrics.contract import Score
from unmix.registry import METRICS
from unmix.types import Dataset, DeclinedError, Encoder

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


def encode(
    encoder: Encoder, observations: torch.Tensor, batch: int | None = None, device: str | None = None
) -> np.ndarray:
    """Codes (n, d) float32 of observations (n, *shape), without gradients, in batches: of 8192, images of 256.

    Batches are moved to the device of the encoder, where it is given.

    Raises:
        EncoderError: When the codes are not a finite matrix with one row an observation.
    """
    batch = batch or (8192 if observations.ndim == 2 else 256)
    with torch.no_grad():
        codes = torch.cat([encoder(part.to(device)) for part in torch.split(observations, batch)])
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
    encoder: Encoder, dataset: Dataset, samples: int, generator: torch.Generator, device: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw fresh observations and encode them: codes (n, d) and factors (n, k), float32."""
    observations, factors = dataset.sample(samples, generator)
    return encode(encoder, observations, device=device), factors.float().cpu().numpy()


def score(
    codes: np.ndarray, factors: np.ndarray, dataset: Dataset, metrics: Sequence[str], seed: int
) -> dict[str, Score]:
    """Registered metric name -> score.

    Raises:
        DeclinedError: A metric has no meaning for a factor, see `types_for`.
    """
    periods = [factor.period for factor in dataset.factors]
    scores = {}
    for name in metrics:
        types, note = types_for(name, dataset.factors)
        given = METRICS[name](factors, codes, factor_types=types, factor_periods=periods, seed=seed)
        warnings = (*given.warnings, note) if note else given.warnings
        shape = (given.n, given.d, given.k)
        scores[name] = Score(given, variant=name, shape=shape, warnings=warnings, details=given.details)
    return scores


def types_for(metric: str, factors: Sequence[Factor]) -> tuple[list[FactorType], str]:
    """The factor types that a metric is told, and a caveat where they are not the dataset's.

    A metric that does not know angles takes a periodic factor's levels as ordered, or its values as numbers, as the
    papers' protocols do.

    Raises:
        DeclinedError: The metric has no meaning for a factor that varies; the message names both.
    """
    accepts, types, unrolled = METRICS[metric].accepts, [], []
    for factor in factors:
        kind = factor.type
        if kind == "periodic" and kind not in accepts:
            kind = "ordinal" if factor.size is not None else "continuous"
            unrolled.append(factor.name)
        if factor.constant and kind not in accepts:
            kind = accepts[0]  # dropped before anything is computed
        if kind not in accepts:
            raise DeclinedError(
                f"{metric} has no meaning for the factor {factor.name}, which is {factor.type}: it takes "
                f"{', '.join(accepts)}; leave it out of --metrics"
            )
        types.append(kind)
    return types, f"taken as numbers, not as angles: {', '.join(unrolled)}" if unrolled else ""
