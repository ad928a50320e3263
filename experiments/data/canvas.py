"""Empty matplotlib figures in one style, made through the object interface: no global state, no display."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.runtime.errors import printable
from experiments.runtime.progress import say

if TYPE_CHECKING:  # a second to import: only where something is plotted
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: safe for the colour-blind
COLOUR_MAP = "viridis"
"""The colours of one channel of floats: even to the eye, and safe for the colour-blind."""
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 10}


def blank_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches, without a panel."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=130)


def panel_row(columns: int, width: float, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure with one row of panels, and the panels."""
    figure, panels = panel_grid(1, columns, width, height, **options)
    return figure, list(panels[0])


def panel_grid(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure and its panels [rows, columns]; `options` are those of `Figure.subplots`."""
    import matplotlib

    with matplotlib.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        figure = blank_figure(width, height)
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def legend_below(figure: Figure) -> None:
    """Adds one legend for all panels below them, where it covers no point. Panels name the same thing by the same label."""
    named = {text: handle for panel in figure.axes for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    if named:
        columns = max(1, int(12 * figure.get_figwidth() / (8 + max(map(len, named)))))  # about 12 letters of size 8 an inch
        figure.legend(named.values(), named, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def colour(i: int) -> str:
    """The colour of the i-th of several, from the first again after the last."""
    return COLOURS[i % len(COLOURS)]


def marker(i: int) -> str:
    """The marker of the i-th of several, from the first again after the last."""
    return MARKERS[i % len(MARKERS)]


def plain(text: str) -> str:
    """The text as matplotlib shows it literally: between two $ it would read TeX, and legends leave out what begins with _."""
    literal = printable(text).replace("$", r"\$")
    return f" {literal}" if literal.startswith("_") else literal


def save(figure: Figure, path: Path) -> None:
    """Writes the figure without its margins. Letters that its font lacks are boxes, which is said once."""
    with warnings.catch_warnings(record=True) as caught:
        figure.savefig(path, facecolor="white", bbox_inches="tight", pad_inches=0.1)
    if any("missing from" in str(warning.message) for warning in caught):
        _say_of_boxes()


@cache
def _say_of_boxes() -> None:
    say("warning: letters that the font of pictures lacks are boxes; font.family in a matplotlibrc names another font")
