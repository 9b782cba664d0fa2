"""One (dataset, method, seed) -> one Record."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from safetensors.torch import save

from unmix.attempt import Place
from unmix.baselines.reference import PlusIca
from unmix.baselines.vae import Vae
from unmix.disk import kept_apart, whole
from unmix.distributed import together
from unmix.evaluation import EncoderError, Evaluation, codes_and_factors, encode, score, types_for
from unmix.method_file import PREFIX, kept
from unmix.metrics.contract import Score
from unmix.provenance import commit, hardware, versions
from unmix.record import Record, Specification, Store
from unmix.registry import DATASETS, METHODS
from unmix.seeds import derived_generator, derived_seed
from unmix.tensorboard import written
from unmix.training import Progress, Trainer
from unmix.types import Dataset, Encoder, Method

ICA = "+ica"
Report = Callable[[Progress, int], None]


def build(kind: Any, values: Mapping[str, Any], name: str) -> Any:
    """Make a dataclass from plain values; nested dataclasses from nested mappings, on top of the default there.

    Raises:
        ValueError: When a field is unknown, with the close ones, or a value is refused by the class.
    """
    known = {f.name for f in fields(kind)}
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known) or sorted(known)
            raise ValueError(f"{name} has no field {key!r}; did you mean {' or '.join(close)}?")
    hints = get_type_hints(kind)
    made = dict(values)
    for key, value in values.items():
        if is_dataclass(hints[key]) and isinstance(value, Mapping):
            made[key] = build(hints[key], {**asdict(getattr(kind(), key)), **value}, f"{name}.{key}")
        elif isinstance(value, list):  # JSON has no tuples, and frozen dataclasses no lists
            made[key] = tuple(value)
    return kind(**made)


def specify(
    dataset: Mapping[str, Any],
    method: Mapping[str, Any],
    seed: int,
    evaluation: Evaluation | None = None,
    store: Store | None = None,
) -> Specification:
    """The full identity of a run: every field with its value, so that a changed default is a new run.

    A field that is younger than committed records says in its metadata which value those imply ("implied"), and is
    left out where it has it. It must be the field's default for ever: a contract test compares the two.

    Args:
        dataset: {"name": ..., **fields}.
        method: As for `make_method`.
        seed: Of the run.
        evaluation: The default one where it is None.
        store: Where the file of a method that is in a file is kept.

    Raises:
        UnknownNameError: A dataset, method or metric is not registered.
        ValueError: A field is unknown or its value refused.
        DeclinedError: Dataset or method has no meaning as configured.
    """
    evaluation = evaluation or Evaluation()
    made = make_dataset(dataset, seed)
    for name in evaluation.metrics:
        types_for(name, made.factors)  # an unknown name, or one without meaning, must end the run before it trains
    described = {"name": dataset["name"], **_identity(made)}
    described.pop("seed", None)
    named = {key: method[key] for key in _named(method)}
    return Specification(
        dataset=described,
        method={**named, **_identity(_plain_method(method, store))},
        seed=seed,
        evaluation=evaluation.to_dict(),
    )


def _identity(made: Any) -> dict[str, Any]:
    implied = {f.name: f.metadata["implied"] for f in fields(made) if "implied" in f.metadata}
    return {name: value for name, value in asdict(made).items() if name not in implied or value != implied[name]}


def make_dataset(values: Mapping[str, Any], seed: int) -> Dataset:
    """From {"name": ..., **fields}; its own seed, where it has one, is derived from the run's."""
    kind = DATASETS[values["name"]]
    given = {key: value for key, value in values.items() if key != "name"}
    if any(f.name == "seed" for f in fields(kind)):
        given["seed"] = derived_seed(seed, "dataset")
    made: Dataset = build(kind, given, f"dataset {values['name']}")
    return made


def make_method(values: Mapping[str, Any], store: Store | None = None) -> Method:
    """From {"name": ..., **fields}; a name "METHOD+ica" puts linear ICA on top of the method's codes.

    Args:
        values: A method in a file is {"name": "file:Class", "source": ..., **fields}, see `unmix.method_file.keep`.
        store: Keeps such files. None executes none: a record from outside must not bring its code along.

    Raises:
        UnknownNameError: The method is not registered.
        ValueError: A field is unknown or its value refused; a method's file is not here, or may not be executed.
        DeclinedError: The method has no meaning as configured.
    """
    method = _plain_method(values, store)
    return PlusIca(method) if values["name"].endswith(ICA) else method


def method_kind(values: Mapping[str, Any], store: Store | None = None) -> Any:
    """The dataclass of a method, as `make_method` makes it and without its ICA."""
    name = values["name"].removesuffix(ICA)
    return kept({**values, "name": name}, store) if name.startswith(PREFIX) else METHODS[name]


def _plain_method(values: Mapping[str, Any], store: Store | None) -> Method:
    given = {key: value for key, value in values.items() if key not in _named(values)}
    made: Method = build(method_kind(values, store), given, f"method {values['name'].removesuffix(ICA)}")
    return made


