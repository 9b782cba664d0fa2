"""`unmix score`: what it reads, what it refuses, what it says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from unmix import METRICS
from unmix.arrays import Arrays, infer, read
from unmix.cli import main
from unmix.factors import Factor
from unmix.metrics import InputError
from unmix.scoring import score, write

N = 300


@pytest.fixture
def draws() -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, 4), factors (n, 3): two with levels, one real."""
    generator = np.random.default_rng(0)
    levels = np.column_stack([generator.integers(size, size=N) for size in (3, 5)])
    factors = np.column_stack([levels, generator.normal(size=N)])
    return np.column_stack([factors, generator.normal(size=N)]), factors


@pytest.fixture
def file(tmp_path: Path, draws: tuple[np.ndarray, np.ndarray]) -> Path:
    codes, factors = draws
    np.savez(tmp_path / "codes.npz", codes=codes, factors=factors)
    return tmp_path / "codes.npz"


def sidecar(folder: Path, *entries: object) -> Path:
    path = folder / "types.json"
    path.write_text(json.dumps({"factors": list(entries)}), encoding="utf-8")
    return path


def member(path: Path, content: bytes, other: bytes | None = None) -> Path:
    """An npz whose array `codes` is these bytes, beside sound factors."""
    good = io.BytesIO()
    np.save(good, np.arange(6.0).reshape(3, 2))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("codes.npy", content)
        archive.writestr("factors.npy", good.getvalue() if other is None else other)
    return path


