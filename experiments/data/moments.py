"""Mean and standard deviation of each channel of the training examples, in one pass over them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from experiments.config.schema import Data
from experiments.runtime.errors import DataError, printable
from experiments.runtime.progress import progress
from experiments.runtime.signals import stop


class Moments(NamedTuple):
    """The `mean` and the standard deviation `std` of each channel, the last axis of an event, in the units of the data."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def over(self, what: str) -> Moments | None:
        """Returns the moments that `data.standardise` asks for: of each "channel", of all numbers ("scalar"), or None ("none").

        The variance of all numbers is E[std_c^2] + Var[mean_c], as each channel c has as many of them.
        """
        mean, std = np.array(self.mean), np.array(self.std)
        pooled = Moments((float(mean.mean()),), (float(np.sqrt((std**2).mean() + mean.var())),))
        return {"none": None, "scalar": pooled, "channel": self}[what]

    @property
    def words(self) -> str:
        """The numbers in words, those of the first eight channels if there are more."""
        listed = lambda values: ", ".join(f"{value:.6g}" for value in values[:8]) + (", ..." if len(values) > 8 else "")
        each = f" of each channel (the last axis, {len(self.mean)})" if len(self.mean) > 1 else ""
        return f"mean {listed(self.mean)}; std {listed(self.std)}{each}"

    @property
    def constant(self) -> list[int]:
        """The channels whose spread float32, in which a network sees them, does not resolve: below a millionth of the mean."""
        pairs = zip(self.mean, self.std, strict=True)
        return [c for c, (mean, std) in enumerate(pairs) if not std > max(1e-6 * abs(mean), 1e-37)]


class Spread(NamedTuple):
    """The count n, the mean and the sum of squared deviations of the numbers of each channel, in float64."""

    n: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, events: Shaped[np.ndarray, "n *event"]) -> Spread:
        """The spread of some events."""
        x = events.reshape(-1, events.shape[-1]).astype(np.float64)
        mean = x.mean(0)
        x -= mean
        np.square(x, out=x)
        return cls(len(x), mean, x.sum(0))

    def union(self, other: Spread) -> Spread:
        """The spread of both sets, whose means are d apart: squares S_a + S_b + d^2 n_a n_b/(n_a + n_b). Chan et al. (1983).

        No square of a mean is subtracted from another, which would leave nothing of a small deviation from a large mean.
        """
        n, d = self.n + other.n, other.mean - self.mean
        mean = self.mean + d * (other.n / n)
        return Spread(n, mean, self.squares + other.squares + d**2 * (self.n * other.n / n))

    @property
    def moments(self) -> Moments:
        """The moments of these numbers."""
        return Moments(tuple(self.mean.tolist()), tuple(np.sqrt(self.squares / self.n).tolist()))


NOTHING = Spread(0, np.zeros(()), np.zeros(()))
"""The spread of no number."""


def streamed_moments(blocks: Iterable[np.ndarray], n: int) -> Moments:
    """Returns the moments of n events that come in blocks [k, *event], of which one is in memory."""
    spread, count = NOTHING, 0
    with progress("mean and std of the training examples", n) as show:
        for events in blocks:
            spread = spread.union(Spread.of(events))
            count += len(events)
            show(count, "")
            stop.check()
    return spread.moments


def require_spread(moments: Moments, config: Data) -> None:
    """Raises DataError if what is to be standardised is constant: its density would be infinite."""
    by = moments.over(config.standardise)
    if by is None or not by.constant:
        return
    c, *more = by.constant
    whole = config.standardise == "scalar"
    what = "each number" if whole else f"channel {c + 1} of {len(by.mean)}" + (f", and {len(more)} more," if more else "")
    remedy = "these are no data to learn" if whole else "leave such channels out of the data, or take 'scalar'"
    origin = printable(config.origin(config.train))
    raise DataError(f"data.standardise = {config.standardise!r}: {what} of {origin} is {by.mean[c]:g} throughout: {remedy}")
