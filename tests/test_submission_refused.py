"""Bad submissions: each is refused, with the reason, and nothing of it runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from submissions import (
    SAMPLES,
    arrays,
    change_record,
    change_submission,
    claim,
    keys,
    lines,
    packed,
    refused,
    said,
    save,
)

from unmix.submission.archive import RefusedError, opened, strict_json
from unmix.submission.verification import verify


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("submission"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


class Bomb:
    """Executed when it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.mkdir, (os.environ["UNMIX_WITNESS"],))


RECORDS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda record: record.update(schema=7), "schema 7: this version of unmix reads 1"),
    (lambda record: record["specification"].pop("seed"), "'seed' is a required property"),
    (lambda record: record["specification"].update(seed=0.0), "specification.seed: 0.0 is no whole number"),
    (lambda record: record["specification"].update(seed="0"), "specification.seed: '0' is not of type 'integer'"),
    (lambda record: record["specification"].update(seed=5), "does not match its specification"),
    (lambda record: record["specification"]["dataset"].update(n=10**9), "is greater than the maximum"),
    (lambda record: record["specification"]["evaluation"].update(samples=10**9), "is greater than the maximum"),
    (lambda record: record["scores"].pop("mcc"), "scores and evaluation.metrics differ in mcc"),
    (lambda record: record["scores"]["mcc"].update(value="0.9"), "scores.mcc.value: '0.9' is not of type 'number'"),
    (lambda record: record["scores"]["mcc"].update(value=1.5), "mcc: 1.5 is beyond its range, [0, 1]"),
    (lambda record: record["scores"]["mcc"].update(d=4), "(n, d, k = (200, 4, 3))"),
    (lambda record: record.update(commit="$(rm -rf /)"), "commit: '$(rm -rf /)' does not match"),
    (lambda record: record.update(finished="yesterday"), "finished: 'yesterday' does not match"),
    (lambda record: record.update(more=1), "missing or unknown fields: more"),
    (lambda record: record["versions"].update(torch="2\x1b[31m"), r"the control character '\x1b'"),
]


@pytest.mark.parametrize(("edit", "reason"), RECORDS, ids=[reason[:30] for _, reason in RECORDS])
def test_record(folder: Path, edit: Callable[[dict[str, Any]], Any], reason: str) -> None:
    change_record(folder, edit)
    assert any(reason in fault for fault in refused(folder)), refused(folder)


@pytest.mark.parametrize("by", [0.01, -0.01, 1e-4, 1e-5])
def test_claimed_score_is_off(folder: Path, by: float) -> None:
    value = json.loads(lines(folder)[0])["scores"]["mcc"]["value"]
    change_record(folder, lambda record: record["scores"]["mcc"].update(value=value + by))
    (fault,) = refused(folder)
    assert f"mcc: claimed {value + by:.6f}" in fault
    assert f"recomputed {value:.6f}" in fault
    assert verify(folder).marks[keys(folder)[0]] == "claimed"


def test_claimed_score_may_be_off_by_rounding(folder: Path) -> None:
    change_record(folder, lambda record: record["scores"]["mcc"].update(value=record["scores"]["mcc"]["value"] + 1e-9))
    assert refused(folder) == []


SUBMISSIONS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda content: content.update(schema=2), "schema 2: this version of unmix reads 1"),
    (lambda content: content.pop("authors"), "'authors' is a required property"),
    (lambda content: content.update(authors=[]), "authors: [] should be non-empty"),
    (lambda content: content.update(name="../up"), "name: '../up' does not match"),
    (lambda content: content.update(name="other"), "it is named other, its folder tiny"),
    (lambda content: content.update(licence="free for all"), "is no SPDX expression"),
    (lambda content: content.update(licence="mit"), "SPDX writes it 'MIT'"),
    (lambda content: content.update(citation="A. Person, 2026"), "citation is no BibTeX entry"),
    (lambda content: content.update(url="javascript:alert(1)"), "url: 'javascript:alert(1)' does not match"),
    (lambda content: content.update(title="nice\x1b]0;"), r"the control character '\x1b'"),
    (lambda content: content.update(title="nice\u202egnp"), r"the control character '\u202e'"),
    (lambda content: content.update(title="\ud800"), r"the control character '\ud800'"),
    (lambda content: content.update(script="x"), "'script' was unexpected"),
    (lambda content: content.update(data={}), "submission.json declares no data for it"),
    (lambda content: content["data"].update({"0" * 16: {"dataset": "a", "origin": "drawn", "files": {}}}), "no record"),
    (lambda content: next(iter(content["data"].values())).update(dataset="dsprites"), "record's are drawn synthetic"),
    (lambda content: next(iter(content["data"].values())).update(files={"a": "0" * 64}), "declared files are not"),
]


