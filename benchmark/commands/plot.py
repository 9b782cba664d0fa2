"""unmix plot: a page for each recorded run."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from unmix.commands import Commands, add_store, no_more
from unmix.fields import flat

if TYPE_CHECKING:
    from unmix.record import Record


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "plot",
        help="a page for each run: scores, curves, codes against factors, traversals",
        description="Write a run's page (of its key, or the first letters of it) into its folder, and print where it "
        "is: scores, learning curve, factors against codes, correlations, latent traversal. Several keys share one "
        "picture of learning curves as well.",
        epilog="examples:\n  unmix plot 3f2a\n  unmix plot 3f2a 91bc --metric mcc --output figures",
    )
    parser.add_argument("keys", nargs="+", help="keys, or their first letters (`unmix run` prints them)")
    parser.add_argument("--metric", default="r2(in_sample)", help="of the shared picture (default: r2(in_sample))")
    parser.add_argument("--output", type=Path, default=None, help="its folder (default: STORE/plots)")
    add_store(parser)
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.record import Store, merged
    from unmix.results import FOLDER
    from unmix.run_page import write

    store = Store(known.store)
    records = merged([store, Store(FOLDER / "reproduced")])
    chosen = [_found(start, records) for start in known.keys]
    out = Console()
    for record in chosen:
        out.print(str(write(record, store.run_folder(record.specification))), soft_wrap=True, highlight=False)
    if len(chosen) > 1:
        _together(chosen, known.metric, Path(known.output or store.folder / "plots"), out)
    return 0


def _together(records: Sequence[Record], metric: str, folder: Path, out: Console) -> None:
    """One picture of the runs' learning curves, and when each reached 0.99."""
    from unmix.aggregate import seconds_to
    from unmix.plots import learning_curves

    trained = dict(zip(_labels(records), records, strict=True))
    trained = {label: record for label, record in trained.items() if record.curve}
    for label, record in trained.items():
        curve = [(p["seconds"], p["scores"][metric]) for p in record.curve if metric in p["scores"]]
        reached = seconds_to(curve, 0.99)
        when = f"after {reached:.0f} s" if reached is not None else "not reached"
        out.print(f"{label}: {metric} 0.99 {when}", markup=False, soft_wrap=True)
    if trained:
        path = folder / f"{'_'.join(record.key[:4] for record in records)}_curves.png"
        learning_curves(trained, metric, path)
        out.print(str(path), soft_wrap=True, highlight=False)


def _found(start: str, records: Mapping[str, Record]) -> Record:
    """The one record whose key starts so.

    Raises:
        ValueError: There is none, with the close keys, or there are several.
    """
    found = [key for key in records if key.startswith(start)]
    if len(found) == 1:
        return records[found[0]]
    if found:
        listed = ", ".join(_described(records[key]) for key in found[:4])
        raise ValueError(f"{len(found)} records have a key that starts with {start!r}: {listed}; give more letters")
    starts = {key[: len(start)]: key for key in records}
    close = [starts[match] for match in difflib.get_close_matches(start, starts, n=3)]
    asked = f"did you mean {' or '.join(_described(records[key]) for key in close)}?" if close else "run it first"
    raise ValueError(f"no record has a key that starts with {start!r}: {asked}")


def _described(record: Record) -> str:
    specification = record.specification
    names = f"{specification.dataset['name']} {specification.method['name']} seed {specification.seed}"
    return f"{record.key} ({names})"


def _labels(records: Sequence[Record]) -> list[str]:
    """Name and key of each run, with the fields that all of them have and in which they differ."""
    every = [flat(asdict(record.specification)) for record in records]
    fields = set.intersection(*map(set, every)) - {"method.name"}
    different = sorted(field for field in fields if len({str(values[field]) for values in every}) > 1)
    return [
        ", ".join(
            [
                f"{record.key[:6]} {record.specification.method['name']}",
                *(f"{field.removesuffix('.name').rsplit('.', 1)[-1]} {values[field]}" for field in different),
            ]
        )
        for record, values in zip(records, every, strict=True)
    ]
