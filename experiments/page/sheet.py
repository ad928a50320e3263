"""Samples as one picture, and a picture as what an <img> shows."""

from __future__ import annotations

import math
from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from experiments.plots import picture

SIDE = 296
"""Pixels that a sheet is enlarged to, or just below."""


def columns(n: int) -> int:
    """Of n images in a square."""
    return math.ceil(math.sqrt(n))


def sheet(events: np.ndarray, side: int = SIDE) -> Image.Image:
    """Images [n, H, W, C] of 0..255 in a square, enlarged as far as `side` allows, a grey line between; points as a scatter."""
    if events.ndim == 2:
        return picture(events)
    times = max(1, side // (columns(len(events)) * max(events.shape[1:3])))
    return picture(events.repeat(times, axis=1).repeat(times, axis=2), columns(len(events)), scale=1)


def png(image: Image.Image) -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def source(image: Image.Image) -> str:
    """The image as an address that holds it."""
    return "data:image/png;base64," + b64encode(png(image)).decode()
