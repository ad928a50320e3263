"""A tab of a browser, with its own choices, process and painting."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nicegui import ui

from experiments.page.controls import Controls
from experiments.page.painting import Painting
from experiments.page.process import Frame, LiveProcess
from experiments.page.request import KnownPart, Request
from experiments.page.viewer import Viewer
from experiments.runtime.errors import UserError, brief
from experiments.runtime.failures import explained
from experiments.runtime.signals import stop

PACE = 0.04
"""Seconds that a frame stays at least: a small network's process would be over before anybody sees it."""
STYLE = Path(__file__).with_name("page.css")


class About(NamedTuple):
    """The words above a page: those of its run, and the titles of `others`, by their addresses."""

    title: str
    subtitle: str
    others: dict[str, str]


class Tab:
    """The page of a process, with `held_out` images or fields [M, H, W, C], as levels or floats, to paint on.

    `worker` has one thread and computes one frame at a time: tabs take turns, and the page answers meanwhile.
    """

    def __init__(self, process: LiveProcess, held_out: np.ndarray, about: About, worker: ThreadPoolExecutor):
        self._process, self._worker, self._stopping = process, worker, False
        scaler, shape = process.experiment.scaler, process.experiment.shape
        ui.add_css(STYLE)
        ui.colors(primary="#33658a")
        with ui.column().classes("page"):
            with ui.row(wrap=False).classes("top"):
                ui.label(about.title).classes("heading")
                for address, title in about.others.items():
                    ui.link(title, address).classes("other")
                ui.label(about.subtitle).classes("quiet")
            with ui.row(wrap=False).classes("columns"):
                with ui.column().classes("card choices"):
                    self._controls = Controls(process)
                    self._sample = ui.button("sample", icon="play_arrow", on_click=self.sample).props("unelevated no-caps")
                    self._sample.classes("wide last")
                    self._stop = ui.button("stop", icon="stop", on_click=self.stop).props("outline no-caps").classes("wide")
                with ui.column().classes("stage"):
                    self._viewer = Viewer(scaler, shape)
                painting = partial(Painting, scaler, shape, held_out, self._viewer.samples, self.inpaint)
                # A codec has no known part of its code where a part of the image is known.
                self._painting = painting() if len(shape) == 3 and process.experiment.codec is None else None
        self._set_free(True)
        ui.context.client.on_delete(self.stop)

    def _set_free(self, free: bool) -> None:
        """Enables the buttons that start something, or the one that stops it."""
        starting = [self._sample] + ([self._painting.button] if self._painting else [])
        for button in starting:
            button.set_enabled(free)
        self._stop.set_enabled(not free)

    async def sample(self) -> None:
        """Draws the samples of the request."""
        try:
            request = self._controls.request()
        except UserError as error:
            self._viewer.say(str(error), wrong=True)
            return
        await self._run(request, None)

    async def inpaint(self) -> None:
        """Fills in what is painted over, once for each sample of the request."""
        if self._painting is None:
            return
        try:
            request, known_part = self._controls.request(repeats=self._painting.repeats), self._painting.known_part()
        except UserError as error:
            self._viewer.say(str(error), wrong=True)
            return
        await self._run(request, known_part)

    def stop(self) -> None:
        """Stops after the frame that is being computed."""
        self._stopping = True

    async def _run(self, request: Request, known_part: KnownPart | None) -> None:
        """Shows a process as it goes, and in a sentence how it ended."""
        if not self._sample.enabled:  # a second click that came before the first was answered
            return
        self._stopping = False
        self._set_free(False)
        compiles = self._process.compiles(request, known_part is not None)
        self._viewer.begin("compiling; another time it is there at once" if compiles else "waiting for its turn")
        try:
            ending = "inpainted" if known_part else "sampled"
            self._viewer.say(*await self._show(self._process.frames(request, known_part), ending))
        finally:
            self._viewer.end()
            self._set_free(True)

    async def _show(self, frames: Iterator[Frame], ending: str) -> tuple[str, bool]:
        """Shows the frames; returns a sentence on their end, and whether something went wrong."""
        try:
            while not (self._stopping or stop.asked):
                began = time.monotonic()
                work = asyncio.get_running_loop().run_in_executor(self._worker, self._next, frames)
                if (result := await work) is None:
                    return ending, False
                self._viewer.add(*result)
                self._viewer.say("sampling")
                await asyncio.sleep(max(0.0, PACE - (time.monotonic() - began)))
        except Exception as error:  # of a sampler or a network: the page stays
            explanation = error if isinstance(error, UserError) else explained(error)
            if explanation is None:
                traceback.print_exception(error)  # a fault of ours, for the terminal
            return str(explanation or brief(error)), True
        return "stopped", False

    def _next(self, frames: Iterator[Frame]) -> tuple[Frame, tuple[str, str]] | None:
        """A frame and its pictures; None at the end."""
        frame = next(frames, None)
        return frame and (frame, self._viewer.pictures(frame))
