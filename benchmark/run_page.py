"""One page of one run: a file without scripts or links, with all its pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from unmix.commands.run import command
from unmix.fields import spoken
from unmix.plots import PAGE, curve_figures, heat_map, scatter_figures, strip, svg
from unmix.record import Record
from unmix.registry import METRICS
from unmix.results import FOLDER
from unmix.run import dead_variance, make_dataset
from unmix.seeds import derived_generator
from unmix.traversals import COLUMNS, Traversal, decoded, found, sample_images
from unmix.types import Dataset
from unmix.weights import built, load

SIDE = 96  # of an image on the page, at most
LONGEST = 300  # characters of a warning
STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --pale: #616e7c; --page: #fff; --line: #d9dee3; --block: #f4f6f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --pale: #9aa5b1; --page: #14181d; --line: #39424e; --block: #1f262e }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 0 }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line) }
p { margin: .4rem 0; max-width: 48rem }
.pale, dt, th { color: var(--pale); font-weight: normal }
pre { background: var(--block); padding: .7rem; border-radius: .4rem; white-space: pre-wrap }
table { border-collapse: collapse; font-size: .92rem }
th, td { text-align: left; white-space: nowrap; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--line) }
td { font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .1rem 1rem; margin: .4rem 0 }
dd { margin: 0 }
svg { display: block; max-width: 100%; height: auto; font-family: system-ui, sans-serif }
.grid { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(var(--least), 1fr)) }
.grid svg { width: 100% }
.strips { display: grid; grid-template-columns: max-content minmax(0, 44rem); gap: .35rem .8rem; align-items: center }
.strips img { display: block; width: 100% }
.wide { overflow-x: auto }
.wide svg { max-width: none }
@media (max-width: 40rem) { .strips { grid-template-columns: minmax(0, 1fr) } }
"""


def write(record: Record, folder: Path) -> Path:
    """Write a run's page, whole or not at all, into its folder; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "page.html"
    partial = path.with_suffix(".partial")
    partial.write_text(page(record, folder), encoding="utf-8")
    partial.replace(path)
    return path


def page(record: Record, folder: Path) -> str:
    """The HTML of a run, with what its folder holds: codes, and the weights of its encoder.

    What is missing or does not work costs its own section only, which says why.

    Raises:
        UnknownNameError: The dataset is not registered here.
    """
    specification = record.specification
    dataset = make_dataset(specification.dataset, specification.seed)
    title = f"{specification.method['name']} on {specification.dataset['name']}, seed {specification.seed}"
    with plt.rc_context(PAGE):
        body = [
            f"<h1>{escape(title)}</h1>",
            _note(f"run {record.key}, finished {record.finished}"),
            _section("Identity", _identity(record)),
            _section("Scores", _scores(record)),
            _section("Learning curve", _curve(record)),
            *_pictures(record, dataset, folder),
            _section("How it was computed", _provenance(record)),
        ]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
            "style-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            *body,
            "</body>\n</html>\n",
        ]
    )


def _section(title: str, *parts: str) -> str:
    """Parts are HTML."""
    return "\n".join(["<section>", f"<h2>{escape(title)}</h2>", *parts, "</section>"])


def _note(text: str) -> str:
    return f'<p class="pale">{escape(text)}</p>'


def _facts(values: Mapping[str, Any]) -> str:
    rows = (f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in values.items())
    return f"<dl>{''.join(rows)}</dl>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table>\n<tr>{first}</tr>\n{body}\n</table></div>'


def _identity(record: Record) -> str:
    specification, parts = record.specification, []
    try:
        line = command(specification, str(record.hardware.get("device", "cpu")))
    except (ValueError, KeyError) as reason:
        parts.append(_note(str(reason)))
    else:
        parts.append(f"<pre>{escape(line)}</pre>")
        parts.append(_note("The command that runs it again; what it does not name has its default."))
    for role in ("dataset", "method", "evaluation"):
        values = getattr(specification, role)
        title = f"{role} {values.get('name', '')}".strip()
        parts.append(f"<details><summary>{escape(title)}</summary>{_facts(spoken(values))}</details>")
    return "\n".join(parts)


def _scores(record: Record) -> str:
    rows: list[list[str]] = []
    warned: dict[str, list[str]] = {}
    for name, score in record.scores.items():
        metric = METRICS.get(name)
        chance = None if metric is None else metric.chance
        level = chance(score["k"]) if callable(chance) else chance
        better = "" if metric is None else "higher" if metric.direction > 0 else "lower"
        shape = (str(score[letter]) for letter in "ndk")
        rows.append([name, f"{score['value']:.4f}", "" if level is None else f"{level:.3g}", better, *shape])
        for warning in score["warnings"]:
            warned.setdefault(str(warning), []).append(name)
    head = ["metric", "score", "chance", "better", "n samples", "d codes", "k factors"]
    warnings = (_note(f"{', '.join(names)}: {_cut(warning)}") for warning, names in warned.items())
    return "\n".join([_table(head, rows), *warnings])


def _cut(text: str) -> str:
    """Some warnings list thousands of codes."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... (whole in the record)"