def _named(method: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that say which method it is; the others are its fields."""
    return ("name", "source") if method["name"].startswith(PREFIX) else ("name",)


def run(
    specification: Specification,
    store: Store,
    place: Place | None = None,
    *,
    report: Report | None = None,
) -> Record:
    """Train, score, record. What is recorded is returned, not computed again.

    Checkpoint, weights and codes are kept in `store.folder/runs/KEY`. A method in a file is executed from the store's
    copy of it. Evaluation samples are drawn on the CPU whatever the device, so that anyone can draw them again.

    Args:
        specification: The run.
        store: Where it is recorded.
        place: Where it computes; by default one thread of the CPU.
        report: Called with each point of the learning curve and the number of steps.

    Raises:
        DeclinedError: When method and dataset do not fit, with the reason.
        DivergedError: When the loss is not finite.
        EncoderError: When the encoder returns no codes to score.
    """
    folder = store.run_folder(specification)
    folder.mkdir(parents=True, exist_ok=True)
    with kept_apart(folder / "lock"):  # without locks two processes do the same work; the first record stands
        found = store.find(specification.key)
        if found is None:
            found = _compute(specification, store, place or Place(), report)
            store.append(found)
        for left in (folder / "checkpoint.pt", *folder.glob("*.partial")):
            left.unlink(missing_ok=True)
    return found


def _compute(specification: Specification, store: Store, place: Place, report: Report | None) -> Record:
    seed, folder, code = specification.seed, store.run_folder(specification), commit()
    dataset = make_dataset(specification.dataset, seed)
    trainer = _trainer(specification, store, place)
    trainer.probe = _probe(dataset, seed, place.device)
    trainer.report = written(folder / "tensorboard", report) if place.tensorboard else report
    with together(place.ranks, place.device, _follow, specification, store.folder, place):
        encoder = _fit(specification, store, trainer)
    evaluation: Evaluation = build(Evaluation, specification.evaluation, "evaluation")
    generator = derived_generator(seed, "evaluation")
    codes, factors = codes_and_factors(encoder, dataset, evaluation.samples, generator, place.device)
    scores = score(codes, factors, dataset, evaluation.metrics, derived_seed(seed, "metrics") % 2**32)
    with whole(folder / "codes.npz") as file:
        np.savez_compressed(file, codes=codes, factors=factors)
    return Record(
        specification=specification,
        scores={name: _plain(value) for name, value in scores.items()},
        steps=trainer.steps,
        seconds=round(trainer.seconds, 3),
        curve=[asdict(point) for point in trainer.curve],
        parameters=_save_weights(encoder, folder / "encoder.safetensors"),
        versions=versions(),
        commit=code,
        hardware=hardware(place.device),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _trainer(specification: Specification, store: Store, place: Place) -> Trainer:
    path = store.run_folder(specification) / "checkpoint.pt"
    return Trainer(device=place.device, checkpoint=path, chunk=place.chunk, compile=place.compile)


def _fit(specification: Specification, store: Store, trainer: Trainer) -> Encoder:
    dataset = make_dataset(specification.dataset, specification.seed)
    generator = derived_generator(specification.seed, "training", device=trainer.device)
    return make_method(specification.method, store).fit(dataset, generator, trainer)


def _follow(specification: Specification, folder: Path, place: Place) -> None:
    """What other ranks do: the same training, whose end the first one keeps."""
    store = Store(folder)
    _fit(specification, store, _trainer(specification, store, place))


def _probe(dataset: Dataset, seed: int, device: str) -> Callable[[Encoder], dict[str, float]]:
    """Scores for the learning curve, on samples of its own so that looking does not move the run."""
    observations, factors = dataset.sample(2048, derived_generator(seed, "probe", device=device))

    def probe(encoder: Encoder) -> dict[str, float]:
        try:
            codes = encode(encoder, observations)
        except EncoderError:
            return {}
        scores = score(codes, factors.cpu().numpy(), dataset, ("r2(in_sample)", "mcc"), 0)
        found = {name: round(float(value), 6) for name, value in scores.items()}
        dead = dead_codes(codes, dead_variance(encoder, codes))
        return found | ({"dead_codes": round(dead, 6)} if dead else {})

    return probe


def dead_variance(encoder: Encoder | None, codes: np.ndarray) -> float:
    """The variance up to which a code counts as dead.

    Of a VAE, whose prior has variance 1: 0.01 (Burda et al. 2016, active units); else a millionth of the largest.
    """
    return 0.01 if isinstance(encoder, Vae) else 1e-6 * float(codes.var(axis=0).max())


def dead_codes(codes: np.ndarray, threshold: float) -> float:
    """Share of codes (n, d) whose variance is not above a threshold."""
    return float((codes.var(axis=0) <= threshold).mean())


def _plain(value: Score) -> dict[str, Any]:
    return {"value": float(value), "n": value.n, "d": value.d, "k": value.k, "warnings": list(value.warnings)}


def _save_weights(encoder: Encoder, path: Path) -> int:
    if not isinstance(encoder, torch.nn.Module):
        return 0
    with whole(path) as file:
        file.write(save({name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}))
    return sum(parameter.numel() for parameter in encoder.parameters())