@pytest.mark.parametrize(("edit", "reason"), SUBMISSIONS, ids=[reason[:30] for _, reason in SUBMISSIONS])
def test_submission_json(folder: Path, edit: Callable[[dict[str, Any]], Any], reason: str) -> None:
    change_submission(folder, edit)
    assert any(reason in fault for fault in refused(folder)), refused(folder)


def test_script_in_fields_stays_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no fault: pages escape it. On a screen it is no markup either."""
    from unmix.cli import main

    change_submission(folder, lambda content: content.update(title="<script>alert(1)</script> [red]x[/]"))
    change_record(folder, lambda record: record["scores"]["mcc"].update(warnings=["[bold]<script>x</script>"]))
    assert main(["submission", "check", str(folder)]) == 0
    assert json.loads((folder / "submission.json").read_text(encoding="utf-8"))["title"].startswith("<script>")
    capsys.readouterr()


def _mixed(factors: np.ndarray) -> np.ndarray:
    return factors @ np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32) + 1


LEAKS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "the factors": lambda factors, codes: factors,
    "one of them, beside honest codes": lambda factors, codes: np.column_stack([codes, -3 * factors[:, 1] + 1]),
    "an affine mix": lambda factors, codes: _mixed(factors),
    "a curve of each": lambda factors, codes: factors**3 + factors,
}


@pytest.mark.parametrize("forge", LEAKS.values(), ids=LEAKS)
def test_codes_are_a_copy_of_the_factors(folder: Path, forge: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    codes, factors = arrays(folder)
    codes = forge(factors, codes)
    save(folder, codes=codes, factors=factors)
    claim(folder, codes, factors)
    (fault,) = refused(folder)
    assert "oracle leakage" in fault


def _arrays(codes: np.ndarray, factors: np.ndarray) -> dict[str, tuple[dict[str, np.ndarray], str]]:
    broken, other = codes.copy(), factors.copy()
    broken[7, 1], other[3, 0] = np.nan, other[3, 0] + 1e-6
    return {
        "rows": ({"codes": codes[:-1], "factors": factors}, "200 rows and codes 199"),
        "both": ({"codes": codes[:-1], "factors": factors[:-1]}, "factors have shape (199, 3)"),
        "columns": ({"codes": codes[:, :2], "factors": factors}, "(200, 2, 3)"),
        "cube": ({"codes": codes[:, :, None], "factors": factors}, "codes have shape (200, 3, 1)"),
        "fewer factors": ({"codes": codes, "factors": factors[:, :2]}, "factors have shape (200, 2)"),
        "nan": ({"codes": broken, "factors": factors}, "codes have NaN or infinite values in column [1]"),
        "float64": ({"codes": codes.astype(np.float64), "factors": factors}, "codes are float64"),
        "objects": ({"codes": codes.astype(object), "factors": factors}, "array codes holds Python objects"),
        "words": ({"codes": codes.astype(str), "factors": factors}, "codes have dtype"),
        "more": ({"codes": codes, "factors": factors, "payload": codes}, "codes.npy, factors.npy, payload.npy"),
        "none": ({"factors": factors}, "it must hold codes and factors"),
        "another factor": ({"codes": codes, "factors": other}, "not those of the evaluation samples: 1 of 200 rows"),
        "shuffled": ({"codes": codes, "factors": factors[::-1]}, "not those of the evaluation samples"),
    }


@pytest.mark.parametrize("case", _arrays(*np.zeros((2, SAMPLES, 3), dtype=np.float32)))
def test_arrays(folder: Path, case: str) -> None:
    given, reason = _arrays(*arrays(folder))[case]
    save(folder, **given)
    assert any(reason in fault for fault in refused(folder)), refused(folder)


def test_dead_codes_are_a_warning(folder: Path) -> None:
    codes, factors = arrays(folder)
    codes[:, 1] = 2.0
    save(folder, codes=codes, factors=factors)
    claim(folder, codes, factors)
    report = verify(folder)
    assert report.accepted
    assert any("dead codes: columns [1], 33% of all" in text for text in said(report, "warning"))


def test_pickled_objects_are_not_unpickled(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNMIX_WITNESS", str(tmp_path / "witness"))
    bomb, key = pickle.dumps(Bomb()), keys(folder)[0]
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    with zipfile.ZipFile(folder / "codes" / f"{key}.npz", "w") as file:
        file.writestr("codes.npy", header.getvalue() + bomb)
        file.writestr("factors.npy", bomb)
    (folder / "weights").mkdir()
    (folder / "weights" / f"{key}.safetensors").write_bytes(bomb)
    (folder / "marks.json").write_bytes(bomb)
    faults = "\n".join(refused(folder))
    for reason in ("array codes holds Python objects", "no safetensors file", "no UTF-8 text"):
        assert reason in faults
    assert not (tmp_path / "witness").exists()
    pickle.loads(bomb)
    assert (tmp_path / "witness").exists()  # it would have shown


def _npy(shape: tuple[int, ...], data: bytes) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue() + data


def _bomb(path: Path, content: bytes, stated: int) -> None:
    """A zip whose directory states another size of codes.npy than it has."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("codes.npy", content)
        file.writestr("factors.npy", _npy((SAMPLES, 3), bytes(12 * SAMPLES)))
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(magic) + offset
        data[place : place + 4] = struct.pack("<I", stated)
    path.write_bytes(data)


