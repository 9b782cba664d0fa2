"""Submissions: packed, checked, marked, trained again."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from submissions import (
    DETAILS,
    SAMPLES,
    arrays,
    change_record,
    change_submission,
    claim,
    keys,
    packed,
    refused,
    replace_specification,
    said,
    save,
    specification,
)

from unmix.cli import main
from unmix.record import Record, Store
from unmix.run import make_dataset, specify
from unmix.seeds import derived_generator
from unmix.submission.archive import RefusedError
from unmix.submission.packing import chosen, pack
from unmix.submission.rerun import differences
from unmix.submission.verification import _drawn, verify

ROOT = Path(__file__).resolve().parent.parent
METHOD = """
import os
from dataclasses import dataclass
from pathlib import Path

if os.environ.get("UNMIX_WITNESS"):
    Path(os.environ["UNMIX_WITNESS"]).touch()


@dataclass(frozen=True)
class Plain:
    def fit(self, dataset, generator, trainer):
        return lambda observations: observations
"""
RUN = ["--n", "3", "--pool", "100", "--samples", "200", "--metrics", "r2", "mcc", "--workers", "1"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("submission"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


def test_what_is_packed_is_accepted_and_verified(folder: Path) -> None:
    report = verify(folder)
    assert report.accepted
    assert said(report, "refused") == said(report, "not checked") == []
    assert report.marks == dict.fromkeys(keys(folder), "verified")
    assert sum("2 scores recomputed" in text for text in said(report, "checked")) == 2
    content = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
    assert content["authors"] == ["A. Person"]
    assert content["data"][keys(folder)[0]] == {"dataset": "synthetic", "origin": "drawn", "files": {}}


@pytest.mark.parametrize(
    ("suffix", "around"),
    [
        *[(".zip", around) for around in ("", "tiny/", "./", "./tiny/")],
        *[(".tar", around) for around in ("tiny/", "./", "./tiny/")],
        *[(suffix, "tiny/") for suffix in (".tar.gz", ".tar.xz", ".tar.bz2")],
    ],
)
def test_archives_are_judged_as_their_folder(folder: Path, tmp_path: Path, suffix: str, around: str) -> None:
    path = tmp_path / f"packed{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for file in filter(Path.is_file, folder.rglob("*")):
                zipped.write(file, around + file.relative_to(folder).as_posix())
    else:
        with tarfile.open(path, "w:" + suffix.removeprefix(".tar").removeprefix(".")) as tarred:
            tarred.add(folder, around)
    report = verify(path)
    assert said(report, "refused") == []
    assert set(report.marks.values()) == {"verified"}


def test_packing_names_all_that_is_missing(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [Record.from_json(line) for line in lines]
    wrong = replace(DETAILS, name="Not A Name", licence="mit licence")
    with pytest.raises(RefusedError) as caught:
        pack(wrong, records, Store(tmp_path / "empty"), tmp_path / "out", weights=True)
    faults = "\n".join(caught.value.faults)
    for text in ("name: 'Not A Name'", *(f"codes/{key}.npz cannot be packed" for key in keys(folder)), "weights/"):
        assert text in faults
    assert not (tmp_path / "out").exists()


def test_keys_are_chosen_by_how_they_start(folder: Path) -> None:
    records = Store(folder).by_key()
    first = keys(folder)[0]
    assert [record.key for record in chosen([first[:6], first], records)] == [first]
    assert len(chosen(["ALL"], records)) == 2
    with pytest.raises(ValueError, match=r"no record has a key that starts with 'zzzz'.*'yyyy'"):
        chosen(["zzzz", "yyyy"], records)


@pytest.mark.parametrize(("commit", "warning"), [("a" * 40, ""), ("a" * 40 + "+dirty", "changed checkout"), ("", "no")])
def test_a_changed_checkout_is_a_warning(folder: Path, commit: str, warning: str) -> None:
    change_record(folder, lambda record: record.update(commit=commit))
    report = verify(folder)
    assert report.accepted
    warnings = [text for text in said(report, "warning") if text.startswith(keys(folder)[0])]
    assert len(warnings) == bool(warning)
    assert all(warning in text for text in warnings)


def test_data_that_are_not_here_leave_the_mark_claimed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNMIX_DATA", str(tmp_path / "empty"))
    rng = np.random.default_rng(0)
    codes, factors = (rng.normal(size=(SAMPLES, 3)).astype(np.float32) for _ in range(2))
    values = replace(specification(), dataset={"name": "kitti_masks", "max_delta_t": 5})
    key = replace_specification(folder, values, codes, factors)
    files = {"kitti_peds_v2.pickle": "0" * 64}
    declared = {"dataset": "kitti_masks", "origin": "published", "files": files}
    change_submission(folder, lambda content: content["data"].update({key: declared}))
    report = verify(folder)
    assert said(report, "refused") == []
    assert any("data not here" in text for text in said(report, "not checked"))
    assert report.marks[key] == "claimed"
    change_record(folder, lambda record: record["scores"]["mcc"].update(value=0.9))
    assert any("mcc: claimed 0.9" in text for text in refused(folder))  # the scores are recomputed all the same


def test_grids_are_drawn_without_images_and_give_the_same_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_dataset({"name": "dsprites_procedural"}, 0)
    monkeypatch.setattr(type(made), "images", lambda self, levels: torch.zeros(len(levels), 1, 64, 64).byte())
    expected = made.sample(50, derived_generator(0, "evaluation"))[1]
    monkeypatch.delattr(type(made), "images")  # drawn without
    factors, observations = _drawn('{"name": "dsprites_procedural"}', 0, 50)
    assert np.array_equal(factors, expected.numpy())
    assert observations is None


def test_linear_mixing_is_no_leak(folder: Path) -> None:
    """Under a linear mixing the observations are an affine map of the factors, and so are honest codes."""
    values = specify({"name": "synthetic", "n": 3, "pool": 100, "mixing": "linear"}, {"name": "observations"}, 0)
    values = replace(values, evaluation=specification().evaluation)
    observations, factors = make_dataset(values.dataset, 0).sample(SAMPLES, derived_generator(0, "evaluation"))
    replace_specification(folder, values, observations.numpy(), factors.numpy())
    assert refused(folder) == []


def test_the_best_honest_codes_are_no_leak(folder: Path) -> None:
    """R2 of 0.99999, ten times nearer than the best run that is committed."""
    codes, factors = arrays(folder)
    noise = np.random.default_rng(0).normal(size=factors.shape).astype(np.float32)
    codes = factors + 3e-3 * factors.std() * noise
    save(folder, codes=codes, factors=factors)
    claim(folder, codes, factors)
    assert refused(folder) == []


def test_marks_are_written_and_believed_only_as_far_as_they_are_found(folder: Path) -> None:
    assert main(["submission", "check", str(folder), "--mark"]) == 0
    first, second = keys(folder)
    assert json.loads((folder / "marks.json").read_text(encoding="utf-8")) == {first: "verified", second: "verified"}
    assert verify(folder).accepted
    for mark, text in (("reproduced", "reruns/records.jsonl"), ("gold", "is no mark"), (["verified"], "is no mark")):
        (folder / "marks.json").write_text(json.dumps({first: mark}), encoding="utf-8")
        assert any(text in fault for fault in refused(folder))


def test_a_method_in_a_file_is_packed_never_executed_by_the_check_and_trained_again_on_purpose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.py").write_text(METHOD, encoding="utf-8")
    assert main(["run", "synthetic", "--method", "plain.py:Plain", *RUN]) == 0
    words = ["--name", "plain", "--author", "A. Person", "--licence", "MIT", "--citation", DETAILS.citation]
    assert main(["submit", "ALL", *words, "--output", "subs"]) == 0
    target, witness = Path("subs/plain"), tmp_path / "witness"
    assert (target / "method.py").read_text(encoding="utf-8") == METHOD
    monkeypatch.setenv("UNMIX_WITNESS", str(witness))
    for module in [name for name in sys.modules if name.startswith("unmix_method_")]:
        monkeypatch.delitem(sys.modules, module)  # whoever loads it now executes it
    assert main(["submission", "check", str(target)]) == 0
    assert main(["submission", "rerun", str(target)]) == 2
    assert "read it, then say --yes-execute" in " ".join(capsys.readouterr().err.split())
    assert not witness.exists()
    assert main(["submission", "rerun", str(target), "--yes-execute", "--workers", "1"]) == 0
    assert witness.exists()
    assert list(json.loads((target / "marks.json").read_text(encoding="utf-8")).values()) == ["reproduced"]
    report = verify(target)
    assert report.accepted
    assert set(report.marks.values()) == {"reproduced"}
    (target / "method.py").write_text(METHOD + "\n# changed", encoding="utf-8")
    assert any("SHA-256" in fault for fault in refused(target))


def test_reruns_agree_exactly_on_the_same_machine_and_within_the_spread_elsewhere(folder: Path) -> None:
    record = Record.from_json((folder / "records.jsonl").read_text(encoding="utf-8").splitlines()[0])

    def moved(by: float, of: Record = record, seed: int = 0) -> Record:
        scores = {name: {**score, "value": score["value"] + by} for name, score in of.scores.items()}
        return replace(of, scores=scores, specification=replace(of.specification, seed=seed))

    assert differences(record, moved(1e-9), []) == []
    assert len(differences(record, moved(1e-3), [])) == 2
    elsewhere = replace(record, versions={**record.versions, "torch": "0.1"})
    assert differences(record, moved(9e-3, elsewhere), [record]) == []
    assert len(differences(record, moved(0.02, elsewhere), [record])) == 2
    others = [record, moved(0.05, seed=1), moved(-0.05, seed=2)]  # a standard deviation of 0.05
    assert differences(record, moved(0.14, elsewhere), others) == []
    assert len(differences(record, moved(0.16, elsewhere), others)) == 2


def test_a_rerun_that_differs_is_not_marked(folder: Path, tmp_path: Path) -> None:
    from unmix.submission.rerun import settle

    records = Store(folder).by_key()
    record = next(iter(records.values()))
    scores = {name: {**score, "value": score["value"] + 0.5} for name, score in record.scores.items()}
    store = Store(tmp_path / "again")
    store.append(replace(record, scores=scores))
    different = settle(folder, [record], records, store, dict.fromkeys(records, "verified"))
    assert len(different[record.key]) == 2
    assert set(json.loads((folder / "marks.json").read_text(encoding="utf-8")).values()) == {"verified"}


def test_commands_say_what_is_wrong(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_record(folder, lambda record: record["scores"]["mcc"].update(value=0.01))
    assert main(["submission", "check", str(folder), "--json", str(tmp_path / "report.json")]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "mcc: claimed 0.010000" in shown
    assert "tiny: refused (1 refused" in shown
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert not report["accepted"]
    assert report["marks"][keys(folder)[0]] == "claimed"
    assert main(["submission", "check", str(tmp_path / "nothing")]) == 2
    words = ["--author", "A", "--licence", "MIT", "--citation", "@misc{a, b}", "--store", str(tmp_path / "s")]
    assert main(["submit", "abcd", "--name", "x", *words]) == 2
    assert "no record has a key that starts with 'abcd'" in capsys.readouterr().err
    for command in (["submit"], ["submission"], ["submission", "check"], ["submission", "rerun"]):
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--help"])
        assert "example" in capsys.readouterr().out


def test_workflows_give_nothing_away() -> None:
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        triggers = content[True]  # YAML reads the word `on` as a truth value
        assert content["permissions"] == {"contents": "read"}, path.name
        assert "pull_request_target" not in triggers
        assert not re.search(r"\bsecrets\.\w", text)
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        assert all("${{" not in step.get("run", "") for step in steps), "text from outside belongs in env"
        assert all(step["with"]["persist-credentials"] is False for step in steps if "checkout" in step.get("uses", ""))


@pytest.mark.skipif(os.name != "posix", reason="a FIFO is a thing of POSIX")
def test_nothing_waits_for_a_pipe(folder: Path) -> None:
    (folder / "method.py").unlink(missing_ok=True)
    os.mkfifo(folder / "method.py")
    assert refused(folder) == ["files: method.py is no plain file"]
