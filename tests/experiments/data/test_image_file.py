"""Pixels of files against closed forms: every value of 16 bits, every mode that Pillow opens, every orientation."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from experiments.data.image_file import kind, read_pixels
from experiments.runtime.errors import DataError

V = np.arange(65536, dtype=np.uint16).reshape(256, 256)
DEEP = np.stack([V, V[::-1, ::-1], V * np.uint16(7919), V.T], axis=-1)
"""All 65,536 values in each of four channels [256, 256, 4]."""
FIVE = V[:128]
SMALL = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)


def nearest(v):
    """round(v/257), in integers."""
    return ((v.astype(int) + 128) // 257).astype(np.uint8)


def fraction(v, largest):
    """round(255 v/largest)."""
    return (510 * v.astype(int) + largest) // (2 * largest)


def of_cmyk(cmyk):
    """(255 - C)(255 - K)/255, rounded."""
    light = 255 - cmyk.astype(int)
    return (light[..., :3] * light[..., 3:] * 2 + 255) // 510


def png(v, colours, interlaced=False):
    """A PNG of 16 bits [H, W, C]. Each row is the difference from the pixel before, or the seven passes are as they are."""
    height, width, channels = v.shape
    head = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, interlaced)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [v[top::down, left::right] for top, left, down, right in passes] if interlaced else [v]
    rows = b""
    for part in parts:
        for row in part.astype(">u2"):
            values = np.frombuffer(row.tobytes(), np.uint8)
            before = np.concatenate([np.zeros(2 * channels, np.uint8), values[: -2 * channels]])
            rows += bytes([0]) + values.tobytes() if interlaced else bytes([1]) + (values - before).tobytes()
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(v, meaning, *, extra=(), order="<", compressed=False, planes=False, orientation=1, signed=False):
    """A TIFF of one strip, or of one for each plane. `meaning`: its PhotometricInterpretation."""
    height, width, channels = v.shape
    stored = v.astype(v.dtype.newbyteorder(order))
    strips = [np.ascontiguousarray(plane).tobytes() for plane in (np.moveaxis(stored, -1, 0) if planes else [stored])]
    strips = [zlib.compress(strip) if compressed else strip for strip in strips]
    starts = 4096 + np.cumsum([0, *map(len, strips)])
    tags = {
        256: [width], 257: [height], 258: [8 * v.dtype.itemsize] * channels, 259: [8 if compressed else 1], 262: [meaning],
        273: starts[:-1], 274: [orientation], 277: [channels], 278: [height], 279: [len(strip) for strip in strips],
        284: [2 if planes else 1], 338: extra, 339: [2 if signed else 1] * channels,
    }  # fmt: skip
    tags = {tag: values for tag, values in tags.items() if len(values)}
    place, entries, lists = 8 + 2 + 12 * len(tags) + 4, b"", b""
    for tag, values in tags.items():
        code = "I" if tag in (273, 279) else "H"
        content = struct.pack(f"{order}{len(values)}{code}", *map(int, values))
        entries += struct.pack(f"{order}HHI", tag, 4 if code == "I" else 3, len(values))
        if len(content) > 4:
            entries += struct.pack(f"{order}I", place + len(lists))
            lists += content
        else:
            entries += content.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return (head + entries + bytes(4) + lists).ljust(4096, b"\0") + b"".join(strips)


def bmp(v, *masks):
    """A BMP of 16 bits [H, W], of which the masks are red, green and blue."""
    height, width = v.shape
    pixels = v[::-1].astype("<u2").tobytes()
    head = struct.pack("<IiiHHIIiiII3I", 40, width, height, 1, 16, 3, len(pixels), 0, 0, 0, 0, *masks)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels


def saved(image, format, **options):
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


RGB, RGBA, GREY, CMYK = DEEP[..., :3], DEEP, DEEP[..., :1], DEEP
LOOKS = {
    "png grey": (png(GREY, 0), nearest(GREY)),
    "png grey alpha": (png(DEEP[..., :2], 4), nearest(GREY)),
    "png grey alpha interlaced": (png(DEEP[..., :2], 4, interlaced=True), nearest(GREY)),
    "png rgb": (png(RGB, 2), nearest(RGB)),
    "png rgb interlaced": (png(RGB, 2, interlaced=True), nearest(RGB)),
    "png rgb alpha": (png(RGBA, 6), nearest(RGB)),
    **{f"tiff {'le' if order == '<' else 'be'} {'zip' if compressed else 'raw'} {name}": (
        tiff(v, meaning, extra=extra, order=order, compressed=compressed), expected
    ) for order in "<>" for compressed in (False, True) for name, v, meaning, extra, expected in (
        ("grey", GREY, 1, (), nearest(GREY)), ("rgb", RGB, 2, (), nearest(RGB)), ("rgb alpha", RGBA, 2, (2,), nearest(RGB)),
        ("rgb and more", RGBA, 2, (0,), nearest(RGB)), ("cmyk", CMYK, 5, (), of_cmyk(nearest(CMYK))),
    )},
    "white is zero, raw": (tiff(GREY, 0), nearest(65535 - GREY)),
    "white is zero, zip": (tiff(GREY, 0, compressed=True), nearest(65535 - GREY)),
}  # fmt: skip
EIGHT = {
    "1": (saved(Image.fromarray(SMALL[..., 0] > 100), "TIFF"), np.where(SMALL[..., :1] > 100, 255, 0)),
    "L": (tiff(SMALL[..., :1], 1), SMALL[..., :1]),
    "L, white is zero": (tiff(SMALL[..., :1], 0), 255 - SMALL[..., :1]),
    "LA": (tiff(SMALL[..., :2], 1, extra=(2,)), SMALL[..., :1]),
    "P": (saved(Image.fromarray(SMALL[..., :3]).quantize(35), "PNG"), SMALL[..., :3]),
    "RGB": (tiff(SMALL[..., :3], 2), SMALL[..., :3]),
    "RGB, planes": (tiff(SMALL[..., :3], 2, planes=True), SMALL[..., :3]),
    "RGBX": (tiff(SMALL, 2, extra=(0,)), SMALL[..., :3]),
    "RGBA": (tiff(SMALL, 2, extra=(2,)), SMALL[..., :3]),
    "CMYK": (tiff(SMALL, 5), of_cmyk(SMALL)),
    "La": (tiff(np.dstack([SMALL[..., 0], np.full((5, 7), 255, np.uint8)]), 1, extra=(1,)), SMALL[..., :1]),
    "5 bits": (bmp(FIVE, 31 << 10, 31 << 5, 31), np.stack([fraction(FIVE >> n & 31, 31) for n in (10, 5, 0)], -1)),
    "6 bits": (bmp(V, 31 << 11, 63 << 5, 31), np.stack([fraction(V >> n & m, m) for n, m in ((11, 31), (5, 63), (0, 31))], -1)),
}
REFUSED = {
    "planes of 16 bits, raw": (tiff(RGB, 2, planes=True), "separate planes"),
    "planes of 16 bits, zip": (tiff(RGB, 2, planes=True, compressed=True), "separate planes"),
    "16 bits times alpha": (tiff(RGBA, 2, extra=(1,)), "times alpha"),
    "signed 8": (tiff(SMALL[..., :1], 1, signed=True), "signed"),
    "signed 16": (tiff(GREY, 1, signed=True), "signed"),
    "32": (tiff(GREY.astype(np.uint32), 1), "32-bit"),
}


@pytest.fixture
def file(tmp_path):
    """write(content) -> the path of a file of it."""

    def write(content):
        (tmp_path / "image").write_bytes(content)
        return tmp_path / "image"

    return write


@pytest.mark.parametrize("name", [*LOOKS, *EIGHT])
def test_every_value_of_every_mode_has_its_nearest_of_8_bits(file, name):
    content, expected = (LOOKS | EIGHT)[name]
    np.testing.assert_array_equal(read_pixels(file(content)), expected)


def test_cielab_is_the_srgb_of_its_light(file):
    """Greys: of L* its luminance, of that sRGB's value, to the 8 bits of L*."""
    lightness = np.arange(256) / 2.55
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * 27 / 24389)
    srgb = 255 * np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    ramp = np.pad(np.arange(256, dtype=np.uint8)[None, :, None], [(0, 0), (0, 0), (0, 2)])
    np.testing.assert_allclose(read_pixels(file(tiff(ramp, 8)))[0], srgb[:, None].repeat(3, 1), atol=2)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_one_reading_is_refused_by_its_name(file, name):
    content, words = REFUSED[name]
    with pytest.raises(DataError, match=words):
        read_pixels(file(content))


