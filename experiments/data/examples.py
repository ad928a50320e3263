"""One example of a source as an event, or the reason why it cannot be one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.data.image_file import read_pixels, to_8_bits
from experiments.runtime.errors import DataError, printable

EVENT = ("image", "x")
"""The keys that the event of an example may have."""


class Bad(NamedTuple):
    """An example that cannot be used: its file, or its number and source, and the reason."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


class Stored(NamedTuple):
    """An example as it is stored: its `name` for errors, its `values`, pixels of 8 bits or floats, and its label or None."""

    name: str
    values: np.ndarray
    label: Any


def read_example(source: Any, i: int, origin: str, levels: int) -> Stored | Bad:
    """Returns example `i` of a source, decoded, or `Bad`. Errors call the source `origin`; `levels` are 0 of floats."""
    name = f"example {i} of {origin}"
    try:
        item = source[i]  # TFDS decodes here
        if not isinstance(item, Mapping):
            raise DataError(f"it is a {type(item).__name__}, not a dictionary of `image` and perhaps `label`")
        content = event_in(item)
        name = printable(content) if isinstance(content, Path) else name
        values = _pixels(content) if levels else _floats(content)
    except DataError as error:
        return Bad(name, str(error))
    except Exception as error:  # decoders of damaged files raise anything, and name neither file nor index
        why = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        return Bad(name, printable(f"{type(error).__name__}: {why}"))
    return Stored(name, values, item.get("label"))


def to_event(example: Stored, levels: int, shape: tuple[int, ...] = ()) -> tuple[np.ndarray, Any] | Bad:
    """Returns (event, label or None), the event in grey `levels`; or `Bad` if its shape is not `shape`, if that is given."""
    event = _levels(levels)[example.values] if levels else example.values
    if shape and event.shape != shape:
        resize = "resize them to one shape" + (", as data.size does" if levels and event.ndim == 3 else "")
        remedy = "convert them to one number of channels" if event.shape[:-1] == shape[:-1] else resize
        return Bad(example.name, f"its shape is {event.shape}, the others' {shape}: {remedy}")
    return event, example.label


def example(source: Any, i: int, origin: str, levels: int, shape: tuple[int, ...] = ()) -> tuple[np.ndarray, Any] | Bad:
    """Returns (event, label or None) of example `i` in its own size, or `Bad`, as `read_example` and `to_event` do."""
    one = read_example(source, i, origin, levels)
    return one if isinstance(one, Bad) else to_event(one, levels, shape)


def event_in(item: Mapping[str, Any]) -> Any:
    """Returns the array or the file that an example has under a key of `EVENT`. DataError if it has none."""
    key = next((key for key in EVENT if key in item), None)
    if key is None:
        raise DataError(f"it has no `image` and no `x` but {', '.join(item)}")
    return item[key]


def is_class(label: Any) -> bool:
    """Returns whether a label is the number of a class: an integer of at most 64 bits."""
    return isinstance(label, int | np.integer) and -(2**63) <= int(label) < 2**63


@cache
def _levels(levels: int) -> np.ndarray:
    """Returns the level of each of a pixel's 256 values: round(p (levels - 1) / 255)."""
    return np.round(np.arange(256) * ((levels - 1) / 255)).astype(np.uint8)


def _floats(x: Any) -> np.ndarray:
    """The floats of an array, as a copy: float32, or float64 of longer ones, as JAX has no others."""
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or not x.ndim or not x.size:
        what = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise DataError(f"data.levels = 0 is for floats of one axis or more, not {what}; an image has 256")
    if not (np.abs(x) <= np.finfo(np.float32).max).all():
        raise DataError(f"a {'coordinate' if x.ndim == 1 else 'number'} is not finite, as float32")
    return x.astype(np.float64 if x.dtype.itemsize > 4 else np.float32)


def _pixels(image: Any) -> np.ndarray:
    """Returns uint8 [H, W, C] of a file, or uint8 of an array of any shape; 16 bits are scaled to 8, not clipped."""
    if isinstance(image, Path):
        return read_pixels(image)
    pixels = np.asarray(image)
    if pixels.dtype not in (np.uint8, np.uint16) or not pixels.ndim or not pixels.size:
        raise DataError(
            f"an image is uint8 or uint16 [H, W, C], not {pixels.dtype} {pixels.shape}; floats have data.levels = 0"
        )
    eight = to_8_bits(pixels) if pixels.dtype == np.uint16 else pixels
    return eight[..., None] if eight.ndim == 2 else eight
