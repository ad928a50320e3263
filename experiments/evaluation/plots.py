"""Curves of results: quality, loss and accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.data.canvas import colour, legend_below, marker, panel_grid, panel_row, plain
from experiments.evaluation.measures import plotted
from experiments.evaluation.sweeps import keys as swept_keys
from experiments.evaluation.sweeps import ranking
from experiments.evaluation.training_seeds import common_curve, runs_of

if TYPE_CHECKING:  # a second to import: only where something is plotted
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.evaluation.measures import Measure

LOG_SNR = "log-SNR  λ = log α²/σ²   (noise ← → data)"
TICKS = 8
"""The most ticks that can be read on an axis of numbers of evaluations."""
WINDOW = 9
"""The rows of the log in a running median."""


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
            panel.set(xscale="log", title=plain(arm["label"]), xlabel="network evaluations per sample (NFE)")
            evaluations = spaced(round(p["nfe"]) for row in arm["samplers"] for p in [*row["sweep"], row])
            panel.set_xticks(evaluations, [str(t) for t in evaluations])
            panel.minorticks_off()
        row[0].set_ylabel(plain(measure.heading(results["distance"])))
        if measure.signed:
            _log_about_0(row, results["reference"], measure)
        elif measure.better == "lower":
            _log_if_positive(row)
    legend_below(figure)
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
    legend_below(figure)
    return figure


def quality_against_keys(results: dict[str, Any]) -> Figure:
    """The best sampler of each arm of a sweep against each of its keys: a panel a key, a line for each value of the others."""
    headline, rows = plotted(results, "nfe")[0], ranking(results)
    keys = [key for key in swept_keys(results) if len({row["values"].get(key) for row in rows}) > 1]
    figure, panels = panel_row(max(1, len(keys)), 1.5 + 3.4 * max(1, len(keys)), 3.4, sharey=True)
    for panel, key in zip(panels, keys, strict=False):
        places = _places(dict.fromkeys(values[key] for values in results["swept"].values()))
        lines: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            others = ", ".join(f"{k} = {v}" for k, v in row["values"].items() if k in keys and k != key)
            lines.setdefault(others, []).append(row | {"place": places[row["values"][key]]})
        for i, (others, points) in enumerate(sorted(lines.items())):
            _curve(panel, i, others or key, "place", headline, sorted(points, key=lambda p: p["place"]), markersize=5)
        panel.set(xlabel=plain(key))
        if all(place > 0 for place in places.values()) and max(places.values()) > 10 * min(places.values()):
            panel.set_xscale("log")
            panel.minorticks_off()
        panel.set_xticks(list(places.values()), [plain(text) for text in places])
    panels[0].set_ylabel(plain(headline.heading(results["distance"])))
    legend_below(figure)
    return figure


def _places(texts: Iterable[str]) -> dict[str, float]:
    """The place of each value on an axis: a number's own, if all are numbers, or else its turn."""
    try:
        return {text: float(text) for text in texts}
    except ValueError:
        return {text: float(i) for i, text in enumerate(texts)}


def _curve(panel: Axes, i: int, label: str, x: str, measure: Measure, points: list[dict[str, Any]], markersize: float) -> None:
    """The measure of the points that have it, with its spread over seeds; over training seeds it is a band, too."""
    points = [p for p in points if measure.name in p]
    if points:
        mean, std = ([measure.times * p[measure.name][part] for p in points] for part in ("mean", "std"))
        if "training_seeds" in points[0][measure.name]:
            _band(panel, i, [p[x] for p in points], np.array(mean), np.array(std))
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


def _band(panel: Axes, i: int, x: Any, mean: np.ndarray, half: np.ndarray) -> None:
    """A band around a curve, from mean - half to mean + half."""
    panel.fill_between(x, mean - half, mean + half, color=colour(i), alpha=0.15, linewidth=0)


def _baseline(panel: Axes, real: dict[str, Any], measure: Measure) -> None:
    """The measure of real images as a line, if they have it."""
    if measure.name in real:
        options: dict[str, Any] = {"color": "#555", "linestyle": "--", "linewidth": 1}
        panel.axhline(measure.times * real[measure.name]["mean"], label=plain(f"real {real['of']}"), **options)


