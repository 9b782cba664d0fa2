"""Hooks of the documentation: what the registries, the presets and the audit know is written when it is built.

A page has a line `<!-- NAME -->` or `<!-- NAME: ARGUMENT -->` where one of `PARTS` goes.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unmix.audit import believable
from unmix.evaluation import Evaluation
from unmix.metrics.contract import Metric
from unmix.registry import DATASETS, METHODS, METRICS
from unmix.reproduce import Preset, preset
from unmix.results import FOLDER
from unmix.stresses import STRESSES
from unmix.training import Recipe

ROOT = Path(__file__).resolve().parent.parent
LOG = logging.getLogger("mkdocs.hooks.pages")  # warnings of this logger end a strict build
FOLDERS = ("datasets", "baselines", "results")
MARKER = re.compile(r"^<!-- (\w+)(?:: (\S+))? -->$", re.MULTILINE)
OUTSIDE = re.compile(r"(?<!!)\[([^\]]+)\]\(\.\./([^)#]+)\)")


def on_config(config: Any) -> Any:
    """Link the folders under the names that they are imported by, as `.ci/run` does for mypy."""
    package = ROOT / "build" / "types" / "unmix"
    package.mkdir(parents=True, exist_ok=True)
    for place in [*(ROOT / "benchmark").iterdir(), *(ROOT / name for name in FOLDERS)]:
        link = package / place.name
        if not link.is_symlink() or link.resolve() != place:
            link.unlink(missing_ok=True)
            link.symlink_to(place)
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in the parts; a link to what is no page, such as ../results/audit.json, becomes the file's path."""
    filled = MARKER.sub(lambda found: PARTS[found[1]](*filter(None, [found[2]])), markdown)
    return OUTSIDE.sub(lambda found: _outside(found[1], found[2], page.file.src_uri), filled)


