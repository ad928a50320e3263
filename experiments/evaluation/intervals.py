"""Student's interval of a mean over seeds, and the number of seeds that would show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
"""The share of intervals that hold the true mean."""
POWER = 0.8
"""The share of repetitions in which a test is to see a true difference."""
MOST = 1000
"""The most seeds that are counted."""


class Interval(NamedTuple):
    """The mean of values and its interval; the ends are nan if there are fewer than two values."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 if the whole interval is above 0 or below it, else 0."""
        return (self.low > 0) - (self.high < 0)


def interval(values: Sequence[float]) -> Interval:
    """Returns mean ± t s/sqrt(n), with the quantile t of Student's law of n - 1 degrees of freedom at (1 + `CONFIDENCE`)/2.

    Of the n differences of two arms, one from each training seed, it is the interval of the paired t-test: Student (1908).
    """
    from scipy.stats import t  # a second to import: only where seeds are compared

    n, mean = len(values), float(np.mean(values)) if len(values) else math.nan
    if n < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def seeds_to_see(values: Sequence[float]) -> int | None:
    """Returns the fewest seeds n by which a two-sided paired t-test sees a true difference of this size, d = mean/s:

        P(T > t) >= `POWER`,  T of the noncentral t law of n - 1 degrees of freedom about |d| sqrt(n),

    with the quantile t of `interval`. None if there are fewer than two values, or if it would be more than `MOST`. Cohen
    (1988), chapter 2; for training seeds Colas et al. (2018), "How Many Random Seeds?".
    """
    from scipy.stats import nct, t

    if len(values) < 2:
        return None
    mean, s = abs(float(np.mean(values))), float(np.std(values, ddof=1))
    if s == 0:
        return 2 if mean else None
    n = np.arange(2, MOST + 1)
    centre = np.minimum(mean / s * np.sqrt(n), 1000)  # farther out the power is 1 as well, and the series do not converge
    enough = nct.sf(t.ppf((1 + CONFIDENCE) / 2, n - 1), n - 1, centre) >= POWER
    return int(n[enough.argmax()]) if enough.any() else None
