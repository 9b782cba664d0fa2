"""Text such as "gennorm(beta=2, scale=0.05)" to the call that it names; nothing is evaluated."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from unmix.registry import UnknownNameError

T = TypeVar("T")

_CALL = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")
_ARGUMENT = re.compile(r"\s*(?:([A-Za-z_]\w*)\s*=)?\s*([^=\s]+)\s*")


def split_product(text: str) -> list[str]:
    """The factors of a product: "sphere(4) x box(6)" has two."""
    return re.split(r"\s+x\s+", text.strip())


def check_name(kind: str, name: str, names: Collection[str]) -> None:
    """Raise UnknownNameError, whose message lists the close names, when `name` is none of `names`."""
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or sorted(names)
        raise UnknownNameError(f"no {kind} is named {name!r}; did you mean {' or '.join(close)}?")


def construct(text: str, kind: str, constructors: Mapping[str, Callable[..., T]], **defaults: int) -> T:
    """Call the constructor that `text` names, with the numbers that it gives.

    Args:
        text: name, name(number, ...) or name(key=number, ...).
        kind: What is constructed, for messages ("marginal").
        constructors: By name; their parameters are annotated as int, float or float | None.
        defaults: Arguments for the constructors that have them and whose text does not give them.

    Raises:
        UnknownNameError: When no constructor has the name; the message lists the close ones.
        ValueError: When the text is no such expression, or its arguments do not fit.

    Example:
        >>> construct("gennorm(beta=2, scale=0.05)", "conditional", DISTRIBUTIONS)
        GeneralizedNormal(beta=2.0, scale=0.05)
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise ValueError(f"{kind} {text!r} is not of the form name(key=number, ...)")
    name, inside = match.groups()
    check_name(kind, name, constructors)
    constructor = constructors[name]
    signature = inspect.signature(constructor, eval_str=True)
    positional, named = _arguments(text, kind, inside)
    given = {*list(signature.parameters)[: len(positional)], *named}
    missing = {
        key: str(defaults[key]) for key in defaults if key in signature.parameters and key not in given
    }
    try:
        bound = signature.bind(*positional, **named, **missing)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "no arguments"
        raise ValueError(f"{kind} {text!r}: {error}; {name} takes {takes}") from None
    for key, number in bound.arguments.items():
        integer = signature.parameters[key].annotation is int
        try:
            bound.arguments[key] = int(number) if integer else float(number)
        except ValueError:
            wanted = "an integer" if integer else "a number"
            raise ValueError(f"{kind} {text!r}: {key} must be {wanted}, got {number!r}") from None
    return constructor(*bound.args, **bound.kwargs)


def _arguments(text: str, kind: str, inside: str | None) -> tuple[list[str], dict[str, str]]:
    """Positional and named arguments, still as text."""
    positional: list[str] = []
    named: dict[str, str] = {}
    for part in inside.split(",") if inside and inside.strip() else ():
        match = _ARGUMENT.fullmatch(part)
        if match is None:
            raise ValueError(f"{kind} {text!r}: {part.strip()!r} is not a number, nor key=number")
        if match[1] is None and not named:
            positional.append(match[2])
        elif match[1] is None or match[1] in named:
            raise ValueError(f"{kind} {text!r}: {part.strip()!r} follows a named argument, or is given twice")
        else:
            named[match[1]] = match[2]
    return positional, named
