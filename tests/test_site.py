"""The board's files: whole or not at all, no text from a record is markup, every link leads somewhere."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from boards import DATASET, EVIL, entry, record, written

from unmix.board import pages as site_module
from unmix.board.downloads import as_csv
from unmix.board.model import slug
from unmix.board.pages import MARKER, build
from unmix.cli import main

STORED = record("pca", dataset={**DATASET, "n": 5})


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a results folder, and of a store with one run more."""
    folder = tmp_path_factory.mktemp("folder")
    results, store, output = written(folder / "results"), folder / "store", folder / "site"
    store.mkdir()
    (store / "records.jsonl").write_text(STORED.to_json() + "\n", encoding="utf-8")
    assert main(["site", "build", "--results", str(results), "--store", str(store), "--output", str(output)]) == 0
    return output


class Page(HTMLParser):
    """Elements of a page with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {str(path.relative_to(site)): Page(path) for path in sorted(site.rglob("*.html"))}


def test_there_is_a_page_for_everything(pages: dict[str, Page], site: Path) -> None:
    folders = [name.split("/")[0] for name in pages]
    assert {folder: folders.count(folder) for folder in ("runs", "configurations", "submissions")} == {
        "runs": 8,
        "configurations": 1,
        "submissions": 1,
    }
    assert {"methods/tcl.html", "datasets/nonstationary.html", "datasets/dsprites.html"} <= set(pages)
    assert f"methods/{slug(EVIL)}.html" in pages
    assert json.loads((site / MARKER).read_text())["pages"] == len(pages)


def test_every_link_leads_to_a_file_of_the_site_or_a_place_of_its_page(pages: dict[str, Page], site: Path) -> None:
    checked = 0
    for name, page in pages.items():
        for _, attributes in page.elements:
            for attribute in ("href", "src"):
                target = attributes.get(attribute)
                if target is None or target == "data:,":
                    continue
                path, _, place = target.partition("#")
                file = (site / name).parent / path if path else site / name
                assert file.is_file(), (name, target)
                assert file.resolve().is_relative_to(site.resolve())
                if place:
                    there = pages[str(file.resolve().relative_to(site.resolve()))]
                    assert any(each.get("id") == place for _, each in there.elements), (name, target)
                checked += 1
    assert checked > 500


def test_no_text_of_a_record_is_markup(pages: dict[str, Page], site: Path) -> None:
    seen = 0
    for name, page in pages.items():
        scripts = [each for tag, each in page.elements if tag == "script"]
        assert [each.get("src", "").endswith("board.js") for each in scripts] == [True], name
        assert not any(attribute.startswith("on") for _, each in page.elements for attribute in each), name
        assert not any("style" in each for _, each in page.elements), name
        images = [each["src"] for tag, each in page.elements if tag == "img"]
        assert all(source and source.startswith("../pictures/") for source in images), name
        seen += (site / name).read_text(encoding="utf-8").count("&lt;script&gt;")
    assert seen > 50


def test_every_page_has_a_strict_policy_a_language_and_a_way_past_the_head(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        metas = [each for tag, each in page.elements if tag == "meta"]
        policy = next(each["content"] for each in metas if each.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert ("html", {"lang": "en"}) in page.elements
        assert next(each for tag, each in page.elements if tag == "a")["href"] == "#main", name
        assert sum(tag == "h1" for tag, _ in page.elements) == 1, name


def test_a_run_says_its_scores_and_the_command_that_gives_them(site: Path) -> None:
    given = record("ivae", r2=0.60, mcc=0.65)
    text = (site / "runs" / f"{given.key}.html").read_text(encoding="utf-8")
    for said in (
        "0.6500",
        "unmix run nonstationary ivae --n 3 --samples 50",
        "test processor",
        "a" * 40,
        "Correlations",
    ):
        assert said in text
    assert (site / "codes" / f"{given.key}.npz").is_file()
    assert "khemakhem2020" in text
    assert "@software{unmix" in text


def test_of_a_method_that_is_not_here_there_is_no_command_and_nothing_fails(site: Path) -> None:
    (path,) = [path for path in (site / "runs").glob("*.html") if "owned" in path.read_text(encoding="utf-8")]
    assert "No command" in path.read_text(encoding="utf-8")


def test_a_run_of_a_store_is_claimed(site: Path) -> None:
    text = (site / "runs" / f"{STORED.key}.html").read_text(encoding="utf-8")
    assert re.search(r'class="badge claimed"', text)


def test_downloads_have_every_run(site: Path) -> None:
    (path,) = [
        path for path in (site / "benchmarks").glob("nonstationary-*.csv") if "ivae" in path.read_text(encoding="utf-8")
    ]
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert [row["method"] for row in rows].count("tcl") == 2
    assert {row["mcc"] for row in rows} >= {"0.65", "0.6", "0.5"}
    content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert {each["key"] for each in content} == {row["key"] for row in rows}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_spreadsheet_takes_no_text_for_a_formula(start: str) -> None:
    _, row = csv.reader(io.StringIO(as_csv([{"a": f"{start}1+1", "b": -1.5}]), newline=""))
    assert row == [f"'{start}1+1", "-1.5"]


class TestFolder:
    def test_another_folder_is_refused_and_stays(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "thesis.tex").write_text("mine")
        assert main(["site", "build", "--output", str(tmp_path)]) == 2
        assert "no site of unmix's" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_an_older_site_is_replaced_whole_or_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        output, stale = tmp_path / "site", tmp_path / "site" / "runs" / "stale.html"
        build(output, [entry(record("pca"))])
        first = files(output)
        stale.write_text("of a run that is gone")

        def broken(*_: object) -> None:
            raise OSError("no space left")

        with monkeypatch.context() as patched:
            patched.setattr(site_module, "_run", broken)
            with pytest.raises(OSError, match="no space"):
                build(output, [entry(record("noise"))])
        assert files(output) == {**first, stale: stale.read_bytes()}
        build(output, [entry(record("pca"))])
        assert files(output) == first  # without the stale one, and the same bytes again
        assert [path.name for path in tmp_path.iterdir()] == ["site"]

    def test_nothing_to_show_is_said(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["site", "build", "--results", str(tmp_path), "--output", str(tmp_path / "site")]) == 2
        assert "no records to show" in capsys.readouterr().err
