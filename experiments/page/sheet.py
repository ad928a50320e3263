"""Samples as one picture, and a picture as what an <img> shows."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

from PIL import Image

SIDE, GAP = 320, 6


def png(image: Image.Image) -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def source(image: Image.Image) -> str:
    """The image as an address that holds it."""
    return "data:image/png;base64," + b64encode(png(image)).decode()
