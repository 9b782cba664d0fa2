"""From records to verdicts: selectors, arms, what is compared, what is said, what is written."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unmix.cli import main
from unmix.comparison.arms import Selector, Task, choose, titles
from unmix.comparison.plots import draw
from unmix.comparison.report import FORMATS, in_short, sentences
from unmix.comparison.verdicts import Findings, findings
from unmix.fields import PAIRS
from unmix.record import Record, Specification, Store
from unmix.run import make_dataset

GRID: dict[str, Any] = {"name": "dsprites_procedural", "transitions": "uni"}
LAP: dict[str, Any] = {**GRID, "transitions": "lap(rate=1)"}


def made(
    method: str,
    seed: int,
    dataset: dict[str, Any] = GRID,
    samples: int = 100,
    metrics: tuple[str, ...] = (),
    **scores: float,
) -> Record:
    fields = {"beta": 4.0, "recipe": {"steps": 10}} if "vae" in method else {}
    name, _, beta = method.partition("=")
    fields |= {"beta": float(beta)} if beta else {}
    evaluation = {"samples": samples, "metrics": list(metrics or scores)}
    return Record(
        specification=Specification(dataset, {"name": name, **fields}, seed, evaluation),
        scores={m: {"value": v, "n": samples, "d": 2, "k": 2, "warnings": []} for m, v in scores.items()},
        **{"steps": 10, "seconds": 1.0, "curve": [], "parameters": 0, "versions": {}, "commit": "", "hardware": {}},
        finished="2026-01-01T00:00:00+00:00",
    )


def runs(method: str, values: list[float], dataset: dict[str, Any] = GRID, start: int = 0) -> list[Record]:
    return [made(method, start + seed, dataset, mcc=value) for seed, value in enumerate(values)]


SHAPES = {"name": "shapes3d_procedural", "transitions": "uni"}
GOOD, BAD = [0.81, 0.85, 0.83, 0.84, 0.86, 0.82, 0.87, 0.80], [0.50, 0.52, 0.55, 0.51, 0.53, 0.50, 0.54, 0.52]


def found(records: list[Record], *words: str, **options: Any) -> Findings:
    return findings(choose(words, records), **options)


def test_selectors() -> None:
    vae = made("beta_vae", 0, LAP, mcc=0.5)
    for text in ("beta_vae", "beta_vae(beta=4)", "beta_vae( steps=10 , beta = 4.0)", "beta_vae(recipe.steps=10)"):
        assert Selector.parse(text).method(vae), text
    for text in ("beta_vae(transitions=lap(rate=1))", vae.key, f"00000,{vae.key[:8]}"):
        assert Selector.parse(text).method(vae), text
    for text in ("slow_vae", "beta_vae(beta=5)", "beta_vae(transitions=uni)", "beta_vae(teps=10)"):
        assert not Selector.parse(text).method(vae), text
    assert Selector.parse("dsprites_procedural(transitions=lap(rate=1))").dataset(vae)
    assert not Selector.parse("dsprites_procedural(transitions=uni)").dataset(vae)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beta_va", "pca"], "did you mean beta_vae"),
        (["beta_vae(bet=1)", "pca"], "has the field 'bet': did you mean beta"),
        (["beta_vae(beta=1)", "pca"], "beta is 4.0"),
        (["beta_vae(beta)", "pca"], "'beta' is not of the form field=value"),
        (["beta vae", "pca"], "not of the form NAME"),
        (["9999", "pca"], "no record has a key that starts with 9999"),
        (["pca"], "name at least two methods"),
        (["pca", "noise"], "1 run of noise on what the others have no runs on: shapes3d_procedural"),
    ],
)
def test_words_that_mean_nothing_are_explained(words: list[str], message: str) -> None:
    records = [*runs("beta_vae", [0.5]), *runs("pca", [0.4]), *runs("noise", [0.1], SHAPES)]
    with pytest.raises(ValueError, match=re.escape(message)):
        choose(words, records)


def test_a_word_of_several_configurations_is_an_arm_for_each() -> None:
    records = [*runs("beta_vae", [0.5, 0.6]), *runs("beta_vae=16", [0.4, 0.3]), *runs("beta_vae=16", [0.2], SHAPES)]
    assert [arm.label for arm in choose(["beta_vae"], records).arms] == ["beta_vae(beta=4.0)", "beta_vae(beta=16.0)"]
    records += runs("beta_vae", [0.7], LAP)
    labels = {arm.label for arm in choose(["beta_vae"], records).arms}
    assert "beta_vae(beta=4.0, transitions=lap(rate=1))" in labels
    for label in labels:  # a label is a selector of its arm
        assert Selector.parse(label).fields


def test_configurations_of_different_datasets_are_one_arm() -> None:
    records = [*runs("beta_vae", [0.5]), *runs("beta_vae=16", [0.4], SHAPES)]
    records += [*runs("pca", [0.1]), *runs("pca", [0.1], SHAPES)]
    chosen = choose(["beta_vae", "pca"], records)
    assert [arm.label for arm in chosen.arms] == ["beta_vae", "pca"]
    assert list(titles(chosen.tasks).values()) == ["dsprites_procedural", "shapes3d_procedural"]


def test_pairs_are_no_part_of_a_task_and_samples_are() -> None:
    one, two, other = (made("pca", 0, data, n, mcc=0.5) for data, n in ((GRID, 100), (LAP, 100), (GRID, 50)))
    assert Task.of(one.specification) == Task.of(two.specification) != Task.of(other.specification)


@pytest.mark.parametrize(
    ("name", "field", "values"),
    [
        ("dsprites_procedural", "transitions", ("uni", "lap(rate=1)")),
        ("kitti_masks_procedural", "max_delta_t", (1, 5)),
        ("threedident_procedural", "conditional", ("normal(std=0.1)", "normal(std=0.5)")),
        ("synthetic", "conditional", ("gennorm(beta=1, scale=0.05)", "gennorm(beta=2, scale=0.1)")),
    ],
)
def test_fields_of_pairs_do_not_touch_what_is_evaluated(name: str, field: str, values: tuple[Any, Any]) -> None:
    assert field in PAIRS
    small = {"synthetic": {"pool": 50}, "threedident_procedural": {"size": 32}}.get(name, {})
    drawn = [
        make_dataset({"name": name, field: value, **small}, 0).sample(2, torch.Generator().manual_seed(0))
        for value in values
    ]
    assert all(torch.equal(first, second) for first, second in zip(*drawn, strict=True))


def test_the_same_run_twice_counts_once() -> None:
    twice = [made("pca", 0, mcc=0.5), made("pca", 0, metrics=("mcc", "r2"), mcc=0.5)]
    chosen = choose(["pca", "noise"], [*twice, *runs("noise", [0.1])])
    assert len(chosen.arms[0].scores(chosen.tasks[0], "mcc")) == 1
    assert twice[1].key in chosen.left_out[0]


def test_three_seeds_are_too_few_and_eight_are_not() -> None:
    (verdict,) = found([*runs("pca", GOOD[:3]), *runs("noise", BAD[:3])], "pca", "noise").verdicts
    assert (verdict.p, verdict.told, verdict.paired, verdict.runs) == (0.25, "too few", True, (3, 3))
    assert verdict.needed == "6"
    assert verdict.sentence.startswith("pca is above noise in mcc on 1 dataset: +30.7 [")
    assert "too few to tell, as no outcome has a p below 0.25; 6 paired seeds would be needed." in verdict.sentence
    (verdict,) = found([*runs("pca", GOOD), *runs("noise", BAD)], "pca", "noise").verdicts
    assert (verdict.p, verdict.told, verdict.needed) == (2 / 2**8, "apart", "")
    assert verdict.improvement.value == 1.0


def test_the_verdict_is_corrected_for_the_number_of_comparisons() -> None:
    records = [*runs("pca", GOOD), *runs("noise", BAD), *runs("ica", [0.6, 0.5] * 4)]
    every = found(records, "pca", "noise", "ica")
    assert len(every.verdicts) == 3
    assert {verdict.comparisons for verdict in every.verdicts} == {3}
    assert all(verdict.corrected >= verdict.p for verdict in every.verdicts)
    assert len(found(records, "pca", "noise", "ica", first_only=True).verdicts) == 2


def test_one_seed_has_no_interval_and_says_what_is_needed() -> None:
    (verdict,) = found([*runs("pca", [0.5]), *runs("noise", [0.1])], "pca", "noise").verdicts
    assert (verdict.difference.low, verdict.effect, verdict.p, verdict.needed) == (None, None, 1.0, "at least 6")
    assert "pca is above noise in mcc on 1 dataset: +40.0, p = 1, 1 paired seed: too few" in verdict.sentence


def test_runs_without_a_common_seed_are_compared_unpaired() -> None:
    every = found([*runs("pca", GOOD[:4]), *runs("noise", BAD[:4], start=10)], "pca", "noise")
    (verdict,) = every.verdicts
    assert not verdict.paired
    assert verdict.p == pytest.approx(2 / 70)
    assert "4 and 4 runs, not paired: told apart" in verdict.sentence
    assert every.ranks is None
    assert "ranks: the arms share one dataset and no seed" in every.left_out


def test_only_common_seeds_are_paired_and_the_others_are_named() -> None:
    every = found([*runs("pca", GOOD[:3]), *runs("noise", BAD[:2])], "pca", "noise")
    assert every.verdicts[0].runs == (2, 2)
    assert every.left_out == ("pca with noise on dsprites_procedural: seed 2, which only one has",)


def test_where_lower_is_better_the_effect_is_turned() -> None:
    name = "gaussian_total_correlation"
    low = [made("pca", seed, **{name: value}) for seed, value in enumerate((0.1, 0.2, 0.1))]
    high = [made("noise", seed, **{name: value}) for seed, value in enumerate((1.1, 1.4, 1.2))]
    every = found([*low, *high], "pca", "noise")
    (verdict,) = every.verdicts
    assert verdict.difference.value < 0
    assert verdict.effect is not None
    assert verdict.effect > 0
    assert verdict.improvement.value == 1.0
    assert "pca is below noise in gaussian_total_correlation (lower is better)" in verdict.sentence
    assert every.ranks is not None
    assert every.ranks.arms[0] == "pca"


def test_datasets_weigh_the_same_and_ranks_are_over_datasets() -> None:
    records = [*runs("pca", [0.9, 0.9, 0.9]), *runs("noise", [0.5, 0.5, 0.5])]
    records += [*runs("pca", [0.4, 0.4], SHAPES), *runs("noise", [0.2, 0.2], SHAPES)]
    every = found(records, "pca", "noise")
    assert every.verdicts[0].difference.value == pytest.approx((40 + 20) / 2)
    assert every.ranks is not None
    assert (every.ranks.block, every.ranks.blocks, every.ranks.p) == ("dataset", 2, 0.5)


def test_nothing_shared_is_said() -> None:
    with pytest.raises(ValueError, match="share a metric on one dataset"):
        found([made("pca", 0, mcc=0.5), made("noise", 0, r2=0.5)], "pca", "noise")
    with pytest.raises(ValueError, match="no record of these arms has r2: there are mcc"):
        found([*runs("pca", [0.1]), *runs("noise", [0.1])], "pca", "noise", metrics=["r2"])
    every = found([made("pca", 0, mcc=0.5, mine=0.1), made("noise", 0, mcc=0.5, mine=0.3)], "pca", "noise")
    assert "mine: not a metric of this installation" in every.left_out[0]


@pytest.fixture(scope="module")
def three() -> Findings:
    values = np.random.default_rng(0)
    records = [
        made(name, seed, data, mcc=level + 0.05 * values.random(), mig=level / 2 + 0.1 * values.random())
        for name, level in (("pca", 0.6), ("noise", 0.1), ("ica", 0.5))
        for data in (GRID, SHAPES)
        for seed in range(3)
    ]
    keys = ",".join(record.key for record in records if "noise" in record.specification.method["name"])
    return findings(choose(["pca", "ica", keys], records))


def test_formats_hold_the_same_numbers(three: Findings) -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](three))))
    content = json.loads(FORMATS["json"](three))
    assert len(rows) == len(content["pairs"]) == len(three.verdicts) == 6
    for row, pair, verdict in zip(rows, content["pairs"], three.verdicts, strict=True):
        assert float(row["difference"]) == pair["difference"]["value"] == verdict.difference.value
        assert pair["cliffs_delta"] == 2 * verdict.improvement.value - 1
    assert set(content["arms"]) == {arm.label for arm in three.arms}
    text = FORMATS["markdown"](three)
    assert text.count("\n- ") == len(sentences(three))
    assert len(in_short(three, 2)) < len(in_short(three))


def test_figures_are_written(three: Findings, tmp_path: Path) -> None:
    paths = draw(three, tmp_path)
    assert [path.name for path in paths] == ["intervals.png", "profiles.png", "ranks.png", "scatter.png"]
    assert all(path.stat().st_size > 5000 for path in paths)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    kept = Store(tmp_path / "kept")
    for record in [*runs("beta_vae", GOOD), *runs("slow_vae", BAD)]:
        kept.append(record)
    return kept.folder


def test_the_command(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "beta_vae(steps=10)", "slow_vae(steps=10)", "--store", str(store)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    for part in ("Aggregates on 1 dataset", "Pairs", "Ranks", "Conclusions", "told apart"):
        assert part in shown
    assert main([*words, "--format", "json", "--output", "out", "--metric", "mcc"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("out/compare.json").read_text(encoding="utf-8"))
    assert Path("out/intervals.png").exists()
    assert not Path("out/scatter.png").exists()  # of one metric
    assert main([*words, "--metric", "mcs"]) == 2
    assert "no metric is named 'mcs'" in capsys.readouterr().err


def test_committed_records_can_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pca", "noise", "--dataset", "dsprites_procedural", "--metric", "mcc", "--store", str(tmp_path)]
    assert main(["compare", *words, "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(row["low"]) > 0
