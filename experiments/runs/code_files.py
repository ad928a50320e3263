"""A folder of codes, in the form of the source `npy`.

    train.npy [n, v, *q] float32      the posteriors of v views of each example: as it is, and mirrored if data.flip says so
    train.label.npy [n]               the labels, if all examples have one
    codes.json                        the facts that the codes are of, and how many rows are written

A row counts as written when codes.json says so, after it is on the disk: whatever ends the process, the next one goes on there.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.data.array_files import npy_split
from experiments.data.dataset import Batch, ExampleStream
from experiments.data.decoded import Decoded
from experiments.runtime.files import write_json


class Codes(NamedTuple):
    """The codes in a `folder` of these `facts`, of which "shape" is that of all rows."""

    folder: Path
    facts: dict[str, Any]

    @property
    def _codes(self) -> Path:
        return self.folder / "train.npy"

    @property
    def _labels(self) -> Path:
        return self.folder / "train.label.npy"

    @property
    def _words(self) -> Path:
        return self.folder / "codes.json"

    @property
    def _written(self) -> tuple[int, bool]:
        """The number of rows that are on disk for these facts, and whether all of them have labels; (0, True) if none is."""
        try:
            words = dict(json.loads(self._words.read_bytes()))
        except (OSError, ValueError, TypeError):
            return 0, True
        rows, labelled = words.pop("rows", 0), words.pop("labelled", True)
        return (rows, labelled) if words == self.facts else (0, True)

    @property
    def rows(self) -> int:
        """The number of rows that are on disk for these facts."""
        return self._written[0]

    @property
    def whole(self) -> bool:
        """True if every row is."""
        return self.rows == self.facts["shape"][0]

    def begin(self) -> None:
        """Makes files for all rows, of which none is written."""
        self.folder.mkdir(exist_ok=True)
        np.lib.format.open_memmap(self._codes, "w+", np.float32, tuple(self.facts["shape"]))
        np.lib.format.open_memmap(self._labels, "w+", np.int64, (self.facts["shape"][0],))

    def write(self, batch: Batch) -> None:
        """Writes the next rows, and their labels if there are any."""
        first, labelled = self._written
        _put(self._codes, first, batch.levels)
        if batch.y is not None:
            _put(self._labels, first, batch.y)
        words = {"rows": first + len(batch.levels), "labelled": labelled and batch.y is not None}
        write_json(self._words, self.facts | words)

    def move(self, folder: Path) -> None:
        """Gives the folder its own name, now that it is whole."""
        if not self._written[1]:
            self._labels.unlink()
        self.folder.rename(folder)

    def stream(self, seed: int, resident_mib: int) -> ExampleStream:
        """Returns the codes as a stream of examples, in the order of a seed."""
        return _stream(self._codes, resident_mib).by(seed)


@lru_cache(maxsize=1)
def _stream(path: Path, resident_mib: int) -> ExampleStream:
    """The codes of a file in the order of the seed 0. Runs of several seeds share them in memory."""
    rows, _ = npy_split(path, levels=0)
    return ExampleStream(Decoded(rows, 0, f"the codes in {path.parent}"), 0, resident_mib)


def _put(path: Path, first: int, rows: np.ndarray) -> None:
    """Writes rows of an .npy file from the one numbered `first` on. Into a mapped file a full disk would end the process."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    with path.open("r+b") as file:
        file.seek(array.offset + first * array[0].nbytes)
        file.write(np.ascontiguousarray(rows, array.dtype).tobytes())
        os.fsync(file.fileno())
