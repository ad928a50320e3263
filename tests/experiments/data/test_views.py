"""Events of any shape as small images: what is drawn is what there is, over the range that the words say."""

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import ImageColor

from experiments.data.canvas import COLOUR_MAP, COLOURS
from experiments.data.pictures import picture
from experiments.data.views import SIDE, TALL, WIDE, View, caption, noun, tiles
from experiments.evaluation.sample_sheets import first_samples, process_gif, process_strip
from experiments.sampling import figures

RNG = np.random.default_rng(0)
FLOATS = [(5,), (16, 1), (16, 3), (40, 9), (4, 6, 1), (4, 6, 2), (4, 6, 5), (3, 4, 6, 1), (3, 4, 6, 3), (2, 3, 4, 6, 1)]


def floats(n, *shape):
    """Channels around 5, 10, ..., so that no range is another's, and none that of points of unit scale."""
    return (RNG.normal(size=(n, *shape)) + 5 * np.arange(1, shape[-1] + 1)).astype(np.float32)


def test_a_field_has_the_colours_of_the_map():
    events = floats(3, 4, 6, 1)
    low, high = events.min(), events.max()
    expected = colormaps[COLOUR_MAP]((events[..., 0] - low) / (high - low), bytes=True)[..., :3]
    np.testing.assert_allclose(tiles(events).astype(int), expected.astype(int), atol=1)
    assert caption(events) == f"viridis colours from {low:.3g} to {high:.3g}"


def test_channels_are_red_green_and_blue_each_over_its_own_range():
    events = floats(3, 4, 6, 5)
    low, high = events.min((0, 1, 2)), events.max((0, 1, 2))
    expected = 255 * (events - low) / (high - low)
    np.testing.assert_allclose(tiles(events), expected[..., :3], atol=0.51)
    two = tiles(events[..., :2])
    assert not two[..., 2].any()
    np.testing.assert_array_equal(two[..., :2], tiles(events)[..., :2])
    spans = ", ".join(f"{low[c]:.3g} to {high[c]:.3g}" for c in range(3))
    assert caption(events) == f"channels 1 to 3 of 5 as red, green and blue, colours from {spans}"


def test_a_volume_is_its_three_middle_slices():
    events = np.zeros((1, 4, 6, 8, 1), np.uint8)
    events[0, 2], events[0, :, 3], events[0, :, :, 4] = 50, 100, 200
    across_depth, across_height, across_width = events[0, 2], events[0, :, 3], events[0, :, :, 4]
    (image,) = tiles(events)
    assert image.shape == (6, 8 + 1 + 8 + 1 + 6, 1)
    np.testing.assert_array_equal(image[:6, :8], across_depth)
    np.testing.assert_array_equal(image[:4, 9:17], across_height)
    np.testing.assert_array_equal(image[:4, 18:], across_width)
    assert (image[4:, 9:] == 128).all()
    assert caption(events) == "the middle slices"
    film = np.stack([np.zeros_like(events), events, np.zeros_like(events)], axis=1)
    np.testing.assert_array_equal(tiles(film)[0], image)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_signal_is_a_line_over_its_range(channels):
    """The line of a ramp rises from the lower left to the upper right; a second one, which falls, is below the first."""
    ramp = np.linspace(2, 8, 50, dtype=np.float32)
    events = np.stack([ramp, 20 - ramp], axis=-1)[None, :, :channels]
    (image,) = tiles(events)
    assert image.shape == (TALL, WIDE, 3)
    for channel, rises in enumerate([True, False][:channels]):
        near = np.abs(image.astype(int) - ImageColor.getrgb(COLOURS[channel])).sum(-1) < 60
        rows, columns = np.nonzero(near)
        assert len(set(columns)) > 0.8 * WIDE
        line = np.polynomial.Polynomial.fit(columns, rows, 1).convert().coef
        expected = [TALL, -TALL / WIDE] if rises else [0, TALL / WIDE]
        np.testing.assert_allclose(line, expected, atol=2)
    spans = ["2 to 8", "12 to 18"][:channels]
    assert caption(events) == f"lines from {', '.join(spans)}"


def test_a_signal_of_one_time_is_a_level_line():
    (image,) = tiles(np.zeros((1, 1, 1), np.float32))
    rows = np.nonzero((image != 255).any(-1))[0]
    assert abs(rows.mean() - TALL / 2) < 2


def test_points_of_unit_scale_have_a_square_and_others_their_own_range():
    near, far = RNG.normal(size=(50, 3)).clip(-1.9, 1.9), floats(50, 3)
    assert View.of(near) == View((-SIDE,) * 3, (SIDE,) * 3)
    assert caption(near) == "coordinates 1 and 2 of 3"
    view = View.of(far)
    np.testing.assert_array_equal(view, [far.min(0), far.max(0)])
    spans = ", ".join(f"{far[:, c].min():.3g} to {far[:, c].max():.3g}" for c in range(2))
    assert caption(far) == f"coordinates 1 and 2 of 3, axes from {spans}"
    panel = first_samples({"a": {"fast": far + 100}}, far, {"a": "A"}).axes[0]  # as the real ones are shown
    np.testing.assert_allclose([*panel.get_xlim(), *panel.get_ylim()], [view.low[0], view.high[0], view.low[1], view.high[1]])


@pytest.mark.parametrize("shape", FLOATS, ids=str)
def test_every_picture_shows_it(tmp_path, shape):
    """Sheets, panels, strips, films, edits and interpolations; nothing of them depends on what is not finite or constant."""
    events = floats(8, *shape)
    events[0] = 3.0
    broken = events.copy()
    broken[1].flat[0], broken[2].flat[0] = np.nan, np.inf
    assert picture(events).mode == "RGB"
    assert picture(broken, view=View.of(events)).size == picture(events).size
    np.testing.assert_array_equal(np.isfinite(View.of(broken)), True)
    first_samples({"a": {"fast": events, "slow": events[:0]}, "b": {"fast": events}}, events, {"a": "A", "b": "B"})
    process_strip({"a": np.stack([events, events])}, {"a": "A"}, View.of(events))
    process_gif({"a": np.stack([events, events]), "b": np.stack([events, events])}, tmp_path / "it.gif", View.of(events))
    frames = events.reshape(2, 2, 2, *shape)
    edit = figures.edits(frames, ["one", "two"], ["", ""], events)
    path = figures.interpolation({"flow": frames[:, 0]}, (events[:2], events[2:4]), events)
    assert edit.get_suptitle() == path.get_suptitle() == caption(events) != ""


@pytest.mark.parametrize("value", [-3.0, 0.0, 4.0])
def test_one_number_throughout_is_the_middle_of_the_colours(value):
    (image,) = tiles(np.full((1, 2, 2, 1), value, np.float32))
    np.testing.assert_array_equal(image, np.broadcast_to(colormaps[COLOUR_MAP](0.5, bytes=True)[:3], (2, 2, 3)))


def test_each_shape_has_a_word():
    shapes = [(2,), (9, 1), (4, 4, 1), (4, 4, 4, 1), (2, 2, 2, 2, 1)]
    assert [noun(shape, 0) for shape in shapes] == ["points", "signals", "fields", "volumes", "examples"]
    assert noun((4, 4, 1), 256) == "images"
