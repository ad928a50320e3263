"""Training examples in an order that is a pure function of (seed, step), and the held-out examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from experiments.config.schema import Data
from experiments.data.decoded import Decoded, decode, integers
from experiments.data.moments import Moments, require_spread, streamed_moments
from experiments.data.order import cuts, ordered, shuffled
from experiments.data.sources import Sources, open_sources
from experiments.runtime.errors import DataError, printable
from experiments.runtime.limits import fits

BLOCK = 64 * 2**20
"""The bytes of examples that are read together in a pass over all."""


def class_labels(labels: Any, classes: int, origin: str) -> np.ndarray:
    """Returns the labels as int32, each from 0 to classes - 1. DataError if one is not, or if there are none."""
    numbers = integers([] if labels is None else labels)
    if numbers is None or not len(numbers):
        learns = f"net.classes = {classes} learns from labels, which are integers"
        raise DataError(f"data: {origin} has examples without a label, and {learns}")
    if not 0 <= numbers.min() <= numbers.max() < classes:
        span = f"labels from {numbers.min()} to {numbers.max()}"
        raise DataError(f"data: {origin} has {span}, and those of net.classes = {classes} are from 0 to {classes - 1}")
    return numbers.astype(np.int32)


class Batch(NamedTuple):
    """Examples as grey `levels` [B, *event], or floats, and their labels `y` [B] if a network of classes wants them."""

    levels: Any
    y: Any = None


class ExampleStream:
    """Training examples by the number of a step: a new permutation each epoch.

    If all fit `resident_mib` they are decoded once and kept, as `resident` [n, *event]; else each batch is decoded when it is
    read, in the same order. Images that are cut anew in every epoch are cut when a batch is read; as many as fit stay uncut.
    """

    def __init__(self, decoded: Decoded, seed: int, resident_mib: int):
        self._decoded, self._origin, self.resident, self.labels = decoded, decoded.origin, None, None
        self.nbytes = decoded.nbytes
        self._places, self._seed, self._room = np.arange(len(decoded)), seed, resident_mib * 2**20
        if decoded.nbytes <= self._room:
            remedy = "a lower data.resident_mib has each batch decoded when it is read"
            fits(decoded.nbytes, f"{decoded.origin}, decoded,", remedy)
        if decoded.cut_anew:
            decoded.keep(self._room)
        elif decoded.nbytes <= self._room:
            self.resident, self.labels, self._places = decoded.everything()

    def __len__(self) -> int:
        return len(self._decoded if self.resident is None else self.resident)

    @property
    def places(self) -> int:
        """The number of examples that the order is over, with a stand-in for each that is left out."""
        return len(self._decoded)

    def at_places(self, places: np.ndarray) -> Batch:
        """Returns the examples at these places of that number, with their labels if all have some."""
        return self.read(self._places[places])

    def by(self, seed: int) -> ExampleStream:
        """Returns the same examples in the order of another seed; none is decoded again."""
        stream = copy(self)
        stream._seed = seed
        return stream

    def part(self, test: np.ndarray, n: int) -> str:
        """Returns a hash of the held-out events and of the first n training ones of the order."""
        some = self.blocks(self.indices(0, min(n, len(self._decoded))))
        return _digest(some, test, b"skip" if self._decoded.spare else b"")  # later batches may leave out others

    def blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the events at these rows, below `len`, as many at a time as have `BLOCK` bytes."""
        size = max(1, BLOCK * len(self._decoded) // self.nbytes)
        return (self.read(rows[start : start + size]).levels for start in range(0, len(rows), size))

    def indices(self, step: int, size: int, process: int = 0, processes: int = 1) -> np.ndarray:
        """Returns this process's share of batch `step`: the examples step size ... (step + 1) size - 1 of the order."""
        return self._rows(_share(step, size, process, processes))

    def batch(self, step: int, size: int, process: int = 0, processes: int = 1, classes: int = 0) -> Batch:
        """Returns the size / processes examples at `indices`, with their labels if `classes` > 0."""
        places = _share(step, size, process, processes)
        at = cuts(places, len(self._decoded), self._seed) if self._decoded.cut_anew else None
        some = self.read(self._rows(places), at)
        return Batch(some.levels, class_labels(some.y, classes, self._origin) if classes else None)

    def read(self, rows: np.ndarray, at: np.ndarray | None = None) -> Batch:
        """Returns the examples at these rows, below `len`, with their labels if all have some.

        Images that are cut anew are cut at the places `at` of `Frame.cut`, else in the middle.
        """
        if self.resident is not None:
            return Batch(self.resident[rows], None if self.labels is None else self.labels[rows])
        levels, labels = self._decoded.read(rows.tolist(), None if at is None else at.tolist())
        return Batch(levels, integers(labels))

    def everything(self) -> np.ndarray:
        """Returns all examples in their own order. DataError if they do not fit data.resident_mib."""
        if self.resident is not None:
            return self.resident
        if self.nbytes > self._room:
            mib = -(-self.nbytes // 2**20)
            raise DataError(f"this needs all training examples at once: set --config.data.resident_mib={mib}")
        return self._decoded.everything()[0]

    def _rows(self, places: np.ndarray) -> np.ndarray:
        """The rows of the examples at these places of the endless order."""
        return self._places[ordered(places, len(self._decoded), self._seed)]

    def labels_of(self, classes: int) -> np.ndarray:
        """Returns the labels of all resident examples. DataError if one is not below `classes`."""
        return class_labels(self.labels, classes, self._origin)


class DataFacts(NamedTuple):
    """All that a trained run needs to know of its data: the `shape` of an event, the names of its `classes`, and two hashes.

    There may be no names, as not all labels have some. `digest`, `part` and `moments` are those of `Dataset`.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    digest: str = ""
    part: str = ""
    moments: Moments | None = None


class Dataset(NamedTuple):
    """Examples as grey levels (uint8), or floats.

    `shape` is one event's. `train` has the batches, `test` [M, *shape] all held-out examples. The labels are integers; they are
    None if some are missing or the examples are not resident. `part` is a hash of the held-out examples and of as many training
    ones; `digest` is one of all if they are resident, else it is `part`. `classes`: the names of the labels, if there are any.
    `moments`: those of each channel over the training examples, if floats are standardised. `codes`: a stream of the codes of
    the training examples, in their order, which training reads in their place.
    """

    shape: tuple[int, ...]
    train: ExampleStream
    test: np.ndarray
    train_labels: np.ndarray | None
    test_labels: np.ndarray | None
    digest: str
    classes: tuple[str, ...] = ()
    part: str = ""
    moments: Moments | None = None
    codes: ExampleStream | None = None

    @property
    def batches(self) -> ExampleStream:
        """The stream of the batches of training."""
        return self.train if self.codes is None else self.codes

    @property
    def facts(self) -> DataFacts:
        """The facts that a run records."""
        return DataFacts(self.shape, self.classes, self.digest, self.part, self.moments)

    def by(self, seed: int) -> Dataset:
        """Returns the same data, with the training examples in the order of another seed."""
        train = self.train.by(seed)
        part = train.part(self.test, len(self.test))
        codes = self.codes and self.codes.by(seed)
        return self._replace(train=train, codes=codes, digest=part if train.resident is None else self.digest, part=part)

    def check_labels(self, classes: int) -> None:
        """Raises DataError if `classes` > 0 and a label that was read is not below it."""
        if classes:
            self.held_out(0, classes)
            if self.train.resident is not None:
                self.train.labels_of(classes)

    def held_out(self, n: int, classes: int = 0) -> Batch:
        """Returns the first n held-out examples of the order `shuffled`, with their labels if `classes` > 0."""
        rows = shuffled(len(self.test))[:n]
        return Batch(self.test[rows], class_labels(self.test_labels, classes, "the held-out data")[rows] if classes else None)

    def some_training(self, n: int) -> Batch:
        """Returns the first n training examples of the order `shuffled`, with their labels if all have some."""
        return self.train.read(shuffled(len(self.train))[:n])

    def train_examples(self) -> np.ndarray:
        """Returns all training examples in their own order. DataError if they do not fit data.resident_mib."""
        return self.train.everything()


def load(sources: Sources, config: Data, seed: int, moments: Moments | None = None) -> Dataset:
    """Decodes the examples of sources that are open. DataError names those that cannot be decoded.

    `moments`: those to standardise by, if they are known; else a pass over the training examples computes them. DataError if a
    channel is constant.
    """
    whole = decode(sources.train, config, config.train)
    train = ExampleStream(whole, seed, config.resident_mib)
    held_out = decode(sources.test, config, config.test, whole.shape)
    remedy = "all held-out examples stay in memory; name a smaller split by --config.data.test"
    fits(held_out.nbytes, f"{held_out.origin}, decoded,", remedy)
    test, test_labels, _ = held_out.everything()
    part = train.part(test, len(sources.test))
    digest = part if train.resident is None else _digest([train.resident], test)
    classes = tuple(map(printable, sources.classes))
    if config.standardise == "none" or config.levels:  # standardised levels are refused with all else that is wrong
        moments = None
    elif moments is None:
        moments = streamed_moments(train.blocks(np.arange(len(train))), len(train))
        require_spread(moments, config)
    return Dataset(whole.shape, train, test, train.labels, test_labels, digest, classes, part, moments)


def _share(step: int, size: int, process: int, processes: int) -> np.ndarray:
    """The places in the endless order of a process's share of batch `step`."""
    share = size // processes
    first = (step * processes + process) * share
    return np.arange(first, first + share)


def _digest(train: Iterable[np.ndarray], test: np.ndarray, words: bytes = b"") -> str:
    digest = sha256()
    for events in chain(train, [test]):
        digest.update(np.ascontiguousarray(events).data)
    digest.update(words)
    return digest.hexdigest()[:16]


def first_held_out(config: Data, shape: tuple[int, ...], most: int = 256, classes: int = 0) -> Batch:
    """Returns the first held-out examples of the order `shuffled`, of this shape, with their labels if `classes` > 0.

    It decodes no others. Raises DataError if they are not there.
    """
    decoded = decode(open_sources(config).test, config, config.test, shape)
    levels, labels = decoded.read(shuffled(len(decoded))[:most].tolist())
    return Batch(levels, class_labels(integers(labels), classes, decoded.origin) if classes else None)
