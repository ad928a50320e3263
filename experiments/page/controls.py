"""The choices of the page: the sampler, its steps and noise, the number of samples, their seed and their label."""

from __future__ import annotations

import random
from typing import Any

from nicegui import ui
from pydantic import ValidationError

from experiments.config.classes import class_name
from experiments.config.messages import problem_lines
from experiments.page.process import LiveProcess
from experiments.page.program import STEPS
from experiments.page.request import Request
from experiments.runtime.errors import ConfigError

NUMBERS = (1, 4, 9, 16)
POINTS = (100, 400, 1000)


class Controls:
    """The column of choices. Their values come over a wire: `request` checks them."""

    def __init__(self, process: LiveProcess):
        self._process, config = process, process.experiment.config
        names = {name: name.replace("_", " ") for name in config.samplers}
        self._sampler = ui.select(names, value=config.sample.sampler, label="sampler", on_change=self._reset)
        self._about = ui.label().classes("quiet")
        self._steps = number("steps", 1, 1, STEPS)
        with ui.row(wrap=False).classes("pair"):
            self._seed = number("seed", config.sample.seed, 0, 2**31 - 1).classes("grow")
            ui.button(icon="casino", on_click=lambda: self._seed.set_value(random.randrange(1000))).props("flat round").tooltip(
                "another seed"
            )
        with ui.column().classes("slide") as self._noise:
            self._eta = slider("noise of a step, eta", 0.0, 0.0, 1.0, 0.05)
        with ui.column().classes("slide"):
            ui.label("samples").classes("quiet")
            n = POINTS if len(process.experiment.shape) == 1 else NUMBERS
            self._n = ui.toggle(list(n), value=n[-1]).props("unelevated dense no-caps spread").classes("wide")
        self._label, self._w = None, None
        if classes := process.experiment.classes:
            named = {y: class_name(y, process.experiment.names) for y in range(classes)}
            none = {-1: "none"} if process.experiment.has_unconditional else {}
            self._label = ui.select(none | named, value=-1 if none else 0, label="label")
            with ui.column().classes("slide") as weight:
                self._w = slider("weight of the label, w", 1.0, 0.0, 8.0, 0.1)
            weight.set_visibility(bool(none))
        self._reset()

    def _reset(self) -> None:
        """Sets the choices of a sampler to what the config says."""
        sampler = self._process.experiment.config.samplers[self._sampler.value]
        parts = [sampler.corrector and sampler.corrector.name, sampler.step.name, sampler.denoise and "denoise"]
        self._about.text = " + ".join(filter(None, parts)) + f" on {sampler.grid.name}"
        self._steps.value = min(sampler.n, STEPS)
        eta = self._process.eta(self._sampler.value)
        self._noise.set_visibility(eta is not None)
        self._eta.value = min(eta or 0.0, 1.0)

    def request(self, **more: Any) -> Request:
        """All choices, and `more`. ConfigError, in a sentence, if one is out of its range."""
        labelled = self._label is not None and self._label.value != -1
        try:
            return Request.model_validate(
                {
                    "sampler": self._sampler.value,
                    "steps": whole(self._steps.value),
                    "n": self._n.value,
                    "seed": whole(self._seed.value),
                    "eta": None if self._process.eta(self._sampler.value) is None else self._eta.value,
                    "label": self._label.value if labelled and self._label else None,
                    "w": self._w.value if labelled and self._w else 1.0,
                }
                | more
            )
        except ValidationError as error:
            raise ConfigError(list(problem_lines(error, Request))) from error


def number(label: str, value: int, low: int, high: int) -> ui.number:
    """A field for a whole number."""
    return ui.number(label, value=value, min=low, max=high, step=1, format="%d").props("dense")


def slider(label: str, value: float, low: float, high: float, step: float) -> ui.slider:
    """A slider, with its value above."""
    with ui.row(wrap=False).classes("said"):
        ui.label(label).classes("quiet")
        reading = ui.label().classes("quiet")
    bar = ui.slider(min=low, max=high, step=step, value=value).props("dense")
    reading.bind_text_from(bar, "value", lambda value: f"{value:g}")
    return bar


def whole(value: Any) -> Any:
    """The whole number 8 for a browser's 8.0; anything else as it is, for a `Request` to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
