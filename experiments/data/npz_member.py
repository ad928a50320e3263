"""An array in an .npz file, as its header describes it: nothing of it is run, and no claim is believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple
from zipfile import ZipFile

import numpy as np

from experiments.runtime.errors import DataError


class Header(NamedTuple):
    """The `shape`, the `dtype` and the number of bytes of an array; `fortran`: its columns follow each other, not its rows."""

    shape: tuple[int, ...]
    dtype: np.dtype
    nbytes: int
    fortran: bool


@contextmanager
def npz_member(file: ZipFile, key: str, where: str) -> Iterator[tuple[IO[bytes], Header]]:
    """Yields the bytes of an array and its header. `where` names the array in errors.

    Raises DataError if it is a pickle, or if the file has another number of bytes than the header claims. KeyError if there is
    no such array, and whatever a damaged file raises.
    """
    member = file.getinfo(f"{key}.npy")
    with file.open(member) as stream:
        if (version := np.lib.format.read_magic(stream)) != (1, 0):  # later ones are for records, with headers of any length
            raise DataError(f"{where} is of version {version} of .npy: write it by numpy.savez")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        nbytes = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
        if dtype.hasobject:
            raise DataError(f"{where} is a pickle, which could run any program, and cannot be read; save numbers")
        if stream.tell() + nbytes != member.file_size:
            raise DataError(f"{where} {shape} of {dtype} takes {nbytes} bytes; the file has {member.file_size}")
        yield stream, Header(tuple(shape), dtype, nbytes, fortran)
