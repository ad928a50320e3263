"""Arrays larger than memory: a function or a file has their rows, and a block of them is read at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol
from zipfile import ZipFile

import numpy as np
from jaxtyping import Int

BLOCK = 2**24
"""The bytes of a block whose numbers are float64."""


class LazyArray(Protocol):
    """Rows [n, ...] that are read when a slice or their numbers ask for them. A NumPy array is one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


@dataclass(frozen=True)
class FunctionArray:
    """The array of this `shape` [n, ...] whose rows of the numbers i are `read(i)`."""

    shape: tuple[int, ...]
    read: Callable[[Int[np.ndarray, " k"]], np.ndarray]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        return self.read(np.arange(len(self))[rows])


class FileArray:
    """Rows that were appended to a file without a name in `folder`, all of one shape and dtype.

    The disk has its room again when the array is gone, or its process. The file is mapped only while rows are read, so that
    none of it counts as memory of the process.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 it is open as long as the array is there
        self.shape, self.dtype = (0,), np.dtype(float)

    def append(self, rows: np.ndarray) -> None:
        """Writes rows [k, ...] after those that are there. OSError if the disk is full."""
        self._file.write(np.ascontiguousarray(rows).data)
        self.shape, self.dtype = (len(self) + len(rows), *rows.shape[1:]), rows.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        self._file.flush()
        mapped = np.asarray(np.memmap(self._file, self.dtype, "r", shape=self.shape))
        return np.require(mapped[rows], requirements=["OWNDATA"])


def block_size(shape: tuple[int, ...]) -> int:
    """Returns the number of rows of this shape that a block has: as many as are `BLOCK` bytes in float64, or one."""
    return max(1, BLOCK // (8 * prod(shape)))


def blocks(array: LazyArray, numbers: Int[np.ndarray, " k"] | None = None, size: int = 0) -> Iterator[np.ndarray]:
    """Yields all rows of an array, or those of these numbers, `size` at a time, or as many as a block has."""
    size = size or block_size(array.shape[1:])
    for start in range(0, len(array) if numbers is None else len(numbers), size):
        yield array[start : start + size] if numbers is None else array[numbers[start : start + size]]


def save_npz(path: Path, arrays: Mapping[str, np.ndarray | FileArray]) -> None:
    """Writes the file that `np.savez` would write of these arrays, to the byte, with a block of them in memory."""
    with ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for rows in blocks(array):
                    member.write(rows.tobytes())
