"""The view of the process: x_t, the network's expectation, its progress, and all of its frames once more."""

from __future__ import annotations

import math

import numpy as np
from nicegui import ui
from PIL import Image

from experiments.data.scaler import Scaler
from experiments.page.process import Frame
from experiments.page.program import FRAMES
from experiments.page.sheet import png, sheet, source, view_of

MOMENTS, ACROSS = 12, 640
"""Columns of the strip below, from noise to data, and its width in pixels."""
HOLDS, ENDS = "what the sampler holds, xₜ", "samples, x₀"
EMPTY = source(Image.new("L", (1, 1), 240))


class Viewer:
    """The newest frame of one process, or the one that the slider chooses; its first sample as a strip."""

    def __init__(self, scaler: Scaler, shape: tuple[int, ...]):
        self._scaler, self._frames, self._pictures = scaler, list[Frame](), list[tuple[str, str]]()
        self._view = view_of(scaler, shape)
        kind = "of-pixels" if len(shape) > 2 else "of-points"
        with ui.row(wrap=False).classes("panels"):
            with ui.column().classes("card"):
                self._title = ui.label(HOLDS).classes("title")
                self._noisy = ui.element("img").classes(f"sheet noisy {kind}").props(f'alt="x_t" src="{EMPTY}"')
            with ui.column().classes("card"):
                ui.label("what the network expects, E[x₀ | xₜ]").classes("title")
                self._expected = ui.element("img").classes(f"sheet expected {kind}").props(f'alt="E[x_0 | x_t]" src="{EMPTY}"')
        with ui.column().classes("card below"):
            with ui.row(wrap=False).classes("said"):
                self._status = ui.label().classes("status")
                with ui.row(wrap=False).classes("numbers"):
                    self._numbers = ui.label().classes("quiet numerals")
                    self._save = ui.button(icon="download", on_click=self._download).props("flat round dense")
                    self._save.tooltip("the samples as a PNG file")
            self._at = ui.slider(min=0, max=1, step=1, value=0, on_change=self._look).props("dense").classes("time")
            self._strip = ui.element("img").classes("strip").props('alt="the first sample from noise to data"')
        self.begin("choose a sampler, and press sample")

    def begin(self, words: str) -> None:
        """Begins a new process. The last one stays in view until the first frame comes."""
        self._frames, self._pictures = [], []
        self.say(words)
        self._at.disable()
        self._save.disable()

    def say(self, words: str, wrong: bool = False) -> None:
        """Shows a sentence on the state of the process."""
        self._status.text = words
        self._status.classes(add="wrong" if wrong else "", remove="" if wrong else "wrong")

    def pictures(self, frame: Frame) -> tuple[str, str]:
        """Both pictures of a frame. Points take matplotlib a while, so the worker calls this."""
        return self._source(self._held(frame)), self._source(frame.expected)

    def add(self, frame: Frame, pictures: tuple[str, str]) -> None:
        """Adds the next frame, and shows it."""
        self._frames.append(frame)
        self._pictures.append(pictures)
        self._at.props["max"] = math.ceil(frame.steps / math.ceil(frame.steps / FRAMES))
        self._at.value = len(self._frames) - 1
        self._look()  # a slider that stood there already sends no event
        if frame.step == frame.steps:
            self._save.enable()
            self._film()

    def end(self) -> None:
        """Ends the process: from now on the slider goes back."""
        if len(self._frames) > 1:
            self._at.props["max"] = len(self._frames) - 1
            self._at.enable()

    def samples(self) -> np.ndarray | None:
        """The levels that the last process ended with, if it did."""
        last = self._frames[-1] if self._frames else None
        return last.samples if last and last.step == last.steps else None

    def _held(self, frame: Frame) -> np.ndarray:
        return frame.samples if frame.step == frame.steps else frame.noisy

    def _source(self, levels: np.ndarray) -> str:
        return source(sheet(self._scaler.display(levels), view=self._view))

    def _film(self) -> None:
        """Shows the first image at even frames: x_t above, the expectation of it below."""
        if self._frames[0].noisy.ndim == 2:
            return
        at = np.unique(np.round(np.linspace(0, len(self._frames) - 1, MOMENTS)).astype(int))
        rows = [self._held(self._frames[i])[0] for i in at] + [self._frames[i].expected[0] for i in at]
        self._strip.props["src"] = source(sheet(self._scaler.display(np.stack(rows)), len(at), ACROSS, self._view))

    def _look(self) -> None:
        """Shows the frame that the slider chooses, or the nearest that exists."""
        if not self._frames:
            return
        i = min(max(int(self._at.value or 0), 0), len(self._frames) - 1)
        frame = self._frames[i]
        self._noisy.props["src"], self._expected.props["src"] = self._pictures[i]
        self._title.text = ENDS if frame.step == frame.steps else HOLDS
        self._numbers.text = (
            f"step {frame.step}/{frame.steps} · t = {frame.t:.3f} · log-SNR {frame.log_snr:+.1f} · "
            f"NFE {frame.nfe:.0f} · {frame.seconds:.2f} s"
        )

    def _download(self) -> None:
        if (samples := self.samples()) is not None:
            ui.download.content(png(sheet(self._scaler.display(samples), view=self._view)), "samples.png", "image/png")