def _log_about_0(panels: Sequence[Axes], real: dict[str, Any], measure: Measure) -> None:
    """Makes y, which the panels share, a log axis but for a linear part as wide as real examples are from 0."""
    near = measure.times * max(abs(real[measure.name]["mean"]), real[measure.name]["std"])
    panels[0].set_yscale("symlog", linthresh=near if near > 0 else 1.0)


def spaced(values: Iterable[int]) -> list[int]:
    """The least and the greatest of positive values, and others between them, as many as a log axis has room for."""
    first, *others = sorted(set(values))
    last = max(others, default=first)
    apart, ticks = max(1.3, (last / first) ** (1 / TICKS)), [first]
    for value in others:
        if value == last or apart * ticks[-1] <= value <= last / apart:
            ticks.append(value)
    return ticks


def _log_if_positive(panels: Sequence[Axes]) -> None:
    """Makes y, which the panels share, a log axis with some numbers, unless a value has no place on it, or all are one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    y = np.concatenate([np.asarray(line.get_ydata(), float) for panel in panels for line in panel.lines])
    y = y[np.isfinite(y)]
    if len(y) and 0 < y.min() < y.max():
        panels[0].set_yscale("log")
        panels[0].minorticks_off()
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if y.max() > 5 * y.min() else MaxNLocator(5))
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))


def loss_against_log_snr(results: dict[str, Any]) -> Figure:
    """The held-out error of eps_hat against the noise level, all arms on one axis.

    The band is one standard deviation over training seeds, or of one run two standard errors over examples.
    """
    figure, (panel,) = panel_row(1, 6.4, 3.6)
    for i, arm in enumerate(results["arms"]):
        curve = arm["loss_by_log_snr"]
        if not curve["loss"]:  # of an SDE without alpha and sigma
            continue
        x, y, error = (np.array(curve[k], float) for k in ("log_snr", "loss", "std_error"))
        panel.plot(x, y, color=colour(i), marker=marker(i), markersize=3, label=plain(arm["label"]))
        _band(panel, i, x, y, np.array(curve["std"], float) if "std" in curve else 2 * error)
    panel.set(xlabel=LOG_SNR, ylabel="E |ε − ε̂|² / D, held-out", ylim=(0, None))
    legend_below(figure)
    return figure


def accuracy_against_log_snr(results: dict[str, Any], title: str) -> Figure:
    """The share of held-out examples that a classifier gets right against the noise level, and the largest class as a line."""
    figure, (panel,) = panel_row(1, 6.4, 3.6)
    panel.plot(results["log_snr"], results["accuracy"], color=colour(0), marker=marker(0), markersize=3, label=plain(title))
    panel.axhline(results["largest_class"], color="#555", linestyle="--", linewidth=1, label="the largest class, always")
    panel.set(xlabel=LOG_SNR, ylabel="told right, held-out", ylim=(0, 1.02))
    legend_below(figure)
    return figure


def training_curves(results: dict[str, Any]) -> Figure:
    """The training loss, a dot for each row of a log and the running median as a line; a gap where no loss was finite.

    Of an arm of several training seeds the line is the mean of their medians, and the band one standard deviation over them.
    """
    figure, (panel,) = panel_row(1, 6.4, 3.6)
    for i, arm in enumerate(results["arms"]):
        runs = runs_of(arm)
        for run in runs:
            step, loss = (np.array(run["curve"][k], float) for k in ("step", "loss"))
            panel.plot(step, loss, color=colour(i), alpha=0.3, marker=".", markersize=4, linewidth=0)
        step, losses = common_curve(runs)
        medians = np.array([running_median(loss) for loss in losses])
        panel.plot(step, medians.mean(0), color=colour(i), label=plain(arm["label"]))
        if len(runs) > 1:
            _band(panel, i, step, medians.mean(0), medians.std(0, ddof=1))
    panel.set(xlabel="step", ylabel="training loss")
    _log_if_positive([panel])
    legend_below(figure)
    return figure


def running_median(x: np.ndarray) -> np.ndarray:
    """The median of the finite among `WINDOW` values around each, or fewer by the ends: as many before it as after it.

    So what only falls stays as it is, to its ends. It is nan where x is nan.
    """
    reach = [min(WINDOW // 2, j, len(x) - 1 - j) for j in range(len(x))]
    return np.array([np.nanmedian(x[j - k : j + k + 1]) if np.isfinite(x[j]) else np.nan for j, k in enumerate(reach)])
