"""Decoded examples: several threads decode, and what cannot be decoded is named or replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import grain
import numpy as np

from experiments.config.schema import Data
from experiments.data.examples import Bad, is_class
from experiments.data.framing import Frame
from experiments.data.reader import Reader
from experiments.runtime.errors import DataError
from experiments.runtime.limits import within
from experiments.runtime.progress import say
from experiments.runtime.startup import PROGRAM

PATIENCE = 300.0
"""Seconds without an example after which its reader counts as hanging."""

T = TypeVar("T")


def in_order(f: Callable[[int], T], rows: Sequence[int], origin: str) -> Iterator[T]:
    """Yields f(row) in the order of `rows`, by Grain's threads. The process exits if none comes for `PATIENCE` seconds."""
    # Chunks, because Grain takes longer over each element, and over handing it on, than a small image to decode. A batch has
    # enough of them for all threads; those of a data set are larger.
    size = min(max(16, len(rows) // 256), 128)
    starts = grain.MapDataset.source(range(0, len(rows), size))
    chunks = starts.map(lambda start: [f(row) for row in rows[start : start + size]])
    chunks = iter(chunks.to_iter_dataset(grain.ReadOptions(num_threads=4, prefetch_buffer_size=16)))
    while True:
        with within(PATIENCE, f"reading {origin}"):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield from chunk


class Decoded:
    """A source's examples as events of one shape: `shape`, or else the commonest of the first three good examples.

    `origin` names the source in errors. Every read decodes anew. If `on_bad` is "fail", an example that cannot be used is an
    error. If it is "skip", the next good one takes its place, for at most `spare`: one in a thousand, or a single one.

    Images are scaled and cut to the `frame`, if there is one; `cut_anew` says that training cuts them at another place in
    every epoch. That some are made larger is said once.
    """

    def __init__(
        self,
        source: Any,
        levels: int,
        origin: str,
        shape: tuple[int, ...] = (),
        on_bad: str = "fail",
        frame: Frame | None = None,
    ):
        self._reader, self._enlarged = Reader(source, levels, origin, frame), ""
        self.cut_anew = frame is not None and frame.crop == "random"
        self._n, self.origin, self.shape = len(source), origin, shape
        self.spare = max(1, self._n // 1000) if on_bad == "skip" else 0
        self.bad: dict[int, Bad] = {}
        first, bad = [], []
        for i in range(min(self._n, 100)):
            with within(PATIENCE, f"reading {origin}"):
                decoded = self._reader.event(i, self.shape)
            (bad if isinstance(decoded, Bad) else first).append(decoded)
            if len(first) == 3:
                break
        if not first:
            raise DataError([f"no example of {origin} can be used:", *map(str, bad[:3])])
        shapes = [event.shape for event, _ in first]
        self.shape, self._dtype = max(shapes, key=shapes.count), first[0][0].dtype
        self.nbytes = int(np.prod(self.shape)) * self._dtype.itemsize * self._n

    def __len__(self) -> int:
        return self._n

    def keep(self, room: int) -> None:
        """Has images stay in memory once they are read, scaled and not yet cut, as long as they fit `room` bytes."""
        self._reader.keep(room)

    def read(self, rows: Sequence[int], at: Sequence[float] | None = None) -> tuple[np.ndarray, list[Any]]:
        """Returns events [n, *event] and labels [n] of these rows. DataError names those that cannot be used.

        Images are cut at the places `at` [n], which `Frame.cut` explains; in the middle if there are none.
        """
        events, labels, bad = np.empty((len(rows), *self.shape), self._dtype), [None] * len(rows), {}
        places = [None] * len(rows) if at is None else at
        read = lambda place: self._reader.event(rows[place], self.shape, places[place])
        for place, decoded in enumerate(in_order(read, range(len(rows)), self.origin)):
            if isinstance(decoded, Bad):
                bad[place] = decoded
            else:
                events[place], labels[place] = decoded
        if not self._enlarged:
            self._enlarged = self._reader.enlarged(rows)
            if self._enlarged:
                say(self._enlarged)
        if bad:
            self._leave_out({rows[place]: why for place, why in bad.items()})
            stand_ins = self.read([(rows[place] + 1) % self._n for place in bad], at and [at[place] for place in bad])
            for place, event, label in zip(bad, *stand_ins, strict=True):
                events[place], labels[place] = event, label
        return events, labels

    def everything(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Returns all good events, their labels if all are integers, and each row's place (or its stand-in's) among them."""
        events, labels = self.read(range(self._n))
        good = np.array([i not in self.bad for i in range(self._n)])
        if self.bad:
            events, labels = events[good], [label for label, fine in zip(labels, good, strict=True) if fine]
        return events, integers(labels), (np.cumsum(good) - good) % good.sum()

    def _leave_out(self, bad: dict[int, Bad]) -> None:
        before = len(self.bad)
        self.bad |= bad
        first, n = [str(why) for why in self.bad.values()][:3], f"{len(self.bad)} of {self._n} examples of {self.origin}"
        if len(self.bad) > self.spare:
            limit = f", and data.on_bad = skip leaves out {self.spare} at most" if self.spare else ""
            raise DataError([f"{n} cannot be used{limit}:", *first, f"all are named by: {PROGRAM} data check --config=FILE"])
        if before < len(self.bad) and before < 3:
            say("\n".join([f"left out, as data.on_bad = skip says: {n}", *first]))


def decode(source: Any, config: Data, split: str, shape: tuple[int, ...] = ()) -> Decoded:
    """Returns a split's examples, decoded as a config's data section says."""
    return Decoded(source, config.levels, config.origin(split), shape, config.on_bad, Frame.of(config))


def integers(labels: Sequence[Any]) -> np.ndarray | None:
    """Returns the labels as an array if all are numbers of classes, else None."""
    return np.array(labels, int) if all(map(is_class, labels)) else None
