"""unmix plot: pictures of recorded runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from unmix.commands import Commands, add_store, no_more


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

    from unmix.plots import heat_map, learning_curves, scatter
    from unmix.record import Store, merged
    from unmix.results import FOLDER
    from unmix.run import make_dataset

    store = Store(known.store)
    records = merged([store, Store(FOLDER / "reproduced")])
    output = Path(known.output or store.folder / "plots")
    chosen = {}
    for start in known.keys:
        found = [key for key in records if key.startswith(start)]
        if len(found) != 1:
            what = "no record" if not found else f"{len(found)} records ({', '.join(found[:4])})"
            raise ValueError(f"{what} with a key that starts with {start!r}: give more letters, or run it first")
        specification = records[found[0]].specification
        label = f"{specification.method['name']} on {specification.dataset['name']} seed {specification.seed} {found[0]}"
        chosen[label] = records[found[0]]
        arrays = store.run_folder(specification) / "codes.npz"
        if not arrays.exists():
            console.print(f"{found[0]}: no codes here ({arrays}), only its learning curve is drawn", soft_wrap=True)
            continue
        with np.load(arrays, allow_pickle=False) as saved:
            codes, factors = saved["codes"], saved["factors"]
        names = [factor.name for factor in make_dataset(specification.dataset, specification.seed).factors]
        scatter(codes, factors, names, output / f"{found[0]}_scatter.png")
        heat_map(codes, factors, names, output / f"{found[0]}_correlations.png")
    trained = {label: record for label, record in chosen.items() if record.curve}
    if trained:
        learning_curves(trained, known.metric, output / f"{'_'.join(key[:4] for key in known.keys)}_curves.png")
    console.print(f"written to {output}", soft_wrap=True)
    return 0
