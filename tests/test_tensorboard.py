"""TensorBoard files hold the learning curve that the record has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from unmix.run import make_dataset, make_method
from unmix.seeds import derived_generator
from unmix.tensorboard import written
from unmix.training import Progress, Trainer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own


def test_the_files_have_every_point_and_the_next_report_hears_of_it(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    dataset = make_dataset({"name": "synthetic", "n": 3, "pool": 100}, 0)
    method = make_method({"name": "vicreg", "recipe": {"steps": 6, "batch": 16}})
    heard: list[Progress] = []
    trainer = Trainer(points=3, report=written(tmp_path, lambda point, steps: heard.append(point)))
    trainer.probe = lambda encoder: {"mcc": 0.5}
    method.fit(dataset, derived_generator(0, "training"), trainer)
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert heard == trainer.curve
    assert [event.step for event in events.Scalars("loss")] == [point.step for point in trainer.curve] == [2, 4, 6]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([point.loss for point in trainer.curve])
    assert [event.value for event in events.Scalars("scores/mcc")] == [0.5, 0.5, 0.5]


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'unmix\[tensorboard\]'"):
        written(tmp_path)
