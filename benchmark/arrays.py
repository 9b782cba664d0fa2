"""Codes and factors from anyone's files, with what is known of the factors. Imports no torch."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unmix.factors import FACTOR_TYPES, Factor
from unmix.metrics.contract import InputError, check

LIMIT = 2 * 1024**3  # bytes an array may take; a file that claims more is refused before it is unpacked
LEVELS = 200  # whole numbers with at most so many values count as levels (Cars3D has 183 objects)
ROLES = ("code", "factor")


@dataclass(frozen=True)
class Arrays:
    """What is to be scored.

    Attributes:
        codes: (n, d).
        factors: (n, k).
        described: One a factor.
        stated: Where each factor's type comes from, in words.
    """

    codes: np.ndarray
    factors: np.ndarray
    described: tuple[Factor, ...]
    stated: tuple[str, ...]

    def columns(self, names: Sequence[str]) -> list[int]:
        """Where the factors of these names stand.

        Raises:
            InputError: For a name that no factor has.
        """
        known = [factor.name for factor in self.described]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(f"no factor is named {', '.join(unknown)}: there are {', '.join(known)}")
        return [known.index(name) for name in names]

    def only(self, names: Sequence[str]) -> Arrays:
        """These factors alone, in this order; errors as `columns`."""
        chosen = self.columns(names)
        described = tuple(self.described[index] for index in chosen)
        return Arrays(self.codes, self.factors[:, chosen], described, tuple(self.stated[index] for index in chosen))


def read(path: Path, sidecar: Path | None = None, limit: int = LIMIT) -> Arrays:
    """Codes, factors and what is known of the factors.

    - `.npz`: arrays `codes` (n, d) and `factors` (n, k); optionally `factor_types` and `factor_names`, k
      strings each. Nothing is unpickled.
    - `.csv`, `.parquet`: columns `code_*` and `factor_*`; what follows the underscore is a factor's name.
      Other columns are ignored.

    The sidecar is JSON: {"factors": [{"name": ..., "type": ..., "period": ...}, ...]}, one entry a factor in
    the factors' order; name and period may be left out. It stands above the file's own types; without
    either, types are inferred: whole numbers with at most 200 values are ordinal, all else is continuous.

    Args:
        path: The file.
        sidecar: JSON that describes the factors.
        limit: Bytes that an array may take; more is refused before it is read.

    Raises:
        InputError: What cannot be read, or is not as above, with the reason.
        OSError: A file that is not there.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = _npz(path, limit)
    elif suffix in (".csv", ".parquet"):
        arrays = _columns(path, limit)
    else:
        raise InputError(f"{path} ends in {suffix or 'nothing'}: give .npz, .csv or .parquet")
    codes, factors = arrays["codes"], arrays["factors"]
    factors = factors[:, None] if factors.ndim == 1 else factors
    check(factors, codes)  # a damaged column is an error here, not "not applicable" for every metric
    k = factors.shape[1]
    names = _words(arrays, "factor_names", k) or tuple(f"factor_{index}" for index in range(k))
    if len(set(names)) < k:
        raise InputError(f"two factors have one name: {', '.join(names)}")
    if sidecar is not None:
        described = described_by(sidecar, names)
        return Arrays(codes, factors, described, (f"stated by {sidecar.name}",) * k)
    types = _words(arrays, "factor_types", k)
    if types:
        described = tuple(_factor({"name": n, "type": t}, "") for n, t in zip(names, types, strict=True))
        return Arrays(codes, factors, described, (f"stated by {path.name}",) * k)
    inferred = [infer(name, column) for name, column in zip(names, factors.T, strict=True)]
    return Arrays(codes, factors, tuple(factor for factor, _ in inferred), tuple(why for _, why in inferred))


def infer(name: str, values: np.ndarray) -> tuple[Factor, str]:
    """A factor's type from its values, and the reason in words; never categorical or periodic.

    >>> factor, why = infer("shape", np.array([0, 1, 2, 1]))
    >>> factor.type, factor.size, why
    ('ordinal', 3, 'inferred: whole numbers, 3 values')
    """
    values = np.asarray(values, dtype=np.float64)
    levels = len(np.unique(values))
    whole = bool((values == np.round(values)).all())
    if whole and levels <= LEVELS:
        return Factor(name, "ordinal", levels), f"inferred: whole numbers, {levels} values"
    kind = "whole numbers" if whole else "real numbers"
    return Factor(name, "continuous"), f"inferred: {kind}, {levels} values"


