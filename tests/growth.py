"""What a run costs as it grows: latents, batch, samples. Each point in a process of its own, one thread, CPU time.

    python tests/growth.py                    measure all, write docs/growth.json and docs/growth.png
    python tests/growth.py --only batch       one panel again
    python tests/growth.py --draw             draw the figure from docs/growth.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
LIMIT = 240  # seconds of a point; the larger ones of its curve are then left out
PANELS: dict[str, tuple[str, dict[str, list[int]]]] = {
    "latents": (
        "number of latents n",
        {
            "training step": [2, 4, 8, 16, 32, 64, 128],
            "loss alone": [2, 8, 32, 128, 512],
            "drawing pairs": [2, 8, 32, 128, 512],
            "mcc": [2, 8, 32, 128, 512],
            "r2": [2, 8, 32, 128, 512],
        },
    ),
    "batch": (
        "batch (pairs)",
        {"whole": [1024, 4096, 16384, 32768], "in chunks": [1024, 4096, 16384, 65536]},
    ),
    "samples": (
        "samples scored",
        {name: [1000, 10_000, 100_000, 1_000_000] for name in ("mcc", "r2", "mig", "dci(gbt)", "infom", "sap")},
    ),
}


def timed(work: Callable[[], object], least: float = 0.5) -> float:
    """CPU seconds of a call, the fastest of as many as `least` seconds hold."""
    found, started = [], time.process_time()
    while not found or time.process_time() - started < least:
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


def of_latents(what: str, n: int) -> float:
    import numpy as np
    import torch

    from unmix.baselines.pairwise import info_nce
    from unmix.registry import METRICS
    from unmix.run import make_dataset

    if what in ("mcc", "r2"):
        factors = np.random.default_rng(0).normal(size=(6144, n))
        return timed(lambda: METRICS[what](factors, factors + factors[:, ::-1]))
    if what == "loss alone":
        codes = torch.randn(2, 512, n, generator=torch.Generator().manual_seed(0), requires_grad=True)
        return timed(lambda: info_nce(codes[0], codes[1]).backward())  # type: ignore[no-untyped-call]
    dataset = make_dataset({"name": "synthetic", "n": n, "pool": 10, "conditional": "gennorm(beta=1, scale=0.05)"}, 0)
    generator = torch.Generator().manual_seed(0)
    if what == "drawing pairs":
        dataset.sample_pairs(2, generator)  # the first draws the mixing as well
        return timed(lambda: dataset.sample_pairs(512, generator))
    return of_step(n, 512, 0)


def of_step(n: int, batch: int, chunk: int) -> float:
    """Of InfoNCE with the paper's encoder, the start of a training taken off."""
    import torch

    from unmix.run import make_dataset, make_method
    from unmix.training import Trainer

    dataset = make_dataset({"name": "synthetic", "n": n, "pool": 10, "conditional": "gennorm(beta=1, scale=0.05)"}, 0)
    spent = {}
    for steps in (1, 1, 3):  # what only the first training has to do is in the first, which the second replaces
        recipe = {"steps": steps, "batch": batch, "optimiser": "adam"}
        method = make_method({"name": "contrastive", "start": "default", "recipe": recipe})
        before = time.process_time()
        method.fit(dataset, torch.Generator().manual_seed(0), Trainer(points=1, chunk=chunk))
        spent[steps] = time.process_time() - before
    return (spent[3] - spent[1]) / 2


def of_samples(metric: str, samples: int) -> float:
    import numpy as np

    from unmix.registry import METRICS

    generator = np.random.default_rng(0)
    sizes = (3, 6, 40, 32, 32)  # dSprites'
    factors = np.stack([generator.integers(size, size=samples) for size in sizes], 1)
    codes = factors / sizes + 0.3 * generator.normal(size=factors.shape)
    types = None if metric in ("mcc", "r2") else ("ordinal",) * len(sizes)
    scored = METRICS[metric]
    return timed(lambda: scored(factors, codes, factor_types=types) if types else scored(factors, codes))


def measure(panel: str, curve: str, value: int) -> dict[str, float]:
    import torch

    import unmix.baselines
    import unmix.metrics
    import unmix.run  # noqa: F401 (before the memory is read)

    torch.set_num_threads(1)
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if panel == "latents":
        seconds = of_latents(curve, value)
    elif panel == "batch":
        seconds = of_step(4, value, 1024 if curve == "in chunks" else 0)
    else:
        seconds = of_samples(curve, value)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"at": value, "seconds": seconds, "megabytes": (peak - imported) / 1024}


def measure_all(panels: list[str]) -> None:
    path = DOCS / "growth.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for panel in panels:
        found[panel] = {}
        for curve, values in PANELS[panel][1].items():
            points = found[panel][curve] = []
            for value in values:
                words = [sys.executable, __file__, "--measure", panel, curve, str(value)]
                try:
                    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=True)
                except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
                    print(panel, curve, value, "left out:", type(error).__name__, flush=True)
                    break
                points.append(json.loads(done.stdout))
                print(panel, curve, points[-1], flush=True)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def draw() -> None:
    import matplotlib.pyplot as plt

    found = json.loads((DOCS / "growth.json").read_text(encoding="utf-8"))
    shown = [("latents", "seconds"), ("batch", "seconds"), ("batch", "megabytes"), ("samples", "seconds")]
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    for axis, (panel, quantity) in zip(axes.flat, shown, strict=True):
        for (curve, points), marker in zip(found[panel].items(), "osD^vx", strict=False):
            axis.plot([p["at"] for p in points], [p[quantity] for p in points], marker + "-", label=curve, ms=5)
        axis.set(xscale="log", yscale="log", xlabel=PANELS[panel][0])
        axis.set_ylabel("CPU seconds" if quantity == "seconds" else "memory above the imports, MB")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(DOCS / "growth.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PANELS, nargs="+", default=list(PANELS), help="these panels")
    parser.add_argument("--draw", action="store_true", help="only draw")
    parser.add_argument("--measure", nargs=3, metavar=("PANEL", "CURVE", "VALUE"), help="one point, as JSON")
    given = parser.parse_args()
    if given.measure:
        panel, curve, value = given.measure
        print(json.dumps(measure(panel, curve, int(value))))
        return
    if not given.draw:
        measure_all(given.only)
    draw()


if __name__ == "__main__":
    main()
