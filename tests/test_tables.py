"""Tables as text, and a paper's table beside ours."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from unmix.aggregate import Summary, seconds_to, summarise
from unmix.record import Record
from unmix.reproduce import Published, beside, mark, preset, presets, summaries
from unmix.results import FOLDER
from unmix.tables import FORMATS, Table

HOSTILE = Table(
    "A & B <script>",
    ("method_name", "R² | %"),
    (("<img src=x onerror=alert(1)>", "99.5 ± 0.1 ≈"), ('a,"b"', "100 %")),
    ("κ = 1 & more",),
)


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="row 2 of 'T' has 1 cells, the header 2"):
        Table("T", ("a", "b"), (("1", "2"), ("3",)))


def test_csv_reads_back() -> None:
    assert list(csv.reader(io.StringIO(HOSTILE.to_csv()))) == [list(HOSTILE.header), *map(list, HOSTILE.rows)]


def test_markdown_escapes_pipes_and_aligns() -> None:
    lines = [line for line in HOSTILE.to_markdown().splitlines() if line.startswith("|")]
    assert "R² \\| %" in lines[0]
    assert len({len(line) for line in lines}) == 1


def test_html_escapes_everything() -> None:
    text = HOSTILE.to_html()
    assert "<script>" not in text
    assert "<img" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles(tmp_path: Path) -> None:
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + HOSTILE.to_latex() + r"\end{document}"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_latex_leaves_no_special_character() -> None:
    body = HOSTILE.to_latex()
    assert r"method\_name" in body
    assert r"A \& B" in body
    assert r"100 \%" in body
    assert not set(body) & set("±≈κ²")


def test_summary_is_mean_and_sample_std_or_median_and_absolute_deviation() -> None:
    assert summarise([1.0, 3.0]) == Summary(2.0, 2**0.5, 2)
    assert summarise([1.0]) == Summary(1.0, None, 1)
    assert summarise([1.0, 2.0, 9.0], "median") == Summary(2.0, 1.0, 3)
    for empty_or_nan in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="at least one finite score"):
            summarise(empty_or_nan)


def test_seconds_to_a_score() -> None:
    curve = [(10.0, 0.5), (20.0, 0.9), (30.0, 0.8)]
    assert seconds_to(curve, 0.7) == pytest.approx(15.0)
    assert seconds_to(curve, 0.4) == 10.0
    assert seconds_to(curve, 0.95) is None


@pytest.mark.parametrize(
    ("ours", "sign"), [(99.52, "≈"), (99.54, "≈"), (99.50, "≈"), (99.55, "▲"), (99.49, "▼"), (99.544, "≈")]
)
def test_mark_compares_with_the_papers_spread(ours: float, sign: str) -> None:
    assert mark(Summary(ours, None, 1), Published(99.52, 0.02)) == sign


@pytest.mark.parametrize("name", presets())
class TestPreset:
    def test_every_cell_can_be_specified_in_every_profile(self, name: str) -> None:
        table = preset(name)
        columns = {column["name"] for column in table.content["columns"]}
        for profile in table.profiles:
            cells = table.specifications(profile, seeds=[0])
            assert {cell[0] for cell in cells} == set(range(len(table.rows)))
            assert {cell[1] for cell in cells} == columns

    def test_published_numbers_are_those_of_the_shared_data(self, name: str) -> None:
        """The data file of the papers is taken over as it is."""
        shared = FOLDER.parent.parent / "shared" / "papers" / preset(name).content["published"][0]
        if not shared.exists():
            pytest.skip(f"no ../shared/papers/{shared.name} beside the checkout")
        ours = FOLDER / "paper" / shared.name
        assert json.loads(ours.read_text(encoding="utf-8")) == json.loads(shared.read_text(encoding="utf-8"))


def test_unknown_table_and_profile_say_what_there_is() -> None:
    with pytest.raises(ValueError, match="did you mean workshop/table1"):
        preset("workshop/tabel1")
    with pytest.raises(ValueError, match="no profile 'fast': choose quick, cpu, paper"):
        preset("workshop/table1").profile("fast")


def test_table1_rows_say_what_the_paper_says() -> None:
    """Each row's runs are those of its published description, read independently of the preset."""
    table = preset("workshop/table1")
    cells = table.specifications("paper", seeds=[0])
    for row, (space, marginal, conditional, model_space, model, *_) in enumerate(table.published["rows"]):
        (run,) = cells[row, "unsupervised"]
        assert run.dataset["space"] == space
        assert run.dataset["marginal"] == marginal.replace("lambda", "scale")
        assert run.dataset["conditional"] == conditional.replace("lambda", "scale")
        assert run.method["model_space"] == model_space
        if model == "vmf(kappa=1)":
            assert (run.method["similarity"], run.method["tau"]) == ("vmf", 1.0)
        else:
            assert f"gennorm(beta={run.method['p']:g})" == model
        assert run.method["recipe"] == {
            **run.method["recipe"],
            "steps": 300_003,
            "batch": 6144,
            "optimiser": "adam",
            "lr": 1e-4,
            "schedule": "constant",
        }
        (supervised,) = cells[row, "supervised"]
        assert supervised.method["recipe"]["steps"] == 100_001


def test_columns_without_pairs_share_runs() -> None:
    cells = preset("workshop/table1").specifications("quick", seeds=[0])
    assert len({cells[row, "supervised"][0].key for row in range(12)}) == 5
    assert len({cells[row, "unsupervised"][0].key for row in range(12)}) == 12


def test_beside_shows_what_is_recorded_and_marks_the_rest() -> None:
    table = preset("workshop/table1")
    cells = table.specifications("quick", seeds=[0, 1])
    records = {}
    for run, value in zip(cells[1, "unsupervised"], (0.99, 0.98), strict=True):
        scores = {"r2(in_sample)": {"value": value, "n": 1, "d": 1, "k": 1, "warnings": []}}
        records[run.key] = Record(run, scores, 1, 1.0, [], 1, {}, "", {}, "")
    (summary,) = summaries(table, cells, records).values()
    assert (summary.value, summary.runs) == (pytest.approx(98.5), 2)
    result = beside(table, "quick", cells, records)
    assert result.rows[1][-2:] == ("98.50 ± 0.71 ▼", "99.52 ± 0.02")
    assert result.rows[0][-2] == "—"
    assert "profile quick" in result.title
    assert "on synthetic" in result.notes[0]
    for render in FORMATS.values():
        assert "98.50" in render(result)
