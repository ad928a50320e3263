"""CIFAR's binary version: records of the labels of an image and its 32 x 32 pixels, first all red, then green, then blue.

Krizhevsky (2009), https://www.cs.toronto.edu/~kriz/cifar.html. The version for Python is of pickles, which could run any
program, and is not read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.data.archives.contents import Contents, Example, Split, read_exactly, require_class
from experiments.data.archives.files import Files
from experiments.runtime.errors import DataError

SIDE = 32
PIXELS = 3 * SIDE**2


def cifar10(files: Files) -> Contents:
    """Returns CIFAR-10: five batches and one to test on."""
    batches = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    return _read(files, batches, {"label": "batches.meta.txt"})


def cifar100(files: Files) -> Contents:
    """Returns CIFAR-100, whose `label` is the fine one of a hundred."""
    labels = {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"}
    return _read(files, {"train": ["train.bin"], "test": ["test.bin"]}, labels)


def _read(files: Files, batches: dict[str, list[str]], labels: dict[str, str]) -> Contents:
    """`labels`: in the order of a record's bytes, each with the file of its names."""
    classes = {label: _names(files, name) for label, name in labels.items()}
    splits = {split: _split(files, names, classes) for split, names in batches.items()}
    return Contents((SIDE, SIDE, 3), classes, splits)


def _names(files: Files, name: str) -> list[str]:
    with files.open(name) as stream:
        names = stream.read(2**16).decode("ascii", "replace").split()
    if not names or len(set(names)) < len(names):
        raise DataError(f"{files.place}: {name} must hold the names of the classes, each another")
    return names


def _split(files: Files, names: list[str], classes: dict[str, list[str]]) -> Split:
    length = len(classes) + PIXELS
    counts = {name: divmod(files.member(name).size, length) for name in names}
    for name, (n, rest) in counts.items():
        if rest or not n:
            raise DataError(f"{files.place}: {name} has {n * length + rest} bytes, not records of {length}")

    def examples() -> Iterator[Example]:
        for name, (n, _) in counts.items():
            with files.open(name) as stream:
                for _ in range(n):
                    yield _example(read_exactly(stream, length, name), classes, name)

    return Split(sum(n for n, _ in counts.values()), examples())


def _example(record: bytes, classes: dict[str, list[str]], name: str) -> Example:
    numbers = {label: require_class(record[i], names, name) for i, (label, names) in enumerate(classes.items())}
    pixels = np.frombuffer(record, np.uint8, offset=len(classes)).reshape(3, SIDE, SIDE)
    return {"image": pixels.transpose(1, 2, 0), **numbers}
