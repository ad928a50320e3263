"""The image to paint on: its choice, its known part, and the button that fills in the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from nicegui import ui

from experiments.data.scaler import Scaler
from experiments.page.brush import Brush
from experiments.page.controls import number, slider, whole
from experiments.page.request import KnownPart
from experiments.page.sheet import sheet, view_of
from experiments.runtime.errors import ConfigError


class Painting:
    """One of the `held_out` images or fields [M, H, W, C], or one of `samples()`, under a brush; `inpaint()` is its button."""

    def __init__(
        self,
        scaler: Scaler,
        shape: tuple[int, ...],
        held_out: np.ndarray,
        samples: Callable[[], np.ndarray | None],
        inpaint: Callable[[], object],
    ):
        self._scaler, self._held_out, self._samples, self._view = scaler, held_out, samples, view_of(scaler, shape)
        self._levels, self._taken = np.zeros(shape, held_out.dtype), -1
        with ui.column().classes("card paint"):
            ui.label("paint over what is to be filled in").classes("title")
            self._brush = Brush(*shape[:2])
            with ui.row(wrap=False).classes("pair sources"):
                self._number = number("held-out image", 0, 0, max(0, len(held_out) - 1)).classes("grow")
                self._number.on_value_change(self._show_held_out)
                self._number.set_visibility(len(held_out) > 0)
                ui.button("a sample", on_click=self._show_sample).props("flat dense no-caps").tooltip("the next of the samples")
                ui.button("clear", on_click=self._brush.clear_paint).props("flat dense no-caps")
            radius = slider("brush, in pixels", max(1.0, shape[0] / 16), 0.5, max(2.0, shape[0] / 4), 0.5)
            radius.on_value_change(lambda event: self._brush.resize(event.value or 1.0))
            self._brush.resize(radius.value or 1.0)
            self._repeats = slider("times that a step is repeated", 1, 1, 10, 1)
            self.button = ui.button("inpaint", icon="brush", on_click=inpaint).props("unelevated no-caps").classes("wide")
        self._show(held_out[0] if len(held_out) else self._levels)

    @property
    def repeats(self) -> int:
        """The `repeats` of `samplers.resample`."""
        return whole(self._repeats.value)

    def known_part(self) -> KnownPart:
        """The pixels that were not painted over. ConfigError if nothing was."""
        if not self._brush.unknown.any():
            raise ConfigError("nothing is painted over: drag the mouse over the image, then inpaint")
        return KnownPart(self._levels, ~self._brush.unknown)

    def _show(self, levels: np.ndarray) -> None:
        self._levels = levels
        self._brush.show(sheet(self._scaler.display(levels[None]), side=1, view=self._view))

    def _show_held_out(self) -> None:
        i = whole(self._number.value)
        if isinstance(i, int) and 0 <= i < len(self._held_out):
            self._show(self._held_out[i])

    def _show_sample(self) -> None:
        if (samples := self._samples()) is None:
            ui.notify("there are no samples yet")
            return
        self._taken = (self._taken + 1) % len(samples)
        self._show(samples[self._taken])
