"""unmix data render: pictures of a procedural dataset, drawn beforehand."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from unmix.commands import Commands, no_more, positive

if TYPE_CHECKING:
    from unmix.datasets.rendered import Rendering


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "render",
        help="draw the pictures of a procedural dataset beforehand",
        description="Draw n pictures of latents uniform in [-1, 1] into a chunked HDF5 file with the latents and where "
        "it is from. A killed run goes on where it stopped. `threedident_procedural --images N` finds the file.",
        epilog="examples:\n  unmix data render threedident --n 25000\n"
        "  unmix data render threedident --n 250000 --size 64 --mode sphere --device cuda",
    )
    parser.add_argument("name", choices=["threedident"], help="what to draw: threedident")
    parser.add_argument("--n", type=positive, default=25_000, help="number of pictures (default: 25000)")
    parser.add_argument("--size", type=positive, default=64, help="side in pixels (default: 64)")
    parser.add_argument("--mode", choices=["box", "sphere"], default="box", help="of the latents (default: box)")
    parser.add_argument(
        "--colours", choices=["clean", "faithful"], default="clean", help="of negative hues (default: clean)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the latents (default: 0, which the dataset reads)")
    parser.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument("--out", type=Path, default=None, help="the file (default: where the dataset looks for it)")
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    from unmix.datasets.rendered import Rendering

    rendering = Rendering(known.n, known.size, known.mode, known.colours, known.seed)
    path = known.out or rendering.path
    draw_beforehand(rendering, path, console, known.workers, known.device)
    Console().print(str(path), soft_wrap=True, highlight=False)
    return 0


def draw_beforehand(rendering: Rendering, path: Path, console: Console, workers: int, device: str) -> None:
    """Draw the pictures, with a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    from unmix.datasets.rendered import draw

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("drawing", total=rendering.n)
        seconds = draw(rendering, path, workers, device, lambda n: progress.advance(task, n))
    if seconds:
        console.print(f"{rendering.n:,} pictures drawn in {seconds:.1f} s", highlight=False)
