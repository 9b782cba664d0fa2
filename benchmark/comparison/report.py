"""Findings of a comparison as tables, Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from unmix.comparison.verdicts import Estimate, Findings, Verdict, digits
from unmix.tables import Table

FEW = 10  # degrees of freedom below which a bootstrap interval covers clearly less than it says


def tables(found: Findings) -> list[Table]:
    """Aggregates, pairs and ranks; what has no rows is left out."""
    every = [_aggregates(found), _pairs(found), _ranks(found)]
    return [table for table in every if table.rows]


def sentences(found: Findings) -> list[str]:
    """A conclusion for each pair and metric, then one of the ranks."""
    return [verdict.sentence for verdict in found.verdicts] + ([found.ranks.sentence] if found.ranks else [])


def in_short(found: Findings, most: int = 12) -> list[str]:
    """Sentences for a screen: of more than `most` pairs only those that are told apart, after a count."""
    said = sentences(found)
    if len(found.verdicts) <= most:
        return said
    counts = {told: sum(v.told == told for v in found.verdicts) for told in ("apart", "not apart", "too few")}
    told = [verdict.sentence for verdict in found.verdicts if verdict.told == "apart"]
    return [
        f"Of {len(found.verdicts)} comparisons {counts['apart']} are told apart, {counts['not apart']} are not, and "
        f"{counts['too few']} have too few runs to tell. (A sentence for each: --format markdown.)",
        *told,
        *said[len(found.verdicts) :],
    ]


def to_markdown(found: Findings, more: Sequence[Table] = ()) -> str:
    """Tables, conclusions and what was left out."""
    parts = [f"# {' against '.join(_escaped(arm.label) for arm in found.arms)}", ""]
    parts += [table.to_markdown() for table in (*tables(found), *more)]
    parts += ["## Conclusions", "", *(f"- {_escaped(sentence)}" for sentence in sentences(found)), ""]
    if found.left_out:
        parts += ["## Left out", "", *(f"- {_escaped(sentence)}" for sentence in found.left_out), ""]
    return "\n".join(parts)


def to_csv(found: Findings, more: Sequence[Table] = ()) -> str:
    """The numbers of every pair, a line each, at full precision."""
    every = [_numbers(verdict) for verdict in found.verdicts]
    rows = tuple(tuple("" if cell is None else str(cell) for cell in numbers.values()) for numbers in every)
    return Table("pairs", tuple(every[0]), rows).to_csv()


def to_json(found: Findings, more: Sequence[Table] = ()) -> str:
    """Everything: arms with the keys of their runs, aggregates, pairs, ranks, sentences, what was left out."""
    content: dict[str, Any] = {
        "arms": {arm.label: sorted(r.key for runs in arm.runs.values() for r in runs.values()) for arm in found.arms},
        "datasets": list(found.tasks),
        "metrics": list(found.metrics),
        "aggregates": [asdict(summary) for summary in found.summaries],
        "pairs": [
            asdict(v) | {"cliffs_delta": 2 * v.improvement.value - 1, "verdict": v.told, "needed": v.needed}
            for v in found.verdicts
        ],
        "ranks": asdict(found.ranks) if found.ranks else None,
        "conclusions": sentences(found),
        "left_out": list(found.left_out),
        **{table.title: [dict(zip(table.header, row, strict=True)) for row in table.rows] for table in more},
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


FORMATS = {"markdown": to_markdown, "csv": to_csv, "json": to_json}


def _aggregates(found: Findings) -> Table:
    rows = []
    for summary in found.summaries:
        numbers = (summary.student, summary.mean, summary.median, summary.iqm)
        texts = [number.text(digits(summary.metric)) for number in numbers]
        texts[1] = _ends(summary.mean, digits(summary.metric))
        rows.append((summary.metric, summary.arm, str(summary.runs), *texts))
    header = ("metric", "arm", "runs", "mean [Student]", "[bootstrap]", "median [bootstrap]", "IQM [bootstrap]")
    notes = ["95 % intervals; scores whose best is 1 are in percent. Over what all arms have."] if rows else []
    if any(summary.runs > 1 and summary.runs - summary.tasks < FEW for summary in found.summaries):
        notes.append(
            "Few runs: the bootstrap covers less than it says (3 runs of one dataset: 77 %), Student's does not."
        )
    on = f"{len(found.tasks)} dataset{'s' if len(found.tasks) > 1 else ''}: {', '.join(found.tasks)}"
    return Table(f"Aggregates on {on}", header, tuple(rows), tuple(notes))


def _pairs(found: Findings) -> Table:
    header = (
        "metric",
        "first",
        "second",
        "difference",
        "P(better)",
        "d",
        "p",
        "Holm",
        "runs",
        "verdict",
        "needed",
    )
    rows = []
    for v in found.verdicts:
        runs = str(v.runs[0]) if v.paired else f"{v.runs[0]} + {v.runs[1]}"
        effect = "" if v.effect is None else f"{v.effect:+.2f}"
        gap, better = v.difference.text(digits(v.metric), True), v.improvement.text(2)
        told = (v.metric, v.first, v.second, gap, better, effect, f"{v.p:.2g}", f"{v.corrected:.2g}")
        rows.append((*told, runs, v.told, v.needed))
    notes = [
        "difference: first minus second. P: that a run of the first is better. d: paired effect size, + where the "
        "first is better. p: permutation test; "
        f"Holm: corrected for {len(rows)} comparison{'s' if len(rows) > 1 else ''}. runs: paired seeds, or a + b that "
        "are not paired. needed: seeds of each dataset for a power of 0.8, were the effect as large as here.",
    ]
    if any(v.improvement.low is not None and v.improvement.low == v.improvement.high for v in found.verdicts):
        notes.append("P of [1.00, 1.00]: no two runs crossed, and a bootstrap cannot imagine that others would.")
    return Table("Pairs", header, tuple(rows), tuple(notes))


def _ranks(found: Findings) -> Table:
    ranks = found.ranks
    if ranks is None:
        return Table("Ranks", (), ())
    rows = tuple((arm, f"{rank:.2f}") for arm, rank in zip(ranks.arms, ranks.ranks, strict=True))
    notes = [f"1 is best; mean over {ranks.blocks} {ranks.block}{'s' if ranks.blocks > 1 else ''}"]
    if len(ranks.metrics) > 1:
        notes[0] += f", within each over {len(ranks.metrics)} metrics, which count once"
    if ranks.p is not None and ranks.difference is not None:
        notes.append(f"Friedman p = {ranks.p:.2g}; critical difference {ranks.difference:.2f} (Nemenyi, 0.05)")
    return Table("Ranks", ("arm", "mean rank"), rows, (". ".join(notes) + ".",))


def _ends(number: Estimate, places: int) -> str:
    return "" if number.low is None else f"[{number.low:.{places}f}, {number.high:.{places}f}]"


def _numbers(v: Verdict) -> dict[str, Any]:
    gap, better = v.difference, v.improvement
    return {
        **{"metric": v.metric, "first": v.first, "second": v.second, "datasets": v.tasks, "paired": v.paired},
        **{"runs_first": v.runs[0], "runs_second": v.runs[1]},
        **{"difference": gap.value, "low": gap.low, "high": gap.high},
        **{"improvement": better.value, "improvement_low": better.low, "improvement_high": better.high},
        **{"effect": v.effect, "p": v.p, "p_holm": v.corrected, "smallest_p": v.smallest},
        **{"verdict": v.told, "seeds_needed": v.needed},
    }


def _escaped(text: str) -> str:
    """Names of methods and datasets may be anyone's."""
    for letter in "\\`*_<>[]|":
        text = text.replace(letter, f"\\{letter}")
    return text
