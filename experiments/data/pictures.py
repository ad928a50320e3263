"""Events as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from experiments.data.canvas import colour, panel_row
from experiments.data.dataset import Dataset
from experiments.data.scaler import Scaler
from experiments.data.views import SIDE, Images, View, first_channels, tiles

if TYPE_CHECKING:  # a second to import: only where something is plotted
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 1000
"""The most events that a picture shows."""


def most_shown(shape: tuple[int, ...]) -> int:
    """The most events of a shape that a report shows: 64, or 1000 points."""
    return 64 if len(shape) > 1 else SHOWN


def first_shown(scaler: Scaler, levels: np.ndarray) -> np.ndarray:
    """The first events, as many as a report shows, images as 0..255."""
    return scaler.display(levels[: most_shown(levels.shape[1:])])


def held_out_shown(scaler: Scaler, data: Dataset) -> np.ndarray:
    """The first held-out examples, as a report shows them beside samples."""
    return first_shown(scaler, data.held_out(most_shown(data.shape)).levels)


def in_plane(points: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "2 n"]:
    """The first two coordinates of points, x and y; if they have one, y is 0."""
    return first_channels(points, 2).T


def tiled(images: Images, columns: int, gap: int = 1, fill: int = 128) -> UInt8[np.ndarray, "height width C"]:
    """The images in rows of `columns`, image i in row i // columns; `gap` pixels of the grey level `fill` between them.

    One channel is grey; of several the first three are red, green and blue, and there is no blue if there are two.
    """
    images = images if images.shape[-1] == 1 else first_channels(images, 3)
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


def picture(
    events: np.ndarray, columns: int = 8, scale: int = 4, view: View | None = None, widest: int | None = None
) -> Image.Image:
    """Events [n, *event] as images in rows of `columns`, or points [n, D] as dots, over the range of the view or their own.

    Images are enlarged `scale` times, or less, if they would be more than `widest` pixels across; signals are not.
    """
    if events.ndim == 2:
        return _scatter(events, view)
    images = tiles(events, view)
    sheet = as_image(tiled(images, columns))
    most = scale if widest is None else min(scale, max(1, widest // (columns * images.shape[2])))
    times = most if events.ndim > 3 else 1
    return sheet.resize((sheet.width * times, sheet.height * times), Image.Resampling.NEAREST)


def show_events(panel: Axes, events: np.ndarray | None, columns: int, view: View | None = None) -> None:
    """Shows events in a panel without a frame: as images, points as dots, words if none is left, nothing for None."""
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)
    if events is None:
        return
    if not len(events):
        panel.text(0.5, 0.5, "not finite", ha="center", va="center", fontsize=7, transform=panel.transAxes)
    elif events.ndim == 2:
        _dots(panel, events, view)
    else:
        smooth = "antialiased" if events.ndim == 3 else "nearest"
        panel.imshow(picture(events, columns, 1, view).convert("RGB"), interpolation=smooth)


def _scatter(points: np.ndarray, view: View | None) -> Image.Image:
    figure, (panel,) = panel_row(1, 2.6, 2.6)
    _dots(panel, points, view)
    return _rendered(figure)


def _dots(panel: Axes, points: np.ndarray, view: View | None) -> None:
    panel.scatter(*in_plane(points), s=3, alpha=0.6, linewidths=0, color=colour(0))
    view = view or View.of(points)
    panel.set(**_limits(view), aspect=view.aspect, xticks=[], yticks=[])


def _limits(view: View) -> dict[str, tuple[float, float]]:
    """The limits of the two axes that show points; of a single number those around it."""
    sides = [(low, high) if low < high else (low - 1, high + 1) for low, high in zip(*view, strict=True)]
    x, y = (sides if len(sides) > 1 else [*sides, (-SIDE, SIDE)])[:2]
    return {"xlim": x, "ylim": y}


def _rendered(figure: Figure) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
