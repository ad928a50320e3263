"""Events of any shape as small images, and in words what these show of them.

[D]           no image: dots, of the first two coordinates
[L, C]        a line for each of the first channels
[H, W, C]     grey levels: one channel as grey, or the first three as red, green and blue
              floats: one channel by a colour map, or the first three so, each over its own range
[D, H, W, C]  the middle slices across each axis, side by side; of more axes the first ones at their middle
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, ImageDraw

from experiments.data.canvas import COLOUR_MAP, COLOURS, colour

Images = UInt8[np.ndarray, "n H W C"]
SIDE = 2.0
"""Half the side of the square in which points are shown: two standard deviations of the noise that they begin as."""
WIDE, TALL, FINER = 96, 64, 4
"""The pixels of a signal's picture across and down, and how many times finer its lines are drawn."""


class View(NamedTuple):
    """The range of each channel that pictures show, from `low` to `high`, in the units of the data."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, events: Shaped[np.ndarray, "n *event"]) -> View:
        """The range of all finite numbers of each channel. Points have a square around 0 if most of them are in it."""
        channels = events.shape[-1]
        if events.dtype == np.uint8:
            return cls((0.0,) * channels, (255.0,) * channels)
        if events.ndim == 2 and 2 * (np.abs(events[:, :2]) <= SIDE).all(1).sum() >= len(events):
            return cls((-SIDE,) * channels, (SIDE,) * channels)
        numbers = events.reshape(-1, channels)
        finite = np.isfinite(numbers)
        low, high = (
            take(numbers, axis=0, where=finite, initial=start) for take, start in ((np.min, np.inf), (np.max, -np.inf))
        )
        some = finite.any(0)
        return cls(tuple(np.where(some, low, 0.0).tolist()), tuple(np.where(some, high, 1.0).tolist()))

    @property
    def aspect(self) -> Literal["equal", "auto"]:
        """The aspect of a panel of points: equal in a square, as else their coordinates may be of unlike units."""
        return "equal" if len({*zip(self.low[:2], self.high[:2], strict=True)}) == 1 else "auto"

    def share(self, events: Shaped[np.ndarray, "... C"]) -> Float[np.ndarray, "... C"]:
        """The place of each number in its channel's range, in [0, 1]; 1/2 if the range is a single number."""
        low, high = np.asarray(self, np.float64)
        width = high - low
        place = np.where(width > 0, (events - low) / np.where(width > 0, width, 1), 0.5)
        return np.clip(np.nan_to_num(place), 0, 1)

    def words(self, shape: tuple[int, ...]) -> str:
        """Says the ranges of what pictures of floats of this shape show; nothing of the square of points."""
        if len(shape) == 1 and set(self.low) == {-SIDE} and set(self.high) == {SIDE}:
            return ""
        spans = [f"{low:.3g} to {high:.3g}" for low, high in zip(self.low, self.high, strict=True)][: _channels(shape)]
        what = {1: "axes", 2: "lines"}.get(len(shape), f"{COLOUR_MAP} colours" if shape[-1] == 1 else "colours")
        return f"{what} from {', '.join(dict.fromkeys(spans))}"


def caption(events: Shaped[np.ndarray, "n *event"], view: View | None = None) -> str:
    """Says what pictures of events show of them, if not all, and of floats the range of the view, or their own."""
    shape = events.shape[1:]
    ranges = (view or View.of(events)).words(shape) if events.dtype.kind == "f" else ""
    return ", ".join(filter(None, (visible_part(shape), ranges)))


def visible_part(shape: tuple[int, ...]) -> str:
    """Says what pictures show of events of this shape; nothing if they show all."""
    axes, channels = len(shape), shape[-1]
    if axes == 1:
        return f"coordinates 1 and 2 of {channels}" if channels > 2 else ""
    if axes == 2:
        return f"channels 1 to {len(COLOURS)} of {channels}" if channels > len(COLOURS) else ""
    three = f"channels 1 to 3 of {channels} as red, green and blue" if channels > 3 else ""
    colours = "channels 1 and 2 as red and green" if channels == 2 else three
    return ", ".join(filter(None, ("the middle slices" if axes > 3 else "", colours)))


def noun(shape: tuple[int, ...], levels: int) -> str:
    """The word for several examples of this shape."""
    third = "images" if levels else "fields"
    return {1: "points", 2: "signals", 3: third, 4: "volumes"}.get(len(shape), "examples")


def tiles(events: Shaped[np.ndarray, "n *event"], view: View | None = None) -> Images:
    """Returns an image of each event, of one channel or of three, over the range of the view, or over their own.

    Events have two axes or more: points share one picture.
    """
    view = view or View.of(events)
    if events.ndim == 3:
        return np.stack([_lines(event, view) for event in events]) if len(events) else np.zeros((0, TALL, WIDE, 3), np.uint8)
    while events.ndim > 5:
        events = events[:, events.shape[1] // 2]
    if events.ndim == 4:
        return _painted(events, view)
    depth, height, width = (side // 2 for side in events.shape[1:4])
    slices = events[:, depth], events[:, :, height], events[:, :, :, width]
    return _beside([_painted(each, view) for each in slices])


def first_channels(x: Shaped[np.ndarray, "... C"], n: int) -> Shaped[np.ndarray, "... n"]:
    """The first n numbers of the last axis, with zeros for those that it lacks."""
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, max(0, n - x.shape[-1]))])[..., :n]


def _channels(shape: tuple[int, ...]) -> int:
    """The most channels that a picture shows."""
    return {1: 2, 2: len(COLOURS)}.get(len(shape), 3)


def _painted(events: Shaped[np.ndarray, "n H W C"], view: View) -> Images:
    """Grey levels or colours as they are, or the numbers as colours; the first three channels if there are several."""
    if events.dtype == np.uint8:
        return events if events.shape[-1] == 1 else first_channels(events, 3)
    share = view.share(events)
    if events.shape[-1] > 1:
        return np.round(255 * first_channels(share, 3)).astype(np.uint8)
    from matplotlib import colormaps  # a second to import: only where something is plotted

    return colormaps[COLOUR_MAP](share[..., 0], bytes=True)[..., :3]


def _beside(slices: list[Images], gap: int = 1, fill: int = 128) -> Images:
    """The slices of each event side by side, `gap` pixels of the grey level `fill` between them and below shorter ones."""
    tallest = max(each.shape[1] for each in slices)
    pad = lambda each: [(0, 0), (0, tallest - each.shape[1]), (0, gap), (0, 0)]
    row = np.concatenate([np.pad(each, pad(each), constant_values=fill) for each in slices], axis=2)
    return row[:, :, : row.shape[2] - gap]


def _lines(signal: Shaped[np.ndarray, "L C"], view: View) -> UInt8[np.ndarray, "TALL WIDE 3"]:
    """A line for each of the first channels over its own range, the first one on top."""
    width, height = WIDE * FINER, TALL * FINER
    canvas = Image.new("RGB", (width, height), "white")
    draw, places = ImageDraw.Draw(canvas), np.linspace(0, width - 1, max(2, len(signal)))
    heights = (1 - view.share(signal)) * (height - 1)
    for channel in reversed(range(min(signal.shape[-1], len(COLOURS)))):
        line = np.resize(heights[:, channel], len(places))
        draw.line(list(zip(places.tolist(), line.tolist(), strict=True)), fill=colour(channel), width=FINER + FINER // 2)
    return np.asarray(canvas.resize((WIDE, TALL), Image.Resampling.BOX))
