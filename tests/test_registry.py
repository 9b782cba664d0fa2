"""Registries: names, entry points, and what importing the package costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from unmix import registry
from unmix.registry import DATASETS, METHODS, METRICS, Registry, UnknownNameError


def test_unknown_name_lists_the_close_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"no method is named 'contrastiv'; did you mean contrastive"):
        METHODS["contrastiv"]


def test_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="registered already"):
        METHODS.register("noise")(object())


def test_entry_point_is_found_and_loaded_at_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", "collections:OrderedDict", "unmix.test")

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        return [point] if group == point.group and name in (None, point.name) else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    ours: Registry[type] = Registry("thing", "unmix.test_nothing", "unmix.test")
    monkeypatch.setattr(registry.importlib, "import_module", lambda name: None)
    assert list(ours) == ["theirs"]
    assert ours["theirs"].__name__ == "OrderedDict"


def test_each_registry_has_its_own() -> None:
    assert "synthetic" in DATASETS
    assert "contrastive" in METHODS
    assert "mcc" in METRICS
    assert "mcc" not in METHODS


@pytest.mark.parametrize("statement", ["import unmix", "import unmix.cli; unmix.cli.parser()"])
def test_import_is_light(statement: str) -> None:
    """No torch, no SciPy, no Matplotlib: `import unmix` and `unmix --help` stay fast (under half a second)."""
    heavy = "{'torch', 'scipy', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)"
    code = f"import sys; {statement}; found = {heavy}; sys.exit(', '.join(found) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
