"""A submission judged: every file, every claim, all faults at once. Nothing of it is executed or unpickled."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unmix.arrays import read
from unmix.datasets.grid import OnGrid
from unmix.evaluation import score
from unmix.metrics.contract import InputError
from unmix.record import Record, RecordError, Store
from unmix.registry import METHODS, METRICS
from unmix.results import FOLDER
from unmix.run import ICA, dead_codes, make_dataset
from unmix.seeds import derived_generator, derived_seed
from unmix.submission.archive import RefusedError, opened, shown, strict_json, text_of
from unmix.submission.leakage import leaked
from unmix.submission.packing import commit_warning, data_of, faults_of, is_in_file, record_faults, sha256
from unmix.submission.rerun import EQUAL, differences, equal
from unmix.types import Dataset

Verdict = Literal["refused", "warning", "not checked", "checked"]
ARRAY = 128 * 1024**2  # bytes of codes, and of factors
OBSERVED = 4 * 1024**3  # numbers in the evaluation samples: more are not drawn
Watch = Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """One item of a report: where, how it was judged, and why."""

    place: str
    verdict: Verdict
    text: str


@dataclass
class Report:
    """What a check found.

    Args:
        name: Of the submission, or of its folder.
        findings: In the order of the check.
        marks: Key -> "claimed", "verified" (its scores were recomputed) or "reproduced" (see `unmix.submission.rerun`).
    """

    name: str
    findings: list[Finding] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        return bool(self.marks) and not any(finding.verdict == "refused" for finding in self.findings)

    def add(self, place: str, verdict: Verdict, text: str) -> None:
        self.findings.append(Finding(place, verdict, text))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "accepted": self.accepted}


def verify(path: Path, results: Path = FOLDER, watch: Watch = lambda text: None) -> Report:
    """Check a submission: its folder, or an archive of it.

    Args:
        path: The folder or archive.
        results: Holds what is committed: no key may be there already.
        watch: Hears what is being done.
    """
    report = Report(shown(path.resolve().name))
    try:
        with opened(path) as folder:
            _judge(folder, path, results, report, watch)
    except RefusedError as error:
        for fault in error.faults:
            report.add("files", "refused", fault)
    return report


def _judge(folder: Path, path: Path, results: Path, report: Report, watch: Watch) -> None:
    content = _content(folder, report)
    if content is not None:
        report.name = content["name"]
        if path.is_dir() and path.resolve().name != report.name:
            report.add("submission.json", "refused", f"it is named {report.name}, its folder {shown(path.name)}")
    records = _records(folder, report)
    taken = _taken(report.name, results)
    for key, record in records.items():
        before = len(report.findings)
        if key in taken:
            report.add(key, "refused", f"a record of this key is there already, in {taken[key]}")
        sure = _record(folder, record, (content or {"data": {}})["data"].get(key), report, watch)
        refused = any(finding.verdict == "refused" for finding in report.findings[before:])
        report.marks[key] = "verified" if sure and not refused else "claimed"
    _strays(folder, records, content, report)
    _method(folder, records, report)
    _marks(folder, records, report)


def _content(folder: Path, report: Report) -> dict[str, Any] | None:
    """submission.json, None where it is not one."""
    path = folder / "submission.json"
    if not path.exists():
        report.add(path.name, "refused", "it is not there: `unmix submit` writes it")
        return None
    try:
        content: dict[str, Any] = strict_json(text_of(path))
    except ValueError as error:
        report.add(path.name, "refused", str(error))
        return None
    faults = faults_of(content)
    for fault in faults:
        report.add(path.name, "refused", fault)
    return None if faults else content


def _records(folder: Path, report: Report, name: str = "records.jsonl") -> dict[str, Record]:
    records: dict[str, Record] = {}
    try:
        lines = text_of(folder / name).split("\n")  # as a store does, and not at U+2028
    except OSError:
        report.add(name, "refused", "it is not there: `unmix submit` writes it")
        return records
    except ValueError as error:
        report.add(name, "refused", str(error))
        return records
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            faults = record_faults(strict_json(line))
            record = None if faults else Record.from_json(line)
        except (RecordError, ValueError) as error:
            faults, record = [str(error)], None
        for fault in faults:
            report.add(place, "refused", fault)
        if record and record.key in records:
            report.add(place, "refused", f"the key {record.key} is there twice")
        elif record:
            records[record.key] = record
    if not any(line.strip() for line in lines):
        report.add(name, "refused", "it has no record")
    return records


def _taken(name: str, results: Path) -> dict[str, str]:
    """Key -> where it is committed; one of this name is the submission itself, or what it replaces."""
    stores = [("our own records", results / "reproduced")]
    others = sorted((results / "submissions").glob("*/submission.json"))
    stores += [(f"submission {o.parent.name}", o.parent) for o in others if o.parent.name != name]
    return {key: where for where, folder in stores for key in Store(folder).by_key()}


def _record(
    folder: Path, record: Record, declared: Mapping[str, Any] | None, report: Report, watch: Watch
) -> bool:
    """Judge one record; True when its evaluation samples and all of its scores are those that are claimed."""
    key, specification = record.key, record.specification
    watch(f"{specification.dataset['name']} {specification.method['name']} seed {specification.seed}")
    if said := commit_warning(record):
        report.add(key, "warning", said)
    for name, claim in record.scores.items():
        if name in METRICS and not METRICS[name].range[0] - EQUAL <= claim["value"] <= METRICS[name].range[1] + EQUAL:
            low, high = METRICS[name].range
            report.add(key, "refused", f"{name}: {claim['value']:g} is beyond its range, [{low:g}, {high:g}]")
    try:
        dataset = make_dataset(specification.dataset, specification.seed)
        codes, factors = _arrays(folder / "codes" / f"{key}.npz")
        _fit(codes, factors, dataset, specification.evaluation["samples"])
    except FileNotFoundError:
        report.add(key, "refused", f"codes/{key}.npz is not there: nothing can be recomputed")
        return False
    except Exception as error:  # values from outside reach code that expects its own types
        report.add(key, "refused", shown(str(error) or type(error).__name__))
        return False
    if dead := np.flatnonzero(codes.var(axis=0) <= 1e-6 * codes.var(axis=0).max()).tolist():
        share = dead_codes(codes, 1e-6 * float(codes.var(axis=0).max()))
        report.add(key, "warning", f"dead codes: columns {dead}, {share:.0%} of all")
    known = _variant(key, dataset, record, declared, report)
    known = _samples(key, codes, factors, record, report) and known
    return _scores(key, codes, factors, dataset, record, report, watch) and known


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """codes (n, d) and factors (n, k) of a file from outside.

    Raises:
        InputError: It holds anything else, objects, NaN, no float32, or more than 128 MiB an array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(info.filename for info in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"codes/{path.name} is no readable npz file: {error}") from None
    if names != ["codes.npy", "factors.npy"]:
        raise InputError(f"codes/{path.name} holds {', '.join(names[:10])}: it must hold codes and factors, once each")
    found = read(path, limit=ARRAY)
    for name, array in (("codes", found.codes), ("factors", found.factors)):
        if array.dtype != np.float32 or array.ndim != 2:
            raise InputError(f"{name} are {array.dtype} of shape {array.shape}: they must be a float32 matrix")
    return found.codes, found.factors


