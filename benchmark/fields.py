"""Fields of a dataset or method as records nest them: flat, in words, and those that only say how pairs are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAIRS = ("transitions", "conditional", "max_delta_t", "pairs")
"""Fields of datasets that say how training pairs are drawn and nothing of what is evaluated, as a test proves."""


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields with dotted names.

    >>> flat({"name": "pcl", "recipe": {"steps": 5}, "sizes": [1, 2]})
    {'name': 'pcl', 'recipe.steps': 5, 'sizes': [1, 2]}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def spoken(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flat fields without the name, lists as text: what a page shows.

    >>> spoken({"name": "pcl", "recipe": {"steps": 5}, "sizes": [1, 2]})
    {'recipe.steps': 5, 'sizes': '1, 2'}
    """
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        for name, value in flat(values).items()
        if name != "name"
    }
