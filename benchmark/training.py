"""The one training loop: steps, schedule, loss log, checkpoint, resume."""

from __future__ import annotations

import contextlib
import ctypes
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unmix.disk import whole
from unmix.distributed import encode_batch, mean_gradients, rank, ranks
from unmix.stopping import Stopped, asked, postponed
from unmix.types import DeclinedError, Encoder

Terms = dict[str, Tensor]
"""What is minimised under "loss", and other scalars that the learning curve shows beside it."""
Loss = Callable[[int], Tensor | Terms]
CHECKPOINT_SECONDS = 30.0


class DivergedError(RuntimeError):
    """The loss was NaN or infinite; the message names the step and the last good checkpoint."""


@dataclass(frozen=True)
class Recipe:
    """How a module is optimised; part of a run's identity.

    Muon (Jordan et al. 2024; torch.optim.Muon) orthogonalises the updates of the hidden weight matrices, so
    that directions with a small gradient are learned at the same rate. The first and the last matrix, biases
    and bounds go to Adam with `lr_adam`, as its authors advise.
    """

    steps: int = field(default=3000, metadata={"help": "optimiser steps"})
    batch: int = field(default=1024, metadata={"help": "pairs (or samples) a step"})
    optimiser: Literal["adam", "muon"] = field(default="muon", metadata={"help": "of the hidden matrices"})
    lr: float = field(default=6e-3, metadata={"help": "peak learning rate"})
    lr_adam: float = field(default=2e-3, metadata={"help": "of what muon leaves to Adam"})
    schedule: Literal["constant", "cosine"] = field(default="cosine", metadata={"help": "after the warm-up"})
    warmup: int = field(default=100, metadata={"help": "steps of linear warm-up"})
    clip: float = field(default=0.3, metadata={"help": "largest norm of the gradient; 0: none"})

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        for name in ("lr", "lr_adam"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"{name} is {getattr(self, name)}: it must be positive")
        for name in ("warmup", "clip"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 0")

    def rate(self, step: int) -> float:
        """Share of the peak learning rate at a step that starts at 0."""
        ramp = min(1.0, (step + 1) / (self.warmup + 1))
        return ramp if self.schedule == "constant" else ramp * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def optimisers(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        """One for the matrices and one for the rest, or one for both."""
        parameters = [p for p in module.parameters() if p.requires_grad]
        if self.optimiser == "adam":
            return [torch.optim.Adam(parameters, lr=self.lr)]
        hidden = [p for p in parameters if p.ndim == 2][1:-1]
        rest = [p for p in parameters if all(p is not matrix for matrix in hidden)]
        if not hidden:
            return [torch.optim.Adam(rest, lr=self.lr_adam)]
        muon = torch.optim.Muon(hidden, lr=self.lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        return [muon, torch.optim.Adam(rest, lr=self.lr_adam)]


@dataclass(frozen=True)
class Progress:
    """A point of the learning curve: steps, training seconds so far, scores; loss and terms, means since the last."""

    step: int
    seconds: float
    loss: float
    scores: dict[str, float]
    terms: dict[str, float] = field(default_factory=dict)


@dataclass
class Trainer:
    """Where and how a run trains; nothing here changes its result.

    Args:
        device: Of the module and the observations.
        checkpoint: File that is written whole or not at all and resumed from bit for bit; None for none.
        every: Seconds between checkpoints; CHECKPOINT_SECONDS by default.
        points: Number of points of the learning curve.
        probe: Scores of the encoder so far, on its own samples; None for none.
        report: Called with each point, for progress bars.
        chunk: Observations that a method on pairs encodes at a time, to save memory; 0: all.
        compile: Backend of torch.compile for the networks, such as "inductor"; "": none. It may move the last digits.
        steps: Done so far; a loss that changes with time reads it.
        seconds: Of training, without the probe.
        shares: Whether the method's batches can be shared out: it has called `encode`.
    """

    device: str = "cpu"
    checkpoint: Path | None = None
    every: float | None = None
    points: int = 40
    probe: Callable[[Encoder], dict[str, float]] | None = None
    report: Callable[[Progress, int], None] | None = None
    chunk: int = 0
    compile: str = ""
    curve: list[Progress] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    shares: bool = False

    def encode(self, encoder: nn.Module, observations: Tensor) -> Tensor:
        """Codes (n, d) of a batch for a loss: in chunks, and shared out where several ranks train together.

        Raises:
            ValueError: When the encoder or the batch cannot be split; see `distributed.encode_batch`.
        """
        self.shares = True
        return encode_batch(encoder, observations, self.chunk)

    def minimise(
        self,
        module: nn.Module,
        loss: Loss,
        recipe: Recipe,
        generator: torch.Generator,
        encoder: Encoder | None = None,
    ) -> None:
        """Minimise loss(batch) over the module's parameters, from the last checkpoint where there is one.

        Args:
            module: All that is trained.
            loss: Batch size -> scalar, or a scalar "loss" and named terms of it to log; draws its randomness from
                `generator`.
            recipe: Steps, batch, optimiser and schedule.
            generator: Its state is part of the checkpoint.
            encoder: What the probe scores; the module by default.

        Raises:
            DivergedError: When a loss is not finite.
        """
        _Loop(self, module, loss, recipe, generator, encoder or module).run()


class _Loop:
    """One training: the state that a checkpoint holds and the steps that move it."""

    def __init__(
        self,
        trainer: Trainer,
        module: nn.Module,
        loss: Loss,
        recipe: Recipe,
        generator: torch.Generator,
        encoder: Encoder,
    ) -> None:
        self.trainer, self.module, self.loss, self.recipe = trainer, module, loss, recipe
        self.generator, self.encoder = generator, encoder
        self.optimisers = recipe.optimisers(module)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["initial_lr"] = group["lr"]
        self.step = 0
        self.seconds = 0.0
        if trainer.compile:
            for part in (module, *module.children()):
                part.compile(backend=trainer.compile)
        self.recent: list[Terms] = []  # since the last point, on the device: reading each would wait

    @postponed()
    def run(self) -> None:
        _keep_freed_memory()
        self._resume()
        trainer, steps = self.trainer, self.recipe.steps
        marks = {max(1, round(steps * i / trainer.points)) for i in range(1, trainer.points + 1)}
        every = CHECKPOINT_SECONDS if trainer.every is None else trainer.every
        flush = 1 if torch.device(trainer.device).type == "cpu" else 50
        saved = started = time.perf_counter()
        self.module.train()
        while self.step < steps:
            self._advance()
            now = time.perf_counter()
            if self.step in marks or self.step % flush == 0:
                self._refuse_divergence()
            if self.step in marks:
                self.seconds += now - started
                self._point()
                started = time.perf_counter()
            stop = asked()
            if trainer.checkpoint and rank() == 0 and (stop or now - saved > every):
                self._refuse_divergence()
                self.seconds += time.perf_counter() - started
                self._save(trainer.checkpoint)
                saved = started = time.perf_counter()
            if stop:
                raise Stopped
        self.module.eval()
        trainer.steps, trainer.seconds = self.step, self.seconds

    def _advance(self) -> None:
        self.trainer.steps = self.step
        rate = self.recipe.rate(self.step)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * rate
        value = self.loss(self.recipe.batch)
        terms = value if isinstance(value, dict) else {"loss": value}
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        if (ranks() > 1 or self.trainer.chunk) and not self.trainer.shares:
            raise DeclinedError("this method encodes its batch at once: leave out --chunk and --ranks")
        mean_gradients(self.module)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        self.recent.append({name: term.detach() for name, term in terms.items()})
        self.step += 1

    def _refuse_divergence(self) -> None:
        recent = [terms["loss"] for terms in self.recent[-64:]]
        finite = torch.stack(recent).isfinite() if recent else torch.ones(1)
        if not bool(finite.all()):
            first = self.step - len(finite) + int((~finite).nonzero()[0]) + 1
            kept = self.trainer.checkpoint
            where = f"; the last good state is in {kept}" if kept and kept.exists() else ""
            raise DivergedError(f"the loss is not finite at step {first}{where}: lower the learning rate or tau")

    def _point(self) -> None:
        trainer = self.trainer
        scores: dict[str, float] = {}
        if trainer.probe is not None:
            self.module.eval()
            with torch.no_grad():
                scores = trainer.probe(self.encoder)
            self.module.train()
        terms = {name: torch.stack([terms[name] for terms in self.recent]).mean().item() for name in self.recent[0]}
        self.recent = []
        trainer.curve.append(Progress(self.step, self.seconds, terms.pop("loss"), scores, terms))
        if trainer.report is not None:
            trainer.report(trainer.curve[-1], self.recipe.steps)

    def _save(self, path: Path) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "module": self.module.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "generator": self.generator.get_state(),
            "recent": self.recent,
            "curve": [asdict(point) for point in self.trainer.curve],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            torch.save(state, file)

    def _resume(self) -> None:
        path = self.trainer.checkpoint
        if path is None or not path.exists():
            return
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.trainer.device, weights_only=True)
        except (OSError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # a damaged file fails in many ways
            raise ValueError(f"{path} is damaged: delete it to start over ({error})") from None
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(f"{path} belongs to another recipe: delete it to start over")
        self.module.load_state_dict(state["module"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.generator.set_state(state["generator"].cpu())
        self.step, self.seconds, self.recent = state["step"], state["seconds"], state["recent"]
        self.trainer.curve[:] = [Progress(**point) for point in state["curve"]]


def _keep_freed_memory() -> None:
    """Let glibc keep freed blocks of up to 32 MiB, which it returns to the system by default.

    The activations of a convolutional step are a few MiB each and would be faulted in again page by page at every
    step: a fifth of its time on a CPU.
    """
    mmap_threshold, trim_threshold = -3, -1  # malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other systems have other allocators
        library = ctypes.CDLL(None)
        library.mallopt(mmap_threshold, 32 << 20)
        library.mallopt(trim_threshold, 1 << 30)
