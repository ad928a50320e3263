"""A source's examples one by one, as events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.data.examples import Bad, Stored, read_example, to_event
from experiments.data.framing import Frame
from experiments.runtime.errors import DataError, printable


class Reader:
    """Reads the examples of a source as events, and images as the `frame` says, if there is one.

    `origin` names the source in errors. Several threads may read at once.
    """

    def __init__(self, source: Any, levels: int, origin: str, frame: Frame | None = None):
        self._source, self._levels, self._origin, self._frame = source, levels, origin, frame
        self._small = set[int]()
        self._kept, self._room = dict[int, Stored](), 0

    def keep(self, room: int) -> None:
        """Has images stay in memory once they are read, scaled and not yet cut, as long as they fit `room` bytes."""
        self._room = room

    def event(self, i: int, shape: tuple[int, ...] = (), at: float | None = None) -> tuple[np.ndarray, Any] | Bad:
        """Returns (event, label or None) of example `i`, or `Bad`: also if its shape is not `shape`, if that is given.

        An image is cut at the place that `Frame.cut` calls `at`.
        """
        example = self._kept.get(i) or self._scaled(i)
        if isinstance(example, Bad):
            return example
        image = example if self._frame is None else example._replace(values=self._frame.cut(example.values, at))
        return to_event(image, self._levels, shape)

    def enlarged(self, rows: Sequence[int]) -> str:
        """Says how many images at these rows, all of which were read, were made larger; nothing if none was."""
        n = len(self._small.intersection(rows))
        if not n or self._frame is None:
            return ""
        return f"{printable(self._origin)}: {n} of {len(rows)} images are smaller than {self._frame.sides}, and enlarged"

    def _scaled(self, i: int) -> Stored | Bad:
        """Example `i`, decoded, as an image that covers the frame."""
        example = read_example(self._source, i, self._origin, self._levels)
        if self._frame is None or isinstance(example, Bad):
            return example
        if example.values.ndim != 3:
            why = f"its shape is {example.values.shape}, and data.size is for images [H, W, C]: leave it out"
            return Bad(example.name, why)
        if self._frame.enlarges(*example.values.shape[:2]):
            self._small.add(i)
        try:
            example = example._replace(values=self._frame.cover(example.values))
        except DataError as error:
            return Bad(example.name, str(error))
        if example.values.nbytes <= self._room:  # threads at once may take one image more, which does no harm
            self._room -= example.values.nbytes
            self._kept[i] = example
        return example
