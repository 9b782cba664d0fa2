"""What the board says of a registered method or dataset: its docstring, fields, factors and papers."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from typing import Any

from unmix.board.model import ICA
from unmix.citations import cited
from unmix.factors import Factor
from unmix.fields import spoken
from unmix.registry import DATASETS, METHODS, Registry, UnknownNameError

TWIN = "_procedural"
SKIPPED = ("Raises:", "Args:")  # a caller's concern


@dataclass(frozen=True)
class Block:
    """A paragraph, or an example to be shown as it is."""

    text: str
    example: bool = False


def pieces(text: str) -> list[tuple[str, bool]]:
    """Parts of a text, and whether they stood in backticks.

    >>> pieces("r of `Loss`.")
    [('r of ', False), ('Loss', True), ('.', False)]
    """
    return [(piece, bool(index % 2)) for index, piece in enumerate(text.split("`"))]


@dataclass(frozen=True)
class About:
    """A registered method or dataset; `lead` is its first sentence, with the formula and the paper.

    A name that is not registered here has neither: it is from another version, a file, or another package.
    """

    name: str
    lead: str = ""
    blocks: tuple[Block, ...] = ()
    fields: tuple[tuple[str, str, str], ...] = ()
    references: tuple[str, ...] = ()
    factors: tuple[Factor, ...] = ()
    variant: str = ""

    @property
    def twin(self) -> str:
        """What the dataset's other form is called, if it has one."""
        return self.name.removesuffix(TWIN) if self.name.endswith(TWIN) else self.name + TWIN


def method(name: str) -> About:
    """Of a method, without the ICA on top of it."""
    return _about(METHODS, name.removesuffix(ICA))


def dataset(name: str) -> About:
    """Of a dataset, with the factors that it has by default."""
    about = _about(DATASETS, name)
    if not about.lead:
        return about
    kind = DATASETS[name]
    variant = "published files" if hasattr(kind, "sources") else "drawn from a formula"
    variant = "procedural twin" if name.endswith(TWIN) else variant
    return About(name, about.lead, about.blocks, about.fields, about.references, tuple(kind().factors), variant)


def _about(registry: Registry[Any], name: str) -> About:
    try:
        kind = registry[name]
    except UnknownNameError:
        return About(name)
    text = inspect.getdoc(kind) or ""
    lead, _, rest = text.partition("\n\n")
    references = cited(text) or cited(sys.modules[kind.__module__].__doc__ or "")
    return About(name, " ".join(lead.split()), tuple(_blocks(rest)), tuple(_fields(kind)), tuple(references))


def _blocks(text: str) -> list[Block]:
    found = []
    for paragraph in filter(str.strip, text.split("\n\n")):
        if paragraph.startswith("Example:"):
            found.append(Block(inspect.cleandoc(paragraph.removeprefix("Example:")), example=True))
        elif not paragraph.startswith(SKIPPED):
            found.append(Block(" ".join(paragraph.split())))
    return found


def _fields(kind: Any) -> list[tuple[str, str, str]]:
    """Name, default and help; a field that is a dataclass gives its own."""
    found: list[tuple[str, str, str]] = []
    for each in fields(kind) if is_dataclass(kind) else ():
        default = _default(each)
        helped = str(each.metadata.get("help", ""))
        if is_dataclass(default) and not isinstance(default, type):
            helps = {inner.name: str(inner.metadata.get("help", "")) for inner in fields(default)}
            values: Mapping[str, Any] = spoken({each.name: asdict(default)})
            found += [(name, _said(value), helps.get(name.split(".")[-1], "")) for name, value in values.items()]
        elif each.name != "seed":
            found.append((each.name, _said(default), helped))
    return found


def _default(each: Field[Any]) -> Any:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _said(value: Any) -> str:
    return "" if value is MISSING else "none" if value in ("", None) else str(value)
