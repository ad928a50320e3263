"""What the page computes: a sampler at work, as frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from experiments import parallel
from experiments.build import Experiment
from experiments.draw import Drawn, unsound
from experiments.errors import ConfigError, NumericsError
from experiments.parts import STEP, parameters
from experiments.randomness import Purpose, stream
from experiments.schema import Named, Seed, Strict
from samplers import classifier_free, inpaint, moves, resample
from sde_lib.base import Scalar

FRAMES = 32
"""Into as many a grid is cut; one of fewer steps has a frame for each."""
STEPS = 1024
MOVES = STEPS // FRAMES
"""The most moves between two frames, and so of one program: those that a shorter grid has not are of length zero, and free."""
MOST = 1024
"""Samples at once."""


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

    @cached_property
    def classes(self) -> int:
        """Labels that the network takes, 0 to K - 1; 0: none."""
        return int(self.experiment.config.net.options.get("classes") or 0)

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
        sampler, sde = self.experiment.config.samplers[request.sampler], self.experiment.sde
        begin, advance = self._program(request, known is not None)
        grid = np.asarray(self.experiment.grid(sampler, request.steps))
        setting, rows = self._setting(request, known), -(-request.n // jax.device_count()) * jax.device_count()
        keys = jax.vmap(jax.random.fold_in, (None, 0))(stream(request.seed, Purpose.SAMPLE), jnp.arange(rows))
        carry, step_keys = begin(self._params, keys, setting)
        sound, seconds, done, moved = np.ones((request.n, 0), bool), 0.0, 0, 0
        while True:  # first without a move: what is seen is noise, and what is compiled is compiled before the clock starts
            times = np.pad(grid[done : done + moved + 1], (0, MOVES - moved), mode="edge")
            began = time.monotonic()
            carry, seen = advance(self._params, (carry, step_keys), times, done, done + moved, setting)
            noisy, expected, samples, nfe, finite, fine_end, gave_up = (parallel.gather(a)[: request.n] for a in seen)
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
        if request.label is not None and request.label >= self.classes:
            raise ConfigError(f"label = {request.label}: the network has {self.classes} classes, from 0")
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
        sampler, sde, decode = self.experiment.config.samplers[label], self.experiment.sde, self.experiment.scaler.decode

        def parts(params: Any, setting: Setting):
            guided = self.experiment if setting.label is None else under_label(self.experiment, setting.label, setting.w)
            step = guided.step(sampler, params, **setting.options)
            if setting.mask is not None:
                step = inpaint(step, sde, setting.x_0, setting.mask)
                step = resample(step, sde, repeats) if repeats > 1 else step
            return guided.score(params), step

        def begin(params: Any, key: Any, setting: Setting):
            prior_key, step_key = jax.random.split(key)
            x = sde.prior_sample(prior_key, self.experiment.shape)
            return (x, parts(params, setting)[1].init(x)), step_key

        def advance(params: Any, row: Any, times: Any, done: Any, after: Any, setting: Setting):
            (x, memory), key = row
            score, step = parts(params, setting)
            keys = jax.lax.dynamic_slice_in_dim(jax.random.split(key, STEPS + MOVES), done, MOVES)
            x, memory, _, finite = moves(keys, step, x, memory, times)
            t = times[-1]
            x_0 = jnp.where(sde.sigma(t) > 0, sde.denoise(score, x, t), x)  # at sigma = 0 the score is infinite
            end = x_0 if sampler.denoise else x
            scale = jnp.maximum(jnp.hypot(sde.alpha(t), sde.sigma(t)), 1.0)
            nfe = step.count(memory, after)
            seen = decode(x / scale), decode(x_0), decode(end), nfe, finite, jnp.isfinite(end).all(), step.gave_up(memory)
            return (x, memory), seen

        return parallel.mapped(begin), parallel.mapped(advance)


def under_label(experiment: Experiment, y: Any, w: Scalar) -> Experiment:
    """The experiment whose score is `classifier_free` of label y and of none: two evaluations of its network in one."""
    model = experiment.model

    def apply(params: Any, x: Any, t: Any, _: Any = None, key: Any = None) -> Any:
        with_label, without = (lambda x, t, y=y: model.apply(params, x, t, y, key) for y in (y, None))
        return classifier_free(with_label, without, w)(x, t)

    with_variance = lambda params, x, t, _=None, key=None: model.with_variance(params, x, t, y, key)
    return experiment._replace(model=model._replace(apply=apply, with_variance=with_variance))
