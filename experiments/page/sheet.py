"""Samples as one picture, and a picture as what an <img> shows."""

from __future__ import annotations

import math
from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from experiments.plots import picture

SIDE, GAP = 320, 6


def columns(n: int) -> int:
    """Of n images in a square."""
    return math.ceil(math.sqrt(n))


def sheet(events: np.ndarray, across: int = 0, side: int = SIDE) -> Image.Image:
    """Images [n, H, W, C] of 0..255 in rows of `across` (0: a square), enlarged to about `side` across; points as a scatter."""
    if events.ndim == 2:
        return picture(events)
    across = across or columns(len(events))
    times = max(1, side // (across * max(events.shape[1:3])))
    enlarged = events.repeat(times, axis=1).repeat(times, axis=2)
    n, height, width, channels = enlarged.shape
    whole = np.full((-(-n // across) * (height + GAP) - GAP, across * (width + GAP) - GAP, channels), 255, np.uint8)
    for i, image in enumerate(enlarged):
        top, left = i // across * (height + GAP), i % across * (width + GAP)
        whole[top : top + height, left : left + width] = image
    return Image.fromarray(whole[..., 0] if channels == 1 else whole)


def png(image: Image.Image) -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def source(image: Image.Image) -> str:
    """The image as an address that holds it."""
    return "data:image/png;base64," + b64encode(png(image)).decode()
