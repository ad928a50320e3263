"""The compiled programs of the page: the beginning of a process, and some moves of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.build.experiment import Experiment
from experiments.build.sampler import BoundSampler
from experiments.config.schema import Named
from experiments.runtime import devices
from samplers import inpaint, moves, resample
from sde_lib import LinearSDE

FRAMES = 32
"""The number of parts that a grid is cut into; one of fewer steps has a frame for each."""
STEPS = 1024
MOVES = STEPS // FRAMES
"""The most moves between two frames, and so of one program. Shorter grids are padded with moves of length zero, for free."""
CLASSIFIER_FREE = Named(name="classifier_free")
"""The guidance that weighs a label."""


class Inputs(NamedTuple):
    """The inputs of a program that are numbers, so that another value needs no other program."""

    options: dict[str, Any]
    label: Any
    w: Any
    x_0: Any
    mask: Any


class Program(NamedTuple):
    """Two compiled functions.

    begin(params, keys, inputs) -> ((x, memory), step_keys)
    advance(params, ((x, memory), step_keys), times, start, stop, inputs) -> ((x, memory), view)
    """

    begin: Callable[..., Any]
    advance: Callable[..., Any]


def page_sampler(experiment: Experiment, name: str, labelled: bool) -> BoundSampler:
    """The sampler of that name; of samples with a label its guidance is `CLASSIFIER_FREE`, or none if nothing was learned.

    Without a label it has no guidance to a class.
    """
    sampler = experiment.config.samplers[name]
    to_a_class = sampler.guidance is not None and sampler.guidance.name in ("classifier", "classifier_free")
    guidance = CLASSIFIER_FREE if labelled and experiment.has_unconditional else None
    return BoundSampler(experiment, sampler.model_copy(update={"guidance": guidance} if labelled or to_a_class else {}))


def make_program(experiment: Experiment, name: str, repeats: int) -> Program:
    """The program of the sampler of that name, for a batch of samples on all devices."""
    denoises = experiment.config.samplers[name].denoise

    def parts(params: Any, inputs: Inputs):
        labelled = inputs.label is not None
        w = {"w": inputs.w} if labelled and experiment.has_unconditional else {}
        sampler = page_sampler(experiment, name, labelled)
        sde, score, step, _ = sampler.reverse(params, inputs.label, **inputs.options, **w)
        assert isinstance(sde, LinearSDE)  # `demo` refuses any other
        if inputs.mask is not None:
            step = inpaint(step, sde, inputs.x_0, inputs.mask)
            step = resample(step, sde, repeats) if repeats > 1 else step
        return sde, score, step

    def begin(params: Any, key: Any, inputs: Inputs):
        prior_key, step_key = jax.random.split(key)
        sde, _, step = parts(params, inputs)
        x = sde.prior_sample(prior_key, experiment.code_shape)
        return (x, step.init(x)), step_key

    def advance(params: Any, row: Any, times: Any, start: Any, stop: Any, inputs: Inputs):
        (x, memory), key = row
        sde, score, step = parts(params, inputs)
        keys = jax.lax.dynamic_slice_in_dim(jax.random.split(key, STEPS + MOVES), start, MOVES)
        x, memory, _, finite = moves(keys, step, x, memory, times)
        t = times[-1]
        x_0 = jnp.where(sde.sigma(t) > 0, sde.denoise(score, x, t), x)  # at sigma = 0 the score is infinite
        end = x_0 if denoises else x
        scale = jnp.maximum(sde.spread(t), 1.0)
        nfe = step.count(memory, stop)
        frames = (experiment.levels(params, z, jax.random.fold_in(key, 0)) for z in (x / scale, x_0, end))
        view = *frames, nfe, finite, jnp.isfinite(end).all(), step.gave_up(memory)
        return (x, memory), view

    return Program(devices.mapped(begin), devices.mapped(advance))
