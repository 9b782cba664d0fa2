"""What every method promises: plain checks, of our own methods in the tests and of anyone's by `unmix check`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from unmix.baselines.reference import PlusIca
from unmix.evaluation import encode
from unmix.flags import add_flags
from unmix.method_file import where
from unmix.run import build, make_dataset
from unmix.seeds import derived_generator
from unmix.training import Progress, Trainer
from unmix.types import Dataset, DeclinedError, Encoder, Method

SMALL: dict[str, dict[str, Any]] = {
    "synthetic": {"n": 3, "pool": 100},
    "nonstationary": {"n": 3, "segments": 6, "pool": 100},
}
HOMES = ("synthetic", "dsprites_procedural", "nonstationary")  # vectors, images, vectors with segments
STEPS = 4


class BrokenError(AssertionError):
    """A promise that a method does not keep: why, and what to do."""


class Candidate:
    """A method under test, on the first small dataset that it does not decline.

    Args:
        kind: Its class.
        ica: Whether linear ICA goes on top, as "+ica" does.
    """

    def __init__(self, kind: Any, ica: bool = False) -> None:
        self.kind = kind
        self.ica = ica

    @property
    def fields(self) -> tuple[dataclasses.Field[Any], ...]:
        return dataclasses.fields(self.kind) if dataclasses.is_dataclass(self.kind) else ()

    @property
    def recipe(self) -> bool:
        """Whether its number of steps can be chosen."""
        return any(field.name == "recipe" for field in self.fields)

    @property
    def trained(self) -> bool:
        """Whether its encoder is a module that the trainer trains."""
        return self.recipe and not self.ica

    @cached_property
    def home(self) -> str:
        """The first of `HOMES` that it does not decline."""
        reasons = []
        for name in HOMES:
            try:
                self.fit(1, home=name)
            except DeclinedError as declined:
                if not str(declined):
                    raise BrokenError(f"it declines {name} without a reason: DeclinedError(reason)") from None
                reasons.append(f"{name}: {declined}")
            else:
                return name
        raise BrokenError(f"it declines vectors, images and segments; {'; '.join(reasons)}")

    @cached_property
    def observations(self) -> Tensor:
        return self.dataset().sample(50, derived_generator(0, "test"))[0]

    def dataset(self, home: str = "") -> Dataset:
        name = home or self.home
        return make_dataset({"name": name, **SMALL.get(name, {})}, 0)

    def made(self, steps: int = STEPS, warmup: int = 1, home: str = "") -> Method:
        batch = 8 if (home or self.home) == "dsprites_procedural" else 32
        recipe = {"recipe": {"steps": steps, "batch": batch, "warmup": warmup}} if self.recipe else {}
        method: Method = build(self.kind, recipe, f"method {self.kind.__name__}")
        return PlusIca(method) if self.ica else method

    def fit(self, steps: int = STEPS, seed: int = 0, warmup: int = 1, home: str = "") -> Encoder:
        method = self.made(steps, warmup, home)
        return method.fit(self.dataset(home), derived_generator(seed, "training"), Trainer())

    def codes(self, encoder: Encoder) -> np.ndarray:
        """Of the 50 observations."""
        return encode(encoder, self.observations)


Check = Callable[[Candidate], str | None]


@dataclasses.dataclass(frozen=True)
class Promise:
    """Something that a method keeps or breaks.

    Args:
        name: A clause about the method: "is frozen".
        check: Raises `BrokenError`, or what the method itself raises; may return a word of caution.
        trained: Only of methods with a recipe, whose encoder is a module.
        needed: Where it is broken, those after it cannot be tried.
        exempt: Registered names that break it on purpose.
    """

    name: str
    check: Check
    trained: bool = False
    needed: bool = False
    exempt: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name

    def concerns(self, candidate: Candidate) -> bool:
        return (candidate.trained or not self.trained) and candidate.kind.__name__ not in self.exempt


PROMISES: list[Promise] = []


def promise(name: str, **options: Any) -> Callable[[Check], Check]:
    """Decorator: the function checks the promise of this name."""

    def add(check: Check) -> Check:
        PROMISES.append(Promise(name, check, **options))
        return check

    return add


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a promise: "kept", with a word of caution or none; "broken" with its reason; "not tried"."""

    promise: Promise
    status: Literal["kept", "broken", "not tried"]
    reason: str = ""


