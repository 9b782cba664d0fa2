"""What `unmix new` writes works, and what it refuses."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unmix.cli import main
from unmix.commands.new import class_name


def new(name: str, folder: Path) -> int:
    return main(["new", "method", name, "--folder", str(folder)])


def pytest_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(line, cwd=folder, env={**os.environ, "PYTEST_ADDOPTS": ""}, capture_output=True, text=True)


def test_the_written_test_passes_on_the_written_method(tmp_path: Path) -> None:
    """In a folder of its own, as a newcomer runs it."""
    assert new("slow_thing", tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slow_thing.py", "test_slow_thing.py"]
    done = pytest_in(tmp_path, "test_slow_thing.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 passed" in done.stdout


def test_the_written_test_can_fail(tmp_path: Path) -> None:
    new("slow_thing", tmp_path)
    method = tmp_path / "slow_thing.py"
    text = method.read_text(encoding="utf-8")
    assert "codes - codes.mean(0)" in text
    method.write_text(text.replace("codes - codes.mean(0)", "codes"), encoding="utf-8")
    done = pytest_in(tmp_path, "test_slow_thing.py", "-k", "closed_form")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout


def test_names_are_those_of_the_method(tmp_path: Path) -> None:
    new("a_b2", tmp_path)
    for path in tmp_path.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "$" not in text
        ast.parse(text)
    assert class_name("a_b2") == "AB2"
    assert "class AB2:" in (tmp_path / "a_b2.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Mine", "small letters"),
        ("my-method", "small letters"),
        ("../mine", "small letters"),
        ("2d", "small letters"),
        ("class", "small letters"),
        ("méthode", "small letters"),
        ("", "small letters"),
        ("test_mine", "leave out test_"),
        ("beta_vae", "registered already"),
        ("torch", "would hide"),
        ("random", "would hide"),
    ],
)
def test_a_bad_name_is_refused(name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(name, tmp_path) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_mine.py").write_text("mine", encoding="utf-8")
    assert new("mine", tmp_path) == 2
    assert "test_mine.py exists already: choose another name" in capsys.readouterr().err
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["mine"]
