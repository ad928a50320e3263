"""Figures from results and samples. matplotlib's object interface: no global state, no display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from experiments.data.pictures import COLOURS, MARKERS, _figure, _plain, _sheet, _show, picture

if TYPE_CHECKING:  # a second to import: only where something is drawn
    from matplotlib.figure import Figure


def quality_against_nfe(results: dict[str, Any]) -> Figure:
    """The Fréchet distance of every sampler against its score evaluations, a panel for each arm, real images as a line."""
    arms = results["arms"]
    figure, panels = _figure(len(arms), 1.5 + 3.4 * len(arms), 3.6, sharey=True)
    for panel, arm in zip(panels, arms, strict=True):
        for i, row in enumerate(arm["samplers"]):
            points = sorted([row, *(p for p in row["sweep"] if "w" not in p)], key=lambda p: p["nfe"])
            panel.errorbar(
                [p["nfe"] for p in points],
                [p["frechet"]["mean"] for p in points],
                [p["frechet"]["std"] for p in points],
                label=_plain(row["label"]),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=5,
                linewidth=1.4,
                capsize=2,
            )
        panel.axhline(
            results["reference"]["frechet"]["mean"],
            color="#555",
            linestyle="--",
            linewidth=1,
            label=_plain(f"real {results['reference']['of']} images"),
        )
        panel.set(xscale="log", yscale="log", title=_plain(arm["label"]), xlabel="score evaluations per sample (NFE)")
        ticks = sorted({round(p["nfe"]) for row in arm["samplers"] for p in [*row["sweep"], row]})
        spaced = [t for i, t in enumerate(ticks) if not i or t > 1.3 * ticks[i - 1]]
        panel.set_xticks(spaced, [str(t) for t in spaced])
        panel.minorticks_off()
    panels[0].set_ylabel(_plain(results["distance"]))
    panels[-1].legend(frameon=False, fontsize=8)
    return figure


def quality_against_w(results: dict[str, Any]) -> Figure:
    """Accuracy, precision and recall of each sampler against the weight of its guidance: a row a measure, a column an arm."""
    arms, names = results["arms"], ("accuracy", "precision", "recall")
    figure = _sheet(1.5 + 3.0 * len(arms), 6.6)
    panels = figure.subplots(len(names), len(arms), squeeze=False, sharex=True, sharey="row")
    for column, arm in enumerate(arms):
        panels[0, column].set_title(_plain(arm["label"]), fontsize=10)
        panels[-1, column].set_xlabel("guidance weight w")
        for i, row in enumerate(arm["samplers"]):
            points = sorted((p for p in row["sweep"] if "w" in p), key=lambda p: p["w"])
            for panel, name in zip(panels[:, column], names, strict=True):
                shown = [(p["w"], p[name]["mean"], p[name]["std"]) for p in points if name in p]
                if shown:
                    colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
                    options = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.4, "capsize": 2}
                    panel.errorbar(*zip(*shown, strict=True), label=_plain(row["label"]), **options)
    for panel, name in zip(panels[:, 0], names, strict=True):
        panel.set_ylabel(name)
    for panel in panels.flat:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, -1].legend(frameon=False, fontsize=8)
    return figure


def loss_against_log_snr(results: dict[str, Any]) -> Figure:
    """The held-out error of eps_hat against the noise level, all arms on one axis."""
    figure, (panel,) = _figure(1, 6.4, 3.6)
    for i, arm in enumerate(results["arms"]):
        curve = arm["loss_by_log_snr"]
        x, y, error = (np.array(curve[k]) for k in ("log_snr", "loss", "std_error"))
        panel.plot(
            x, y, color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], markersize=3, label=_plain(arm["label"])
        )
        panel.fill_between(x, y - 2 * error, y + 2 * error, color=COLOURS[i % len(COLOURS)], alpha=0.15, linewidth=0)
    panel.set(xlabel="log-SNR  λ = log α²/σ²   (noise ← → data)", ylabel="E |ε − ε̂|² / D, held-out", ylim=(0, None))
    panel.legend(frameon=False)
    return figure


def accuracy_against_log_snr(found: dict[str, Any], title: str) -> Figure:
    """The share of held-out examples that a classifier tells right against the noise level, and the largest class as a line."""
    figure, (panel,) = _figure(1, 6.4, 3.6)
    panel.plot(found["log_snr"], found["accuracy"], color=COLOURS[0], marker=MARKERS[0], markersize=3, label=_plain(title))
    panel.axhline(found["largest_class"], color="#555", linestyle="--", linewidth=1, label="the largest class, always")
    panel.set(xlabel="log-SNR  λ = log α²/σ²   (noise ← → data)", ylabel="told right, held-out", ylim=(0, 1.02))
    panel.legend(frameon=False)
    return figure


def training_curves(results: dict[str, Any]) -> Figure:
    """The training loss, faint as logged and solid as a running median of nine rows."""
    figure, (panel,) = _figure(1, 6.4, 3.6)
    for i, arm in enumerate(results["arms"]):
        step, loss = (np.array(arm["curve"][k]) for k in ("step", "loss"))
        smooth = [np.median(loss[max(0, j - 4) : j + 5]) for j in range(len(loss))]
        panel.plot(step, loss, color=COLOURS[i % len(COLOURS)], alpha=0.25, linewidth=1)
        panel.plot(step, smooth, color=COLOURS[i % len(COLOURS)], label=_plain(arm["label"]))
    panel.set(xlabel="step", ylabel="training loss", yscale="log")
    panel.legend(frameon=False)
    return figure


def sample_sheet(grids: dict[str, dict[str, np.ndarray]], real: np.ndarray, labels: dict[str, str]) -> Figure:
    """Rows of arms, columns of samplers, each the first 36 samples from the same latents; real held-out ones at the right."""
    samplers = list(next(iter(grids.values())))
    columns = len(samplers) + 1
    figure = _sheet(2.3 * columns, 2.45 * len(grids))
    axes = figure.subplots(len(grids), columns, squeeze=False)
    for row, (arm, by_sampler) in enumerate(grids.items()):
        for column, events in enumerate([*by_sampler.values(), real]):
            panel = axes[row, column]
            _show(panel, events[:36] if events.ndim > 2 else events, 6)
            if row == 0:
                panel.set_title([*(s.replace("_", " ") for s in samplers), "real, held out"][column], fontsize=10)
        axes[row, 0].set_ylabel(_plain(labels[arm]), fontsize=10)
    return figure


def process_strip(process: dict[str, np.ndarray], labels: dict[str, str]) -> Figure:
    """The reverse process from noise (left) to data: an arm a row, four samples in each frame."""
    frames = len(next(iter(process.values())))
    figure = _sheet(1.05 * frames, 1.2 * len(process))
    axes = figure.subplots(len(process), frames, squeeze=False)
    for row, (arm, snapshots) in enumerate(process.items()):
        for panel, events in zip(axes[row], snapshots, strict=True):
            _show(panel, events[:4] if events.ndim > 2 else events, 2)
        axes[row, 0].set_ylabel(_plain(labels[arm]), fontsize=8)
    return figure


def process_gif(process: dict[str, np.ndarray], path: Path) -> None:
    """The reverse process of every arm side by side, the last frame held."""
    frames = [
        _beside([picture(events[:16] if events.ndim > 2 else events, 4, 6).convert("L") for events in at_time])
        for at_time in zip(*process.values(), strict=True)
    ]
    durations = [140] * (len(frames) - 1) + [2000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _beside(images: Sequence[Image.Image], gap: int = 24) -> Image.Image:
    sheet = Image.new("L", (sum(i.width for i in images) + gap * (len(images) - 1), images[0].height), 255)
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + gap
    return sheet