def verdicts(candidate: Candidate) -> Iterator[Verdict]:
    """On each promise that concerns a method, in turn; an error of the method itself names its line."""
    stopped = False
    for each in PROMISES:
        if not each.concerns(candidate):
            continue
        if stopped:
            yield Verdict(each, "not tried")
            continue
        try:
            yield Verdict(each, "kept", each.check(candidate) or "")
        except BrokenError as broken:
            stopped = each.needed
            yield Verdict(each, "broken", str(broken))
        except Exception as error:
            stopped = each.needed
            path = Path(inspect.getfile(candidate.kind))
            yield Verdict(each, "broken", f"{type(error).__name__}: {error} ({where(error, path)})")


@promise("is a dataclass with fit", needed=True)
def _is_a_dataclass(candidate: Candidate) -> None:
    if not dataclasses.is_dataclass(candidate.kind) or not callable(getattr(candidate.kind, "fit", None)):
        raise BrokenError("a method is a dataclass with fit(self, dataset, generator, trainer) -> encoder")


@promise("is frozen, and its docstring says what it is")
def _is_frozen(candidate: Candidate) -> None:
    if not candidate.kind.__dataclass_params__.frozen:
        raise BrokenError("its fields could change during a run: @dataclass(frozen=True)")
    documented = candidate.kind.__doc__ or ""
    if not documented or documented.startswith(f"{candidate.kind.__name__}("):  # the one that dataclass writes
        raise BrokenError("it has no docstring: the loss in one formula, and the paper")


@promise("has fields with a default, a help and a flag")
def _has_documented_fields(candidate: Candidate) -> None:
    for field in candidate.fields:
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BrokenError(f"the field {field.name} has no default")
        if field.name != "recipe" and not field.metadata.get("help"):
            raise BrokenError(f'the field {field.name} has no help: field(default=..., metadata={{"help": "..."}})')
        if field.name in ("name", "source", "seed"):
            raise BrokenError(f"a run has its own {field.name}: give the field another name")
        if field.metadata.get("implied", field.default) != field.default:
            raise BrokenError(f"the field {field.name} implies another value than its default")
    add_flags(argparse.ArgumentParser(), "method", candidate.kind.__name__, candidate.kind)


@promise("can be made again from its record", needed=True)
def _can_be_made_again(candidate: Candidate) -> None:
    made = build(candidate.kind, {}, candidate.kind.__name__)
    again = build(candidate.kind, json.loads(json.dumps(dataclasses.asdict(made))), candidate.kind.__name__)
    if made != again:
        raise BrokenError(f"{made} comes back from JSON as {again}: fields are numbers, words or tuples of them")


@promise("trains on a small dataset, or says why not", needed=True)
def _fits(candidate: Candidate) -> None:
    candidate.home  # noqa: B018  fits


@promise("gives each observation finite codes, not all of them dead", needed=True)
def _encodes(candidate: Candidate) -> str | None:
    encoder = candidate.fit()
    with torch.no_grad():
        given = encoder(candidate.observations)
    if not isinstance(given, Tensor):
        raise BrokenError(f"the encoder returned {type(given).__name__}: it must return a tensor (n, d)")
    codes = candidate.codes(encoder)
    if not codes.shape[1]:
        raise BrokenError("the encoder returned no codes: d is 0")
    dead = np.flatnonzero(codes.var(axis=0) <= 1e-12 * float(np.square(codes).mean())).tolist()
    if len(dead) == codes.shape[1]:
        raise BrokenError(f"all codes are dead, the same for all observations, after {STEPS} steps: it has collapsed")
    return f"dead after {STEPS} steps, the same for all observations: codes {dead}" if dead else None


@promise("gives an observation the same codes in any batch", exempt=frozenset({"Noise"}))
def _encodes_alone(candidate: Candidate) -> None:
    encoder = candidate.fit()
    first, parts = (encode(encoder, candidate.observations, batch) for batch in (50, 20))
    if not np.allclose(first, parts, rtol=1e-3, atol=1e-3 * float(first.std())):
        raise BrokenError("the codes change with the batch or from call to call: no batch statistics, no randomness")


@promise("gives the same codes from the same generator")
def _is_repeatable(candidate: Candidate) -> None:
    found, _ = [], candidate.observations  # which are drawn before a global seed is set
    for seed in (1, 2, 1):
        with _global_seeds(seed):
            found.append(candidate.codes(candidate.fit()))
    if not np.array_equal(found[0], found[2]):
        raise BrokenError("two fits of one seed differ: something is kept from fit to fit, or unseeded")
    if not np.array_equal(found[0], found[1]):
        raise BrokenError("the codes depend on a global seed: draw from `generator`, and see `initialised` for weights")


