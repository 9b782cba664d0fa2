"""A submission trained again: how equal is equal, and the marks that follow."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from unmix.record import Record, Store
from unmix.scoring import write
from unmix.submission.packing import is_in_file

EQUAL = 1e-6
"""Two values of a score are one when they differ by no more than this, times the value where it is above 1.

Codes are float32 and metrics compute in float64, in one thread, from derived seeds. What remains between machines is
the order in which linear algebra sums, about 1e-12: a million times less. What is refused, 0.01, is 10,000 times more.
"""
POINT = 0.01
"""What a training on another machine may move a score by, where the seeds do not tell."""
SPREADS = 3.0
SEEDS = 3
ENVIRONMENT = ("python", "torch", "numpy", "scipy", "scikit-learn")


def equal(value: float, other: float, tolerance: float = EQUAL) -> bool:
    """Whether two values of a score are one."""
    return abs(value - other) <= tolerance * max(1.0, abs(value))


def same_machine(record: Record, again: Record) -> bool:
    """Whether processor or accelerator, threads and versions are the same, so that a training repeats itself."""
    hardware = [{k: v for k, v in r.hardware.items() if k != "cores"} for r in (record, again)]
    versions = [[r.versions.get(package) for package in ENVIRONMENT] for r in (record, again)]
    return hardware[0] == hardware[1] and versions[0] == versions[1]


def differences(record: Record, again: Record, others: Iterable[Record]) -> list[str]:
    """Sentences on the scores of a second training that are not those that were claimed; [] when all are.

    On the same kind of machine, with the same versions, a training repeats itself: the scores are equal (`EQUAL`).
    Elsewhere rounding grows as training goes on, until a run is as good as one of another seed: a score may then
    differ by three standard deviations over the seeds of the same run, where there are at least three, and by one
    point (0.01) in any case.

    Args:
        record: As submitted.
        again: The second training.
        others: Records of the submission, among them those of other seeds.
    """
    family = [r for r in others if _but_seed(r) == _but_seed(record)]
    same, said = same_machine(record, again), []
    for name, score in record.scores.items():
        claimed, found = float(score["value"]), float(again.scores[name]["value"])
        values = [float(r.scores[name]["value"]) for r in family]
        allowed = EQUAL if same else POINT
        if not same and len(values) >= SEEDS:
            allowed = max(POINT, SPREADS * statistics.stdev(values))
        if not equal(claimed, found, allowed):
            where = "the same machine" if same else "another machine or other versions"
            said.append(f"{name}: claimed {claimed:.6f}, trained again {found:.6f}; {allowed:g} is allowed on {where}")
    return said


def write_marks(folder: Path, marks: Mapping[str, str]) -> None:
    """`marks.json` of a submission: key -> "claimed" | "verified" | "reproduced"."""
    write(folder / "marks.json", json.dumps(dict(sorted(marks.items())), indent=2) + "\n")


def prepare(records: Iterable[Record], method: Path, store: Store) -> None:
    """Put the submission's method where a run looks for it; nothing is executed yet.

    Raises:
        ValueError: A record's method is in a file, and the submission has none.
    """
    for source in {str(r.specification.method["source"]) for r in records if is_in_file(r)}:
        if not method.exists():
            raise ValueError(f"{method} is not there: the method is in a file, and cannot be trained without it")
        target = store.folder / "methods" / f"{source}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(method, target)


def settle(
    folder: Path, asked: Sequence[Record], records: Mapping[str, Record], store: Store, marks: Mapping[str, str]
) -> dict[str, list[str]]:
    """Compare, keep what agrees in `reruns/records.jsonl`, and mark it: key -> what differs."""
    again, kept = store.by_key(), Store(folder / "reruns").by_key()
    different = {}
    for record in asked:
        found = again.get(record.key)
        different[record.key] = differences(record, found, records.values()) if found else ["it did not train"]
        if found and not different[record.key]:
            kept[record.key] = found
    reproduced = {key: "reproduced" for key in kept if not different.get(key)}
    kept = {key: record for key, record in kept.items() if key in reproduced}
    lowered = {key: "verified" for key, said in different.items() if said and marks[key] == "reproduced"}
    write(folder / "reruns" / "records.jsonl", "".join(record.to_json() + "\n" for record in kept.values()))
    write_marks(folder, {**marks, **lowered, **reproduced})
    return different


def _but_seed(record: Record) -> str:
    specification = record.specification
    return json.dumps([specification.dataset, specification.method, specification.evaluation], sort_keys=True)
