"""unmix list: what is registered."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from unmix.commands import Commands, no_more
from unmix.registry import DATASETS, METHODS, METRICS, Registry

REGISTRIES: dict[str, Registry[Any]] = {"datasets": DATASETS, "methods": METHODS, "metrics": METRICS}


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "list",
        help="datasets, methods, metrics, tables or sweeps that are there",
        description="Show what is registered, ours and what installed packages add.",
        epilog="examples:\n  unmix list methods\n  unmix list metrics -v",
    )
    parser.add_argument("kind", choices=[*REGISTRIES, "tables", "sweeps"])
    parser.add_argument("-v", "--verbose", action="store_true", help="with fields or declarations")
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    table = Table(Column("name", no_wrap=True), Column("what it is", overflow="fold"), box=None, pad_edge=False)
    if known.kind == "tables":
        from unmix.reproduce import preset, presets

        for name in presets():
            table.add_row(name, f"{preset(name).published['title']} (profiles: {', '.join(preset(name).profiles)})")
    elif known.kind == "sweeps":
        import yaml

        from unmix import plan

        for name, path in plan.presets().items():
            table.add_row(name, yaml.safe_load(path.read_text(encoding="utf-8"))["about"])
    else:
        for name, item in REGISTRIES[known.kind].items():
            table.add_row(name, _described(item, known.verbose))
    Console().print(table, markup=False)
    return 0


def _described(item: Any, verbose: bool) -> str:
    if hasattr(item, "blind"):  # a metric
        text = str(item.reference)
        if verbose:
            arrow = "higher" if item.direction > 0 else "lower"
            chance = "none" if item.chance is None else "depends on k" if callable(item.chance) else f"{item.chance:g}"
            text += (
                f"\n  range [{item.range[0]:g}, {item.range[1]:g}], {arrow} is better, chance {chance}; "
                f"takes {', '.join(item.accepts)}\n  cannot see: {item.blind}"
            )
            if item.caveat:
                text += f"\n  {item.caveat}"
        return text
    lines = (item.__doc__ or "").strip().splitlines()
    text = lines[0] if lines else ""
    if verbose:
        from dataclasses import MISSING, fields

        for field in fields(item):
            default = f" = {field.default!r}" if field.default is not MISSING else ""
            text += f"\n  {field.name}{default}  {field.metadata.get('help', '')}".rstrip()
        text += _factors_and_files(item)
    return text


def _factors_and_files(item: Any) -> str:
    """Of a dataset as it is by default: a line for each factor, and whether its files are here."""
    if not hasattr(item, "factors") or not hasattr(item, "sample"):
        return ""
    dataset = item()
    text = "".join(f"\n  factor {factor.describe()}" for factor in dataset.factors)
    if hasattr(dataset, "sources"):
        text += f"\n  {dataset.missing() or 'its files are here'}"
    return text
