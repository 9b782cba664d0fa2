"""What every registered dataset and method promises; whatever is registered is tested here."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from miniatures import published

from unmix import contract
from unmix.contract import PROMISES, Candidate, Promise
from unmix.evaluation import Evaluation, encode
from unmix.factors import FACTOR_TYPES
from unmix.registry import DATASETS, METHODS
from unmix.run import build, make_dataset, make_method, specify
from unmix.seeds import derived_generator
from unmix.training import Trainer
from unmix.types import ConditionalDataset, Dataset, DeclinedError, SegmentedDataset

SMALL = {**contract.SMALL, "threedident_procedural": {"size": 8}}
METHODS_AND_ICA = [*sorted(METHODS), "supervised+ica"]


@pytest.fixture(autouse=True, scope="module")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Small files in the published formats, in place of those that nobody has on a test machine."""
    with published(tmp_path_factory.mktemp("published")):
        yield


def small_dataset(name: str = "synthetic", seed: int = 0) -> Dataset:
    dataset = make_dataset({"name": name, **SMALL.get(name, {})}, seed)
    if sentence := getattr(dataset, "missing", str)():  # of a dataset that miniatures.py does not write
        pytest.skip(sentence)
    return dataset


@functools.cache
def candidate(name: str) -> Candidate:
    return Candidate(METHODS[name.removesuffix("+ica")], name.endswith("+ica"))


@pytest.mark.parametrize("name", sorted(DATASETS))
class TestDataset:
    def test_is_a_frozen_dataclass_with_a_docstring(self, name: str) -> None:
        assert DATASETS[name].__dataclass_params__.frozen
        assert inspect.getdoc(DATASETS[name])

    def test_declares_its_factors(self, name: str) -> None:
        factors = small_dataset(name).factors
        assert len({factor.name for factor in factors}) == len(factors) > 0
        for factor in factors:
            assert factor.type in FACTOR_TYPES
            assert (factor.size is None) == (factor.type == "continuous") or factor.type == "periodic"

    def test_samples_have_the_declared_shapes(self, name: str) -> None:
        dataset = small_dataset(name)
        observations, factors = dataset.sample(7, derived_generator(0, "test"))
        assert observations.shape == (7, *dataset.shape)
        assert factors.shape == (7, len(dataset.factors))
        assert torch.isfinite(observations.float()).all()

    def test_same_generator_same_samples(self, name: str) -> None:
        first, second = (small_dataset(name).sample(7, derived_generator(0, "test")) for _ in range(2))
        other = small_dataset(name).sample(7, derived_generator(1, "test"))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
        assert not torch.equal(first[1], other[1])

    def test_global_random_state_is_left_alone(self, name: str) -> None:
        before = torch.random.get_rng_state()
        small_dataset(name).sample(7, derived_generator(0, "test"))
        assert torch.equal(before, torch.random.get_rng_state())

    def test_positives_are_closer_than_strangers_or_pairs_are_declined(self, name: str) -> None:
        try:
            pair = small_dataset(name).sample_pairs(500, derived_generator(0, "test"))
        except DeclinedError:
            return
        anchor, positive = (part.flatten(1).double() for part in pair)
        assert anchor.shape == positive.shape
        assert not torch.equal(anchor, positive)
        together, apart = (anchor - positive).square().mean(), (anchor - positive.roll(1, 0)).square().mean()
        assert together < apart

    def test_positives_of_given_anchors_are_closer_than_strangers(self, name: str) -> None:
        dataset = small_dataset(name)
        if not isinstance(dataset, ConditionalDataset):
            return
        observations, factors = dataset.sample(50, derived_generator(0, "test"))
        try:
            positives = dataset.sample_positives(factors, derived_generator(1, "test"))
        except DeclinedError:
            return
        assert positives.shape == observations.shape
        anchor, positive = (part.flatten(1).double() for part in (observations, positives))
        together, apart = (anchor - positive).square().mean(), (anchor - positive.roll(1, 0)).square().mean()
        assert 0 < together < apart

    def test_the_auxiliary_is_a_segment(self, name: str) -> None:
        dataset = small_dataset(name)
        if not isinstance(dataset, SegmentedDataset):
            return
        observations, segment = dataset.sample_auxiliary(200, derived_generator(0, "test"))
        assert observations.shape == (200, *dataset.shape)
        assert segment.dtype == torch.int64
        assert sorted(set(segment.tolist())) == list(range(dataset.segments))


@pytest.mark.parametrize(
    ("name", "promise"),
    [(name, promise) for name in METHODS_AND_ICA for promise in PROMISES if promise.concerns(candidate(name))],
    ids=str,
)
def test_method_keeps(name: str, promise: Promise) -> None:
    promise.check(candidate(name))


@pytest.mark.parametrize("name", METHODS_AND_ICA)
def test_specification_of_a_method_is_complete_and_stable(name: str) -> None:
    dataset = {"name": "synthetic", **SMALL["synthetic"]}
    evaluation = Evaluation(samples=100, metrics=("mcc",))
    specification = specify(dataset, {"name": name}, 0, evaluation)
    again = specify(
        specification.dataset, specification.method, 0, build(Evaluation, specification.evaluation, "evaluation")
    )
    assert again.key == specification.key
    assert specify(dataset, {"name": name}, 1, evaluation).key != specification.key


def test_unknown_field_lists_the_close_ones() -> None:
    with pytest.raises(ValueError, match="has no field 'layer'; did you mean layers"):
        make_dataset({"name": "synthetic", "layer": 2}, 0)
    with pytest.raises(ValueError, match="has no field 'recip'; did you mean recipe"):
        make_method({"name": "supervised", "recip": {}})


def test_noise_knows_nothing_and_observations_are_the_observations() -> None:
    of_observations, of_noise = candidate("observations"), candidate("noise")
    np.testing.assert_array_equal(of_observations.codes(of_observations.fit()), of_observations.observations.numpy())
    noise = of_noise.fit()
    assert not np.array_equal(of_noise.codes(noise), of_noise.codes(noise))


def test_ica_identifies_a_linear_mixture() -> None:
    """Independent uniform latents through a linear mixing: FastICA's own ground (Hyvärinen 1999)."""
    from unmix.metrics import mcc

    dataset = make_dataset({"name": "synthetic", "n": 4, "mixing": "linear", "pool": 100}, 0)
    encoder = make_method({"name": "ica"}).fit(dataset, derived_generator(0, "training"), Trainer())
    observations, factors = dataset.sample(2000, derived_generator(0, "test"))
    assert mcc(factors.numpy(), encode(encoder, observations)) > 0.99


def test_ica_takes_images_whose_corner_is_constant() -> None:
    """scikit-learn's FastICA whitens them to NaN."""
    dataset = make_dataset({"name": "dsprites_procedural"}, 0)
    encoder = make_method({"name": "ica", "fit_samples": 200}).fit(dataset, derived_generator(0, "training"), Trainer())
    observations, _ = dataset.sample(50, derived_generator(0, "test"))
    codes = encode(encoder, observations)
    assert codes.shape == (50, 6)
    assert (codes.std(axis=0) > 0.1).all()
