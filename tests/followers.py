"""What other ranks do in test_distributed.py; a module of its own, since their processes import it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from unmix.baselines.pairwise import info_nce
from unmix.distributed import mean_gradients
from unmix.training import Trainer


class WithScale(nn.Module):
    """An encoder and a loss that has a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.encoder = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 3)).double()
        self.scale = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))


def gradients(batch: int, chunk: int = 0) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients of one batch of pairs, the same on any number of ranks and with any chunk."""
    model = WithScale()
    pairs = torch.randn(2 * batch, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    codes = Trainer(chunk=chunk).encode(model.encoder, pairs)
    loss = partial(info_nce, p=3.0)(*(model.scale * codes).chunk(2))
    loss.backward()
    mean_gradients(model)
    return loss.detach(), [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
