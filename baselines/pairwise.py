"""Pairwise losses (first version: p = 2 and vMF by matrix products)."""

from __future__ import annotations

import torch
from torch import Tensor


def info_nce(
    anchor: Tensor,
    positive: Tensor,
    *,
    similarity: str,
    p: float,
    tau: float,
    alpha: float,
    symmetric: bool,
    self_negative: bool,
    negatives: int | None,
) -> Tensor:
    """2 E[-alpha s_pos + (1 - alpha) logsumexp(negatives and the positive)]; negatives are the batch's anchors."""
    if symmetric or not self_negative or negatives or (similarity == "lp" and p != 2):
        raise NotImplementedError("not yet")
    if similarity == "vmf":
        scores, own = anchor @ anchor.T / tau, (anchor * positive).sum(1) / tau
    else:
        centred = anchor - anchor.mean(0).detach()
        squares = centred.square().sum(1)
        scores = -(squares[:, None] + squares - 2 * centred @ centred.T).clamp(min=0) / tau
        own = -(anchor - positive).square().sum(1) / tau
    partition = torch.logaddexp(torch.logsumexp(scores, 1), own)
    return 2 * (-alpha * own + (1 - alpha) * partition).mean()


def align_uniform(anchor: Tensor, positive: Tensor, *, alpha: float, p: float) -> Tensor:
    raise NotImplementedError("not yet")
