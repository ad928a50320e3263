"""Pictures of events with any number of numbers: what they show is exact, and what they do not show they say."""

import numpy as np
import pytest
from PIL import Image

from experiments.data.canvas import panel_row
from experiments.data.pictures import in_plane, picture, show_events
from experiments.data.views import visible_part
from experiments.evaluation.sample_sheets import process_gif
from experiments.page.sheet import sheet
from experiments.sampling import figures

CHANNELS = [1, 2, 3, 4, 5, 13]


def images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def colours(events):
    """Red, green and blue: the first three channels, with no blue of two; of one all three."""
    channels = {1: [0, 0, 0], 2: [0, 1]}.get(events.shape[-1], [0, 1, 2])
    return np.pad(events[..., channels], [(0, 0)] * (events.ndim - 1) + [(0, 3 - len(channels))])


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_sheet_shows_the_first_three_channels(channels):
    """Five were an error at the first picture; of two and four the last was transparency."""
    events = images(6, 3, 5, channels)
    pixels = np.asarray(picture(events, columns=4, scale=2).convert("RGB"))[::2, ::2]
    for i, colour in enumerate(colours(events)):
        top, left = i // 4 * 4, i % 4 * 6
        np.testing.assert_array_equal(pixels[top : top + 3, left : left + 5], colour)
    assert picture(events).mode == ("L" if channels == 1 else "RGB")
    np.testing.assert_array_equal(np.asarray(sheet(events[:1], 1, side=1).convert("RGB")), colours(events)[0])


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        *(((4, 4, c), "") for c in (1, 3)),
        ((4, 4, 2), "channels 1 and 2 as red and green"),
        ((4, 4, 4), "channels 1 to 3 of 4 as red, green and blue"),
        ((4, 4, 13), "channels 1 to 3 of 13 as red, green and blue"),
        *(((d,), "") for d in (1, 2)),
        ((3,), "coordinates 1 and 2 of 3"),
    ],
)
def test_what_is_not_shown_is_said(shape, words):
    """In words, and above the figure of an edit and of an interpolation."""
    assert visible_part(shape) == words
    events = images(2, 3, 2, *shape) if shape[2:] else np.random.default_rng(0).normal(size=(2, 3, 2, *shape))
    edit = figures.edits(events, ["a", "b"], ["", "", ""], events[:, 0, 0])
    path = figures.interpolation({"line": events[:, :, 0]}, (events[:, 0, 0], events[:, 1, 1]), events[:, 0, 0])
    assert [figure.get_suptitle() for figure in (edit, path)] == [words, words]


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_points_show_their_first_two_coordinates(dimension):
    """The third was taken for the size of the dots."""
    points = np.random.default_rng(0).normal(size=(50, dimension))
    x, y = in_plane(points)
    np.testing.assert_array_equal(x, points[:, 0])
    np.testing.assert_array_equal(y, points[:, 1] if dimension > 1 else 0)
    assert picture(points) == picture(np.stack([x, y], axis=1))


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_panel_shows_each_value_as_it_is(channels):
    """Greys from 100 to 140 were stretched to black and white."""
    events = 100 + images(1, 4, 4, channels) % 40
    panels = panel_row(1, 2, 2)[1]
    show_events(panels[0], events, 1)
    edit = figures.edits(events[:, None, None], ["a"], [""], events).axes[0]
    line = figures.interpolation({"line": events[:, None]}, (events, events), events).axes[0]
    for panel, n in ((panels[0], 1), (edit, 1), (line, 3)):
        np.testing.assert_array_equal(panel.images[0].get_array()[:, :4], colours(events)[0])
        assert panel.images[0].get_array().shape == (4, 5 * n - 1, 3)


def test_the_gif_has_the_colours_of_the_data(tmp_path):
    """They were grey. Arms stand side by side, their frames in order; what is grey stays so."""
    flat = {"red": (230, 20, 20), "sea": (0, 120, 90)}
    process = {arm: np.full((3, 16, 4, 4, 3), rgb, np.uint8) * np.array([1, 0, 1], np.uint8)[:, None, None, None, None]
               for arm, rgb in flat.items()}  # fmt: skip
    process_gif(process, tmp_path / "colour.gif")
    grey = images(3, 16, 4, 4, 1)
    process_gif({"grey": grey}, tmp_path / "grey.gif")
    with Image.open(tmp_path / "colour.gif") as film:
        for i, lit in enumerate((1, 0, 1)):
            film.seek(i)
            frame = np.asarray(film.convert("RGB"))
            left, right = frame[:8, :8], frame[:8, -8:]
            for corner, rgb in ((left, flat["red"]), (right, flat["sea"])):
                np.testing.assert_array_equal(corner, np.broadcast_to(np.multiply(lit, rgb), corner.shape))
    with Image.open(tmp_path / "grey.gif") as film:
        for i, events in enumerate(grey):
            film.seek(i)
            np.testing.assert_array_equal(np.asarray(film.convert("RGB")), np.asarray(picture(events, 4, 6).convert("RGB")))
