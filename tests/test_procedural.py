"""Procedural twins: the real sets' factors, each of them visible, the same bytes always, natural transitions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from unmix.datasets import (
    kitti_masks_procedural,
    mpi3d_procedural,
    natural_sprites_procedural,
    shapes3d_procedural,
)
from unmix.datasets.kitti_masks_procedural import KittiMasksProcedural
from unmix.datasets.motion import Motion
from unmix.datasets.natural_sprites_procedural import NaturalSpritesProcedural
from unmix.datasets.shapes3d_procedural import Shapes3DProcedural
from unmix.registry import DATASETS

GRIDS = ("shapes3d_procedural", "mpi3d_procedural")
TWINS = (*GRIDS, "kitti_masks_procedural", "natural_sprites_procedural")
MOTIONS = {
    "kitti_masks_procedural": kitti_masks_procedural.MOTION,
    "natural_sprites_procedural": natural_sprites_procedural.MOTION,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_grids_have_the_factors_of_the_real_sets() -> None:
    for twin, sizes in zip(GRIDS, [(10, 10, 10, 8, 4, 15), (6, 6, 2, 3, 3, 40, 40)], strict=True):
        dataset, real = DATASETS[twin](), DATASETS[twin.removesuffix("_procedural")]()
        assert dataset.factors == real.factors
        assert dataset.shape == real.shape
        assert dataset.grid.sizes == sizes


@pytest.mark.parametrize(
    ("twin", "options"),
    [
        ("kitti_masks_procedural", {"max_delta_t": 1}),
        ("natural_sprites_procedural", {}),
        ("natural_sprites_procedural", {"discrete": True}),
    ],
)
def test_videos_have_the_factors_of_the_real_sets(twin: str, options: dict[str, Any]) -> None:
    dataset, real = DATASETS[twin](**options), DATASETS[twin.removesuffix("_procedural")](**options)
    assert dataset.shape == real.shape
    for ours, theirs in zip(dataset.factors, real.factors, strict=True):
        assert (ours.name, ours.type, ours.size, ours.labels) == (theirs.name, theirs.type, theirs.size, theirs.labels)
        if ours.size is None:
            assert ours.range is not None
            assert theirs.range is not None
            assert theirs.range[0] <= ours.range[0] < ours.range[1] <= theirs.range[1]


@pytest.mark.parametrize("twin", GRIDS)
def test_a_step_of_any_factor_is_visible(twin: str) -> None:
    dataset = DATASETS[twin]()
    levels = dataset.grid.sample(64, generator())
    images = dataset.observe(levels)
    for column, factor in enumerate(dataset.factors):
        moved = levels.clone()
        moved[:, column] += torch.where(levels[:, column] + 1 < factor.size, 1, -1)
        changed = (dataset.observe(moved) != images).flatten(1).sum(dim=1)
        assert changed.min() >= 9, f"{factor.name}: a level changes {changed.min()} values of an image"


def test_all_scenes_of_shapes3d_differ_and_show_every_colour() -> None:
    weights = shapes3d_procedural._weights("cpu")
    assert weights.shape == (480, 5, 64, 64)
    assert len(torch.unique(weights.flatten(1), dim=0)) == 480
    # At full saturation at least one channel of a hue has full weight, so an eighth of the image shows floor and wall.
    shown = (weights[:, :3] > 64).flatten(2).sum(dim=2)
    assert shown.amin(dim=0)[0] > 512
    assert shown.amin(dim=0)[1] > 512
    assert shown.amin(dim=0)[2] > 64


def test_solids_of_shapes3d_stay_within_the_part_that_is_drawn() -> None:
    table = shapes3d_procedural._weights("cpu").view(8, 4, 15, 5, 64, 64)
    room = shapes3d_procedural._room()
    for index, (height, solid) in enumerate(shapes3d_procedural.SOLIDS.values()):
        whole = room.with_solid(solid(1.25), 1.25 * height)
        assert torch.equal(whole, table[-1, index])


def test_solids_of_mpi3d_stay_within_the_window_that_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = DATASETS["mpi3d_procedural"]()
    levels = dataset.grid.sample(150, generator())
    levels[:, 2] = 1
    images = dataset.observe(levels)
    monkeypatch.setattr(mpi3d_procedural, "WINDOW", 64)
    assert torch.equal(images, dataset.observe(levels))


def sampled(twin: str, n: int = 40) -> tuple[Any, Tensor]:
    dataset = DATASETS[twin]()
    return dataset, dataset.sample(n, generator())[1]


@pytest.mark.parametrize("twin", TWINS)
def test_images_are_a_function_of_the_factors(twin: str) -> None:
    """Neither the batch nor what was drawn before changes a byte."""
    dataset, factors = sampled(twin)
    images = dataset.observe(factors)
    assert images.dtype == torch.uint8
    assert torch.equal(images, dataset.sample(40, generator())[0])
    assert torch.equal(images, torch.cat([dataset.observe(part) for part in factors.split(7)]))
    assert torch.equal(images.flip(0), dataset.observe(factors.flip(0)))
    assert dataset.observe(factors[:0]).shape == (0, *dataset.shape)


@pytest.mark.parametrize("twin", TWINS)
def test_pairs_are_the_images_of_their_factors(twin: str) -> None:
    dataset = DATASETS[twin]()
    factors, images = dataset.factor_pairs(20, generator()), dataset.sample_pairs(20, generator())
    for part in (0, 1):
        assert factors[part].dtype == torch.float32
        assert torch.equal(images[part], dataset.observe(factors[part]))


@pytest.mark.parametrize("twin", TWINS)
def test_values_outside_of_a_factor_are_refused_by_name(twin: str) -> None:
    dataset, factors = sampled(twin, 3)
    for column, factor in enumerate(dataset.factors):
        high = factor.size if factor.size is not None else 1.01 * factor.range[1]
        for wrong in (-1.0, float(high), math.nan) if factor.size is None else (-1.0, float(high), 0.5):
            bad = factors.clone()
            bad[1, column] = wrong
            with pytest.raises(ValueError, match=f"factor {factor.name} "):
                dataset.observe(bad)


@pytest.mark.parametrize("twin", MOTIONS)
def test_transitions_are_as_sparse_as_published(twin: str) -> None:
    """Generalised normal with the shape that Klindt et al. 2021 fitted: E|step| / std tells it, whatever the scale."""
    motion = MOTIONS[twin]
    anchor, positive = motion.pairs(400_000, 1, generator())
    # Where the range has no ends: these take some of the largest steps back.
    endless = Motion((-1e9,) * 3, (1e9,) * 3, motion.steps)
    free = endless.after(torch.zeros_like(anchor), torch.ones(len(anchor), dtype=torch.long), generator())
    for column, law in enumerate(motion.steps):
        beta, step = law.beta, (positive - anchor)[:, column].numpy()
        ratio = math.gamma(2 / beta) / math.sqrt(math.gamma(1 / beta) * math.gamma(3 / beta))
        assert (free[:, column].abs().mean() / free[:, column].std()).item() == pytest.approx(ratio, rel=0.01)
        assert free[:, column].std().item() == pytest.approx(law.std, rel=0.01)
        assert 0.8 * law.std < step.std() < law.std
        assert stats.kurtosis(step) > 6  # a Laplace has 3, a normal 0
        # A normal has 8 % of its steps below a tenth of the standard deviation.
        assert (abs(step) < 0.1 * step.std()).mean() > 0.16
    assert abs(stats.spearmanr(positive - anchor).statistic[[0, 0, 1], [1, 2, 2]]).max() < 0.01


@pytest.mark.parametrize("twin", MOTIONS)
def test_both_frames_are_uniform_in_the_range(twin: str) -> None:
    motion = MOTIONS[twin]
    for frame in motion.pairs(20_000, 5, generator()):
        for column in range(3):
            low, high = motion.low[column], motion.high[column]
            assert frame[:, column].min() >= low
            assert frame[:, column].max() <= high
            assert stats.kstest(frame[:, column], "uniform", (low, high - low)).pvalue > 0.001


def test_steps_add_up_and_reflect_at_the_ends() -> None:
    law = kitti_masks_procedural.MOTION.steps[1]
    far = Motion((-1e6,), (1e6,), (law,))
    frames = torch.tensor([0, 1, 3, 5]).repeat(50_000)
    moved = far.after(torch.zeros(len(frames), 1, dtype=torch.float64), frames, generator())[:, 0]
    assert torch.equal(moved[frames == 0], torch.zeros(50_000, dtype=torch.float64))
    for count in (1, 3, 5):
        assert moved[frames == count].std().item() == pytest.approx(law.std * math.sqrt(count), rel=0.05)
    narrow = Motion((0.0,), (10.0,), (law,))
    outside = torch.tensor([[-3.0], [12.0], [4.0], [25.0], [0.0], [10.0]], dtype=torch.float64)
    assert narrow._reflected(outside).flatten().tolist() == [3.0, 8.0, 4.0, 5.0, 0.0, 10.0]


def test_max_delta_t_is_the_most_frames_of_a_pair() -> None:
    steps = []
    for most in (1, 5):
        anchor, positive = KittiMasksProcedural(max_delta_t=most).factor_pairs(200_000, generator())
        steps.append((positive - anchor)[:, 1].std().item())
    # U{1..5} has mean 3, and variances add.
    assert steps[1] / steps[0] == pytest.approx(math.sqrt(3), rel=0.05)
    with pytest.raises(ValueError, match="max_delta_t is 0: it must be at least 1"):
        KittiMasksProcedural(max_delta_t=0)


def test_masks_measure_what_their_factors_say() -> None:
    masks, factors = KittiMasksProcedural().sample(1000, generator())
    assert set(masks.unique().tolist()) == {0, 255}
    border = torch.ones(64, 64, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert masks[:, 0, border].max() == 0
    person, pixel = (masks[:, 0] > 0).double(), torch.arange(64).double()
    area = person.sum((1, 2))
    measured = torch.stack([person.sum(2) @ pixel / area, person.sum(1) @ pixel / area, area], dim=1)
    error = measured - factors
    assert (error[:, :2].abs().mean(dim=0) < torch.tensor([0.14, 0.06])).all()
    assert (error[:, :2].abs().amax(dim=0) < 1).all()
    assert (error[:, 2] / factors[:, 2]).abs().mean() < 0.016
    assert error.mean(dim=0).abs().max() < 0.5


def test_masks_show_every_factor() -> None:
    dataset, factors = KittiMasksProcedural(), KittiMasksProcedural().sample(200, generator())[1]
    masks = dataset.observe(factors)
    for column, step in enumerate((1.0, 1.0, 10.0)):
        moved = factors.clone()
        middle = sum(dataset.factors[column].range or ()) / 2
        moved[:, column] += step * (middle - factors[:, column]).sign()
        assert (dataset.observe(moved) != masks).flatten(1).any(dim=1).all()


@pytest.mark.parametrize("discrete", [False, True])
def test_angle_and_shape_of_sprites_stay_within_a_pair(discrete: bool) -> None:
    dataset = NaturalSpritesProcedural(discrete=discrete)
    anchor, positive = dataset.factor_pairs(5000, generator())
    assert torch.equal(anchor[:, 3:], positive[:, 3:])
    assert anchor[:, 3].unique().tolist() == list(range(40))
    assert anchor[:, 4].unique().tolist() == [0, 1, 2, 3]
    kept = (anchor == positive).double().mean(dim=0)[:3]
    if discrete:
        assert [len(column.unique()) for column in anchor.T[:3]] == [32, 32, 6]
        assert (kept > 0.3).all()  # a step is mostly less than a level
    else:
        assert (kept < 0.01).all()


def test_sprites_measure_what_their_factors_say() -> None:
    """Of those that are whole: the summed coverage is the area, and y is upwards."""
    dataset = NaturalSpritesProcedural()
    images, factors = dataset.sample(500, generator())
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    grey, middle = images[:, 0].double() / 255, torch.arange(64) + 0.5
    inner = grey.clone()
    inner[:, 1:-1, 1:-1] = 0
    whole = inner.amax((1, 2)) == 0
    assert whole.sum() > 250
    area = grey.sum((1, 2))
    x, y = grey.sum(1) @ middle.double() / area, 64 - grey.sum(2) @ middle.double() / area
    measured = torch.stack([x, y, area.sqrt()])
    torch.testing.assert_close(measured.T[whole] / 64, factors[whole, :3].double(), rtol=0, atol=0.1 / 64)


def test_angles_are_visible_but_for_the_declared_symmetry() -> None:
    """Turns of a quarter leave square, star and spokes as they are; no turn of whole levels leaves the triangle."""
    dataset = NaturalSpritesProcedural()
    shapes = torch.arange(4).repeat_interleave(40).float()
    still = torch.tensor([0.5, 0.5, 1 / 12]).expand(160, 3)
    images = dataset.observe(torch.column_stack([still, torch.arange(40).repeat(4), shapes]))[:, 0].int()
    for shape, period in enumerate((10, 40, 10, 10)):
        turned = images[40 * shape : 40 * (shape + 1)]
        distance = (turned[:, None] - turned).abs().amax((2, 3))
        same = (torch.arange(40)[:, None] - torch.arange(40)) % period == 0
        assert distance[same].max() <= 1  # the rounding of one grey level
        assert distance[~same].min() > 1


def test_shadows_and_shades_turn_with_the_orientation() -> None:
    """A sphere has one outline from everywhere: what tells the orientation is the light, and the room."""
    dataset = Shapes3DProcedural()
    levels = torch.tensor([[0, 3, 6, 7, 2, orientation] for orientation in (0, 7, 14)])
    images = dataset.observe(levels).int()
    assert (images[0] - images[1]).abs().sum() > 1000
    assert (images[1] - images[2]).abs().sum() > 1000
