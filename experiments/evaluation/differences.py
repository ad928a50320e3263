"""Differences between arms, each paired by training seed, with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from experiments.evaluation.intervals import interval, seeds_to_see
from experiments.evaluation.measures import Measure
from experiments.evaluation.ranking import contenders
from experiments.evaluation.spreads import paired


class Quantity(NamedTuple):
    """A number that arms differ by: its `heading`, the better side, and the factor that it is shown by."""

    name: str
    heading: str
    better: str
    times: float


BITS = Quantity("bits_per_dim", "bits/dim", "lower", 1)


def differences(arms: Sequence[dict[str, Any]], measures: Sequence[Measure], distance: str) -> Iterator[dict[str, Any]]:
    """Yields a - b of each two arms a and b, by each measure of the `contenders` by the first one, and by bits/dim.

    For one training seed both have the same seed, order of data and sampling latents, so a - b is taken for each seed. `mean`,
    `low` and `high` are those of its `interval` over the `training_seeds`; `winner` is the label of the better arm, or None if
    the interval holds 0, or if one seed has none.
    """
    bits = {arm["label"]: arm["bits_per_dim"] for arm in arms}
    quantities = [Quantity(m.name, m.heading(distance), m.better, m.times) for m in measures]
    for a, b in combinations(contenders(measures[0], list(arms)), 2):
        for quantity in (*quantities, BITS):
            gaps = paired(*((row | {BITS.name: bits[row["label"]]}).get(quantity.name) or {} for row in (a, b)))
            if gaps:
                yield _difference(a, b, quantity, gaps)


def _difference(a: dict[str, Any], b: dict[str, Any], quantity: Quantity, gaps: dict[int, float]) -> dict[str, Any]:
    of = interval([*gaps.values()])
    winners = {0: None, 1: a["label"], -1: b["label"]}
    return {
        "arms": [a["label"], b["label"]],
        "samplers": [a["sampler"], b["sampler"]],
        **quantity._asdict(),
        "training_seeds": [*gaps],
        "values": [*gaps.values()],
        **of._asdict(),
        "winner": winners[of.sign if quantity.better == "higher" else -of.sign],
        "seeds_to_see": seeds_to_see([*gaps.values()]),
    }
