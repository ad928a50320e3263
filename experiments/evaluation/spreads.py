"""Numbers of several seeds as their mean and their spread: over sampling seeds, and over training seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Spread = dict[str, Any]
"""The `mean` of `values` and their standard deviation `std`.

Over training seeds each value is a mean over sampling seeds. `training_seeds` then names the seeds, and `sampling_std` is the
standard deviation over sampling seeds, its root mean square over the runs: nan if there was one sampling seed.
"""


def spread_of(values: list[float], alone: float = 0.0) -> Spread:
    """Returns the spread of values; nan if there are none, and the standard deviation `alone` if there is one."""
    if not values:
        return {"mean": math.nan, "std": math.nan, "values": []}
    std = float(np.std(values, ddof=1)) if len(values) > 1 else alone
    return {"mean": float(np.mean(values)), "std": std, "values": values}


def spread(by_seed: list[dict[str, float]], names: list[str]) -> dict[str, Spread]:
    """Returns the spread of each measure over sampling seeds; nan if no seed has one."""
    return {name: spread_of([m[name] for m in by_seed]) for name in names}


def over_training_seeds(by_seed: Mapping[int, Spread]) -> Spread:
    """Returns the spread of the means of training runs, by their seeds; a run without a finite mean is left out."""
    finite = {seed: each for seed, each in by_seed.items() if math.isfinite(each["mean"])}
    several = [each["std"] for each in finite.values() if len(each["values"]) > 1]
    means = spread_of([each["mean"] for each in finite.values()], alone=math.nan)
    return means | {"training_seeds": [*finite], "sampling_std": root_mean_square(several)}


def root_mean_square(values: list[float]) -> float:
    """Returns the root of the mean square; nan if there are no values."""
    return float(np.sqrt(np.mean(np.square(values)))) if values else math.nan


def paired(a: Spread, b: Spread) -> dict[int, float]:
    """Returns a - b for each training seed that both have a value of; nothing of spreads over sampling seeds."""
    of_a, of_b = (dict(zip(each.get("training_seeds", ()), each.get("values", ()), strict=False)) for each in (a, b))
    return {seed: of_a[seed] - of_b[seed] for seed in of_a if seed in of_b}
