"""Where the process is seen: x_t, what is expected of it, how far it is, and all of it again."""

from __future__ import annotations

import math

import numpy as np
from nicegui import ui
from PIL import Image

from experiments.data.scaler import Scaler
from experiments.page.process import FRAMES, Frame
from experiments.page.sheet import png, sheet, source

MOMENTS, ACROSS = 12, 640
"""Columns of the strip below, from noise to data, and its pixels across."""
HOLDS, ENDS = "what the sampler holds, xₜ", "samples, x₀"
EMPTY = source(Image.new("L", (1, 1), 240))


class Stage:
    """The frames of one process, side by side: the newest, or the one that was gone back to; its first sample as a strip."""

    def __init__(self, scaler: Scaler):
        self._scaler, self._frames, self._pictures = scaler, list[Frame](), list[tuple[str, str]]()
        kind = "of-pixels" if scaler.levels else "of-points"
        with ui.row(wrap=False).classes("panels"):
            with ui.column().classes("card"):
                self._title = ui.label(HOLDS).classes("title")
                self._noisy = ui.element("img").classes(f"sheet noisy {kind}").props(f'alt="x_t" src="{EMPTY}"')
            with ui.column().classes("card"):
                ui.label("what the network expects, E[x₀ | xₜ]").classes("title")
                self._expected = ui.element("img").classes(f"sheet expected {kind}").props(f'alt="E[x_0 | x_t]" src="{EMPTY}"')
        with ui.column().classes("card below"):
            with ui.row(wrap=False).classes("said"):
                self._said = ui.label().classes("status")
                with ui.row(wrap=False).classes("numbers"):
                    self._numbers = ui.label().classes("quiet numerals")
                    self._save = ui.button(icon="download", on_click=self._download).props("flat round dense")
                    self._save.tooltip("the samples as a PNG file")
            self._at = ui.slider(min=0, max=1, step=1, value=0, on_change=self._look).props("dense").classes("time")
            self._strip = ui.element("img").classes("strip").props('alt="the first sample from noise to data"')
        self.begin("choose a sampler, and press sample")

    def begin(self, words: str) -> None:
        """A new process, of which there is nothing to see yet; the last one stays until there is."""
        self._frames, self._pictures = [], []
        self.say(words)
        self._at.disable()
        self._save.disable()

    def say(self, words: str, wrong: bool = False) -> None:
        """How it stands, in a sentence."""
        self._said.text = words
        self._said.classes(add="wrong" if wrong else "", remove="" if wrong else "wrong")

    def drawn(self, frame: Frame) -> tuple[str, str]:
        """Both pictures of a frame: of points it takes matplotlib a while, so this is the worker's."""
        return self._source(self._held(frame)), self._source(frame.expected)

    def add(self, frame: Frame, pictures: tuple[str, str]) -> None:
        """The next frame, shown."""
        self._frames.append(frame)
        self._pictures.append(pictures)
        self._at.props["max"] = math.ceil(frame.steps / math.ceil(frame.steps / FRAMES))
        self._at.value = len(self._frames) - 1
        self._look()  # where the slider stood there already, it has nothing to tell
        if frame.done == frame.steps:
            self._save.enable()
            self._film()

    def end(self) -> None:
        """No frame comes any more: it can be gone back."""
        if len(self._frames) > 1:
            self._at.props["max"] = len(self._frames) - 1
            self._at.enable()

    def samples(self) -> np.ndarray | None:
        """The levels of what the last process ended with, if it did."""
        last = self._frames[-1] if self._frames else None
        return last.samples if last and last.done == last.steps else None

    def _held(self, frame: Frame) -> np.ndarray:
        return frame.samples if frame.done == frame.steps else frame.noisy

    def _source(self, levels: np.ndarray) -> str:
        return source(sheet(self._scaler.display(levels)))

    def _film(self) -> None:
        """The first image at even frames: x_t above, what was expected of it below."""
        if self._frames[0].noisy.ndim != 4:
            return
        at = np.unique(np.round(np.linspace(0, len(self._frames) - 1, MOMENTS)).astype(int))
        rows = [self._held(self._frames[i])[0] for i in at] + [self._frames[i].expected[0] for i in at]
        self._strip.props["src"] = source(sheet(self._scaler.display(np.stack(rows)), len(at), ACROSS))

    def _look(self) -> None:
        """Shows the frame that the slider says, the nearest that there is."""
        if not self._frames:
            return
        i = min(max(int(self._at.value or 0), 0), len(self._frames) - 1)
        frame = self._frames[i]
        self._noisy.props["src"], self._expected.props["src"] = self._pictures[i]
        self._title.text = ENDS if frame.done == frame.steps else HOLDS
        self._numbers.text = (
            f"step {frame.done}/{frame.steps} · t = {frame.t:.3f} · log-SNR {frame.log_snr:+.1f} · "
            f"NFE {frame.nfe:.0f} · {frame.seconds:.2f} s"
        )

    def _download(self) -> None:
        if (samples := self.samples()) is not None:
            ui.download.content(png(sheet(self._scaler.display(samples))), "samples.png", "image/png")
