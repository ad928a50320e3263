"""Sheets of samples beside each other: the first of every sampler, and the reverse process as a strip and as a GIF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.data.canvas import blank_figure, plain
from experiments.data.pictures import as_image, picture, show_events, tiled
from experiments.data.views import View

if TYPE_CHECKING:  # a second to import: only where something is plotted
    from matplotlib.figure import Figure


def first_samples(grids: dict[str, dict[str, np.ndarray]], real: np.ndarray, labels: dict[str, str]) -> Figure:
    """Rows of arms, columns of samplers, each the first 36 samples from the same latents; real held-out ones at the right.

    An arm without a sampler that another has leaves its place empty. All are shown over the range of the real ones.
    """
    view = View.of(real)
    samplers = list(dict.fromkeys(sampler for by_sampler in grids.values() for sampler in by_sampler))
    of_sampler = lambda sampler: [by_sampler[sampler] for by_sampler in grids.values() if sampler in by_sampler]
    widths = [*(max(map(_width, of_sampler(sampler))) for sampler in samplers), _width(real)]
    figure = blank_figure(2.3 * sum(widths), 2.45 * len(grids))
    axes = figure.subplots(len(grids), len(widths), squeeze=False, width_ratios=widths)
    for row, (arm, by_sampler) in zip(axes, grids.items(), strict=True):
        row[0].set_ylabel(plain(labels[arm]), fontsize=10)
        for panel, events in zip(row, [*(by_sampler.get(sampler) for sampler in samplers), real], strict=True):
            show_events(panel, None if events is None else _first(events, 36), 6, view)
    for panel, title in zip(axes[0], [*(s.replace("_", " ") for s in samplers), "real, held out"], strict=True):
        panel.set_title(plain(title), fontsize=10)
    return figure


def process_strip(process: dict[str, np.ndarray], labels: dict[str, str], view: View | None = None) -> Figure:
    """The reverse process from noise (left) to data: an arm a row, four samples in each frame, over the range of the view."""
    frames = len(next(iter(process.values())))
    figure = blank_figure(1.05 * frames, 1.2 * len(process))
    axes = figure.subplots(len(process), frames, squeeze=False)
    for row, (arm, snapshots) in enumerate(process.items()):
        for panel, events in zip(axes[row], snapshots, strict=True):
            show_events(panel, _first(events, 4), 2, view)
        axes[row, 0].set_ylabel(plain(labels[arm]), fontsize=8)
    return figure


def process_gif(process: dict[str, np.ndarray], path: Path, view: View | None = None) -> None:
    """Writes the reverse process of every arm side by side, over the range of the view, the last frame held."""
    frames = []
    for snapshots in zip(*process.values(), strict=True):
        arms = [np.atleast_3d(np.asarray(picture(_first(events, 16), 4, 6, view))) for events in snapshots]
        frames.append(as_image(tiled(np.stack(arms), len(arms), gap=24, fill=255)))
    durations = [140] * (len(frames) - 1) + [2000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _width(events: np.ndarray) -> float:
    """The width of an image over its height, which is twice as wide beside what it was made of; 1 of other events."""
    return events.shape[2] / events.shape[1] if events.ndim == 4 else 1.0


def _first(events: np.ndarray, n: int) -> np.ndarray:
    """The first n events, or all points."""
    return events[:n] if events.ndim > 2 else events
