"""The board's page model: what stands together, what leads where, what is best."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from boards import DATASET, entry, record

from unmix.aggregate import interval
from unmix.board.entries import entries
from unmix.board.figures import heat, linear, scatter, times
from unmix.board.model import benchmarks, configurations, results, sheet, slug
from unmix.board.tables import reproductions
from unmix.citations import cited, references
from unmix.registry import METHODS


def only(*given: Any) -> Any:
    (benchmark,) = benchmarks(configurations(given))
    return benchmark


class TestConfigurations:
    def test_seeds_stand_together_and_have_the_weakest_mark(self) -> None:
        found = configurations([entry(record("pca", 1), "verified"), entry(record("pca", 0)), entry(record("noise"))])
        assert [[e.record.specification.seed for e in c.entries] for c in found] == [[0, 1], [0]]
        assert found[0].mark == "claimed"
        assert found[0].values("mcc") == [0.4, 0.4]

    def test_a_submission_is_not_averaged_with_ours(self) -> None:
        theirs = entry(record("pca", 1, mcc=1.0), source="theirs", submission={})
        ours, other = configurations([entry(record("pca", 0)), theirs])
        assert (ours.submission, other.submission) == ("", "theirs")
        assert ours.mean("mcc") == 0.4
        assert ours.key != other.key

    def test_an_unknown_mark_is_refused(self) -> None:
        forged = entry(record("pca"))
        object.__setattr__(forged, "mark", "gold")  # from a marks.json, where nothing checks types
        with pytest.raises(ValueError, match="'gold' is none of"):
            configurations([forged])

    def test_one_run_leads_to_it_and_several_to_a_page_of_all(self) -> None:
        one, several = configurations([entry(record("noise")), entry(record("pca", 0)), entry(record("pca", 1))])
        assert one.href == f"runs/{one.entries[0].record.key}.html"
        assert several.href == f"configurations/{several.key}.html"


class TestBenchmarks:
    def test_what_makes_pairs_is_no_other_test(self) -> None:
        laws = ["gennorm(beta=2, scale=0.05)", "gennorm(beta=1, scale=0.1)"]
        datasets = [{"name": "synthetic", "conditional": law} for law in laws]
        benchmark = only(*(entry(record("contrastive", dataset=dataset)) for dataset in datasets))
        assert [c.pairs for c in benchmark.configurations] == laws
        assert list(benchmark.labels.values()) == [f"pairs {law}" for law in laws]

    def test_another_setting_is_another_test_and_is_named(self) -> None:
        found = benchmarks(configurations([entry(record("pca")), entry(record("pca", dataset={**DATASET, "n": 4}))]))
        assert [benchmark.setting for benchmark in found] == ["n 3", "n 4"]
        assert len({benchmark.name for benchmark in found}) == 2

    def test_rows_are_apart_by_role_and_the_best_first(self) -> None:
        benchmark = only(
            entry(record("noise", r2=0.0)),
            entry(record("ivae", r2=0.6)),
            entry(record("supervised", r2=0.9)),
            entry(record("tcl", r2=0.7)),
        )
        shown = sheet(benchmark, {"r2(in_sample)": 1, "mcc": 1})
        assert [(group.kind, [row[0].text for row in group.rows]) for group in shown.groups] == [
            ("ceiling", ["supervised"]),
            ("method", ["tcl", "ivae"]),
            ("floor", ["noise"]),
        ]
        column = [c.title for c in shown.columns].index("r2(in_sample)")
        assert column == shown.sorted_by
        assert [[row[column].best for row in group.rows] for group in shown.groups] == [[False], [True, False], [False]]

    def test_where_lower_is_better_the_lowest_is_best(self) -> None:
        benchmark = only(entry(record("ivae", r2=0.6)), entry(record("tcl", r2=0.7)))
        (group,) = sheet(benchmark, {"r2(in_sample)": -1, "mcc": 1}).groups
        assert [(row[0].text, row[1].best) for row in group.rows] == [("ivae", True), ("tcl", False)]

    def test_a_cell_is_the_mean_with_its_interval_and_leads_to_its_runs(self) -> None:
        benchmark = only(*(entry(record("ivae", seed, r2=value)) for seed, value in enumerate((0.5, 0.6, 0.7))))
        cell = sheet(benchmark, {}).groups[0].rows[0][1]
        low, high = interval([0.5, 0.6, 0.7])  # type: ignore[misc]
        assert cell.text == "0.600"
        assert cell.value == pytest.approx(0.6)
        assert cell.small == f"± {(high - low) / 2:.3f}"
        assert cell.href == benchmark.configurations[0].page

    def test_a_metric_that_a_run_does_not_have_is_a_dash(self) -> None:
        bare = record("ivae", scores={"mcc": {"value": 0.5, "n": 1, "d": 1, "k": 1, "warnings": []}})
        benchmark = only(entry(record("tcl")), entry(bare))
        rows = {row[0].text: row for row in sheet(benchmark, {}).groups[0].rows}
        assert (rows["ivae"][1].text, rows["ivae"][1].value) == ("—", None)

    def test_labels_say_what_differs(self) -> None:
        given = [entry(record({"name": "tcl", "p": value})) for value in (1.0, 2.0)]
        benchmark = only(*given)
        assert list(benchmark.labels.values()) == ["p 1.0", "p 2.0"]

    def test_results_of_several_benchmarks_have_the_metrics_of_all(self) -> None:
        given = configurations([entry(record("pca")), entry(record("pca", dataset={**DATASET, "n": 4}))])
        homes = {c.key: benchmark for benchmark in benchmarks(given) for c in benchmark.configurations}
        shown = results(given, homes, {})
        assert [row[0].small for row in shown.groups[0].rows] == ["n 3", "n 4"]
        assert {"r2(in_sample)", "mcc"} <= {column.title for column in shown.columns}


def test_names_of_files_stay_in_their_folder_and_never_collide() -> None:
    names = ["../../etc", "a/b", "a-b", "a b", "", "ä", "x" * 300, "x" * 301]
    made = [slug(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(name and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for name in made)


class TestFigures:
    def test_points_are_where_their_numbers_are(self) -> None:
        benchmark = only(
            entry(record("tcl", mcc=0.2, seconds=10.0)),
            entry(record("ivae", mcc=0.8, seconds=1000.0)),
            entry(record("noise", mcc=0.0)),
        )
        figure = scatter(benchmark, "mcc")
        assert figure is not None
        low, high = figure.points
        assert low.x < high.x
        assert low.y > high.y
        ends = {tick.label: tick.place for tick in figure.y}
        assert high.y == pytest.approx(ends["0.8"])
        assert [level.label for level in figure.levels] == ["noise"]
        assert figure.levels[0].y == pytest.approx(ends["0"])

    def test_without_a_trained_method_there_is_none(self) -> None:
        assert scatter(only(entry(record("pca"))), "mcc") is None

    def test_axes_hold_equal_and_huge_values(self) -> None:
        for values in ((0.5, 0.5), (-1e6, 1e6), (0.0, 1e-9)):
            ticks, place = linear(*values, 0.0, 100.0)
            assert 0 <= place(values[0]) <= place(values[1]) <= 100
            assert len(ticks) > 1
        ticks, place = times([7.0, 7.0], 0.0, 100.0)
        assert math.isclose(place(7.0), 50)

    def test_heat_matches_codes_to_factors_first(self) -> None:
        factors = np.random.default_rng(0).normal(size=(200, 3))
        codes = np.column_stack([np.zeros(200), factors[:, 2], -factors[:, 0], factors[:, 1]])
        shown = heat(codes, np.column_stack([factors, np.ones(200)]), ["a", "b", "c", "constant"])
        assert shown is not None
        assert [tick.label for tick in shown.factors] == ["a", "b", "c"]
        assert [tick.label for tick in shown.codes] == ["2", "3", "1", "0"]
        assert round(shown.values[0][2], 3) == 1.0


class TestTables:
    def test_cells_are_those_of_the_committed_tables(self) -> None:
        """The board's numbers are those that `unmix table` prints."""
        found = entries()
        tables = {table.name: table for table in reproductions(found)}
        table = tables["workshop_table1_cpu"]
        homes = {e.record.key: c for c in configurations(found) for e in c.entries}
        shown = table.sheet(homes)
        assert table.done == (36, 36)
        row, column = shown.groups[0].rows[0], [c.title for c in shown.columns].index("Unsupervised")
        assert row[0].text.startswith("1. ")
        assert row[column].value == pytest.approx(table.ours[0, "unsupervised"].value)
        assert row[column].small.endswith("paper 99.42 ± 0.05")
        assert row[column].sign == "▼"

    def test_a_submission_is_no_reproduction_of_ours(self) -> None:
        committed = [e for e in entries() if e.source == "workshop_table1_cpu"]
        theirs = [entry(e.record, source="theirs", submission={}) for e in committed]
        assert reproductions(theirs) == []
        assert reproductions(committed) != []


class TestCitations:
    def test_every_reference_is_whole(self) -> None:
        for key, text in references().items():
            assert text.count("{") == text.count("}"), key
            assert all(f"  {field} = {{" in text for field in ("title", "author", "year")), key
            assert key[-4:] in text.split("year = ")[1]

    def test_papers_of_methods_are_found(self) -> None:
        keys = [text.split("{")[1].split(",")[0] for text in cited(METHODS["ada_gvae"].__doc__)]
        assert keys == ["locatello2020", "hosoya2019"]
        assert cited("Nobody et al. 1999") == []
