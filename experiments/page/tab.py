"""One tab of a browser: its choices, its process, its painting, and nothing of another tab's."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from nicegui import ui

from experiments.page.controls import Controls
from experiments.page.painting import Painting
from experiments.page.process import Frame, Known, Request, Reverse
from experiments.page.stage import Stage
from experiments.runtime.errors import UserError, brief
from experiments.runtime.failures import explained
from experiments.runtime.signals import stop

PACE = 0.04
"""Seconds that a frame stays at least, or a small network's process would be over before it is seen."""
STYLE = Path(__file__).with_name("page.css")


class Tab:
    """The page of `reverse`, with `held_out` images [M, H, W, C], as levels, to paint on; `about`: title and subtitle.

    `worker`: of one thread, which is asked for one frame at a time, so that tabs take turns, and the page answers meanwhile.
    """

    def __init__(self, reverse: Reverse, held_out: np.ndarray, about: tuple[str, str], worker: ThreadPoolExecutor):
        self._reverse, self._worker, self._stopping = reverse, worker, False
        scaler, shape = reverse.experiment.scaler, reverse.experiment.shape
        ui.add_css(STYLE)
        ui.colors(primary="#33658a")
        with ui.column().classes("page"):
            with ui.row(wrap=False).classes("top"):
                ui.label(about[0]).classes("heading")
                ui.label(about[1]).classes("quiet")
            with ui.row(wrap=False).classes("columns"):
                with ui.column().classes("card choices"):
                    self._controls = Controls(reverse)
                    self._sample = ui.button("sample", icon="play_arrow", on_click=self.sample).props("unelevated no-caps")
                    self._sample.classes("wide last")
                    self._stop = ui.button("stop", icon="stop", on_click=self.stop).props("outline no-caps").classes("wide")
                with ui.column().classes("stage"):
                    self._stage = Stage(scaler)
                self._painting = Painting(scaler, shape, held_out, self._stage.samples, self.inpaint) if shape[2:] else None
        self._free(True)
        ui.context.client.on_delete(self.stop)

    def _free(self, so: bool) -> None:
        """Whether something can be started, or stopped."""
        starting = [self._sample] + ([self._painting.button] if self._painting else [])
        for button in starting:
            button.set_enabled(so)
        self._stop.set_enabled(not so)

    async def sample(self) -> None:
        """Draws the samples that are asked for."""
        try:
            request = self._controls.request()
        except UserError as error:
            self._stage.say(str(error), wrong=True)
            return
        await self._run(request, None)

    async def inpaint(self) -> None:
        """Fills in what is painted over, as often as samples are asked for."""
        if self._painting is None:
            return
        try:
            request, known = self._controls.request(repeats=self._painting.repeats), self._painting.known()
        except UserError as error:
            self._stage.say(str(error), wrong=True)
            return
        await self._run(request, known)

    def stop(self) -> None:
        """Ends after the frame that is being computed."""
        self._stopping = True

    async def _run(self, request: Request, known: Known | None) -> None:
        """Shows a process as it goes. Whatever ends it is said in a sentence."""
        if not self._sample.enabled:  # a second click that came before the first was answered
            return
        self._stopping = False
        self._free(False)
        compiles = self._reverse.compiles(request, known is not None)
        self._stage.begin("compiling; another time it is there at once" if compiles else "waiting for its turn")
        try:
            self._stage.say(*await self._show(self._reverse.frames(request, known), "inpainted" if known else "sampled"))
        finally:
            self._stage.end()
            self._free(True)

    async def _show(self, frames: Iterator[Frame], ended: str) -> tuple[str, bool]:
        """What is to be said at the end, and whether something went wrong."""
        try:
            while not (self._stopping or stop.asked):
                began = time.monotonic()
                work = asyncio.get_running_loop().run_in_executor(self._worker, self._next, frames)
                if (found := await work) is None:
                    return ended, False
                self._stage.add(*found)
                self._stage.say("sampling")
                await asyncio.sleep(max(0.0, PACE - (time.monotonic() - began)))
        except Exception as error:  # of a sampler or a network: the page stays
            known = error if isinstance(error, UserError) else explained(error)
            if known is None:
                traceback.print_exception(error)  # a fault of ours, for the terminal
            return str(known or brief(error)), True
        return "stopped", False

    def _next(self, frames: Iterator[Frame]) -> tuple[Frame, tuple[str, str]] | None:
        """A frame and its pictures; None at the end."""
        frame = next(frames, None)
        return frame and (frame, self._stage.drawn(frame))