def _fit(codes: np.ndarray, factors: np.ndarray, dataset: Dataset, samples: int) -> None:
    wanted = (samples, len(dataset.factors))
    if factors.shape != wanted:
        raise InputError(f"factors have shape {factors.shape}: the record's evaluation has {wanted}")
    if len(codes) != samples:
        raise InputError(f"codes have shape {codes.shape}: the record's evaluation has {samples} rows")
    if (numbers := samples * int(np.prod(dataset.shape))) > OBSERVED:
        raise InputError(f"the evaluation samples have {numbers:,} numbers: at most {OBSERVED:,} are drawn")


def _variant(
    key: str, dataset: Dataset, record: Record, declared: Mapping[str, Any] | None, report: Report
) -> bool:
    """Whether the declared data are the record's. Files that are not here are told by their published checksums."""
    name = record.specification.dataset["name"]
    if declared is None:
        report.add(key, "refused", "submission.json declares no data for it")
        return False
    sources = getattr(dataset, "sources", ())
    origin = "published" if sources else "drawn"
    if (declared["dataset"], declared["origin"]) != (name, origin):
        report.add(key, "refused", f"declared data {shown(str(dict(declared)))}: the record's are {origin} {name}")
        return False
    if set(declared["files"]) != {source.name for source in sources}:
        report.add(key, "refused", f"declared files are not those of {name}: {[source.name for source in sources]}")
        return False
    try:
        found = data_of(dataset, name)["files"]
    except OSError:
        found = {s.name: c.split(":")[1] for s in sources for c in s.checksums if c.startswith("sha256:")}
    for file, digest in declared["files"].items():
        if file not in found:
            report.add(key, "not checked", f"{file} is not here, and no sha256 of it is published")
        elif found[file] != digest:
            report.add(key, "refused", f"{file} is declared with sha256 {digest[:16]}..., it is {found[file][:16]}...")
    return all(found.get(file) == digest for file, digest in declared["files"].items())


