"""The contents of an archive, whatever its format: what a format's reader returns, and what is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from experiments.runtime.errors import DataError

Example = dict[str, Any]
"""`image`, uint8 [H, W, C], and a number for each label."""


class Split(NamedTuple):
    """The number of examples of a split, and the examples, each of which is read when the iterator comes to it."""

    n: int
    examples: Iterator[Example]


class Contents(NamedTuple):
    """The splits of an archive by their names, the `shape` [H, W, C] of an image, and the names of each label's classes."""

    shape: tuple[int, int, int]
    classes: Mapping[str, Sequence[str]]
    splits: Mapping[str, Split]


def read_exactly(stream: IO[bytes], n: int, name: str) -> bytes:
    """Returns the next n bytes of the file of this name. DataError if it ends before."""
    content = stream.read(n)
    if len(content) < n:
        raise DataError(f"{name} ends in the middle, {n - len(content)} bytes too soon: it was cut short")
    return content


def refuse_more(stream: IO[bytes], name: str) -> None:
    """DataError if the file goes on after its last example. Of a compressed one this reads, and so checks, the end."""
    if stream.read(1):
        raise DataError(f"{name} goes on after its last example")


def require_class(label: int, classes: Sequence[str], name: str) -> int:
    """Returns the label. DataError if it is the number of no class."""
    if not 0 <= label < len(classes):
        raise DataError(f"{name} has a label {label}, and the classes are 0 to {len(classes) - 1}")
    return label
