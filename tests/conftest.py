"""Shared by all tests."""

from __future__ import annotations

import matplotlib
import pytest
import torch

matplotlib.use("Agg")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors: threads cost more than they give, and tests may run beside a training."""
    torch.set_num_threads(1)
