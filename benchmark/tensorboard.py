"""Learning curves as TensorBoard files, beside what else follows a run; needs the extra `tensorboard`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unmix.training import Progress

Report = Callable[[Progress, int], None]


def written(folder: Path, report: Report | None = None) -> Report:
    """A report that writes each point to `folder` and passes it on: loss, terms, scores, over steps and seconds.

    A resumed run writes on in a new file; points after its checkpoint are marked as replaced.

    Raises:
        ValueError: When TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("TensorBoard is not installed: pip install 'unmix[tensorboard]'") from None
    writers: list[SummaryWriter] = []  # made at the first point, whose step says what is replaced

    def write(point: Progress, steps: int) -> None:
        if not writers:
            writers.append(SummaryWriter(str(folder), purge_step=point.step))
        values = {"loss": point.loss, "seconds": point.seconds}
        values |= {f"terms/{name}": value for name, value in point.terms.items()}
        values |= {f"scores/{name}": value for name, value in point.scores.items()}
        for name, value in values.items():
            writers[0].add_scalar(name, value, point.step)
        writers[0].flush()
        if report is not None:
            report(point, steps)

    return write
