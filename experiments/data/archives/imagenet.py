"""ImageNet made smaller, as .npz without pickles: `data` [N, 3 S S], first all red, then green, then blue, and `labels` from 1.

Chrabaszcz et al. (2017), https://patrykchrabaszcz.github.io/Imagenet32. The version of pickles is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from zipfile import ZipFile

import numpy as np

from experiments.data.archives.contents import Contents, Example, Split, read_exactly, require_class
from experiments.data.archives.files import Files
from experiments.data.npz_member import npz_member
from experiments.runtime.errors import DataError, printable

BATCHES = {"train": [f"train_data_batch_{i}.npz" for i in range(1, 11)], "validation": ["val_data.npz"]}


def imagenet(files: Files, side: int) -> Contents:
    """Returns the splits train and validation at side x side, with WordNet's numbers as the names of the classes."""
    from tensorflow_datasets.core.utils.resource_utils import tfds_path  # seconds to import

    names = tfds_path("image_classification/imagenet_resized_labels.txt").read_text().split()
    splits = {split: _split(files, batches, side, names) for split, batches in BATCHES.items()}
    return Contents((side, side, 3), {"label": names}, splits)


def _split(files: Files, batches: list[str], side: int, classes: list[str]) -> Split:
    length, counts = 3 * side**2, {}
    for name in batches:
        with _batch(files, name) as arrays:
            with _array(arrays, "data") as (_, dtype, (n, *rest)):
                if dtype != np.uint8 or rest != [length]:
                    raise DataError(f"{files.place}: data of {name} must be bytes [N, {length}], not {dtype} {[n, *rest]}")
            with _array(arrays, "labels") as (_, dtype, shape):
                if dtype.kind not in "iu" or shape != (n,):
                    raise DataError(f"{files.place}: labels of {name} must be integers [{n}], not {dtype} {shape}")
        counts[name] = n

    def examples() -> Iterator[Example]:
        for name, n in counts.items():
            with _batch(files, name) as arrays:
                with _array(arrays, "labels") as (stream, dtype, _):
                    labels = np.frombuffer(read_exactly(stream, n * dtype.itemsize, name), dtype)
                with _array(arrays, "data") as (stream, _, _):
                    for y in labels.tolist():
                        pixels = np.frombuffer(read_exactly(stream, length, name), np.uint8).reshape(3, side, side)
                        yield {"image": pixels.transpose(1, 2, 0), "label": require_class(y - 1, classes, name)}

    return Split(sum(counts.values()), examples())


@contextmanager
def _batch(files: Files, name: str) -> Iterator[ZipFile]:
    with files.open(name) as packed, ZipFile(packed) as arrays:
        yield arrays


@contextmanager
def _array(arrays: ZipFile, key: str) -> Iterator[tuple[IO[bytes], np.dtype, tuple[int, ...]]]:
    """Yields the bytes of an array of an .npz file, in the order of C, its dtype and its shape.

    DataError if the file has none, or a pickle in its place, or another number of bytes than the shape says.
    """
    where = f"{arrays.filename or 'the .npz file'}: {key}"
    if f"{key}.npy" not in arrays.namelist():
        raise DataError(f"{where} is not there, but {printable(', '.join(arrays.namelist()))[:200] or 'nothing'}")
    with npz_member(arrays, key, where) as (stream, header):
        if header.fortran or not header.shape:
            raise DataError(f"{where} {header.shape} does not lie in rows")
        yield stream, header.dtype, header.shape