UPRIGHT = {
    1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1], 5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1), 7: lambda x: x[::-1, ::-1].swapaxes(0, 1), 8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "zip"])
def test_a_tiff_is_turned_once(file, orientation, compressed):
    """Pillow turns it itself; the low bytes of 16 bits with the high ones."""
    upright = UPRIGHT[orientation]
    for v, expected in ((SMALL[..., :3], SMALL[..., :3]), (RGB[:9, :5], nearest(RGB[:9, :5]))):
        path = file(tiff(v, 2, orientation=orientation, compressed=compressed))
        np.testing.assert_array_equal(read_pixels(path), upright(expected))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_other_formats_are_turned_by_exif(file, format):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(Image.fromarray(SMALL[..., :3]), format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))
    np.testing.assert_array_equal(read_pixels(file(content)), np.rot90(SMALL[..., :3], -1))


def test_the_check_names_what_is_rounded_and_dropped(file):
    for name, words in {
        "png rgb": "PNG RGB of 16 bits", "png rgb alpha": "PNG RGBA of 16 bits, alpha dropped", "png grey": "PNG I;16",
        "tiff le raw rgb": "TIFF RGB of 16 bits", "tiff be zip cmyk": "TIFF CMYK of 16 bits",
    }.items():  # fmt: skip
        assert kind(file(LOOKS[name][0])) == words
    assert kind(file(EIGHT["RGB"][0])) == "TIFF RGB"
