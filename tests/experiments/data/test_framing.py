"""Resizing against closed forms, plain means of pixels and ADM's own loop; cuts against slices."""

import numpy as np
import pytest
from PIL import Image

from experiments.config.schema import Data
from experiments.data.framing import CROPS, Frame
from experiments.runtime.errors import DataError

RNG = np.random.default_rng(0)


def noise(height, width, channels=3):
    """An image of independent pixels, which no filter finds easy."""
    return RNG.integers(0, 256, (height, width, channels), np.uint8)


def smooth(height, width):
    """An image of one long wave along each side, [h, w, 1]."""
    rows, columns = np.linspace(0, 3, height)[:, None], np.linspace(0, 2, width)
    return np.round(127.5 + 120 * np.sin(rows) * np.cos(columns)).astype(np.uint8)[..., None]


def framed(image, *frame):
    return Frame(*frame).cut(Frame(*frame).cover(image))


def means(image, r):
    """The mean of each r x r pixels, of which Pillow's differs by a rounding."""
    height, width, channels = image.shape
    return image.reshape(height // r, r, width // r, r, channels).mean((1, 3))


def adm(image, size):
    """ADM's `center_crop_arr`, of Dhariwal & Nichol's guided_diffusion/image_datasets.py, on the pixels of an image."""
    image = Image.fromarray(image)
    while min(*image.size) >= 2 * size:
        image = image.resize(tuple(x // 2 for x in image.size), resample=Image.Resampling.BOX)
    scale = size / min(*image.size)
    image = np.array(image.resize(tuple(round(x * scale) for x in image.size), resample=Image.Resampling.BICUBIC))
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


# The frame of a config


@pytest.mark.parametrize(("size", "frame"), [(64, (64, 64, "centre")), ((64, 48), (64, 48, "centre"))])
def test_a_config_names_a_square_or_both_sides(size, frame):
    assert Frame.of(Data(name="folder", size=size)) == Frame(*frame)
    assert Frame.of(Data(name="folder")) is None


@pytest.mark.parametrize("size", [0, 8193, (64,), (64, 48, 3), (64, 0), 64.0, "64", True, (), [64, 48], "centre"])
def test_what_is_no_size_is_refused_with_what_is_one(size):
    with pytest.raises(ValueError, match=r"as in 64, or height and width, as in \(64, 48\), each 1 to 8192"):
        Data(name="folder", size=size)


def test_floats_are_refused_by_their_name():
    with pytest.raises(ValueError, match=r"data\.levels = 0 says that npy has floats: take None, and floats of one shape"):
        Data(name="npy", levels=0, size=64)


@pytest.mark.parametrize("crop", CROPS)
def test_the_words_say_sides_crop_and_filter(crop):
    words = Frame(64, 48, crop).words
    assert words == f"resized to 64 x 48, {CROPS[crop]}, antialiased (means of whole pixels, then bicubic)"


# Scaling


@pytest.mark.parametrize("crop", ["centre", "none"])
@pytest.mark.parametrize("sides", [(7, 9), (8, 8), (16, 24), (31, 17), (80, 56), (200, 9), (1, 1)])
@pytest.mark.parametrize("value", [0, 1, 100, 255])
def test_a_constant_stays_constant(crop, sides, value):
    """Whether it shrinks, grows or both."""
    image = np.full((*sides, 3), value, np.uint8)
    np.testing.assert_array_equal(framed(image, 8, 8, crop), np.full((8, 8, 3), value))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("r", [2, 4, 6])
def test_half_black_and_half_white_keep_their_mean_and_their_edge(axis, r):
    image = np.zeros((8 * r, 8 * r, 1), np.uint8)
    np.moveaxis(image, axis, 0)[4 * r :] = 255
    expected = np.zeros((8, 8, 1))
    np.moveaxis(expected, axis, 0)[4:] = 255
    np.testing.assert_array_equal(framed(image, 8, 8), expected)


@pytest.mark.parametrize("r", [2, 4])
def test_a_checkerboard_becomes_flat_grey(r):
    """To its corners. Every other pixel, without antialiasing, would be black or white throughout."""
    image = (255 * (np.indices((16 * r, 24 * r)).sum(0) % 2)).astype(np.uint8)[..., None]
    assert abs(framed(image, 16, 24).astype(int) - 127.5).max() <= 1


def test_lines_finer_than_a_pixel_fade():
    """Of a wave of 2.5 pixels that shrinks 3.2 times the means of three leave a fifth; every third pixel has all of it."""
    wave = np.round(127.5 + 127 * np.sin(2 * np.pi * np.arange(320) / 2.5)).astype(np.uint8)
    image = np.tile(wave, (320, 1))[..., None]
    assert framed(image, 100, 100).std() < 0.22 * image.std()
    assert image[::3, ::3].std() > 0.99 * image.std()


@pytest.mark.parametrize("r", [2, 3, 4, 7])
@pytest.mark.parametrize("crop", ["centre", "none"])
def test_at_a_whole_ratio_pixels_are_means(r, crop):
    image = noise(10 * r, 6 * r)
    assert abs(framed(image, 10, 6, crop) - means(image, r)).max() < 0.6


def test_a_ratio_for_each_side_where_nothing_is_cut():
    """Rows are pairs and columns are threes."""
    image = noise(16, 24)
    expected = image.reshape(8, 2, 8, 3, 3).mean((1, 3))
    assert abs(framed(image, 8, 8, "none") - expected).max() < 0.6


@pytest.mark.parametrize("sides", [(64, 64), (64, 97), (90, 70), (127, 65), (40, 50), (9, 3)])
def test_it_is_adms_crop_below_a_ratio_of_two(sides):
    """And of images that grow."""
    image = noise(*sides)
    np.testing.assert_array_equal(framed(image, 64, 64), adm(image, 64))


@pytest.mark.parametrize("sides", [(128, 128), (128, 200), (256, 256), (320, 256)])
def test_it_is_adms_crop_by_halves(sides):
    """To two levels, as ADM rounds both sides after each half."""
    image = noise(*sides)
    assert abs(framed(image, 64, 64).astype(int) - adm(image, 64)).max() <= 2


@pytest.mark.parametrize("sides", [(200, 300), (333, 251), (450, 700), (1000, 70)])
def test_it_is_adms_crop_of_a_smooth_image_at_any_ratio(sides):
    image = smooth(*sides)
    ours, theirs = framed(image, 64, 64).astype(int), adm(image[..., 0], 64)[..., None]
    assert abs(ours - theirs).max() <= 2
    assert abs(ours - theirs).mean() < 1


@pytest.mark.parametrize(("sides", "scaled"), [((100, 150), (64, 96)), ((150, 100), (96, 64)), ((64, 64), (64, 64))])
def test_the_aspect_is_kept(sides, scaled):
    assert Frame(64, 64).cover(noise(*sides)).shape == (*scaled, 3)
    assert Frame(64, 64, "none").cover(noise(*sides)).shape == (64, 64, 3)


@pytest.mark.parametrize("height", [1, 5, 48])
@pytest.mark.parametrize("width", [1, 7, 64])
def test_every_frame_is_covered_along_one_side_exactly(height, width):
    """Whatever the floats of the ratio round to."""
    frame = Frame(height, width)
    for sides in RNG.integers(1, 60, (200, 2)).tolist():
        covering = frame.cover(np.zeros((*sides, 1), np.uint8)).shape
        assert min(covering[0] - height, covering[1] - width) == 0
        assert frame.enlarges(*sides) == (sides[0] < height or sides[1] < width)


def test_what_covers_the_frame_stays():
    """And so an image that was scaled once is not scaled again."""
    image = noise(64, 101)
    np.testing.assert_array_equal(Frame(64, 64).cover(image), image)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_channels_are_resized_apart(channels):
    """As Pillow weighs by a fourth one, the colours below a transparent pixel would be lost."""
    image = noise(30, 20, channels)
    image[..., -1] = 0
    whole = framed(image, 10, 10)
    for c in range(channels):
        np.testing.assert_array_equal(whole[..., [c]], framed(image[..., [c]], 10, 10))


def test_a_line_of_pixels_is_no_bomb(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)
    with pytest.raises(DataError, match=r"it is 64 x 1280, more than Image\.MAX_IMAGE_PIXELS: leave it out, or take data"):
        Frame(64, 64).cover(noise(1, 20))
    assert Frame(64, 64, "none").cover(noise(1, 20)).shape == (64, 64, 3)


# Cutting


@pytest.mark.parametrize(("extra", "start"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_the_middle_of_an_odd_rest_is_nearer_to_the_top_and_the_left(extra, start):
    tall, wide = noise(4 + extra, 6), noise(4, 6 + extra)
    np.testing.assert_array_equal(Frame(4, 6).cut(tall), tall[start : start + 4])
    np.testing.assert_array_equal(Frame(4, 6).cut(wide), wide[:, start : start + 6])


def test_each_place_of_a_cut_has_the_same_share():
    """Of m pixels too many there are m + 1 places, from the first to the last."""
    row = np.arange(9, dtype=np.uint8)[None, :, None]
    starts = [Frame(1, 4, "random").cut(row, at)[0, 0, 0] for at in (np.arange(600) + 0.5) / 600]
    np.testing.assert_array_equal(np.bincount(starts), [100] * 6)
    assert Frame(1, 4).cut(row, 0.0)[0, 0, 0] == 0
    assert Frame(1, 4).cut(row, np.nextafter(1, 0))[0, 0, 0] == 5
