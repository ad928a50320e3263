"""Figures of edits and of interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a second to import: only where something is drawn
    from matplotlib.figure import Figure
from experiments.data.pictures import COLOURS, _plain, _sheet, picture


def interpolation(frames: dict[str, np.ndarray], ends: tuple[np.ndarray, np.ndarray], held_out: np.ndarray) -> Figure:
    """Frames [pairs, frames, *event] of each kind, a panel each: a row for a pair, between its ends; points as paths."""
    pairs, n = next(iter(frames.values())).shape[:2]
    points = held_out.ndim == 2
    size = (4.2, 4.4) if points else (0.55 * (n + 2), 0.55 * pairs + 0.4)
    columns, rows = (len(frames), 1) if points else (1, len(frames))
    figure = _sheet(size[0] * columns, size[1] * rows)
    for panel, (title, kind) in zip(figure.subplots(rows, columns, squeeze=False).flat, frames.items(), strict=True):
        panel.set_title(title, fontsize=10)
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
        if points:
            panel.scatter(*held_out.T, s=3, linewidths=0, color="#bbb")
            for i, path in enumerate(kind):
                panel.plot(*path.T, marker=".", color=COLOURS[i % len(COLOURS)])
                panel.scatter(*np.stack([end[i] for end in ends]).T, marker="o", color=COLOURS[i % len(COLOURS)], zorder=3)
            panel.set(aspect="equal")
        else:
            whole = np.concatenate([ends[0][:, None], kind, ends[1][:, None]], axis=1)
            panel.imshow(picture(whole.reshape(-1, *whole.shape[2:]), n + 2, 4), cmap="gray", interpolation="nearest")
    return figure


def edits(frames: np.ndarray, columns: Sequence[str], lines: Sequence[str], held_out: np.ndarray) -> Figure:
    """Frames [examples, lines, columns, *event]: images in the lines of each example; points in one panel for all examples."""
    examples, n_lines, n_columns, *event = frames.shape
    titles = [_plain(title) for title in columns]
    if len(event) == 1:
        figure = _sheet(1.9 * n_columns, 2.0 * n_lines)
        for panel, (i, j) in zip(
            figure.subplots(n_lines, n_columns, squeeze=False).flat, np.ndindex(n_lines, n_columns), strict=True
        ):
            panel.set(
                xticks=[], yticks=[], aspect="equal", title=titles[j] if i == 0 else "", ylabel=lines[i] if j == 0 else ""
            )
            panel.spines[:].set_visible(False)
            panel.scatter(*held_out.T, s=2, linewidths=0, color="#ccc")
            colours = [COLOURS[k % len(COLOURS)] for k in range(examples)]
            panel.scatter(*frames[:, i, j].T, s=16, linewidths=0, color=colours)
        return figure
    height, width, gap = event[0] + 1, event[1] + 1, 2 if n_lines > 1 else 1
    blocks = [np.asarray(picture(example.reshape(-1, *event), n_columns, 1)) for example in frames]
    blocks = [np.pad(b, ((0, gap), *[(0, 0)] * (b.ndim - 1)), constant_values=255 if n_lines > 1 else 128) for b in blocks]
    sheet = np.concatenate(blocks)[:-gap]
    figure = _sheet(0.7 * n_columns + 0.6, 0.7 * len(sheet) / width + 0.4)
    panel = figure.subplots()
    panel.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    panel.set_xticks(np.arange(n_columns) * width + (width - 2) / 2, titles, fontsize=7)
    tops = np.arange(examples)[:, None] * len(blocks[0]) + np.arange(n_lines) * height
    panel.set_yticks(tops.ravel() + (height - 2) / 2, [*lines] * examples, fontsize=7)
    panel.xaxis.tick_top()
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return figure
