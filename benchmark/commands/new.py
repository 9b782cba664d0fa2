"""unmix new: a working method, and its test, to start from."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
from pathlib import Path
from string import Template

from rich.console import Console

from unmix.commands import Commands, no_more

TEMPLATES = Path(__file__).parent.parent / "templates"


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "new",
        help="write a method to start from, with its test",
        description="Write NAME.py, a small method that works, and test_NAME.py, which tests it: replace the loss by "
        "yours. It needs no registration.",
        epilog="examples:\n  unmix new method mine\n  pytest test_mine.py\n  unmix check mine.py\n"
        "  unmix run synthetic --method mine.py:Mine",
    )
    parser.add_argument("kind", choices=["method"])
    parser.add_argument("name", help="in snake case, as it would be registered: slow_vae")
    parser.add_argument("--folder", type=Path, default=Path(), help="of the two files (default: this one)")
    parser.set_defaults(handler=handle)


def handle(known: argparse.Namespace, rest: list[str], console: Console) -> int:
    no_more(rest)
    name, folder = known.name, known.folder
    files = {"method.py.txt": folder / f"{name}.py", "test_method.py.txt": folder / f"test_{name}.py"}
    if there := [str(path) for path in files.values() if path.exists()]:
        raise ValueError(f"{' and '.join(there)} exists already: choose another name, or move it away")
    check_name(name)
    words = {"name": name, "Class": class_name(name)}
    texts = {path: Template((TEMPLATES / form).read_text("utf-8")).substitute(words) for form, path in files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        console.print(f"written: {path}", soft_wrap=True, highlight=False)
    method = next(iter(texts))
    console.print(f"next: `unmix check {method}`", soft_wrap=True, highlight=False)
    return 0


def class_name(name: str) -> str:
    """Of a method's name.

    >>> class_name("slow_vae")
    'SlowVae'
    """
    return "".join(part.capitalize() for part in name.split("_"))


def check_name(name: str) -> None:
    """Refuse what is no name of a module, what is taken, and what would hide another module.

    Raises:
        ValueError: With what to do.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ValueError(f"{name!r} is not a method's name: small letters, digits and single underscores, as slow_vae")
    if name.startswith("test_"):
        raise ValueError(f"{name!r} starts as a test does: leave out test_")
    from unmix.registry import METHODS

    if name in METHODS:
        raise ValueError(f"a method named {name!r} is registered already (`unmix list methods`): choose another name")
    if importlib.util.find_spec(name) is not None:
        raise ValueError(f"there is a Python module {name!r}, which {name}.py would hide: choose another name")
