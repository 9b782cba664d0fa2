"""Pictures of 3DIdent's scene a second, by backend: `pytest tests/bench_render.py -n 0`.

One thread: numba's figure times the number of cores is what `unmix data render` reaches on an idle machine.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unmix.datasets.render import render


@pytest.mark.parametrize("size", [64, 128, 224])
@pytest.mark.parametrize(("backend", "pictures"), [("numba", 32), ("torch", 4)])
def test_pictures_a_second(benchmark: Any, backend: Any, pictures: int, size: int) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    latents = torch.rand((pictures, 10), generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = benchmark.pedantic(render, (latents, size), {"backend": backend}, rounds=5, warmup_rounds=1)
    benchmark.extra_info["pictures a second"] = pictures / benchmark.stats["min"]
    assert images.shape == (pictures, 3, size, size)
