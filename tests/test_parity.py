"""Our metrics beside the published implementations, on the oracle's inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmix import METRICS
from unmix.mirrors import DEVIATIONS, MIRRORS
from unmix.parity import Entry, compare, comparisons, entries, report, sampler

ORACLE = Path(__file__).parents[2] / "shared" / "oracle"
HERE = (ORACLE / "expected.json").exists()
if not HERE:
    pytest.skip(f"the oracle is not at {ORACLE}", allow_module_level=True)

ENTRIES = [entry for entry in entries(ORACLE) if entry.mirror is not None and entry.mirror.variant]
Group = tuple[str, str, bool]


def grouped(chosen: list[Entry]) -> list[Any]:
    """A test a case and metric: the values of several libraries share what is computed."""
    groups: dict[Group, list[Entry]] = {}
    for entry in chosen:
        groups.setdefault((entry.case, entry.metric, entry.slow), []).append(entry)
    return [
        pytest.param(members, id=f"{case}-{metric}", marks=[pytest.mark.slow] if slow else [])
        for (case, metric, slow), members in groups.items()
    ]


@pytest.mark.parametrize("members", grouped([entry for entry in ENTRIES if entry.tolerance is not None]))
def test_within_tolerance_or_the_reference_is_wrong(members):
    rows = [compare(ORACLE, entry) for entry in members]
    wrong = [row for row in rows if row.verdict not in ("agrees", "explained")]
    unexplained = [row for row in rows if row.verdict != "agrees" and not row.reason]
    assert not unexplained, unexplained
    if wrong:
        pytest.xfail(f"open: {'; '.join(dict.fromkeys(row.reason for row in wrong))}")


@pytest.mark.parametrize("members", grouped([entry for entry in ENTRIES if entry.reference is None]))
def test_we_answer_where_a_reference_fails(members):
    """References hang, raise or give NaN on dead codes and d < k; ours is a number (or infinite)."""
    for row in (compare(ORACLE, entry) for entry in members):
        assert row.verdict == "reference failed", row
        assert row.ours is not None, row
        assert not np.isnan(row.ours), row


def test_every_explanation_is_needed():
    """A deviation that explains nothing any more goes."""
    for deviation in DEVIATIONS:
        covered = [
            entry
            for entry in ENTRIES
            if entry.tolerance is not None and not entry.slow and deviation.covers(*entry.names, 0.0)
        ]
        assert any(compare(ORACLE, entry).verdict == "explained" for entry in covered), deviation


def test_nothing_of_the_oracle_is_forgotten():
    """Every value has a mirror, or a reason why it has none."""
    without = {
        (entry.metric, entry.implementation, entry.key)
        for entry in entries(ORACLE)
        if entry.mirror is None and entry.reference is not None
    }
    assert not without


def test_mirrors_are_registered():
    variants = {mirror.variant for mirrors in MIRRORS.values() for mirror in mirrors.values()}
    assert variants - {""} <= set(METRICS)


def test_a_difference_is_found():
    """The comparison itself can fail: a reference moved by twice its tolerance."""
    found = (entry for entry in ENTRIES if entry.metric == "linear_r2" and entry.case == "c4_mixed__small")
    entry = next(found)
    assert compare(ORACLE, entry).verdict == "agrees"
    moved = {**entry.record, "values": {"score": entry.record["values"]["score"] + 2e-6}}
    assert compare(ORACLE, replace(entry, record=moved)).verdict == "deviates"


def test_sampler_is_as_its_readme_says():
    grid = sampler(ORACLE / "inputs" / "sampler_gen_square.npz")
    with np.load(ORACLE / "inputs" / "sampler_gen_square.npz") as arrays:
        sizes, weights, offset = arrays["factor_sizes"], arrays["W"], arrays["b"]
    factors = np.zeros((50_000, len(sizes)), dtype=int)
    standard = -(sizes - 1) / 2 / np.sqrt((sizes**2 - 1) / 12)
    codes = grid.encode(factors, np.random.default_rng(0))
    assert codes.mean(axis=0) == pytest.approx((standard @ weights + offset) ** 2, abs=0.02)


def test_report_is_a_table():
    rows = [compare(ORACLE, entry) for entry in ENTRIES[:5]]
    text = report(rows)
    assert text.splitlines()[0] == "| verdict | values |"
    assert len([line for line in text.splitlines() if line.startswith("| c4_mixed__small |")]) == 5
    assert next(comparisons(ORACLE)).case == rows[0].case
