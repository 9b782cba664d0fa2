"""Named collections of datasets, methods and metrics, filled by decorators and entry points."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

T = TypeVar("T")


class UnknownNameError(KeyError):
    """A name that nothing is registered under; its message lists the close ones."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, T]):
    """Names to objects. The folder that registers them is imported at the first look-up.

    Third parties add to it by an entry point in the group of the same module name
    (`unmix.datasets`, `unmix.methods`, `unmix.metrics`), which is loaded when its name is looked up.

    Args:
        kind: What it holds, for messages ("method").
        folder: The module whose import registers our own ("unmix.baselines").
        group: The entry-point group of third parties ("unmix.methods").

    Raises:
        UnknownNameError: At look-up of a name that is not registered, with the close names.
        ValueError: At registration of a name that is taken.
    """

    def __init__(self, kind: str, folder: str, group: str) -> None:
        self.kind = kind
        self.folder = folder
        self.group = group
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers under `name` what it decorates."""

        def add(item: T) -> T:
            if name in self._items:
                raise ValueError(f"a {self.kind} named {name!r} is registered already: choose another name")
            self._items[name] = item
            return item

        return add

    def __getitem__(self, name: str) -> T:
        importlib.import_module(self.folder)
        if name not in self._items:
            self._load_entry_point(name)
        try:
            return self._items[name]
        except KeyError:
            close = difflib.get_close_matches(name, list(self), n=3, cutoff=0.4) or sorted(self)
            raise UnknownNameError(
                f"no {self.kind} is named {name!r}; did you mean {' or '.join(close)}? "
                f"(`unmix list {self.kind}s` shows all)"
            ) from None

    def __iter__(self) -> Iterator[str]:
        importlib.import_module(self.folder)
        return iter(sorted({*self._items, *(point.name for point in entry_points(group=self.group))}))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _load_entry_point(self, name: str) -> None:
        for point in entry_points(group=self.group, name=name):
            loaded: Any = point.load()
            # A third party may decorate its class as we do: loading has then registered it.
            self._items.setdefault(name, loaded)


DATASETS: Registry[Any] = Registry("dataset", "unmix.datasets", "unmix.datasets")
METHODS: Registry[Any] = Registry("method", "unmix.baselines", "unmix.methods")
METRICS: Registry[Any] = Registry("metric", "unmix.metrics", "unmix.metrics")
