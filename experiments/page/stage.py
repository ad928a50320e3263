"""Where the process is seen: x_t, what is expected of it, how far it is, and all of it again."""

from __future__ import annotations

import numpy as np
from nicegui import ui

from experiments.page.reverse import Frame
from experiments.page.sheet import png, sheet, source
from experiments.scale import Scaler


class Stage:
    """The frames of one process, side by side: the newest, or the one that was gone back to."""

    def __init__(self, scaler: Scaler):
        self._scaler, self.frames, self._pictures = scaler, list[Frame](), list[tuple[str, str]]()
        with ui.row(wrap=False).classes("panels"):
            with ui.column().classes("card"):
                self._title = ui.label().classes("title")
                self._noisy = ui.element("img").classes("sheet noisy").props('alt="x_t"')
            with ui.column().classes("card"):
                ui.label("what it expects to come of it, E[x₀ | xₜ]").classes("title")
                self._expected = ui.element("img").classes("sheet expected").props('alt="the expected x_0"')
        with ui.column().classes("card below"):
            self._at = ui.slider(min=0, max=1, step=1, value=0, on_change=self._look).props("dense").classes("time")
            with ui.row(wrap=False).classes("said"):
                self._said = ui.label().classes("status")
                with ui.row(wrap=False).classes("numbers"):
                    self._numbers = ui.label().classes("quiet numerals")
                    self._save = ui.button(icon="download", on_click=self._download).props("flat round dense")
                    self._save.tooltip("the samples as a PNG file")
        self.begin("")

    def begin(self, words: str) -> None:
        """A new process, of which there is nothing to see yet; the last one stays until there is."""
        self.frames, self._pictures = [], []
        self.say(words)
        self._at.disable()
        self._save.disable()

    def say(self, words: str, wrong: bool = False) -> None:
        """How it stands, in a sentence."""
        self._said.text = words
        self._said.classes(**{"add" if wrong else "remove": "wrong"})

    def add(self, frame: Frame) -> None:
        """The next frame, shown."""
        self.frames.append(frame)
        ended = frame.done == frame.steps
        shown = (frame.samples if ended else frame.noisy), frame.expected
        self._pictures.append((self._source(shown[0]), self._source(shown[1])))
        self._at.props["max"] = max(1, -(-frame.steps // -(-frame.steps // 32)))
        self._at.value = len(self.frames) - 1
        if ended:
            self._save.enable()

    def end(self) -> None:
        """No frame comes any more: it can be gone back."""
        if self.frames:
            self._at.props["max"] = max(1, len(self.frames) - 1)
            self._at.enable()

    def samples(self) -> np.ndarray | None:
        """The levels of what the last process ended with, if it did."""
        last = self.frames[-1] if self.frames else None
        return last.samples if last and last.done == last.steps else None

    def _source(self, levels: np.ndarray) -> str:
        return source(sheet(self._scaler.display(levels)))

    def _look(self) -> None:
        """Shows the frame that the slider says, the nearest that there is."""
        if not self.frames:
            return
        i = min(max(int(self._at.value or 0), 0), len(self.frames) - 1)
        frame = self.frames[i]
        self._noisy.props["src"], self._expected.props["src"] = self._pictures[i]
        ended = frame.done == frame.steps
        self._title.text = "samples, x₀" if ended else "what the sampler holds, xₜ"
        self._numbers.text = (
            f"step {frame.done}/{frame.steps} · t = {frame.t:.3f} · log-SNR {frame.log_snr:+.1f} · "
            f"NFE {frame.nfe:.0f} · {frame.seconds:.2f} s"
        )

    def _download(self) -> None:
        if (samples := self.samples()) is not None:
            ui.download.content(png(sheet(self._scaler.display(samples))), "samples.png", "image/png")
