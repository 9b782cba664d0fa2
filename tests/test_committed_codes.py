"""Codes of committed runs: scored again, they give the committed scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unmix.evaluation import score
from unmix.record import Store
from unmix.results import FOLDER
from unmix.run import make_dataset
from unmix.seeds import derived_seed

RECORDS = Store(FOLDER / "reproduced").by_key()
CODES = sorted((FOLDER / "codes").glob("*.npz"))
QUICK = {"mcc", "mcc(spearman)", "r2", "r2(in_sample)", "mig", "modularity"}


@pytest.mark.parametrize("path", CODES, ids=lambda path: path.stem)
def test_codes_give_the_committed_scores(path: Path) -> None:
    record = RECORDS[path.stem]
    seed = record.specification.seed
    with np.load(path, allow_pickle=False) as saved:
        codes, factors = saved["codes"], saved["factors"]
    assert codes.dtype == factors.dtype == np.float32
    dataset = make_dataset(record.specification.dataset, seed)
    names = [name for name in record.scores if name in QUICK]
    assert names
    found = score(codes, factors, dataset, names, derived_seed(seed, "metrics") % 2**32)
    for name in names:
        assert float(found[name]) == pytest.approx(record.scores[name]["value"], abs=1e-6), name
