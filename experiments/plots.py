"""Figures from results and samples. matplotlib's object interface: no global state, no display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from experiments.errors import printable

if TYPE_CHECKING:  # a second to import: only where something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: safe for the colour-blind
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 10}


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


def _show(panel: Axes, events: np.ndarray, columns: int) -> None:
    """The picture of the events without a frame; of none, words."""
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)
    if len(events):
        panel.imshow(picture(events, columns, 1), cmap="gray", interpolation="nearest")
    else:
        panel.text(0.5, 0.5, "not finite", ha="center", va="center", fontsize=7, transform=panel.transAxes)


def _beside(images: Sequence[Image.Image], gap: int = 24) -> Image.Image:
    sheet = Image.new("L", (sum(i.width for i in images) + gap * (len(images) - 1), images[0].height), 255)
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + gap
    return sheet


def _rendered(figure: Figure) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