def _samples(key: str, codes: np.ndarray, factors: np.ndarray, record: Record, report: Report) -> bool:
    """Whether the factors are those of the evaluation samples, bit for bit; refuses codes that are copies of them."""
    specification = record.specification
    given = json.dumps(specification.dataset, sort_keys=True), specification.seed
    try:
        drawn, observations = _drawn(*given, specification.evaluation["samples"])
    except OSError as error:
        report.add(key, "not checked", f"factors: data not here: {shown(str(error))}")
        return False
    except MemoryError as error:
        report.add(key, "not checked", f"factors: too little memory here to draw them: {shown(str(error))}")
        return False
    if reason := leaked(codes, factors, observations):
        report.add(key, "refused", f"oracle leakage: {reason}")
    if not np.array_equal(drawn, factors):
        rows = int((drawn != factors).any(axis=1).sum())
        report.add(key, "refused", f"factors are not those of the evaluation samples: {rows} of {len(factors)} rows")
        return False
    return True


@lru_cache(maxsize=4)  # the methods of a submission share their samples
def _drawn(dataset: str, seed: int, samples: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Factors of the evaluation samples as a run draws them, and observations where they are vectors."""
    made = make_dataset(json.loads(dataset), seed)
    generator = derived_generator(seed, "evaluation")
    grid = getattr(made, "grid", None) if getattr(type(made), "sample", None) is OnGrid.sample else None
    if grid is not None:
        return grid.sample(samples, generator).float().numpy(), None  # the same draw, without images
    observations, factors = made.sample(samples, generator)
    return factors.float().numpy(), observations.numpy() if observations.ndim == 2 else None


def _scores(
    key: str, codes: np.ndarray, factors: np.ndarray, dataset: Dataset, record: Record, report: Report, watch: Watch
) -> bool:
    """Whether every score is recomputed and equal."""
    good, largest = True, 0.0
    seed = derived_seed(record.specification.seed, "metrics") % 2**32
    for name, claim in record.scores.items():
        watch(name)
        try:
            found = score(codes, factors, dataset, [name], seed)[name]
        except Exception as error:  # codes from outside: whatever a metric stumbles over, the next one is judged
            good = False
            report.add(key, "refused", f"{shown(name)}: {shown(str(error) or type(error).__name__)}")
            continue
        largest = max(largest, abs(float(found) - claim["value"]))
        if not equal(float(found), claim["value"]) or (found.n, found.d, found.k) != _shape(claim):
            good = False
            text = f"claimed {claim['value']:.6f} (n, d, k = {_shape(claim)}), recomputed {float(found):.6f}"
            report.add(key, "refused", f"{name}: {text} ({(found.n, found.d, found.k)}){_versions(record)}")
        elif sorted(found.warnings) != sorted(claim["warnings"]):
            report.add(key, "warning", f"{name}: its warnings are {shown(str(list(found.warnings)))}")
    if good:
        report.add(key, "checked", f"{len(record.scores)} scores recomputed, the largest difference {largest:.0e}")
    return good


def _shape(claim: Mapping[str, Any]) -> tuple[int, int, int]:
    return claim["n"], claim["d"], claim["k"]


def _versions(record: Record) -> str:
    """What may explain a difference: packages of the record that have another version here."""
    from unmix.provenance import versions

    here = versions()
    other = [f"{name} {record.versions.get(name)}, here {here[name]}" for name in ("numpy", "scipy", "scikit-learn")]
    other = [text for text in other if text.split()[1].rstrip(",") != text.split()[-1]]
    return f"; {shown('; '.join(other))}" if other else ""


def _strays(folder: Path, records: Mapping[str, Record], content: Mapping[str, Any] | None, report: Report) -> None:
    """Files and declarations that belong to no record; weights that are none."""
    for path in [*sorted(folder.glob("codes/*")), *sorted(folder.glob("weights/*"))]:
        place = f"{path.parent.name}/{path.name}"
        if path.stem not in records:
            report.add(place, "refused", "it belongs to no record")
        elif path.suffix == ".safetensors" and (fault := _weights(path, records[path.stem])):
            report.add(place, "refused", fault)
    for key in content["data"] if content else ():
        if key not in records:
            report.add("submission.json", "refused", f"it declares data of {shown(key)}, which is no record")


def _weights(path: Path, record: Record) -> str:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            numbers = sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
    except Exception as error:  # safetensors' own error is an Exception and nothing nearer
        return f"no safetensors file: {shown(str(error))}"
    return f"{numbers:,} numbers, the record has {record.parameters:,}" if numbers < record.parameters else ""


def _method(folder: Path, records: Mapping[str, Record], report: Report) -> None:
    path = folder / "method.py"
    sources = {str(r.specification.method.get("source")) for r in records.values() if is_in_file(r)}
    if path.exists():
        if {sha256(path)} != sources:
            report.add(path.name, "refused", "no record names its SHA-256 as its method's source, or some name another")
    elif sources:
        report.add(path.name, "warning", "it is not there: nobody can train the method again")
    registered = [record.specification.method["name"] for record in records.values() if not is_in_file(record)]
    for name in sorted({name.removesuffix(ICA) for name in registered}):
        if name not in METHODS:
            report.add("records.jsonl", "warning", f"{shown(name)} is not registered here: it cannot be trained again")


def _marks(folder: Path, records: Mapping[str, Record], report: Report) -> None:
    """Marks that the submission brings: no more than this check finds, or than reruns show."""
    path = folder / "marks.json"
    if not path.exists():
        return
    try:
        brought = strict_json(text_of(path))
        if not isinstance(brought, dict):
            raise ValueError("it is no JSON object: key -> mark")
    except ValueError as error:
        report.add(path.name, "refused", str(error))
        return
    again = _records(folder, report, "reruns/records.jsonl") if "reproduced" in brought.values() else {}
    for key, mark in brought.items():
        if fault := _mark(key, mark, records, again, report.marks):
            report.add(path.name, "refused", f"{shown(key)}: {fault}")
        elif mark == "reproduced":
            report.marks[key] = mark


def _mark(
    key: str, mark: Any, records: Mapping[str, Record], again: Mapping[str, Record], found: Mapping[str, str]
) -> str:
    if not re.fullmatch("claimed|verified|reproduced", str(mark)):
        return f"{shown(repr(mark))} is no mark: claimed, verified, reproduced"
    if key not in records:
        return "no record has this key"
    if mark == "verified" and found[key] == "claimed":
        return "it is marked verified, and this check could not verify it"
    if mark == "reproduced" and key not in again:
        return "it is marked reproduced, and reruns/records.jsonl has no record of it"
    different = differences(records[key], again[key], records.values()) if mark == "reproduced" else []
    return f"it is marked reproduced, but {'; '.join(different)}" if different else ""


def counted(findings: list[Finding]) -> Iterator[str]:
    """ "2 refused", "1 warning"."""
    for verdict in ("refused", "warning", "not checked"):
        if number := sum(finding.verdict == verdict for finding in findings):
            yield f"{number} {verdict}{'s' if verdict == 'warning' and number > 1 else ''}"
