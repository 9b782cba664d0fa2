"""The picture of a dataset."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from unmix.cli import main
from unmix.gallery import _sweep
from unmix.registry import DATASETS


def test_show_writes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "picture.png"
    assert main(["data", "show", "dsprites_procedural", "--transitions", "lap(rate=1)", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    picture = matplotlib.image.imread(out)
    # Two rows of images, five factors swept, two of pairs: black images on white paper.
    dark = np.flatnonzero((picture[..., :3] < 0.2).all(axis=2).mean(axis=1) > 0.15)
    assert 1 + (np.diff(dark) > 1).sum() == 2 + 5 + 2


def test_a_dataset_without_pairs_shows_none(tmp_path: Path) -> None:
    with_pairs, without = tmp_path / "with.png", tmp_path / "without.png"
    main(["data", "show", "dsprites_procedural", "--out", str(with_pairs)])
    main(["data", "show", "dsprites_procedural", "--transitions", "", "--out", str(without)])
    assert len(matplotlib.image.imread(without)) < len(matplotlib.image.imread(with_pairs))


def test_vectors_are_declined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "synthetic", "--out", str(tmp_path / "no.png")]) == 2
    assert "synthetic has observations of shape (10,), not images" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_lists_the_fields_of_the_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "kitti_masks_procedural", "--help"]) == 0
    assert "--max-delta-t" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["dsprites_procedural", "kitti_masks_procedural"])
def test_a_sweep_moves_one_factor_over_its_range(name: str) -> None:
    dataset = DATASETS[name]()
    _, factors = dataset.sample(1, torch.Generator().manual_seed(0))
    factor = dataset.factors[-1]
    images = _sweep(dataset, factor, factors[0])
    assert len(images) == 10
    ends = factors.repeat(2, 1)
    ends[:, -1] = torch.tensor([0.0, factor.size - 1] if factor.size else list(factor.range or ()))
    assert torch.equal(images[[0, -1]], dataset.observe(ends))
