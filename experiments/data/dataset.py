"""Examples by number: Grain's threads decode them, in an order that is a pure function of (seed, step)."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from experiments.config.schema import Data
from experiments.data.decoded import Decoded, _integers
from experiments.data.sources import Sources
from experiments.runtime.errors import DataError


def classed(labels: Any, classes: int, origin: str) -> np.ndarray:
    """Labels as int32, each one of 0 ... classes - 1. DataError where some are not, or there are none."""
    found = _integers([] if labels is None else labels)
    if found is None or not len(found):
        raise DataError(f"data: {origin} has examples without a label, and net.classes = {classes} learns from labels")
    if not 0 <= found.min() <= found.max() < classes:
        span = f"labels from {found.min()} to {found.max()}"
        raise DataError(f"data: {origin} has {span}, and those of net.classes = {classes} are from 0 to {classes - 1}")
    return found.astype(np.int32)


class Batch(NamedTuple):
    """Examples as `levels` [B, *event] (points: the points), and their labels `y` [B], where they are asked for."""

    levels: Any
    y: Any = None


class Records:
    """Training examples in the order of `experiments.data.dataset`, a new permutation each epoch.

    Those that fit `resident_mib` are decoded once and kept, as `resident` [n, *event]; the others are decoded as they are asked
    for, in the same order.
    """

    def __init__(self, decoded: Decoded, seed: int, resident_mib: int):
        self._decoded, self._origin, self.resident, self.labels = decoded, decoded.origin, None, None
        self._places = np.arange(len(decoded))
        if decoded.nbytes <= resident_mib * 2**20:
            self.resident, self.labels, self._places = decoded.everything()
        self._seed = seed

    def __len__(self) -> int:
        return len(self._decoded if self.resident is None else self.resident)

    def indices(self, step: int, size: int, process: int = 0, processes: int = 1) -> np.ndarray:
        """This process's share of batch `step`, which is the examples step size ... (step + 1) size - 1 of the order."""
        share = size // processes
        first = (step * processes + process) * share
        return self._places[ordered(np.arange(first, first + share), len(self._decoded), self._seed)]

    def batch(self, step: int, size: int, process: int = 0, processes: int = 1, classes: int = 0) -> Batch:
        """The size / processes examples at `indices`; with their labels, of so many `classes`, where there are classes."""
        rows = self.indices(step, size, process, processes)
        if self.resident is not None:
            return Batch(self.resident[rows], self.labels_of(classes)[rows] if classes else None)
        levels, labels = self._decoded.read(rows.tolist())
        return Batch(levels, classed(labels, classes, self._origin) if classes else None)

    def labels_of(self, classes: int) -> np.ndarray:
        """The labels of all that is resident. DataError where they are not of so many classes."""
        return classed(self.labels, classes, self._origin)


class Dataset(NamedTuple):
    """Examples as grey levels (uint8), or points (float32).

    `shape`: of one event; `train`: by batch; `test` [M, *shape]: all that is held out; integer labels, where there are any and
    the examples are resident; `digest` of the held-out examples and as many training ones, or all that are resident.
    """

    shape: tuple[int, ...]
    train: Records
    test: np.ndarray
    train_labels: np.ndarray | None
    test_labels: np.ndarray | None
    digest: str

    def check_labels(self, classes: int) -> None:
        """DataError where the labels that are known are not of so many classes, if there are classes."""
        if classes:
            self.held_out(0, classes)
            if self.train.resident is not None:
                self.train.labels_of(classes)

    def held_out(self, n: int, classes: int = 0) -> Batch:
        """The first n held-out examples, with their labels, of so many `classes`, where there are classes."""
        return Batch(self.test[:n], classed(self.test_labels, classes, "the held-out data")[:n] if classes else None)

    def train_examples(self, most: int = 50_000) -> np.ndarray:
        """The training examples in their own order, at most `most` of them."""
        if self.train.resident is None:
            raise DataError("these training examples do not fit data.resident_mib, and this needs them at once")
        return self.train.resident[:most]


def load(sources: Sources, config: Data, seed: int) -> Dataset:
    """The examples of opened sources, decoded. DataError names those that cannot be."""
    decoded = lambda source, split, shape=(): Decoded(source, config.levels, config.origin(split), shape, config.on_bad)
    train = Records(decoded(sources.train, config.train), seed, config.resident_mib)
    seen = train.resident if train.resident is not None else train.batch(0, min(len(train), len(sources.test))).levels
    shape = seen.shape[1:]
    test, test_labels, _ = decoded(sources.test, config.test, shape).everything()
    digest = sha256(seen.tobytes() + test.tobytes())
    if train.resident is None and config.on_bad == "skip":
        digest.update(b"skip")  # what will be left out is not known yet
    return Dataset(shape, train, test, train.labels, test_labels, digest.hexdigest()[:16])


def ordered(places: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Which of n examples stand at these places of the endless order, place e n + i being the i-th of epoch e."""
    epochs, within = np.divmod(places, n)
    rows = np.empty_like(places)
    for epoch in np.unique(epochs):
        rows[epochs == epoch] = _epoch(n, seed, int(epoch))[within[epochs == epoch]]
    return rows


@lru_cache(maxsize=2)
def _epoch(n: int, seed: int, epoch: int) -> np.ndarray:
    """By numpy's legacy generator, whose stream is frozen, so that a run goes on in its order under any numpy."""
    return np.random.RandomState([seed, epoch]).permutation(n)
