"""IDX, the format of MNIST and its kin: the sides of an array as numbers of four bytes, and then its bytes, all compressed.

LeCun et al. (1998), http://yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, cast

import numpy as np

from experiments.data.archives.contents import Contents, Example, Split, read_exactly, refuse_more, require_class
from experiments.data.archives.files import Files
from experiments.runtime.errors import DataError
from experiments.runtime.limits import fits

IMAGES, LABELS = (0x803, 3), (0x801, 1)
"""The first number of a file of bytes, and that of its array's axes."""


def read_idx(files: Files, prefixes: dict[str, str], classes: Sequence[str]) -> Contents:
    """Returns the splits whose files begin with these prefixes, "train" and "t10k" of MNIST, as published: .gz.

    A file that a browser has decompressed does as well.
    """
    shapes, splits = {}, {}
    for split, prefix in prefixes.items():
        shapes[split], splits[split] = _split(files, prefix, classes)
    if len(set(shapes.values())) > 1:
        raise DataError(f"{files.place} holds images of several shapes, {shapes}")
    return Contents(next(iter(shapes.values())), {"label": classes}, splits)


def _split(files: Files, prefix: str, classes: Sequence[str]) -> tuple[tuple[int, int, int], Split]:
    """The shape of an image, and a split."""
    images, labels = f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"
    with _open(files, images, *IMAGES) as (_, (n, height, width)):
        pass
    with _open(files, labels, *LABELS) as (stream, (n_labels,)):
        fits(n_labels, labels)
        ys = read_exactly(stream, n_labels, labels)
        refuse_more(stream, labels)
    if n != n_labels or not n * height * width:
        raise DataError(f"{files.place}: {images} has {n} images of {height} x {width}, and {labels} {n_labels} labels")

    def examples() -> Iterator[Example]:
        with _open(files, images, *IMAGES) as (stream, _):
            for y in ys:
                pixels = np.frombuffer(read_exactly(stream, height * width, images), np.uint8)
                yield {"image": pixels.reshape(height, width, 1), "label": require_class(y, classes, labels)}
            refuse_more(stream, images)

    return (height, width, 1), Split(n, examples())


@contextmanager
def _open(files: Files, name: str, kind: int, axes: int) -> Iterator[tuple[IO[bytes], tuple[int, ...]]]:
    """Yields the bytes of an array, and its sides."""
    plain = name.removesuffix(".gz")
    name = plain if plain in files and name not in files else name
    with files.open(name) as packed:
        stream = packed if name == plain else cast(IO[bytes], gzip.GzipFile(fileobj=packed))
        (first,) = struct.unpack(">I", read_exactly(stream, 4, name))
        if first != kind:
            raise DataError(f"{files.place}: {name} begins with {first:#x}, and bytes of {axes} axes with {kind:#x}")
        yield stream, struct.unpack(f">{axes}I", read_exactly(stream, 4 * axes, name))