def header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_every_metric_is_scored_or_listed(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole default set through the command: screen and JSON, nothing silently missing."""
    out = tmp_path / "scores.json"
    assert main(["score", str(file), "--json", str(out), "--shuffles", "2"]) == 0
    content = json.loads(out.read_text(encoding="utf-8"))
    default = {name for name, metric in METRICS.items() if metric.default}
    assert set(content["scores"]) | set(content["not_applicable"]) == default
    assert not set(content["scores"]) & set(content["not_applicable"])
    assert content["not_applicable"]["infom"] == "factor_2 is continuous; it takes categorical, ordinal"
    assert (content["n"], content["d"], content["k"]) == (N, 4, 3)
    mcc = content["scores"]["mcc"]
    assert mcc["value"] == pytest.approx(1.0)
    assert (mcc["variant"], mcc["n"], mcc["d"], mcc["k"]) == ("mcc", N, 4, 3)
    assert 0 < mcc["floor"]["mean"] < 0.2
    assert mcc["floor"]["shuffles"] == 2
    assert content["scores"]["gaussian_total_correlation"]["floor"] is None  # it sees no factors
    assert content["scores"]["r2"]["range"] == ["-inf", 1.0]
    shown = capsys.readouterr().out
    for name in default:
        assert name in shown
    assert "inferred: whole numbers, 5 values" in shown
    (unsupervised,) = (line for line in shown.splitlines() if line.startswith("gaussian_total_correlation"))
    assert "↓" in unsupervised


def test_scores_are_those_of_the_library(file: Path, draws: tuple[np.ndarray, np.ndarray]) -> None:
    codes, factors = draws
    (line,) = score(read(file), ["mcc(rdc)"], seed=3, shuffles=0)
    types = ["ordinal", "ordinal", "continuous"]
    assert line.score == METRICS["mcc(rdc)"](factors, codes, factor_types=types, seed=3)
    assert line.floor is None


def test_inference_states_what_it_saw() -> None:
    assert infer("a", np.array([0.0, 1.0, 2.0])) == (Factor("a", "ordinal", 3), "inferred: whole numbers, 3 values")
    assert infer("a", np.arange(201)) == (Factor("a", "continuous"), "inferred: whole numbers, 201 values")
    assert infer("a", np.arange(200))[0].type == "ordinal"
    assert infer("a", np.array([0.5, 1.0]))[0].type == "continuous"
    assert infer("a", np.array([True, False]))[0] == Factor("a", "ordinal", 2)


def test_sidecar_stands_above_the_file(tmp_path: Path, draws: tuple[np.ndarray, np.ndarray]) -> None:
    codes, factors = draws
    path = tmp_path / "codes.npz"
    np.savez(path, codes=codes, factors=factors, factor_types=["categorical", "ordinal", "continuous"])
    assert [factor.type for factor in read(path).described] == ["categorical", "ordinal", "continuous"]
    types = sidecar(
        tmp_path, {"name": "shape", "type": "ordinal"}, {"type": "ordinal"}, {"type": "periodic", "period": 6}
    )
    found = read(path, types)
    assert [(factor.name, factor.type) for factor in found.described] == [
        ("shape", "ordinal"),
        ("factor_1", "ordinal"),
        ("factor_2", "periodic"),
    ]
    assert found.described[2].period == 6
    assert found.stated[0] == "stated by types.json"


def test_periods_reach_the_metrics(tmp_path: Path) -> None:
    """A perfect pair of sine and cosine scores 1 once the file says that the factor is an angle in degrees."""
    degrees = np.random.default_rng(0).uniform(0, 360, N)
    angle = np.radians(degrees)
    np.savez(tmp_path / "a.npz", codes=np.column_stack([np.cos(angle), np.sin(angle)]), factors=degrees)
    types = sidecar(tmp_path, {"name": "angle", "type": "periodic", "period": 360})
    (line,) = score(read(tmp_path / "a.npz", types), ["mcc(circular)"], shuffles=0)
    assert line.score == pytest.approx(1.0)
    (line,) = score(read(tmp_path / "a.npz"), ["mcc(circular)"], shuffles=0)
    assert line.score is not None
    assert line.score < 0.9


def test_output_serves_as_a_sidecar(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    assert main(["score", str(file), "--metrics", "mcc", "--json", str(out)]) == 0
    assert [factor.type for factor in read(file, out).described] == ["ordinal", "ordinal", "continuous"]


def test_selected_factors(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["score", str(file), "--metrics", "infom", "--shuffles", "0", "--factors"]
    assert main([*words, "factor_1", "factor_0"]) == 0
    assert "not applicable" not in capsys.readouterr().out
    assert main([*words, "shape"]) == 2
    assert "no factor is named shape: there are factor_0, factor_1, factor_2" in capsys.readouterr().err


@pytest.mark.parametrize(("d", "warned"), [(5, False), (6, True)])
def test_selection_is_warned_of(d: int, warned: bool) -> None:
    generator = np.random.default_rng(0)
    described = tuple(Factor(name, "continuous") for name in "abc")
    arrays = Arrays(generator.normal(size=(N, d)), generator.normal(size=(N, 3)), described, ("",) * 3)
    plain, held_out = score(arrays, ["mcc", "mcc(held_out)"], shuffles=0)
    assert any("inflated by selection" in warning for warning in plain.warnings) is warned
    assert not any("inflated" in warning for warning in held_out.warnings)


def test_in_sample_fits_are_warned_of() -> None:
    generator = np.random.default_rng(0)
    arrays = Arrays(
        generator.normal(size=(100, 30)), generator.normal(size=(100, 1)), (Factor("a", "continuous"),), ("",)
    )
    inside, outside = score(arrays, ["r2(in_sample)", "r2"], shuffles=0)
    assert any("inflated by fitting" in warning for warning in inside.warnings)
    assert not any("inflated" in warning for warning in outside.warnings)


def test_metrics_that_noise_can_fool_say_so(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--factors", "factor_0", "factor_1", "--metrics", "infom", "dci(lasso)", "mcc", "--shuffles", "2"]
    assert main(["score", str(file), *words]) == 0
    shown = capsys.readouterr().out
    assert shown.count("noise can score as high as perfect codes") == 1  # one note, that two metrics point at
    pointing = {line.split()[0] for line in shown.splitlines() if line.split()[-1:] == ["1"]}
    assert pointing == {"infom", "dci(lasso)"}
    assert main(["list", "metrics", "-v"]) == 0
    declared = sum(metric.fooled_by_noise for metric in METRICS.values())
    assert " ".join(capsys.readouterr().out.split()).count("noise can score as high") == declared


def test_content_is_told_by_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Codes that hold everything: the content is identified, and so is the style."""
    words = ["score", str(file), "--metrics", "block_identifiability(linear)", "--shuffles", "0"]
    assert main([*words, "--content", "factor_2", "factor_0"]) == 0
    assert "held-out R² of the style factors: 1.00" in " ".join(capsys.readouterr().out.split())
    assert main(words) == 0
    assert "give `content`" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--content", "shape"]) == 2
    assert "no factor is named shape" in capsys.readouterr().err


def test_damage_in_columns_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    codes = np.column_stack([generator.normal(size=(20, 3)), np.ones(20)])
    factors = np.column_stack([generator.normal(size=(20, 2)), np.ones(20)])
    np.savez(tmp_path / "a.npz", codes=codes, factors=factors)
    assert main(["score", str(tmp_path / "a.npz"), "--metrics", "mcc", "r2"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "constant factors dropped: [2]" in shown
    assert "dead (constant) codes: [3]" in shown
    assert "n = 20 samples are few for d = 4 and k = 2" in shown


def test_csv(tmp_path: Path, draws: tuple[np.ndarray, np.ndarray]) -> None:
    codes, factors = draws
    table = np.column_stack([factors, np.arange(N), codes])
    names = "factor_shape,factor_size,factor_x,row,code_0,code_1,code_2,code_3"
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header=names, comments="", fmt="%.17g")
    found = read(tmp_path / "a.csv")
    assert [(factor.name, factor.type) for factor in found.described] == [
        ("shape", "ordinal"),
        ("size", "ordinal"),
        ("x", "continuous"),
    ]
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_array_equal(found.factors, factors)


def test_parquet_or_a_clear_word(tmp_path: Path, draws: tuple[np.ndarray, np.ndarray]) -> None:
    import pandas as pd

    codes, factors = draws
    path = tmp_path / "a.parquet"
    try:
        pd.DataFrame({"code_0": codes[:, 0], "factor_0": factors[:, 0]}).to_parquet(path)
    except ImportError:
        path.write_bytes(b"PAR1")
        with pytest.raises(InputError, match="parquet needs pyarrow or fastparquet, and neither is here"):
            read(path)
    else:
        np.testing.assert_array_equal(read(path).codes, codes[:, :1])


ROWS = "1.0,0\n2.0,1\n3.0,0\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"1 2 3", "ends in .txt: give .npz, .csv or .parquet"),
        ("a.npz", b"not a zip file", "no readable npz file"),
        ("a.npz", b"", "no readable npz file"),
        ("a.csv", b"", "cannot be read"),
        ("a.csv", f"x,factor_0\n{ROWS}".encode(), "no column code_"),
        ("a.csv", f"code_0,z\n{ROWS}".encode(), "no column factor_"),
        ("a.csv", b"code_0,factor_0\n1.0,cat\n2.0,dog\n", "column factor_0 holds"),
        ("a.csv", b"code_0,factor_0\n1.0,0\n,1\n2.0,0\n", r"codes have NaN or infinite values in column \[0\]"),
        ("a.csv", b"code_0,factor_0\n1.0,5\n2.0,5\n", "every factor is constant"),
        ("a.csv", b"code_0,factor_0\n1.0,5\n", "1 samples are too few"),
        ("a.csv", b"code_0,factor_0\n", "column code_0 holds|empty"),
    ],
)
def test_unreadable_files_say_why(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((10**9, 10**9)), "takes 8,000,000,000,000,000,000 bytes: the limit is 2,147,483,648"),
        (header((2**40, 2**40)), "the limit is"),  # overflows 64 bits
        (header((1000, 1000)), "claims 8,000,000 bytes, the file holds 128: it is damaged"),
        (header((3, 2), "|O") + b"x" * 48, "holds Python objects"),
        (b"\x93NUMPY\x09\x00" + b" " * 100, "npy version"),
        (b"garbage", "cannot be read"),
        (header((3, 2)) + b"\x00" * 40, "claims|cannot be read"),
        (header((3, 2), "<U4") + b"\x00" * 96, "codes have dtype"),
        (header((2, 2)) + np.ones(4).tobytes(), "factors have 3 rows and codes 2"),
        (header((3, 2, 1)) + np.ones(6).tobytes(), "codes have shape"),
    ],
)
def test_hostile_members_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(member(tmp_path / "a.npz", content))


