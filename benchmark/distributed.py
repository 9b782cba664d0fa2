"""One training over several processes: each rank encodes its part of every batch, and all see all codes.

Every rank draws the whole batch from the same generator and encodes its own slice. Codes are gathered, so that the
loss of the whole batch is known to each; a gradient flows into a rank's own slice, and the mean of the ranks'
gradients is the one of a single process (`Gathered`). So the number of ranks is no part of a run's identity: it moves
the last digits of a float only. Drawing and the loss are done on each rank; encoding, which costs most, is shared out.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.utils.checkpoint import checkpoint

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def ranks() -> int:
    """Processes that train together; 1 outside of `together`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Of this process; 0 writes checkpoints and records."""
    return dist.get_rank() if dist.is_initialized() else 0


def encode_batch(encoder: nn.Module, observations: Tensor, chunk: int = 0) -> Tensor:
    """Codes (n, d) of a batch of observations (n, *shape), with their gradient.

    With `chunk`, so many observations are encoded at a time and encoded again in the backward pass, so that the
    activations of one chunk are held instead of those of the batch (gradient caching, Gao et al. 2021, "Scaling Deep
    Contrastive Learning Batch Size under Memory Limited Setup"): a quarter more time for memory that the batch does
    not move.

    Raises:
        ValueError: When the batch is no multiple of the ranks, or the encoder has a batch normalisation, whose
            statistics would be those of a part of the batch.
    """
    parts = ranks()
    if (chunk or parts > 1) and any(isinstance(module, BATCH_NORMS) for module in encoder.modules()):
        raise ValueError(
            "the encoder has a batch normalisation, whose statistics would be those of a part of the batch: "
            "leave out --chunk and --ranks, or take --network conv"
        )
    if len(observations) % parts:
        raise ValueError(f"{len(observations)} observations do not divide among {parts} ranks: change --batch")
    size = len(observations) // parts
    own = observations[rank() * size : (rank() + 1) * size]
    if chunk and chunk < size:
        pieces = [checkpoint(encoder, piece, use_reentrant=False) for piece in torch.split(own, chunk)]
        codes = torch.cat(pieces)
    else:
        codes = encoder(own)
    gathered: Tensor = codes if parts == 1 else Gathered.apply(codes)
    return gathered


class Gathered(torch.autograd.Function):
    """All ranks' codes, in their order.

    Each rank computes the same loss L of all codes c_1..c_R, each a function of the same parameters. The gradient of L
    for the parameters is the sum over r of (dc_r/dw)' dL/dc_r, of which rank r has its own term; times R, so that the
    mean over ranks, which `mean_gradients` takes, is that sum, and leaves alone parameters of the loss itself.
    """

    @staticmethod
    def forward(ctx: Any, codes: Tensor) -> Tensor:
        codes = codes.contiguous()
        everyone = [torch.empty_like(codes) for _ in range(ranks())]
        dist.all_gather(everyone, codes)
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].chunk(ranks())[rank()] * ranks()


def mean_gradients(module: nn.Module) -> None:
    """Replace each gradient by its mean over the ranks, in one message."""
    if ranks() == 1:
        return
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= ranks()
    for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


@contextmanager
def together(count: int, device: str, follow: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """Rank 0 of `count` processes; the others call follow(*arguments) in processes of their own, which end with this.

    Args:
        count: Processes; 1 starts none.
        device: "cpu" (gloo), or "cuda" (nccl; rank r takes the r-th GPU).
        follow: A function of a module, which does on its rank what is done inside `with` on rank 0.

    Raises:
        RuntimeError: When a rank fails; the message has its error.
    """
    if count == 1:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        others = start_processes(  # type: ignore[no-untyped-call]
            _join,
            (count, meeting, device, os.getpid(), torch.get_num_threads(), follow, arguments),
            count - 1,
            join=False,
        )
        _meet(0, count, meeting, device)
        try:
            yield
            while not others.join():
                pass
        finally:
            dist.destroy_process_group()
            for process in others.processes:
                process.terminate()


def _join(
    index: int, count: int, meeting: str, device: str, parent: int, threads: int, follow: Any, arguments: Any
) -> None:
    def watch() -> None:  # a rank whose first has died would wait for it for ever
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(threads)
    _meet(index + 1, count, meeting, device)
    follow(*arguments)
    dist.destroy_process_group()


def _meet(index: int, count: int, meeting: str, device: str) -> None:
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(index)
    dist.init_process_group("nccl" if cuda else "gloo", init_method=meeting, rank=index, world_size=count)
