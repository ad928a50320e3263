"""Events as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image

from experiments.data.canvas import colour, panel_row
from experiments.data.dataset import Dataset
from experiments.data.scaler import Scaler

if TYPE_CHECKING:  # a second to import: only where something is plotted
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Images = UInt8[np.ndarray, "n H W C"]
SIDE = 2.0
"""Half the side of the square in which points are shown: two standard deviations of the noise that they begin as."""
SHOWN = 1000
"""The most events that a picture shows."""


def first_shown(scaler: Scaler, levels: np.ndarray) -> np.ndarray:
    """The first 64 images as 0..255, or the first 1000 points: what a report shows."""
    return scaler.display(levels[: 64 if scaler.levels else SHOWN])


def held_out_shown(scaler: Scaler, data: Dataset) -> np.ndarray:
    """The first held-out examples, as a report shows them beside samples."""
    return first_shown(scaler, data.held_out(SHOWN).levels)


def visible_part(shape: tuple[int, ...]) -> str:
    """Says what pictures show of events of this shape; nothing if they show all."""
    if len(shape) == 1:
        return f"coordinates 1 and 2 of {shape[0]}" if shape[0] > 2 else ""
    channels = shape[-1]
    if channels == 2:
        return "channels 1 and 2 as red and green"
    return f"channels 1 to 3 of {channels} as red, green and blue" if channels > 3 else ""


def in_plane(points: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "2 n"]:
    """The first two coordinates of points, x and y; if they have one, y is 0."""
    return _first(points, 2).T


def tiled(images: Images, columns: int, gap: int = 1, fill: int = 128) -> UInt8[np.ndarray, "height width C"]:
    """The images in rows of `columns`, image i in row i // columns; `gap` pixels of the grey level `fill` between them.

    One channel is grey; of several the first three are red, green and blue, and there is no blue if there are two.
    """
    images = images if images.shape[-1] == 1 else _first(images, 3)
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), fill, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def as_image(pixels: UInt8[np.ndarray, "H W C"]) -> Image.Image:
    """The pixels of one channel or of three as an image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def picture(events: np.ndarray, columns: int = 8, scale: int = 4) -> Image.Image:
    """Images [n, H, W, C] in rows of `columns`, enlarged; or points [n, D] as dots in a square around 0."""
    if events.ndim == 2:
        return _scatter(events)
    image = as_image(tiled(events, columns))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def show_events(panel: Axes, events: np.ndarray | None, columns: int) -> None:
    """Shows events in a panel without a frame: images as a picture, points as dots, words if none is left, nothing for None."""
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)
    if events is None:
        return
    if not len(events):
        panel.text(0.5, 0.5, "not finite", ha="center", va="center", fontsize=7, transform=panel.transAxes)
    elif events.ndim == 2:
        _dots(panel, events)
    else:
        panel.imshow(picture(events, columns, 1).convert("RGB"), interpolation="nearest")


def _first(x: Shaped[np.ndarray, "... C"], n: int) -> Shaped[np.ndarray, "... n"]:
    """The first n numbers of the last axis, with zeros for those that it lacks."""
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, max(0, n - x.shape[-1]))])[..., :n]


def _scatter(points: np.ndarray) -> Image.Image:
    figure, (panel,) = panel_row(1, 2.6, 2.6)
    _dots(panel, points)
    return _rendered(figure)


def _dots(panel: Axes, points: np.ndarray) -> None:
    panel.scatter(*in_plane(points), s=3, alpha=0.6, linewidths=0, color=colour(0))
    panel.set(xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), aspect="equal", xticks=[], yticks=[])


def _rendered(figure: Figure) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
