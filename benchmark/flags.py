"""Command-line flags from dataclass fields."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints


def add_flags(parser: argparse.ArgumentParser, role: str, name: str, kind: Any) -> None:
    """Add a flag for each field of a dataclass; fields that are dataclasses add theirs as well.

    The help is the field's metadata "help" and its default. A flag that was not given stays out of the
    namespace, so that `given` tells what the user chose. A name that another group took already is
    "--ROLE.NAME" here.

    Args:
        parser: What to add to.
        role: "dataset", "method" or "evaluation".
        name: The registered name, for the group's title.
        kind: The dataclass. Its field `seed` is left out: a run sets it.
    """
    group = parser.add_argument_group(f"{role} {name}".rstrip(), (kind.__doc__ or "").strip().split("\n")[0])
    _add(parser, group, role, kind, {})


def given(namespace: argparse.Namespace, role: str, kind: Any) -> dict[str, Any]:
    """The values that the user chose, as nested plain values for `unmix.run.build`."""
    values: dict[str, Any] = {}
    for field, hint in _fields(kind):
        if dataclasses.is_dataclass(hint):
            nested = given(namespace, role, hint)
            if nested:
                values[field.name] = {**_defaults(field), **nested}
        elif hasattr(namespace, f"{role}.{field.name}"):
            values[field.name] = getattr(namespace, f"{role}.{field.name}")
    return values


def words(parser: argparse.ArgumentParser, role: str, kind: Any, values: Mapping[str, Any]) -> list[str]:
    """The words of the command line that give these values, without what is the default: `given` reads them back.

    Args:
        parser: Has the flags, by `add_flags`.
        role, kind: As there.
        values: Nested plain values, as in a record.
    """
    flags = {action.dest: action.option_strings for action in parser._actions}
    return _words(flags, role, kind, values, {})


def _words(
    flags: Mapping[str, Sequence[str]], role: str, kind: Any, values: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[str]:
    found: list[str] = []
    for field, hint in _fields(kind):
        if field.name not in values:
            continue
        value, default = values[field.name], defaults.get(field.name, field.default)
        if dataclasses.is_dataclass(hint):
            found += _words(flags, role, hint, value, _defaults(field))
        elif isinstance(value, bool) and value != default:
            found.append(flags[f"{role}.{field.name}"][0 if value else 1])
        elif isinstance(value, list | tuple) and tuple(value) != default:
            found += [flags[f"{role}.{field.name}"][0], *map(str, value)]
        elif not isinstance(value, list | tuple) and value != default:
            found += [flags[f"{role}.{field.name}"][0], str(value)]
    return found


def _add(parser: argparse.ArgumentParser, group: Any, role: str, kind: Any, defaults: Mapping[str, Any]) -> None:
    taken = parser._option_string_actions
    for field, hint in _fields(kind):
        if field.name == "seed":
            continue
        if dataclasses.is_dataclass(hint):
            _add(parser, group, role, hint, _defaults(field))
            continue
        flag = field.name.replace("_", "-")
        default = defaults.get(field.name, field.default)
        group.add_argument(
            f"--{role}.{flag}" if f"--{flag}" in taken else f"--{flag}",
            dest=f"{role}.{field.name}",
            default=argparse.SUPPRESS,
            help=f"{field.metadata.get('help', '')} (default: {default!r})".replace("%", "%%"),
            **_options(hint),
        )


def _options(hint: Any) -> Mapping[str, Any]:
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is UnionType:
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        return {"nargs": "+", "type": get_args(hint)[0]}
    return {"type": hint, "metavar": hint.__name__.upper()}


def _fields(kind: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(kind)
    return [(field, hints[field.name]) for field in dataclasses.fields(kind)]


def _defaults(field: dataclasses.Field[Any]) -> dict[str, Any]:
    made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    return dataclasses.asdict(made) if made is not dataclasses.MISSING else {}
