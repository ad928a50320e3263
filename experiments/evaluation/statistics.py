"""Statistics of the features of a set of images, and the protocol that they were computed under."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from experiments.evaluation import distances
from experiments.evaluation.distances import Features
from experiments.runtime.errors import ConfigError
from experiments.runtime.lazy_arrays import LazyArray

FEW = 10_000
"""Images below which FID says more of their number than of the model; and the most whose features are held."""


class Protocol(NamedTuple):
    """The way from images to features, and the real images: distances under unlike protocols do not compare.

    `levels` of a pixel of images of this `shape`; `data` is the digest of the data, and `split` the part of it that is real.
    """

    extractor: str
    input: str
    shape: tuple[int, ...]
    levels: int
    data: str
    split: str

    def unlike(self, other: Protocol) -> list[str]:
        """The fields that differ, a line each."""
        pairs = zip(self._fields, self, other, strict=True)
        return [f"{field}: {mine!r} and {its!r}" for field, mine, its in pairs if mine != its]


class Statistics(NamedTuple):
    """Mean [f] and root [r, f] of the covariance of the features of n images, and `features` of all or of `FEW` of them."""

    mu: np.ndarray
    root: np.ndarray
    n: int
    features: Features
    protocol: Protocol


def statistics(features: LazyArray, protocol: Protocol) -> Statistics:
    """The statistics of all features. Of more than `FEW`, a random subset is held: data may be sorted."""
    n = len(features)
    some = features[:] if n <= FEW else features[np.sort(np.random.default_rng(0).choice(n, FEW, replace=False))]
    return Statistics(*distances.gaussian(features), n, some, protocol)


def frechet(a: Statistics, b: Statistics) -> float:
    """The Fréchet distance of two sets of images. Raises ConfigError with the fields of their protocols that differ."""
    if unlike := a.protocol.unlike(b.protocol):
        raise ConfigError(["statistics of unlike protocols do not compare:", *unlike])
    return distances.gaussian_distance(a.mu, a.root, b.mu, b.root)
