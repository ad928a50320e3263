"""Examples by number: Grain's threads decode them, in an order that is a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

import grain
import numpy as np

from experiments.errors import DataError
from experiments.examples import Bad, example
from experiments.memory import fits
from experiments.order import ordered
from experiments.progress import say
from experiments.schema import Data
from experiments.sources import Sources
from experiments.watchdog import within

PATIENCE = 300.0  # seconds without an example, after which whoever reads them hangs
T = TypeVar("T")


def in_order(f: Callable[[int], T], rows: Sequence[int], origin: str) -> Iterator[T]:
    """f of each row, in the order of `rows`, by Grain's threads. Exits where nothing comes for `PATIENCE` seconds."""
    # Chunks, because a hand-over between threads costs Grain more than decoding a small image.
    chunks = grain.MapDataset.source(rows).map(f).batch(16, batch_fn=list)
    chunks = iter(chunks.to_iter_dataset(grain.ReadOptions(num_threads=4, prefetch_buffer_size=16)))
    while True:
        with within(PATIENCE, f"reading {origin}"):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield from chunk


class Decoded:
    """A source's examples as events of one shape: most of the first three's that can be decoded, unless `shape` is given.

    `origin` names the source in errors. Nothing is kept: every read decodes. With `on_bad` = "fail" an example that cannot be
    used is an error; with "skip" the next good one stands in for it, up to one in a thousand examples (or a single one).
    """

    def __init__(self, source: Any, levels: int, origin: str, shape: tuple[int, ...] = (), on_bad: str = "fail"):
        self._example = lambda i: example(source, i, origin, levels, self._shape)
        self._n, self.origin, self._shape = len(source), origin, shape
        self._spare = max(1, self._n // 1000) if on_bad == "skip" else 0
        self.bad: dict[int, Bad] = {}
        first, bad = [], []
        for i in range(min(self._n, 100)):
            with within(PATIENCE, f"reading {origin}"):
                found = self._example(i)
            (bad if isinstance(found, Bad) else first).append(found)
            if len(first) == 3:
                break
        if not first:
            raise DataError(
                [f"no example of {origin} can be used:", *map(str, bad[:3])] if bad else f"{origin} holds no example"
            )
        shapes = [event.shape for event, _ in first]
        self._shape, self._dtype = max(shapes, key=shapes.count), first[0][0].dtype
        self.nbytes = int(np.prod(self._shape)) * self._dtype.itemsize * self._n

    def __len__(self) -> int:
        return self._n

    def read(self, rows: Sequence[int]) -> tuple[np.ndarray, list[Any]]:
        """Events [n, *event] and labels [n] of these rows. DataError names those that cannot be used."""
        events, labels, bad = np.empty((len(rows), *self._shape), self._dtype), [None] * len(rows), {}
        for place, found in enumerate(in_order(self._example, rows, self.origin)):
            if isinstance(found, Bad):
                bad[place] = found
            else:
                events[place], labels[place] = found
        if bad:
            self._leave_out({rows[place]: why for place, why in bad.items()})
            stand_ins = self.read([(rows[place] + 1) % self._n for place in bad])
            for place, event, label in zip(bad, *stand_ins, strict=True):
                events[place], labels[place] = event, label
        return events, labels

    def everything(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """All events that can be used, their labels if all are integers, and where every row or its stand-in is among them."""
        fits(self.nbytes, f"{self.origin}, decoded,")
        events, labels = self.read(range(self._n))
        good = np.array([i not in self.bad for i in range(self._n)])
        if self.bad:
            events, labels = events[good], [label for label, kept in zip(labels, good, strict=True) if kept]
        return events, _integers(labels), (np.cumsum(good) - good) % good.sum()

    def _leave_out(self, bad: dict[int, Bad]) -> None:
        said = len(self.bad)
        self.bad |= bad
        first, n = [str(why) for why in self.bad.values()][:3], f"{len(self.bad)} of {self._n} examples of {self.origin}"
        if len(self.bad) > self._spare:
            limit = f", and data.on_bad = skip leaves out {self._spare} at most" if self._spare else ""
            raise DataError([f"{n} cannot be used{limit}:", *first, "all are named by: python -m experiments data check"])
        if said < len(self.bad) and said < 3:
            say("\n".join([f"left out, as data.on_bad = skip says: {n}", *first]))


def classed(labels: Any, classes: int, origin: str) -> np.ndarray:
    """Labels as int32, each one of 0 ... classes - 1. DataError where some are not, or there are none."""
    found = _integers([] if labels is None else labels)
    if found is None or not len(found):
        raise DataError(f"data: {origin} has examples without a label, and net.classes = {classes} learns from labels")
    if not 0 <= found.min() <= found.max() < classes:
        span = f"labels from {found.min()} to {found.max()}"
        raise DataError(f"data: {origin} has {span}, and those of net.classes = {classes} are from 0 to {classes - 1}")
    return found.astype(np.int32)


def _integers(labels: Sequence[Any]) -> np.ndarray | None:
    """The labels as an array, if all are integers."""
    return np.array(labels, int) if all(isinstance(label, int | np.integer) for label in labels) else None


class Batch(NamedTuple):
    """Examples as `levels` [B, *event] (points: the points), and their labels `y` [B], where they are asked for."""

    levels: Any
    y: Any = None


class Records:
    """Training examples in the order of `experiments.order`, a new permutation each epoch.

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
