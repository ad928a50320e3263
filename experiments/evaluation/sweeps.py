"""The ranking of a sweep: its arms by the quality of their best samplers, with the values that made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.evaluation.measures import measured
from experiments.evaluation.ranking import contenders

Swept = Mapping[str, Mapping[str, str]]
"""The values of the keys of a sweep, as texts, by the names of its arms."""


MOST_DRAWN = 8
"""The most arms of a sweep that have pictures of their own; it may have hundreds."""


def arms_with_pictures(results: dict[str, Any]) -> dict[str, Any]:
    """Returns the results of the arms that have pictures: the best of a sweep, and all of a comparison."""
    if not results.get("swept"):
        return results
    best = {row["label"] for row in ranking(results)[:MOST_DRAWN]}
    return results | {"arms": [arm for arm in results["arms"] if arm["label"] in best]}


def ranking(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the row of each arm's best sampler, the best arm first, with its `rank` and its `values`.

    An arm without a finite measure has none. The ranks of arms that cannot be told apart say nothing.
    """
    headline, *_ = measured(results)
    values = {arm["label"]: results["swept"][arm["name"]] for arm in results["arms"]}
    sign = {"lower": 1, "higher": -1}[headline.better]
    rows = sorted(contenders(headline, results["arms"]), key=lambda row: sign * row[headline.name]["mean"])
    return [row | {"rank": rank, "values": values[row["label"]]} for rank, row in enumerate(rows, start=1)]


def keys(results: dict[str, Any]) -> list[str]:
    """Returns the keys that were swept, in the order of the command."""
    return list(dict.fromkeys(key for values in results["swept"].values() for key in values))
