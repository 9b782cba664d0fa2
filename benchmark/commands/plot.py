"""unmix plot: pictures of recorded runs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from unmix.commands import Commands, add_store, no_more

if TYPE_CHECKING:
    from unmix.record import Record


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "plot",
        help="pictures of runs: factors against codes, heat map, learning curves",
        description="Draw a run (its key, or the first letters of it): factors against matched codes and against "
        "the best linear map, correlations, learning curve. Several keys share one picture of learning curves.",
        epilog="examples:\n  unmix plot 3f2a\n  unmix plot 3f2a 91bc --metric mcc --output figures",
    )
    parser.add_argument("keys", nargs="+", help="keys, or their first letters (`unmix run` prints them)")
    parser.add_argument("--metric", default="r2(in_sample)", help="of the learning curves (default: r2(in_sample))")
    parser.add_argument("--output", type=Path, default=None, help="folder of the pictures (default: STORE/plots)")
    add_store(parser)
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    import numpy as np

    from unmix.aggregate import seconds_to
    from unmix.plots import heat_map, learning_curves, scatter
    from unmix.record import Store, merged
    from unmix.results import FOLDER
    from unmix.run import make_dataset

    store = Store(known.store)
    records = merged([store, Store(FOLDER / "reproduced")])
    output = Path(known.output or store.folder / "plots")
    chosen = [_found(start, records) for start in known.keys]
    for record in chosen:
        specification = record.specification
        arrays = store.run_folder(specification) / "codes.npz"
        if not arrays.exists():
            console.print(f"{record.key}: no codes here ({arrays}), only its learning curve is drawn", soft_wrap=True)
            continue
        with np.load(arrays, allow_pickle=False) as saved:
            codes, factors = saved["codes"], saved["factors"]
        names = [factor.name for factor in make_dataset(specification.dataset, specification.seed).factors]
        scatter(codes, factors, names, output / f"{record.key}_scatter.png")
        heat_map(codes, factors, names, output / f"{record.key}_correlations.png")
    trained = dict(zip(_labels(chosen), chosen, strict=True))
    trained = {label: record for label, record in trained.items() if record.curve}
    if trained:
        learning_curves(trained, known.metric, output / f"{'_'.join(record.key[:4] for record in chosen)}_curves.png")
    for label, record in trained.items():
        curve = [(p["seconds"], p["scores"][known.metric]) for p in record.curve if known.metric in p["scores"]]
        reached = seconds_to(curve, 0.99)
        console.print(f"{label}: {known.metric} 0.99 " + (f"after {reached:.0f} s" if reached else "not reached"))
    console.print(f"written to {output}", soft_wrap=True)
    return 0


def _found(start: str, records: Mapping[str, Record]) -> Record:
    found = [key for key in records if key.startswith(start)]
    if len(found) != 1:
        what = "no record" if not found else f"{len(found)} records ({', '.join(found[:4])})"
        raise ValueError(f"{what} with a key that starts with {start!r}: give more letters, or run it first")
    return records[found[0]]


def _labels(records: Sequence[Record]) -> list[str]:
    """Name and key of each run, with the fields in which the runs differ."""
    flat = [_flat(asdict(record.specification)) for record in records]
    fields = {field for values in flat for field in values}
    different = sorted(field for field in fields if len({str(values.get(field)) for values in flat}) > 1)
    return [
        ", ".join(
            [
                f"{record.key[:6]} {record.specification.method['name']}",
                *(f"{field.rsplit('.', 1)[-1]} {values[field]}" for field in different if field in values),
            ]
        )
        for record, values in zip(records, flat, strict=True)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
