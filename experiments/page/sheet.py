"""Samples as one picture, and a picture as the source of an <img>."""

from __future__ import annotations

import math
from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from experiments.data.pictures import as_image, picture, tiled

SIDE, GAP = 320, 6


def sheet(events: np.ndarray, columns: int = 0, side: int = SIDE) -> Image.Image:
    """Images [n, H, W, C] in rows of `columns` (0: a square), enlarged to about `side` across; points as a scatter plot."""
    if events.ndim == 2:
        return picture(events)
    columns = columns or math.ceil(math.sqrt(len(events)))
    times = max(1, side // (columns * max(events.shape[1:3])))
    return as_image(tiled(events.repeat(times, axis=1).repeat(times, axis=2), columns, GAP, 255))


def png(image: Image.Image) -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def source(image: Image.Image) -> str:
    """The image as an address that holds it."""
    return "data:image/png;base64," + b64encode(png(image)).decode()
