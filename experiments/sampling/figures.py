"""Figures of edits and of interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.data.canvas import blank_figure, colour, plain
from experiments.data.pictures import as_image, in_plane, show_events, tiled
from experiments.data.views import View, caption, tiles

if TYPE_CHECKING:  # a second to import: only where something is plotted
    from matplotlib.figure import Figure


def interpolation(frames: dict[str, np.ndarray], ends: tuple[np.ndarray, np.ndarray], held_out: np.ndarray) -> Figure:
    """Frames [pairs, frames, *event] of each kind, a panel each: a row for a pair, between its ends; points as paths."""
    pairs, n = next(iter(frames.values())).shape[:2]
    points, view = held_out.ndim == 2, View.of(held_out)
    size = (4.2, 4.4) if points else (0.55 * (n + 2), 0.55 * pairs + 0.4)
    columns, rows = (len(frames), 1) if points else (1, len(frames))
    figure = blank_figure(size[0] * columns, size[1] * rows)
    for panel, (title, kind) in zip(figure.subplots(rows, columns, squeeze=False).flat, frames.items(), strict=True):
        panel.set_title(plain(title), fontsize=10)
        if points:
            panel.set(xticks=[], yticks=[], aspect=view.aspect)
            panel.spines[:].set_visible(False)
            panel.scatter(*in_plane(held_out), s=3, linewidths=0, color="#bbb")
            for i, path in enumerate(kind):
                panel.plot(*in_plane(path), marker=".", color=colour(i))
                panel.scatter(*in_plane(np.stack([end[i] for end in ends])), marker="o", color=colour(i), zorder=3)
        else:
            whole = np.concatenate([ends[0][:, None], kind, ends[1][:, None]], axis=1)
            show_events(panel, whole.reshape(-1, *whole.shape[2:]), n + 2, view)
    return _named(figure, held_out, view)


def edits(frames: np.ndarray, columns: Sequence[str], lines: Sequence[str], held_out: np.ndarray) -> Figure:
    """Frames [examples, lines, columns, *event]: images in the lines of each example; points in one panel for all examples."""
    titles, view = [plain(title) for title in columns], View.of(held_out)
    of_points = frames.ndim == 4
    figure = _point_edits(frames, titles, lines, held_out, view) if of_points else _image_edits(frames, titles, lines, view)
    return _named(figure, held_out, view)


def _named(figure: Figure, held_out: np.ndarray, view: View) -> Figure:
    """The figure, with a title if it does not show all of an event, or shows floats over a range."""
    if words := caption(held_out, view):
        figure.suptitle(words, fontsize=8)
    return figure


def _point_edits(frames: np.ndarray, titles: Sequence[str], lines: Sequence[str], held_out: np.ndarray, view: View) -> Figure:
    examples, n_lines, n_columns, _ = frames.shape
    figure = blank_figure(1.9 * n_columns, 2.0 * n_lines)
    panels = figure.subplots(n_lines, n_columns, squeeze=False)
    for (i, j), panel in zip(np.ndindex(n_lines, n_columns), panels.flat, strict=True):
        panel.set(xticks=[], yticks=[], aspect=view.aspect)
        panel.set(title=titles[j] if i == 0 else "", ylabel=lines[i] if j == 0 else "")
        panel.spines[:].set_visible(False)
        panel.scatter(*in_plane(held_out), s=2, linewidths=0, color="#ccc")
        panel.scatter(*in_plane(frames[:, i, j]), s=16, linewidths=0, color=[colour(k) for k in range(examples)])
    return figure


def _image_edits(frames: np.ndarray, titles: Sequence[str], lines: Sequence[str], view: View) -> Figure:
    """A block of lines for each example, the blocks below each other; a white gap sets blocks of several lines apart."""
    examples, n_lines, n_columns, *event = frames.shape
    images = tiles(frames.reshape(-1, *event), view)
    height, width = images.shape[1] + 1, images.shape[2] + 1
    blocks = np.stack([tiled(block, n_columns) for block in np.split(images, examples)])
    gap, fill = (2, 255) if n_lines > 1 else (1, 128)
    sheet = tiled(blocks, 1, gap, fill)
    figure = blank_figure(0.7 * n_columns + 0.6, 0.7 * len(sheet) / width + 0.4)
    panel = figure.subplots()
    panel.imshow(as_image(sheet).convert("RGB"), interpolation="antialiased" if len(event) == 2 else "nearest")
    panel.set_xticks(np.arange(n_columns) * width + (width - 2) / 2, titles, fontsize=7)
    tops = np.arange(examples)[:, None] * (blocks.shape[1] + gap) + np.arange(n_lines) * height
    panel.set_yticks(tops.ravel() + (height - 2) / 2, [*lines] * examples, fontsize=7)
    panel.xaxis.tick_top()
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return figure
