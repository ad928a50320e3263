"""A sampler at work, as frames."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.build.experiment import Experiment
from experiments.config.parts import STEP, parameters
from experiments.config.schema import Named
from experiments.page.program import FRAMES, MOVES, Inputs, Program, make_program, page_sampler
from experiments.page.request import KnownPart, Request
from experiments.randomness import Purpose, streams
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, NumericsError
from experiments.sampling.draw import Samples, unsound


class Frame(NamedTuple):
    """The process after `step` of its `steps`, at time `t` and log-SNR `log_snr`, as levels, or floats, [n, *event].

    `noisy`: x_t over sqrt(alpha^2 + sigma^2); `expected`: E[x_0 | x_t] by the network; `samples`: the result if the sampler
    ended here. `nfe`: network evaluations in the mean, without those for `expected`; `seconds`: without compiling.
    """

    step: int
    steps: int
    t: float
    log_snr: float
    noisy: np.ndarray
    expected: np.ndarray
    samples: np.ndarray
    nfe: float
    seconds: float


class LiveProcess:
    """The reverse process of a run, by any sampler of its config: `frames` of the samples that `sample` would draw."""

    def __init__(self, experiment: Experiment, params: Any):
        self.experiment, self._params = experiment.at(params), params
        self._programs: dict[tuple[Any, ...], Program] = {}
        self._compiled: set[tuple[Any, ...]] = set()

    def eta(self, sampler: str) -> float | None:
        """The noise of a sampler's step as configured; None if it takes none."""
        step = self.experiment.config.samplers[sampler].step
        parameter = parameters(STEP.find(step.name)).get("eta")
        return None if parameter is None else float(step.options.get("eta", parameter.default))

    def compiles(self, request: Request, painted: bool) -> bool:
        """Says if this needs a program that was not compiled yet."""
        return (*_kind(request, painted), request.n) not in self._compiled

    def frames(self, request: Request, known_part: KnownPart | None = None) -> Iterator[Frame]:
        """The process from its noise on, each frame when it is asked for; the first waits for the compiler.

        With a `known_part`, the rest of that image is filled in. ConfigError if the request fits no sampler or network;
        NumericsError, a sentence, if a number is not finite.
        """
        self._check(request)
        bound = page_sampler(self.experiment, request.sampler, request.label is not None)
        sampler, sde = bound.config, bound.sde
        kind = _kind(request, known_part is not None)
        begin, advance = self._program(request, kind)
        grid = np.asarray(bound.grid(request.steps))
        inputs, rows = self._inputs(request, known_part), devices.rounded_up(request.n)
        keys = streams(request.seed, Purpose.SAMPLE, rows)
        carry, step_keys = begin(self._params, keys, inputs)
        sound, seconds, step, moved = np.ones((request.n, 0), bool), 0.0, 0, 0
        while True:  # first without a move: it shows the noise, and compiles before the clock starts
            times = np.pad(grid[step : step + moved + 1], (0, MOVES - moved), mode="edge")
            began = time.monotonic()
            carry, view = advance(self._params, (carry, step_keys), times, step, step + moved, inputs)
            noisy, expected, levels, nfe, finite, fine_end, gave_up = (devices.gather(a)[: request.n] for a in view)
            seconds += (time.monotonic() - began) * bool(moved)
            self._compiled.add((*kind, request.n))
            step, sound = step + moved, np.concatenate([sound, finite[:, :moved]], axis=1)
            nfe = (nfe + (sampler.denoise and step == request.steps)) * bound.networks
            well = np.cumprod(sound, axis=1).sum(1)
            ended = (well == step) & (fine_end | (step < request.steps))
            samples = Samples(levels, ended, nfe, seconds, well, gave_up, bound.experiment.scaler)
            if why := unsound(samples, jnp.asarray(grid)):
                raise NumericsError(f"{why}; try more steps, or another sampler")
            if known_part is not None:
                levels = np.where(known_part.mask, known_part.levels, levels)
            t = float(grid[step])
            yield Frame(step, request.steps, t, float(sde.level(t)), noisy, expected, levels, float(nfe.mean()), seconds)
            if step == request.steps:
                return
            moved = min(math.ceil(request.steps / FRAMES), request.steps - step)

    def _check(self, request: Request) -> None:
        """ConfigError if the request does not fit this run."""
        if request.sampler not in self.experiment.config.samplers:
            raise ConfigError(f"there is no sampler {request.sampler!r}")
        if request.label is not None and request.label >= self.experiment.classes:
            raise ConfigError(f"label = {request.label}: the network has {self.experiment.classes} classes, from 0")
        if request.label is None and self.experiment.dropouts.get("label") == 0:
            raise ConfigError("the network has learned no score without a label: choose one")
        try:
            self.experiment.conditional(self._params, request.label)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if request.eta is not None:
            step = self.experiment.config.samplers[request.sampler].step
            STEP.check(Named(name=step.name, **(step.options | {"eta": request.eta})))

    def _inputs(self, request: Request, known_part: KnownPart | None) -> Inputs:
        options = {} if request.eta is None else {"eta": jnp.float32(request.eta)}
        w = None if request.label is None else request.w
        x_0, mask = None, None
        if known_part:
            x_0, mask = self.experiment.scaler.place(jnp.asarray(known_part.levels), 0.5), known_part.mask
        return Inputs(options, request.label, w, x_0, mask)

    def _program(self, request: Request, kind: tuple[Any, ...]) -> Program:
        """The program of this kind, made once for all values of its `Inputs`."""
        if kind not in self._programs:
            self._programs[kind] = make_program(self.experiment, request.sampler, request.repeats)
        return self._programs[kind]


def _kind(request: Request, painted: bool) -> tuple[Any, ...]:
    """Identifies a program, apart from its number of samples."""
    return request.sampler, request.label is not None, request.eta is not None, painted, request.repeats
