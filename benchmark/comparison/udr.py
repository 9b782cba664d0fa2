"""Unsupervised disentanglement ranking (UDR): do the seeds of a method agree on their codes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats
from sklearn.linear_model import Lasso
from torch import nn

from unmix.baselines.vae import Vae, kl_to_normal
from unmix.comparison.arms import Arm, Task, titles
from unmix.evaluation import encode
from unmix.record import Record, Store
from unmix.registry import DATASETS
from unmix.run import dead_variance, make_dataset
from unmix.seeds import derived_generator
from unmix.tables import Table
from unmix.weights import built, load

Kind = Literal["lasso", "spearman"]
LASSO = 0.1  # weight of the L1 term, of standardised codes
SAMPLES = 1000
KL = 0.01  # nats: a code of a VAE below it says nothing


def udr(
    codes: Sequence[Float[np.ndarray, "n _"]],
    informative: Sequence[Bool[np.ndarray, " _"]] | None = None,
    kind: Kind = "spearman",
) -> list[float]:
    """UDR of each of several models, from their codes of the same observations.

    `UDR_ij = (sum_b r_b^2 / sum_a R(a, b) + sum_a r_a^2 / sum_b R(a, b)) / (d_a + d_b)`, where R(a, b) >= 0 says how
    far code a of model i gives code b of model j, r is its largest entry of a column or row, and only the
    informative codes count, d_a and d_b of them. UDR_i is the median over j.

    R is Spearman's |rho|, or the |weights| of a Lasso (weight 0.1) from the codes of i, standardised, to each of j.
    Models whose codes are equal up to permutation, sign and scale have 1; by Lasso, which shrinks, 0.9 where the codes
    are uncorrelated. A model without informative codes has 0.

    Warning: seeds can agree on codes that mix the factors; and it sees nothing of a method that the seeds do not vary.

    Args:
        codes: (n, d), one a model.
        informative: (d,), which codes say something; those that vary by default.
        kind: "lasso" or "spearman".

    Returns:
        One in [0, 1] a model.

    Raises:
        ValueError: Fewer than two models, or not the same number of rows.

    Source: Duan et al. 2020, Unsupervised model selection for variational disentangled representation learning,
    section 4 and equation 3.
    """
    if len(codes) < 2:
        raise ValueError(f"{len(codes)} model has none to be compared with: give at least two seeds")
    if len({len(each) for each in codes}) > 1:
        raise ValueError(f"codes have {[len(each) for each in codes]} rows: they must be of the same observations")
    chosen = [each.std(axis=0) > 0 for each in codes] if informative is None else list(informative)
    kept = [np.asarray(each, dtype=float)[:, which] for each, which in zip(codes, chosen, strict=True)]
    relation = _lasso if kind == "lasso" else _spearman
    found = np.full((len(kept), len(kept)), np.nan)
    for i, first in enumerate(kept):
        for j, second in enumerate(kept):
            if i != j:
                found[i, j] = _agreement(relation(first, second)) if first.size and second.size else 0.0
    return [float(value) for value in np.nanmedian(found, axis=1)]


def table(arms: Sequence[Arm], store: Store, progressed: Callable[[str], None] = lambda _: None) -> Table:
    """UDR of each arm on each of its datasets: all seeds encode the same observations, by their weights in a store.

    Codes that runs keep are of each seed's own observations and cannot be used. What has none says why.
    """
    tasks = list(dict.fromkeys(task for arm in arms for task in arm.runs))
    named = titles(tasks)
    rows, notes = [], [f"Median over seeds; {SAMPLES} observations, the same for all seeds. High: the seeds agree."]
    for task in tasks:
        observations: torch.Tensor | None = None
        for arm in [arm for arm in arms if task in arm.runs]:
            progressed(f"UDR: {arm.label} on {named[task]}")
            try:
                if observations is None:
                    observations = _observations(task, next(iter(arm.runs[task].values())))
                seeds, scores, gone = _scored(observations, list(arm.runs[task].values()), store)
            except (ValueError, OSError) as error:
                notes.append(f"{arm.label} on {named[task]}: {error}.")
                continue
            notes += [f"{arm.label} on {named[task]}: {gone}."] if gone else []
            each = ", ".join(f"{seed}: {value:.2f}" for seed, value in zip(seeds, scores["spearman"], strict=True))
            medians = [f"{np.median(scores[kind]):.2f}" for kind in ("lasso", "spearman")]
            rows.append((named[task], arm.label, str(len(seeds)), *medians, each))
    header = ("dataset", "arm", "seeds", "UDR (Lasso)", "UDR (Spearman)", "of each seed (Spearman)")
    return Table("UDR", header, tuple(rows), tuple(notes))


def _observations(task: Task, record: Record) -> torch.Tensor:
    """What all seeds encode; how the pairs of its dataset are drawn does not touch it."""
    if any(field.name == "seed" for field in fields(DATASETS[task.name])):
        raise ValueError("each seed has a dataset of its own, so there are no common observations")
    return make_dataset(record.specification.dataset, 0).sample(SAMPLES, derived_generator(0, "udr"))[0]


def _scored(
    observations: torch.Tensor, records: Sequence[Record], store: Store
) -> tuple[list[int], dict[str, list[float]], str]:
    """Seeds, their UDR by kind, and a sentence of those without weights."""
    seeds, codes, informative, missing = [], [], [], []
    for record in sorted(records, key=lambda record: record.specification.seed):
        weights = store.run_folder(record.specification) / "encoder.safetensors"
        if record.parameters and not weights.exists():
            missing.append(str(record.specification.seed))
            continue
        encoder = built(record.specification)
        if isinstance(encoder, nn.Module):
            load(encoder, weights)
            encoder.eval()
        seeds.append(record.specification.seed)
        codes.append(encode(encoder, observations))
        informative.append(_informative(encoder, observations, codes[-1]))
    gone = f"weights of seed {', '.join(missing)} are not in {store.folder}" if missing else ""
    if len(seeds) < 2:
        counted = "no seed" if not seeds else "one seed"
        raise ValueError(f"{counted} to score, and UDR needs two" + (f"; {gone}" if gone else ""))
    return seeds, {kind: udr(codes, informative, kind) for kind in ("lasso", "spearman")}, gone


def _informative(encoder: object, observations: torch.Tensor, codes: np.ndarray) -> np.ndarray:
    """Of a VAE: KL from the prior above 0.01 nats; else the variance above what counts as dead."""
    if isinstance(encoder, Vae):
        with torch.no_grad():
            parts = [kl_to_normal(encoder.posterior(part)) for part in torch.split(observations, 256)]
        return np.asarray(torch.cat(parts).mean(dim=0).float().cpu().numpy() > KL)
    return np.asarray(codes.var(axis=0) > dead_variance(None, codes))


def _agreement(R: Float[np.ndarray, "a b"]) -> float:
    """Of two models; a code that is related to none counts as 0."""
    parts = []
    for axis in (0, 1):
        total = R.sum(axis=axis)
        parts.append(np.divide(R.max(axis=axis) ** 2, total, out=np.zeros_like(total), where=total > 0).sum())
    return float(sum(parts) / sum(R.shape))


def _spearman(first: Float[np.ndarray, "n a"], second: Float[np.ndarray, "n b"]) -> Float[np.ndarray, "a b"]:
    ranks = np.corrcoef(stats.rankdata(first, axis=0), stats.rankdata(second, axis=0), rowvar=False)
    ranks = np.atleast_2d(ranks)
    return np.asarray(np.abs(ranks[: first.shape[1], first.shape[1] :]))


def _lasso(first: Float[np.ndarray, "n a"], second: Float[np.ndarray, "n b"]) -> Float[np.ndarray, "a b"]:
    x, y = stats.zscore(first, axis=0), stats.zscore(second, axis=0)
    weights = [Lasso(alpha=LASSO).fit(x, column).coef_ for column in y.T]
    return np.asarray(np.abs(np.stack(weights, axis=1)))
