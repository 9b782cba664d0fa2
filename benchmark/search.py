"""Values of one field of a sweep: one, a grid, or drawn at random."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from unmix.seeds import derived_seed

WAYS = ("grid", "choice", "uniform", "log_uniform")


@dataclass(frozen=True)
class Axis:
    """A field and its values.

    Args:
        path: ("recipe", "lr").
        values: One, those of a grid, or one a draw.
        drawn: Whether all drawn fields of an entry go through their values together, and not each by itself.
    """

    path: tuple[str, ...]
    values: tuple[Any, ...]
    drawn: bool = False


def axes(
    values: Mapping[str, Any], kind: Any, place: str, names: Sequence[str], draws: int, seed: int
) -> Iterator[Axis]:
    """The axes of a dataset or method, each value in its field's type: 4 is 4.0 where the field is a float.

    A drawn field has its own generator, derived from the seed and the names: another field, another entry or more
    draws leave its first values as they are, and all datasets meet the same ones.

    Args:
        values: Field -> value, {"grid": [...]}, {"choice": [...]}, {"uniform": [low, high]} or
            {"log_uniform": [low, high]}; nested for fields that are dataclasses.
        kind: The dataclass.
        place: In the file, for messages.
        names: Role, name and path that lead here.
        draws, seed: Of the random search.

    Raises:
        ValueError: A field is unknown or a value is not of its type; the message begins with the place.
    """
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind) if f.name != "seed" or names[0] != "datasets"]
    for key, value in values.items():
        here, path = f"{place}.{key}", (*names, key)
        if key not in known:
            if key == "seed":
                raise ValueError(f"{here}: a run sets it; seeds are at the top of the file")
            close = difflib.get_close_matches(key, known) or sorted(known)
            raise ValueError(f"{here}: there is no such field; did you mean {' or '.join(close)}?")
        if is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise ValueError(f"{here}: a mapping is needed, not {value!r}")
            yield from axes(value, hints[key], here, path, draws, seed)
        elif isinstance(value, Mapping):
            yield _searched(value, hints[key], here, path, draws, seed)
        else:
            yield Axis(path[2:], (typed(hints[key], value, here),))


def typed(hint: Any, value: Any, place: str) -> Any:
    """A plain value in the type of its field.

    Raises:
        ValueError: It is of another type; the message begins with the place.

    >>> typed(float, 4, "beta"), typed(float, "1e-3", "lr"), typed(tuple[int, ...], [1, 2], "sizes")
    (4.0, 0.001, [1, 2])
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if get_origin(hint) in (UnionType, Union):
        return None if value is None else typed(next(a for a in get_args(hint) if a is not type(None)), value, place)
    if get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        raise ValueError(f"{place}: {value!r} is none of {', '.join(map(str, get_args(hint)))}")
    if get_origin(hint) is tuple and isinstance(value, list):
        return [typed(get_args(hint)[0], each, f"{place}[{n}]") for n, each in enumerate(value)]
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            pass
    if hint is float and number:
        return float(value)
    if hint is int and number and float(value).is_integer():
        return int(value)
    if hint in (str, bool) and isinstance(value, hint):
        return value
    needed = {float: "a number", int: "a whole number", str: "text (in quotes)", bool: "true or false"}.get(hint, hint)
    hint_of_grid = "; several values are {grid: [...]}" if isinstance(value, list) else ""
    raise ValueError(f"{place}: {needed} is needed, not {value!r}{hint_of_grid}")


def _searched(value: Mapping[str, Any], hint: Any, place: str, path: tuple[str, ...], draws: int, seed: int) -> Axis:
    way, given = next(iter(value.items())) if len(value) == 1 else ("", None)
    if way not in WAYS:
        close = [name for key in value for name in difflib.get_close_matches(str(key), WAYS, n=1)] or WAYS
        raise ValueError(f"{place}: one of {' or '.join(close)} with a list is needed, not {dict(value)!r}")
    if not isinstance(given, list) or not given:
        raise ValueError(f"{place}.{way}: a list is needed, not {given!r}")
    choices = [typed(hint, each, f"{place}.{way}[{n}]") for n, each in enumerate(given)]
    if way == "grid":
        return Axis(path[2:], tuple(choices))
    if not draws:
        raise ValueError(f"{place}: it is drawn; say how often at the top of the file: random: {{draws: 20, seed: 0}}")
    generator = np.random.default_rng(derived_seed(seed, *path))
    if way == "choice":
        return Axis(path[2:], tuple(choices[n] for n in generator.integers(len(choices), size=draws)), drawn=True)
    low, high = _bounds(choices, way, place)
    if way == "uniform":
        if hint is int:
            return Axis(path[2:], tuple(int(n) for n in generator.integers(low, high + 1, size=draws)), drawn=True)
        found = generator.uniform(low, high, size=draws)
    else:
        found = np.exp(generator.uniform(math.log(low), math.log(high), size=draws))
    # Six digits: the last ones of exp differ between machines, and would make it another run.
    rounded = [min(max(float(f"{each:.6g}"), low), high) for each in found]
    return Axis(path[2:], tuple(round(each) if hint is int else each for each in rounded), drawn=True)


def _bounds(choices: Sequence[Any], way: str, place: str) -> tuple[Any, Any]:
    if len(choices) != 2 or not all(isinstance(bound, int | float) and math.isfinite(bound) for bound in choices):
        raise ValueError(f"{place}.{way}: two numbers [low, high] are needed, not {list(choices)!r}")
    low, high = choices
    if not low < high or (way == "log_uniform" and low <= 0):
        above = " above 0" if way == "log_uniform" else ""
        raise ValueError(f"{place}.{way}: low must be less than high{', and' + above if above else ''}: {low}, {high}")
    return low, high
