"""A store's records beside the codes that they were scored from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unmix.disk import files
from unmix.evaluation import score
from unmix.record import Record, Store, read
from unmix.run import make_dataset
from unmix.seeds import derived_seed
from unmix.submission.rerun import equal


def damage(folder: Path) -> Iterator[str]:
    """A sentence for each line, and each Parquet part, of a store that cannot be read."""
    for path in files(folder):
        yield from (found for found in read(path) if isinstance(found, str))


def fault(record: Record, store: Store, *, rescore: bool = True) -> str:
    """What is wrong with a run's codes: they are missing or damaged, or give other scores; "" where nothing is.

    Args:
        record: Of the store.
        store: Its codes are in runs/KEY/codes.npz, or in codes/KEY.npz.
        rescore: Compute every score again. Otherwise only whether the codes can be read.
    """
    places = (store.run_folder(record.specification) / "codes.npz", store.folder / "codes" / f"{record.key}.npz")
    path = next((path for path in places if path.exists()), None)
    if path is None:
        return f"no codes: {places[0]} is missing"
    try:
        with np.load(path, allow_pickle=False) as saved:
            codes, factors = saved["codes"], saved["factors"]
    except Exception as error:  # a damaged archive fails in many ways
        return f"{path} is damaged: {error}"
    return _difference(record, codes, factors) if rescore else ""


def _difference(record: Record, codes: np.ndarray, factors: np.ndarray) -> str:
    specification = record.specification
    seed = derived_seed(specification.seed, "metrics") % 2**32
    try:
        dataset = make_dataset(specification.dataset, specification.seed)
        found = score(codes, factors, dataset, tuple(record.scores), seed)
    except Exception as error:  # a record may be from outside, and its metrics from another version
        return f"its codes cannot be scored: {error}"
    for name, claim in record.scores.items():
        if not equal(float(found[name]), claim["value"]):
            return f"its codes give {name} = {float(found[name]):.6g}, recorded is {claim['value']:.6g}"
    return ""
