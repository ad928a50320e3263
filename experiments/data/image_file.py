"""An image file as pixels of 8 bits."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageFile, UnidentifiedImageError

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
BITS, PHOTOMETRIC, PLANES, SIGN = 258, 262, 284, 339
"""TIFF's tags BitsPerSample, PhotometricInterpretation, PlanarConfiguration and SampleFormat."""
OTHER_ORDER = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
"""Pillow's words for which of two bytes comes first, the high one, the low one or this machine's; and the other order."""
LARGEST = {"BGR;15": (31, 31, 31), "BGR;16": (31, 63, 31)}
"""The largest red, green and blue of two bytes, by Pillow's word for them: a BMP's."""


def read_pixels(path: Path) -> UInt8[np.ndarray, "H W C"]:
    """Returns a file's first frame, upright: grey [H, W, 1], or [H, W, 3], which palettes and CMYK become.

    A value v of n bits is round(255 v/(2^n - 1)). Alpha is dropped: a transparent pixel has the colour that is stored beneath.
    DataError if the file is no image, or its values have no known scale.
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
        _refuse(image)
        eight = _of_8_bits(image, path)
        turn = TURNS.get(_orientation(image))
        upright = eight.transpose(turn) if turn is not None else eight
        plain = upright.convert("LA") if upright.mode == "La" else upright
        return np.atleast_3d(np.asarray(plain.convert("L" if plain.mode in ("1", "L", "LA") else "RGB")))


def to_8_bits(v: Integer[np.ndarray, "*shape"], largest: int | tuple[int, ...] = 65535) -> UInt8[np.ndarray, "*shape"]:
    """Returns round(255 v/largest): of 16 bits round(v/257)."""
    return np.round(v * (255 / np.array(largest))).astype(np.uint8)


def kind(path: Path) -> str:
    """Returns a readable image's format and mode, and what is lost in reading it."""
    with Image.open(path) as image:
        bits = " of 16 bits" if _order(image) else ""
        alpha = ", alpha dropped" if image.has_transparency_data else ""
        return f"{image.format} {image.mode}{bits}{alpha}" + (", first frame" if _has_more_frames(image) else "")


def _refuse(image: ImageFile.ImageFile) -> None:
    """DataError if the image is too large, or if Pillow does not read its values as they are."""
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:  # Pillow only warns of it
        raise DataError(f"{image.width} x {image.height} pixels are more than Image.MAX_IMAGE_PIXELS")
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS, 8)
    if image.mode.startswith("I;16") and bits not in (8, 16, (16,)):
        raise DataError(f"pixels of {bits} bits have no known scale: convert the file to 8 or 16 bits")
    if image.mode in ("I", "F") or 2 in np.ravel(tags.get(SIGN, 1)):
        raise DataError("signed and 32-bit pixels have no known scale: convert the file to 8 or 16 bits")
    if 16 in np.ravel(bits)[1:] and (tags.get(PLANES) == 2 or _rawmode(image).startswith("RGBa")):
        raise DataError("Pillow cannot read 16 bits in separate planes, or times alpha: convert the file to 8 bits")


def _of_8_bits(image: ImageFile.ImageFile, path: Path) -> Image.Image:
    """The image, decoded. Of 16 bits of colour Pillow keeps the high byte, and in the other order of the bytes the low one."""
    rawmode, order = _rawmode(image), _order(image)
    image.load()
    if image.mode.startswith("I;16"):
        v = np.asarray(image)
        return Image.fromarray(to_8_bits(65535 - v if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0 else v))
    if rawmode == "LA;16B":  # of a PNG, for which Pillow has but this order: as four bytes, of grey and of alpha
        high, low, _, _ = np.moveaxis(_decoded_as("RGBA", path), -1, 0)
        return Image.fromarray(to_8_bits(256 * high.astype(int) + low))
    if order:
        low = _decoded_as(rawmode.removesuffix(order) + OTHER_ORDER[order], path)
        return Image.fromarray(to_8_bits(256 * np.asarray(image).astype(int) + low), image.mode)
    if rawmode in LARGEST:  # Pillow makes it 255 v/largest, rounded down
        v = -(-np.asarray(image).astype(int) * LARGEST[rawmode] // 255)
        return Image.fromarray(to_8_bits(v, LARGEST[rawmode]))
    return image


def _decoded_as(rawmode: str, path: Path) -> np.ndarray:
    """The values of an image whose file is taken to hold them as `rawmode` says."""
    with Image.open(path) as image:
        args = lambda args: (rawmode, *args[1:]) if isinstance(args, tuple) else rawmode
        image.tile = [tile._replace(args=args(tile.args)) for tile in image.tile]
        return np.asarray(image)


def _rawmode(image: ImageFile.ImageFile) -> str:
    """Pillow's word for how a file holds the values; nothing if the decoder goes by none."""
    args = image.tile[0].args if image.tile else None
    return str(args[0]) if isinstance(args, tuple) else args or ""


def _order(image: ImageFile.ImageFile) -> str:
    """The order of the bytes of 16-bit colour, or nothing of other images."""
    rawmode = _rawmode(image)
    return rawmode[-4:] if len(image.getbands()) > 1 and rawmode[-4:] in OTHER_ORDER else ""


def _has_more_frames(image: Image.Image) -> bool:
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # Pillow reads the second, which may be damaged
        return True


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(0x0112)
    except Exception:  # Pillow raises anything of bytes that are no EXIF; they turn nothing, as in browsers
        return None
