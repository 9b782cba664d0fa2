"""A method in a file: what runs, what its identity is, and what is never executed."""

from __future__ import annotations

import hashlib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from unmix import registry
from unmix.cli import main
from unmix.commands.run import command
from unmix.method_file import keep, kept, load
from unmix.record import Record, Specification, Store
from unmix.registry import METHODS
from unmix.run import make_method, run, specify

SOURCE = '''
from __future__ import annotations
from dataclasses import dataclass, field
import torch
from unmix.training import Recipe

@dataclass(frozen=True)
class Scaled:
    """The observations, scaled."""
    scale: float = field(default=2.0, metadata={"help": "of the codes"})
    recipe: Recipe = field(default_factory=Recipe)

    def fit(self, dataset, generator, trainer):
        return lambda observations: self.scale * observations
'''
WORDS = ["run", "synthetic", "--n", "3", "--pool", "100", "--samples", "200", "--metrics", "mcc"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scaled.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def recorded(store: Path) -> Record:
    (record,) = Store(store)
    return record


def test_a_run_names_the_file_by_its_content_and_not_by_its_path(file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "other.py"
    moved.parent.mkdir()
    moved.write_text(SOURCE, encoding="utf-8")
    for path in (file, moved):
        words = [*WORDS, "--method", f"{path}:Scaled", "--scale", "3", "--store", str(tmp_path / path.stem)]
        assert main(words) == 0
    first, second = recorded(tmp_path / "scaled"), recorded(tmp_path / "other")
    assert first.key == second.key
    method = first.specification.method
    assert method["name"] == "file:Scaled"
    assert method["source"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert method["scale"] == 3
    assert str(tmp_path) not in first.to_json()


def test_a_changed_file_is_another_run(file: Path, tmp_path: Path) -> None:
    store, dataset = Store(tmp_path / "store"), {"name": "synthetic"}
    before = specify(dataset, keep(f"{file}:Scaled", store), 0, store=store)
    file.write_text(SOURCE.replace("2.0", "3.0"), encoding="utf-8")
    after = specify(dataset, keep(f"{file}:Scaled", store), 0, store=store)
    assert before.key != after.key
    assert (before.method["scale"], after.method["scale"]) == (2.0, 3.0)


def test_the_store_keeps_what_ran_so_that_workers_and_reruns_have_it(file: Path, tmp_path: Path) -> None:
    words = [*WORDS, "--method", str(file), "--seeds", "0", "1", "--workers", "2", "--store", str(tmp_path / "store")]
    assert main(words) == 0
    records = list(Store(tmp_path / "store"))
    assert sorted(record.specification.seed for record in records) == [0, 1]
    file.unlink()
    again = Store(tmp_path / "again")
    (tmp_path / "store" / "methods").rename(tmp_path / "again_methods")
    again.folder.mkdir()
    (tmp_path / "again_methods").rename(again.folder / "methods")
    assert run(records[0].specification, again).scores == records[0].scores


def test_ica_goes_on_top_of_a_file(file: Path, tmp_path: Path) -> None:
    assert main([*WORDS, "--method", f"{file}:Scaled+ica", "--store", str(tmp_path / "store")]) == 0
    assert recorded(tmp_path / "store").specification.method["name"] == "file:Scaled+ica"


def test_help_of_a_run_has_the_flags_of_the_file(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "synthetic", "--method", str(file), "--help", "--store", str(tmp_path / "store")]) == 0
    shown = capsys.readouterr().out
    assert "--scale" in shown
    assert "The observations, scaled." in shown


def test_a_record_from_outside_brings_no_code_along(file: Path, tmp_path: Path) -> None:
    """Without a store nothing is executed, not even to show a page; a store's changed copy is refused."""
    store = Store(tmp_path / "store")
    method = {**keep(str(file), store), "scale": 2.0}
    with pytest.raises(ValueError, match="runs only when asked for"):
        make_method(method)
    with pytest.raises(ValueError, match="name it by --method FILE:Scaled"):
        kept(method, Store(tmp_path / "empty"))
    for odd in ("../../scaled", "a" * 63 + "/"):
        with pytest.raises(ValueError, match="is not the SHA-256"):
            kept({**method, "source": odd}, store)
    copy = store.folder / "methods" / f"{method['source']}.py"
    copy.write_text("raise SystemExit('executed')", encoding="utf-8")
    with pytest.raises(ValueError, match="was changed"):
        kept(method, store)
    with pytest.raises(ValueError, match="the method is in a file"):
        command(Specification({"name": "synthetic"}, method, 0, {}))


@pytest.mark.parametrize(
    ("text", "word", "message"),
    [
        ("x = 1\n\ny = x +\n", "", r"odd\.py:3: SyntaxError"),
        ("x = 1\nraise KeyError('no')\n", "", r"odd\.py:2: KeyError"),
        ("raise SystemExit(3)\n", "", "SystemExit: 3"),
        ("import nothing_of_this_name\n", "", "No module named 'nothing_of_this_name'"),
        ("from unmix.baselines.supervised import Supervised\n", "", "has no method: a class with `fit`"),
        (SOURCE, "Scald", "did you mean Scaled"),
        (SOURCE + SOURCE.split("import Recipe")[1].replace("class Scaled", "class Other"), "", "odd.py:Scaled or "),
    ],
)
def test_a_file_without_a_method_says_what_is_wrong(text: str, word: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load(path, word)


def test_a_missing_file_and_two_methods_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(tmp_path)]
    assert main(["run", "synthetic", "--method", str(tmp_path / "no.py"), *store]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["run", "synthetic", "pca", "--method", "mine.py", *store]) == 2
    assert "one dataset and one method" in capsys.readouterr().err


def test_a_method_of_an_installed_package_runs_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered by entry point, in a module of its own."""
    (tmp_path / "their_package.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("scaled", "their_package:Scaled", "unmix.methods")
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group, name=None: [point] if group == point.group and name in (None, point.name) else [],
    )
    assert "scaled" in METHODS
    try:
        assert main([*WORDS[:2], "scaled", *WORDS[2:], "--scale", "3", "--store", str(tmp_path / "store")]) == 0
    finally:
        METHODS._items.pop("scaled", None)
    method = recorded(tmp_path / "store").specification.method
    assert (method["name"], method["scale"]) == ("scaled", 3)
