"""Samples as one picture, and a picture as the source of an <img>."""

from __future__ import annotations

import math
from base64 import b64encode
from io import BytesIO

import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.data.pictures import as_image, picture, tiled
from experiments.data.scaler import Scaler
from experiments.data.views import SIDE, View, tiles

WIDTH, GAP = 320, 6


def view_of(scaler: Scaler, shape: tuple[int, ...]) -> View:
    """The range that the pictures of a run have in common: floats x from -3 to 3, of points from -2 to 2, in their units.

    The noise that a process begins with and the data that it ends with are in it, as far as these are of unit variance.
    """
    side = SIDE if len(shape) == 1 else 3.0
    return View.of(scaler.display(np.stack([np.asarray(scaler.decode(jnp.full(shape, x))) for x in (-side, side)])))


def sheet(events: np.ndarray, columns: int = 0, side: int = WIDTH, view: View | None = None) -> Image.Image:
    """Events [n, *event] in rows of `columns` (0: a square), enlarged to about `side` across; points as a scatter plot."""
    if events.ndim == 2:
        return picture(events, view=view)
    columns, images = columns or math.ceil(math.sqrt(len(events))), tiles(events, view)
    times = max(1, side // (columns * max(images.shape[1:3])))
    return as_image(tiled(images.repeat(times, axis=1).repeat(times, axis=2), columns, GAP, 255))


def png(image: Image.Image) -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def source(image: Image.Image) -> str:
    """The image as an address that holds it."""
    return "data:image/png;base64," + b64encode(png(image)).decode()