def described_by(sidecar: Path, names: Sequence[str]) -> tuple[Factor, ...]:
    """The factors that a sidecar describes; `names` stand where it gives none.

    Raises:
        InputError: It is no such JSON, describes another number of factors, or says what cannot be.
    """
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{sidecar} is not JSON: {error}") from None
    entries = content.get("factors") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f'{sidecar} has no list of factors: write {{"factors": [{{"name": ..., "type": ...}}]}}')
    if len(entries) != len(names):
        raise InputError(f"{sidecar} describes {len(entries)} factors, there are {len(names)}: describe each")
    found = tuple(_factor({"name": name, **entry}, f"{sidecar}: ") for name, entry in zip(names, entries, strict=True))
    if len({factor.name for factor in found}) < len(found):
        raise InputError(f"{sidecar}: two factors have one name: {', '.join(factor.name for factor in found)}")
    return found


def _npz(path: Path, limit: int) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist()}
            missing = {"codes", "factors"} - there
            if missing:
                raise InputError(f"{path} has no array {' and '.join(sorted(missing))}: it has {sorted(there)}")
            wanted = sorted({"codes", "factors", "factor_types", "factor_names"} & there)
            return {name: _member(archive, name, limit) for name in wanted}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} is no readable npz file: {error}") from None


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> np.ndarray:
    """One array. Its header is judged before any memory is set aside for what it claims."""
    info = archive.getinfo(f"{name}.npy")
    try:
        with archive.open(info) as stream:
            first = np.lib.format.read_magic(stream)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if first not in header:
                raise InputError(f"array {name} has npy version {first}: save it with numpy.savez")
            shape, _, dtype = header[first](stream)
        if dtype.hasobject:
            raise InputError(f"array {name} holds Python objects: give real numbers (encode labels as integers)")
        claimed = math.prod(shape) * dtype.itemsize
        if max(claimed, info.file_size) > limit:
            raise InputError(f"array {name} takes {max(claimed, info.file_size):,} bytes: the limit is {limit:,}")
        if claimed > info.file_size:
            raise InputError(f"array {name} claims {claimed:,} bytes, the file holds {info.file_size:,}: it is damaged")
        with archive.open(info) as stream:
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"array {name} cannot be read: {error}") from None
    return array


def _columns(path: Path, limit: int) -> dict[str, np.ndarray]:
    import pandas as pd

    if path.stat().st_size > limit:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes: the limit is {limit:,}")
    try:
        frame = pd.read_csv(path, low_memory=False) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except ImportError:
        advice = "install one of them, or give npz or csv"
        raise InputError(f"parquet needs pyarrow or fastparquet, and neither is here: {advice}") from None
    except ValueError as error:  # parser and decoding errors of pandas are ValueErrors
        raise InputError(f"{path} cannot be read: {error}") from None
    parts = {role: [name for name in map(str, frame.columns) if name.startswith(f"{role}_")] for role in ROLES}
    found: dict[str, np.ndarray] = {}
    for role, names in parts.items():
        if not names:
            raise InputError(f"{path} has no column {role}_*: it has {', '.join(map(str, frame.columns[:12]))}")
        for name in names:
            if frame[name].dtype.kind not in "biuf":
                raise InputError(f"column {name} holds {frame[name].dtype}: give real numbers (labels as integers)")
        found[f"{role}s"] = frame[names].to_numpy(dtype=np.float64)
    return {**found, "factor_names": np.array([name.removeprefix("factor_") for name in parts["factor"]])}


def _words(arrays: Mapping[str, np.ndarray], name: str, k: int) -> tuple[str, ...]:
    """k strings of a file; () where it has none."""
    if name not in arrays:
        return ()
    words = np.atleast_1d(arrays[name])
    if words.shape != (k,) or words.dtype.kind not in "US":
        raise InputError(f"{name} has shape {words.shape} and dtype {words.dtype}: give {k} strings, one a factor")
    return tuple(words.astype(str).tolist())


def _factor(entry: Mapping[str, Any], where: str) -> Factor:
    """A factor from an entry of a sidecar."""
    name, kind, period = entry.get("name"), entry.get("type"), entry.get("period")
    unknown = set(entry) - {"name", "type", "period", "size", "stated"}
    if unknown:
        raise InputError(f"{where}factor {name!r} has unknown keys {sorted(unknown)}: there are name, type, period")
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}a factor is named {name!r}: give it a word")
    if kind not in FACTOR_TYPES:
        raise InputError(f"{where}factor {name} has type {kind!r}: choose {', '.join(FACTOR_TYPES)}")
    if period is not None:
        number = isinstance(period, int | float) and not isinstance(period, bool)
        if kind != "periodic" or not number or not 0 < period < math.inf:
            raise InputError(f"{where}factor {name} ({kind}) has period {period!r}: a positive number, if periodic")
    return Factor(name, kind, period=None if period is None else float(period))
