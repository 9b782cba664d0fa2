"""Arrays -> every metric's score, with what belongs beside it. Imports no torch."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unmix.arrays import Arrays
from unmix.metrics.circular import mcc_circular
from unmix.metrics.contract import InputError, Metric, Score
from unmix.metrics.correlation import mcc
from unmix.metrics.floor import Floor, noise_floor
from unmix.registry import METRICS

SCHEMA = 1


@dataclass(frozen=True)
class Line:
    """What one metric says.

    Attributes:
        metric: What it declares.
        score: None where it is not applicable.
        floor: Its level on shuffled rows; None where none was asked for or the metric sees no factors.
        warnings: The score's own, and those that follow from d, k and n.
        reason: Why it is not applicable.
    """

    metric: Metric
    score: Score | None = None
    floor: Floor | None = None
    warnings: tuple[str, ...] = ()
    reason: str = ""


def score(
    arrays: Arrays,
    metrics: Sequence[str] | None = None,
    *,
    content: Sequence[str] = (),
    seed: int = 0,
    shuffles: int = 5,
) -> Iterator[Line]:
    """Score with each metric, one line at a time.

    Args:
        arrays: What to score.
        metrics: Registered names (default: every metric of the default set).
        content: Names of the content factors, for block_identifiability.
        seed: Of the metrics and of the shuffles.
        shuffles: Of the noise floor; 0 leaves it out.

    Raises:
        UnknownNameError: For a metric that is not registered, before anything is computed.
        InputError: For a content factor that is not there.
        ValueError: For a metric named twice.
    """
    names = default_metrics() if metrics is None else metrics
    if len(set(names)) < len(names):
        raise ValueError(f"a metric is named twice: {', '.join(names)}")
    found = [METRICS[name] for name in names]
    known = {
        "factor_types": [factor.type for factor in arrays.described],
        "factor_periods": [factor.period for factor in arrays.described],
        "content": arrays.columns(content),
    }
    return (_line(metric, arrays, known, seed, shuffles) for metric in found)


def default_metrics() -> list[str]:
    """Names of the default set."""
    return [name for name, metric in METRICS.items() if metric.default]


def _line(metric: Metric, arrays: Arrays, known: Mapping[str, Any], seed: int, shuffles: int) -> Line:
    refused = [factor for factor in arrays.described if factor.type not in metric.accepts]
    if refused:
        which = ", ".join(f"{factor.name} is {factor.type}" for factor in refused)
        return Line(metric, reason=f"{which}; it takes {', '.join(metric.accepts)}")
    try:
        value = metric(arrays.factors, arrays.codes, seed=seed, **known)
        floor = None
        if shuffles and not blind_to_factors(metric):
            floor = noise_floor(metric, arrays.factors, arrays.codes, repeats=shuffles, seed=seed, **known)
    except InputError as error:
        return Line(metric, reason=str(error))
    return Line(metric, value, floor, (*value.warnings, *_remarks(metric, value)))


def blind_to_factors(metric: Metric) -> bool:
    """Whether it scores the codes alone, so that shuffling rows changes nothing."""
    return metric.function.__module__ == "unmix.metrics.unsupervised"


def _remarks(metric: Metric, value: Score) -> list[str]:
    """What belongs beside the number: the metric's caveat, the style beside the content, what a large d inflates.

    Inflated are scores whose choice or fit and whose score share the samples.
    """
    said = [metric.caveat] if metric.caveat else []
    if metric.blocks:
        style = ", ".join(f"{each:.2f}" for each in value.details["style"])
        said.append(f"of the content block; held-out R² of the style factors: {style or 'there are none'}")
    if metric.function in (mcc, mcc_circular) and value.d >= 2 * value.k:
        said.append(
            f"inflated by selection: matched and scored on the same samples, the best of d = {value.d} codes "
            f"for each of k = {value.k} factors (mcc(held_out) is not)"
        )
    if metric.settings.get("split") == "none" and value.n < 20 * value.d:
        said.append(f"inflated by fitting: d = {value.d} codes fitted and scored on the same {value.n} samples")
    return said


def report(path: Path, arrays: Arrays, lines: Sequence[Line], seed: int, shuffles: int) -> dict[str, Any]:
    """All of it as plain values for JSON; infinite values are strings. Its factors can serve as a sidecar."""
    described = [
        {"name": factor.name, "type": factor.type, "size": factor.size, "period": factor.period, "stated": stated}
        for factor, stated in zip(arrays.described, arrays.stated, strict=True)
    ]
    return {
        "schema": SCHEMA,
        "file": str(path),
        "n": len(arrays.codes),
        "d": 1 if arrays.codes.ndim == 1 else arrays.codes.shape[1],
        "k": arrays.factors.shape[1],
        "seed": seed,
        "shuffles": shuffles,
        "versions": versions(),
        "factors": described,
        "scores": {line.metric.name: _plain(line, line.score) for line in lines if line.score is not None},
        "not_applicable": {line.metric.name: line.reason for line in lines if line.score is None},
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that scores depend on."""
    packages = ("unmix", "numpy", "scipy", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _plain(line: Line, score: Score) -> dict[str, Any]:
    metric, floor = line.metric, line.floor
    chance = metric.chance(score.k) if callable(metric.chance) else metric.chance
    return {
        "value": finite(score),
        "variant": score.variant,
        "n": score.n,
        "d": score.d,
        "k": score.k,
        "direction": metric.direction,
        "range": [finite(bound) for bound in metric.range],
        "chance": chance,
        "floor": floor and {"mean": finite(floor.mean), "std": finite(floor.std), "shuffles": len(floor.values)},
        "warnings": list(line.warnings),
        "reference": metric.reference,
    }


def finite(value: float) -> float | str:
    """A number that JSON knows, or the name of one that it does not."""
    return float(value) if math.isfinite(value) else str(float(value))