@promise("leaves global random state alone")
def _leaves_global_state(candidate: Candidate) -> None:
    candidate.home  # noqa: B018  fits before the states are read
    with _global_seeds(1234):  # where no method that sets a seed of its own has left them
        before = _global_state()
        candidate.fit()
        moved = [name for name, state in _global_state().items() if state != before[name]]
    if moved:
        raise BrokenError(f"{' and '.join(moved)} moved: draw from `generator`, and see `initialised` for weights")


@promise("keeps nothing from fit to fit")
def _keeps_nothing(candidate: Candidate) -> None:
    method, dataset = candidate.made(), candidate.dataset()
    before = repr(method)
    first, _, again = (
        candidate.codes(method.fit(dataset, derived_generator(seed, "training"), Trainer())) for seed in (0, 1, 0)
    )
    if repr(method) != before:
        raise BrokenError(f"fit changes the method, from {before} to {method!r}: keep state in the encoder")
    if not np.array_equal(first, again):
        raise BrokenError("a fit depends on the fits before it: keep state in the encoder, and build it in fit")


@promise("trains a module, all of whose parameters learn", trained=True)
def _learns(candidate: Candidate) -> None:
    initial, trained = (_module(candidate.fit(steps, warmup=0)) for steps in (1, 3))
    for (name, before), after in zip(initial.named_parameters(), trained.parameters(), strict=True):
        if torch.equal(before, after):
            raise BrokenError(f"the parameter {name} does not learn: no gradient reaches it, or it is not trained")


@promise("has weights that can be saved and loaded", trained=True)
def _can_be_loaded(candidate: Candidate) -> None:
    encoder, other = _module(candidate.fit()), _module(candidate.fit(seed=1))
    expected = candidate.codes(encoder)
    if np.array_equal(candidate.codes(other), expected):
        raise BrokenError("another seed gives the same codes: weights must follow from `generator`, see `initialised`")
    other.load_state_dict(encoder.state_dict())
    if not np.array_equal(candidate.codes(other), expected):
        raise BrokenError("the encoder's state_dict does not hold all that its codes depend on")


@promise("goes on from its checkpoint bit for bit", trained=True)
def _resumes(candidate: Candidate) -> None:
    whole = Trainer()
    expected = candidate.codes(_fit_with(candidate, whole))
    if whole.steps != STEPS:
        raise BrokenError(
            f"trainer.minimise took {whole.steps} of the recipe's {STEPS} steps: train by it alone and in one call, "
            "with self.recipe; it keeps the checkpoints"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        with contextlib.suppress(_KilledError):
            _fit_with(candidate, Trainer(checkpoint=path, every=0.0, report=_kill))
        resumed = Trainer(checkpoint=path, every=0.0)
        codes = candidate.codes(_fit_with(candidate, resumed))
    if not np.array_equal(codes, expected) or _losses(resumed) != _losses(whole):
        raise BrokenError(
            f"killed after {STEPS // 2} steps and resumed, it ends elsewhere: the loss depends on what no checkpoint "
            "holds. Put it into the module that is minimised, or read trainer.steps"
        )


class _KilledError(BaseException):
    """Stands for a process that dies between two steps; no `except Exception` of a method stops it."""


def _kill(point: Progress, steps: int) -> None:
    if point.step > STEPS // 2:
        raise _KilledError


def _fit_with(candidate: Candidate, trainer: Trainer) -> Encoder:
    return candidate.made().fit(candidate.dataset(), derived_generator(0, "training"), trainer)


def _losses(trainer: Trainer) -> list[tuple[int, float]]:
    return [(point.step, point.loss) for point in trainer.curve]


def _module(encoder: Encoder) -> nn.Module:
    if not isinstance(encoder, nn.Module):
        raise BrokenError(f"the encoder is {type(encoder).__name__}, no torch module: its weights cannot be kept")
    return encoder


def _global_state() -> dict[str, Any]:
    """Without Python's `random`, which beartype draws from: whoever uses it depends on its seed."""
    return {
        "torch's global generator": torch.random.get_rng_state().numpy().tobytes(),
        "NumPy's global generator": str(np.random.get_state()),
    }


@contextlib.contextmanager
def _global_seeds(seed: int) -> Iterator[None]:
    """All global generators start at a seed, and are where they were afterwards."""
    numpys, pythons = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpys)
            random.setstate(pythons)
