"""The best sampler of an arm and the best arm, if the numbers can tell."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from experiments.evaluation.intervals import interval
from experiments.evaluation.measures import CHOICE, Measure
from experiments.evaluation.spreads import Spread, paired

LEVEL = 0.05
"""The share of equals that the test over sampling seeds takes for unequal."""


class Verdict(NamedTuple):
    """The row of the `best` sampler of an arm, or the labels of those that are `equals`, of real examples too if `real`."""

    best: dict[str, Any] | None = None
    equals: tuple[str, ...] = ()
    real: bool = False


def best_sampler(measure: Measure, rows: list[dict[str, Any]], real: dict[str, Any]) -> Verdict:
    """Returns the verdict on the samplers of an arm: against each other by the validation split, if there is one."""
    return verdict(measure, rows, real, by=_chosen_by(measure, rows))


def verdict(measure: Measure, rows: list[dict[str, Any]], real: dict[str, Any] | None = None, by: str = "") -> Verdict:
    """Returns the row that beats all others by a measure, if the `real` examples, where they are given, beat it in turn.

    A row that they do not beat is as good as the measure can see of so many samples. Rows without the measure take no part.
    Rows are held against each other `by` the number of that key, if it is given.
    """
    beats = lambda a, b, key=measure.name: _beats(a[key], b[key], measure.better)
    finite = _finite(measure, rows)
    if real and (equals := tuple(row["label"] for row in finite if not beats(real, row))):
        return Verdict(equals=equals, real=True)
    if not finite:
        return Verdict()
    by = by or measure.name
    first = _first(measure, finite, by)
    equals = tuple(row["label"] for row in finite if row is first or not beats(first, row, by))
    return Verdict(equals=equals) if len(equals) > 1 else Verdict(first)


def contenders(measure: Measure, arms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each arm the row of the sampler with the best mean, labelled as the arm; its own label is the `sampler`.

    The sampler is chosen by the validation split, if there is one, and the verdict on these rows is the one on arms. An arm
    without a finite mean has none.
    """
    finite = [(arm["label"], rows) for arm in arms if (rows := _finite(measure, arm["samplers"]))]
    best = [(label, _first(measure, rows, _chosen_by(measure, rows))) for label, rows in finite]
    return [row | {"label": label, "sampler": row["label"]} for label, row in best]


def _chosen_by(measure: Measure, rows: list[dict[str, Any]]) -> str:
    """The key of the number that a choice among the rows is made by."""
    return CHOICE if rows and all(CHOICE in row for row in rows) else measure.name


def _finite(measure: Measure, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if measure.name in row and math.isfinite(row[measure.name]["mean"])]


def _first(measure: Measure, rows: list[dict[str, Any]], by: str) -> dict[str, Any]:
    return {"lower": min, "higher": max}[measure.better](rows, key=lambda row: row[by]["mean"])


def _beats(a: Spread, b: Spread, better: str) -> bool:
    """Says if a is better than b.

    Over training seeds: if the `interval` of their paired differences is on its side of 0. Over sampling seeds, and against
    real examples: if its mean is better by Student's one-sided t-test, whose variance is pooled, so that one of the two may be
    a single value. Two single ones tell nothing.
    """
    if "training_seeds" in a and "training_seeds" in b:
        return interval([*paired(a, b).values()]).sign == {"lower": -1, "higher": 1}[better]
    from scipy.stats import ttest_ind_from_stats  # a second to import: only where something is ranked

    if len(a["values"]) + len(b["values"]) < 3:
        return False
    alternative = {"lower": "less", "higher": "greater"}[better]
    of = lambda s: (s["mean"], s["std"] if len(s["values"]) > 1 else 0.0, len(s["values"]))
    return bool(ttest_ind_from_stats(*of(a), *of(b), alternative=alternative).pvalue < LEVEL)
