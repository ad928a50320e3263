"""One example of a source as an event, or the reason why it cannot be one."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from experiments.runtime.errors import DataError, printable

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientations, with the operation that turns each upright."""


class Bad(NamedTuple):
    """An example that cannot be used: its file, or its number and source, and the reason."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def example(source: Any, i: int, origin: str, levels: int, shape: tuple[int, ...] = ()) -> tuple[np.ndarray, Any] | Bad:
    """Returns (event, label or None) of example `i`, or `Bad`: also if its shape is not `shape`, if that is given.

    Errors call the source `origin`.
    """
    name = f"example {i} of {origin}"
    try:
        item = source[i]  # TFDS decodes here
        if not isinstance(item, Mapping):
            raise DataError(f"it is a {type(item).__name__}, not a dictionary of `image` and perhaps `label`")
        if "image" not in item:
            raise DataError(f"it has no `image` but {', '.join(item)}")
        image = item["image"]
        name = printable(image) if isinstance(image, Path) else name
        event = _levels(levels)[_pixels(image)] if levels else _point(image)
    except DataError as error:
        return Bad(name, str(error))
    except Exception as error:  # decoders of damaged files raise anything, and name neither file nor index
        why = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        return Bad(name, printable(f"{type(error).__name__}: {why}"))
    if shape and event.shape != shape:
        return Bad(name, f"its shape is {event.shape}, the others' {shape}: resize them to one shape")
    return event, item.get("label")


def kind(path: Path) -> str:
    """Returns a readable image's format and mode, and what is lost in reading it."""
    with Image.open(path) as image:
        alpha = ", alpha dropped" if image.has_transparency_data else ""
        return f"{image.format} {image.mode}{alpha}" + (", first frame" if getattr(image, "is_animated", False) else "")


@cache
def _levels(levels: int) -> np.ndarray:
    """Returns the level of each of a pixel's 256 values: round(p (levels - 1) / 255)."""
    return np.round(np.arange(256) * ((levels - 1) / 255)).astype(np.uint8)


def _point(x: Any) -> np.ndarray:
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        raise DataError("data.levels = 0 is for points in the plane; an image has 256")
    if not np.isfinite(x).all():
        raise DataError("a coordinate is not finite")
    return x


def _pixels(image: Any) -> np.ndarray:
    """Returns uint8 [H, W, C] of a file or an array; 16 bits are scaled to 8, not clipped."""
    pixels = _opened(image) if isinstance(image, Path) else np.asarray(image)
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels * (255 / 65535)).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise DataError(
            f"an image is uint8 or uint16 [H, W, C], not {pixels.dtype} {pixels.shape}; points have data.levels = 0"
        )
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _opened(path: Path) -> np.ndarray:
    """Returns [H, W] or [H, W, 3], upright, of a file's first frame. Palette and CMYK are converted.

    Alpha is dropped: a transparent pixel has the colour that is stored beneath.
    """
    if path.is_symlink() and not path.exists():
        raise DataError(f"it links to {printable(os.readlink(path))}, which is not there")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a named pipe would be waited for
        raise DataError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is a pipe or a device, not a file")
    try:
        image = Image.open(path)
    except UnidentifiedImageError as error:
        raise DataError("Pillow cannot identify it as an image" + ("" if status.st_size else ": it is empty")) from error
    with image:
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:  # Pillow only warns of it
            raise DataError(f"{image.width} x {image.height} pixels are more than Image.MAX_IMAGE_PIXELS")
        bits = getattr(image, "tag_v2", {}).get(258, 8)  # TIFF's BitsPerSample
        if image.mode.startswith("I;16") and bits not in (8, 16, (16,)):
            raise DataError(f"pixels of {bits} bits have no known scale: convert the file to 8 or 16 bits")
        if image.mode in ("I", "F"):
            raise DataError("32-bit pixels have no known scale: convert the file to 8 or 16 bits")
        image.load()  # before EXIF: Pillow complains of damage only the first time that it reads it
        turn = TURNS.get(_orientation(image))
        upright = image.transpose(turn) if turn is not None else image
        if upright.mode.startswith("I;16"):
            return np.asarray(upright).astype(np.uint16)
        return np.asarray(upright.convert("L" if upright.mode in ("1", "L", "LA") else "RGB"))


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(0x0112)
    except Exception:  # Pillow raises anything of bytes that are no EXIF; they turn nothing, as in browsers
        return None
