"""Curves of results: quality, loss and accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.data.canvas import colour, marker, panel_grid, panel_row, plain
from experiments.evaluation.measures import plotted

if TYPE_CHECKING:  # a second to import: only where something is plotted
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.evaluation.measures import Measure

LOG_SNR = "log-SNR  λ = log α²/σ²   (noise ← → data)"


def quality_against_nfe(results: dict[str, Any]) -> Figure:
    """Samplers against their network evaluations, with real images as a line: a row a measure, a column an arm."""
    arms, measures = results["arms"], plotted(results, "nfe")
    size = 1.5 + 3.4 * len(arms), 3.6 * len(measures)
    figure, panels = panel_grid(len(measures), len(arms), *size, sharey="row")
    for row, measure in zip(panels, measures, strict=True):
        for panel, arm in zip(row, arms, strict=True):
            for i, sampler in enumerate(arm["samplers"]):
                points = sorted([sampler, *(p for p in sampler["sweep"] if "w" not in p)], key=lambda p: p["nfe"])
                _curve(panel, i, sampler["label"], "nfe", measure, points, markersize=5)
            _baseline(panel, results["reference"], measure)
            panel.set_xscale("log")
            _scale_quality(panel, results["reference"], measure)
            panel.set(title=plain(arm["label"]), xlabel="network evaluations per sample (NFE)")
            _tick_at_evaluations(panel, arm)
        row[0].set_ylabel(plain(measure.heading(results["distance"])))
        row[-1].legend(frameon=False, fontsize=8)
    return figure


def quality_against_w(results: dict[str, Any]) -> Figure:
    """Samplers against the weight of their guidance: a row a measure, a column an arm."""
    arms, measures = results["arms"], plotted(results, "w")
    size = 1.5 + 3.0 * len(arms), 2.2 * len(measures)
    figure, panels = panel_grid(len(measures), len(arms), *size, sharex=True, sharey="row")
    for row, measure in zip(panels, measures, strict=True):
        for panel, arm in zip(row, arms, strict=True):
            for i, sampler in enumerate(arm["samplers"]):
                points = sorted((p for p in sampler["sweep"] if "w" in p), key=lambda p: p["w"])
                _curve(panel, i, sampler["label"], "w", measure, points, markersize=4)
        row[0].set_ylabel(plain(measure.heading(results["distance"])))
    for column, arm in zip(panels.T, arms, strict=True):
        column[0].set_title(plain(arm["label"]), fontsize=10)
        column[-1].set_xlabel("guidance weight w")
    panels[0, -1].legend(frameon=False, fontsize=8)
    return figure


def _curve(panel: Axes, i: int, label: str, x: str, measure: Measure, points: list[dict[str, Any]], markersize: float) -> None:
    """The measure of the points that have it, with its spread over seeds."""
    points = [p for p in points if measure.name in p]
    if points:
        mean, std = ([measure.times * p[measure.name][part] for p in points] for part in ("mean", "std"))
        panel.errorbar(
            [p[x] for p in points],
            mean,
            std,
            label=plain(label),
            color=colour(i),
            marker=marker(i),
            markersize=markersize,
            linewidth=1.4,
            capsize=2,
        )


def _baseline(panel: Axes, real: dict[str, Any], measure: Measure) -> None:
    """The measure of real images as a line, if they have it."""
    if measure.name in real:
        options: dict[str, Any] = {"color": "#555", "linestyle": "--", "linewidth": 1}
        panel.axhline(measure.times * real[measure.name]["mean"], label=plain(f"real {real['of']} images"), **options)


def _scale_quality(panel: Axes, real: dict[str, Any], measure: Measure) -> None:
    """A logarithmic axis for a distance; of one that may fall below 0 it is linear as far as real images are from 0."""
    if measure.signed:
        near = measure.times * max(abs(real[measure.name]["mean"]), real[measure.name]["std"])
        panel.set_yscale("symlog", linthresh=near if near > 0 else 1.0)
    elif measure.better == "lower":
        panel.set_yscale("log")


def _tick_at_evaluations(panel: Axes, arm: dict[str, Any]) -> None:
    """Ticks at the numbers of evaluations, as far apart as can be read."""
    ticks = sorted({round(p["nfe"]) for row in arm["samplers"] for p in [*row["sweep"], row]})
    spaced = [t for i, t in enumerate(ticks) if not i or t > 1.3 * ticks[i - 1]]
    panel.set_xticks(spaced, [str(t) for t in spaced])
    panel.minorticks_off()


def loss_against_log_snr(results: dict[str, Any]) -> Figure:
    """The held-out error of eps_hat against the noise level, all arms on one axis."""
    figure, (panel,) = panel_row(1, 6.4, 3.6)
    for i, arm in enumerate(results["arms"]):
        curve = arm["loss_by_log_snr"]
        x, y, error = (np.array(curve[k]) for k in ("log_snr", "loss", "std_error"))
        panel.plot(x, y, color=colour(i), marker=marker(i), markersize=3, label=plain(arm["label"]))
        panel.fill_between(x, y - 2 * error, y + 2 * error, color=colour(i), alpha=0.15, linewidth=0)
    panel.set(xlabel=LOG_SNR, ylabel="E |ε − ε̂|² / D, held-out", ylim=(0, None))
    panel.legend(frameon=False)
    return figure


def accuracy_against_log_snr(results: dict[str, Any], title: str) -> Figure:
    """The share of held-out examples that a classifier gets right against the noise level, and the largest class as a line."""
    figure, (panel,) = panel_row(1, 6.4, 3.6)
    panel.plot(results["log_snr"], results["accuracy"], color=colour(0), marker=marker(0), markersize=3, label=plain(title))
    panel.axhline(results["largest_class"], color="#555", linestyle="--", linewidth=1, label="the largest class, always")
    panel.set(xlabel=LOG_SNR, ylabel="told right, held-out", ylim=(0, 1.02))
    panel.legend(frameon=False)
    return figure


def training_curves(results: dict[str, Any]) -> Figure:
    """The training loss, faint as logged and solid as a running median of nine rows."""
    figure, (panel,) = panel_row(1, 6.4, 3.6)
    for i, arm in enumerate(results["arms"]):
        step, loss = (np.array(arm["curve"][k]) for k in ("step", "loss"))
        smooth = [np.median(loss[max(0, j - 4) : j + 5]) for j in range(len(loss))]
        panel.plot(step, loss, color=colour(i), alpha=0.25, linewidth=1)
        panel.plot(step, smooth, color=colour(i), label=plain(arm["label"]))
    panel.set(xlabel="step", ylabel="training loss", yscale="log")
    panel.legend(frameon=False)
    return figure