def test_size_is_judged_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MB of zeros pack into 64 kB: refused by what the archive says, nothing is inflated."""
    path = member(tmp_path / "a.npz", header((8_000_000, 1)) + bytes(64_000_000))
    assert path.stat().st_size < 1e6
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match="takes 64,000,128 bytes: the limit is 1,000,000"):
        read(path, limit=1_000_000)


def test_truncated_archive(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="no readable npz file"):
        read(file)


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", z=np.ones((3, 2)), codes=np.ones((3, 2)))
    with pytest.raises(InputError, match=r"no array factors: it has \['codes', 'z'\]"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "has no list of factors"),
        ('{"factors": [1, 2, 3]}', "has no list of factors"),
        ('{"factors": [{"type": "ordinal"}]}', "describes 1 factors, there are 3"),
        ('{"factors": [{}, {}, {}]}', "factor_0 has type None: choose categorical, ordinal"),
        ('{"factors": [{"type": "angle"}, {}, {}]}', "has type 'angle'"),
        ('{"factors": [{"type": ["ordinal"]}, {}, {}]}', "has type"),
        ('{"factors": [{"type": "ordinal", "period": 6}, {}, {}]}', r"factor_0 \(ordinal\) has period 6"),
        ('{"factors": [{"type": "periodic", "period": -1}, {}, {}]}', "has period -1"),
        ('{"factors": [{"type": "periodic", "period": NaN}, {}, {}]}', "has period nan"),
        ('{"factors": [{"type": "ordinal", "levels": 3}, {}, {}]}', r"unknown keys \['levels'\]"),
        ('{"factors": [{"name": 3, "type": "ordinal"}, {}, {}]}', "is named 3"),
    ],
)
def test_bad_sidecars_say_why(text: str, message: str, file: Path, tmp_path: Path) -> None:
    (tmp_path / "types.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read(file, tmp_path / "types.json")


def test_factor_types_in_the_file_are_checked(tmp_path: Path, draws: tuple[np.ndarray, np.ndarray]) -> None:
    codes, factors = draws
    np.savez(tmp_path / "a.npz", codes=codes, factors=factors, factor_types=["ordinal"])
    with pytest.raises(InputError, match=r"factor_types has shape \(1,\)"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metrics", "mcs"], "no metric is named 'mcs'"),
        (["--metrics", "mcc", "mcc"], "a metric is named twice"),
        (["--types", "nowhere.json"], "nowhere.json"),
        (["--bins", "3"], "unknown words: --bins 3"),
    ],
)
def test_wrong_words(words: list[str], message: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(file), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "a.json"
    write(path, "old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("unmix.scoring.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [found.name for found in path.parent.iterdir()] == ["a.json"]


def test_scoring_imports_no_torch_and_help_stays_light(file: Path) -> None:
    script = (
        "import sys\nfrom unmix.cli import main\n"
        "try: main(['score', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'scipy', 'pandas', 'sklearn', 'matplotlib', 'numpy'} & set(sys.modules), 'help'\n"
        f"assert main(['score', {str(file)!r}, '--metrics', 'mcc', 'r2', '--shuffles', '1']) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
