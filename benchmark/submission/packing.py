"""What a submission says of itself, and packing one from a store. Imports no torch until it packs."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from unmix.method_file import PREFIX
from unmix.record import SCHEMA as RECORD_SCHEMA
from unmix.record import Record, Store
from unmix.submission.archive import RefusedError, shown

if TYPE_CHECKING:
    from unmix.types import Dataset

SCHEMA = 1
KEY = "[0-9a-f]{16}"
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
COUNT = {"type": "integer", "minimum": 0}
WORDS = {"type": "array", "items": {"type": "string", "maxLength": 1000}, "maxItems": 100}
NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}
# A redrawn dataset costs what its fields say: no number of theirs may ask for more than a machine has.
NAMED = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "pattern": "^[^/]{1,100}$"}},
    "additionalProperties": {"maximum": 1_000_000, "minimum": -1_000_000, "maxLength": 500, "maxItems": 1000},
}
SUBMISSION: dict[str, Any] = {
    "type": "object",
    "required": ["schema", "name", "title", "authors", "licence", "citation", "url", "data"],
    "additionalProperties": False,
    "properties": {
        "schema": {},
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
        "title": {"type": "string", "minLength": 1, "maxLength": 200},
        "authors": {"type": "array", "minItems": 1, "maxItems": 200, "items": {"type": "string", "minLength": 1}},
        "licence": {"type": "string", "maxLength": 200},
        "citation": {"type": "string", "maxLength": 20_000},
        "url": {"type": "string", "pattern": r"^(https?://\S{1,500})?$"},
        "data": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["dataset", "origin", "files"],
                "additionalProperties": False,
                "properties": {
                    "dataset": {"type": "string"},
                    "origin": {"enum": ["drawn", "published"]},
                    "files": {"type": "object", "additionalProperties": SHA256},
                },
            },
        },
    },
}
RECORD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "key": {"type": "string", "pattern": f"^{KEY}$"},
        "specification": {
            "type": "object",
            "required": ["dataset", "method", "seed", "evaluation"],
            "additionalProperties": False,
            "properties": {
                "dataset": NAMED,
                "method": {**NAMED, "additionalProperties": True},
                "seed": {"type": "integer"},
                "evaluation": {
                    "type": "object",
                    "required": ["samples", "metrics"],
                    "additionalProperties": False,
                    "properties": {
                        "samples": {"type": "integer", "minimum": 2, "maximum": 100_000},
                        "metrics": {**WORDS, "minItems": 1},
                    },
                },
            },
        },
        "scores": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["value", "n", "d", "k", "warnings"],
                "additionalProperties": False,
                "properties": {"value": {"type": "number"}, "n": COUNT, "d": COUNT, "k": COUNT, "warnings": WORDS},
            },
        },
        "steps": COUNT,
        "seconds": {"type": "number", "minimum": 0},
        "curve": {
            "type": "array",
            "maxItems": 10_000,
            "items": {
                "type": "object",
                "required": ["step", "seconds", "loss", "scores"],
                "additionalProperties": False,
                "properties": {
                    "step": COUNT,
                    "seconds": {"type": "number"},
                    "loss": {"type": "number"},
                    "scores": NUMBERS,
                    "terms": NUMBERS,
                },
            },
        },
        "parameters": COUNT,
        "versions": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 100}},
        "commit": {"type": "string", "pattern": r"^([0-9a-f]{40}(\+dirty)?)?$"},
        "hardware": {"type": "object", "additionalProperties": {"type": ["string", "integer"], "maxLength": 200}},
        "finished": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+00:00|Z)$"},
    },
}


@dataclass(frozen=True)
class Submission:
    """What is said of the records of one submission.

    Args:
        name: Of its folder: small letters, digits, "_" and "-".
        title: Of the method or the paper, for people.
        authors: At least one.
        licence: SPDX expression ("MIT", "CC-BY-4.0") of all that is in the folder.
        citation: BibTeX.
        url: Of the paper or the code; "" for none.
        data: Key of a record -> {"dataset", "origin": "drawn" by unmix | "published", "files": name -> SHA-256}.
    """

    name: str
    title: str
    authors: tuple[str, ...]
    licence: str
    citation: str
    url: str
    data: Mapping[str, Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self), "authors": list(self.authors)}


def faults_of(content: Any) -> list[str]:
    """All that is wrong with the content of a submission.json, in sentences."""
    if faults := _against("submission", SCHEMA, content):
        return faults
    try:
        canonical = canonicalize_license_expression(content["licence"])
        if canonical != content["licence"]:
            faults.append(f"licence {shown(content['licence'])!r}: SPDX writes it {canonical!r}")
    except InvalidLicenseExpression:
        faults.append(f"licence {shown(content['licence'])!r} is no SPDX expression: MIT, CC-BY-4.0, Apache-2.0, ...")
    citation = content["citation"]
    if not re.match(r"\s*@\w+\s*\{[^,{}]+,", citation) or citation.count("{") != citation.count("}"):
        faults.append("citation is no BibTeX entry: @article{key, author = {...}, ...}")
    return faults


def record_faults(content: Any) -> list[str]:
    """All that is wrong with the content of a line of records but its key, in sentences."""
    if faults := _against("record", RECORD_SCHEMA, content):
        return faults
    specification = content.get("specification", {})
    if not isinstance(specification.get("seed"), int):  # 1.0 is an integer to JSON Schema
        faults.append(f"specification.seed: {shown(repr(specification.get('seed')))} is no whole number")
    asked, given = set(specification["evaluation"]["metrics"]), set(content.get("scores", ()))
    if asked != given:
        faults.append(f"scores and evaluation.metrics differ in {shown(', '.join(sorted(asked ^ given)))}")
    return faults


def _against(kind: str, version: int, content: Any) -> list[str]:
    """What the schema finds wrong; of another version nothing but that."""
    found = content.get("schema") if isinstance(content, dict) else None
    if found != version:
        return [f"schema {shown(repr(found))}: this version of unmix reads {version}"]
    errors = sorted(_validator(kind).iter_errors(content), key=lambda error: list(map(str, error.path)))
    return [f"{shown('.'.join(map(str, error.path)) or 'all of it')}: {shown(error.message)}" for error in errors]


@cache
def _validator(kind: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator({"submission": SUBMISSION, "record": RECORD}[kind])


def data_of(dataset: Dataset, name: str) -> dict[str, Any]:
    """The data variant: what the observations came from.

    Raises:
        MissingFileError, DamagedFileError: A published file is not here, or is another one.
    """
    from unmix.datasets.download import trusted

    sources = getattr(dataset, "sources", ())
    files = {source.name: trusted(source) for source in sources}
    return {"dataset": name, "origin": "published" if sources else "drawn", "files": files}


def pack(
    submission: Submission, records: Iterable[Record], store: Store, folder: Path, *, weights: bool = False
) -> list[str]:
    """Write `folder/NAME` from a store: whole, or not at all; returns warnings.

    Args:
        submission: Its `data` is filled in here.
        records: Of the store.
        store: Has their codes, weights and methods' files.
        folder: Of submissions.
        weights: Whether the encoders' weights are packed.

    Raises:
        RefusedError: With all that is missing or wrong.
    """
    records, target = list(records), folder / submission.name
    data, faults = _data(records)
    content = {**submission.to_dict(), "data": data}
    faults += faults_of(content)
    if target.exists():
        faults.append(f"{target} is there already: delete it, or give another name")
    files = {}
    for record in records:
        run = store.run_folder(record.specification)
        files[f"codes/{record.key}.npz"] = run / "codes.npz"
        if weights:
            files[f"weights/{record.key}.safetensors"] = run / "encoder.safetensors"
    sources = {str(r.specification.method["source"]) for r in records if is_in_file(r)}
    if len(sources) > 1:
        faults.append(f"{len(sources)} methods' files: a submission has one, so pack one for each")
    for source in sources:
        files["method.py"] = store.folder / "methods" / f"{source}.py"
    faults += [f"{name} cannot be packed: {path} is not there" for name, path in files.items() if not path.is_file()]
    if faults:
        raise RefusedError(*faults)
    partial = folder / f".{submission.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for name, path in files.items():
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, partial / name)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    (partial / "submission.json").write_text(text + "\n", encoding="utf-8")
    lines = "".join(record.to_json() + "\n" for record in records)
    (partial / "records.jsonl").write_text(lines, encoding="utf-8")
    partial.rename(target)
    return [f"{record.key}: {warning}" for record in records if (warning := commit_warning(record))]


def chosen(starts: Iterable[str], records: Mapping[str, Record]) -> list[Record]:
    """The records whose keys start so, each once; "ALL" chooses every record.

    Raises:
        ValueError: With every start that no key has, or several have.
    """
    found: dict[str, Record] = {}
    faults = []
    for start in starts:
        keys = [key for key in records if start == "ALL" or key.startswith(start)]
        if not keys:
            close = difflib.get_close_matches(start, [key[: len(start)] for key in records])
            asked = f"did you mean {' or '.join(close)}?" if close else "`unmix run` prints the folder that ends in it"
            faults.append(f"no record has a key that starts with {start!r}: {asked}")
        elif len(keys) > 1 and start != "ALL":
            faults.append(f"{len(keys)} records have a key that starts with {start!r}: {', '.join(keys[:4])}")
        found |= {key: records[key] for key in keys}
    if faults:
        raise ValueError("; ".join(faults))
    return list(found.values())


def is_in_file(record: Record) -> bool:
    """Whether its method is code in a file, and not registered."""
    return str(record.specification.method["name"]).startswith(PREFIX)


def commit_warning(record: Record) -> str:
    """What is doubtful about the source that computed a record; "" for nothing."""
    if not record.commit:
        return "it names no commit: it was not computed from a checkout, so nobody can tell its source"
    if record.commit.endswith("+dirty"):
        return "it was computed from a changed checkout (+dirty): nobody can have its source"
    return ""


def sha256(path: Path) -> str:
    """Of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _data(records: Iterable[Record]) -> tuple[dict[str, Any], list[str]]:
    from unmix.run import make_dataset

    found: dict[str, Any] = {}
    faults = []
    for record in records:
        values = record.specification.dataset
        try:
            found[record.key] = data_of(make_dataset(values, record.specification.seed), values["name"])
        except OSError as error:
            faults.append(f"{record.key}: pack where its data is: {error}")
    return found, faults
