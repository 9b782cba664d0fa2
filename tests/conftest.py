"""Shared by all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Inherited by the workers and by what tests start: two workers on two cores, one thread each.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import matplotlib
import pytest
import torch
from threadpoolctl import threadpool_limits

matplotlib.use("Agg")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors: threads cost more than they give, and tests may run beside a training."""
    torch.set_num_threads(1)
    threadpool_limits(1)  # where NumPy was loaded before the lines above


@pytest.fixture(scope="module")
def originals(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Small files of the datasets in the module's PUBLISHED, in their published formats."""
    from miniatures import published

    folder = tmp_path_factory.mktemp("originals")
    with published(folder, *request.module.PUBLISHED):
        yield folder


@pytest.fixture
def patch(originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Each test has its own copy of the files."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("UNMIX_DATA", str(tmp_path))
    return monkeypatch


@pytest.fixture
def identify() -> Callable[..., tuple[float, float, float]]:
    """Train on a small problem; held-out R2 and MCC of the codes, and R2 of the observations themselves."""

    def scores(
        dataset: dict[str, Any], method: dict[str, Any], steps: int = 300, batch: int = 256, **recipe: Any
    ) -> tuple[float, float, float]:
        from unmix.evaluation import codes_and_factors
        from unmix.metrics import mcc, r2
        from unmix.run import make_dataset, make_method
        from unmix.seeds import derived_generator
        from unmix.training import Trainer

        small = {"name": "synthetic", "n": 3, "layers": 3, "quantile": 0.5, "pool": 200}
        made = make_dataset({**small, **dataset}, 0)
        trained = make_method({**method, "recipe": {"steps": steps, "batch": batch, "warmup": 20, **recipe}})
        encoder = trained.fit(made, derived_generator(0, "training"), Trainer(points=1))
        codes, factors = codes_and_factors(encoder, made, 3000, derived_generator(0, "evaluation"))
        observations, latents = made.sample(3000, derived_generator(0, "evaluation"))
        return r2(factors, codes), mcc(factors, codes), r2(latents.numpy(), observations.numpy())

    return scores
