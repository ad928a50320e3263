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
    def constant(self) -> list[int]:
        """The channels whose spread float32, in which a network sees them, does not resolve: below a millionth of the mean."""
        pairs = zip(self.mean, self.std, strict=True)
        return [c for c, (mean, std) in enumerate(pairs) if not std > max(1e-6 * abs(mean), 1e-37)]


class Spread:
    """The count, the mean and the squared deviations of the numbers of each channel that were added so far, in float64."""

    def __init__(self):
        self._n, self._mean, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, events: Shaped[np.ndarray, "n *event"]) -> None:
        """Adds some events.

        For two sets of n_a and n_b numbers with the distance d of their means the squared deviations of both are
        S_a + S_b + d^2 n_a n_b/(n_a + n_b) (Chan et al. 1983): no square of a mean is subtracted from another.
        """
        x = events.reshape(-1, events.shape[-1]).astype(np.float64)
        mean = x.mean(0)
        x -= mean
        np.square(x, out=x)
        n, distance = self._n + len(x), mean - self._mean
        self._squares = self._squares + x.sum(0) + distance**2 * (self._n * len(x) / n)
        self._mean, self._n = self._mean + distance * (len(x) / n), n

    @property
    def moments(self) -> Moments:
        """The moments of all that was added."""
        return Moments(tuple(self._mean.tolist()), tuple(np.sqrt(self._squares / self._n).tolist()))


def streamed_moments(blocks: Iterable[np.ndarray], n: int) -> Moments:
    """Returns the moments of n events that come in blocks [k, *event], of which one is in memory."""
    spread, count = Spread(), 0
    with progress("mean and std of the training examples", n) as show:
        for events in blocks:
            spread.add(events)
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