TEN = (SAMPLES, 12_500_000)  # 10 GB of float32
BOMBS = {
    "array of 10 GB": (_npy(TEN, b""), None, "array codes takes 10,000,000,000 bytes"),
    "member of 4 GB": (_npy((SAMPLES, 3), b""), 2**32 - 2, "array codes takes 4,294,967,294 bytes"),
    "more than stated": (_npy((SAMPLES, 3), bytes(2**26)), 200 * 12 + 128, "Bad CRC-32"),
    "more claimed than there": (_npy((SAMPLES, 10_000), bytes(12)), None, "claims 8,000,000 bytes, the file holds"),
}


@pytest.mark.parametrize(("content", "stated", "reason"), BOMBS.values(), ids=BOMBS)
def test_npz_bomb(folder: Path, content: bytes, stated: int | None, reason: str) -> None:
    _bomb(folder / "codes" / f"{keys(folder)[0]}.npz", content, len(content) if stated is None else stated)
    tracemalloc.start()
    try:
        faults = refused(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert any(reason in fault for fault in faults), faults
    assert peak < 2**25


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "tiny/../../evil", "..\\evil", "codes/../evil.npz"])
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_path_traversal(folder: Path, tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"evil{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.write(folder / "submission.json", "submission.json")
            zipped.writestr(name, "x")
    else:
        with tarfile.open(path, "w") as tarred:
            tarred.add(folder / "submission.json", "submission.json")
            tarred.addfile(tarfile.TarInfo(name))
    before = {file for file in tmp_path.rglob("*") if not file.is_relative_to(folder)}
    assert any("leads out of the folder" in fault for fault in refused(path)), refused(path)
    assert {file for file in tmp_path.rglob("*") if not file.is_relative_to(folder)} == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("submission.json")
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        archive.addfile(member)
    reason = "no plain file" if kind in (tarfile.FIFOTYPE, tarfile.CHRTYPE) else "is a symbolic link"
    assert any(reason in fault for fault in refused(tmp_path / "link.tar"))


def test_links_in_a_zip_and_in_a_folder(folder: Path, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("submission.json")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert any("is a symbolic link" in fault for fault in refused(tmp_path / "link.zip"))
    (folder / "method.py").symlink_to("/etc/passwd")
    assert refused(folder) == ["files: method.py is a symbolic link: give the file itself"]
    (tmp_path / "other").symlink_to(folder)
    assert any("is a symbolic link" in fault for fault in refused(tmp_path / "other"))


def test_archive_bombs(tmp_path: Path) -> None:
    """A tar header of 10 GB, and members whose sizes are refused before they are read."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 10**10
    (tmp_path / "header.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    member = tarfile.TarInfo("records.jsonl")
    member.size = 10**10
    (tmp_path / "member.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    deep = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed_zeros = deep.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(2**24)) + deep.flush()
    (tmp_path / "member.tar.gz").write_bytes(packed_zeros)
    for name, reason in (("header.tar", "header of 10,000,"), ("member.tar", "bytes"), ("member.tar.gz", "bytes")):
        with pytest.raises(RefusedError, match=reason), opened(tmp_path / name):
            pass
    for name in ("damaged.zip", "damaged.tar", "damaged.tar.gz", "damaged.tar.xz", "damaged.tar.bz2"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 nonsense")
        with pytest.raises(RefusedError, match=r"damaged|cannot be read"), opened(tmp_path / name):
            pass


def test_names_that_are_no_utf8(folder: Path, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder / "codes") + b"/\xff\xfe.npz")).touch()
    (fault,) = refused(folder)
    assert "a name that is no UTF-8" in fault
    fault.encode("utf-8")  # it can be printed
    with tarfile.open(tmp_path / "names.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("codes/\udcff.npz"))
    assert any("a name that is no UTF-8" in fault for fault in refused(tmp_path / "names.tar"))
    with zipfile.ZipFile(tmp_path / "names.zip", "w") as zipped:
        zipped.writestr("codes/ü.npz", "x")
    data = (tmp_path / "names.zip").read_bytes().replace("ü".encode(), b"\xff\xfe")
    (tmp_path / "names.zip").write_bytes(data)
    assert any("cannot be read" in fault for fault in refused(tmp_path / "names.zip"))


@pytest.mark.parametrize("name", ["setup.py", "codes/x.npz", "codes/deep/0123456789abcdef.npz", "extra.jsonl", ".git"])
def test_files_that_do_not_belong(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    assert any("is not part of a submission" in fault for fault in refused(folder))


def test_files_of_no_record_and_missing_files(folder: Path) -> None:
    shutil.copy(folder / "codes" / f"{keys(folder)[0]}.npz", folder / "codes" / "0123456789abcdef.npz")
    (folder / "codes" / f"{keys(folder)[1]}.npz").unlink()
    (folder / "method.py").write_text("raise SystemExit('executed')", encoding="utf-8")
    faults = "\n".join(refused(folder))
    assert "codes/0123456789abcdef.npz: it belongs to no record" in faults
    assert f"codes/{keys(folder)[1]}.npz is not there" in faults
    assert "method.py: no record names its SHA-256" in faults
    (folder / "submission.json").unlink()
    (folder / "records.jsonl").unlink()
    assert sum("`unmix submit` writes it" in fault for fault in refused(folder)) == 2


def test_keys_that_are_there_already(folder: Path, tmp_path: Path) -> None:
    first, second = keys(folder)
    shutil.copytree(folder, tmp_path / "results" / "submissions" / "older")
    (tmp_path / "results" / "reproduced").mkdir()
    (tmp_path / "results" / "reproduced" / "own.jsonl").write_text(lines(folder)[0] + "\n", encoding="utf-8")
    faults = refused(folder, results=tmp_path / "results")
    assert f"{second}: a record of this key is there already, in submission older" in faults
    assert any(fault.startswith(f"{first}: a record of this key is there already") for fault in faults)
    shutil.copytree(folder, tmp_path / "results" / "submissions" / "tiny")  # its own former version
    shutil.rmtree(tmp_path / "results" / "submissions" / "older")
    shutil.rmtree(tmp_path / "results" / "reproduced")
    assert refused(folder, results=tmp_path / "results") == []
    (folder / "records.jsonl").write_text("\n".join([*lines(folder), lines(folder)[0]]), encoding="utf-8")
    assert refused(folder) == [f"records.jsonl:3: the key {first} is there twice"]


TEXTS = {
    "deep": ("[" * 100_000 + "]" * 100_000, "nested deeper than 20"),
    "less deep": ("[" * 25 + "]" * 25, "nested deeper than 20"),
    "long": ('"' + "a" * 2**21 + '"', "characters of JSON: at most"),
    "nan": ('{"a": NaN}', "NaN is no JSON"),
    "huge": ('{"a": 1e999}', "beyond what a float holds"),
    "digits": ("1" * 5000, "4300"),
    "twice": ('{"a": 1, "a": 2}', "two values under one name"),
    "torn": ('{"a": ', "not JSON"),
}


@pytest.mark.parametrize(("text", "reason"), TEXTS.values(), ids=TEXTS)
def test_json(folder: Path, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        strict_json(text)
    (folder / "submission.json").write_text(text[:200_000], encoding="utf-8")
    (folder / "records.jsonl").write_text(f"{lines(folder)[0]}\n{text}\n{lines(folder)[1]}\n", encoding="utf-8")
    faults = refused(folder)
    assert any(fault.startswith("submission.json: ") for fault in faults)
    assert any(fault.startswith("records.jsonl:2: ") and reason in fault for fault in faults), faults


def test_no_record_at_all(folder: Path) -> None:
    (folder / "records.jsonl").write_text("\n", encoding="utf-8")
    assert "records.jsonl: it has no record" in refused(folder)
    assert not verify(folder).accepted


def test_text_that_is_no_utf8(folder: Path) -> None:
    (folder / "submission.json").write_bytes(b'{"title": "\xff"}')
    assert "submission.json: no UTF-8 text: byte 11 is 0xff" in refused(folder)


def test_a_damaged_submission_shows_all_of_its_faults_at_once(folder: Path) -> None:
    change_submission(folder, lambda content: content.update(licence="none", url="ftp://x"))
    change_record(folder, lambda record: record["scores"]["mcc"].update(value=0.5))
    codes, factors = arrays(folder)
    np.savez(folder / "codes" / f"{keys(folder)[1]}.npz", codes=codes[:-1], factors=factors)
    places = {fault.split(":")[0] for fault in refused(folder)}
    assert places >= {"submission.json", *keys(folder)}