def _curve(record: Record) -> str:
    if not record.curve:
        return _note("Nothing was trained step by step.")
    last = record.curve[-1]
    figures = [svg(figure) for figure in curve_figures(record.curve)]
    words = "Scores are of samples of their own, drawn beside the training; the loss and its terms are means since the "
    note = f"{words}point before. Last point: step {last['step']}, loss {last['loss']:.4g}."
    return f'<div class="grid" style="--least: 17rem">{"".join(figures)}</div>\n{_note(note)}'


def _pictures(record: Record, dataset: Dataset, folder: Path) -> list[str]:
    """The sections that need the run's codes."""
    path = folder / "codes.npz"
    committed = FOLDER / "codes" / f"{record.key}.npz"
    path = committed if committed.exists() and not path.exists() else path
    try:
        with np.load(path, allow_pickle=False) as saved:
            codes, factors = saved["codes"], saved["factors"]
    except FileNotFoundError:
        return [_section("Codes", _note(f"The codes of this run are not here ({path})."))]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        return [_section("Codes", _note(f"The codes of this run cannot be read ({path}: {error})."))]
    varying = [column for column, factor in enumerate(dataset.factors) if not factor.constant]
    names = [dataset.factors[column].name for column in varying]
    panels = "".join(svg(figure) for figure in scatter_figures(codes, factors, dataset.factors))
    above = "Above, the code that the best one-to-one matching by |r| gives the factor; "
    below = "below, the best linear map of all codes, fitted on these samples. Bars are medians of levels."
    return [
        _section(
            "Codes against factors", f'<div class="grid" style="--least: 10rem">{panels}</div>', _note(above + below)
        ),
        _section("Correlations", f'<div class="wide">{svg(heat_map(codes, factors[:, varying], names))}</div>'),
        _section("Traversal", _traversal(record, dataset, codes, factors, folder)),
    ]


def _traversal(record: Record, dataset: Dataset, codes: np.ndarray, factors: np.ndarray, folder: Path) -> str:
    if len(dataset.shape) != 3:
        return _note(f"Observations are of shape {tuple(dataset.shape)}, not images: there is nothing to look at.")
    try:
        note, shown = _traversed(record, dataset, codes, factors, folder)
    except (ValueError, OSError) as reason:  # no files of the dataset, other weights, no such images
        return _note(f"No traversal: {reason}")
    rows = [("start", shown.start)]
    for row in shown.rows:
        dead = ", dead" * row.dead
        label = f"code {row.code}{dead}: {row.low:.2f} to {row.high:.2f}, variance {row.variance:.2g}"
        rows.append((label, row.images))
    strips = "\n".join(f"<div>{escape(label)}</div>{_strip(images, label)}" for label, images in rows)
    more = f"{shown.left_out} codes of less variance are left out." if shown.left_out else ""
    notes = "".join(_note(text) for text in (note, shown.rule, more) if text)
    return f'{notes}<div class="strips">\n{strips}\n</div>'


def _traversed(
    record: Record, dataset: Dataset, codes: np.ndarray, factors: np.ndarray, folder: Path
) -> tuple[str, Traversal]:
    """A sentence about what was not possible, and the traversal: by the decoder where there is one with weights."""
    specification, weights = record.specification, folder / "encoder.safetensors"
    encoder = built(specification) if record.parameters else None  # the others have no module, and may be slow to fit
    dead = codes.var(axis=0) <= dead_variance(encoder, codes)
    note = ""
    decode = getattr(encoder, "decode", None)
    if isinstance(encoder, nn.Module) and decode is not None:
        if weights.exists():
            load(encoder, weights)
            return "", decoded(decode, codes, dead, tuple(dataset.shape))
        note = f"The decoder's weights are not here ({weights})."
    generator = derived_generator(specification.seed, "evaluation")
    return note, found(sample_images(dataset, factors, generator), codes, dead)


def _strip(images: Tensor, label: str) -> str:
    """Images side by side as an element of the page."""
    largest = max(images.shape[2:])
    if largest > SIDE:
        size = [max(1, round(side * SIDE / largest)) for side in images.shape[2:]]
        smaller = nn.functional.interpolate(images.float(), size, mode="bilinear", antialias=True)
        images = smaller.round().clamp(0, 255).to(torch.uint8)
    buffer = io.BytesIO()
    Image.fromarray(strip(images, COLUMNS)).save(buffer, "PNG", optimize=True)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(label)}" src="data:image/png;base64,{content}">'


def _provenance(record: Record) -> str:
    facts = {
        "steps": record.steps,
        "training seconds": record.seconds,
        "trained parameters": f"{record.parameters:,}",
        "commit": record.commit or "outside a checkout",
        "finished": record.finished,
    }
    return _facts(facts) + _facts(record.hardware) + _facts(record.versions)
