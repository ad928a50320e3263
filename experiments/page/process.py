"""What the page computes: a sampler at work, as frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.config.options import parameters
from experiments.config.parts import STEP
from experiments.config.schema import Named, Seed, Strict
from experiments.randomness import Purpose, stream
from experiments.runtime import devices
from experiments.runtime.errors import ConfigError, NumericsError
from experiments.sampling.draw import Drawn, unsound
from samplers import inpaint, moves, resample

FRAMES = 32
"""Into as many a grid is cut; one of fewer steps has a frame for each."""
STEPS = 1024
MOVES = STEPS // FRAMES
"""The most moves between two frames, and so of one program: those that a shorter grid has not are of length zero, and free."""
MOST = 1024
"""Samples at once."""
CLASSIFIER_FREE = Named(name="classifier_free")
"""How a label is weighed."""


class Request(Strict):
    """What a sampler of the config is asked for.

    `eta`: of a step that takes one; `label` (None: none) and `w`: of a network with classes; `repeats`: of `resample`.
    """

    sampler: str
    steps: Annotated[int, Field(ge=1, le=STEPS)]
    n: Annotated[int, Field(ge=1, le=MOST)]
    seed: Seed
    eta: Annotated[float, Field(ge=0, le=1)] | None = None
    label: Annotated[int, Field(ge=0)] | None = None
    w: Annotated[float, Field(ge=0, le=20)] = 1.0
    repeats: Annotated[int, Field(ge=1, le=20)] = 1


class Known(NamedTuple):
    """An image of `levels` [H, W, C] that is known where `mask` [H, W, 1] is true."""

    levels: np.ndarray
    mask: np.ndarray


class Frame(NamedTuple):
    """The process after `done` of its `steps`, at time `t` and log-SNR `log_snr`, as levels [n, *event] (points: points).

    `noisy`: x_t over sqrt(alpha^2 + sigma^2); `expected`: E[x_0 | x_t] as the network has it; `samples`: what the sampler would
    give if it ended here. `nfe`: score evaluations in the mean, without those for `expected`; `seconds`: without compiling.
    """

    done: int
    steps: int
    t: float
    log_snr: float
    noisy: np.ndarray
    expected: np.ndarray
    samples: np.ndarray
    nfe: float
    seconds: float


class Setting(NamedTuple):
    """What a program takes as numbers, so that another value needs no other program."""

    options: dict[str, Any]
    label: Any
    w: Any
    x_0: Any
    mask: Any


class Reverse:
    """The reverse process of a run, by any sampler of its config: `frames` of the samples that `sample` would draw."""

    def __init__(self, experiment: Experiment, params: Any):
        self.experiment, self._params = experiment, params
        self._programs: dict[tuple[Any, ...], tuple[Callable[..., Any], Callable[..., Any]]] = {}
        self._compiled: set[tuple[Any, ...]] = set()

    def eta(self, sampler: str) -> float | None:
        """The noise of a sampler's step as configured; None where it takes none."""
        step = self.experiment.config.samplers[sampler].step
        taken = parameters(STEP.find(step.name)).get("eta")
        return None if taken is None else float(step.options.get("eta", taken.default))

    def compiles(self, request: Request, painted: bool) -> bool:
        """Whether this needs a program that was not compiled yet."""
        return (*self._kind(request, painted), request.n) not in self._compiled

    def frames(self, request: Request, known: Known | None = None) -> Iterator[Frame]:
        """The process from its noise on, each frame as it is asked for; the first waits for the compiler.

        With `known`, the rest of that image is filled in. ConfigError where the request fits no sampler or network;
        NumericsError, a sentence, where a number is not finite.
        """
        self._check(request)
        bound = BoundSampler(self.experiment, self.experiment.config.samplers[request.sampler])
        sampler, sde = bound.config, bound.sde
        begin, advance = self._program(request, known is not None)
        grid = np.asarray(bound.grid(request.steps))
        setting, rows = self._setting(request, known), -(-request.n // jax.device_count()) * jax.device_count()
        keys = jax.vmap(jax.random.fold_in, (None, 0))(stream(request.seed, Purpose.SAMPLE), jnp.arange(rows))
        carry, step_keys = begin(self._params, keys, setting)
        sound, seconds, done, moved = np.ones((request.n, 0), bool), 0.0, 0, 0
        while True:  # first without a move: what is seen is noise, and what is compiled is compiled before the clock starts
            times = np.pad(grid[done : done + moved + 1], (0, MOVES - moved), mode="edge")
            began = time.monotonic()
            carry, seen = advance(self._params, (carry, step_keys), times, done, done + moved, setting)
            noisy, expected, samples, nfe, finite, fine_end, gave_up = (devices.gather(a)[: request.n] for a in seen)
            seconds += (time.monotonic() - began) * bool(moved)
            self._compiled.add((*self._kind(request, known is not None), request.n))
            done, sound = done + moved, np.concatenate([sound, finite[:, :moved]], axis=1)
            nfe = nfe + (sampler.denoise and done == request.steps)
            well = np.cumprod(sound, axis=1).sum(1)
            drawn = Drawn(samples, (well == done) & (fine_end | (done < request.steps)), nfe, seconds, well, gave_up)
            if why := unsound(drawn, jnp.asarray(grid)):
                raise NumericsError(f"{why}; try more steps, or another sampler")
            if known is not None:
                samples = np.where(known.mask, known.levels, samples)
            t = float(grid[done])
            yield Frame(done, request.steps, t, float(sde.log_snr(t)), noisy, expected, samples, float(nfe.mean()), seconds)
            if done == request.steps:
                return
            moved = min(math.ceil(request.steps / FRAMES), request.steps - done)

    def _check(self, request: Request) -> None:
        """ConfigError where the request does not fit this run."""
        if request.sampler not in self.experiment.config.samplers:
            raise ConfigError(f"there is no sampler {request.sampler!r}")
        if request.label is not None and request.label >= self.experiment.classes:
            raise ConfigError(f"label = {request.label}: the network has {self.experiment.classes} classes, from 0")
        if request.label is None and not self.experiment.has_unconditional:
            raise ConfigError("the network has learned no score without a label: choose one")
        if request.eta is not None:
            step = self.experiment.config.samplers[request.sampler].step
            STEP.check(Named(name=step.name, **(step.options | {"eta": request.eta})))

    def _kind(self, request: Request, painted: bool) -> tuple[Any, ...]:
        """What a program is compiled for, beside the number of samples."""
        return request.sampler, request.label is not None, request.eta is not None, painted, request.repeats

    def _setting(self, request: Request, known: Known | None) -> Setting:
        options = {} if request.eta is None else {"eta": jnp.float32(request.eta)}
        labelled = request.label is not None
        x_0, mask = (self.experiment.scaler.place(jnp.asarray(known.levels), 0.5), known.mask) if known else (None, None)
        return Setting(options, request.label if labelled else None, request.w if labelled else None, x_0, mask)

    def _program(self, request: Request, painted: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """(begin, advance), compiled once for all that a `Setting` may say."""
        kind = self._kind(request, painted)
        if kind not in self._programs:
            self._programs[kind] = self._made(request.sampler, request.repeats)
        return self._programs[kind]

    def _made(self, label: str, repeats: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        experiment, decode = self.experiment, self.experiment.scaler.decode
        sampler = experiment.config.samplers[label]
        by_label = sampler.model_copy(update={"guidance": CLASSIFIER_FREE if experiment.has_unconditional else None})

        def parts(params: Any, setting: Setting):
            w = {"w": setting.w} if setting.label is not None and experiment.has_unconditional else {}
            bound = BoundSampler(experiment, sampler if setting.label is None else by_label)
            sde, score, step, _ = bound.reverse(params, setting.label, **setting.options, **w)
            if setting.mask is not None:
                step = inpaint(step, sde, setting.x_0, setting.mask)
                step = resample(step, sde, repeats) if repeats > 1 else step
            return sde, score, step

        def begin(params: Any, key: Any, setting: Setting):
            prior_key, step_key = jax.random.split(key)
            sde, _, step = parts(params, setting)
            x = sde.prior_sample(prior_key, experiment.shape)
            return (x, step.init(x)), step_key

        def advance(params: Any, row: Any, times: Any, done: Any, after: Any, setting: Setting):
            (x, memory), key = row
            sde, score, step = parts(params, setting)
            keys = jax.lax.dynamic_slice_in_dim(jax.random.split(key, STEPS + MOVES), done, MOVES)
            x, memory, _, finite = moves(keys, step, x, memory, times)
            t = times[-1]
            x_0 = jnp.where(sde.sigma(t) > 0, sde.denoise(score, x, t), x)  # at sigma = 0 the score is infinite
            end = x_0 if sampler.denoise else x
            scale = jnp.maximum(jnp.hypot(sde.alpha(t), sde.sigma(t)), 1.0)
            nfe = step.count(memory, after)
            seen = decode(x / scale), decode(x_0), decode(end), nfe, finite, jnp.isfinite(end).all(), step.gave_up(memory)
            return (x, memory), seen

        return devices.mapped(begin), devices.mapped(advance)
