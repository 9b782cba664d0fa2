"""Growth of the store: seconds of writing, compacting, looking up and querying over 1e3 to 1e6 records, and a figure.

Seconds of the clock and of all cores; the figure has those of the cores, which a busy machine does not stretch. On two
cores a query takes less of the clock than that.

`.venv/bin/python tests/bench_store.py` on a quiet machine, ten minutes or more and 4 GB of disk for a million. Records
are like the committed ones with a learning curve of 4 points instead of 40: 2.2 kB a line instead of 5.6. First
`--writers` processes append `--records` at once, with and without locks; what is lost, torn or there twice is counted.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from unmix.parts import compact
from unmix.query import opened, query
from unmix.record import Record, Specification, Store

DATASETS = ("dsprites", "shapes3d", "mpi3d", "cars3d", "smallnorb", "threedident")
METHODS = ("beta_vae", "factor_vae", "dip_vae", "tc_vae", "slow_vae", "ada_gvae", "contrastive", "align_uniform")
METRICS = ("r2", "mcc", "mcc(spearman)", "mig", "sap", "dci(gbt)", "modularity", "beta_vae", "factor_vae")
QUERIES = {
    "filter": "SELECT key, scores['mcc'] FROM records WHERE dataset = 'mpi3d' AND scores['mcc'] > 0.99",
    "group": "SELECT dataset, method, metric, avg(value), stddev(value), count(*) FROM scores GROUP BY ALL",
    "aggregate": "SELECT method, median(scores['mcc']), max(seconds) FROM records WHERE seed < 100 GROUP BY ALL",
    "by field": "SELECT method_fields->>'$.recipe.lr' AS lr, avg(scores['mig']) FROM records GROUP BY ALL",
}


def made(number: int, generator: np.random.Generator) -> Record:
    """A record of the size and the fields of a real one."""
    seed, rest = divmod(number, len(DATASETS) * len(METHODS) * 3)
    rest, rate = divmod(rest, 3)
    dataset, method = divmod(rest, len(METHODS))
    recipe = {"steps": 300000, "batch": 64, "optimiser": "adam", "lr": 10.0 ** -(rate + 2), "lr_adam": 0.002}
    recipe |= {"schedule": "cosine", "warmup": 100, "clip": 0.3}
    values = generator.random(len(METRICS)).round(16).tolist()
    shape = {"n": 10000, "d": 10, "k": 5, "warnings": []}
    scores = {metric: {"value": value, **shape} for metric, value in zip(METRICS, values, strict=True)}
    point = {"seconds": 19.638614461000543, "loss": 0.9202520847320557, "scores": {"r2(in_sample)": values[0]}}
    return Record(
        specification=Specification(
            dataset={"name": DATASETS[dataset], "transitions": "lap(rate=1)", "size": 64, "normalise": True},
            method={"name": METHODS[method], "beta": 4.0, "d": 10, "precision": "bfloat16", "recipe": recipe},
            seed=seed,
            evaluation={"samples": 10000, "metrics": list(METRICS)},
        ),
        scores=scores,
        steps=300000,
        seconds=float(generator.random() * 1000),
        curve=[{"step": step, **point, "terms": {}} for step in (75000, 150000, 225000, 300000)],
        parameters=854210,
        versions={"unmix": "0.1.0", "torch": "2.9.1", "numpy": "2.3.5", "python": "3.11.9"},
        commit="99ec49f7a54b629a5f572eadb2a48e85ce346edc",
        hardware={"device": "cpu", "name": "x86_64", "threads": 1, "cores": 2},
        finished="2026-11-24T12:48:27+00:00",
    )


def write_lines(folder: Path, n: int) -> None:
    generator = np.random.default_rng(0)
    with (folder / "records.jsonl").open("w") as file:
        file.writelines(made(number, generator).to_json() + "\n" for number in range(n))


@dataclass(frozen=True)
class Taken:
    """Seconds of the clock, and of all cores together; medians of some rounds."""

    clock: float
    cores: float


def taken(work: Callable[[], object], rounds: int = 1) -> Taken:
    times = []
    for _ in range(rounds):
        clock, cores = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - clock, time.process_time() - cores))
    return Taken(*(statistics.median(column) for column in zip(*times, strict=True)))


def measure(folder: Path, n: int) -> Iterator[tuple[str, Taken]]:
    """What it takes with n records."""
    write_lines(folder, n)
    print(f"{n:9,} records  {(folder / 'records.jsonl').stat().st_size / n:.0f} bytes a line")
    store = Store(folder)
    if n <= 100_000:
        yield "query of lines", taken(lambda: list(query(folder, QUERIES["group"], print)))
    key = made(n // 2, np.random.default_rng(1)).key
    if n <= 100_000:
        yield "first look-up in lines", taken(lambda: store.find("0" * 16))
        yield "look-up in lines", taken(lambda: store.find(key), 21)
    added = (made(number, np.random.default_rng(2)) for number in itertools.count(n))
    yield "append", taken(lambda: store.append(next(added)), 21)
    if n <= 100_000:
        yield "look-up after an append", taken(lambda: store.find(key))
    yield "compact", taken(lambda: compact(folder))
    print(f"{n:9,} records  {sum(path.stat().st_size for path in folder.glob('*.parquet')) / n:.0f} bytes compacted")
    yield "first look-up, compacted", taken(lambda: store.find("0" * 16))
    yield "look-up, compacted", taken(lambda: store.find(key), 5)
    for name, sql in QUERIES.items():
        yield f"query: {name}", taken(lambda sql=sql: list(query(folder, sql, print)), 3)
    with opened(folder, print) as connection:
        for name, sql in QUERIES.items():
            yield f"query again: {name}", taken(lambda sql=sql: connection.execute(sql).fetchall(), 3)


def draw(found: dict[int, dict[str, Taken]], path: Path) -> None:
    figure, axis = plt.subplots(figsize=(7.2, 4.6))
    names = {
        "query of lines": ("query of lines that are not compacted", "--", "#d1495b"),
        "first look-up in lines": ("first look-up of a process, lines", ":", "#d1495b"),
        "append": ("append a record", "-", "#6b7280"),
        "compact": ("compact", "-", "#b8860b"),
        "first look-up, compacted": ("first look-up of a process, compacted", ":", "#1b6ca8"),
        "look-up, compacted": ("look-up, compacted", "-.", "#1b6ca8"),
        "query: group": ("query: group and aggregate all scores", "-", "#1b6ca8"),
        "query: filter": ("query: filter", "-", "#3f9c5a"),
    }
    for name, (label, style, colour) in names.items():
        points = [(n, values[name].cores) for n, values in found.items() if name in values]
        axis.plot(*zip(*points, strict=True), style, color=colour, marker="o", markersize=3.5, label=label)
    axis.axhline(2, color="#1f2933", linewidth=0.8)
    axis.annotate("2 s", (min(found), 2), xytext=(0, 3), textcoords="offset points", fontsize=8)
    axis.set(xscale="log", yscale="log", xlabel="records", ylabel="seconds of all cores")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=150, bbox_inches="tight")


def append_some(folder: Path, first: int, count: int, locks: bool) -> None:
    if not locks:
        import fcntl

        def missing(descriptor: int, operation: int) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented")

        fcntl.flock = missing
    generator = np.random.default_rng(first)
    for number in range(first, first + count):
        Store(folder).append(made(number, generator))


def writers(folder: Path, processes: int, records: int, locks: bool) -> None:
    """Many processes append at once; says how many records are lost, torn, there twice."""
    share = records // processes
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=append_some, args=(folder, i * share, share, locks)) for i in range(processes)]
    clock = taken(lambda: [*(job.start() for job in jobs), *(job.join() for job in jobs)]).clock
    store = Store(folder)
    found = [record.key for record in store]
    expected = {made(number, np.random.default_rng(0)).key for number in range(processes * share)}
    lost, twice = len(expected - set(found)), len(found) - len(set(found))
    print(
        f"{processes} writers, {len(expected):,} records, locks {'work' if locks else 'fail'}: {lost} lost, "
        f"{len(store.damaged)} torn, {twice} twice, {sum(job.exitcode != 0 for job in jobs)} failed, {clock:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--records", type=int, default=10_000, help="of all writers; 0: none")
    parser.add_argument("--figure", type=Path, default=Path("docs/growth_store.png"))
    parser.add_argument("--folder", type=Path, default=None, help="of the stores (default: a temporary one)")
    options = parser.parse_args()
    found: dict[int, dict[str, Taken]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for locks in (True, False) if options.records else ():
            writers(Path(folder) / f"writers{locks}", options.writers, options.records, locks)
        for n in options.sizes:
            path = Path(folder) / str(n)
            path.mkdir()
            found[n] = {}
            for name, value in measure(path, n):
                found[n][name] = value
                print(f"{n:9,} records  {name:28} {value.clock:11.4f} s, cores {value.cores:9.4f} s", flush=True)
            shutil.rmtree(path)
            draw(found, options.figure)


if __name__ == "__main__":
    main()
