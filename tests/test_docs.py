"""The documentation builds without a warning, and what its tutorials say happens."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from unmix.cli import main, parser
from unmix.registry import DATASETS, METHODS, METRICS
from unmix.reproduce import presets

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(bash|python|text|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (?:\S*/)?unmix (.*)$", re.MULTILINE)
SHAPE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(name: str) -> list[tuple[str, str]]:
    return BLOCK.findall((DOCS / f"{name}.md").read_text(encoding="utf-8"))


def commands(text: str) -> list[list[str]]:
    """The words of each line, continued lines joined, comments left out."""
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    return [words for words in lines if words]


def test_builds_in_strict_mode_and_knows_all_that_is_registered(tmp_path: Path) -> None:
    """Strict: a link, an anchor or a docstring that leads nowhere, or a page that is not in the nav, is an error."""
    build = [sys.executable, "-m", "mkdocs", "build", "-f", ".mkdocs.yml", "--strict", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = {path.parent.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*/index.html")}
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} == set(shown)
    for page, names in (("metrics", METRICS), ("methods", METHODS), ("datasets", DATASETS), ("tables", presets())):
        assert [name for name in names if name not in shown[page]] == []
    fetched = r"<(?:script|img|iframe)[^>]*src=\"?(?:https?:)?//|<link[^>]*rel=\"?stylesheet[^>]*href=\"?(?:https?:)?//"
    assert [page for page, text in shown.items() if re.search(fetched, text)] == []
    assert [page for page, text in shown.items() if re.search(r"&lt;!-- \w|<!-- \w+: ", text)] == []


@pytest.mark.parametrize("name", [*sorted(path.stem for path in DOCS.glob("tutorial_*.md")), "api"])
def test_blocks_do_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process and one folder, as a reader would; a text block is the shape of what was printed before it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # runs one after the other, here
    namespace: dict[str, object] = {"__name__": name}
    printed = ""
    for kind, text in blocks(name):
        if kind == "text":
            same = doctest.OutputChecker().check_output(text, printed, SHAPE)
            assert same, f"the page says\n{text}\nprinted was\n{printed}"
        elif kind == "python":
            exec(compile(text, f"{name}.md", "exec"), namespace)
        elif kind == "bash":
            for program, *words in commands(text):
                assert program == "unmix"
                assert main(words) == 0, capsys.readouterr()
        printed = capsys.readouterr().out or printed if kind != "text" else printed


def test_tutorials_have_blocks_that_run() -> None:
    for path in DOCS.glob("tutorial_*.md"):
        kinds = [kind for kind, _ in blocks(path.stem)]
        assert {"bash", "python"} <= set(kinds), path.name


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_shown_commands_exist(path: Path) -> None:
    """Those of blocks that are not executed: command, flags and choices; nothing is run."""
    text = path.read_text(encoding="utf-8")
    for line in COMMAND.findall(text):
        parser().parse_known_args(shlex.split(line, comments=True))


def test_citation_and_changelog_name_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == version
    assert all(citation[key] for key in ("message", "title", "authors", "license"))
    for reference in citation["references"]:
        assert all(reference[key] for key in ("type", "title", "authors"))
    titles = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert titles[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", title) for title in titles[1:])


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_pin_their_actions_and_start_with_few_rights(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"}
    steps = [step for job in content["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert [action for action in used if not re.search(r"@(v\d+(\.\d+)*|[0-9a-f]{40})$", action)] == []
    assert all(job["timeout-minutes"] for job in content["jobs"].values())