def _outside(text: str, path: str, source: str) -> str:
    if not (ROOT / path).exists():
        LOG.warning("%s links to %s, which is not there", source, path)
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}` in the repository)"


def metric_list() -> str:
    """The default set, a line each."""
    rows = (
        (f"[{code(m.name)}](#{m.function.__name__})", *_declared(m), escaped(m.blind))
        for m in METRICS.values()
        if m.default
    )
    return table(("metric", "range", "better", "chance", "takes", "cannot see"), rows)


def metric_pages() -> str:
    """Formula, variants, blind spots, what misled it in the audit: a section a function."""
    functions: dict[Callable[..., Any], list[Metric]] = {}
    for each in METRICS.values():
        functions.setdefault(each.function, []).append(each)
    misled = _misled()
    return "\n\n".join(_section(function, found, misled) for function, found in functions.items())


def _section(function: Callable[..., Any], variants: Sequence[Metric], misled: Mapping[str, Sequence[str]]) -> str:
    header = ("variant", "range", "better", "chance", "takes", "invariant to")
    rows = ((code(m.name) + " \\*" * m.default, *_declared(m), ", ".join(m.invariances) or "–") for m in variants)
    first = variants[0]
    parts = [f"### {function.__name__}", described(function), table(header, rows)]
    blind: dict[str, list[str]] = {}
    for m in variants:
        blind.setdefault(escaped(m.blind), []).append(code(m.name))
    for text, names in blind.items():
        of = f", {', '.join(names)}" if len(blind) > 1 else ""
        parts.append(f"**Cannot see**{of}: {text}")
    if any(m.fooled_by_noise for m in variants):
        named = ", ".join(code(m.name) for m in variants if m.fooled_by_noise)
        parts.append(f"**Beware.** {named}: {next(m.caveat for m in variants if m.fooled_by_noise)}.")
    for m in variants:
        if m.name in misled:
            found = "; ".join(misled[m.name]) or "by nothing that it was tried on"
            parts.append(f"**Misled in the audit**, {code(m.name)}: {found}.")
    parts.append(f"**Source.** {escaped(first.reference)}")
    return "\n\n".join(parts)


def _declared(m: Metric) -> tuple[str, str, str, str]:
    chance = "not fixed" if m.chance is None else "1/k" if callable(m.chance) else f"{m.chance:g}"
    low, high = (f"{bound:g}".replace("inf", "∞").replace("-", "−") for bound in m.range)
    takes = "all" if len(m.accepts) == 4 else ", ".join(m.accepts)
    return f"[{low},\N{NO-BREAK SPACE}{high}]", "higher" if m.direction > 0 else "lower", chance, takes


def _misled() -> dict[str, list[str]]:
    """Metric -> the stresses of results/audit.json at which its score is far from what can be believed."""
    content = json.loads((FOLDER / "audit.json").read_text(encoding="utf-8"))
    found: dict[str, dict[tuple[str, str], list[str]]] = {name: {} for name in content["metrics"]}
    for row, verdict in zip(content["rows"], believable(content["rows"], content["metrics"]), strict=True):
        if verdict is False:
            found[row["metric"]].setdefault((row["kind"], row["stress"]), []).append(row["level"])
    told = {stress.name: (stress.title.replace("\n", " "), stress.axis) for stress in STRESSES}
    return {
        metric: [
            f"{told[stress][0]} ({kind} factors; {told[stress][1]} {', '.join(levels)})"
            for (kind, stress), levels in where.items()
        ]
        for metric, where in found.items()
        if content["metrics"][metric]["direction"] > 0
    }


def method_pages() -> str:
    return "\n\n".join(_kind(name, kind) for name, kind in METHODS.items())


def dataset_pages() -> str:
    return "\n\n".join(_kind(name, kind) + "\n\n" + _factors(kind()) for name, kind in DATASETS.items())


def _kind(name: str, kind: Any) -> str:
    """A registered dataclass: docstring, and its fields with their defaults."""
    rows = (
        (code(field.name), _default(field), escaped(field.metadata.get("help", "")))
        for field in dataclasses.fields(kind)
    )
    fields = table(("field", "default", "what it is"), rows) if dataclasses.fields(kind) else "It has no fields."
    return f"## {name}\n\n{described(kind)}\n\n{fields}"


def _default(field: dataclasses.Field[Any]) -> str:
    factory = field.default_factory
    value = field.default if factory is dataclasses.MISSING else factory()
    if isinstance(value, Recipe):
        own = (f for f in dataclasses.fields(Recipe) if getattr(value, f.name) != f.default)
        return code(f"Recipe({', '.join(f'{f.name}={getattr(value, f.name)!r}' for f in own)})")
    return code(repr(value))


def _factors(dataset: Any) -> str:
    lines = [f"- {escaped(factor.describe())}" for factor in dataset.factors[:10]]
    left = len(dataset.factors) - len(lines)
    return "\n".join(["Factors:\n", *lines, *([f"- and {left} more"] * (left > 0))])


def table_settings(name: str) -> str:
    """Of a published table: columns and metrics, then the profiles side by side."""
    found = preset(name)
    columns = ", ".join(f"{each['title']} = {code(each['metric'])}" for each in found.columns)
    paper = found.published
    cited = json.loads((FOLDER / "paper" / found.content["published"][0]).read_text(encoding="utf-8"))
    lines = [
        f"- *Paper:* {cited['paper']}; read from {cited['read_from']}.",
        f"- *What it prints:* {paper['metric']}, {paper['statistic']} of {paper['runs']} runs.",
        f"- *Columns:* {columns}.",
        f"- *Rows:* {len(found.content['rows'])} of the paper, {len(found.content.get('extra', []))} of ours.",
        f"- {escaped(found.content['about'])}",
    ]
    return "\n".join(lines) + "\n\n" + _profiles(found)


def _profiles(found: Preset) -> str:
    settings = {name: found.profile(name) for name in found.profiles}
    methods = dict.fromkeys(method for each in settings.values() for method in each["methods"])
    evaluation = {name: each.get("evaluation", {}) for name, each in settings.items()}
    rows: dict[str, list[str]] = {
        "in short": [escaped(each["title"]) for each in settings.values()],
        "data": [_pairs(each["dataset"]) for each in settings.values()],
        "seeds": [str(len(each["seeds"])) for each in settings.values()],
        "evaluation samples": [f"{each.get('samples', Evaluation().samples):,}" for each in evaluation.values()],
    }
    for method in methods:
        rows[code(method)] = [_trained(each["methods"].get(method, {})) for each in settings.values()]
    rows["notes"] = [" ".join(escaped(note) for note in each["notes"]) or "–" for each in settings.values()]
    return table(("", *settings), ((name, *cells) for name, cells in rows.items()))


def _trained(method: Mapping[str, Any]) -> str:
    """ "300,000 steps of 32, adam, lr 0.0001, constant" and what else is set."""
    recipe = dict(method.get("recipe", {}))
    if not recipe:
        return "–"
    text = f"{recipe.pop('steps'):,} steps of {recipe.pop('batch'):,}, {recipe.pop('optimiser')}, lr {recipe.pop('lr')}"
    rest = {**{k: v for k, v in recipe.items() if v}, **{k: v for k, v in method.items() if k != "recipe"}}
    return escaped(", ".join([text, *(f"{name} {value}" for name, value in rest.items())]))


def _pairs(values: Mapping[str, Any]) -> str:
    return escaped(", ".join(str(value) if name == "name" else f"{name} {value}" for name, value in values.items()))


def described(item: Any) -> str:
    """A docstring up to its first section, as it reads: only `code` and lists are Markdown."""
    text = (item.__doc__ or "").strip()
    text = re.split(r"\n\s*(?:Args|Attributes|Returns|Raises|Example|References|Warning):\n", text)[0]
    lines = (line.strip() for line in text.splitlines())
    return escaped("\n".join(lines)).strip()


def escaped(text: str) -> str:
    """Plain text as Markdown that shows it, code spans aside."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\_*|\[\]<>])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def code(text: str) -> str:
    return f"`{text}`"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines: Iterator[Iterable[str]] = iter([tuple(header), *map(tuple, rows)])
    head = list(next(lines))
    return "\n".join([_line(head), _line(["---"] * len(head)), *map(_line, lines)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


PARTS: Mapping[str, Callable[..., str]] = {
    "metric_list": metric_list,
    "metric_pages": metric_pages,
    "method_pages": method_pages,
    "dataset_pages": dataset_pages,
    "table_settings": table_settings,
}
