"""Cost of the pairwise losses beside the encoder's: `pytest tests/bench_pairwise.py -s` on a quiet machine.

The figure is a ratio of two things that ran interleaved, each by its fastest round: a whole training step
over the same step with a trivial loss, or the plain formula over ours. UNMIX_THREADS sets torch's threads
(2), UNMIX_ROUNDS the rounds (10).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from unmix.baselines.pairwise import info_nce, log_partition

BATCH, N = 6144, 10
THREADS = int(os.environ.get("UNMIX_THREADS", "2"))
ROUNDS = int(os.environ.get("UNMIX_ROUNDS", "10"))
LOSSES = {
    "p=1": {"p": 1.0},
    "p=2": {"p": 2.0},
    "p=2, wide": {"p": 2.0, "tau": 1e-3},  # codes too far apart for matrix products
    "p=3": {"p": 3.0},
    "vmf": {"similarity": "vmf"},
}
losses = pytest.mark.parametrize("name", LOSSES)


class Step:
    """One optimiser step of the papers' encoder, with a loss of the pairwise kind or (None) a trivial one."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        sizes = [N, 10 * N, 50 * N, 50 * N, 50 * N, 50 * N, 10 * N, N]
        layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.LeakyReLU(0.01))]
        self.encoder = nn.Sequential(
            *layers[:-1], nn.BatchNorm1d(N, affine=False)
        )  # codes of a trained one's scale
        self.optimiser = torch.optim.Adam(self.encoder.parameters(), lr=1e-4)
        self.observations = torch.randn(2 * BATCH, N)

    def __call__(self, name: str | None) -> None:
        self.optimiser.zero_grad()
        codes = self.encoder(self.observations)
        if name is None:
            loss = codes.sum()
        else:
            if name == "vmf":
                codes = nn.functional.normalize(codes, dim=1)
            loss = info_nce(*codes.chunk(2), **LOSSES[name])
        loss.backward()
        self.optimiser.step()


def plain(u, name):
    options = {"similarity": "lp", "tau": 1.0} | LOSSES[name]
    if options["similarity"] == "vmf":
        return torch.logsumexp((u[:, None] * u).sum(2) / options["tau"], 1)
    return torch.logsumexp(-(u[:, None] - u).abs().pow(options["p"]).sum(2) / options["tau"], 1)


def peak(name: str | None) -> float:
    """Peak memory of a training step in MB, beyond that of a process that has imported torch."""
    code = f"import bench_pairwise as b; print(b.growth({name!r}))"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(answer.stdout)


def growth(name: str | None) -> float:
    torch.set_num_threads(THREADS)
    before = high_water()
    step = Step()
    step(name)
    step(name)
    return high_water() - before


def high_water() -> float:
    """Largest resident size so far, in MB (Linux). ru_maxrss would start with the parent's."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


def interleaved(ours, other, rounds):
    """Seconds of both, each the fastest of alternating rounds."""
    seconds = ([], [])
    for _ in range(rounds):
        for function, times in zip((ours, other), seconds, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return [min(times) for times in seconds]


@pytest.fixture(scope="module")
def table():
    """The ratios, printed when all are there."""
    rows = []
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield rows
    torch.set_num_threads(threads)
    print(f"\n\n{THREADS} threads, fastest of {ROUNDS} interleaved rounds")
    print("\n".join(f"{what:<28}{name:<12}{ratio:8.2f}  {rest}" for what, name, ratio, rest in rows))


@losses
def test_step_over_encoder(benchmark, table, name):
    step = Step()
    seconds, alone = interleaved(lambda: step(name), lambda: step(None), ROUNDS)
    memory, memory_alone = peak(name), peak(None)
    benchmark.extra_info |= {"ratio": seconds / alone, "peak MB": memory, "encoder's peak MB": memory_alone}
    table.append(
        (
            "step / encoder alone",
            name,
            seconds / alone,
            f"{seconds:.3f} s / {alone:.3f} s; peak {memory:.0f} MB, encoder alone {memory_alone:.0f} MB",
        )
    )
    benchmark.pedantic(step, args=(name,), rounds=1)


@losses
def test_plain_over_ours(benchmark, table, name):
    u = torch.randn(1024, N, generator=torch.Generator().manual_seed(0)).requires_grad_()
    if name == "vmf":
        u = nn.functional.normalize(u.detach(), dim=1).requires_grad_()

    def ours():
        log_partition(u, **LOSSES[name]).sum().backward()

    seconds, theirs = interleaved(ours, lambda: plain(u, name).sum().backward(), 2 * ROUNDS)
    benchmark.extra_info["ratio"] = theirs / seconds
    table.append(
        (
            "plain formula / ours, B=1024",
            name,
            theirs / seconds,
            f"{theirs * 1e3:.1f} ms / {seconds * 1e3:.1f} ms",
        )
    )
    benchmark(ours)
