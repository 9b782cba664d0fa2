"""What runs will cost, from the seconds of records of the same method on the same dataset."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unmix.record import Record, Specification

Kind = tuple[str, str]  # dataset, method


@dataclass(frozen=True)
class Estimate:
    """Of one run.

    Args:
        seconds: Of training; a record has no seconds of evaluation.
        records: How many it is the median of.
        exact: Whether they have the batch size of the run; else their seconds are scaled by it as well.
    """

    seconds: float
    records: int
    exact: bool


def estimates(
    specifications: Sequence[Specification], records: Iterable[Record], device: str
) -> Mapping[str, Estimate]:
    """Key -> estimate; a run is left out where nothing of its kind was recorded on such a device.

    seconds = steps x median of (seconds / steps) over the records of the same dataset and method, whatever their other
    hyperparameters; those of the same batch size where there are any, else median of (seconds / steps / batch) x batch.
    Without a recipe, the median of the seconds.

    Args:
        specifications: What will run.
        records: What was recorded.
        device: "cuda:1" compares with records of any "cuda".
    """
    kinds: dict[Kind, list[Record]] = defaultdict(list)
    for record in records:
        if str(record.hardware.get("device", "")).split(":")[0] == device.split(":")[0]:
            kinds[_kind(record.specification)].append(record)
    found = {s.key: _estimate(s, kinds.get(_kind(s), [])) for s in specifications}
    return {key: estimate for key, estimate in found.items() if estimate is not None}


def _kind(specification: Specification) -> Kind:
    return specification.dataset["name"], specification.method["name"]


def _estimate(specification: Specification, records: Sequence[Record]) -> Estimate | None:
    recipe = specification.method.get("recipe")
    if recipe is None:
        same = [record.seconds for record in records]
        return Estimate(statistics.median(same), len(same), True) if same else None
    rates = [(_batch(record), record.seconds / record.steps) for record in records if record.steps]
    same = [rate for batch, rate in rates if batch == recipe["batch"]]
    if same:
        return Estimate(recipe["steps"] * statistics.median(same), len(same), True)
    scaled = [rate / batch for batch, rate in rates if batch]
    if scaled:
        return Estimate(recipe["steps"] * recipe["batch"] * statistics.median(scaled), len(scaled), False)
    return None


def _batch(record: Record) -> int:
    return int(record.specification.method.get("recipe", {}).get("batch", 0))
