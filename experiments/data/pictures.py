"""Events as pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from experiments.data.scaler import Scaler
from experiments.runtime.errors import printable

if TYPE_CHECKING:  # a second to import: only where something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SIDE, GAP = 320, 6
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: safe for the colour-blind
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 10}


def first_shown(scaler: Scaler, levels: np.ndarray) -> np.ndarray:
    """The first 64 images as 0..255, or the first 1000 points: what a report shows."""
    return scaler.display(levels[: 64 if scaler.levels else 1000])


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


def _plain(text: str) -> str:
    """A person's words, which matplotlib is to show as they are: between two $ it would read TeX, and fail where it is none."""
    return printable(text).replace("$", r"\$")


def _sheet(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=130)


def _figure(columns: int, width: float, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    import matplotlib

    with matplotlib.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        figure = _sheet(width, height)
        return figure, list(np.atleast_1d(figure.subplots(1, columns, **options)))


def picture(events: np.ndarray, columns: int = 8, scale: int = 4) -> Image.Image:
    """Images [n, H, W, C] in rows of `columns`, enlarged; or points [n, 2] as a scatter plot of the square [-1.6, 1.6]^2."""
    if events.ndim == 2:
        figure, (panel,) = _figure(1, 2.6, 2.6)
        panel.scatter(*events.T, s=3, alpha=0.6, linewidths=0, color=COLOURS[0])
        panel.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal", xticks=[], yticks=[])
        return _rendered(figure)
    n, height, width, channels = events.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 128, np.uint8)
    for i, event in enumerate(events):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = event
    image = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def _show(panel: Axes, events: np.ndarray, columns: int) -> None:
    """The picture of the events without a frame; of none, words."""
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)
    if len(events):
        panel.imshow(picture(events, columns, 1), cmap="gray", interpolation="nearest")
    else:
        panel.text(0.5, 0.5, "not finite", ha="center", va="center", fontsize=7, transform=panel.transAxes)


def _rendered(figure: Figure) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
