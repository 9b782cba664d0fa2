"""A method in a file of its own, which nobody registered: named by its path, kept and identified by its content."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from unmix.record import Store

PREFIX = "file:"
"""Of the method's name in a record: {"name": "file:Class", "source": SHA-256 of the file, **fields}."""


def is_file(word: str) -> bool:
    """Whether a word of the command line names a file and not a registered method."""
    return split(word)[0].suffix == ".py"


def split(word: str) -> tuple[Path, str]:
    """ "folder/name.py:Class" as the path and the class, which is "" where it is not given.

    >>> split("mine.py:Mine")[1], split("mine.py")[1]
    ('Mine', '')
    """
    path, _, name = word.rpartition(":")
    return (Path(path), name) if path and name.isidentifier() else (Path(word), "")


def load(path: Path, name: str = "") -> Any:
    """Execute a file and return its method: the class of this name, or the only one that has `fit`.

    Raises:
        OSError: The file cannot be read.
        ValueError: It does not run, with the line; it has no such class, or several.
    """
    module = _module(path)
    own = {key: item for key, item in vars(module).items() if isinstance(item, type) and hasattr(item, "fit")}
    own = {key: item for key, item in own.items() if item.__module__ == module.__name__}
    if not name and len(own) == 1:
        return next(iter(own.values()))
    if name in own:
        return own[name]
    if not own:
        raise ValueError(f"{path} has no method: a class with `fit` (`unmix new method NAME` writes one)")
    if not name:
        raise ValueError(f"{path} has several methods: say which, {' or '.join(f'{path}:{key}' for key in own)}")
    close = difflib.get_close_matches(name, own) or sorted(own)
    raise ValueError(f"{path} has no class {name!r} with `fit`; did you mean {' or '.join(close)}?")


def keep(word: str, store: Store) -> dict[str, str]:
    """Copy the file that a word names into the store; returns name and source of the method, for `specify`.

    The copy is what runs, here and in worker processes, and what can be run again when the file has changed.

    Args:
        word: "FILE", "FILE:Class", each with "+ica" at the end or not.
        store: Its folder gets methods/SHA.py.

    Raises:
        OSError, ValueError: As `load`.
    """
    plain = word.removesuffix("+ica")
    path, name = split(plain)
    kind, content = load(path, name), path.read_bytes()
    source = hashlib.sha256(content).hexdigest()
    kept = _place(store, source)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(kept)
    return {"name": f"{PREFIX}{kind.__name__}{word[len(plain) :]}", "source": source}


def kept(method: Mapping[str, Any], store: Store | None) -> Any:
    """The class of a method {"name": "file:Class", "source": ...}, from the store's copy of its file.

    Raises:
        ValueError: No store is given, so that nothing may be executed; or it has no such copy, or a changed one.
    """
    name, source = method["name"].removeprefix(PREFIX), str(method["source"])
    if store is None:
        raise ValueError(f"the method {name} is code in a file (sha256 {source[:16]}), which runs only when asked for")
    path = _place(store, source)
    if not path.is_file():
        raise ValueError(f"the method {name} is in a file that is not here: name it by --method FILE:{name}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != source:
        raise ValueError(f"{path} was changed: delete it and name the method's file by --method FILE:{name}")
    return load(path, name)


def _place(store: Store, source: str) -> Path:
    if len(source) != 64 or not set(source) <= set("0123456789abcdef"):
        raise ValueError(f"{source!r} is not the SHA-256 of a method's file")
    return store.folder / "methods" / f"{source}.py"


def _module(path: Path) -> ModuleType:
    """The file as a module whose name is its content's, so that no two files meet and none is executed twice."""
    name = f"unmix_method_{hashlib.sha256(path.read_bytes()).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ValueError(f"{path} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses and type hints look their module up while it is executed
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(f"{where(error, path)}: {type(error).__name__}: {error}") from error
    return module


def where(error: BaseException, path: Path) -> str:
    """FILE:LINE where an error left the file; the file alone where it never was in it."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
