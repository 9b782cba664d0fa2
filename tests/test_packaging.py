"""The mapping of folders onto the import package."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLACES = {"unmix.datasets": "datasets", "unmix.baselines": "baselines", "unmix.results": "results"}


def folder(package: str) -> Path:
    """Where a package is on disk."""
    return ROOT / PLACES.get(package, package.replace("unmix", "benchmark", 1).replace(".", "/"))


def test_every_folder_is_a_listed_package() -> None:
    """A forgotten one works in editable mode and is missing in the wheel."""
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    with_modules = {
        path.parent for top in ("benchmark", "datasets", "baselines", "results") for path in (ROOT / top).rglob("*.py")
    }
    assert {folder(package) for package in listed} == with_modules
    assert all((path / "__init__.py").exists() for path in with_modules)


def test_top_level_is_the_house() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.split("/")[0] for line in tracked.splitlines()}
    house = {"pyproject.toml", "benchmark", "datasets", "baselines", "results", "tests", "README.md"}
    tools = {"LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "docs"}
    assert {name for name in top if not name.startswith(".")} <= house | tools


def test_datasets_refuses_its_folder_name() -> None:
    """`import datasets` beside the checkout would shadow Hugging Face's package of that name."""
    done = subprocess.run([sys.executable, "-c", "import datasets"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "unmix.datasets" in done.stderr


@pytest.mark.filterwarnings("default")
def test_wheel_has_every_module_and_data_file(tmp_path: Path) -> None:
    """Built from a copy, so that a stale build folder cannot lend a file; installed, it imports and lists."""
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        for module in folder(package).glob("*.py"):
            assert f"{package.replace('.', '/')}/{module.name}" in names
    assert {"unmix/py.typed", "unmix/results/paper/workshop_2020.json"} <= names
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "import unmix, sys; print(unmix.__file__); print(*unmix.METHODS)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
    assert "contrastive" in done.stdout
