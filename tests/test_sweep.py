"""Sweeps from a file: what runs, what it will cost, what a mistake in the file says, and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from unmix.attempt import Outcome
from unmix.cli import main
from unmix.cost import estimates
from unmix.evaluation import Evaluation
from unmix.executors import Listener
from unmix.plan import Plan, presets, read
from unmix.record import Record, Specification, Store
from unmix.run import specify
from unmix.sweep import execute, missing

FILE = """
about: A test.
datasets:
  - {name: synthetic, n: {grid: [3, 4]}, pool: 100}
methods:
  - name: contrastive
    tau: {log_uniform: [1e-2, 10]}
    recipe: {steps: 20, batch: {choice: [16, 32, 64]}, lr: {uniform: [0, 1]}}
  - pca
  - {name: contrastive, similarity: vmf}
seeds: 2
random: {draws: 5, seed: 1}
evaluation: {samples: 500, metrics: [mcc]}
"""


def plan(text: str, folder: Path, name: str = "mine.yaml") -> Plan:
    (folder / name).write_text(text, encoding="utf-8")
    return read(str(folder / name))


def test_grid_draws_and_seeds_make_every_combination_once(tmp_path: Path) -> None:
    found = plan(FILE, tmp_path)
    drawn = [run for run in found.specifications if run.method["name"] == "contrastive"]
    assert len(drawn) == 2 * 5 * 2
    assert len(found.specifications) == 2 * 5 * 2 + 2 * 2
    assert len({run.key for run in found.specifications}) == len(found.specifications)
    draws = {(run.method["tau"], run.method["recipe"]["batch"], run.method["recipe"]["lr"]) for run in drawn}
    assert len(draws) == 5, "datasets and seeds meet the same draws"
    assert all(1e-2 <= tau <= 10 and batch in (16, 32, 64) and 0 <= lr <= 1 for tau, batch, lr in draws)
    assert {run.method["recipe"]["steps"] for run in drawn} == {20}
    assert {run.dataset["n"] for run in drawn} == {3, 4}
    assert all(run.evaluation == {"samples": 500, "metrics": ["mcc"]} for run in found.specifications)
    label = found.labels[drawn[0].key]
    assert label.startswith("synthetic n=3 contrastive ")
    assert f"tau={drawn[0].method['tau']}" in label
    assert label.endswith("seed 0")


def test_what_has_no_meaning_is_listed_with_its_reason(tmp_path: Path) -> None:
    found = plan(FILE, tmp_path)
    assert list(found.declined) == ["synthetic n=3 contrastive", "synthetic n=4 contrastive"]
    assert "vmf has no meaning on unbounded" in found.declined["synthetic n=3 contrastive"]


def test_a_file_and_a_command_of_the_same_words_are_one_run(tmp_path: Path) -> None:
    """4 is 4.0 where the field is a float, or a sweep would compute again what is recorded."""
    text = "datasets: [{name: dsprites_procedural}]\nmethods: [{name: beta_vae, beta: 4, recipe: {steps: 9, lr: 1e-3}}]"
    (run,) = plan(text, tmp_path).specifications
    method = {"name": "beta_vae", "beta": 4.0, "recipe": {"steps": 9, "lr": 0.001}}
    assert run.key == specify({"name": "dsprites_procedural"}, method, 0).key


def test_json_says_the_same(tmp_path: Path) -> None:
    content = {"datasets": ["synthetic"], "methods": [{"name": "supervised", "recipe": {"lr": {"grid": [1e-3, 1]}}}]}
    assert [run.method["recipe"]["lr"] for run in plan(json.dumps(content), tmp_path, "a.json").specifications] == [
        1e-3,
        1,
    ]


def test_draws_do_not_move_when_others_are_added(tmp_path: Path) -> None:
    def taus(text: str) -> list[float]:
        found = plan(text, tmp_path).specifications
        return list(dict.fromkeys(run.method["tau"] for run in found if run.method["name"] == "contrastive"))

    before = taus(FILE)
    more = FILE.replace("draws: 5", "draws: 8").replace("lr: {uniform: [0, 1]}", "warmup: {uniform: [1, 9]}")
    more = more.replace("methods:\n", "methods:\n  - {name: supervised, recipe: {lr: {uniform: [0.1, 1]}}}\n")
    assert taus(more)[:5] == before
    assert taus(FILE.replace("seed: 1", "seed: 2")) != before


def test_whole_numbers_are_drawn_whole_and_reach_both_ends(tmp_path: Path) -> None:
    text = "datasets: [synthetic]\nmethods: [{name: supervised, recipe: {steps: {uniform: [1, 3]}, batch: %s}}]\n"
    found = plan(text % "{log_uniform: [8, 512]}" + "random: {draws: 40}", tmp_path).specifications
    assert {run.method["recipe"]["steps"] for run in found} == {1, 2, 3}
    batches = [run.method["recipe"]["batch"] for run in found]
    assert all(isinstance(batch, int) and 8 <= batch <= 512 for batch in batches)
    assert 8 < sum(batch < 64 for batch in batches) < 32  # half of a log-uniform is below the geometric mean


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("methods:", "method:", "method: there is no such key; did you mean methods?"),
        ("name: synthetic", "name: synthetik", "datasets[0]: no dataset is named 'synthetik'; did you mean synthetic"),
        ("- pca", "- pcaa", "methods[1]: no method is named 'pcaa'; did you mean pca"),
        ("steps: 20", "stpes: 20", "methods[0].recipe.stpes: there is no such field; did you mean steps"),
        ("steps: 20", "steps: 20.5", "methods[0].recipe.steps: a whole number is needed, not 20.5"),
        ("steps: 20", "steps: [20, 30]", "several values are {grid: [...]}"),
        ("steps: 20", "steps: .inf", "methods[0].recipe.steps: a whole number is needed"),
        ("pool: 100", "seed: 100", "datasets[0].seed: a run sets it; seeds are at the top of the file"),
        ("pool: 100", "space: no", "datasets[0].space: text (in quotes) is needed, not False"),
        ("recipe: {", "recipe: {optimiser: adm, ", "methods[0].recipe.optimiser: 'adm' is none of adam, muon"),
        ("log_uniform", "loguniform", "methods[0].tau: one of log_uniform with a list is needed"),
        ("[1e-2, 10]", "[0, 10]", "methods[0].tau.log_uniform: low must be less than high, and above 0"),
        ("[1e-2, 10]", "[3]", "methods[0].tau.log_uniform: two numbers [low, high] are needed, not [3.0]"),
        ("{choice: [16, 32, 64]}", "{choice: [16, a]}", "methods[0].recipe.batch.choice[1]: a whole number is needed"),
        ("seeds: 2", "seeds: [0, -1]", "seeds: a list such as [0, 1, 2] or their number is needed"),
        ("random: {draws: 5, seed: 1}", "", "methods[0].tau: it is drawn; say how often at the top of the file"),
        ("draws: 5", "draws: 0", "random.draws: it must be at least 1, not 0"),
        ("[mcc]", "[mcs]", "synthetic n=3 contrastive"),
        ("[mcc]", "[mcs]", "no metric is named 'mcs'"),
        ("samples: 500", "sample: 500", "evaluation.sample: there is no such field; did you mean samples"),
        ("samples: 500", "samples: {grid: [1, 2]}", "evaluation.samples: one value is needed"),
        ("steps: 20", "steps: -1", "steps is -1: it must be at least 1"),
        ("seeds: 2", "seeds: 2\nseeds: 3", "line 11, column 1: seeds is there twice"),
        ("seeds: 2", "seeds: [2", "line 12, column 7: expected ',' or ']'"),
        ("- pca", "- 'file:Mine'", "methods[1]: file:Mine is code in a file, which runs only when asked for"),
        ("- pca", "- {d: 3}", "methods[1]: a name is needed"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in FILE
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        plan(FILE.replace(old, new, 1), tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'mine.yaml'}: ")


def test_every_preset_can_run() -> None:
    assert {"beta", "tiny"} <= set(presets())
    for name in presets():
        found = read(name)
        assert found.specifications
        assert found.about
        assert not found.declined
    with pytest.raises(ValueError, match="no sweep is named 'betta'; did you mean beta"):
        read("betta")


def record(run: Specification, seconds: float, device: str = "cpu") -> Record:
    steps = run.method.get("recipe", {"steps": 0})["steps"]
    return Record(run, {}, steps, seconds, [], 1, {}, "", {"device": device}, "2026-01-01")


def supervised(steps: int, batch: int, seed: int = 0) -> Specification:
    method = {"name": "supervised", "recipe": {"steps": steps, "batch": batch}}
    return specify({"name": "synthetic"}, method, seed, Evaluation())


def test_cost_is_the_median_of_records_scaled_by_steps() -> None:
    records = [record(supervised(100, 64, seed), seconds) for seed, seconds in enumerate([10.0, 12.0, 99.0])]
    same, other = supervised(500, 64), supervised(500, 128)
    pca = specify({"name": "synthetic"}, {"name": "pca"}, 0, Evaluation())
    found = estimates([same, other, pca], records, "cpu")
    assert found[same.key].seconds == pytest.approx(5 * 12.0)
    assert (found[same.key].records, found[same.key].exact) == (3, True)
    assert found[other.key].seconds == pytest.approx(2 * 5 * 12.0)
    assert not found[other.key].exact
    assert pca.key not in found, "nothing was recorded of it"
    assert not estimates([same], records, "cuda:0"), "a processor says nothing about a GPU"


class Dying:
    """An executor whose attempts at seed 0 die a number of times."""

    def __init__(self, deaths: int) -> None:
        self.deaths, self.started, self.left = deaths, [], False

    def __enter__(self) -> Dying:
        return self

    def __exit__(self, *_: object) -> None:
        self.left = True

    def start(self, specifications: Sequence[Specification], store: Store, listener: Listener) -> None:
        self.started += specifications
        self.waiting = [*getattr(self, "waiting", []), *specifications]

    def ended(self) -> list[Outcome]:
        run = self.waiting.pop(0)
        dies = run.seed == 0 and self.deaths > 0
        self.deaths -= dies
        return [Outcome(run, "died" if dies else "ok", "node lost" if dies else "")]


class Heard:
    def __init__(self) -> None:
        self.again_, self.outcomes = 0, []

    def progressed(self, *_: object) -> None: ...

    def again(self, outcome: Outcome) -> None:
        self.again_ += 1

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


@pytest.mark.parametrize(
    ("deaths", "retries", "ends", "message"),
    [(2, 2, "ok", ""), (3, 2, "died", "node lost; 3 attempts"), (1, 0, "died", "node lost")],
)
def test_what_died_is_tried_again_and_given_up_after_so_many(
    deaths: int, retries: int, ends: str, message: str, tmp_path: Path
) -> None:
    runs, where, heard = [supervised(9, 8, seed) for seed in range(2)], Dying(deaths), Heard()
    outcomes = execute(runs, Store(tmp_path), heard, where, retries=retries)
    assert {outcome.specification.seed: outcome.status for outcome in outcomes} == {0: ends, 1: "ok"}
    assert [outcome.message for outcome in outcomes if outcome.specification.seed == 0] == [message]
    assert heard.again_ == min(deaths, retries)
    assert heard.outcomes == outcomes
    assert len(where.started) == 2 + min(deaths, retries)
    assert where.left


def test_the_command_says_the_cost_runs_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "tiny", "--workers", "1", "--store", str(tmp_path)]
    assert main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "6 runs: 0 recorded, 6 to do" in shown
    assert "pca" in shown
    assert "of training" in shown, "committed records of the same methods say what it costs"
    assert main([*words, "--dry-run", "--device", "cuda"]) == 0
    assert "unknown" in capsys.readouterr().out, "no record of a GPU is committed"
    assert not list(tmp_path.rglob("*.jsonl"))
    first = read("tiny").specifications[0]
    from unmix.run import run

    run(first, Store(tmp_path))
    assert main(words) == 0
    shown = capsys.readouterr().err
    assert "6 runs: 1 recorded, 5 to do" in shown
    assert "5 runs recorded in" in shown
    assert not missing(read("tiny").specifications, Store(tmp_path))
    assert main(words) == 0
    assert "6 recorded, 0 to do; nothing is left" in capsys.readouterr().err


def test_a_method_in_a_file_runs_only_where_the_command_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Own:\n    scale: float = 1.0\n"
        "    def fit(self, dataset, generator, trainer):\n        return lambda x: self.scale * x\n",
        encoding="utf-8",
    )
    text = "datasets: [{name: synthetic, n: 3, pool: 100}]\nmethods: [{name: 'file:Own', scale: {grid: [1, 2]}}]\n"
    (tmp_path / "own.yaml").write_text(text + "evaluation: {samples: 300, metrics: [mcc]}", encoding="utf-8")
    words = ["sweep", str(tmp_path / "own.yaml"), "--workers", "1", "--store", str(tmp_path / "store")]
    assert main(words) == 2
    assert "--method FILE:Own" in capsys.readouterr().err
    assert main([*words, "--method", f"{tmp_path / 'own.py'}:Own"]) == 0
    assert sorted(found.specification.method["scale"] for found in Store(tmp_path / "store")) == [1.0, 2.0]


def test_runs_that_gave_no_record_are_named_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "datasets: [{name: synthetic, n: 3, pool: 100}]\nevaluation: {samples: 300, metrics: [mcc]}\n"
    text += "methods:\n  - pca\n  - {name: supervised, recipe: {steps: 5, batch: 8, optimiser: adam, lr: 1e30}}\n"
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert main(["sweep", str(tmp_path / "a.yaml"), "--workers", "1", "--store", str(tmp_path / "store")]) == 1
    shown = capsys.readouterr().err
    assert "1 of 2 runs gave no record:" in shown
    last = shown.split("gave no record:")[1]
    assert "synthetic supervised seed 0: DivergedError" in last
    assert "traceback.txt" in last


def test_the_page_shows_a_file_that_runs(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "sweeps.md").read_text(encoding="utf-8")
    found = plan(page.split("```yaml\n")[1].split("```")[0], tmp_path)
    assert len(found.specifications) == 2 * (20 + 1 + 1) * 3
    assert not found.declined
