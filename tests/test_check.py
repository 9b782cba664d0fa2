"""The contract finds what is broken: one method a promise, each broken in one place."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from unmix.cli import main
from unmix.contract import PROMISES, Candidate, verdicts
from unmix.method_file import load

GOOD = '''
from __future__ import annotations
from dataclasses import dataclass, field
import random
import numpy as np
import torch
from torch import nn
from unmix.baselines.networks import encoder_for
from unmix.training import Recipe
from unmix.types import DeclinedError

CALLS = []

@dataclass(frozen=True)
class Mine:
    """E ||h(x) - h(x')||^2 - E |h(x)|."""
    weight: float = field(default=1.0, metadata={"help": "of the first term"})
    recipe: Recipe = field(default_factory=Recipe)

    def fit(self, dataset, generator, trainer):
        encoder = encoder_for(dataset, 3, generator=generator)
        trained, calls = encoder, []

        def loss(batch):
            noise = 0.0
            first, second = encoder(torch.cat(dataset.sample_pairs(batch, generator))).chunk(2)
            return self.weight * (first - second).square().mean() - first.abs().mean() + noise

        trainer.minimise(trained, loss, self.recipe, generator, encoder)
        return encoder
'''

FIT, NOISE, RETURN, HELP = "trained, calls = encoder, []", "noise = 0.0", "return encoder\n", "of the first term"
FIELD, ENCODER, TRAIN = (
    "weight: float = field(",
    "encoder = encoder_for",
    "trainer.minimise(trained, loss, self.recipe, ",
)
AGAIN = "encoder(torch.ones(4, 3)).mean()"
LATE = (
    "c = sum(p.sum().item() for p in encoder.parameters()); f = encoder.forward; encoder.forward = lambda x: c * f(x)"
)
BROKEN = {  # case: what is replaced, by what, the start of the promise's name, and of its reason
    "no dataclass": ("@dataclass(frozen=True)\n", "", "is a dataclass", "a method is a dataclass"),
    "not frozen": ("(frozen=True)", "()", "is frozen", "@dataclass(frozen=True)"),
    "no docstring": ('"""E ||h(x) - h(x\')||^2 - E |h(x)|."""', "", "is frozen", "no docstring"),
    "no help": (HELP, "", "has fields", "weight has no help"),
    "no default": ("default=1.0, ", "", "has fields", "weight has no default"),
    "a field of a run": (FIELD, "seed: int = field(", "has fields", "own seed"),
    "a list": ("float = field(default=1.0", "list[float] = field(default_factory=list", "can be made", "or tuples of"),
    "an error": (NOISE, "noise = batch / 0", "trains on", "division by zero"),
    "no reason": (FIT, "raise DeclinedError()", "trains on", "without a reason"),
    "always declines": (FIT, "raise DeclinedError('never')", "trains on", "declines vectors, images and segments"),
    "wrong shape": (RETURN, "return lambda x: encoder(x)[:, 0]\n", "gives each", "it must return codes (50, d)"),
    "too few rows": (RETURN, "return lambda x: encoder(x)[1:]\n", "gives each", "it must return codes (50, d)"),
    "NaN": (RETURN, "return lambda x: encoder(x).log()\n", "gives each", "NaN or infinite codes"),
    "an array": (RETURN, "return lambda x: encoder(x).detach().numpy()\n", "gives each", "returned ndarray"),
    "collapsed": (RETURN, "return lambda x: encoder(x) * 0 + 5\n", "gives each", "all codes are dead"),
    "batch mean": (
        RETURN,
        "return lambda x: encoder(x) - encoder(x).mean(0)\n",
        "gives an obs",
        "change with the batch",
    ),
    "torch's seed": (NOISE, "noise = encoder(torch.randn(4, 3)).mean()", "gives the same", "depend on a global seed"),
    "Python's seed": (NOISE, f"noise = random.random() * {AGAIN}", "gives the same", "depend on a global seed"),
    "a global list": (NOISE, f"CALLS.append(1); noise = len(CALLS) * {AGAIN}", "gives the same", "from fit to fit"),
    "NumPy's seed": (ENCODER, f"np.random.rand(); {ENCODER}", "leaves global", "NumPy's global generator moved"),
    "a seed it sets": (ENCODER, f"torch.manual_seed(0); {ENCODER}", "leaves global", "torch's global generator moved"),
    "a changed field": (FIT, f"object.__setattr__(self, 'weight', 2.0); {FIT}", "keeps nothing", "changes the method"),
    "no module": (RETURN, "return lambda x: encoder(x)\n", "trains a module", "function, no torch module"),
    "an idle parameter": (
        FIT,
        f"encoder.idle = nn.Parameter(torch.ones(1)); {FIT}",
        "trains a module",
        "idle does not",
    ),
    "one seed": (ENCODER, f"generator = torch.Generator().manual_seed(1); {ENCODER}", "has weights", "the same codes"),
    "state outside": (RETURN, f"{LATE}; {RETURN}", "has weights", "does not hold all"),
    "a hidden count": (NOISE, f"calls.append(1); noise = len(calls) * {AGAIN}", "goes on from", "no checkpoint holds"),
    "its own loop": (TRAIN, "(lambda *rest: None)(", "goes on from", "0 of the recipe's 4 steps"),
}


def mine(tmp_path: Path, old: str = "", new: str = "") -> Path:
    assert old in GOOD, old
    path = tmp_path / "mine.py"
    path.write_text(GOOD.replace(old, new) if old else GOOD, encoding="utf-8")
    return path


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_promise_is_found_with_its_reason(case: str, tmp_path: Path) -> None:
    old, new, name, reason = BROKEN[case]
    (promise,) = [promise for promise in PROMISES if promise.name.startswith(name)]
    with pytest.raises(Exception, match=re.escape(reason)):
        promise.check(Candidate(load(mine(tmp_path, old, new))))


def test_every_promise_is_broken_by_a_case() -> None:
    prefixes = tuple(name for _, _, name, _ in BROKEN.values())
    assert [str(promise) for promise in PROMISES if not promise.name.startswith(prefixes)] == []


def test_a_method_that_keeps_all_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(mine(tmp_path))]) == 0
    shown = capsys.readouterr().out
    assert f"Mine keeps all {len(PROMISES)} promises on synthetic" in shown
    assert "broken" not in shown


def test_an_error_names_its_line_and_what_needs_it_is_not_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = mine(tmp_path, "noise = 0.0", "noise = batch / 0")
    line = path.read_text(encoding="utf-8").splitlines().index("            noise = batch / 0") + 1
    assert main(["check", f"{path}:Mine"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "ZeroDivisionError: division by zero" in shown
    assert f"mine.py:{line})" in shown.replace(" ", "")
    assert shown.count("not tried") == 8
    assert "Mine keeps 4 of 13 promises" in shown


def test_some_dead_codes_are_a_word_of_caution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = "return lambda x: encoder(x) * torch.tensor([1.0, 0.0, 1.0])\n"
    found = {
        v.promise.name: v
        for v in itertools.islice(verdicts(Candidate(load(mine(tmp_path, "return encoder\n", mask)))), 6)
    }
    verdict = found["gives each observation finite codes, not all of them dead"]
    assert verdict.status == "kept"
    assert "codes [1]" in verdict.reason


def test_a_registered_method_is_checked_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "noise"]) == 0
    assert "Noise keeps all 9 promises" in capsys.readouterr().out
    assert main(["check", "noisy"]) == 2
    assert "did you mean noise" in capsys.readouterr().err
